"""That an edit is safe is told at once, and never before what was to be told first."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from atrium_server.doors import I32, I64, U8, Bools
from atrium_server.frames import binary_frame
from atrium_server.messenger import Messenger
from atrium_shared import codec
from atrium_shared.messages import EditState, EditStatus


class Sink:
    """What is told to connections: at once, or with the next snapshot."""

    def __init__(self) -> None:
        self.waiting: dict[int, int] = {}
        self.half_sent: set[int] = set()
        self.at_once: dict[int, bytes] = {}
        self.queued: list[tuple[int, bytes]] = []
        self.calls = 0

    def ready(self, connections: I32) -> Bools:
        return np.array([one not in self.half_sent for one in connections.tolist()], bool)

    def pending(self, connections: I32, room: I32) -> I32:
        assert not room.any()
        return np.array([self.waiting.get(one, 0) for one in connections.tolist()], np.int32)

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        assert not prefixes.any()
        self.calls += 1
        for one, at, size in zip(
            connections.tolist(), offsets.tolist(), lengths.tolist(), strict=True
        ):
            self.at_once[one] = arena[at : at + size].tobytes()
        return np.ones(len(connections), np.uint8)

    def tell(self, connection: int, frame: bytes, is_talk: bool = False) -> None:
        self.queued.append((connection, frame))


def frame(request_id: int) -> bytes:
    return binary_frame(codec.encode(EditStatus(request_id, EditState.DURABLE, 0, "", 0)))


class Crowd:
    """People on connections 10, 11 and 12."""

    def __init__(self) -> None:
        self.sink = Sink()
        nothing: Any = None
        self._messenger = Messenger(cast(Any, self.sink), {}, nothing, None, 1)

    def durable(self, *edits: tuple[int, int]) -> None:
        self._messenger.durable(edits)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def test_all_hear_it_in_one_call(crowd: Crowd) -> None:
    crowd.durable((10, 1), (11, 7), (10, 2))
    assert crowd.sink.at_once == {10: frame(1) + frame(2), 11: frame(7)}
    assert (crowd.sink.calls, crowd.sink.queued) == (1, [])


def test_it_goes_behind_what_waits(crowd: Crowd) -> None:
    crowd.sink.waiting[10] = 9  # that it was accepted, perhaps
    crowd.sink.half_sent.add(11)
    crowd.durable((10, 1), (11, 1), (12, 1))
    assert crowd.sink.queued == [(10, frame(1)), (11, frame(1))]
    assert crowd.sink.at_once == {12: frame(1)}


def test_nothing_is_sent_where_nothing_is_to_be_said(crowd: Crowd) -> None:
    crowd.durable()
    assert (crowd.sink.calls, crowd.sink.queued) == (0, [])

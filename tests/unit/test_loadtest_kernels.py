"""The system-call kernels over socket pairs: any cut of the stream, any bytes, full sockets."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from atrium_loadtest import fleet as tables
from atrium_loadtest import frames, kernels
from atrium_shared import codec, messages

SPILL = np.zeros(kernels.SPILL_BYTES, np.uint8)
INDEX = np.zeros((kernels.SPILL_LINES, 4), np.int64)
SCRATCH = np.zeros(tables.CARRY_BYTES, np.uint8)


def wire(opcode: int, payload: bytes) -> bytes:
    """An unmasked frame."""
    return Frame(Opcode(opcode), payload).serialize(mask=False)


@dataclass
class Pair:
    """One bot (row 0) and the far end of its connection."""

    fleet: tables.Fleet
    far: socket.socket
    near: socket.socket
    epoll: select.epoll

    def receive(self, events: int = 8) -> list[tuple[int, int, bytes]]:
        """One call of the kernel: what it spilled, as (bot, opcode, payload)."""
        ready, spilled, waited_ns = kernels.receive(
            self.epoll.fileno(), 0, np.zeros(events * kernels.EPOLL_EVENT_BYTES, np.uint8),
            self.fleet.bot_of_fd, self.fleet.bots, self.fleet.carry, SCRATCH, SPILL, INDEX,
        )
        assert ready >= 0
        assert waited_ns >= 0
        return [
            (bot, opcode, SPILL[at : at + length].tobytes())
            for bot, opcode, at, length in INDEX[:spilled].tolist()
        ]

    def close(self) -> None:
        self.epoll.close()
        self.near.close()
        self.far.close()


def make_pair(rest: bytes = b"") -> Pair:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    fleet = tables.make_fleet(1, 4_096)
    tables.attach(fleet, 0, near.fileno(), rest)
    epoll = select.epoll()
    epoll.register(near.fileno(), select.EPOLLIN)
    return Pair(fleet, far, near, epoll)


def send(fleet: tables.Fleet, frame: np.ndarray) -> int:
    """Send one frame of bot 0; returns how many were taken."""
    chosen = np.zeros(1, np.int32)
    return kernels.send_frames(chosen, frame, fleet.bots, fleet.tails, fleet.stamps)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = make_pair()
    yield made
    made.close()


snapshots = st.builds(
    codec.encode_snapshot, st.integers(0, 2**32 - 1), st.just(5), st.just(6),
    st.binary(max_size=300),
)
ordinary = st.one_of(
    snapshots,
    st.just(codec.encode(messages.Leave(b"\x01"))),
    st.just(codec.encode(messages.Enter(()))),
    st.just(codec.encode(messages.PropsChanged(7, (), (), (bytes(16),)))),
)
told = st.one_of(
    st.builds(lambda text: codec.encode(messages.Notice(1, text)), st.text(max_size=60)),
    st.binary(max_size=3).map(lambda rest: b"\x93\x7f" + rest),
)
items = st.lists(
    st.one_of(
        ordinary.map(lambda payload: (2, payload)), told.map(lambda payload: (2, payload)),
        st.binary(max_size=125).map(lambda payload: (9, payload)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(items, st.booleans(), st.data())
def test_frames_are_found_whatever_the_cuts(
    sent: list[tuple[int, bytes]], probe: bool, data: st.DataObject
) -> None:
    stream = b"".join(wire(*item) for item in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pair = make_pair(stream[: cuts[0]] if cuts else b"")
    pair.fleet.bots["probe"] = probe
    found: list[tuple[int, int, bytes]] = []
    try:
        for start, end in zip(cuts or [0], [*cuts[1:], len(stream)], strict=True):
            if end > start:
                pair.far.send(stream[start:end])
            found += pair.receive()
        pair.far.send(wire(10, b""))
        found += pair.receive()
    finally:
        pair.close()
    hidden = set() if probe else {messages.op_of(kind) for kind in (
        messages.Snapshot, messages.Enter, messages.Leave, messages.PropsChanged)}
    expected = [
        (0, opcode, payload) for opcode, payload in sent
        if opcode != 2 or payload[1] not in hidden
    ]
    assert found == [*expected, (0, 10, b"")]
    row = pair.fleet.bots[0]
    ticks = [int.from_bytes(p[3:7], "big") for o, p in sent if o == 2 and p[1] == 66]
    assert row["snapshots"] == len(ticks)
    assert row["ack_tick"] == (ticks[-1] if ticks else 0)
    assert row["carried"] == 0


@given(st.binary(max_size=600))
def test_any_bytes_are_walked_or_called_faulty(data: bytes) -> None:
    lines = np.zeros((64, 3), np.int64)
    found, rest = kernels.walk_frames(np.frombuffer(data, np.uint8).copy(), 0, len(data), lines)
    count = found if found >= 0 else -1 - found
    at = 0
    for opcode, start, length in lines[:count].tolist():
        assert frames.server_frame(data[at:]) == (
            opcode, data[start : start + length], data[start + length :]
        )
        at = start + length
    assert at == rest
    if found < 0:
        head = data[at : at + 10]
        too_long = head[1] in (126, 127)
        assert head[0] & 0xF0 != 0x80 or head[1] & 0x80 or too_long
    elif count < len(lines):
        assert frames.server_frame(data[at:]) is None


def test_the_largest_frame_fits_and_a_larger_one_is_faulty(pair: Pair) -> None:
    body = codec.encode_snapshot(9, 0, 0, bytes(65_500))
    stream = memoryview(wire(2, body))
    while stream:
        stream = stream[pair.far.send(stream[:30_000]) :]
        assert pair.receive() == []
    assert pair.fleet.bots[0]["snapshots"] == 1
    pair.far.send(b"\x82\x7f" + (2**62).to_bytes(8, "big"))
    assert pair.receive() == [(0, kernels.FAULTY, b"")]


def test_more_frames_than_walk_lines_come_out_in_one_call(pair: Pair) -> None:
    count = 3 * kernels.WALK_LINES
    pair.far.send(wire(9, b"") * count)
    assert pair.receive() == [(0, 9, b"")] * count


def test_an_end_is_told_and_silence_is_not(pair: Pair) -> None:
    assert pair.receive() == []
    pair.far.close()
    assert pair.receive() == [(0, kernels.ENDED, b"")]


def test_chat_of_others_is_counted_for_ordinary_bots(pair: Pair) -> None:
    line = messages.ChatPublished(1, messages.ChatChannel.WORLD, 2, "A", "hello", 3)
    pair.far.send(wire(2, codec.encode(line)) * 2)
    assert pair.receive() == []
    assert pair.fleet.bots[0]["chat_lines"] == 2


def test_poses_go_whole_or_not_at_all_when_the_socket_is_full(pair: Pair) -> None:
    pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    rng = np.random.default_rng(3)
    fleet, got, sent = pair.fleet, b"", []
    for number in range(4_000):
        frame = rng.integers(0, 256, (1, tables.FRAME_BYTES), np.uint8)
        if send(fleet, frame):
            sent.append(frame.tobytes())
        if number % 100 == 99:
            got += pair.far.recv(1_000)
    assert fleet.bots[0]["blocked"] > 0
    assert fleet.bots[0]["seq"] == fleet.bots[0]["poses"] == len(sent)
    with contextlib.suppress(BlockingIOError):
        while chunk := pair.far.recv(65_536):
            got += chunk
    assert got == b"".join(sent)


def test_a_pose_taken_in_part_is_finished_before_the_next(pair: Pair) -> None:
    rng = np.random.default_rng(4)
    first, second = rng.integers(0, 256, (2, 1, tables.FRAME_BYTES), np.uint8)
    pair.fleet.tails[0], pair.fleet.bots[0]["tail"] = first[0], 20
    assert send(pair.fleet, second) == 1
    assert pair.far.recv(999) == first[0, -20:].tobytes() + second.tobytes()
    assert pair.fleet.bots[0]["tail"] == 0


def test_each_pose_is_stamped_with_the_time_of_its_send(pair: Pair) -> None:
    fleet = pair.fleet
    for _ in range(3):
        send(fleet, np.zeros((1, tables.FRAME_BYTES), np.uint8))
    stamps = fleet.stamps[0, 1:4].tolist()
    assert 0 < stamps[0] <= stamps[1] <= stamps[2]
    assert not fleet.stamps[0, 4:].any()


@pytest.mark.parametrize(("field", "value"), [("state", tables.AWAY), ("muted", 1)])
def test_no_pose_of_one_who_is_away_or_has_more_to_say(pair: Pair, field: str, value: int) -> None:
    fleet = pair.fleet
    fleet.bots[0][field] = value
    assert send(fleet, np.zeros((1, tables.FRAME_BYTES), np.uint8)) == 0
    with pytest.raises(BlockingIOError):
        pair.far.recv(1)

"""What one pass has brought, sorted out: against the same in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.net import route_kernels
from atrium_server.net.connection import Arrival
from atrium_server.net.connections import Connections
from atrium_server.net.poses import POSES_PER_PASS_MAX, Poses
from atrium_shared import pose

EPOCH = int(pose.Flags.EPOCH)
CONNECTIONS = 5

worlds = st.lists(st.integers(-1, 2), min_size=CONNECTIONS, max_size=CONNECTIONS)
flags = st.lists(st.booleans(), min_size=CONNECTIONS, max_size=CONNECTIONS)
arrivals = st.lists(
    st.tuples(st.integers(0, CONNECTIONS - 1), st.booleans(), st.integers(1, 12)), max_size=12
)


@given(worlds, flags, flags, arrivals)
def test_poses_go_where_their_connections_are(
    doors: list[int], epochs: list[bool], void: list[bool],
    pieces: list[tuple[int, bool, int]],
) -> None:
    """Runs of poses of one connection, in any order: a flood on one leaves room for the others."""
    said = [(number, epoch) for number, epoch, count in pieces for _ in range(count)]
    n = len(said)
    all_ = Connections(CONNECTIONS)
    all_.door_of[:], all_.slot_of[:] = doors, np.arange(10, 10 + CONNECTIONS)
    all_.epoch[:] = np.where(epochs, EPOCH, 0)
    all_.acks_void[:] = void
    rows = np.zeros((n + 3, pose.COLUMNS), np.int32)
    rows[:n, pose.FLAGS] = [EPOCH * epoch | 3 for _, epoch in said]
    numbers = np.array([number for number, _ in said] + [0] * 3, np.int32)
    seen = np.zeros(CONNECTIONS, np.int32)
    out_doors, out_slots = np.zeros(n + 3, np.int32), np.zeros(n + 3, np.int32)
    lowest, highest = route_kernels.route(
        numbers, rows, n, POSES_PER_PASS_MAX, all_.epoch, all_.acks_void, all_.poses,
        all_.door_of, all_.slot_of, seen, out_doors, out_slots,
    )
    expected = [
        doors[number] if epoch == epochs[number]
        and [later for later, _ in said[k + 1 :]].count(number) < POSES_PER_PASS_MAX else -1
        for k, (number, epoch) in enumerate(said)
    ]
    assert out_doors[:n].tolist() == expected
    assert out_slots[:n].tolist() == [10 + number for number, _ in said]
    if n:
        assert (lowest, highest) == (min(expected), max(expected))
    assert all_.poses.tolist() == [
        sum(1 for number, _ in said if number == k) for k in range(CONNECTIONS)
    ]
    counted = {number for (number, _), door in zip(said, expected, strict=True) if door >= 0}
    assert all_.acks_void.tolist() == [void[k] and k not in counted for k in range(CONNECTIONS)]
    assert not seen.any()


@given(st.lists(st.tuples(st.integers(-3, 9), st.integers(0, 9)), max_size=20))
def test_chunks_that_are_more_than_poses_are_found(pieces: list[tuple[int, int]]) -> None:
    lengths = np.array([length for length, _ in pieces] + [7], np.int64)
    consumed = np.array([min(max(length, 0), part) for length, part in pieces] + [0], np.int64)
    numbers = np.arange(len(lengths), dtype=np.int32)[::-1].copy()
    heard_at, unfinished = np.zeros(len(lengths)), np.zeros(len(lengths), np.int64)
    count = len(pieces)
    found = route_kernels.note_heard(
        numbers, lengths, consumed, count, 5.0, heard_at, unfinished
    )
    assert unfinished[:found].tolist() == [
        k for k in range(count) if lengths[k] <= 0 or consumed[k] < lengths[k]
    ]
    assert (heard_at[numbers[:count]] == 5.0).all()
    assert (heard_at[numbers[count:]] == 0.0).all()


def test_nothing_collected_is_nothing_offered() -> None:
    Poses(Connections(1)).offer()


def test_only_those_with_whom_something_may_be_wrong_are_looked_after() -> None:
    endpoint: Any = None  # nobody touches it
    arrivals = [Arrival(endpoint, ServerProtocol(state=State.OPEN), "") for _ in range(4)]
    all_ = Connections(6)
    fine, joining, silent, talkative = (all_.add(arrival, 100.0) for arrival in arrivals)
    all_.door_of[[c.number for c in (fine, silent, talkative)]] = 0
    all_.heard_at[silent.number] = 1.0
    for second in range(3):
        all_.poses[talkative.number] = 10_000
        assert all_.to_look_after(100.0) == [joining, silent, talkative]
        assert all_.strikes[talkative.number] == second + 1
        assert not all_.poses.any()
    assert all_.to_look_after(100.0) == [joining, silent]
    assert not all_.strikes.any()

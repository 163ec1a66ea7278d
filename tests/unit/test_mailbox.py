"""The inbox: everything once, in order, bounded."""

from __future__ import annotations

import numpy as np
import pytest

from atrium_server.mailbox import Inbox
from atrium_server.world import commands as c
from atrium_server.world.movement import PoseBatch
from atrium_shared import limits, pose


def batch(first_seq: int, n: int, parts: int = 3, first_ack: int = 0) -> PoseBatch:
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    rows[:, 0] = np.arange(first_seq, first_seq + n)
    return PoseBatch(
        np.arange(n, dtype=np.int32), np.arange(first_seq, first_seq + n, dtype=np.uint32),
        np.arange(first_ack, first_ack + n, dtype=np.uint32), rows,
        np.full(n, parts, np.uint8), np.full((n, pose.EXTRA_BYTES), first_seq % 256, np.uint8),
    )


def test_everything_comes_out_once_and_in_order() -> None:
    inbox = Inbox(10)
    assert inbox.offer(c.Gesture(1, 1))
    inbox.must(c.Leave(2))
    inbox.offer_poses(batch(100, 3, first_ack=7))
    inbox.offer_poses(batch(200, 2, first_ack=10))
    inbox.offer_ack(5, 12)
    drained = inbox.drain()
    assert drained.commands == [c.Gesture(1, 1), c.Leave(2)]
    assert drained.poses.seqs.tolist() == [100, 101, 102, 200, 201]
    assert drained.poses.rows[:, 0].tolist() == [100, 101, 102, 200, 201]
    assert drained.ack_slots.tolist() == [0, 1, 2, 0, 1, 5]
    assert drained.ack_ticks.tolist() == [7, 8, 9, 10, 11, 12]
    empty = inbox.drain()
    assert empty.commands == []
    assert len(empty.poses.slots) == len(empty.ack_slots) == 0


def test_what_was_drained_stays_while_the_next_tick_gathers() -> None:
    inbox = Inbox(10)
    inbox.offer_poses(batch(1, 2))
    drained = inbox.drain()
    inbox.offer_poses(batch(50, 2))
    assert drained.poses.seqs.tolist() == [1, 2]
    assert inbox.drain().poses.seqs.tolist() == [50, 51]


def test_commands_are_bounded_but_not_those_of_the_house() -> None:
    inbox = Inbox(1)
    for _ in range(limits.INBOX_COMMANDS_MAX):
        assert inbox.offer(c.Gesture(1, 1))
    assert not inbox.offer(c.Gesture(1, 1))
    inbox.must(c.Leave(1))
    assert len(inbox.drain().commands) == limits.INBOX_COMMANDS_MAX + 1
    assert inbox.offer(c.Gesture(1, 1))


def test_poses_and_acks_are_bounded_and_the_rest_is_counted() -> None:
    inbox = Inbox(1)
    n = inbox.poses_max
    inbox.offer_poses(batch(1, n - 1))
    inbox.offer_poses(batch(1, 3))
    inbox.offer_poses(batch(1, 3))
    for tick in range(n + 5):
        inbox.offer_ack(0, tick)
    assert inbox.poses_dropped == 5
    drained = inbox.drain()
    assert len(drained.poses.slots) == n
    assert len(drained.ack_slots) == 2 * n


@pytest.mark.parametrize("parts", [8, 63])
def test_extra_bytes_come_with_the_poses_that_have_them(parts: int) -> None:
    inbox = Inbox(10)
    inbox.offer_poses(batch(1, 1))
    inbox.offer_poses(batch(9, 2, parts))
    drained = inbox.drain()
    assert (drained.poses.extras[1:, : pose.FINGER_BYTES] == 9).all()

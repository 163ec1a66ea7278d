"""Probes: ages, missing updates and stale pairs, from snapshots made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from atrium_loadtest import frames
from atrium_loadtest.fleet import ACTIVE, HISTORY, make_fleet
from atrium_loadtest.probe import Probe, Tally, Truth
from atrium_shared import codec, messages, pose
from atrium_shared.errors import ProtocolError
from atrium_shared.snapshot import Form

SECOND = 1_000_000_000


class Bench:
    """Bot 0 is the probe at the origin; the others stand at given distances along x."""

    def __init__(self, distances_m: list[float], cap: int = 64) -> None:
        count = 1 + len(distances_m)
        self.fleet = make_fleet(count, 16)
        self.fleet.bots["state"] = ACTIVE
        self.truth = Truth(
            self.fleet, np.array([0.0, *distances_m]), np.zeros(count), 30.0, 2.0, 1.0,
            {100 + bot: bot for bot in range(count)},
        )
        self.probe = Probe(0, cap, self.truth)
        self.tally = Tally()
        self.now_ns = SECOND
        self.rows = np.zeros((count, pose.COLUMNS), np.int32)
        entries = tuple(
            messages.EnterEntry(bot, 100 + bot, messages.EntityKind.AVATAR, "", "")
            for bot in range(1, count)
        )
        self.probe.enter(messages.Enter(entries), self.now_ns)

    def say(self, bot: int, x_mm: int, at_ns: int) -> None:
        """`bot` sends a pose."""
        self.fleet.bots[bot]["seq"] += 1
        slot = int(self.fleet.bots[bot]["seq"]) % HISTORY
        self.rows[bot, pose.X] = x_mm
        frames.hash_row(self.rows[bot], self.fleet.hashes[bot, slot])
        self.fleet.stamps[bot, slot] = at_ns

    def show(self, tick: int, bots: list[int], at_ns: int, parts: int = 3) -> None:
        """The probe gets full records, with `parts`, of what `bots` said last."""
        if not bots:
            payload = codec.encode_snapshot(tick, 0, 0, b"")
            self.probe.snapshot(payload, lambda: at_ns, self.tally)
            return
        rows = self.rows[bots]
        records = pose.encode_root_and_points(rows, np.zeros((len(bots), 1), np.uint8), parts)
        flags = np.zeros((len(bots), 1), np.uint8)
        body = bytes((Form.FULL << 6 | parts, len(bots), *bots))
        body += np.concatenate([flags, records], axis=1).tobytes()
        payload = codec.encode_snapshot(tick, 0, 0, body)
        self.probe.snapshot(payload, lambda: at_ns, self.tally)


def test_the_age_of_a_record_is_parsed_minus_sent() -> None:
    bench = Bench([1.0, 2.0])
    bench.say(1, 10, 2 * SECOND)
    bench.say(2, 20, 2 * SECOND + 5_000_000)
    bench.show(7, [2, 1], 2 * SECOND + 30_000_000)
    assert sorted(bench.tally.ages_ms()) == [25.0, 30.0]
    assert bench.tally.records == 2
    assert bench.tally.snapshot_bytes == 2 + 20 + 2 + 2 + 2 * 41


@pytest.mark.parametrize(("parts", "counted"), [(0, 0), (1, 0), (2, 0), (3, 2)])
def test_records_with_head_and_hands_are_counted(parts: int, counted: int) -> None:
    bench = Bench([1.0, 2.0])
    bench.show(7, [1, 2], SECOND, parts)
    assert (bench.tally.records, bench.tally.records_with_hands) == (2, counted)


def test_what_nobody_sent_is_unmatched() -> None:
    bench = Bench([1.0])
    bench.say(1, 10, 2 * SECOND)
    bench.rows[1, pose.X] = 11
    bench.show(7, [1], 3 * SECOND)
    assert bench.tally.unmatched == 1
    assert len(bench.tally.ages_ms()) == 0


def test_records_of_those_near_are_weighed_against_the_ticks_that_passed() -> None:
    bench = Bench([5.0, 10.0, 29.0, 31.0])
    for bot in range(1, 5):
        bench.say(bot, bot, SECOND)
    bench.show(10, [1, 2, 3, 4], SECOND)
    assert bench.tally.expected == 0, "nothing is owed before the first snapshot"
    bench.show(11, [1, 2, 3, 4], SECOND)
    assert (bench.tally.seen, bench.tally.expected) == (2, 2)
    bench.show(12, [1], SECOND)
    assert (bench.tally.seen, bench.tally.expected) == (3, 4)
    bench.show(15, [1, 2], SECOND)
    assert (bench.tally.seen, bench.tally.expected) == (5, 10)


def test_no_more_is_owed_than_the_granted_cap() -> None:
    bench = Bench([5.0, 6.0, 7.0], cap=2)
    bench.show(10, [], SECOND)
    bench.show(11, [1, 2, 3], SECOND)
    assert (bench.tally.seen, bench.tally.expected) == (2, 2)
    assert bench.tally.pairs == 0


def test_a_pair_is_stale_after_a_second_without_a_record() -> None:
    bench = Bench([5.0, 6.0])
    bench.show(10, [1, 2], SECOND)
    bench.show(11, [1], SECOND)
    bench.show(30, [1], 2 * SECOND)
    assert bench.tally.pairs_stale == 0
    bench.show(31, [1], 2 * SECOND + 1)
    assert (bench.tally.pairs_stale, bench.tally.pairs) == (1, 6)


def test_an_index_given_to_another_needs_a_full_record_first() -> None:
    bench = Bench([5.0])
    bench.show(10, [1], SECOND)
    delta = bytes((Form.DELTA << 6, 1, 1, 1, 0, 0, 0))
    bench.probe.snapshot(codec.encode_snapshot(11, 0, 0, delta), lambda: SECOND, bench.tally)
    bench.probe.leave(messages.Leave(b"\x01"))
    with pytest.raises(ProtocolError):
        bench.probe.snapshot(codec.encode_snapshot(12, 0, 0, delta), lambda: SECOND, bench.tally)


def test_entities_that_are_no_bots_of_ours_are_left_out() -> None:
    bench = Bench([5.0])
    stranger = messages.EnterEntry(9, 999, messages.EntityKind.NPC, "", "")
    bench.probe.enter(messages.Enter((stranger,)), SECOND)
    bench.rows = np.zeros((10, pose.COLUMNS), np.int32)
    bench.show(10, [9], SECOND)
    assert (bench.tally.records, bench.tally.unmatched) == (1, 0)


def test_a_bot_may_be_shown_before_its_own_welcome_has_arrived() -> None:
    bench = Bench([5.0])
    bot_of_entity, bench.truth.bot_of_entity = bench.truth.bot_of_entity, {}
    entry = messages.EnterEntry(1, 101, messages.EntityKind.AVATAR, "", "")
    bench.probe.enter(messages.Enter((entry,)), SECOND)
    bench.say(1, 10, SECOND)
    bench.show(10, [1], SECOND + 1_000_000)
    assert (len(bench.tally.ages_ms()), bench.tally.unmatched) == (0, 0)
    bench.truth.bot_of_entity = bot_of_entity
    bench.show(11, [1], SECOND + 2_000_000)
    assert bench.tally.ages_ms().tolist() == [2.0]

"""Probes: bots that decode everything and compare it with what the others really sent.

Theory of operation
-------------------
*Pose age.* The generator remembers the last poses of every bot with the time of each send
(`fleet`). A record that a probe decoded is looked up there (`frames.match_rows`): parsed time
minus sent time is its age, on one clock, in one process. A record that equals nothing sent
(the server changed the pose, or it is older than the memory) counts as *unmatched*.

*Updates seen.* When a snapshot of tick T arrives and the one before it was of tick T', each bot
that the ground truth puts within `radius - margin` of the probe owed it T - T' updates (fewer
where bots send more slowly than the server ticks), up to the granted cap. The records for those
bots are what was seen. The ratio is 1 when everybody near is updated in every tick, and falls
with skipped snapshots, with lower rates for distant entities, and with entities never entered.

*Stale.* The share of those same pairs that have been near for over a second, and whose last
record is over a second old: the protocol promises that there is none. It is only counted where
all that is near fits the cap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_loadtest import frames
from atrium_loadtest.fleet import ACTIVE, PARTS, Fleet
from atrium_shared import codec, limits, messages
from atrium_shared.snapshot import View

Clock = Callable[[], int]
"""CLOCK_MONOTONIC in ns; handed in, so that tests can set it."""

UNKNOWN: Final = -1
_INDEXES: Final = 256


@dataclass
class Truth:
    """What the probes compare with. `x` and `z` are views of the walkers, in metres."""

    fleet: Fleet
    x: npt.NDArray[np.float64]
    z: npt.NDArray[np.float64]
    radius_m: float
    margin_m: float
    updates_per_tick: float
    """Pose rate over tick rate, at most 1."""
    bot_of_entity: dict[int, int] = field(default_factory=dict[int, int])


@dataclass
class Tally:
    """What the probes measured in one window."""

    ages_ns: list[npt.NDArray[np.int64]] = field(default_factory=list[npt.NDArray[np.int64]])
    records: int = 0
    records_with_hands: int = 0
    """Those that carry the head and both hands, as every pose of a bot does."""
    unmatched: int = 0
    snapshots: int = 0
    snapshot_bytes: int = 0
    """Frames with their WebSocket headers."""
    expected: float = 0.0
    seen: float = 0.0
    pairs: int = 0
    pairs_stale: int = 0
    visible: int = 0
    """Entities known to the probes, summed over snapshots."""

    def ages_ms(self) -> npt.NDArray[np.float64]:
        """All ages, unsorted."""
        if not self.ages_ns:
            return np.zeros(0)
        return np.concatenate(self.ages_ns).astype(np.float64) / 1e6


class Probe:
    """The view of one bot, kept from the day it joined; figures go to the tally handed in."""

    def __init__(self, bot: int, cap: int, truth: Truth) -> None:
        self.bot = bot
        self._cap = cap
        self._truth = truth
        self._view = View()
        self._bot_of_index = np.full(_INDEXES, UNKNOWN, np.int32)
        self._entities: dict[int, int] = {}
        self._updated_ns = np.zeros(len(truth.fleet.bots), np.int64)
        self._near = np.zeros(len(truth.fleet.bots), bool)
        self._near_since_ns = np.zeros(len(truth.fleet.bots), np.int64)
        self._tick = UNKNOWN

    def enter(self, message: messages.Enter, now_ns: int) -> None:
        """Indexes get entities; each must be heard of within a second from now."""
        for entry in message.entries:
            self._view.forget(entry.index)
            self._entities[entry.index] = entry.entity_id
            self._bot_of_index[entry.index] = UNKNOWN
            self._find_bot(entry.index)
            bot = self._bot_of_index[entry.index]
            if bot >= 0:
                self._updated_ns[bot] = now_ns

    def leave(self, message: messages.Leave) -> None:
        """Indexes become free."""
        for index in message.indexes:
            if index < limits.INDEXES_MAX:
                self._view.forget(index)
            self._bot_of_index[index] = UNKNOWN
            self._entities.pop(index, None)

    def snapshot(self, payload: bytes, clock_ns: Clock, tally: Tally) -> None:
        """Decode one snapshot message in full and account for each of its records.

        Raises ProtocolError when it does not decode, or builds on what was never sent.
        """
        message = codec.decode_server(payload)
        assert isinstance(message, messages.Snapshot)
        touched = self._view.apply(message.tick, message.body)
        now_ns = clock_ns()
        for index in touched[self._bot_of_index[touched] < 0].tolist():
            self._find_bot(index)
        bots = self._bot_of_index[touched]
        sent_ns = np.zeros(len(touched), np.int64)
        frames.match_rows(
            self._view.rows[touched], self._view.parts[touched], bots,
            self._truth.fleet.hashes, self._truth.fleet.stamps, sent_ns,
        )
        ours = bots >= 0
        self._updated_ns[bots[ours]] = now_ns
        matched = sent_ns > 0
        tally.ages_ns.append(now_ns - sent_ns[matched])
        tally.unmatched += int((ours & ~matched).sum())
        tally.records += len(touched)
        carried = self._view.parts[touched] & PARTS
        tally.records_with_hands += int((carried == PARTS).sum())
        tally.snapshots += 1
        tally.snapshot_bytes += len(payload) + frames.header_bytes(len(payload))
        tally.visible += len(self._entities)
        if self._tick != UNKNOWN and message.tick > self._tick:
            self._compare(message.tick - self._tick, bots[ours], now_ns, tally)
        self._tick = message.tick

    def _find_bot(self, index: int) -> None:
        """Others may be shown to a probe before their own welcome has reached the generator."""
        entity = self._entities.get(index, UNKNOWN)
        self._bot_of_index[index] = self._truth.bot_of_entity.get(entity, UNKNOWN)

    def _compare(
        self, ticks: int, updated: npt.NDArray[np.int32], now_ns: int, tally: Tally
    ) -> None:
        truth = self._truth
        near_m = max(0.0, truth.radius_m - truth.margin_m)
        apart_m = np.hypot(truth.x - truth.x[self.bot], truth.z - truth.z[self.bot])
        near = apart_m < near_m
        near &= truth.fleet.bots["state"] == ACTIVE
        near[self.bot] = False
        self._near_since_ns[near & ~self._near] = now_ns
        self._near = near
        count = int(near.sum())
        due = min(count, self._cap)
        tally.expected += ticks * due * truth.updates_per_tick
        tally.seen += min(int(near[updated].sum()), due)
        if count <= self._cap:
            heard_ns = np.maximum(self._updated_ns, self._near_since_ns)[near]
            age_ns = now_ns - heard_ns
            tally.pairs += count
            tally.pairs_stale += int((age_ns > limits.VISIBLE_AGE_S_MAX * 1e9).sum())

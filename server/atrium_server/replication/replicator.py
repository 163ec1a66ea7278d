"""The three steps of replication for one world: take a frame, build, commit. PURE.

::

    replicator.take_frame(frame)          every tick, also when nobody can be sent to
    which, room = replicator.with_credit(which)   who may be sent to; also sets their income
    built, end = replicator.build(which, ...)     bytes for each of them, in one arena
    ... the caller hands each piece to its connection, which keeps what its socket does not take ...
    replicator.commit(built, accepted)    charges credit and tokens, but for broken connections

Nothing here knows of sockets, sessions or worlds. See `gather` for how one viewer's bytes come
about and `credit` for who may be sent to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atrium_server.frame import PublishedFrame
from atrium_server.replication import credit as credits
from atrium_server.replication import encode, gather, interest
from atrium_server.replication.interest import BEHIND
from atrium_server.replication.state import (
    ENTITY,
    I32,
    I64,
    U8,
    Parted,
    Rules,
    Shown,
    make_entities,
    make_grid,
    make_scratch,
    make_viewers,
)
from atrium_shared import limits, pose

ARENA_BYTES = 4 * 1024 * 1024
ENTER_BYTES_MAX = 16_384
"""Most bytes of new entries in one tick for one viewer."""
INTEREST_HZ = 10
"""Who comes into view and who leaves it is looked up this often, each viewer in its turn."""
INTEREST_HZ_MIN = 2
"""Never less often than this, however dense the crowd."""
_CANDIDATES_PER_TICK = 400_000
"""About this many distance checks are spent per tick; beyond it interest is refreshed in turns."""


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """What replication needs to know of a world; distances in metres, extent in millimetres."""

    radius_m: float
    hysteresis_m: float
    full_rate_radius_m: float
    """Up to here everything is told every tick, ..."""
    half_rate_radius_m: float
    """... up to here every second one, and beyond every fourth; no less than the full one."""
    cap: int
    tick_rate_hz: int
    low_mm: tuple[int, int]
    """x and z of the corner of the extent."""
    high_mm: tuple[int, int]
    entities_max: int
    viewers_max: int


@dataclass(frozen=True, slots=True)
class Built:
    """Bytes for the viewers `which`: piece k is `arena[offsets[k] : offsets[k] + lengths[k]]`.

    The first `prefixes[k]` bytes of each piece are a gap for the caller to fill.
    """

    which: I32
    prefixes: I32
    arena: U8
    offsets: I64
    lengths: I64
    tick: int


def granted_cap(world_cap: int, avatars_max: int, bytes_per_s: int, tick_rate_hz: int) -> int:
    """Most avatars a client may see so that its link carries them all, each at least root-only.

    The coarsest level is one root (12 bytes with its index) every fourth tick, beside an empty
    snapshot (26 bytes) every tick.
    """
    room = limits.BANDWIDTH_SHARE * bytes_per_s - 26 * tick_rate_hz
    affordable = int(room / (12 * tick_rate_hz / 4))
    return max(1, min(world_cap, avatars_max, affordable))


def _rules_of(settings: ReplicationSettings) -> Rules:
    """Distances in millimetres. Rates are given by effective distance: what lies behind a viewer
    counts as farther away, so the factor keeps everyone within a radius at its rate.
    """
    full, half = settings.full_rate_radius_m, settings.half_rate_radius_m
    if half <= full:
        half = 2 * full  # beyond sight, unless demotion brings it nearer
    quarter = max(2 * half, settings.radius_m + settings.hysteresis_m)
    return Rules(
        radius_mm=settings.radius_m * 1000.0, hysteresis_mm=settings.hysteresis_m * 1000.0,
        full_rate_mm=full * BEHIND * 1000.0, half_rate_mm=half * BEHIND * 1000.0,
        quarter_rate_mm=quarter * BEHIND * 1000.0,
        age_ticks_max=max(4, int(limits.VISIBLE_AGE_S_MAX * settings.tick_rate_hz)),
        enter_bytes_max=ENTER_BYTES_MAX,
    )


class Replicator:
    """All replication state of one world."""

    def __init__(self, settings: ReplicationSettings) -> None:
        self.settings = settings
        self.rules = _rules_of(settings)
        slots = settings.entities_max
        self.entities = make_entities(slots)
        self.viewers = make_viewers(settings.viewers_max, settings.cap)
        self.credit = credits.make_credit(settings.viewers_max)
        self.grid = make_grid(self.rules, settings.low_mm, settings.high_mm, slots)
        self._scratch = make_scratch(slots)
        self._arena = np.zeros(ARENA_BYTES, np.uint8)
        self._shown: Shown | None = None
        self._tick = -1
        self._tick_s = 1.0 / settings.tick_rate_hz
        self._high = 0
        self._change_tick = -1
        self._near = 0.0
        self._parted = self._nobody_parted = Parted(
            np.zeros(max(slots, 1), np.uint8), np.zeros((1, 1), np.uint8)
        )
        self._apart_version = 0
        self._apart_tick = -1

    def add_viewer(
        self, viewer: int, own_slot: int, cap: int, parts: int, bytes_per_s: int
    ) -> None:
        """A client begins, or begins anew after a resume: it holds nothing.

        `cap` is the granted cap, `parts` what the client wants of others.
        """
        share = limits.BANDWIDTH_SHARE * bytes_per_s * self._tick_s
        row = self.viewers.rows[viewer]
        row["high"], row["self_slot"], row["cap"], row["parts"] = 0, own_slot, cap, parts
        row["checked_tick"], row["scale"] = self._tick, 1.0
        row["tokens"], row["bytes_per_tick"] = max(4 * share, 1024), share
        self.viewers.held[viewer, :, ENTITY] = -1
        credits.reset_credit(self.credit, viewer, self._tick, float(bytes_per_s))

    def remove_viewer(self, viewer: int) -> None:
        """The client is gone; its row is free."""
        self.viewers.rows[viewer]["high"] = 0
        self.viewers.rows[viewer]["self_slot"] = -1

    def take_acks(self, which: I32, ticks: I64) -> None:
        """Newest ticks that the viewers `which` (-1: nobody) say they have decoded."""
        credits.take_acks(
            self.credit.rows, self.credit.ring, which, ticks, self._tick, self._tick_s
        )

    def has_acked(self, viewer: int) -> bool:
        """Whether this client has decoded a snapshot since it was added."""
        return bool(self.credit.rows[viewer]["acked_tick"] >= 0)

    def with_credit(self, which: I32) -> tuple[I32, I32]:
        """Those of `which` that may be sent a snapshot now, and what else their credit holds.

        The second array is how many bytes of other messages may go before each snapshot.
        """
        answers, room = np.zeros(len(which), np.bool_), np.zeros(len(which), np.int32)
        credits.has_credit(
            self.credit.rows, self.viewers.rows, which, self._tick_s, answers, room
        )
        return which[answers], room[answers]

    def take_frame(self, frame: PublishedFrame) -> None:
        """Remember the quantised state of this tick. Must be called for every tick."""
        entities, high = self.entities, max(frame.high, self._high)
        is_other = encode.take_frame(
            frame.tick, high, frame.alive, frame.entity_ids, frame.rows, frame.parts,
            entities.ring, entities.ids, entities.records, entities.brief,
        )
        if is_other:
            self._change_tick = frame.tick
        self._near = interest.fill_grid(self.grid, frame.high, frame.alive, frame.rows)
        self._tick, self._high = frame.tick, frame.high
        self._shown = Shown(
            frame.alive, frame.entity_ids.view(np.int32), frame.rows, frame.extras, frame.boost,
            frame.seqs, frame.enter_tails, frame.enter_lengths,
        )
        self._part(frame)

    def _part(self, frame: PublishedFrame) -> None:
        """Who is kept apart from whom from this tick on."""
        apart = frame.apart
        self._parted = self._nobody_parted
        if apart is not None:
            self._parted = Parted(apart.state, apart.veils)
        version = 0 if apart is None else apart.version
        if version != self._apart_version:
            self._apart_version, self._apart_tick = version, frame.tick

    def build(self, which: I32, prefixes: I32, first: int, server_ms: int) -> tuple[Built, int]:
        """Write the messages of `which[first:]`; returns them and the next `first`.

        `prefixes[k]` bytes are left free before the messages of `which[k]`. When the returned
        number is less than `len(which)` the arena was full: commit, then call again.
        """
        assert self._shown is not None, "take_frame comes first"
        n = len(which)
        offsets, lengths = np.zeros(n, np.int64), np.zeros(n, np.int64)
        moment = (
            self._tick, server_ms, self._stride_for(n), self._change_tick, self._apart_tick
        )
        end = gather.build_viewers(
            self.viewers, self.rules, self.entities, self.grid, self._scratch, self._shown,
            self._parted, moment, which, first, prefixes, self._arena, offsets, lengths,
        )
        part = slice(first, end)
        built = Built(
            which[part], prefixes[part], self._arena, offsets[part], lengths[part], self._tick
        )
        return built, int(end)

    def commit(self, built: Built, accepted: U8) -> None:
        """`accepted[k]` = 1 where the connection took piece k: all but those that are broken."""
        credits.note_sent(
            self.credit.rows, self.credit.ring, self.viewers.rows, built.which, built.lengths,
            accepted, built.tick,
        )

    def _stride_for(self, viewers: int) -> int:
        """Every how many ticks interest is refreshed: INTEREST_HZ, and less in a dense crowd."""
        rate_hz = self.settings.tick_rate_hz
        stride = max(1, rate_hz // INTEREST_HZ)
        while 2 * stride * INTEREST_HZ_MIN <= rate_hz and (
            viewers * self._near / stride > _CANDIDATES_PER_TICK
        ):
            stride *= 2
        return stride


def warm_up() -> None:
    """Load (or compile) every kernel of replication by taking two viewers through two ticks."""
    n = 2
    settings = ReplicationSettings(
        radius_m=10.0, hysteresis_m=1.0, full_rate_radius_m=11.0, half_rate_radius_m=11.0, cap=1,
        tick_rate_hz=20, low_mm=(-5000, -5000), high_mm=(5000, 5000), entities_max=n + 1,
        viewers_max=n,
    )
    replicator = Replicator(settings)
    alive, ids = np.ones(n + 1, np.uint8), np.arange(1, n + 2, dtype=np.uint32)
    rows = np.zeros((n + 1, pose.COLUMNS), np.int32)
    tails, lengths = np.zeros((n + 1, 8), np.uint8), np.full(n + 1, 8, np.int32)
    which = np.arange(n, dtype=np.int32)
    for viewer in range(n):
        replicator.add_viewer(viewer, viewer, 1, 3, limits.BYTES_PER_S_MIN)
    for tick in (1, 2):
        replicator.take_acks(which, np.full(n, tick - 1))
        replicator.take_frame(PublishedFrame(
            tick, n + 1, alive, ids, rows, np.zeros((n + 1, pose.EXTRA_BYTES), np.uint8),
            np.full(n + 1, 3, np.uint8), np.zeros(n + 1, np.uint32), np.ones(n + 1, np.float32),
            tails, lengths,
        ))
        built, _ = replicator.build(replicator.with_credit(which)[0], np.zeros(n, np.int32), 0, 0)
        replicator.commit(built, np.ones(len(built.which), np.uint8))
        rows[0, pose.X] += 100

"""The movement rules: what becomes of the poses that clients send.

Theory of operation
-------------------
A client says where it is; the server grants as much of that as the rules allow and tells the
client when it was less (`messages.Correction` names the rule by its `MoveReason` bit).

- *Sequence.* A row counts only if its seq is newer than the newest taken one.
- *Jumps.* Poses that were made before their client heard of a jump say where it was before, and
  would be taken as steps back towards there. They do not count: after a jump in tick T a row counts
  once its client has decoded the snapshot of T, which comes behind the word of the jump.
- *Speed.* Each slot has a distance budget that accrues with the server's time, not with the number
  of poses, at the speed allowed now: the smoothed speed so far plus what acceleration adds in
  a quarter of a second, at most the maximum. It holds one second of full speed, so who was
  stalled by the network may catch up, and nobody gains by sending more often.
- *Bounds.* The root stays in the extent.
- *Colliders.* The body is swept along its way, stops 1 mm before contact and slides once along the
  surface. Edges up to 0.5 m are climbed.
- *Height.* The root stands at least on the ground (the floor or a top under it) and at most the
  jump height above the *lift*: the highest ground of late, sinking at 1 m/s, so that one who
  jumps off a stage falls freely but nobody hovers. A climb budget limits vertical speed to
  10 m/s in the same way as the horizontal one.
- *Seats.* Who is SEATED keeps the position; yaw and tracked points still apply.
- *Reach.* Tracked points stay within reach of the body's axis; they are clamped in integers.

A body that would still end inside of something stays where it was. Because a slot starts at
a free place (`walkable`) no taken pose is ever inside of a collider or outside of the bounds.
Differences of up to 2 mm are rounding, and are set right without being called a broken rule.

Everything here is deterministic: the same calls leave the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from atrium_server.world import kernels, pose_kernels
from atrium_server.world.colliders import Colliders
from atrium_server.world.kernels import Bools, Floats, Ints, Shorts
from atrium_server.world.manifest import Manifest
from atrium_server.world.pose_kernels import Seqs, Ticks
from atrium_shared import pose
from atrium_shared.pose import Bytes

SPEED_SMOOTHING_S: Final = 0.25
"""Time constant of the smoothed speed, and the time acceleration is granted for at once."""
_DISCONTINUITY: Final = int(pose.Flags.DISCONTINUITY)


@dataclass(frozen=True, slots=True, eq=False)
class MoveRules:
    """The numbers of one world's rules. `limits` is the form for kernels (RULE_ENTRIES)."""

    speed_mm_per_s_max: float
    acceleration_mm_per_s2_max: float
    reach_mm_max: float
    y_unit_mm: int
    limits: Floats

    @classmethod
    def of(cls, manifest: Manifest) -> MoveRules:
        """The rules that `manifest` states."""
        low, high = manifest.extent_mm
        limits = np.zeros(kernels.RULE_ENTRIES)
        limits[kernels.MIN_X], limits[kernels.MAX_X] = low[0], high[0]
        limits[kernels.MIN_Z], limits[kernels.MAX_Z] = low[2], high[2]
        limits[kernels.MAX_Y] = high[1]
        # Rounded up to what a row can say, so that standing on the floor is not below it.
        unit = manifest.y_unit_mm
        limits[kernels.FLOOR] = math.ceil(round(manifest.floor_m * 1000) / unit) * unit
        limits[kernels.Y_UNIT] = unit
        limits[kernels.JUMP] = manifest.movement.jump_m_max * 1000
        return cls(
            speed_mm_per_s_max=manifest.movement.speed_m_per_s_max * 1000,
            acceleration_mm_per_s2_max=manifest.movement.acceleration_m_per_s2_max * 1000,
            reach_mm_max=float(round(manifest.movement.reach_m_max * 1000)),
            y_unit_mm=unit,
            limits=limits,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PoseTables:
    """The authoritative poses of E slots: what the rules write and replication reads.

    `rows` int32 (E, pose.COLUMNS), `extras` uint8 (E, pose.EXTRA_BYTES), `parts` uint8 (E). They
    may be views of larger tables, but must be contiguous.
    """

    rows: Ints
    extras: Bytes
    parts: Bytes

    @classmethod
    def empty(cls, slots: int) -> PoseTables:
        """Tables of zeros for `slots` entities."""
        return cls(
            np.zeros((slots, pose.COLUMNS), np.int32),
            np.zeros((slots, pose.EXTRA_BYTES), np.uint8),
            np.zeros(slots, np.uint8),
        )


@dataclass(frozen=True, slots=True, eq=False)
class MoveState:
    """What the rules remember of E slots.

    `motion` is float64 (MOTION_ROWS, E), one row for each quantity, in mm and mm/s: BUDGET and
    CLIMB (what may be moved now), MOVED (since the last `accrue`), SPEED (smoothed), GROUND (under
    the last pose) and LIFT. `seq` uint32 (E) counts where `has_seq`; `has_jumped` says that
    DISCONTINUITY was toggled in this tick already; `unheard_tick` int64 (E) is the tick of a jump
    that the client has not shown to have heard of, else -1.
    """

    motion: Floats
    seq: Seqs
    has_seq: Bools
    has_jumped: Bools
    unheard_tick: Ticks

    @classmethod
    def empty(cls, slots: int) -> MoveState:
        """State of `slots` entities that have not been placed."""
        return cls(
            np.zeros((kernels.MOTION_ROWS, slots)),
            np.zeros(slots, np.uint32),
            np.zeros(slots, np.bool_),
            np.zeros(slots, np.bool_),
            np.full(slots, -1, np.int64),
        )

    def forget_seq(self, slot: int) -> None:
        """Let the next pose of `slot` count whatever its seq: the slot has a new client."""
        self.has_seq[slot] = False
        self.seq[slot] = 0
        self.unheard_tick[slot] = -1


@dataclass(frozen=True, slots=True, eq=False)
class PoseBatch:
    """n poses in their order of arrival; a slot may occur more than once.

    `slots` int32 (n), `seqs` uint32 (n), `acks` uint32 (n) with the newest tick that its client had
    decoded, `rows` int32 (n, pose.COLUMNS) with the client's flags, `parts` uint8 (n), `extras`
    uint8 (n, pose.EXTRA_BYTES); all contiguous.
    """

    slots: Ints
    seqs: Seqs
    acks: Seqs
    rows: Ints
    parts: Bytes
    extras: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class MoveResult:
    """What became of each pose of a batch.

    `taken` bool (n) is False for a stale one (out of sequence, or of before a jump); `reasons`
    uint16 (n) are the `messages.MoveReason` bits of the rules it broke, 0 when it was taken as it
    is or is stale.
    """

    taken: Bools
    reasons: Shorts
    taken_count: int
    broken_count: int
    """Poses with a reason."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to put someone: metres, and radians counter-clockwise seen from above."""

    x_m: float
    y_m: float
    z_m: float
    yaw_rad: float


def accrue(state: MoveState, rules: MoveRules, dt_s: float, high: int) -> None:
    """Once a tick, before its poses: let `dt_s` seconds pass for the slots below `high`.

    Raises ValueError unless `dt_s` is positive.
    """
    if not dt_s > 0.0:
        raise ValueError("time goes forward only")
    pose_kernels.accrue(
        state.motion, state.has_jumped, high, dt_s, math.exp(-dt_s / SPEED_SMOOTHING_S),
        rules.acceleration_mm_per_s2_max * SPEED_SMOOTHING_S, rules.speed_mm_per_s_max,
    )


def apply_poses(
    state: MoveState, rules: MoveRules, colliders: Colliders, batch: PoseBatch, tables: PoseTables
) -> MoveResult:
    """Take `batch` into `tables` as far as the rules allow."""
    taken = np.zeros(len(batch.slots), np.bool_)
    reasons = np.zeros(len(batch.slots), np.uint16)
    count, broken = pose_kernels.take_poses(
        *colliders.arrays, rules.limits, state.motion, state.seq, state.has_seq,
        state.has_jumped, state.unheard_tick, tables.rows, tables.extras, tables.parts,
        batch.slots, batch.seqs, batch.acks, batch.rows, batch.parts, batch.extras,
        rules.reach_mm_max, taken, reasons,
    )
    return MoveResult(taken, reasons, count, broken)


def place(
    state: MoveState, rules: MoveRules, tables: PoseTables, slot: int, spot: Spot
) -> None:
    """Put `slot` at `spot` at once: a spawn, teleport or seat. It stands still there.

    Toggles DISCONTINUITY and leaves points, parts and the other flags. Whether one may stand
    there is for the caller to ask (`walkable`). Raises ValueError when a number is not finite.
    """
    row, limits = tables.rows[slot], rules.limits
    if not all(math.isfinite(m) for m in (spot.x_m, spot.y_m, spot.z_m)):
        raise ValueError("a spot must be finite")
    row[pose.YAW] = pose.quantise_yaw(spot.yaw_rad)
    row[pose.X] = _clip(spot.x_m * 1000, limits[kernels.MIN_X], limits[kernels.MAX_X])
    row[pose.Z] = _clip(spot.z_m * 1000, limits[kernels.MIN_Z], limits[kernels.MAX_Z])
    unit = rules.y_unit_mm
    # Half a mm of grace: a y that came from whole mm must not rise by a unit.
    units = math.ceil((spot.y_m * 1000 - 0.5) / unit)
    row[pose.Y] = _clip(units, limits[kernels.FLOOR] / unit, limits[kernels.MAX_Y] / unit)
    if not state.has_jumped[slot]:
        row[pose.FLAGS] ^= _DISCONTINUITY
        state.has_jumped[slot] = True
    state.motion[:, slot] = 0.0
    state.motion[[kernels.GROUND, kernels.LIFT], slot] = row[pose.Y] * unit


def walkable(
    colliders: Colliders, rules: MoveRules, x_m: float, y_m: float, z_m: float
) -> tuple[bool, float]:
    """(whether a body may stand at the point, the y in metres it would stand at).

    The body comes down from `y_m` to the ground below. It may not stand outside of the bounds,
    inside of a collider, or on an edge more than a step high where its centre has no hold.
    """
    limits = rules.limits
    floor_m = float(limits[kernels.FLOOR]) / 1000
    if not all(math.isfinite(m) for m in (x_m, y_m, z_m)):
        return False, floor_m
    x, y, z = x_m * 1000, y_m * 1000, z_m * 1000
    if not (
        limits[kernels.MIN_X] <= x <= limits[kernels.MAX_X]
        and limits[kernels.MIN_Z] <= z <= limits[kernels.MAX_Z]
        and y <= limits[kernels.MAX_Y]
    ):
        return False, floor_m
    feet = max(y, float(limits[kernels.FLOOR]))
    at = (float(round(x)), float(round(z)))
    low, high, ground, is_blocked = kernels.levels(
        *colliders.arrays, *at, feet, feet + kernels.BODY_HEIGHT_MM, float(limits[kernels.FLOOR])
    )
    is_free = not is_blocked and low == ground <= min(high, float(limits[kernels.MAX_Y]))
    return is_free, ground / 1000


def _clip(value: float, low: float, high: float) -> int:
    return int(min(max(round(value), math.ceil(low)), math.floor(high)))

"""What becomes of a batch of poses, compiled: budgets, sequence, root, flags, points, reach.

Theory of operation
-------------------
`take_poses` goes through a batch once, in its order of arrival. A pose that is newer than what its
slot has, and was made by a client that knew of the slot's last jump, moves the slot's root as far
as the rules allow (`atrium_server.world.kernels.move_root`), and brings everything else; so of
several poses of one slot the newest is what remains.

Tracked points stay integers from the wire to the wire. A point out of reach goes to the nearest
allowed one by a scale factor, each component cut toward the body's axis: the result is within
reach exactly, and the same on every machine (IEEE square root and division are exact to the bit).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_server.world.kernels import (
    BUDGET,
    BUDGET_S_MAX,
    CLIMB,
    GROUND,
    LIFT,
    LIFT_SINKS_MM_PER_S,
    MOVED,
    SPEED,
    TOLERANCE_MM,
    VERTICAL_SPEED_MM_PER_S_MAX,
    Bools,
    Floats,
    Ints,
    Shorts,
    move_root,
)
from atrium_shared import pose
from atrium_shared.messages import MoveReason

HEAD_MM_MIN: Final = 200
HEAD_MM_MAX: Final = 2600
"""Heights of a head above the root; the axis that reach is measured from ends there too."""
_SEQ_SPAN: Final = 2**32

_OF_CLIENT: Final = pose.FLAGS_OF_CLIENT
_SNAP: Final = int(pose.Flags.SNAP)
_DISCONTINUITY: Final = int(pose.Flags.DISCONTINUITY)
_EXTRA_PARTS: Final = int(pose.Parts.FINGERS | pose.Parts.JOINTS | pose.Parts.FACE)
_REACH_BROKEN: Final = int(MoveReason.REACH)

Seqs = npt.NDArray[np.uint32]
Ticks = npt.NDArray[np.int64]


@kernel("boolean(uint32[::1], boolean[::1], int64, uint32)")
def _is_newer(seq: Seqs, has_seq: Bools, slot: int, of_pose: np.uint32) -> bool:
    """Whether a pose is newer than what its slot has taken.

    Newer means less than half of the number circle ahead, so 0 follows 4,294,967,295.
    """
    ahead = (np.int64(of_pose) - np.int64(seq[slot])) % _SEQ_SPAN
    return bool(not has_seq[slot] or 0 < ahead < _SEQ_SPAN // 2)


@kernel("boolean(int64[::1], int64, uint32)")
def _has_heard(unheard_tick: Ticks, slot: int, ack: np.uint32) -> bool:
    """Whether who made a pose knew of the last jump of its slot; from then on it does."""
    if unheard_tick[slot] < 0:
        return True
    if (np.int64(ack) - unheard_tick[slot]) % _SEQ_SPAN >= _SEQ_SPAN // 2:
        return False
    unheard_tick[slot] = -1
    return True


@kernel("boolean(int32[::1], int64, boolean, float64)")
def _clamp_point(row: Ints, at: int, is_head: bool, reach: float) -> bool:
    """Bring the point at column `at` within reach; whether it was further out than rounding."""
    x, y, z = int(row[at]), int(row[at + 1]), int(row[at + 2])
    axis_y = min(max(y, HEAD_MM_MIN if is_head else 0), HEAD_MM_MAX)
    above = 0 if is_head else y - axis_y
    length = math.sqrt(float(x * x + above * above + z * z))
    if length > reach:
        row[at] = int(x * reach / length)
        row[at + 2] = int(z * reach / length)
        above = int(above * reach / length)
    row[at + 1] = axis_y + above
    off = max(abs(x - row[at]), abs(y - row[at + 1]), abs(z - row[at + 2]))
    return off > TOLERANCE_MM


@kernel("int64(int32[::1], int32[::1], int64, float64)")
def _take_row(row: Ints, wanted: Ints, parts: int, reach: float) -> int:
    """Take yaw and points of `wanted` into `row`; returns REACH when a point was out of it."""
    row[pose.YAW] = wanted[pose.YAW] % pose.YAW_STEPS
    reasons = 0
    for point in range(pose.POINTS_MAX):
        at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        has_point = parts & pose.POINT_PART[point] != 0
        for column in range(at, at + pose.POINT_COLUMNS):
            row[column] = wanted[column] if has_point else 0
        if has_point and _clamp_point(row, at, point == 0, reach):
            reasons = _REACH_BROKEN
    return reasons


@kernel("void(uint8[:, ::1], int64, uint8[:, ::1], int64, int64)")
def _take_extras(
    extras: pose.Bytes, slot: int, wanted: pose.Bytes, k: int, parts: int
) -> None:
    for part in range(3):
        if parts & pose.EXTRA_PART[part][0]:
            first = pose.EXTRA_PART[part][1]
            for byte in range(first, first + pose.EXTRA_PART[part][2]):
                extras[slot, byte] = wanted[k, byte]


@kernel("Tuple((int64, int64))(float64[:, ::1], int32[::1], int32[::1], float64[::1],"
        " float64[::1], float64[:, ::1], uint32[::1], boolean[::1], boolean[::1], int64[::1],"
        " int32[:, ::1], uint8[:, ::1], uint8[::1], int32[::1], uint32[::1], uint32[::1],"
        " int32[:, ::1], uint8[::1], uint8[:, ::1], float64, boolean[::1], uint16[::1])")
def take_poses(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats,
    motion: Floats, seq: Seqs, has_seq: Bools, has_jumped: Bools, unheard_tick: Ticks,
    rows: Ints, extras: pose.Bytes, parts: pose.Bytes,
    slots: Ints, seqs: Seqs, acks: Seqs, wanted: Ints, wanted_parts: pose.Bytes,
    wanted_extras: pose.Bytes,
    reach: float, taken: Bools, reasons: Shorts,
) -> tuple[int, int]:
    """Take n poses in turn: set `taken` and `reasons`; returns how many were, and have any.

    Extra bytes of parts that a pose has not keep what they were: nobody is shown them.
    A change of SNAP toggles DISCONTINUITY, once in a tick: a second toggle would hide the first.
    """
    count = broken = 0
    for k in range(slots.shape[0]):
        slot = slots[k]
        taken[k] = (_is_newer(seq, has_seq, slot, seqs[k])
                    and _has_heard(unheard_tick, slot, acks[k]))
        reasons[k] = 0
        if not taken[k]:
            continue
        count += 1
        seq[slot], has_seq[slot] = seqs[k], True
        row = rows[slot]
        why = move_root(
            shapes, cell_starts, cell_ids, grid, rules, motion, slot, row, wanted[k]
        )
        old, flags = row[pose.FLAGS], wanted[k, pose.FLAGS]
        if (old ^ flags) & _SNAP != 0 and not has_jumped[slot]:
            old ^= _DISCONTINUITY
            has_jumped[slot] = True
        row[pose.FLAGS] = (old & ~_OF_CLIENT) | (flags & _OF_CLIENT)
        has_parts = int(wanted_parts[k]) & pose.PARTS_ALL
        parts[slot] = has_parts
        why |= _take_row(row, wanted[k], has_parts, reach)
        if has_parts & _EXTRA_PARTS:
            _take_extras(extras, slot, wanted_extras, k, has_parts)
        reasons[k] = why
        broken += why != 0
    return count, broken


@kernel("void(float64[:, ::1], boolean[::1], int64, float64, float64, float64, float64)")
def accrue(
    motion: Floats, has_jumped: Bools, high: int, dt: float, kept: float, allowance: float,
    speed_max: float,
) -> None:
    """Let `dt` seconds pass for the slots below `high`.

    `kept` is the share of the smoothed speed that is left after them, `allowance` what
    acceleration may add to it (mm/s).
    """
    budget_max, climb_speed = speed_max * BUDGET_S_MAX, VERTICAL_SPEED_MM_PER_S_MAX
    climb_max = climb_speed * BUDGET_S_MAX
    for slot in range(high):
        speed = motion[SPEED, slot] * kept + motion[MOVED, slot] * ((1.0 - kept) / dt)
        motion[SPEED, slot], motion[MOVED, slot] = speed, 0.0
        budget = motion[BUDGET, slot] + min(speed + allowance, speed_max) * dt
        motion[BUDGET, slot] = min(budget, budget_max)
        motion[CLIMB, slot] = min(motion[CLIMB, slot] + climb_speed * dt, climb_max)
        motion[LIFT, slot] = max(
            motion[LIFT, slot] - LIFT_SINKS_MM_PER_S * dt, motion[GROUND, slot]
        )
        has_jumped[slot] = False

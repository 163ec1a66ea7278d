"""Others as they were at a moment: interpolation between the records that came. Pure.

Theory of operation
-------------------
The newest RECORDS_MAX records of each index are kept with the server time of their tick. To show
the moment t, each entity is placed between the newest record `a` not after t and the record `b`
that followed it. Three rules of the protocol decide how:

* an entity that a snapshot does not mention has not changed or was not due, and it is due at
  least every GAP_TICKS_MAX ticks. So after a longer gap it stood still, and moved only in the last
  tick before `b`;
* nobody slides across a toggle of DISCONTINUITY: the old place holds until `b`;
* when `b` has not come, the entity goes on as between its last two records, but for at most
  EXTRAPOLATION_S_MAX, and not at all once a snapshot has come that should have mentioned it.

Positions are blended linearly, yaw along the shorter arc, rotations by normalised blending (the
angles between two records are small). Entities are handled as one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_shared import pose
from atrium_shared.limits import INDEXES_MAX
from atrium_shared.messages import EnterEntry, EntityKind
from atrium_shared.pose import Bytes, Flags, Floats, IntRows
from atrium_shared.snapshot import View

RECORDS_MAX: Final = 24
GAP_TICKS_MAX: Final = 4
EXTRAPOLATION_S_MAX: Final = 0.25

Indexes = npt.NDArray[np.intp]
_POINT_COLUMNS: Final = np.array([
    [pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point + axis for axis in range(3)]
    for point in range(pose.POINTS_MAX)
])
_CODE_COLUMNS: Final = _POINT_COLUMNS[:, 0] + 3
_PART_OF_POINT: Final = np.array(pose.POINT_PART, np.uint8)
_HALF_TURN: Final = pose.YAW_STEPS // 2


@dataclass(frozen=True, slots=True)
class Transform:
    """A tracked point in the frame of its avatar's root."""

    position: tuple[float, float, float]
    """Metres."""
    rotation: tuple[float, float, float, float]
    """Unit quaternion x, y, z, w."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """One entity as it was at a moment. Points are None where they are not tracked."""

    entity_id: int
    kind: EntityKind
    name: str
    avatar: str
    position: tuple[float, float, float]
    """Of the root, metres."""
    yaw: float
    """Radians, 0 to 2 pi; 0 looks along -Z, positive turns left."""
    flags: Flags
    head: Transform | None
    left_hand: Transform | None
    right_hand: Transform | None
    hips: Transform | None
    left_foot: Transform | None
    right_foot: Transform | None


@dataclass(frozen=True, slots=True)
class Frame:
    """All visible entities at one moment, as arrays of n rows."""

    indexes: Indexes
    root: Floats
    """(n, 4): x, y, z in metres, yaw in radians."""
    points: Floats
    """(n, 6, 3): metres in the root's frame."""
    rotations: Floats
    """(n, 6, 4): unit quaternions x, y, z, w."""
    parts: Bytes
    flags: Bytes


class Interpolator:
    """Keeps recent records of all indexes of one epoch, and places everybody at a moment."""

    def __init__(self, tick_rate_hz: int, y_unit_mm: int) -> None:
        self._tick_s = 1.0 / tick_rate_hz
        self._metres = np.array([0.001, 0.001 * y_unit_mm, 0.001])
        self._rows = np.zeros((INDEXES_MAX, RECORDS_MAX, pose.COLUMNS), np.int32)
        self._parts = np.zeros((INDEXES_MAX, RECORDS_MAX), np.uint8)
        self._ticks = np.zeros((INDEXES_MAX, RECORDS_MAX), np.int64)
        self._times_s = np.full((INDEXES_MAX, RECORDS_MAX), -np.inf)
        self._count = np.zeros(INDEXES_MAX, np.int64)
        self._newest_tick = -1
        self._entities: dict[int, EnterEntry] = {}

    def entered(self, entity: EnterEntry) -> None:
        """An entity has taken an index; nothing is known of it yet."""
        self._entities[entity.index] = entity
        self._count[entity.index] = 0

    def dressed(self, entity_id: int, avatar: str) -> None:
        """An entity looks otherwise from now on, if it is known here."""
        for index, entity in self._entities.items():
            if entity.entity_id == entity_id:
                self._entities[index] = msgspec.structs.replace(entity, avatar=avatar)

    def left(self, index: int) -> None:
        """The index is free."""
        del self._entities[index]
        self._count[index] = 0

    def take(self, view: View, touched: Bytes, tick: int, server_s: float) -> None:
        """Remember the records of a snapshot that `view` has just applied."""
        at = touched.astype(np.intp)
        slot = self._count[at] % RECORDS_MAX
        self._rows[at, slot] = view.rows[at]
        self._parts[at, slot] = view.parts[at]
        self._ticks[at, slot] = tick
        self._times_s[at, slot] = server_s
        self._count[at] += 1
        self._newest_tick = tick

    def avatars(self, time_s: float) -> list[Avatar]:
        """Everybody in view at the server time `time_s`, in the order of their indexes."""
        frame = self.frame(time_s)
        return [self._avatar(frame, row) for row in range(len(frame.indexes))]

    def frame(self, time_s: float) -> Frame:
        """The same as arrays. Entities whose first record is later than `time_s` are not there."""
        indexes = np.array(sorted(self._entities), np.intp)
        count = self._count[indexes]
        ages = np.arange(RECORDS_MAX)[None, :]
        slots = (count[:, None] - 1 - ages) % RECORDS_MAX
        known = ages < count[:, None]
        times_s = np.where(known, self._times_s[indexes[:, None], slots], -np.inf)
        newer = (times_s > time_s).sum(axis=1)
        # All newer and some forgotten: the oldest that is left. All newer and none: not here yet.
        here = (newer < count) & (count > 0)
        newer = np.minimum(newer, RECORDS_MAX - 1)
        indexes, slots, newer, count = indexes[here], slots[here], newer[here], count[here]
        return self._blend(indexes, slots, newer, count, time_s)

    def _blend(
        self, indexes: Indexes, slots: Indexes, newer: Indexes, count: Indexes, time_s: float
    ) -> Frame:
        n = np.arange(len(indexes))
        a = slots[n, newer]
        b = slots[n, np.maximum(newer - 1, 0)]
        before = slots[n, np.minimum(newer + 1, np.minimum(count, RECORDS_MAX) - 1)]
        weight = np.where(
            newer > 0,
            self._between(indexes, a, b, time_s),
            self._beyond(indexes, before, a, time_s),
        )
        # Where there is no b, the motion from `before` to a is continued.
        start = np.where(newer > 0, a, before)
        end = np.where(newer > 0, b, a)
        base, step = self._rows[indexes, a], self._steps(indexes, start, end)
        root = base[:, :4] + step * weight[:, None]
        root[:, :3] *= self._metres
        root[:, 3] = root[:, 3] % pose.YAW_STEPS * (2 * np.pi / pose.YAW_STEPS)
        blend = np.where(newer > 0, np.clip(weight, 0.0, 1.0), 0.0)
        return self._with_points(indexes, (a, b), blend, root)

    def _steps(self, indexes: Indexes, start: Indexes, end: Indexes) -> Floats:
        """(n, 4): root steps from one record to another, yaw along the shorter arc."""
        rows = self._rows
        step = (rows[indexes, end, :4] - rows[indexes, start, :4]).astype(np.float64)
        step[:, 3] = (step[:, 3] + _HALF_TURN) % pose.YAW_STEPS - _HALF_TURN
        return step

    def _jumped(self, indexes: Indexes, one: Indexes, other: Indexes) -> npt.NDArray[np.bool_]:
        changed = self._rows[indexes, one, pose.FLAGS] ^ self._rows[indexes, other, pose.FLAGS]
        return (changed & Flags.DISCONTINUITY) != 0

    def _between(self, indexes: Indexes, a: Indexes, b: Indexes, time_s: float) -> Floats:
        """Weight of b at `time_s`, 0 to 1."""
        start_s, end_s = self._times_s[indexes, a], self._times_s[indexes, b]
        rested = self._ticks[indexes, b] - self._ticks[indexes, a] > GAP_TICKS_MAX
        start_s = np.where(rested, np.maximum(start_s, end_s - self._tick_s), start_s)
        weight = (time_s - start_s) / np.maximum(end_s - start_s, 1e-9)
        return np.where(self._jumped(indexes, a, b), 0.0, np.clip(weight, 0.0, 1.0))

    def _beyond(self, indexes: Indexes, before: Indexes, a: Indexes, time_s: float) -> Floats:
        """How many of the last steps to go on from a; 0 for those who rest."""
        gap = self._ticks[indexes, a] - self._ticks[indexes, before]
        overdue = self._newest_tick >= self._ticks[indexes, a] + gap
        rests = (gap > GAP_TICKS_MAX) | overdue | (gap == 0) | self._jumped(indexes, before, a)
        start_s, end_s = self._times_s[indexes, before], self._times_s[indexes, a]
        ahead_s = np.minimum(time_s - end_s, EXTRAPOLATION_S_MAX)
        return np.where(rests, 0.0, ahead_s / np.maximum(end_s - start_s, 1e-9))

    def _with_points(
        self, indexes: Indexes, records: tuple[Indexes, Indexes], weight: Floats, root: Floats
    ) -> Frame:
        a, b = (self._rows[indexes, slot] for slot in records)
        parts = self._parts[indexes, records[0]]
        both = (parts & self._parts[indexes, records[1]])[:, None] & _PART_OF_POINT[None, :]
        share = np.where(both != 0, weight[:, None], 0.0)[:, :, None]
        points_a, points_b = a[:, _POINT_COLUMNS], b[:, _POINT_COLUMNS]
        points = (points_a + (points_b - points_a) * share).astype(np.float64) * 0.001
        one, other = _quaternions(a), _quaternions(b)
        sign = np.where((one * other).sum(axis=2, keepdims=True) < 0, -1.0, 1.0)
        blended = one * (1 - share) + other * sign * share
        blended /= np.linalg.norm(blended, axis=2, keepdims=True)
        return Frame(indexes, root, points, blended, parts, a[:, pose.FLAGS].astype(np.uint8))

    def _avatar(self, frame: Frame, row: int) -> Avatar:
        entity = self._entities[int(frame.indexes[row])]
        x, y, z, yaw = frame.root[row].tolist()
        points = [
            Transform(tuple(frame.points[row, point].tolist()),
                      tuple(frame.rotations[row, point].tolist()))
            if frame.parts[row] & part else None
            for point, part in enumerate(pose.POINT_PART)
        ]
        return Avatar(
            entity.entity_id, entity.kind, entity.name, entity.avatar, (x, y, z), yaw,
            Flags(int(frame.flags[row])), *points,
        )


def _quaternions(rows: IntRows) -> Floats:
    """(n, 6, 4) of the rotation codes in `rows` (n, COLUMNS)."""
    codes = np.ascontiguousarray(rows[:, _CODE_COLUMNS]).view(np.uint32).reshape(-1)
    return pose.decode_rotations(codes).reshape(len(rows), pose.POINTS_MAX, 4)

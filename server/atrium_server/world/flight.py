"""Props that were thrown: where they fly, and where they come to rest. PURE.

Theory of operation
-------------------
A prop that somebody lets go of becomes a row of `Flights`, and is a prop at rest again when it lies
somewhere or is caught. `step` moves all rows in one compiled call (`flight_kernels`), by gravity,
bounces and slides against the colliders and bounds of the world. It flies as the upright bounding
box of the prop, turned by the prop's yaw; the box neither tilts nor spins.

*Only events are told.* Between two contacts a prop moves as `place_after` says, so a client draws
it from one `Segment` until the next. A step names those whose segment changed in it (launch,
bounce, slide, fall from an edge), as they are at its end: a client counts the time of a segment
from the end of that tick. `present` is the same of all, for whoever comes later.

*At rest* a prop keeps its yaw and is levelled. The upright box is what was swept and found room, so
the levelled prop is inside of nothing and needs no further search, the same prop always lies the
same way, and a person finds it turned as it was thrown. It lies on the highest top under its
outline; a part of the outline is enough. A prop at rest is no collider, and those that fly do not
meet each other: only what the manifest builds stops them. After FLIGHT_S_MAX a prop that has
not come to rest is set down on what is below it.

A prop that begins inside of a collider (a hand reaches into a wall) is put out the shortest way
first. Everything here is deterministic: the same calls leave the same bytes, and what becomes of a
prop does not depend on what else flies, nor on the row that it has.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from atrium_server.world import flight_contacts as fc
from atrium_server.world import flight_kernels
from atrium_server.world.colliders import Colliders
from atrium_server.world.flight_kernels import FLYING, RESTING, SLIDING
from atrium_server.world.kernels import Floats
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import MoveRules
from atrium_server.world.props import Quaternion, Vector
from atrium_shared import limits
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.props import GRAVITY_M_PER_S2, SLIDE_M_PER_S2

KEY_BYTES: Final = 16
assert abs(SLIDE_M_PER_S2 * 1000 - flight_kernels.SLIDE) < 1e-9, "what clients are told"
"""What a prop that slides loses of its speed."""
_LEVEL_MIN: Final = 1e-6
"""A rotation whose yaw is less of it than this (squared) is upside down, and has none."""
_SPEED_MM_PER_S_MAX: Final = 1000 * (
    limits.THROW_M_PER_S_MAX + GRAVITY_M_PER_S2 * limits.FLIGHT_S_MAX
)
_PLACE_MM_MAX: Final = 2_000.0 * limits.WORLD_EXTENT_M_MAX
_ROTATION: Final = slice(fc.ROTATION_X, fc.ROTATION_W + 1)


class Segment(NamedTuple):
    """How a prop moves from the end of a step on, until the next word of it: see `place_after`."""

    key: bytes
    position_m: Vector
    rotation: Quaternion
    velocity_m_s: Vector
    is_sliding: bool


class Rested(NamedTuple):
    """Where a prop came to lie."""

    key: bytes
    position_m: Vector
    rotation: Quaternion


class StepResult(NamedTuple):
    """What has to be told of one step, each in the order of the keys."""

    segments: list[Segment]
    """Those that fly on otherwise than their last segment says."""
    rested: list[Rested]
    """Those that fly no more."""


class _Saved(msgspec.Struct, frozen=True):
    keys: Annotated[bytes, msgspec.Meta(max_length=KEY_BYTES * limits.FLIGHTS_MAX)]
    rows: bytes
    """float64, little-endian."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Saved)


def place_after(segment: Segment, t_s: float) -> Vector:
    """Where a prop is `t_s` seconds after its segment was told, unless there is news of it.

    In flight p(t) = p0 + v0 t + g t^2 / 2. One that slides loses SLIDE_M_PER_S2 of its speed
    until it stands.
    """
    (x, y, z), (vx, vy, vz) = segment.position_m, segment.velocity_m_s
    if not segment.is_sliding:
        return x + vx * t_s, y + vy * t_s - GRAVITY_M_PER_S2 * t_s * t_s / 2, z + vz * t_s
    speed = math.hypot(vx, vz)
    if speed == 0.0:
        return segment.position_m
    t_s = min(t_s, speed / SLIDE_M_PER_S2)
    share = t_s - SLIDE_M_PER_S2 * t_s * t_s / (2 * speed)
    return x + vx * share, y, z + vz * share


def levelled(rotation: Quaternion) -> Quaternion:
    """The part of a rotation that turns about the vertical; none for what is upside down."""
    _, y, _, w = rotation
    square = y * y + w * w
    if square < _LEVEL_MIN:
        return 0.0, 0.0, 0.0, 1.0
    length = math.sqrt(square)
    return 0.0, y / length, 0.0, w / length


class Flights:
    """The props of one world that fly now: at most FLIGHTS_MAX."""

    def __init__(self, colliders: Colliders, manifest: Manifest) -> None:
        """`colliders` are those of `manifest`."""
        self._around = (*colliders.arrays, MoveRules.of(manifest).limits)
        self._rows: Floats = np.zeros((limits.FLIGHTS_MAX, fc.FLIGHT_COLUMNS))
        self._keys: list[bytes] = []
        """One for each row that is in use: the first ones."""
        self._row_of: dict[bytes, int] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._row_of

    def __len__(self) -> int:
        return len(self._keys)

    def launch(
        self, key: bytes, position_m: Vector, rotation: Quaternion, velocity_m_s: Vector,
        half_size_m: Vector,
    ) -> None:
        """Let a prop fly. Raises RequestRefused when there is no room, or it is too large.

        `position_m` is the centre of its bounding box, `half_size_m` half the sides of that before
        rotation, each at least THROWN_HALF_SIZE_M_MIN. A velocity above THROW_M_PER_S_MAX keeps its
        direction. That the numbers are finite is for the caller to see to.
        """
        assert len(key) == KEY_BYTES
        assert key not in self._row_of, "a prop flies once"
        numbers = np.array([*position_m, *velocity_m_s, *half_size_m, *rotation])
        assert np.isfinite(numbers).all()
        assert min(half_size_m) >= limits.THROWN_HALF_SIZE_M_MIN
        if max(half_size_m) > limits.THROWN_HALF_SIZE_M_MAX:
            raise RequestRefused(
                ErrorCode.OUT_OF_RANGE, "This is too large to be thrown. Put it down instead."
            )
        if len(self._keys) == limits.FLIGHTS_MAX:
            raise RequestRefused(
                ErrorCode.WORLD_FULL, "Too many things fly already. Try again in a moment.", 1000
            )
        row = self._rows[len(self._keys)]
        row[: fc.YAW_COS] = numbers[: fc.YAW_COS] * 1000
        row[fc.X : fc.Z + 1] = np.clip(row[fc.X : fc.Z + 1], -_PLACE_MM_MAX, _PLACE_MM_MAX)
        speed = math.hypot(*velocity_m_s)
        if speed > limits.THROW_M_PER_S_MAX:
            row[fc.SPEED_X : fc.SPEED_Z + 1] *= limits.THROW_M_PER_S_MAX / speed
        row[fc.YAW_COS], row[fc.YAW_SIN] = _yaw(rotation)
        row[fc.AGE], row[fc.MODE], row[fc.IS_CHANGED] = 0.0, FLYING, 1.0
        row[_ROTATION] = numbers[-4:]
        flight_kernels.set_free(*self._around, row)
        self._row_of[key] = len(self._keys)
        self._keys.append(key)

    def cancel(self, key: bytes) -> tuple[Vector, Quaternion]:
        """Somebody caught it: (position_m, rotation), as it was when it flew no more.

        Raises KeyError when it does not fly.
        """
        segment = self._segment(self._row_of[key])
        self._remove(key)
        return segment.position_m, segment.rotation

    def position(self, key: bytes) -> Vector:
        """Where it flies now, in metres. Raises KeyError when it does not fly."""
        return self._segment(self._row_of[key]).position_m

    def present(self) -> list[Segment]:
        """All that fly, as they are now, in the order of their keys."""
        return [self._segment(self._row_of[key]) for key in sorted(self._keys)]

    def step(self, dt_s: float) -> StepResult:
        """Let `dt_s` seconds pass. Raises ValueError unless they are positive and finite."""
        if not 0.0 < dt_s < math.inf:
            raise ValueError("time goes forward only")
        count = len(self._keys)
        if not count:
            return StepResult([], [])
        flight_kernels.step_flights(*self._around, self._rows, count, dt_s)
        rows = self._rows[:count]
        is_resting = rows[:, fc.MODE] == RESTING
        news = np.flatnonzero(is_resting | (rows[:, fc.IS_CHANGED] != 0.0)).tolist()
        rows[:, fc.IS_CHANGED] = 0.0
        result = StepResult([], [])
        for key, k in sorted((self._keys[k], k) for k in news):
            segment = self._segment(k)
            if is_resting[k]:
                result.rested.append(Rested(key, segment.position_m, levelled(segment.rotation)))
            else:
                result.segments.append(segment)
        for rested in result.rested:
            self._remove(rested.key)
        return result

    def _segment(self, k: int) -> Segment:
        row: list[float] = self._rows[k].tolist()
        x, y, z, vx, vy, vz = row[: fc.WIDE]
        qx, qy, qz, qw = row[_ROTATION]
        return Segment(
            self._keys[k], (x / 1000, y / 1000, z / 1000), (qx, qy, qz, qw),
            (vx / 1000, vy / 1000, vz / 1000), row[fc.MODE] == SLIDING,
        )

    def _remove(self, key: bytes) -> None:
        """Rows in use stay the first ones: the last one takes the place."""
        k, last = self._row_of.pop(key), self._keys.pop()
        if last != key:
            self._rows[k] = self._rows[len(self._keys)]
            self._keys[k], self._row_of[last] = last, k

    # --- checkpoints ---------------------------------------------------------------------

    def save(self) -> bytes:
        """All that flies, between two steps."""
        rows = self._rows[: len(self._keys)]
        return _encoder.encode(_Saved(b"".join(self._keys), rows.astype("<f8").tobytes()))

    def restore(self, data: bytes) -> None:
        """What `save` told of the same world takes the place of what flies here.

        Raises ValueError, and changes nothing, when `data` is none that `save` could have told.
        """
        try:
            saved = _decoder.decode(data)
        except msgspec.DecodeError as error:
            raise ValueError(f"no flights: {error}") from None
        size = fc.FLIGHT_COLUMNS * 8
        if len(saved.keys) % KEY_BYTES or len(saved.rows) * KEY_BYTES != len(saved.keys) * size:
            raise ValueError("the flights have not one row for each key")
        starts = range(0, len(saved.keys), KEY_BYTES)
        keys = [saved.keys[start : start + KEY_BYTES] for start in starts]
        if len(set(keys)) != len(keys):
            raise ValueError("a prop flies twice")
        rows = np.frombuffer(saved.rows, "<f8").reshape(len(keys), fc.FLIGHT_COLUMNS)
        if not _can_be(rows):
            raise ValueError("the flights have numbers that cannot be")
        self._rows[: len(keys)] = rows
        self._keys = keys
        self._row_of = {key: k for k, key in enumerate(keys)}


def _yaw(rotation: Quaternion) -> tuple[float, float]:
    """(cosine, sine) of the yaw of a rotation."""
    _, y, _, w = levelled(rotation)
    return w * w - y * y, 2.0 * w * y


def _can_be(rows: Floats) -> bool:
    """Whether rows hold what compiled code relies on: no NaN, nothing endless, known modes."""
    sides = rows[:, fc.WIDE : fc.DEEP + 1] / 1000
    turn = rows[:, fc.YAW_COS] ** 2 + rows[:, fc.YAW_SIN] ** 2
    return bool(
        np.isfinite(rows).all()
        and (np.abs(rows[:, fc.X : fc.Z + 1]) <= _PLACE_MM_MAX).all()
        and (np.abs(rows[:, fc.SPEED_X : fc.SPEED_Z + 1]) <= _SPEED_MM_PER_S_MAX).all()
        and (sides >= 0.999 * limits.THROWN_HALF_SIZE_M_MIN).all()
        and (sides <= 1.001 * limits.THROWN_HALF_SIZE_M_MAX).all()
        and (np.abs(turn - 1.0) < 1e-6).all()
        and ((rows[:, fc.AGE] >= 0.0) & (rows[:, fc.AGE] <= limits.FLIGHT_S_MAX)).all()
        and np.isin(rows[:, fc.MODE], (FLYING, SLIDING)).all()
        and np.isin(rows[:, fc.IS_CHANGED], (0.0, 1.0)).all()
    )

"""How a crowd of bots moves: random waypoints, swaying heads, swinging hands. PURE.

Theory of operation
-------------------
Each walker goes straight to a waypoint at 1.4 m/s, turning its root towards it at up to 3 rad/s,
and takes another waypoint when it arrives. Head and hands are given in the root's frame, as a
headset gives them: sums of sines whose frequencies differ from walker to walker, and 1 mm of
tracking noise, so that every part changes in every frame. A walker carries its own generator
(xorshift), so its path depends on the seed and on the times of its steps, not on the order in
which walkers are stepped.

The result is a matrix of quantised rows (`atrium_shared.pose`), ready to be encoded. Rotations
are quantised as the reference does it, by trying the 8 codes around the exact value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_loadtest.jit import kernel
from atrium_shared import pose

SPEED_M_S: Final = 1.4
TURN_RAD_S: Final = 3.0
STEP_S_MAX: Final = 0.25
"""A walker whose step was late goes no further than this many seconds of walking."""
ARRIVAL_M: Final = 0.3

WALKER: Final = np.dtype(
    [
        ("x", "f8"), ("y_units", "f8"), ("z", "f8"), ("yaw", "f8"),
        ("goal_x", "f8"), ("goal_z", "f8"), ("time", "f8"), ("phase", "f8"), ("pace", "f8"),
        ("random", "u8"),
    ],
    align=True,
)
"""One walker: metres, radians, seconds; y as the wire's units, because walkers keep their floor."""

_ROOT, _POINT = pose.ROOT_COLUMNS, pose.POINT_COLUMNS
_STEPS_PER_RAD: Final = pose.YAW_STEPS / (2 * math.pi)
_SCALE: Final = 1.0 / (511.0 * math.sqrt(2.0))


@dataclass(frozen=True)
class Extent:
    """The ground that walkers use, in metres."""

    x_min: float
    x_max: float
    z_min: float
    z_max: float

    def shrunk(self, margin_m: float) -> Extent:
        """The same ground without its outer `margin_m`, never turned inside out."""
        dx = min(margin_m, (self.x_max - self.x_min) / 2)
        dz = min(margin_m, (self.z_max - self.z_min) / 2)
        return Extent(self.x_min + dx, self.x_max - dx, self.z_min + dz, self.z_max - dz)

    def as_array(self) -> npt.NDArray[np.float64]:
        """(x_min, x_max, z_min, z_max)."""
        return np.array([self.x_min, self.x_max, self.z_min, self.z_max])


@kernel()
def _uniform(walkers: npt.NDArray[np.void], i: int) -> float:
    """The walker's next random number, in 0..1."""
    state = walkers[i]["random"]
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    walkers[i]["random"] = state
    return float(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel()
def _choose_goal(walkers: npt.NDArray[np.void], i: int, ground: npt.NDArray[np.float64]) -> None:
    walkers[i]["goal_x"] = ground[0] + _uniform(walkers, i) * (ground[1] - ground[0])
    walkers[i]["goal_z"] = ground[2] + _uniform(walkers, i) * (ground[3] - ground[2])


@kernel()
def quantise_rotation(x: float, y: float, z: float, w: float) -> int:
    """Smallest-three code (0 .. 2**32 - 1) of a unit quaternion: the best of 8 neighbours."""
    q = (x, y, z, w)
    largest = 0
    for k in range(1, 4):
        if abs(q[k]) > abs(q[largest]):
            largest = k
    sign = -1.0 if q[largest] < 0 else 1.0
    small, low = np.empty(3), np.empty(3, np.int64)
    at = 0
    for k in range(4):
        if k != largest:
            small[at] = q[k] * sign
            low[at] = math.floor(small[at] / _SCALE) + 511
            at += 1
    best, best_code = -1.0, 0
    for corner in range(8):
        code, squares, dot = largest << 30, 0.0, 0.0
        for k in range(3):
            c = min(max(low[k] + ((corner >> k) & 1), 0), 1022)
            value = (c - 511) * _SCALE
            squares += value * value
            dot += value * small[k]
            code |= c << (10 * k)
        last = math.sqrt(max(0.0, 1.0 - squares))
        dot = abs(dot + last * q[largest] * sign) / math.sqrt(squares + last * last)
        if dot > best:
            best, best_code = dot, code
    return best_code


@kernel()
def _put_point(
    row: npt.NDArray[np.int32], point: int, place: tuple[float, float, float],
    turn: tuple[float, float, float],
) -> None:
    """Write a point at `place` (metres) turned by yaw, pitch and roll (radians)."""
    at = _ROOT + point * _POINT
    for axis in range(3):
        row[at + axis] = np.int32(round(place[axis] * 1000.0))
    cy, sy = math.cos(turn[0] / 2), math.sin(turn[0] / 2)
    cp, sp = math.cos(turn[1] / 2), math.sin(turn[1] / 2)
    cr, sr = math.cos(turn[2] / 2), math.sin(turn[2] / 2)
    x, y = cy * sp * cr + sy * cp * sr, sy * cp * cr - cy * sp * sr
    z, w = cy * cp * sr - sy * sp * cr, cy * cp * cr + sy * sp * sr
    row[at + 3] = np.int32(np.uint32(quantise_rotation(x, y, z, w)))


@kernel()
def _walk(
    walkers: npt.NDArray[np.void], i: int, step_s: float, ground: npt.NDArray[np.float64]
) -> None:
    dx, dz = walkers[i]["goal_x"] - walkers[i]["x"], walkers[i]["goal_z"] - walkers[i]["z"]
    distance = math.sqrt(dx * dx + dz * dz)
    if distance < ARRIVAL_M:
        _choose_goal(walkers, i, ground)
        dx, dz = walkers[i]["goal_x"] - walkers[i]["x"], walkers[i]["goal_z"] - walkers[i]["z"]
        distance = max(math.sqrt(dx * dx + dz * dz), 1e-9)
    share = min(1.0, SPEED_M_S * step_s / distance)
    walkers[i]["x"] += dx * share
    walkers[i]["z"] += dz * share
    turn = math.atan2(-dx, -dz) - walkers[i]["yaw"]
    turn -= 2 * math.pi * round(turn / (2 * math.pi))
    turn_max = TURN_RAD_S * step_s
    walkers[i]["yaw"] += min(max(turn, -turn_max), turn_max)


@kernel()
def step(
    walkers: npt.NDArray[np.void],
    chosen: npt.NDArray[np.int32],
    now_s: float,
    ground: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int32],
) -> None:
    """Walk the `chosen` walkers up to `now_s` and write their poses to `rows[:len(chosen)]`.

    `ground` is `Extent.as_array()`; `rows` has COLUMNS columns.
    """
    for k in range(len(chosen)):
        i, row = int(chosen[k]), rows[k]
        step_s = min(max(now_s - walkers[i]["time"], 0.0), STEP_S_MAX)
        walkers[i]["time"] = now_s
        _walk(walkers, i, step_s, ground)
        row[pose.X] = np.int32(round(walkers[i]["x"] * 1000.0))
        row[pose.Y] = np.int32(walkers[i]["y_units"])
        row[pose.Z] = np.int32(round(walkers[i]["z"] * 1000.0))
        row[pose.YAW] = np.int32(round(walkers[i]["yaw"] * _STEPS_PER_RAD)) % pose.YAW_STEPS
        row[pose.FLAGS] = 0
        t = walkers[i]["phase"] + now_s * walkers[i]["pace"]
        noise_1 = 0.002 * (_uniform(walkers, i) - 0.5)
        noise_2 = 0.002 * (_uniform(walkers, i) - 0.5)
        noise_3 = 0.002 * (_uniform(walkers, i) - 0.5)
        sway, bob, swing = math.sin(5.2 * t), math.sin(10.4 * t + 0.4), math.sin(5.2 * t + 0.9)
        look = math.sin(1.3 * t)
        _put_point(
            row, 0, (0.03 * sway + noise_1, 1.62 + 0.02 * bob, 0.02 * look + noise_2),
            (0.6 * look, 0.12 * math.sin(2.1 * t + 1.0), 0.05 * sway),
        )
        _put_point(
            row, 1, (-0.24 + 0.02 * bob, 0.95 + 0.04 * bob + noise_3, -0.15 + 0.2 * swing),
            (0.2 * bob, -0.5 + 0.4 * swing, 0.15 * look),
        )
        _put_point(
            row, 2, (0.24 + 0.02 * sway, 0.95 - 0.04 * bob + noise_1, -0.15 - 0.2 * swing),
            (-0.2 * bob, -0.5 - 0.4 * swing, -0.15 * look),
        )


class Crowd:
    """The walkers of a run and the ground they use."""

    def __init__(self, walkers_count: int, seed: int, extent: Extent) -> None:
        rng = np.random.default_rng(seed)
        self.walkers = np.zeros(walkers_count, WALKER)
        self.walkers["phase"] = rng.uniform(0, 1000, walkers_count)
        self.walkers["pace"] = rng.uniform(0.85, 1.15, walkers_count)
        self.walkers["random"] = rng.integers(1, 2**63, walkers_count, dtype=np.uint64)
        self.ground = extent.shrunk(1.0).as_array()

    def place(self, walker: int, row: npt.NDArray[np.int32], now_s: float) -> None:
        """Put a walker where the server says it is (`row`: decoded root), with a new goal."""
        one = self.walkers[walker]
        one["x"], one["z"] = row[pose.X] / 1000.0, row[pose.Z] / 1000.0
        one["y_units"], one["yaw"] = row[pose.Y], pose.yaw_of(int(row[pose.YAW]))
        one["time"] = now_s
        _choose_goal(self.walkers, walker, self.ground)

    def step(
        self, chosen: npt.NDArray[np.int32], now_s: float, rows: npt.NDArray[np.int32]
    ) -> None:
        """As the kernel `step`."""
        step(self.walkers, chosen, now_s, self.ground, rows)

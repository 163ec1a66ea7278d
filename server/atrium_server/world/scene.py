"""The static things of a world and the numbers of its rules, as plain frozen records.

Positions are metres in the axes of OpenXR (+Y up, -Z forward); a yaw is in degrees,
counter-clockwise seen from above. Only `atrium_server.world.manifest` builds these, from a checked
manifest; everything else reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Numbers3 = tuple[float, float, float]

BODY_HEIGHT_M: Final = 1.8
"""A body reaches from its root to this height when it meets a collider."""
STEP_UP_M: Final = 0.5
"""A body climbs edges up to this height by walking on."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The box that every root stays in, in metres."""

    min_m: Numbers3
    max_m: Numbers3


@dataclass(frozen=True, slots=True)
class Interest:
    """How far people see, and at which rate."""

    radius_m: float
    hysteresis_m: float
    """Who is visible stays so until this much beyond the radius."""
    cap: int
    full_rate_radius_m: float
    """Within it every tick, then every second one, ..."""
    half_rate_radius_m: float
    """... and beyond this one every fourth."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Numbers of the movement rules; `atrium_server.world.movement` explains them."""

    speed_m_per_s_max: float
    acceleration_m_per_s2_max: float
    jump_m_max: float
    body_radius_m: float
    reach_m_max: float
    teleport_range_m_max: float
    teleport_cooldown_s: float


@dataclass(frozen=True, slots=True)
class Box:
    """A solid box, turned about the vertical through its centre."""

    name: str
    center: Numbers3
    size: Numbers3
    yaw_deg: float


@dataclass(frozen=True, slots=True)
class Cylinder:
    """A solid upright cylinder."""

    name: str
    center: Numbers3
    radius_m: float
    height_m: float


@dataclass(frozen=True, slots=True)
class Spawn:
    """Where people arrive: anywhere on the disc around `position`."""

    position: Numbers3
    yaw_deg: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one to sit; the root of who sits there is `position`."""

    name: str
    position: Numbers3
    yaw_deg: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the world with a meaning: a box along the axes.

    `kind` is one of `atrium_server.world.manifest.ZONE_KINDS`.
    """

    name: str
    kind: str
    center: Numbers3
    size: Numbers3


@dataclass(frozen=True, slots=True)
class VoiceRules:
    """Who is connected by voice."""

    is_enabled: bool = True
    radius_m: float = 15.0
    """No pair is farther apart when it begins."""

"""The classes of work that share the lane, in the order of their priority. PURE.

Each has its own largest batch, the longest time that a row waits for others to come along, the time
after which its result is of no use, and how many rows of it may wait. A class whose work is shed
falls back to what needs no model: the last pose, the last action, the rules alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from atrium_shared import limits


class WorkClass(IntEnum):
    """What work is for; the least goes first and is shed last."""

    ANIMATION = 0
    """Bodies from tracked points, each tick or every second one."""
    NPC = 1
    """A step of behaviour for each character that is due."""
    MODERATION = 2
    """What people say, call themselves and write: it is not told before."""
    PERCEPTION = 3
    """Gestures and feelings: what scenes and characters react to."""
    LANGUAGE = 4
    """Embeddings, and single steps of a language model."""
    SERVICE = 5
    """What the apps of a world ask for, over HTTP."""
    PICTURES = 6
    """Those of uploads, which are kept from others until then. Each takes as long as thousands of
    lines, and nobody speaks with one, so all that is asked in a conversation goes first."""
    SHADOW = 7
    """What is computed only to be compared."""
    WARMING = 8
    """Rows that are made up, to warm a version before it is used."""

    @property
    def label(self) -> str:
        """As metrics name it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ClassRules:
    """How work of one class is batched."""

    rows_max: int
    """Of one batch."""
    wait_s_max: float
    """So long the first row of a batch may wait for others while the device is free."""
    deadline_s: float
    """Where the caller names none."""
    queue_rows_max: int
    """Rows that may wait; more are shed at once."""


RULES: Final[Mapping[WorkClass, ClassRules]] = {
    WorkClass.ANIMATION: ClassRules(1024, 0.0, 1 / 30, limits.LANE_QUEUE_ROWS_MAX),
    WorkClass.NPC: ClassRules(1024, 0.002, 0.1, limits.LANE_QUEUE_ROWS_MAX),
    WorkClass.MODERATION: ClassRules(1024, 0.002, 0.15, limits.LANE_QUEUE_ROWS_MAX),
    WorkClass.PERCEPTION: ClassRules(1024, 0.01, 0.25, limits.LANE_QUEUE_ROWS_MAX),
    WorkClass.LANGUAGE: ClassRules(64, 0.005, 1.5, limits.LANE_QUEUE_ROWS_MAX // 4),
    WorkClass.SERVICE: ClassRules(1024, 0.005, 1.0, limits.LANE_QUEUE_ROWS_MAX // 4),
    WorkClass.PICTURES: ClassRules(1, 0.0, limits.PICTURES_JUDGED_S_MAX, limits.PICTURES_MAX),
    WorkClass.SHADOW: ClassRules(1024, 0.05, 5.0, limits.LANE_QUEUE_ROWS_MAX // 4),
    WorkClass.WARMING: ClassRules(1024, 0.0, 5.0, limits.LANE_QUEUE_ROWS_MAX // 4),
}

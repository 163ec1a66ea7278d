"""What becomes of the work that is given to the lane. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from atrium_server.inference.rows import Array


class Status(Enum):
    """How a job ended."""

    DONE = "done"
    LATE = "late"
    """Its deadline passed before it ran."""
    SHED = "shed"
    """There was too much to do."""
    ABANDONED = "abandoned"
    """Whoever asked does not want it any more."""
    FAILED = "failed"
    """The model failed: out of memory, an exception, numbers that are none, or it never came back.
    """
    ABSENT = "absent"
    """There is no such model, or the lane is off or down."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, and what came out."""

    status: Status
    outputs: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """By name, rows first; empty unless it is done. They are views of what the whole batch gave, so
    who keeps a few rows for long copies them."""
    version: str = ""
    """Which version of the model ran: `name@version`."""
    waited_s: float = 0.0
    """From being submitted to running."""
    ran_s: float = 0.0
    """Of all batches in which its rows were."""

    @property
    def is_done(self) -> bool:
        """Whether there are outputs."""
        return self.status is Status.DONE


class LaneError(Exception):
    """A job that was waited for did not end well; `status` says how."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"the work was not done: {status.value}")
        self.status = status

"""Versions of models and how far each has come, as rows, and what is asked of a store. PURE.

Two things keep a `ModelStore`: `sql_models.SqlModels` (Postgres) and `memory_models.MemoryModels`
(for --ephemeral). What may follow what is decided above (`registry.stages`); a store keeps what was
decided, all of it or nothing, with its row of the history.

The changes of one model are numbered. Whoever decides has read the stages as they were after change
N and asks to write change N + 1; when somebody else has written that one meanwhile, nothing happens
and the caller looks again. So two who promote at once cannot both have decided on the same state.

Every change is asked for with an id that its author made (a UUIDv7): who is not sure whether it was
done asks again with the same id, and it is done once.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Final, Protocol

import msgspec

from atrium_server.persistence.errors import Refused
from atrium_shared import limits

ROWS_ASKED_MAX: Final = 1_000
_ACTOR_CHARS_MAX: Final = 128


class Stage(enum.StrEnum):
    """How far a version has come."""

    CANDIDATE = "candidate"
    """It is known, and nobody asks it."""
    SHADOW = "shadow"
    """It is asked too, and its answers are only compared."""
    CANARY = "canary"
    """It answers a share of those who ask."""
    LIVE = "live"
    """It answers everybody else."""
    RETIRED = "retired"
    """It has been replaced, or was taken back."""


ALONE: Final = frozenset({Stage.SHADOW, Stage.CANARY, Stage.LIVE})
"""Of each model at most one version is in each of these."""


class Op(enum.StrEnum):
    """What is done to the stages of a model."""

    PUBLISH = "publish"
    ADOPT = "adopt"
    """The server takes what came with it into use."""
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    RETIRE = "retire"
    DEMOTE = "demote"
    """The server takes a version back whose budget is broken."""


class NewModel(msgspec.Struct, frozen=True):
    """A version that becomes known."""

    id: uuid.UUID
    name: str
    version: str
    kind: str
    document: bytes
    """The SHA-256 of its document."""
    size_bytes: int
    licence: str
    source: str


class ModelRow(msgspec.Struct, frozen=True):
    """A version, as it is kept."""

    model: NewModel
    stage: Stage
    canary_share: float
    live_rank: int
    """Of two that were live, the later one has the higher; 0 if it never was, or was taken back."""
    registered_at: datetime


class Move(msgspec.Struct, frozen=True):
    """A version comes to another stage, or its share changes."""

    version: str
    before: Stage | None
    """None for one that was not known."""
    after: Stage
    canary_share: float = 0.0
    live_rank: int = 0


class NewChange(msgspec.Struct, frozen=True):
    """What is to be written, all or nothing."""

    id: uuid.UUID
    name: str
    sequence: int
    """One more than that of the change before it; the first is 1."""
    op: Op
    version: str
    actor: str
    why: str
    moves: tuple[Move, ...]
    figures: bytes = b"{}"
    """A JSON object: what it was decided by."""
    model: NewModel | None = None
    """The version that becomes known by it."""


class Change(msgspec.Struct, frozen=True):
    """What was done, as it is kept."""

    name: str
    sequence: int
    at: datetime
    op: Op
    version: str
    actor: str
    why: str
    moves: tuple[Move, ...]
    figures: bytes


class NewEvaluation(msgspec.Struct, frozen=True):
    """What was measured of a version: on one set of rows, or of its speed on one device."""

    name: str
    version: str
    subject: str
    """The name of the set or of the device."""
    subject_hash: str
    """Of the set, as hexadecimal digits; empty for a device."""
    figures: bytes
    """A JSON object."""


class Evaluation(msgspec.Struct, frozen=True):
    """The same, and when."""

    measured: NewEvaluation
    at: datetime


class Outdated(Refused):
    """Somebody else changed the stages meanwhile; whoever asked looks at them again."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody else changed the stages of this model meanwhile: look at them, and ask again."
        )


class ModelStore(Protocol):
    """What is asked of a store. What changes something returns when it is on disk, with its row of
    the audit log, and raises Refused (a person must put it right) or Unavailable (nothing was done,
    or nobody can tell: ask again with the same id)."""

    async def models(self, name: str | None = None) -> list[ModelRow]:
        """All versions, of one model or of all; by name and then by when they became known."""
        ...

    async def sequences(self) -> dict[str, int]:
        """The number of the newest change of each model: what servers look at every few seconds."""
        ...

    async def change(self, change: NewChange) -> bool:
        """Write a change; False when it was written before. Raises Outdated."""
        ...

    async def history(self, name: str, rows_max: int) -> list[Change]:
        """What was done to a model, newest first."""
        ...

    async def keep_evaluation(self, measured: NewEvaluation) -> None:
        """Keep figures of a version, in the place of older ones of the same subject.

        Raises Refused when there is no such version.
        """
        ...

    async def evaluations(self, name: str, version: str) -> list[Evaluation]:
        """All figures of a version, by subject."""
        ...


def check_change(change: NewChange) -> None:
    """Raise Refused with a sentence when this cannot be kept."""
    if len(change.why) > limits.MODEL_WHY_CHARS_MAX:
        raise Refused(f"The reason is too long: at most {limits.MODEL_WHY_CHARS_MAX} characters.")
    if not 1 <= len(change.actor) <= _ACTOR_CHARS_MAX:
        raise Refused("A change of stages must name who makes it.")
    _check_figures(change.figures)


def check_evaluation(measured: NewEvaluation) -> None:
    """Raise Refused with a sentence when this cannot be kept."""
    if not 1 <= len(measured.subject) <= 128:
        raise Refused("Figures must name the set or the device that they are of, in 128 letters.")
    _check_figures(measured.figures)


def _check_figures(figures: bytes) -> None:
    if len(figures) > limits.MODEL_FIGURES_BYTES_MAX:
        raise Refused(
            f"The figures of a model are too large: at most {limits.MODEL_FIGURES_BYTES_MAX:,}"
            " bytes as JSON."
        )


NO_VERSION: Final = "There is no version {version} of {name}: see `atrium models list`."

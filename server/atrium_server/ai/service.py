"""What apps can ask the models: whether texts may be published, what they feel like, what they are
about.

Theory of operation
-------------------
::

    texts - reader (rules, n-grams) - lane (class SERVICE) - verdicts, feelings
    texts - tokens of the encoder   - lane (class LANGUAGE) - vectors

It is the reader and the lane of the worlds, so what apps ask is run in the same batches. What the
worlds need goes first: rows of apps are of a class below it, they are shed first, and they come to
the reader in pieces of PIECE_TEXTS, one request at a time, so a line of chat never waits behind
more than one such piece.

Nothing is remembered: no context, no sender, no text. What is not done within the time that the
request allows is given up, on the lane as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError, Outcome, Status
from atrium_server.inference.rows import Bag
from atrium_server.inference.slots import Loaded
from atrium_server.moderation.features import BUCKETS
from atrium_server.moderation.findings import Decision
from atrium_server.moderation.policy import Policy, decide
from atrium_server.moderation.reading import Read, Text
from atrium_server.moderator import LABELS, MODEL, findings_of
from atrium_server.reader import Reader
from atrium_server.registry.signature import Field, Signature

EMOTION_MODEL: Final = "emotion"
EMOTIONS: Final = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
"""What the columns of an emotion model's scores are of; one more is of valence."""
EMOTION_SIGNATURE: Final = Signature(
    (Field("ids", "int64", is_bag=True, bound=BUCKETS),),
    (Field("scores", "float32", (len(EMOTIONS) + 1,)),),
)
PIECE_TEXTS: Final = 8
READERS_MAX: Final = 1
"""Requests whose texts are with the reader at once."""
RETRY_S: Final = 1
"""When a lane that had too much to do may have less."""


class AbsentError(Exception):
    """This server has no such model; the message is a sentence."""


class BusyError(Exception):
    """It was not done in time, or there is too much to do; the message is a sentence."""


class Embedder(Protocol):
    """What makes vectors of texts."""

    @property
    def is_there(self) -> bool:
        """Whether a version is in use."""
        ...

    @property
    def label(self) -> str:
        """Which version is, as `name@version`."""
        ...

    async def embed(
        self, texts: Sequence[str], *, deadline_s: float, who: str = "",
        work: WorkClass = WorkClass.LANGUAGE,
    ) -> npt.NDArray[np.float32]:
        """A vector of length 1 for each text, (texts, size). Raises LaneError."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one text."""

    decision: Decision
    scores: dict[str, float]
    """By category; empty where no model was asked."""


@dataclass(frozen=True, slots=True)
class Feeling:
    """What one text feels like."""

    scores: dict[str, float]
    """By emotion, 0 to 1; from 0.5 on it is there."""
    valence: float
    """From -1, bad, to 1, good."""


class AiService:
    """Answers apps."""

    def __init__(
        self, reader: Reader, lane: Lane | None, embedder: Embedder | None = None
    ) -> None:
        self._reader = reader
        self._lane = lane
        self._embedder = embedder
        self._reading = trio.CapacityLimiter(READERS_MAX)

    async def moderate(
        self, texts: Sequence[str], policy: Policy, *, deadline_s: float, who: str
    ) -> tuple[str, list[Judged]]:
        """Which version was asked ("" for the rules alone), and what is said of each text.

        Raises BusyError.
        """
        with _within(deadline_s) as scope:
            reads = await self._read(texts)
            loaded = self._version(MODEL, who)
            if loaded is None:
                return "", [
                    Judged(decide(text, read.findings, policy), {})
                    for text, read in zip(texts, reads, strict=True)
                ]
            table = await self._scores(loaded, reads, scope)
            return loaded.label, [
                _judged(text, read, scores, policy, loaded)
                for text, read, scores in zip(texts, reads, table, strict=True)
            ]
        raise BusyError(TOO_LATE)

    async def emotion(
        self, texts: Sequence[str], *, deadline_s: float, who: str
    ) -> tuple[str, list[Feeling]]:
        """Which version was asked, and what each text feels like.

        Raises AbsentError and BusyError.
        """
        with _within(deadline_s) as scope:
            loaded = self._version(EMOTION_MODEL, who)
            if loaded is None:
                raise AbsentError(NO_EMOTION)
            table = await self._scores(loaded, await self._read(texts), scope)
            return loaded.label, [_feeling(scores) for scores in table.tolist()]
        raise BusyError(TOO_LATE)

    async def embed(
        self, texts: Sequence[str], *, deadline_s: float, who: str
    ) -> tuple[str, npt.NDArray[np.float32]]:
        """Which version was asked, and a vector for each text.

        Raises AbsentError and BusyError.
        """
        embedder = self._embedder
        if embedder is None or not embedder.is_there:
            raise AbsentError(NO_EMBEDDER)
        label = embedder.label
        with _within(deadline_s):
            try:
                return label, await embedder.embed(texts, deadline_s=deadline_s, who=who)
            except LaneError as error:
                raise _told(error, NO_EMBEDDER) from None
        raise BusyError(TOO_LATE)

    # --- within ------------------------------------------------------------------------------

    def _version(self, name: str, who: str) -> Loaded | None:
        return None if self._lane is None else self._lane.slots.of(name).choose(who)

    async def _read(self, texts: Sequence[str]) -> list[Read]:
        """By the rules, in pieces."""
        reads: list[Read] = []
        for first in range(0, len(texts), PIECE_TEXTS):
            async with self._reading:
                for read in await self._piece(texts[first : first + PIECE_TEXTS]):
                    if read is None:
                        raise BusyError(UNREAD)
                    reads.append(read)
        return reads

    async def _piece(self, texts: Sequence[str]) -> Sequence[Read | None]:
        found: list[Sequence[Read | None]] = []
        is_told = trio.Event()

        def told(reads: Sequence[Read | None]) -> None:
            found.append(reads)
            is_told.set()

        self._reader.read([Text(text) for text in texts], told)
        # What was handed over comes back: a piece is short, and no other may begin before.
        with trio.CancelScope(shield=True):
            await is_told.wait()
        return found[0]

    async def _scores(
        self, loaded: Loaded, reads: Sequence[Read], scope: trio.CancelScope
    ) -> npt.NDArray[np.float32]:
        assert self._lane is not None
        if not reads:
            return np.zeros((0, 1), np.float32)
        offsets = np.zeros(len(reads) + 1, np.int64)
        np.cumsum([read.ids.size for read in reads], out=offsets[1:])
        bag = Bag(np.concatenate([read.ids for read in reads]), offsets)
        try:
            outcome: Outcome = await self._lane.ask(
                loaded, {loaded.model.signature.inputs[0].name: bag}, work=WorkClass.SERVICE,
                deadline_s=scope.deadline - trio.current_time(),
            )
        except LaneError as error:
            raise _told(error, NO_LANE) from None
        return outcome.outputs["scores"]


TOO_LATE: Final = "It could not be done in the time that was allowed: allow more, or ask for less."
UNREAD: Final = "One of the texts could not be read; the reason is in the server's log."
NO_LANE: Final = "The models of this server do not run just now: try again in a moment."
TOO_MUCH: Final = "The models have too much to do just now: try again in a moment."
NO_EMOTION: Final = (
    "This server has no model of emotions: it was started with --brain off, or without torch."
)
NO_EMBEDDER: Final = (
    "This server has no model that makes vectors of texts. Its weights are not part of Atrium: see"
    " docs/OPERATING.md, \"Models\", for where they come from."
)


def _within(deadline_s: float) -> trio.CancelScope:
    return trio.CancelScope(deadline=trio.current_time() + deadline_s)


def _told(error: LaneError, absent: str) -> AbsentError | BusyError:
    if error.status is Status.LATE:
        return BusyError(TOO_LATE)
    if error.status is Status.ABSENT:
        return BusyError(absent)
    return BusyError(NO_LANE if error.status is Status.FAILED else TOO_MUCH)


def _judged(
    text: str, read: Read, scores: npt.NDArray[np.float32], policy: Policy, loaded: Loaded
) -> Judged:
    found = [*read.findings, *findings_of(scores, len(text), loaded)]
    by_label = {str(label): round(score, 4) for label, score
                in zip(LABELS, scores.tolist(), strict=True)}
    return Judged(decide(text, found, policy, loaded.label), by_label)


def _feeling(scores: Any) -> Feeling:
    *classes, valence = scores
    by_name = {name: round(score, 4) for name, score in zip(EMOTIONS, classes, strict=True)}
    return Feeling(by_name, round(2 * valence - 1, 4))

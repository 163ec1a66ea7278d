"""What apps can ask the models: whether texts may be published, what they feel like, what they are
about.

Theory of operation
-------------------
::

    texts - reader (rules, n-grams) - lane (class SERVICE) - verdicts, feelings
    texts - tokens of the encoder   - lane (class LANGUAGE) - vectors

It is the reader and the lane of the worlds, so what apps ask is run in the same batches. What the
worlds need goes first: rows of apps are of a class below it, they are shed first, and they come to
the reader in pieces of PIECE_TEXTS and PIECE_CHARS, one at a time, so a line of chat never waits
behind more than one such piece. Where the reader has READER_TEXTS_MAX to read, they are shed there.

Nothing is remembered: no context, no sender, no text. What is not done within the time that the
request allows is given up, on the lane as well; the piece that is being read then is the last.

A policy that publishes nothing unjudged (strict) has no answer without a model, as in a world.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from atrium_shared import limits

EMOTION_MODEL: Final = "emotion"
EMOTIONS: Final = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
"""What the columns of an emotion model's scores are of; one more is of valence."""
EMOTION_SIGNATURE: Final = Signature(
    (Field("ids", "int64", is_bag=True, bound=BUCKETS),),
    (Field("scores", "float32", (len(EMOTIONS) + 1,)),),
)
PIECE_TEXTS: Final = 8
PIECE_CHARS: Final = limits.CHAT_CHARS_MAX
"""A text that is longer than that is a piece by itself."""
READER_TEXTS_MAX: Final = limits.MODERATION_WAITING_MAX // 4
"""With so many the reader is late for the worlds."""
RETRY_S: Final = 1
"""When a lane that had too much to do may have less."""


class AbsentError(Exception):
    """This server has no such model; the message is a sentence."""


class BusyError(Exception):
    """It was not done in time, or there is too much to do; the message is a sentence."""

    def __init__(self, sentence: str, spent: int = 0) -> None:
        super().__init__(sentence)
        self.spent = spent
        """So many texts were worked on for who had not allowed enough time."""


class Embedder(Protocol):
    """What makes vectors of texts."""

    @property
    def is_there(self) -> bool:
        """Whether a version is in use."""
        ...

    def label_for(self, who: str) -> str:
        """Which version answers somebody, as `name@version`."""
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
        self._reading = trio.Semaphore(1)
        """Taken by who asks, given back when the reader has read."""

    async def moderate(
        self, texts: Sequence[str], policy: Policy, *, deadline_s: float, who: str
    ) -> tuple[str, list[Judged]]:
        """Which version was asked ("" for the rules alone), and what is said of each text.

        Raises BusyError, and AbsentError for a policy that needs a model where there is none.
        """
        reads: list[Read] = []
        with _within(deadline_s) as scope:
            if policy.fails_closed and self._version(MODEL, who) is None:
                raise AbsentError(NO_MODERATION)
            await self._read(texts, reads)
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
        raise BusyError(TOO_LATE, len(reads))

    async def emotion(
        self, texts: Sequence[str], *, deadline_s: float, who: str
    ) -> tuple[str, list[Feeling]]:
        """Which version was asked, and what each text feels like.

        Raises AbsentError and BusyError.
        """
        reads: list[Read] = []
        with _within(deadline_s) as scope:
            loaded = self._version(EMOTION_MODEL, who)
            if loaded is None:
                raise AbsentError(NO_EMOTION)
            await self._read(texts, reads)
            table = await self._scores(loaded, reads, scope)
            return loaded.label, [_feeling(scores) for scores in table.tolist()]
        raise BusyError(TOO_LATE, len(reads))

    async def embed(
        self, texts: Sequence[str], *, deadline_s: float, who: str
    ) -> tuple[str, npt.NDArray[np.float32]]:
        """Which version was asked, and a vector for each text.

        Raises AbsentError and BusyError.
        """
        embedder = self._embedder
        if embedder is None or not embedder.is_there:
            raise AbsentError(NO_EMBEDDER)
        label = embedder.label_for(who)
        with _within(deadline_s):
            try:
                return label, await embedder.embed(texts, deadline_s=deadline_s, who=who)
            except LaneError as error:
                raise _told(error, NO_EMBEDDER, len(texts)) from None
        raise BusyError(TOO_LATE, len(texts))

    # --- within ------------------------------------------------------------------------------

    def _version(self, name: str, who: str) -> Loaded | None:
        return None if self._lane is None else self._lane.slots.of(name).choose(who)

    async def _read(self, texts: Sequence[str], reads: list[Read]) -> None:
        """By the rules, in pieces; what has been read is added to `reads`."""
        for piece in _pieces(texts):
            await self._reading.acquire()
            if self._reader.waiting > READER_TEXTS_MAX:
                self._reading.release()
                raise BusyError(TOO_MUCH)
            for read in await self._piece(piece):
                if read is None:
                    raise BusyError(UNREAD)
                reads.append(read)

    async def _piece(self, texts: Sequence[str]) -> Sequence[Read | None]:
        """A piece cannot be taken back: who has given up leaves the next one waiting for it."""
        found: list[Sequence[Read | None]] = []
        is_told = trio.Event()

        def told(reads: Sequence[Read | None]) -> None:
            found.append(reads)
            is_told.set()
            self._reading.release()

        self._reader.read([Text(text) for text in texts], told)
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
            raise _told(error, NO_LANE, len(reads)) from None
        return outcome.outputs["scores"]


TOO_LATE: Final = "It could not be done in the time that was allowed: allow more, or ask for less."
UNREAD: Final = "One of the texts could not be read; the reason is in the server's log."
NO_LANE: Final = "The models of this server do not run just now: try again in a moment."
TOO_MUCH: Final = "The models have too much to do just now: try again in a moment."
NO_MODERATION: Final = (
    "The policy strict needs a model, and this server has none: it was started with --brain off, or"
    " without torch. Ask with the policy standard to have the rules alone."
)
NO_EMOTION: Final = (
    "This server has no model of emotions: it was started with --brain off, or without torch."
)
NO_EMBEDDER: Final = (
    "This server has no model that makes vectors of texts. Its weights are not part of Atrium: see"
    " docs/OPERATING.md, \"Models\", for where they come from."
)


def _pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    """In their order, so many at a time as the reader should have."""
    piece: list[str] = []
    chars = 0
    for text in texts:
        if piece and (len(piece) == PIECE_TEXTS or chars + len(text) > PIECE_CHARS):
            yield piece
            piece, chars = [], 0
        piece.append(text)
        chars += len(text)
    if piece:
        yield piece


def _within(deadline_s: float) -> trio.CancelScope:
    return trio.CancelScope(deadline=trio.current_time() + deadline_s)


def _told(error: LaneError, absent: str, texts: int) -> BusyError:
    if error.status is Status.LATE:
        return BusyError(TOO_LATE, texts)
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

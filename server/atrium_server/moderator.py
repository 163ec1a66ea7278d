"""The judge that thinks: rules and a model decide on every text before others read it.

Theory of operation
-------------------
::

    tick - consider - reader (rules) - lane (model) - decide - Judged - a later tick
                            |                            |
                            +---- after VERDICT_S_MAX: the rules alone

Texts of one tick go to the reader together, and those that it cannot decide alone go to the model
together, as rows of one job. What a model said of a text in its normal form is remembered, for that
version of the model. A score near the threshold is looked at again with the sender's last lines
before it: a threat is often made in three short ones.

*In time.* After VERDICT_S_MAX the rules decide alone, and if the model then finds that the text
should not have been published it is taken back. In a world whose policy fails closed nothing is
published before the model has spoken; what it has not spoken on after HELD_S_MAX is refused, with a
sentence that says so. Nothing is published anywhere before the rules have read it, however long
that takes; what they cannot read, which only a bug can cause, is refused.

*What was held* for a person to look at goes to `held`; it is not published, and its author is told.

The model's thresholds are its own: a version's scores are calibrated when it is made, so that one
policy fits all versions (`moderation.policy`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import Outcome
from atrium_server.inference.rows import Bag
from atrium_server.inference.slots import Loaded
from atrium_server.moderation.features import BUCKETS
from atrium_server.moderation.findings import Action, Category, Decision, Finding
from atrium_server.moderation.policy import Policy, decide
from atrium_server.moderation.reading import Read, Text
from atrium_server.moderation.sentences import BUSY, UNREAD, UNSURE, reason_of
from atrium_server.reader import Reader
from atrium_server.registry.signature import Field, Signature
from atrium_shared import limits

MODEL: Final = "moderation"
VERDICT_S_MAX: Final = 0.15
"""So long a line waits for the model; then the rules decide."""
HELD_S_MAX: Final = 5.0
"""So long one waits where nothing is published unjudged."""
MODEL_S_MAX: Final = 1.0
"""So long a late verdict is worth having: it may take a line back."""
CONTEXT_LINES: Final = 3
CONTEXT_S_MAX: Final = 60.0
BORDERLINE: Final = (0.3, 0.7)
"""Scores between these are looked at again with the lines before."""

PIECE_TEXTS: Final = 64
"""So many are read and decided on in one go: between two pieces ticks have their turn."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of a text; a second one may follow the first."""

    decision: Decision
    reason: str
    """For its author, if it is not published as it was."""
    is_late: bool = False
    """The text was published already, and is to be taken back."""


@dataclass(eq=False, slots=True)
class Case:
    """A text and what is known of it."""

    text: str
    policy: Policy
    told: Callable[[Answer], None]
    """Called once, and once more if it is to be taken back."""
    who: str = ""
    place: str = ""
    """What its lines before are those of: a sender in a channel."""
    at_s: float = 0.0
    read: Read | None = None
    answered: Decision | None = None
    is_overdue: bool = False
    """The rules decide as soon as they can."""
    is_over: bool = False
    """Nothing more can come."""


@dataclass(slots=True)
class Tally:
    """What was decided, for the metrics."""

    decided: Callable[[Decision, float], None] = lambda decision, took_s: None
    late: Callable[[], None] = lambda: None
    retracted: Callable[[], None] = lambda: None
    remembered: Callable[[int], None] = lambda lines: None


@dataclass(slots=True)
class _Context:
    """The lines of one sender before this one."""

    at_s: float = 0.0
    lines: deque[Ids] = field(default_factory=lambda: deque[Ids](maxlen=CONTEXT_LINES))


class Moderator:
    """Decides on texts for all worlds of a server."""

    def __init__(
        self, reader: Reader, lane: Lane | None, tally: Tally | None = None,
        held: Callable[[Case, Decision], None] = lambda case, decision: None,
    ) -> None:
        self._reader = reader
        self._lane = lane
        self._tally = tally or Tally()
        self._held = held
        self._waiting: deque[Case] = deque()
        """In the order in which their time is over."""
        self._closed: deque[Case] = deque()
        """Those of worlds that fail closed, whose time is another."""
        self._wake = trio.Event()
        self._scores: OrderedDict[tuple[str, str], npt.NDArray[np.float32]] = OrderedDict()
        self._contexts: OrderedDict[str, _Context] = OrderedDict()
        self.observed: Callable[[Loaded, npt.NDArray[np.float32], Ids], None] | None = None
        """Told all scores of a version and how large its rows were, for its drift."""

    # --- asking -----------------------------------------------------------------------------

    def consider(self, cases: Sequence[Case]) -> None:
        """Decide on texts; each `told` is called later, never from within."""
        if not cases:
            return
        now = trio.current_time()
        if self._reader.waiting + len(cases) > limits.MODERATION_WAITING_MAX:
            token = trio.lowlevel.current_trio_token()
            for case in cases:
                token.run_sync_soon(self._refuse, case, BUSY)
            return
        for case in cases:
            case.at_s = now
            (self._closed if case.policy.fails_closed else self._waiting).append(case)
        self._wake.set()
        for first in range(0, len(cases), PIECE_TEXTS):
            self._hand_over(cases[first : first + PIECE_TEXTS], now)

    def _hand_over(self, cases: Sequence[Case], now: float) -> None:
        texts = [Text(case.text, case.who, now, case.place) for case in cases]
        self._reader.read(texts, lambda reads: self._read(cases, reads))

    async def check(self, text: str, policy: Policy, who: str = "") -> Answer:
        """The first answer on one text: a name, a title, what an app asks about."""
        answers: list[Answer] = []
        is_told = trio.Event()

        def told(answer: Answer) -> None:
            answers.append(answer)
            is_told.set()

        self.consider([Case(text, policy, told, who)])
        await is_told.wait()
        return answers[0]

    def forget_before(self, now_s: float) -> None:
        """Forget lines that are too old to be looked at with another."""
        while self._contexts and now_s - next(iter(self._contexts.values())).at_s > CONTEXT_S_MAX:
            self._contexts.popitem(last=False)

    async def run(self) -> None:
        """Look at the clock for ever: what nobody has decided in time is decided by the rules."""
        while True:
            now = trio.current_time()
            for case in _over(self._waiting, now - VERDICT_S_MAX):
                self._decide_late(case)
            for case in _over(self._closed, now - HELD_S_MAX):
                self._refuse(case, UNSURE)
            ends = [
                queue[0].at_s + s for queue, s in
                ((self._waiting, VERDICT_S_MAX), (self._closed, HELD_S_MAX)) if queue
            ]
            if ends:
                await trio.sleep_until(max(min(ends), now))
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    # --- on the way -------------------------------------------------------------------------

    def _read(self, cases: Sequence[Case], reads: Sequence[Read | None]) -> None:
        """The rules have spoken; what they cannot decide goes to the model."""
        slot = self._lane.slots.of(MODEL) if self._lane is not None else None
        asked: dict[Loaded, list[Case]] = {}
        known = 0
        for case, read in zip(cases, reads, strict=True):
            case.read = read
            if read is None:
                self._refuse(case, UNREAD)
                continue
            rules = decide(case.text, read.findings, case.policy)
            loaded = slot.choose(case.who) if slot is not None else None
            if loaded is None or rules.action is Action.BLOCK:
                # Without a model a world that fails closed goes on waiting for one.
                if rules.action is Action.BLOCK or not case.policy.fails_closed:
                    self._answer(case, rules)
                continue
            if case.is_overdue:
                self._answer(case, rules, is_last=False)
            scores = self._remembered(loaded, read.normal)
            if scores is None:
                asked.setdefault(loaded, []).append(case)
            else:
                known += 1
                self._judge(case, loaded, scores)
        if known:
            self._tally.remembered(known)
        for loaded, group in asked.items():
            self._ask(loaded, group, [_ids(case) for case in group], self._scored)

    def _ask(
        self, loaded: Loaded, cases: Sequence[Case], rows: Sequence[Ids],
        then: Callable[[Loaded, Sequence[Case], Outcome], None],
    ) -> None:
        assert self._lane is not None
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([row.size for row in rows], out=offsets[1:])
        bag = Bag(np.concatenate(rows) if rows else np.zeros(0, np.int64), offsets)
        self._lane.submit(
            loaded, {loaded.model.signature.inputs[0].name: bag},
            lambda outcome: then(loaded, cases, outcome),
            work=WorkClass.MODERATION, deadline_s=MODEL_S_MAX,
        )

    def _scored(self, loaded: Loaded, cases: Sequence[Case], outcome: Outcome) -> None:
        """The model has spoken, or could not."""
        if not outcome.is_done:
            for case in cases:
                self._go_without(case)
            return
        table = outcome.outputs["scores"]
        if self.observed is not None:
            self.observed(loaded, table, np.array([_ids(case).size for case in cases]))
        for case, scores in zip(cases, table, strict=True):
            if case.read is not None:
                self._remember(loaded, case.read.normal, scores)
            self._judge(case, loaded, scores)

    def _judge(
        self, case: Case, loaded: Loaded, scores: npt.NDArray[np.float32]
    ) -> None:
        context = self._context_of(case)
        lines = list(context.lines) if context is not None else []
        if context is not None:
            context.at_s = case.at_s
            context.lines.append(_ids(case))
        worst = float(scores.max())
        if lines and BORDERLINE[0] <= worst < BORDERLINE[1] and not loaded.is_broken:
            joined = np.concatenate([*lines, _ids(case)])

            def again(loaded: Loaded, cases: Sequence[Case], outcome: Outcome) -> None:
                seen = outcome.outputs["scores"][0] if outcome.is_done else scores
                self._finish(case, loaded, np.maximum(scores, seen))

            self._ask(loaded, [case], [joined], again)
            return
        self._finish(case, loaded, scores)

    def _finish(
        self, case: Case, loaded: Loaded, scores: npt.NDArray[np.float32]
    ) -> None:
        assert case.read is not None
        found = [*case.read.findings, *findings_of(scores, len(case.text), loaded)]
        self._answer(case, decide(case.text, found, case.policy, loaded.label))

    def _go_without(self, case: Case) -> None:
        """There is no verdict of the model: the rules decide, where they may."""
        if not case.policy.fails_closed and case.read is not None:
            self._answer(case, decide(case.text, case.read.findings, case.policy))

    def _decide_late(self, case: Case) -> None:
        if case.answered is None and not case.is_over:
            self._tally.late()
            case.is_overdue = True
            if case.read is not None:  # nothing is published unread; it is decided when it is read
                decision = decide(case.text, case.read.findings, case.policy)
                self._answer(case, decision, is_last=False)

    # --- answering --------------------------------------------------------------------------

    def _answer(self, case: Case, decision: Decision, *, is_last: bool = True) -> None:
        if case.is_over:
            return
        case.is_over = is_last
        if case.answered is None:
            case.answered = decision
            self._tally.decided(decision, trio.current_time() - case.at_s)
            if decision.action is Action.HOLD:
                self._held(case, decision)
            case.told(Answer(decision, reason_of(decision)))
        elif case.answered.action < Action.HOLD <= decision.action:
            case.answered = decision
            self._tally.retracted()
            if decision.action is Action.HOLD:
                self._held(case, decision)
            case.told(Answer(decision, reason_of(decision), is_late=True))

    def _refuse(self, case: Case, reason: str) -> None:
        if case.answered is None and not case.is_over:
            case.is_over = True
            case.answered = Decision(Action.BLOCK, case.text)
            self._tally.decided(case.answered, trio.current_time() - case.at_s)
            case.told(Answer(case.answered, reason))

    # --- what is remembered -----------------------------------------------------------------

    def _remembered(self, loaded: Loaded, normal: str) -> npt.NDArray[np.float32] | None:
        key = loaded.label, normal
        scores = self._scores.get(key)
        if scores is not None:
            self._scores.move_to_end(key)
        return scores

    def _remember(
        self, loaded: Loaded, normal: str, scores: npt.NDArray[np.float32]
    ) -> None:
        self._scores[loaded.label, normal] = scores.copy()  # not the whole batch for one row
        while len(self._scores) > limits.MODERATION_CACHE_LINES_MAX:
            self._scores.popitem(last=False)

    def _context_of(self, case: Case) -> _Context | None:
        if not case.place:
            return None
        context = self._contexts.get(case.place)
        if context is None or case.at_s - context.at_s > CONTEXT_S_MAX:
            context = self._contexts[case.place] = _Context(case.at_s)
        self._contexts.move_to_end(case.place)
        while len(self._contexts) > limits.MODERATION_CONTEXTS_MAX:
            self._contexts.popitem(last=False)
        return context


LABELS: Final = (
    Category.TOXIC, Category.HATE, Category.INSULT, Category.THREAT, Category.SEXUAL,
    Category.SPAM,
)
"""What the columns of a moderation model's scores are of."""
SIGNATURE: Final = Signature(
    (Field("ids", "int64", is_bag=True, bound=BUCKETS),),
    (Field("scores", "float32", (len(LABELS),)),),
)
"""What a version must take and give to be asked."""


SCORE_LEAST: Final = 0.05
"""No policy acts on less; most scores of most lines are."""


def findings_of(
    scores: npt.NDArray[np.float32], length: int, loaded: Loaded
) -> list[Finding]:
    """A model's scores of one text as findings."""
    source = f"model:{loaded.name}"
    return [
        Finding(category, score, 0, length, source, is_certain=False)
        for category, score in zip(LABELS, scores.tolist(), strict=True) if score >= SCORE_LEAST
    ]


def _ids(case: Case) -> Ids:
    assert case.read is not None
    return case.read.ids


def _over(queue: deque[Case], until_s: float) -> list[Case]:
    """Those whose time is over, taken out; those that were decided meanwhile are let go."""
    over: list[Case] = []
    while queue and (queue[0].at_s <= until_s or queue[0].answered is not None):
        over.append(queue.popleft())
    return over

"""What bots do besides walking: nothing, come and go, or talk.

Theory of operation
-------------------
A scenario is called ten times a second by the generator and acts through its methods; it keeps
its own figures, which the report shows under its name. Choices come from a generator seeded by
the plan, so the same seed gives the same sequence of acts (not of arrivals: those are measured).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from atrium_loadtest.fleet import ACTIVE
from atrium_loadtest.generator import ACT_S, Generator
from atrium_loadtest.joiner import Joined
from atrium_shared import messages
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import ChatChannel, ChatState

ScenarioName = Literal["plaza", "arena", "churn", "chat"]

RADIUS_M: Final[dict[str, float]] = {"plaza": 30.0, "arena": 1e6, "churn": 30.0, "chat": 30.0}
"""What the worlds of the load test call near."""
AVATARS_MAX: Final[dict[str, int]] = {"plaza": 64, "arena": 255, "churn": 64, "chat": 64}

LEAVE_PER_S: Final = 0.02
"""Share of the bots that leave for good and come back, each second."""
CUT_PER_S: Final = 0.02
"""Share of the bots whose link is cut and who resume, each second."""
CHAT_PERIOD_S: Final = 5.0
WORLD_CHAT_SHARE: Final = 0.25
"""The other lines are said to those nearby."""


class Walk:
    """Only walking: plaza and arena."""

    def act(self, generator: Generator, now_s: float) -> None:
        """Nothing."""

    def joined(self, generator: Generator, joined: Joined) -> None:
        """Nothing."""

    def heard(self, bot: int, message: messages.ServerMessage, now_ns: int) -> None:
        """Nothing."""

    def summary(self) -> dict[str, float | int | None]:
        """No figures of its own."""
        return {}


@dataclass
class Churn(Walk):
    """Bots leave and return, and links are cut and resumed. Probes stay."""

    seed: int
    left: int = 0
    cut: int = 0
    rejoined: int = 0
    resumed: int = 0
    resume_refused: int = 0
    _returns: list[tuple[float, int, str]] = field(default_factory=list[tuple[float, int, str]])
    _tokens: dict[int, str] = field(default_factory=dict[int, str])

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def act(self, generator: Generator, now_s: float) -> None:
        """Bring back who is due; send some away."""
        while self._returns and self._returns[0][0] <= now_s:
            _, bot, token = heapq.heappop(self._returns)
            self._tokens[bot] = token
            generator.join(bot, token)
        states = generator.fleet.bots["state"]
        there = np.flatnonzero(states == ACTIVE)
        there = there[there >= generator.plan.probes]
        draws = self._rng.random(len(there))
        leaving: list[int] = there[draws < LEAVE_PER_S * ACT_S].tolist()
        for bot in leaving:
            generator.leave(bot)
            self.left += 1
            self._come_back(bot, now_s, "")
        losing: list[int] = there[draws > 1.0 - CUT_PER_S * ACT_S].tolist()
        for bot in losing:
            welcome = generator.welcomes[bot]
            assert welcome is not None
            generator.cut(bot)
            self.cut += 1
            self._come_back(bot, now_s, welcome.resume_token)

    def joined(self, generator: Generator, joined: Joined) -> None:
        """Was a resume answered as one?"""
        token = self._tokens.pop(joined.bot, None)
        if token is None:
            return
        if not token:
            self.rejoined += 1
        elif joined.welcome.resumed:
            self.resumed += 1
        else:
            self.resume_refused += 1

    def summary(self) -> dict[str, float | int | None]:
        """Counts of the whole run."""
        return {
            "left": self.left, "cut": self.cut, "rejoined": self.rejoined,
            "resumed": self.resumed, "resume_refused": self.resume_refused,
        }

    def _come_back(self, bot: int, now_s: float, token: str) -> None:
        heapq.heappush(self._returns, (now_s + self._rng.uniform(0.5, 2.0), bot, token))


@dataclass
class Chat(Walk):
    """Each bot says a line every few seconds; submit to published is measured."""

    seed: int
    submitted: int = 0
    published: int = 0
    refused: int = 0
    delivered_to_probes: int = 0
    _author_ms: list[float] = field(default_factory=list[float])
    _other_ms: list[float] = field(default_factory=list[float])
    _said_ns: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def act(self, generator: Generator, now_s: float) -> None:
        """Some of those who are there say something."""
        there = np.flatnonzero(generator.fleet.bots["state"] == ACTIVE)
        draws = self._rng.random(len(there))
        now_ns = int(now_s * 1e9)
        for bot in there[draws < ACT_S / CHAT_PERIOD_S].tolist():
            self.submitted += 1
            wide = self._rng.random() < WORLD_CHAT_SHARE
            channel = ChatChannel.WORLD if wide else ChatChannel.NEARBY
            line = messages.ChatSubmit(self.submitted, channel, 0, f"{bot} {self.submitted} hello")
            self._said_ns[bot, self.submitted] = now_ns
            generator.say(bot, line)

    def heard(self, bot: int, message: messages.ServerMessage, now_ns: int) -> None:
        """The author hears PUBLISHED; probes hear the line."""
        match message:
            case messages.ChatStatus(request_id=request, state=ChatState.PUBLISHED):
                said_ns = self._said_ns.get((bot, request))
                if said_ns is not None:
                    self.published += 1
                    self._author_ms.append((now_ns - said_ns) / 1e6)
            case messages.ChatStatus(state=ChatState.REJECTED):
                self.refused += 1
            case messages.Result(code=code) if code != ErrorCode.OK:
                self.refused += 1
            case messages.ChatPublished(text=text):
                self._heard_line(bot, text, now_ns)
            case _:
                pass

    def summary(self) -> dict[str, float | int | None]:
        """Counts of the whole run, and latency in ms at the author and at other clients."""
        author, other = np.array(self._author_ms), np.array(self._other_ms)
        return {
            "submitted": self.submitted, "published": self.published, "refused": self.refused,
            "delivered_to_probes": self.delivered_to_probes,
            "published_ms_p50": _quantile(author, 0.5), "published_ms_p99": _quantile(author, 0.99),
            "delivered_ms_p50": _quantile(other, 0.5), "delivered_ms_p99": _quantile(other, 0.99),
        }

    def _heard_line(self, bot: int, text: str, now_ns: int) -> None:
        words = text.split(" ")
        if len(words) != 3 or not (words[0].isdecimal() and words[1].isdecimal()):
            return
        author, number = int(words[0]), int(words[1])
        said_ns = self._said_ns.get((author, number))
        if said_ns is not None and author != bot:
            self.delivered_to_probes += 1
            self._other_ms.append((now_ns - said_ns) / 1e6)


def make_scenario(name: ScenarioName, seed: int) -> Walk:
    """The scenario called `name`."""
    if name == "churn":
        return Churn(seed)
    return Chat(seed) if name == "chat" else Walk()


def _quantile(values: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 3) if len(values) else None


"""What builders send, and how long it takes until they hear that it is safe.

Theory of operation
-------------------
Builders are bots of the crowd: they walk and are shown to others as anybody. Each makes props of
its own, once, and then edits them in turn, so that no two edits of one commit are about the same
prop and every edit is a row. There are two ways to ask:

    open     `rate_per_s` edits each second by all together, whatever becomes of those before
    closed   each builder has one edit under way; its end (DURABLE, REFUSED, ...) sends the next

An edit that is sent late because the generator was late is sent all the same, at once: the rate is
kept, and the generator's own lateness is a figure of the run. An edit's time runs from just before
its `send` to the moment at which its author's EditStatus was decoded.

Frames are masked with the key 0, which leaves the bytes as they are: the server unmasks them as any
others, and the generator, which shares its CPU with the database, is spared the work.
"""

from __future__ import annotations

import enum
import hashlib
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from atrium_loadtest import frames
from atrium_loadtest.fleet import ACTIVE
from atrium_loadtest.generator import Generator
from atrium_loadtest.joiner import Joined
from atrium_loadtest.scenarios import Walk
from atrium_shared import codec, edits, limits, messages, props
from atrium_shared.messages import EditState

MAKE_PER_S: Final = 2_000.0
"""How fast builders make their first props, all together at most."""
MAKE_PER_BUILDER_S: Final = 0.7 * limits.EDIT_PER_S_MAX
BEHIND_S_MAX: Final = 1.0
"""What was due longer ago than this is not sent any more: the load was not as asked for."""
SPREAD_M: Final = 150.0
_KEY: Final = bytes(4)
_STEPS: Final = 40
_STEP_M: Final = 0.05


class Kind(enum.StrEnum):
    """What an edit does."""

    PLACE = "place"
    """Moves one prop: one row."""
    ATTACH = "attach"
    """Puts all props of the builder into a group, or out of it: a row for each."""


@dataclass(frozen=True)
class Site:
    """Who builds, and what they have to build with."""

    builders: int
    """The first so many bots of the crowd."""
    props_each: int
    kind: Kind = Kind.PLACE
    seed: int = 1

    @property
    def rows_per_edit(self) -> int:
        """Entities that one edit changes."""
        return self.props_each if self.kind is Kind.ATTACH else 1


@dataclass
class EditTally:
    """What became of the edits of one window."""

    sent: int = 0
    dropped: int = 0
    """Due, and not sent because the generator was too far behind or the socket was full."""
    accepted_ns: list[int] = field(default_factory=list[int])
    """From each send to ACCEPTED."""
    durable_ns: list[int] = field(default_factory=list[int])
    """From each send to DURABLE."""
    ended: Counter[str] = field(default_factory=Counter[str])
    """Edits with another end, by state and code."""


class EditLoad(Walk):
    """A scenario of the generator: the edits of its builders. Call `pump` often."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tally = EditTally()
        self.under_way = 0
        """Edits that have not come to their end."""
        self.made = 0
        """Props that are there for good."""
        self._links: dict[int, socket.socket] = {}
        self._requests = [0] * site.builders
        self._sent: list[dict[int, int]] = [{} for _ in range(site.builders)]
        self._rate_per_s = 0.0
        self._begun_ns = self._done = 0
        self._is_closed = self._is_making = False
        self._generator: Generator | None = None

    # --- for the bench --------------------------------------------------------------------

    @property
    def joined_builders(self) -> int:
        """Builders that are in the world."""
        return len(self._links)

    @property
    def to_make(self) -> int:
        """Props that `make` makes."""
        groups = 1 if self.site.kind is Kind.ATTACH else 0
        return self.site.builders * (self.site.props_each + groups)

    def make(self, now_ns: int) -> None:
        """Begin to make the props of all builders; done when `made` is `to_make`."""
        self._is_making = True
        rate_per_s = min(MAKE_PER_S, MAKE_PER_BUILDER_S * self.site.builders)
        self._pace(rate_per_s, now_ns)

    def open_loop(self, rate_per_s: float, now_ns: int) -> None:
        """Edit at this rate from now on; 0 for not at all."""
        self._is_making = self._is_closed = False
        self._pace(rate_per_s, now_ns)

    def closed_loop(self) -> None:
        """Edit with one edit of each builder under way, until `open_loop` is called."""
        self._pace(0.0, 0)
        self._is_making, self._is_closed = False, True
        for bot in range(self.site.builders):
            self._edit(bot, time.monotonic_ns())

    def take_tally(self) -> EditTally:
        """What was counted since the last call."""
        taken, self.tally = self.tally, EditTally()
        return taken

    def pump(self, now_ns: int) -> None:
        """Send what is due."""
        if not self._rate_per_s:
            return
        due = int((now_ns - self._begun_ns) / 1e9 * self._rate_per_s)
        if self._is_making:
            due = min(due, self.to_make)
        elif due - self._done > BEHIND_S_MAX * self._rate_per_s:
            self.tally.dropped += due - self._done
            self._done = due
        while self._done < due:
            turn, bot = divmod(self._done, self.site.builders)
            self._done += 1
            if self._is_making:
                self._send(bot, self._first(bot, turn), now_ns)
            else:
                self._edit(bot, now_ns)

    # --- for the generator ----------------------------------------------------------------

    def joined(self, generator: Generator, joined: Joined) -> None:
        """A builder is in."""
        self._generator = generator
        if joined.bot < self.site.builders:
            self._links[joined.bot] = joined.connection

    def heard(self, bot: int, message: messages.ServerMessage, now_ns: int) -> None:
        """An edit has gone a step further."""
        if not isinstance(message, messages.EditStatus) or bot >= self.site.builders:
            return
        if message.state is EditState.ACCEPTED:
            sent_ns = self._sent[bot].get(message.request_id)
            if sent_ns is not None:
                self.tally.accepted_ns.append(now_ns - sent_ns)
            return
        sent_ns = self._sent[bot].pop(message.request_id, None)
        if sent_ns is None:
            return
        self.under_way -= 1
        if message.state is EditState.DURABLE:
            self.tally.durable_ns.append(now_ns - sent_ns)
            self.made += self._is_making
        else:
            self.tally.ended[f"{message.state.name.lower()} {message.code}"] += 1
        if self._is_closed:
            self._edit(bot, now_ns)

    # --- parts ----------------------------------------------------------------------------

    def _pace(self, rate_per_s: float, now_ns: int) -> None:
        self._rate_per_s, self._begun_ns, self._done = rate_per_s, now_ns, 0
        self._is_closed = False

    def _edit(self, bot: int, now_ns: int) -> None:
        self._send(bot, next_edit(self.site, bot, self._requests[bot]), now_ns)

    def _first(self, bot: int, turn: int) -> edits.Edit:
        """The `turn`-th thing that a builder makes."""
        if turn == self.site.props_each:
            return edits.Create(
                prop_id(self.site, bot, turn), b"", props.Transform(), props.Group()
            )
        place = transform_of(self.site, bot, turn, 0)
        return edits.Create(prop_id(self.site, bot, turn), b"", place, props.Shape())

    def _send(self, bot: int, edit: edits.Edit, now_ns: int) -> None:
        link = self._links.get(bot)
        assert self._generator is not None
        rows = self._generator.fleet.bots
        if link is None or rows["state"][bot] != ACTIVE or rows["tail"][bot] or rows["muted"][bot]:
            self.tally.dropped += 1  # it is gone, or a pose of it is half sent
            return
        self._requests[bot] += 1
        request_id = self._requests[bot]
        frame = plain_frame(codec.encode(messages.EditSubmit(request_id, edit)))
        self._sent[bot][request_id] = now_ns
        self.under_way += 1
        self.tally.sent += 1
        try:
            taken = link.send(frame)
        except OSError:
            taken = 0
        if taken < len(frame):  # nothing may follow half a frame
            self.tally.ended["the socket was full"] += 1
            self._links.pop(bot)
            self._generator.cut(bot)


def plain_frame(payload: bytes) -> bytes:
    """One whole frame of a client, masked with a key that changes nothing."""
    length = len(payload)
    if length < 126:
        return b"\x82" + bytes((0x80 | length,)) + _KEY + payload
    if length < 65_536:
        return b"\x82\xfe" + length.to_bytes(2, "big") + _KEY + payload
    return frames.client_frame(frames.BINARY, payload, _KEY)


def prop_id(site: Site, bot: int, number: int) -> bytes:
    """The id of a builder's prop, the same for the same seed."""
    name = f"{site.seed} {bot} {number}".encode()
    return hashlib.blake2b(name, digest_size=16).digest()


def transform_of(site: Site, bot: int, number: int, step: int) -> props.Transform:
    """Where a builder's prop stands after so many moves: never where it stood before."""
    row, column = divmod(bot, 32)
    x = -SPREAD_M + 9.0 * column + 0.5 * number % SPREAD_M
    return props.Transform(
        (x + _STEP_M * (step % _STEPS), 0.5, -SPREAD_M + 9.0 * (row % 32)), (0.0, 0.0, 0.0, 1.0),
        (0.4, 0.4, 0.4),
    )


def next_edit(site: Site, bot: int, count: int) -> edits.Edit:
    """The edit of a builder that has asked for `count` things before."""
    if site.kind is Kind.PLACE:
        number = count % site.props_each
        step = 1 + count // site.props_each
        return edits.Place(prop_id(site, bot, number), transform_of(site, bot, number, step))
    # After all that was made, its group as the last, everything lies in the world.
    is_in = (count - site.props_each) % 2 == 1
    group = prop_id(site, bot, site.props_each) if is_in else b""
    ids = tuple(prop_id(site, bot, number) for number in range(site.props_each))
    return edits.Attach(ids, group)

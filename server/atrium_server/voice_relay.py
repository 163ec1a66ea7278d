"""What voice needs of the server besides pairs: ICE servers, and signals between those paired.

Signals tell addresses of people, so they never come into a world, a recording or a log: they are
taken out of what a tick is given, and passed on after it to whoever is still paired with the
sender. All others are dropped and counted, for a pair may have ended while they were under way;
and so is what would be more for one receiver than SIGNAL_BYTES_PER_S_MAX, and what would come to
wait behind much else: a peer must not be able to fill the link of somebody slow until that ends.

TURN servers get credentials that run out, by the convention of the TURN REST API: the user name
is when it ends and the session's number, the password an HMAC-SHA1 of that with the secret that the
TURN server knows as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from atrium_server.seats import Session
from atrium_server.telemetry import Counter
from atrium_server.world.commands import AnyCommand, SetVoice, Signal
from atrium_server.world.world import World
from atrium_shared import limits
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import IceServer, Message, Result, RtcServers, RtcSignalled
from atrium_shared.social import FEATURE_VOICE

TURN_S = 12 * 3600
"""How long credentials are good for; longer than anybody stays with one connection."""


@dataclass(frozen=True, slots=True)
class IceSettings:
    """By which servers people find each other."""

    urls: tuple[str, ...] = ()
    turn_secret: str = field(default="", repr=False)
    now: Callable[[], float] = time.time

    def servers_for(self, session_id: int) -> RtcServers:
        """As one session is told."""
        username = f"{int(self.now()) + TURN_S}:{session_id}"
        digest = hmac.new(self.turn_secret.encode(), username.encode(), hashlib.sha1).digest()
        password = base64.b64encode(digest).decode()
        return RtcServers(tuple(
            IceServer(url, username, password)
            if self.turn_secret and url.startswith(("turn:", "turns:")) else IceServer(url, "", "")
            for url in self.urls
        ))


@dataclass(slots=True)
class _Room:
    """What may still be sent to one session, and when that was counted."""

    bytes_left: float
    tick: int


class Post(Protocol):
    """How somebody is told something."""

    def answer(self, session_id: int, message: Message) -> None:
        """What somebody waits for."""
        ...

    def relay(self, session_id: int, message: Message) -> None:
        """What one person says to another alone."""
        ...

    def waiting_bytes(self, session_id: int) -> int:
        """How much is queued for somebody's link."""
        ...


class VoiceRelay:
    """That of one world; `sessions` are those of its host, and change."""

    def __init__(
        self, sessions: dict[int, Session], ice: IceSettings, dropped: Counter, post: Post
    ) -> None:
        self._sessions, self._ice, self._dropped = sessions, ice, dropped
        self._post = post
        self._signals: list[Signal] = []
        self._rooms: dict[int, _Room] = {}

    def before_tick(self, commands: list[AnyCommand]) -> None:
        """Take signals out of `commands`, and refuse voice to who would not understand it."""
        self._signals = [one for one in commands if isinstance(one, Signal)]
        refused = [
            one for one in commands if isinstance(one, SetVoice) and not self._understands(one)
        ]
        for one in refused:
            self._post.answer(one.session_id, Result(
                one.request_id, ErrorCode.NOT_ALLOWED,
                "Announce the feature 'voice' when you join to use it.", 0,
            ))
        if self._signals or refused:
            commands[:] = [
                one for one in commands if not isinstance(one, Signal) and one not in refused
            ]

    def _understands(self, command: SetVoice) -> bool:
        session = self._sessions.get(command.session_id)
        return session is not None and FEATURE_VOICE in session.capabilities.features

    def after_tick(self, voiced: list[int], world: World) -> None:
        """Tell ICE servers to those who switched voice on, and pass on what the pairs allow."""
        for session_id in voiced:
            self._post.answer(session_id, self._ice.servers_for(session_id))
        for signal in self._signals:
            sender = world.slot_of(signal.session_id)
            target = (
                None if sender is None
                else world.society.voices.paired_session(sender, signal.target)
            )
            if sender is None or target is None or not self._has_room(target, signal, world):
                self._dropped.add(1)
                continue
            entity_id = int(world.tables.entity_ids[sender])
            self._post.relay(target, RtcSignalled(entity_id, signal.kind, signal.data))
        self._signals = []

    def _has_room(self, target: int, signal: Signal, world: World) -> bool:
        """Whether the target may be sent so much; it is counted."""
        most = limits.SIGNAL_BYTES_BURST_MAX
        room = self._rooms.get(target)
        if room is None:
            self._rooms = {key: one for key, one in self._rooms.items() if key in self._sessions}
            room = self._rooms[target] = _Room(most, world.tick)
        passed_s = (world.tick - room.tick) / world.manifest.tick_rate_hz
        room.bytes_left = min(most, room.bytes_left + passed_s * limits.SIGNAL_BYTES_PER_S_MAX)
        room.tick = world.tick
        size_bytes = len(signal.data) + limits.SIGNAL_COST_BYTES_MIN
        if room.bytes_left < size_bytes:
            return False
        if self._post.waiting_bytes(target) + size_bytes > limits.SIGNALS_WAITING_BYTES_MAX:
            return False
        room.bytes_left -= size_bytes
        return True

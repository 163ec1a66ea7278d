"""A WorldHost owns one world: its inbox, its tick, and what its clients are told.

Theory of operation
-------------------
`tick` is one screen and reads as the list of its phases; there is no await, lock or clock in it.
What comes from outside (joins, chat, verdicts, poses) waits in the inbox; what goes out is handed
to the gateway (`ClientSink`) in the same tick. The host itself keeps what is neither the world's
nor the network's: seats, and which connection belongs to which slot. What was built is handed to
the keeper, who sees to it that it lasts.

When it ticks, and what becomes of it after a failure, is decided by its supervisor.
"""

from __future__ import annotations

import logging
import uuid

import numpy as np
import trio

from atrium_server.amendments import Amendments
from atrium_server.arrivals import greeting, join_of, news
from atrium_server.doors import JoinRequest
from atrium_server.frames import binary_frame
from atrium_server.host_parts import HostParts, HostState
from atrium_server.keeper import NOTHING_KEPT, Kept
from atrium_server.mailbox import Inbox
from atrium_server.messenger import Messenger
from atrium_server.persistence.store import EditKey
from atrium_server.replication.replicator import ReplicationSettings, Replicator, granted_cap
from atrium_server.safety import Safety
from atrium_server.seats import Seats, Session
from atrium_server.tokens import invalid
from atrium_server.voice_relay import VoiceRelay
from atrium_server.world.commands import (
    AnyCommand,
    Entitle,
    Joined,
    Leave,
    LinkChange,
)
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import codec, limits
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Capabilities, Notice

logger = logging.getLogger(__name__)


class WorldHost:
    """Owner of one world."""

    def __init__(self, manifest: Manifest, manifest_text: str, parts: HostParts) -> None:
        self.manifest = manifest
        self.state = HostState()
        self._text = manifest_text
        self.parts = parts
        self._messenger = Messenger(
            parts.sink, self.state.sessions, parts.scenes, parts.scribe,
            parts.keeper.claim.world_id,
        )
        self.safety = Safety(
            self.state.sessions, parts.keeper.claim.world_id, parts.safety,
            self._messenger.answer, self.state.of_author,
        )
        self.voice = VoiceRelay(
            self.state.sessions, parts.ice, parts.metrics.signals_dropped, self._messenger
        )
        self.amendments = Amendments(lambda command: self.inbox.must(command))
        self.parts.keeper.offer = lambda command: self.inbox.must(command)
        self.parts.keeper.tell = self._tell_durable
        self.parts.attendance.host = self
        self.world = World(manifest, parts.seed)
        self.begin(NOTHING_KEPT)

    @property
    def attending(self) -> dict[int, Session]:
        """All sessions, by their number."""
        return self.state.sessions

    async def load(self) -> None:
        """Begin with what the store has. Raises PropError, Unavailable or Fenced."""
        self.begin(await self.parts.keeper.load())
        await self.parts.scenes.begin(self.world)

    def begin(self, kept: Kept) -> None:
        """Begin (again) without anybody."""
        m = self.manifest
        self.is_loading = kept is NOTHING_KEPT
        for session in self.state.sessions.values():
            self.parts.attendance.over(session)
        said_to = self.world.chat.last_seq
        self.world = World(m, self.parts.seed)
        self.world.chat.skip_to(said_to)  # no client takes one line for another
        if kept is not NOTHING_KEPT:
            lost = self.world.building.load(kept.props, kept.run)
            if lost:
                logger.error("in world %s %d props had lost their group", self.name, lost)
        self.amendments.fail()
        self.inbox = Inbox(m.capacity)
        self.seats = Seats(m.capacity, limits.JOIN_S_MAX, self.parts.resume_s)
        low, high = m.extent_mm
        self.replicator = Replicator(ReplicationSettings(
            radius_m=m.interest.radius_m, hysteresis_m=m.interest.hysteresis_m,
            full_rate_radius_m=m.interest.full_rate_radius_m + m.interest.hysteresis_m,
            half_rate_radius_m=m.interest.half_rate_radius_m + m.interest.hysteresis_m,
            cap=m.interest.cap, tick_rate_hz=m.tick_rate_hz, low_mm=(low[0], low[2]),
            high_mm=(high[0], high[2]), entities_max=m.capacity, viewers_max=m.capacity,
        ))
        self.state.sessions.clear()
        self.state.number_of.clear()
        self.state.of_author.clear()
        self._returned: dict[int, Session] = {}
        self._connection_of = np.full(m.capacity, -1, np.int32)

    def record(self) -> None:
        """The world as it is now is the beginning of what is recorded."""
        self.parts.recorder.begin(self._text, self.name, self.parts.seed, self.world)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def tick_number(self) -> int:
        """The number of the last tick."""
        return self.world.tick

    # --- the tick ------------------------------------------------------------------------

    def tick(self, server_ms: int) -> None:
        """One tick of the world and of all that its clients are told."""
        drained = self.inbox.drain()
        self._messenger.before_tick(drained.commands)
        self.safety.before_tick(drained.commands)
        self.voice.before_tick(drained.commands)
        self.parts.keeper.before_tick(drained.commands)
        # Recorded first, so that the inputs of a tick that fails are in the dump.
        self.parts.recorder.take(drained, server_ms, self.world)
        output = self.world.step(drained.commands, drained.poses, server_ms)
        self.replicator.take_acks(drained.ack_slots, drained.ack_ticks)
        self.replicator.take_frame(self.world.publish())
        self.parts.keeper.take(output.edits)
        self._welcome(output.joined, server_ms)
        self._messenger.tell(output.tells)
        self.voice.after_tick(output.voiced, self.world)
        self.safety.take(output, self.world)
        self.parts.judge.consider(output.judge, self.inbox)
        self.parts.judge.consider_signs(output.signs, self.inbox)
        self.amendments.report(output.amended)
        self._replicate(server_ms)
        self._count(output.poses_taken, output.corrections)

    def _replicate(self, server_ms: int) -> None:
        sink, metrics = self.parts.sink, self.parts.metrics
        slots = np.flatnonzero(self._connection_of >= 0).astype(np.int32)
        whole = slots[sink.ready(self._connection_of[slots])]
        which, room = self.replicator.with_credit(whole)
        metrics.skipped_tail.add(len(slots) - len(whole))
        metrics.skipped_credit.add(len(whole) - len(which))
        connections = self._connection_of[which]
        prefixes = sink.pending(connections, room)
        first = 0
        while first < len(which):
            built, end = self.replicator.build(which, prefixes, first, server_ms)
            assert end > first, "every piece fits into an empty arena"
            accepted = sink.send(
                connections[first:end], built.prefixes, built.arena, built.offsets, built.lengths
            )
            self.replicator.commit(built, accepted)
            taken = int(accepted.sum())
            metrics.snapshots.add(taken)
            metrics.skipped_broken.add(len(accepted) - taken)
            metrics.snapshot_bytes.add(int(built.lengths @ accepted))
            if self.parts.send_trace is not None:
                self.parts.send_trace(server_ms / 1000, built.lengths[accepted == 1])
            first = end

    def _tell_durable(self, edits: list[EditKey]) -> None:
        """To those of their authors who are here; the others ask again when they are back."""
        sessions, number_of = self.state.sessions, self.state.number_of
        of = [(sessions.get(number_of.get(key.bytes, -1)), asked) for key, asked in edits]
        self._messenger.durable(
            (int(self._connection_of[session.slot]), asked) for session, asked in of
            if session is not None and session.slot >= 0 <= self._connection_of[session.slot]
            and self.world.building.awaits(session.session_id, asked)
        )

    def _count(self, poses: int, corrections: dict[str, int]) -> None:
        self.parts.metrics.poses.add(poses)
        for reason, count in corrections.items():
            self.parts.metrics.correction(reason).add(count)

    # --- coming and going ----------------------------------------------------------------

    def admit(self, request: JoinRequest, session_id: int, before: Session | None = None) -> None:
        """Reserve a seat and ask the world for an avatar; `before` is the session in the world
        that it comes from. Raises Overload when it is full.
        """
        self.seats.reserve(session_id, trio.current_time())
        wants = request.capabilities
        session = Session(
            session_id, request.connection, wants, self._cap_for(wants),
            uuid=uuid.uuid4().bytes, name=request.name, avatar=request.avatar,
            account=request.account, sign_in=request.sign_in, regards=request.regards,
        )
        session.rights = self.manifest.rights_of(
            request.account is not None, request.permissions
        )
        if before is not None:
            session.uuid, session.rotation = before.uuid, before.rotation + 1
            session.request_id, session.travelled = request.request_id, True
            session.floor = before.floor
            session.regards, session.is_safe = before.regards, before.is_safe
        self.enrol(session)
        self.inbox.must(join_of(session))

    def enrol(self, session: Session) -> None:
        """It has a seat, and is known by its number and id."""
        self.state.sessions[session.session_id] = session
        self.state.number_of[session.uuid] = session.session_id
        self.state.of_author.setdefault(session.author, []).append(session)

    def _cap_for(self, wants: Capabilities) -> int:
        return granted_cap(
            self.manifest.interest.cap, wants.avatars_max, wants.bytes_per_s,
            self.manifest.tick_rate_hz,
        )

    def resume(self, request: JoinRequest, session_id: int, rotation: int) -> None:
        """Give a session a new connection. Raises ProtocolError(RESUME_INVALID)."""
        session = self.state.sessions.get(session_id)
        if session is None or not self._is_good(session, rotation):
            raise invalid()
        if session.account != request.account:
            raise invalid()  # a token of the session alone does not make anybody of an account
        if session.connection >= 0:
            old, session.connection = session.connection, -1
            self.parts.sink.end(old, ErrorCode.REPLACED, "You came back on another connection.")
        session.rotation = max(rotation, session.rotation) + 1
        session.connection = request.connection
        session.capabilities = request.capabilities
        session.cap = self._cap_for(request.capabilities)
        # One who has not heard yet that it is here counts the lines of another world.
        session.last_chat_seq = request.last_chat_seq if request.world in ("", self.name) else 0
        session.resumed, session.request_id = True, 0
        session.sign_in = request.sign_in
        self.entitle(session, request.permissions)
        if session.slot < 0:
            if session.back is not None:
                if session.account is not None:
                    session.regards = request.regards
                self._come_back(session)
            return  # welcomed when there is an avatar
        self._connection_of[session.slot] = -1  # nothing is sent before the welcome
        self.seats.activate(session_id)
        self.inbox.must(LinkChange(session_id, lost=False))
        self._returned[session_id] = session

    def _come_back(self, session: Session) -> None:
        """Somebody of an earlier run is here again."""
        self.seats.rejoin(session.session_id, trio.current_time())
        self.inbox.must(join_of(session))
        session.back = None

    def _is_good(self, session: Session, rotation: int) -> bool:
        """Whether a token may be used. The one before the last is, until the client has shown that
        it got the last by acknowledging a snapshot: a lost link may take a welcome with it.
        """
        if session.back is not None:
            # What was saved of it may be older than the token.
            return rotation >= session.rotation - 1
        unheard = (
            session.slot < 0 or session.session_id in self._returned
            or not self.replicator.has_acked(session.slot)
        )
        return rotation == session.rotation or (unheard and rotation == session.rotation - 1)

    def link_lost(self, session_id: int, connection: int) -> None:
        """The connection broke: the avatar stays, marked, until its owner is back or late."""
        session = self.state.sessions.get(session_id)
        if session is None or session.connection != connection:
            return
        if session.slot < 0 and not session.travelled:
            self.leave(session_id)
            return
        session.connection = -1
        if session.slot >= 0:
            self._suspend(session)

    def _suspend(self, session: Session) -> None:
        self._connection_of[session.slot] = -1
        self.seats.suspend(session.session_id, trio.current_time())
        self.inbox.must(LinkChange(session.session_id, lost=True))

    def leave(self, session_id: int, *, is_over: bool = True) -> None:
        """The session is over, or goes on in another world: seat, viewer and avatar go."""
        session = self.state.sessions.pop(session_id, None)
        if session is None:
            return
        del self.state.number_of[session.uuid]
        of_author = self.state.of_author[session.author]
        of_author[:] = [one for one in of_author if one is not session]
        if not of_author:
            del self.state.of_author[session.author]
        if is_over:
            self.parts.attendance.over(session)
        self._returned.pop(session_id, None)
        self.seats.release(session_id)
        if session.slot >= 0:
            self._connection_of[session.slot] = -1
            self.replicator.remove_viewer(session.slot)
        self.inbox.must(Leave(session_id))

    def expire(self) -> None:
        """Give up seats that nobody came (back) to in time. Called once a second."""
        for session_id in self.seats.expired(trio.current_time()):
            session = self.state.sessions[session_id]
            if session.connection >= 0:
                self.parts.sink.end(
                    session.connection, ErrorCode.TIMEOUT, "Joining the world took too long."
                )
            self.leave(session_id)

    def _welcome(self, joined: list[Joined], server_ms: int) -> None:
        """Open the gates for those whose avatar has just been made, or who are back."""
        arrived: list[Session] = []
        for one in joined:
            session = self.state.sessions.get(one.session_id)
            if session is not None:
                session.slot = one.slot
                self.seats.activate(one.session_id)
                arrived.append(session)
                if session.connection < 0:  # a traveller whose link broke on the way
                    self._suspend(session)
        for session in [*arrived, *self._returned.values()]:
            wants = session.capabilities
            # Also for one whose link is gone again: what it had acknowledged is of before.
            self.replicator.add_viewer(
                session.slot, session.slot, session.cap, wants.parts, wants.bytes_per_s
            )
            if session.connection >= 0:
                self._open(session, server_ms)
        self._returned.clear()

    def _open(self, session: Session, server_ms: int) -> None:
        self.parts.attendance.touch(session)
        self._connection_of[session.slot] = session.connection
        sink = self.parts.sink
        sink.joined(session.connection, session.session_id, self, session.slot)
        welcome = greeting(self.parts, self.world, session, server_ms)
        sink.tell(session.connection, binary_frame(codec.encode(welcome)))
        for frame in news(self.parts, self.world, session):
            sink.tell(session.connection, frame, is_talk=True)

    def entitle(self, session: Session, permissions: frozenset[str]) -> None:
        """What the account of a session may do here now."""
        rights = self.manifest.rights_of(session.account is not None, permissions)
        if rights != session.rights:
            session.rights = rights
            if session.back is None:  # else it asks for an avatar with these
                self.inbox.must(Entitle(session.session_id, rights))

    def expel(self, session_id: int, sentence: str) -> None:
        """The session is over, and is told why."""
        session = self.state.sessions[session_id]
        if session.connection >= 0:
            self.parts.sink.end(session.connection, ErrorCode.NOT_ALLOWED, sentence)
        self.leave(session_id)

    def notify(self, person: str, sentence: str) -> None:
        """Tell somebody something, wherever they are in this world; nobody if they are not."""
        for session in self.state.of_author.get(person, ()):
            self._messenger.answer(session.session_id, Notice(ErrorCode.OK, sentence))

    def dismiss(self, sentence: str) -> None:
        """Tell everybody that it is over, and why."""
        for session in list(self.state.sessions.values()):
            if session.connection >= 0:
                self.parts.sink.end(session.connection, ErrorCode.INTERNAL, sentence)

    # --- what others bring ---------------------------------------------------------------

    def offer(self, command: AnyCommand) -> bool:
        return self.inbox.offer(command)

    def offer_ack(self, slot: int, tick: int) -> None:
        self.inbox.offer_ack(slot, tick)

    def offer_poses(self, batch: PoseBatch) -> None:
        self.inbox.offer_poses(batch)

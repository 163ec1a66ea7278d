"""A WorldHost owns one world: its inbox, its tick, and what its clients are told.

Theory of operation
-------------------
`tick` is one screen and reads as the list of its phases; there is no await, lock or clock in it.
What comes from outside (joins, chat, verdicts, poses) waits in the inbox; what goes out is handed
to the gateway (`ClientSink`) in the same tick. The host itself keeps what is neither the world's
nor the network's: seats, and which connection belongs to which slot.

`run` is the supervisor. A bug in a tick ends this world, loudly: its inputs are dumped, its
sessions are told and closed with 1011, and it begins again, WORLD_RESTARTS_MAX times; other worlds
never notice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.doors import ClientSink, JoinRequest
from atrium_server.frames import binary_frame
from atrium_server.judge import Judge
from atrium_server.mailbox import Inbox
from atrium_server.recording import Recorder
from atrium_server.replication.replicator import (
    ReplicationSettings,
    Replicator,
    granted_cap,
)
from atrium_server.seats import Seats, Session
from atrium_server.telemetry import Counter, Histogram
from atrium_server.ticker import Sleeper, Ticks
from atrium_server.tokens import TokenSigner, invalid
from atrium_server.world.commands import AnyCommand, Join, Joined, Leave, LinkChange, Tell
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import codec, limits
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import (
    Capabilities,
    ChatPublished,
    ChatRetract,
    Emote,
    Message,
    Welcome,
)

logger = logging.getLogger(__name__)
_TALK = (ChatPublished, ChatRetract, Emote)
"""What others say: it may wait for credit, while what concerns a client itself may not."""


@dataclass(frozen=True, slots=True)
class HostMetrics:
    """Where a host counts."""

    tick_seconds: Histogram
    late_seconds: Histogram
    collect_seconds: Histogram
    poses: Counter
    snapshots: Counter
    snapshot_bytes: Counter
    skipped_credit: Counter
    skipped_tail: Counter
    skipped_broken: Counter
    ticks_skipped: Counter
    restarts: Counter
    correction: Callable[[str], Counter]


@dataclass(frozen=True, slots=True)
class HostParts:
    """What a host is given."""

    sink: ClientSink
    judge: Judge
    signer: TokenSigner
    metrics: HostMetrics
    recorder: Recorder
    collect: Callable[[], None]
    """Brings in what the sockets have, just before a tick."""
    dump: Callable[[str, bytes], None]
    """Keeps the inputs of a world that failed."""
    sleeper: Callable[[], Sleeper]
    epoch: float
    """The clock's time at which the wire's milliseconds are 0."""
    seed: int
    resume_s: float
    send_trace: Callable[[float, npt.NDArray[np.int64]], None] | None = None


@dataclass(slots=True)
class HostState:
    """What outsiders may read of a host's health."""

    last_tick_at: float = -1.0
    restarts: int = 0
    failed: bool = False
    sessions: dict[int, Session] = field(default_factory=dict[int, Session])


class WorldHost:
    """Owner of one world."""

    def __init__(self, manifest: Manifest, manifest_text: str, parts: HostParts) -> None:
        self.manifest = manifest
        self.state = HostState()
        self._text = manifest_text
        self._parts = parts
        self._failed_at: deque[float] = deque(maxlen=limits.WORLD_RESTARTS_MAX + 1)
        self._begin()

    def _begin(self) -> None:
        m = self.manifest
        self.world = World(m, self._parts.seed)
        self.inbox = Inbox(m.capacity)
        self.seats = Seats(m.capacity, limits.JOIN_S_MAX, self._parts.resume_s)
        low, high = m.extent_mm
        self.replicator = Replicator(ReplicationSettings(
            radius_m=m.interest.radius_m, hysteresis_m=m.interest.hysteresis_m,
            full_rate_radius_m=m.interest.full_rate_radius_m + m.interest.hysteresis_m,
            half_rate_radius_m=m.interest.half_rate_radius_m + m.interest.hysteresis_m,
            cap=m.interest.cap, tick_rate_hz=m.tick_rate_hz, low_mm=(low[0], low[2]),
            high_mm=(high[0], high[2]), entities_max=m.capacity, viewers_max=m.capacity,
        ))
        self.state.sessions.clear()
        self._returned: dict[int, Session] = {}
        self._connection_of = np.full(m.capacity, -1, np.int32)
        self._parts.recorder.begin(self._text, m.name, self._parts.seed, self.world.tick)

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
        # Recorded first, so that the inputs of a tick that fails are in the dump.
        self._parts.recorder.take(drained, server_ms, self.world)
        output = self.world.step(drained.commands, drained.poses, server_ms)
        self.replicator.take_acks(drained.ack_slots, drained.ack_ticks)
        self.replicator.take_frame(self.world.publish())
        self._welcome(output.joined, server_ms)
        self._tell(output.tells)
        self._parts.judge.consider(output.judge, self.inbox)
        self._replicate(server_ms)
        self._count(output.poses_taken, output.corrections)

    def _replicate(self, server_ms: int) -> None:
        sink, metrics = self._parts.sink, self._parts.metrics
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
            if self._parts.send_trace is not None:
                self._parts.send_trace(server_ms / 1000, built.lengths[accepted == 1])
            first = end

    def _tell(self, tells: list[Tell]) -> None:
        for tell in tells:
            frame = binary_frame(codec.encode(tell.message))
            is_talk = isinstance(tell.message, _TALK)
            sessions = self.state.sessions
            for session_id in sessions if tell.sessions is None else tell.sessions:
                session = sessions.get(session_id)
                if session is not None and session.connection >= 0 and session.slot >= 0:
                    self._parts.sink.tell(session.connection, frame, is_talk)

    def _count(self, poses: int, corrections: dict[str, int]) -> None:
        self._parts.metrics.poses.add(poses)
        for reason, count in corrections.items():
            self._parts.metrics.correction(reason).add(count)

    # --- coming and going ----------------------------------------------------------------

    def admit(
        self, request: JoinRequest, session_id: int, rotation: int = 0, request_id: int = 0
    ) -> None:
        """Reserve a seat and ask the world for an avatar. Raises Overload when it is full."""
        self.seats.reserve(session_id, trio.current_time())
        wants = request.capabilities
        self.state.sessions[session_id] = Session(
            session_id, request.connection, wants, self._cap_for(wants), rotation=rotation,
            request_id=request_id, travelled=rotation > 0,
        )
        self.inbox.must(Join(session_id, request.name, request.avatar))

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
        if session.connection >= 0:
            old, session.connection = session.connection, -1
            self._parts.sink.end(old, ErrorCode.REPLACED, "You came back on another connection.")
        session.rotation = rotation + 1
        session.connection = request.connection
        session.capabilities = request.capabilities
        session.cap = self._cap_for(request.capabilities)
        # One who has not heard yet that it is here counts the lines of another world.
        session.last_chat_seq = request.last_chat_seq if request.world in ("", self.name) else 0
        session.resumed, session.request_id = True, 0
        if session.slot < 0:
            return  # a traveller, who is welcomed when there is an avatar
        self._connection_of[session.slot] = -1  # nothing is sent before the welcome
        self.seats.activate(session_id)
        self.inbox.must(LinkChange(session_id, lost=False))
        self._returned[session_id] = session

    def _is_good(self, session: Session, rotation: int) -> bool:
        """Whether a token may be used. The one before the last is, until the client has shown that
        it got the last by acknowledging a snapshot: a lost link may take a welcome with it.
        """
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

    def leave(self, session_id: int) -> None:
        """The session is over: seat, viewer and avatar go."""
        session = self.state.sessions.pop(session_id, None)
        if session is None:
            return
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
                self._parts.sink.end(
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
        self._connection_of[session.slot] = session.connection
        sink = self._parts.sink
        sink.joined(session.connection, session.session_id, self, session.slot)
        greeting = codec.encode(self._greeting(session, server_ms))
        sink.tell(session.connection, binary_frame(greeting))
        if session.resumed:
            for line in self.world.chat_since(session.session_id, session.last_chat_seq):
                sink.tell(session.connection, binary_frame(codec.encode(line)), is_talk=True)

    def _greeting(self, session: Session, server_ms: int) -> Message:
        m = self.manifest
        return Welcome(
            session_id=session.session_id,
            resume_token=self._parts.signer.sign(session.session_id, session.rotation),
            entity_id=int(self.world.tables.entity_ids[session.slot]), world=m.name,
            tick=self.world.tick, tick_rate_hz=m.tick_rate_hz, server_ms=server_ms,
            cap=session.cap, bytes_per_s=session.capabilities.bytes_per_s,
            parts=session.capabilities.parts, y_unit_mm=m.y_unit_mm, resumed=session.resumed,
            resume_s=int(self._parts.resume_s),
            scene_url=f"/api/worlds/{m.name}/scene@{m.scene_version}",
            body=self.world.root_body(session.slot), request_id=session.request_id,
        )

    # --- what others bring ---------------------------------------------------------------

    def offer(self, command: AnyCommand) -> bool:
        return self.inbox.offer(command)

    def offer_ack(self, slot: int, tick: int) -> None:
        self.inbox.offer_ack(slot, tick)

    def offer_poses(self, batch: PoseBatch, ack_ticks: npt.NDArray[np.uint32]) -> None:
        self.inbox.offer_poses(batch, ack_ticks)

    # --- life ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Tick for ever; after a failure begin again, a bounded number of times an hour."""
        parts, metrics = self._parts, self._parts.metrics
        sleeper = parts.sleeper()
        try:
            async for deadline, skipped in Ticks(1.0 / self.manifest.tick_rate_hz, sleeper):
                began = trio.current_time()
                metrics.late_seconds.observe(began - deadline)
                metrics.ticks_skipped.add(skipped)
                parts.collect()  # the network's own: what fails there is no fault of this world
                started = trio.current_time()
                metrics.collect_seconds.observe(started - began)
                try:
                    self.tick(int((deadline - parts.epoch) * 1000) & 0xFFFFFFFF)
                except Exception:
                    # The one boundary of this world: a bug in its tick is only its own.
                    logger.exception("world %s failed in tick %d", self.name, self.world.tick)
                    self._fail(deadline)
                    if self.state.failed:
                        logger.error("world %s failed too often and stays down", self.name)
                        return
                self.state.last_tick_at = trio.current_time()
                metrics.tick_seconds.observe(self.state.last_tick_at - started)
        finally:
            sleeper.close()

    def _fail(self, now: float) -> None:
        """Tell everybody, begin anew, and keep what led here."""
        inputs = self._parts.recorder.recent()
        for session in list(self.state.sessions.values()):
            if session.connection >= 0:
                self._parts.sink.end(
                    session.connection, ErrorCode.INTERNAL,
                    "The world had to be restarted: please join again.",
                )
        self.state.restarts += 1
        self._parts.metrics.restarts.add()
        self._failed_at.append(now)
        self.state.failed = len(self._failed_at) > limits.WORLD_RESTARTS_MAX and (
            now - self._failed_at[0] < limits.WORLD_RESTARTS_S
        )
        self._begin()
        # Written here and now, REPLAY_BYTES_MAX at most: the process may not live much longer.
        self._parts.dump(self.name, inputs)

"""Tells the clients of one world what its ticks have to say.

A message is encoded once for all who hear it. What changed in the scene is noted for newcomers, and
the "published" of a line waits for the scribe where there is one. That an edit is safe is told
between two ticks, in one call for all who have nothing else waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

import numpy as np

from atrium_server.doors import I32, ClientSink
from atrium_server.frames import binary_frame
from atrium_server.scenes import Scenes
from atrium_server.scribe import Scribe
from atrium_server.seats import Session
from atrium_server.world.commands import AnyCommand, Say, Tell
from atrium_shared import codec
from atrium_shared.edits import FEATURE_DRAGS
from atrium_shared.messages import (
    Appearance,
    ChatPublished,
    ChatRetract,
    ChatState,
    ChatStatus,
    EditState,
    EditStatus,
    Emote,
    Marker,
    Message,
    PropHeld,
    PropsChanged,
    PropsDragged,
    PropsFlown,
    Relations,
    RtcPeers,
    RtcServers,
    RtcSignalled,
)
from atrium_shared.social import (
    FEATURE_AVATARS,
    FEATURE_MARKERS,
    FEATURE_RELATIONS,
    FEATURE_VOICE,
)

_TALK = (
    ChatPublished, ChatRetract, Emote, PropsChanged, PropHeld, PropsFlown, Appearance, Marker,
    RtcSignalled, PropsDragged,
)
"""What others say and do: it may wait for credit, while what concerns a client itself may not."""
_FEATURE_OF: dict[type[Message], str] = {
    Appearance: FEATURE_AVATARS, Marker: FEATURE_MARKERS, Relations: FEATURE_RELATIONS,
    RtcPeers: FEATURE_VOICE, RtcServers: FEATURE_VOICE, PropsDragged: FEATURE_DRAGS,
}
"""What is told only to those whose client has announced that it understands it."""
SPEAKERS_MAX = 20_000
"""Who spoke last: more than can have lines on their way."""
_NO_ROOM = "What is said cannot be kept just now: try again in a moment."


class Messenger:
    """That of one world; `sessions` are those of its host, and change."""

    def __init__(
        self, sink: ClientSink, sessions: dict[int, Session], scenes: Scenes,
        scribe: Scribe | None, world_id: int,
    ) -> None:
        self._sink, self._sessions, self._scenes = sink, sessions, scenes
        self._scribe, self._world_id = scribe, world_id
        self._speakers: OrderedDict[int, Session] = OrderedDict()

    def tell(self, tells: list[Tell]) -> None:
        """All that a tick has to say, in its order."""
        line: ChatPublished | None = None
        for tell in tells:
            message = tell.message
            if isinstance(message, ChatPublished):
                line = message
            if self._scribe is not None and line is not None and is_published(message, line):
                self._keep(line, tell)
                continue
            if self._scribe is not None and isinstance(message, ChatRetract):
                self._scribe.retract(self._world_id, message.chat_seq)
            frame = binary_frame(codec.encode(message))
            if isinstance(message, PropsChanged):
                self._scenes.note(message.revision, frame)
            is_talk = isinstance(message, _TALK)
            feature = _FEATURE_OF.get(type(message))
            for session_id in self._sessions if tell.sessions is None else tell.sessions:
                if session_id not in tell.without:
                    self._send(session_id, frame, is_talk, feature)

    def durable(self, edits: Iterable[tuple[int, int]]) -> None:
        """Tell that these edits, (connection, request id), are safe. Now, unless something waits to
        be told before it, which may be that the edit was accepted.
        """
        frames: dict[int, bytes] = {}
        for connection, request_id in edits:
            status = EditStatus(request_id, EditState.DURABLE, 0, "", 0)
            frame = binary_frame(codec.encode(status))
            frames[connection] = frames.get(connection, b"") + frame
        if not frames:
            return
        connections = np.fromiter(frames, np.int32, len(frames))
        none = np.zeros(len(frames), np.int32)
        is_free = self._sink.ready(connections) & (self._sink.pending(connections, none) == 0)
        self._send_pieces(connections[is_free], frames)
        for connection in connections[~is_free].tolist():
            self._sink.tell(connection, frames[connection])

    def _send_pieces(self, connections: I32, frames: dict[int, bytes]) -> None:
        pieces = [frames[connection] for connection in connections.tolist()]
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        arena = np.frombuffer(bytearray(b"".join(pieces)), np.uint8)
        prefixes = np.zeros(len(pieces), np.int32)
        if len(pieces):
            self._sink.send(connections, prefixes, arena, np.cumsum(lengths) - lengths, lengths)

    def _keep(self, line: ChatPublished, tell: Tell) -> None:
        """A line was told to its readers: its author is told when it is kept."""
        assert self._scribe is not None
        assert isinstance(tell.message, ChatStatus)
        assert tell.sessions is not None
        session_id = tell.sessions[0]
        answer = partial(self.answer, session_id)
        author = self._speakers.get(session_id)
        if author is None:  # of a line that waited for a moderator while thousands spoke
            answer(tell.message)
            return
        self._scribe.take(self._world_id, author, line, answer, tell.message)

    def answer(self, session_id: int, message: Message) -> None:
        """What somebody waits for, between two ticks."""
        self._send(session_id, binary_frame(codec.encode(message)), is_talk=False)

    def relay(self, session_id: int, message: Message) -> None:
        """What one person says to another alone."""
        self._send(session_id, binary_frame(codec.encode(message)), is_talk=True)

    def waiting_bytes(self, session_id: int) -> int:
        """How much is queued for somebody's link; 0 where there is none."""
        session = self._sessions.get(session_id)
        if session is None or session.connection < 0:
            return 0
        everything = np.array([np.iinfo(np.int32).max], np.int32)
        return int(self._sink.pending(np.array([session.connection], np.int32), everything)[0])

    def _send(
        self, session_id: int, frame: bytes, is_talk: bool, feature: str | None = None
    ) -> None:
        session = self._sessions.get(session_id)
        if session is None or session.connection < 0 or session.slot < 0:
            return
        if feature is None or feature in session.capabilities.features:
            self._sink.tell(session.connection, frame, is_talk)

    def before_tick(self, commands: list[AnyCommand]) -> None:
        """Know who speaks; answer lines that could not be kept, and take them out of `commands`."""
        if self._scribe is None:
            return
        for said in commands:
            if isinstance(said, Say) and said.session_id in self._sessions:
                # Who says something and leaves is still its author when it is published.
                self._speakers[said.session_id] = self._sessions[said.session_id]
                self._speakers.move_to_end(said.session_id)
        while len(self._speakers) > SPEAKERS_MAX:
            self._speakers.popitem(last=False)
        if self._scribe.has_room:
            return
        for said in [one for one in commands if isinstance(one, Say)]:
            status = ChatStatus(said.request_id, ChatState.REJECTED, 0, _NO_ROOM)
            self.answer(said.session_id, status)
        commands[:] = [one for one in commands if not isinstance(one, Say)]


def is_wanted(message: Message, session: Session) -> bool:
    """Whether a client has announced that it understands a message."""
    feature = _FEATURE_OF.get(type(message))
    return feature is None or feature in session.capabilities.features


def is_published(message: object, line: ChatPublished) -> bool:
    """Whether a message is the "published" of a line."""
    return (
        isinstance(message, ChatStatus) and message.state is ChatState.PUBLISHED
        and message.chat_seq == line.chat_seq
    )

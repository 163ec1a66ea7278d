"""What a world is told of a session that comes in, and the session of the world that it is in."""

from __future__ import annotations

from collections.abc import Iterator

from atrium_server.frames import binary_frame
from atrium_server.host_parts import HostParts
from atrium_server.messenger import is_wanted
from atrium_server.seats import Session
from atrium_server.world.commands import Join
from atrium_server.world.places import root_body
from atrium_server.world.world import World
from atrium_shared import codec
from atrium_shared.messages import Message, Welcome
from atrium_shared.social import FEATURE_HISTORY


def join_of(session: Session) -> Join:
    """The wish for an avatar."""
    s = session
    return Join(
        s.session_id, s.name, s.avatar, s.uuid, s.author, s.rights, s.back, s.floor, s.regards,
        s.is_safe,
    )


def greeting(parts: HostParts, world: World, session: Session, server_ms: int) -> Message:
    """The welcome: a new index epoch begins with it."""
    m = world.manifest
    return Welcome(
        session_id=session.session_id,
        resume_token=parts.signer.sign(session.uuid, session.rotation),
        entity_id=int(world.tables.entity_ids[session.slot]), world=m.name,
        tick=world.tick, tick_rate_hz=m.tick_rate_hz, server_ms=server_ms,
        cap=session.cap, bytes_per_s=session.capabilities.bytes_per_s,
        parts=session.capabilities.parts, y_unit_mm=m.y_unit_mm, resumed=session.resumed,
        resume_s=int(parts.resume_s),
        scene_url=f"/api/worlds/{m.name}/scene@{parts.scenes.newest.version}",
        body=root_body(world.tables, session.slot), request_id=session.request_id,
        author=session.author, rights=session.rights,
    )


def news(parts: HostParts, world: World, session: Session) -> Iterator[bytes]:
    """What comes after the welcome, as frames: changes, who does what about whom, and lines."""
    yield from parts.scenes.since()
    messages = [one for one in world.news_for(session.session_id) if is_wanted(one, session)]
    if session.resumed:
        messages += world.chat_since(session.session_id, session.last_chat_seq)
    elif FEATURE_HISTORY in session.capabilities.features:
        messages += world.chat_before(session.session_id)
    for message in messages:
        yield binary_frame(codec.encode(message))

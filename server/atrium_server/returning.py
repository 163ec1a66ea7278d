"""Seats for those who were in a world when the server ended: they may come back for a while."""

from __future__ import annotations

import trio

from atrium_server.host import WorldHost
from atrium_shared.errors import Overload


async def expect_back(host: WorldHost, taken: set[int]) -> None:
    """Keep their seats, as if their links had just been lost; once, before the first tick.

    `taken` are numbers that sessions of other worlds have, and gets those of this one.
    """
    expected = await host.parts.attendance.expected()
    for past in await host.parts.attendance.past_of(expected):
        host.world.building.editor.pasts.remember(*past)
    now = trio.current_time()
    for session in expected:
        if session.session_id in taken:
            session.session_id = max(taken) + 1
        try:
            host.seats.reserve(session.session_id, now)
        except Overload:
            return  # the world holds fewer now; the newest are let in
        host.seats.suspend(session.session_id, now)
        host.world.chat.skip_to(session.last_chat_seq)
        host.enrol(session)
        taken.add(session.session_id)

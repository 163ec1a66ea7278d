"""The directory of worlds: who is let into which, and the life of all hosts together."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from atrium_server.doors import JoinRequest
from atrium_server.host import WorldHost
from atrium_server.tokens import TokenSigner, invalid
from atrium_shared.errors import ErrorCode, RequestRefused


class Hosts:
    """All worlds of this process; the first is where one goes who names none."""

    def __init__(self, hosts: list[WorldHost], signer: TokenSigner) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._first = hosts[0]
        self._signer = signer
        self._next_session = 1
        self._arriving: dict[int, int] = {}
        """Session by connection, for all that were ever on their way into a world: `lost` looks
        whether the session still has that connection, for their numbers are used again."""

    def __iter__(self) -> Iterator[WorldHost]:
        return iter(self._hosts.values())

    def admit(self, request: JoinRequest) -> None:
        """Let a client in, or back in. See `Directory.admit`."""
        if request.resume_token:
            session_id, rotation = self._signer.read(request.resume_token)
            self._holder(session_id).resume(request, session_id, rotation)
        else:
            session_id = self._next_session
            self._named(request.world).admit(request, session_id)
            self._next_session += 1
        self._arriving[request.connection] = session_id

    def travel(self, connection: int, session_id: int, request_id: int, world: str) -> None:
        """Move a session to another world. See `Directory.travel`."""
        source, target = self._holder(session_id), self._named(world)
        if source is target:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "You are in that world already.")
        session = source.state.sessions[session_id]
        slot = session.slot
        name = source.world.tables.names[slot]
        request = JoinRequest(
            connection, name, source.world.tables.avatars[slot], world, session.capabilities, "", 0
        )
        target.admit(request, session_id, session.rotation + 1, request_id)
        source.leave(session_id)
        self._arriving[connection] = session_id

    def lost(self, connection: int, for_good: bool) -> None:
        """A connection that was on its way into a world is gone. See `Directory.lost`."""
        session_id = self._arriving.pop(connection, -1)
        for host in self._hosts.values():
            session = host.state.sessions.get(session_id)
            if session is not None and session.connection == connection:
                if for_good:
                    host.leave(session_id)
                else:
                    host.link_lost(session_id, connection)

    def _named(self, world: str) -> WorldHost:
        host = self._hosts.get(world) if world else self._first
        if host is None or host.state.failed:
            raise RequestRefused(ErrorCode.NOT_FOUND, "There is no such world here.")
        return host

    def _holder(self, session_id: int) -> WorldHost:
        for host in self._hosts.values():
            if session_id in host.state.sessions:
                return host
        raise invalid()

    async def run(self) -> None:
        """Run all worlds, and once a second give up the seats whose time is over."""
        async with trio.open_nursery() as nursery:
            for host in self._hosts.values():
                nursery.start_soon(host.run, name=f"world {host.name}")
            while True:
                await trio.sleep(1.0)
                for host in self._hosts.values():
                    host.expire()

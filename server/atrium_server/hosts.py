"""The directory of worlds: who is let into which, and the life of all hosts together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import trio

from atrium_server.doors import JoinRequest, TravelRequest, Who
from atrium_server.host import WorldHost
from atrium_server.safety import note_on
from atrium_server.supervisor import Supervisor
from atrium_server.tokens import TokenSigner, invalid
from atrium_server.world.commands import Related
from atrium_shared.errors import ErrorCode, Overload, ProtocolError, RequestRefused


class Hosts:
    """All worlds of this process; the first is where one goes who names none."""

    def __init__(self, hosts: list[WorldHost], signer: TokenSigner) -> None:
        self._hosts = {host.name: host for host in hosts}
        for host in hosts:
            host.safety.spread = partial(self._spread, host)
        self._first = hosts[0]
        self._signer = signer
        taken = [number for host in hosts for number in host.state.sessions]
        self._next_session = max(taken, default=0) + 1
        """No number is used again while one of an earlier run may come back with it."""
        self._arriving: dict[int, int] = {}
        """Session by connection, for all that were ever on their way into a world: `lost` looks
        whether the session still has that connection, for their numbers are used again."""

    def __iter__(self) -> Iterator[WorldHost]:
        return iter(self._hosts.values())

    def admit(self, request: JoinRequest) -> None:
        """Let a client in, or back in. See `Directory.admit`."""
        if request.resume_token:
            uuid, rotation = self._signer.read(request.resume_token)
            host, session_id = self._holder_of(uuid)
            host.resume(request, session_id, rotation)
        else:
            session_id = self._next_session
            self._named(request.world).admit(request, session_id)
            self._next_session += 1
        self._arriving[request.connection] = session_id

    def who(self, session_id: int) -> Who:
        """Whose a session is. See `Directory.who`."""
        session = self._holder(session_id).state.sessions[session_id]
        return Who(session.account, session.sign_in)

    def world_of(self, resume_token: str) -> str:
        """The world where the session of a token is; empty when there is none."""
        try:
            return self._holder_of(self._signer.read(resume_token)[0])[0].name
        except ProtocolError:
            return ""  # `admit` says so

    def travel(self, wish: TravelRequest) -> None:
        """Move a session to another world. See `Directory.travel`."""
        session_id, connection = wish.session_id, wish.connection
        source, target = self._holder(session_id), self._named(wish.world)
        if source is target:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "You are in that world already.")
        session = source.state.sessions[session_id]
        note_on(session, source.world)
        session.floor = max(session.floor, source.world.building.asked_to(session_id))
        request = JoinRequest(
            connection, session.name, session.avatar, wish.world, session.capabilities, "", 0,
            session.account, wish.permissions, wish.request_id, session.sign_in,
        )
        target.admit(request, session_id, session)
        source.leave(session_id, is_over=False)
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

    def _spread(self, source: WorldHost, related: Related) -> None:
        """What somebody does about others holds in all worlds where the same person is."""
        for host in self._hosts.values():
            host.safety.hear(related, host.inbox.must, host is source)

    def find(self, name: str) -> WorldHost | None:
        """The host of a world, whatever its state."""
        return self._hosts.get(name)

    def _named(self, world: str) -> WorldHost:
        host = self._hosts.get(world) if world else self._first
        if host is None or host.state.failed:
            raise RequestRefused(ErrorCode.NOT_FOUND, "There is no such world here.")
        if host.is_loading:
            raise Overload("This world is being started: try again in a moment.", 1_000)
        return host

    def _holder_of(self, uuid: bytes) -> tuple[WorldHost, int]:
        for host in self._hosts.values():
            session_id = host.state.number_of.get(uuid)
            if session_id is not None:
                return host, session_id
        raise invalid()

    def _holder(self, session_id: int) -> WorldHost:
        for host in self._hosts.values():
            if session_id in host.state.sessions:
                return host
        raise invalid()

    async def run(self) -> None:
        """Run all worlds, and once a second give up the seats whose time is over."""
        async with trio.open_nursery() as nursery:
            for host in self._hosts.values():
                nursery.start_soon(Supervisor(host).run, name=f"world {host.name}")
            while True:
                await trio.sleep(1.0)
                for host in self._hosts.values():
                    host.expire()

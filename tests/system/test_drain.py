"""The server goes down: everybody is told and closed in time, over memory links and for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import trio
from harness import Ended, House, Said, hello, open_house
from trio.testing import MockClock
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from atrium_server import app
from atrium_server.config import resolve
from atrium_shared import codec, limits
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode


async def test_everybody_is_told_and_closed(house: House, autojump_clock: MockClock) -> None:
    witnesses = [await house.witness(f"W{k}") for k in range(5)]
    waiting = house.peer()
    await waiting.upgrade()  # has not said hello yet
    ends: list[Ended] = []

    async def read_to_the_end() -> None:
        ends.append(await waiting.ending())

    house.nursery.start_soon(read_to_the_end)
    began = trio.current_time()
    await house.server.drain(limits.DRAIN_S_MAX)
    assert trio.current_time() - began < 0.5, "everybody has answered"
    await trio.sleep(0.1)
    for witness in witnesses:
        (notice,) = witness.heard_of(m.Notice)
        assert notice.code == ErrorCode.DRAINING
        assert isinstance(witness.heard[-1], m.Notice), "nothing comes between it and the close"
        assert witness.ended is not None
        assert witness.ended.code == 1001
        assert await witness.peer.rest() == b"", "nothing follows a close frame"
    assert [ended.code for ended in ends] == [1001]
    assert house.connections == 0


async def test_a_peer_that_does_not_answer_delays_nobody_beyond_the_limit(
    house: House, autojump_clock: MockClock
) -> None:
    deaf = await house.joined("Deaf")
    stuck = house.peer()
    await stuck.join("Stuck")
    stuck.stream.incoming.conditions.buffer_bytes = 0  # type: ignore[attr-defined]
    witness = await house.witness()
    began = trio.current_time()
    await house.server.drain(limits.DRAIN_S_MAX)
    assert trio.current_time() - began <= limits.DRAIN_S_MAX
    assert house.connections == 0
    assert witness.ended is not None
    assert witness.ended.code == 1001
    deaf.answers_close = False
    assert (await deaf.ending()).code == 1001
    assert (await stuck.ending()).code is None


async def test_nobody_gets_in_while_the_server_goes_down(
    house: House, autojump_clock: MockClock
) -> None:
    deaf = await house.joined("Deaf")  # keeps the drain busy
    late = house.peer()
    await late.upgrade()
    async with trio.open_nursery() as nursery:
        await late.say(hello("Late"))
        nursery.start_soon(house.server.drain, limits.DRAIN_S_MAX)
        await trio.sleep(0.2)
        assert await house.peer().upgrade() == 503
        assert (await late.ending()).code == 1001
    assert house.connections == 0
    assert (await deaf.ending()).code == 1001


async def test_a_drain_that_has_no_time_still_ends(autojump_clock: MockClock) -> None:
    async with open_house(drain_s=0.1) as house:
        deaf = await house.joined("Deaf")
        await house.server.drain(house.config.drain_s)
        assert house.connections == 0
        assert (await deaf.ending()).code == 1001


# --- for real ------------------------------------------------------------------------------------

KINDS = ["portable"] + (["kernel"] if sys.platform == "linux" else [])
PATIENCE_S = 30


def client_of(address: str) -> connect:
    """A library's client of the server at `address`."""
    return connect(
        address.replace("http", "ws") + "/ws", subprotocols=[Subprotocol(codec.SUBPROTOCOL)],
        compression=None, max_size=1 << 20,
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_sockets_and_a_library_of_others(kind: str) -> None:
    """Handshake, hello, snapshots, chat and goodbye over TCP, with every kind of socket I/O."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            config = resolve({"port": "0", "io": kind, "ephemeral": True, "brain": "off"}, {})
            address = await nursery.start(partial(app.run, config))
            async with client_of(address) as one, client_of(address) as two:
                for client, name in ((one, "One"), (two, "Two")):
                    await client.send(codec.encode(hello(name)))
                await said_to(two, m.Welcome)
                await one.send(codec.encode(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "hi")))
                line = await said_to(two, m.ChatPublished)
                assert (line.sender_name, line.text) == ("One", "hi")
                assert await said_to(two, m.Snapshot)
                await one.send(codec.encode(m.Bye()))
                assert await close_code_of(one) == 1001
                assert await said_to(two, m.Snapshot)
            nursery.cancel_scope.cancel()


async def said_to(client: ClientConnection, kind: type[Said]) -> Said:
    """The next message of a kind."""
    while True:
        message = codec.decode_server(await client.recv(decode=False))
        if isinstance(message, kind):
            return message


async def close_code_of(client: ClientConnection) -> int | None:
    """Read until the server closes."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed:
        return client.close_code


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
async def test_sigterm_of_a_process(capfd: pytest.CaptureFixture[str]) -> None:
    """The whole program: its clients see 1001, its status is 0."""
    command = [sys.executable, "-m", "atrium_server", "serve", "--port", "0", "--ephemeral"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATRIUM_")}
    with trio.fail_after(4 * PATIENCE_S):  # where kernels have to be compiled first
        async with trio.open_nursery() as nursery:
            process = await nursery.start(partial(
                trio.run_process, command, stdout=subprocess.PIPE, env=environment,
            ))
            ready = b""
            while b"\n" not in ready.partition(b"ready ")[2]:
                ready += await process.stdout.receive_some()
            address = ready.partition(b"ready ")[2].split()[0].decode()
            async with client_of(address) as client:
                await client.send(codec.encode(hello("Real")))
                await said_to(client, m.Welcome)
                began = trio.current_time()
                process.send_signal(signal.SIGTERM)
                notice = await said_to(client, m.Notice)
                assert notice.code == ErrorCode.DRAINING
                assert await close_code_of(client) == 1001
            assert await process.wait() == 0
            assert trio.current_time() - began < limits.DRAIN_S_MAX + 10



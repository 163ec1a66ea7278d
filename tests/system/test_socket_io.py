"""One contract for the three ways to move bytes: compiled, plain Python, in memory.

Each test body runs on all of them; what a test needs of the peer's end is in `Wire`.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import trio

from atrium_server.net import socket_io
from atrium_server.net.memory_io import Conditions, MemoryIO, MemoryStream, memory_link
from atrium_server.net.socket_io import Endpoint, SocketIO, is_retry, open_socket_io
from atrium_shared.limits import RECEIVE_BYTES_MAX

KINDS = ["memory", "portable"] + (["kernel"] if sys.platform == "linux" else [])
SLOTS = 64
PATIENCE_S = 20


@dataclass
class Wire:
    """The peer's end of a link: blocking reads are bounded by the test's patience."""

    end: Any

    def write(self, data: bytes) -> int:
        if isinstance(self.end, MemoryStream):
            return self.end.outgoing.write(data)
        return self.end.send(data)

    def read(self) -> bytes | None:
        """What has come: b'' at the end of the stream, None for nothing yet."""
        if isinstance(self.end, MemoryStream):
            return self.end.incoming.read(1 << 20)
        try:
            return self.end.recv(1 << 20)
        except BlockingIOError:
            return None

    def close(self) -> None:
        self.end.close()

    def break_(self) -> None:
        """End it so that the other side gets an error rather than an end."""
        if isinstance(self.end, MemoryStream):
            self.end.cut()
        else:
            linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
            self.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.end.close()


class Rig:
    """One implementation and its links."""

    def __init__(self, kind: str, io: SocketIO) -> None:
        self.kind, self.io = kind, io
        self.endpoints: dict[int, Endpoint] = {}
        self._wires: list[Wire] = []

    def link(self, slot: int, buffer_bytes: int = 65_536) -> Wire:
        """Add a new link in `slot`."""
        if self.kind == "memory":
            theirs, ours = memory_link(down=Conditions(buffer_bytes=buffer_bytes))
        else:
            theirs, ours = tcp_pair(buffer_bytes)
        self.endpoints[slot] = ours
        self.io.add(slot, ours)
        self._wires.append(Wire(theirs))
        return self._wires[-1]

    def drop(self, slot: int) -> None:
        self.io.remove(slot)
        self.endpoints.pop(slot).close()

    async def receive(self) -> dict[int, bytes | int]:
        """What one pass brings: bytes, b'' for an end, or a negative errno."""
        with trio.fail_after(PATIENCE_S):
            await self.io.wait_readable()
        chunks = self.io.receive()
        got: dict[int, bytes | int] = {}
        for k in range(chunks.count):
            at, length = int(chunks.offsets[k]), int(chunks.lengths[k])
            data = chunks.arena[at : at + max(length, 0)].tobytes()
            got[int(chunks.slots[k])] = data if length >= 0 else length
        return got

    def send(self, pieces: dict[int, bytes]) -> dict[int, int]:
        """One bulk send."""
        arena = np.frombuffer(b"???" + b"".join(pieces.values()), np.uint8).copy()
        lengths = np.array([len(piece) for piece in pieces.values()], np.int64)
        offsets = 3 + np.cumsum(lengths) - lengths
        slots = np.array(list(pieces), np.int32)
        results = self.io.send(slots, arena, offsets, lengths)
        return dict(zip(pieces, results.tolist(), strict=True))

    async def read(self, wire: Wire, size: int) -> bytes:
        """Exactly `size` bytes at the peer's end."""
        data = b""
        with trio.fail_after(PATIENCE_S):
            while len(data) < size:
                piece = wire.read()
                assert piece != b"", "the stream ended early"
                data += piece or b""
                await trio.lowlevel.checkpoint()
        return data

    def close(self) -> None:
        for slot in list(self.endpoints):
            self.drop(slot)
        for wire in self._wires:
            wire.close()
        self.io.close()


def tcp_pair(buffer_bytes: int) -> tuple[socket.socket, socket.socket]:
    """(theirs, ours), connected over the loopback, not blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    for each in (theirs, ours):
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return theirs, ours


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest) -> AsyncGenerator[Rig]:
    kind = request.param
    rig = Rig(kind, MemoryIO() if kind == "memory" else open_socket_io(kind, SLOTS))
    yield rig
    rig.close()


async def test_bytes_arrive_by_slot(rig: Rig) -> None:
    wires = {slot: rig.link(slot) for slot in (0, 7, 63)}
    for slot, wire in wires.items():
        wire.write(f"from {slot}".encode())
    got: dict[int, bytes | int] = {}
    while len(got) < 3:
        got |= await rig.receive()
    assert got == {0: b"from 0", 7: b"from 7", 63: b"from 63"}
    assert rig.io.receive().count == 0, "what was received is not received again"


async def test_one_pass_takes_a_bounded_share_of_each(rig: Rig) -> None:
    loud, quiet = rig.link(1), rig.link(2)
    text = random.Random(1).randbytes(3 * RECEIVE_BYTES_MAX)
    loud.write(text)
    quiet.write(b"me too")
    got = {1: b"", 2: b""}
    while len(got[1]) < len(text):
        for slot, data in (await rig.receive()).items():
            assert isinstance(data, bytes)
            assert len(data) <= RECEIVE_BYTES_MAX
            got[slot] += data
    assert got == {1: text, 2: b"me too"}


async def test_the_end_of_a_stream_comes_after_its_bytes(rig: Rig) -> None:
    wire = rig.link(3)
    wire.write(b"last words")
    wire.close()
    assert await rig.receive() == {3: b"last words"}
    assert await rig.receive() == {3: b""}


async def test_a_broken_link_is_an_error_and_its_neighbour_is_not(rig: Rig) -> None:
    broken, whole = rig.link(4), rig.link(5)
    broken.break_()
    assert await rig.receive() == {4: -errno.ECONNRESET}
    results = rig.send({4: b"to nobody", 5: b"to somebody"})
    assert results[4] in (-errno.EPIPE, -errno.ECONNRESET)
    assert not is_retry(results[4])
    assert results[5] == len(b"to somebody")
    assert await rig.read(whole, 11) == b"to somebody"


async def test_bulk_sends_arrive_where_they_belong(rig: Rig) -> None:
    wires = {slot: rig.link(slot) for slot in range(20)}
    pieces = {slot: bytes([slot]) * (slot + 1) for slot in reversed(range(20))}
    assert rig.send(pieces) == {slot: slot + 1 for slot in pieces}
    for slot, wire in wires.items():
        assert await rig.read(wire, slot + 1) == pieces[slot]


async def test_a_full_socket_takes_a_part_then_nothing_then_the_rest(rig: Rig) -> None:
    wire, neighbour = rig.link(1, buffer_bytes=5_000), rig.link(2)
    text = random.Random(2).randbytes(4_000_000)
    sent = 0
    while (taken := rig.send({1: text[sent:]})[1]) > 0:
        sent += taken
    assert sent < len(text), "the socket takes everything: nothing is tested"
    assert is_retry(taken)
    assert rig.send({1: text[sent:], 2: b"unharmed"})[2] == 8
    received = b""
    with trio.fail_after(PATIENCE_S):
        while len(received) < len(text):
            received += wire.read() or b""
            if sent < len(text):
                taken = rig.io.send_one(1, text[sent : sent + 50_000])
                sent += max(taken, 0)
                assert taken > 0 or is_retry(taken)
            await trio.lowlevel.checkpoint()
    assert received == text
    assert await rig.read(neighbour, 8) == b"unharmed"


async def test_an_ended_output_lets_the_input_live(rig: Rig) -> None:
    wire = rig.link(1)
    assert rig.io.send_one(1, b"goodbye") == 7
    rig.io.end_output(1)
    assert await rig.read(wire, 7) == b"goodbye"
    with trio.fail_after(PATIENCE_S):
        while wire.read() is None:
            await trio.lowlevel.checkpoint()
    wire.write(b"and you")
    assert await rig.receive() == {1: b"and you"}


async def test_a_slot_is_used_again_by_another_link(rig: Rig) -> None:
    old = rig.link(1)
    old.write(b"of the old one")
    rig.drop(1)
    new = rig.link(1)
    new.write(b"of the new one")
    assert await rig.receive() == {1: b"of the new one"}
    assert rig.send({1: b"to the new one"})[1] == 14
    assert await rig.read(new, 14) == b"to the new one"


async def test_a_link_that_is_added_wakes_a_sleeping_pump(rig: Rig) -> None:
    got: list[dict[int, bytes | int]] = []
    async with trio.open_nursery() as nursery:
        @nursery.start_soon
        async def pump() -> None:
            got.append(await rig.receive())

        await trio.testing.wait_all_tasks_blocked()
        rig.link(9).write(b"wake up")
    assert got == [{9: b"wake up"}]


async def test_more_ready_than_one_pass_reads_take_turns(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rig.kind == "memory":
        pytest.skip("memory links are all read in every pass")
    monkeypatch.setattr(socket_io, "SOCKETS_PER_PASS_MAX", 4)
    few = Rig(rig.kind, open_socket_io(rig.kind, SLOTS))
    for slot in range(10):
        few.link(slot).write(b"x" * 20_000)
    seen: set[int] = set()
    for _ in range(3):
        got = await few.receive()
        assert len(got) <= 4
        seen |= set(got)
    assert seen == set(range(10)), "three passes of four reach all ten"
    few.close()


def test_auto_is_the_compiled_one_where_there_is_epoll() -> None:
    io = open_socket_io("auto", 4)
    assert isinstance(io, socket_io.KernelIO) == (sys.platform == "linux")
    io.close()

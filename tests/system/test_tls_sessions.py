"""Sessions behind TLS: the same protocol, the same promises, and ends that are clean.

What reaches the server is encrypted by Python's own TLS in a client of trio's, so that an error of
the server's side cannot hide behind the same error here. Handshakes are in `test_tls_door`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio
from harness import Peer, Witness, frame, hello, root_body, said
from tls_house import TlsHouse, open_tls_house
from trio.testing import MockClock

from atrium_server.net.memory_io import Conditions, MemoryStream
from atrium_server.net.tls import OVERHEAD_BYTES_MAX
from atrium_server.seats import SeatState
from atrium_shared import limits
from atrium_shared import messages as m


@pytest.fixture
async def tls(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[TlsHouse]:
    async with open_tls_house(tmp_path) as house:
        yield house


async def test_handshake_hello_snapshots_and_poses_over_tls(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    plain = await tls.witness("Plain")
    peer = tls.peer()
    witness = Witness(peer, await peer.join("Secret"))
    tls.house.nursery.start_soon(witness.listen)
    poses = tls.house.server.gateway._all.poses
    for seq in range(1, 40):
        await peer.say(m.Pose(seq, 0, 0, root_body()))
        await trio.sleep(0.02)
    assert poses[1] > 0, "decrypted poses take the same way as others"
    await peer.say(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "from behind"))
    await witness.still_served(2)
    await plain.still_served(2)
    assert plain.heard_of(m.ChatPublished)[0].text == "from behind"


async def test_a_pose_is_decoded_without_the_slow_path(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """More poses than the slow path would let pass: only the fast one does not count messages."""
    peer = tls.peer()
    await peer.join("Fast")
    for seq in range(1, 400):
        await peer.say(m.Pose(seq, 0, 0, root_body()))
    while (await peer.expect(m.Snapshot)).ack_seq != 399:
        pass


async def test_tails_of_encrypted_pieces_are_finished_in_order(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """Any byte out of place would be a broken record, which the client's TLS would not accept."""
    peer = tls.peer(down=Conditions(buffer_bytes=97))
    await peer.join("Narrow")
    for k in range(10):
        await peer.say(m.ClockPing(k))
        assert (await peer.expect(m.ClockPong)).client_ms == k
        assert await peer.expect(m.Snapshot)


async def test_attacks_behind_tls_are_answered(tls: TlsHouse, autojump_clock: MockClock) -> None:
    plain = await tls.witness("Plain")
    peer = tls.peer()
    await peer.join("Mallory")
    await peer.write(frame(b"text", opcode=1))
    assert (await peer.ending()).code == 4000
    await plain.still_served()


async def say_end(stream: trio.SSLStream[MemoryStream]) -> None:
    """Say close_notify and do not mind what comes before the answer to it."""
    with trio.move_on_after(0.5), contextlib.suppress(trio.BrokenResourceError):
        await stream.unwrap()


ENDS = ("garbage", "a record of another key", "close_notify", "closed", "cut")


@pytest.mark.parametrize("how", ENDS)
async def test_the_end_of_the_cipher_is_the_end_of_the_link(
    how: str, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    plain = await tls.witness("Plain")
    peer = tls.peer()
    await peer.join("Broken")
    stream: trio.SSLStream[MemoryStream] = peer.stream  # type: ignore[assignment]
    transport = stream.transport_stream
    if how == "garbage":
        await transport.send_all(b"no record at all")
    elif how == "a record of another key":
        await transport.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    elif how == "close_notify":
        await say_end(stream)
    elif how == "closed":
        await stream.aclose()
    else:
        transport.cut()
    await plain.still_served()
    assert tls.house.connections == 1
    assert tls.house.host().seats.count(SeatState.RESUMABLE) == 1


async def test_hello_in_one_piece_with_the_handshake(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """What the door has decrypted beyond the handshake is not lost."""
    peer = tls.peer()
    head = (
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: atrium.1\r\n\r\n"
    )
    # Larger than the door reads at once: the rest stays behind in the cipher.
    await peer.write(head + said(hello("x" * 9_000)))
    assert await peer.answer() == 101
    assert (await peer.ending()).code == 4004


async def test_what_was_said_before_the_end_counts(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """A goodbye and close_notify that come in one piece: the seat is given up."""
    peer = tls.peer()
    await peer.join("Leaving")
    stream: trio.SSLStream[MemoryStream] = peer.stream  # type: ignore[assignment]
    stream.transport_stream.outgoing.stall(True)
    await peer.say(m.Bye())
    await say_end(stream)
    stream.transport_stream.outgoing.stall(False)
    await trio.sleep(1)
    assert tls.house.connections == 0
    assert tls.house.host().seats.count(SeatState.RESUMABLE) == 0


async def test_the_end_is_said_in_tls_too(tls: TlsHouse, autojump_clock: MockClock) -> None:
    stream = trio.SSLStream(
        tls.house.link(), tls.client, server_hostname="atrium.test", https_compatible=False
    )
    peer = Peer(tls.house, stream)
    await peer.join("Polite")
    await peer.say(m.Bye())
    assert (await peer.ending()).code == 1001
    with trio.fail_after(10):  # an end without a word would be an error here
        assert await stream.receive_some() == b""


async def test_a_server_that_stops_says_so_in_tls(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    witness = await tls.witness()
    await tls.house.server.drain(5.0)
    await trio.sleep(0.1)
    assert witness.ended is not None
    assert witness.ended.code == 1001


LINK_BYTES_PER_S = 4_096


class Counted:
    """A cipher that counts what it is given to encrypt."""

    def __init__(self, cipher: Any) -> None:
        self._cipher, self.pieces = cipher, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cipher, name)

    def encrypt(self, data: bytes | memoryview) -> bytes:
        self.pieces += 1
        return self._cipher.encrypt(data)


async def test_nothing_is_encrypted_without_credit(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """Who does not read is skipped before anything is encrypted, and is current soon after."""
    witness = await tls.witness()
    peer = tls.peer()
    await peer.join("Slow", capabilities=m.Capabilities(64, LINK_BYTES_PER_S, 3))
    connection = tls.house.gateway._all.at(1)
    connection.cipher = counted = Counted(connection.cipher)
    for _ in range(40):
        await peer.expect(m.Snapshot)
    assert counted.pieces >= 39
    await trio.sleep(6)
    at_first = counted.pieces
    under_way = peer.stream.transport_stream.incoming._bytes  # type: ignore[attr-defined]
    await trio.sleep(3)
    assert counted.pieces - at_first <= 1, "but for a ping"
    assert 0 < under_way <= LINK_BYTES_PER_S * limits.CREDIT_S + 22 * (at_first - 39)
    assert not connection.tail
    newest = 0
    with trio.fail_after(2):
        while tls.house.host().world.tick - newest > 5:
            newest = (await peer.expect(m.Snapshot)).tick
    assert counted.pieces > at_first + 1
    await witness.still_served()


@pytest.mark.parametrize("where", ["a session", "a request"])
async def test_records_of_one_byte_end_the_connection(
    where: str, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """Twenty-two bytes for one: whoever wants that wants our time and not our answers."""
    witness = await tls.witness()
    peer = tls.peer()
    if where == "a session":
        await peer.join("Crumbs")
        bytes_ = frame(bytes(16_000), opcode=2)
    else:
        bytes_ = b"GET / HTTP/1.1\r\nX: " + b"x" * 4_000
    sent = 0
    with trio.fail_after(60):
        try:
            for byte in bytes_:
                await peer.stream.send_all(bytes([byte]))
                sent += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    assert OVERHEAD_BYTES_MAX / 30 < sent < len(bytes_)
    await witness.still_served()
    assert tls.house.connections == 1


async def test_a_record_that_is_never_finished(tls: TlsHouse, autojump_clock: MockClock) -> None:
    """Ciphertext without an end is no sign of life."""
    witness = await tls.witness()
    peer = tls.peer()
    await peer.join("Half")
    stream: trio.SSLStream[MemoryStream] = peer.stream  # type: ignore[assignment]
    await stream.transport_stream.send_all(b"\x17\x03\x03\x40\x00")
    for _ in range(int(limits.SILENCE_S_MAX) + 2):
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.transport_stream.send_all(bytes(64))
        await trio.sleep(1)
    assert tls.house.connections == 1
    await witness.still_served()


async def test_records_cut_anywhere(tls: TlsHouse, autojump_clock: MockClock) -> None:
    """One byte at a time, as a bad link may bring them."""
    peer = Peer(tls.house, tls.secure(tls.house.link(up=Conditions(bytes_per_s=2_000.0))))
    await peer.join("Drip")
    for k in range(5):
        await peer.say(m.ClockPing(k))
        assert (await peer.expect(m.ClockPong)).client_ms == k

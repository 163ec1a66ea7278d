"""The seam where TLS sits, with Python's own TLS in it: what a TLS front door will have to bring.

The server's side here is what such a door is: a stream that shakes hands and can then be taken
apart into the transport and a `Cipher` on two memory BIOs.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
from harness import House, Peer, Witness, frame, open_house, root_body, said
from trio.testing import MockClock

from atrium_server.net.memory_io import Conditions, MemoryStream, memory_link
from atrium_server.seats import SeatState
from atrium_shared import messages as m

NAME = "atrium.test"


class TlsCipher:
    """A `Cipher`: an SSLObject between two memory BIOs."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def decrypt(self, data: bytes) -> tuple[bytes, bytes]:
        self.incoming.write(data)
        plain = bytearray()
        try:
            while piece := self.object.read(65_536):
                plain += piece
            raise ConnectionResetError("the peer has ended its stream")
        except ssl.SSLWantReadError:
            return bytes(plain), self.outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        self.object.write(data)
        return self.outgoing.read()


class TlsServerStream(trio.abc.Stream):
    """Plaintext for the front door until it takes the stream apart."""

    def __init__(self, transport: MemoryStream, context: ssl.SSLContext) -> None:
        self.transport, self.cipher = transport, TlsCipher(context)

    async def do_handshake(self) -> None:
        while True:
            try:
                self.cipher.object.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            await self.transport.send_all(self.cipher.outgoing.read())
            if done:
                return
            self.cipher.incoming.write(await self.transport.receive_some())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            try:
                return self.cipher.object.read(max_bytes or 65_536)
            except ssl.SSLWantReadError:
                self.cipher.incoming.write(await self.transport.receive_some())

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.transport.send_all(self.cipher.encrypt(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.transport.aclose()

    def detach(self) -> tuple[trio.abc.Stream, TlsCipher]:
        return self.transport, self.cipher


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(client's, server's), with a certificate made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes the certificate, is not installed")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext",
            f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return ssl.create_default_context(cafile=str(certificate)), server


class TlsHouse:
    """A house whose links are encrypted."""

    def __init__(self, house: House, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        self.house = house
        self._client, self._server = contexts

    def peer(self, down: Conditions | None = None) -> Peer:
        client, server_end = memory_link(down=down)

        async def serve() -> None:
            stream = TlsServerStream(server_end, self._server)
            await stream.do_handshake()
            await self.house.server.door.handle(stream)

        self.house.nursery.start_soon(serve)
        return Peer(
            self.house,
            trio.SSLStream(client, self._client, server_hostname=NAME, https_compatible=True),
        )


@pytest.fixture
async def tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], autojump_clock: MockClock
) -> AsyncGenerator[TlsHouse]:
    async with open_house() as house:
        yield TlsHouse(house, contexts)


async def test_handshake_hello_snapshots_and_poses_over_tls(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    plain = await tls.house.witness("Plain")
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
    plain = await tls.house.witness("Plain")
    peer = tls.peer()
    await peer.join("Mallory")
    await peer.write(frame(b"text", opcode=1))
    assert (await peer.ending()).code == 4000
    await plain.still_served()


@pytest.mark.parametrize("how", ["garbage", "a record of another key", "close_notify", "cut"])
async def test_the_end_of_the_cipher_is_the_end_of_the_link(
    how: str, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    plain = await tls.house.witness("Plain")
    peer = tls.peer()
    await peer.join("Broken")
    stream: trio.SSLStream[MemoryStream] = peer.stream  # type: ignore[assignment]
    transport = stream.transport_stream
    if how == "garbage":
        await transport.send_all(b"no record at all")
    elif how == "a record of another key":
        await transport.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    elif how == "close_notify":
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
    from harness import hello

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

"""Before the front door: who shakes hands, who does not, and what those hear who come by HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path

import pytest
import trio
from harness import Peer
from tls_house import NAME, TlsHouse, open_tls_house, write_pair
from trio.testing import MockClock

from atrium_server.http.guard import Admission
from atrium_server.net import tls_door
from atrium_server.net.memory_io import MemoryStream
from atrium_shared import limits

STRANGER = "203.0.113.7"
PATIENCE_S = 60.0


@pytest.fixture
async def tls(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[TlsHouse]:
    async with open_tls_house(tmp_path) as house:
        yield house


def client_hello(tls: TlsHouse) -> bytes:
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def all_of(link: trio.abc.Stream) -> bytes:
    """What comes until the end."""
    got = bytearray()
    with trio.fail_after(PATIENCE_S):
        try:
            while data := await link.receive_some(65_536):
                got += data
        except trio.BrokenResourceError:
            pass
    return bytes(got)


# --- handshakes --------------------------------------------------------------------------


async def test_a_page_comes_by_tls(tls: TlsHouse, autojump_clock: MockClock) -> None:
    peer = tls.peer()
    await peer.write(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    assert await peer.answer() == 200
    assert b"<html" in await peer.rest()
    assert "strict-transport-security" not in peer.head.lower(), "see the module's docstring"
    assert tls.count("atrium_tls_handshakes_total") == 1
    assert tls.count("atrium_tls_handshake_seconds_count") == 1


async def test_the_end_of_a_page_is_said_in_tls_too(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """Without close_notify nobody could tell a whole answer from one that was cut off."""
    stream = trio.SSLStream(
        tls.house.link(), tls.client, server_hostname=NAME, https_compatible=False
    )
    await stream.send_all(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    got = bytearray()
    with trio.fail_after(PATIENCE_S):
        while data := await stream.receive_some(65_536):  # it would raise on an end without a word
            got += data
    assert got.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_versions(
    version: ssl.TLSVersion, is_spoken: bool, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    with nullcontext() if is_spoken else pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.client.minimum_version = tls.client.maximum_version = version
    tls.client.set_ciphers("DEFAULT:@SECLEVEL=0")
    stream = tls.secure(tls.house.link())
    if is_spoken:
        await stream.do_handshake()
    else:
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        assert tls.failures("version") == 1


@pytest.mark.parametrize("offered", [("h2", "http/1.1"), ("http/1.1",), ("h2",), ()])
async def test_the_protocol_is_http_1_1_whatever_is_offered(
    offered: tuple[str, ...], tls: TlsHouse, autojump_clock: MockClock
) -> None:
    tls.client = tls.files.client(offered)
    stream = tls.secure(tls.house.link())
    await stream.do_handshake()
    assert stream.selected_alpn_protocol() == ("http/1.1" if "http/1.1" in offered else None)
    assert stream.compression() is None


async def test_a_client_hello_byte_by_byte(tls: TlsHouse, autojump_clock: MockClock) -> None:
    link = tls.house.link()
    for byte in client_hello(tls):
        await link.send_all(bytes([byte]))
        await trio.sleep(0.001)
    assert (await link.receive_some())[0] == 22, "the server's part of the handshake"


async def test_the_first_words_come_with_the_end_of_the_handshake(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    """A client need not wait between the two, and a busy server gets them in one piece."""
    link = tls.house.link()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    await link.send_all(outgoing.read())
    incoming.write(await link.receive_some())
    client.do_handshake()
    client.write(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    await link.send_all(outgoing.read())
    incoming.write(await all_of(link))
    assert client.read(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("how", ["nothing", "a byte", "half a hello", "a hello and no more"])
async def test_who_is_slow_is_let_go(how: str, tls: TlsHouse, autojump_clock: MockClock) -> None:
    witness = await tls.witness()
    link, said = tls.house.link(), client_hello(tls)
    await link.send_all({
        "nothing": b"", "a byte": said[:1], "half a hello": said[: len(said) // 2],
        "a hello and no more": said,
    }[how])
    began = trio.current_time()
    await all_of(link)
    assert limits.HANDSHAKE_S_MAX <= trio.current_time() - began < limits.HANDSHAKE_S_MAX + 1
    assert tls.failures("slow") == 1
    await witness.still_served()


async def test_who_leaves_in_the_middle(tls: TlsHouse, autojump_clock: MockClock) -> None:
    for said, is_cut in ((b"", False), (client_hello(tls)[:50], False), (client_hello(tls), True)):
        link = tls.house.link()
        await link.send_all(said)
        await trio.sleep(0.1)
        if is_cut:
            link.cut()
        else:
            await link.aclose()
    await trio.sleep(0.1)
    assert tls.failures("left") == 3
    assert tls.count("atrium_connections") == 0


GARBAGE = {
    "zeros": bytes(1 << 20),
    "no record": b"\xff\x00\x01\x02" * 262_144,
    "a record that is too long": b"\x16\x03\x01\xff\xff" + bytes(1 << 20),
    "a handshake that is too long": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(1 << 20),
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "words before the handshake": b"\x17\x03\x03\x00\x20" + bytes(32),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_what_is_no_handshake(what: str, tls: TlsHouse, autojump_clock: MockClock) -> None:
    witness = await tls.witness()
    peer = Peer(tls.house, tls.house.link())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.write, GARBAGE[what])
        await all_of(peer.stream)
        nursery.cancel_scope.cancel()
    assert tls.count("atrium_tls_handshake_failures_total") == 1
    await witness.still_served()
    assert tls.count("atrium_connections") == 1


async def test_a_client_that_does_not_trust_us(tls: TlsHouse, autojump_clock: MockClock) -> None:
    link = tls.house.link()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    await link.send_all(outgoing.read())
    incoming.write(await link.receive_some())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.do_handshake()
    await link.send_all(outgoing.read())
    await all_of(link)
    assert tls.failures("distrusted") == 1


async def test_a_flood_of_handshakes_has_the_limits_of_its_address(
    tls: TlsHouse, autojump_clock: MockClock
) -> None:
    witness = await tls.witness()
    said = client_hello(tls)
    links = [tls.house.link(STRANGER) for _ in range(4 * limits.HANDSHAKES_PER_ADDRESS_BURST_MAX)]
    for link in links:
        await Peer(tls.house, link).write(said)
    await witness.still_served()
    answered = [link for link in links if link.incoming.room() < 65_536]
    assert len(answered) <= limits.HANDSHAKES_PER_ADDRESS_BURST_MAX + 20
    refused = tls.count("atrium_refused_total")
    assert refused == len(links) - len(answered), "the others cost no handshake"


async def test_one_step_a_turn(
    tls: TlsHouse, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that is due comes in between, however many shake hands at the same time."""
    turn, steps = 0, list[int]()

    class Turns(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            nonlocal turn
            turn += 1

    shake = tls_door.TlsCipher.shake

    def counted(self: tls_door.TlsCipher, data: bytes) -> tuple[bool, bytes]:
        steps.append(turn)
        return shake(self, data)

    monkeypatch.setattr(tls_door.TlsCipher, "shake", counted)
    said = client_hello(tls)
    links = [tls.house.link() for _ in range(20)]
    instrument = Turns()
    trio.lowlevel.add_instrument(instrument)
    try:
        for link in links:
            link.outgoing.write(said)
        await trio.sleep(1)
    finally:
        trio.lowlevel.remove_instrument(instrument)
    assert len(steps) == 20
    assert len(set(steps)) == 20, "no two in one turn of the event loop"


# --- plain HTTP --------------------------------------------------------------------------

HTTPS_ONLY = b"speaks HTTPS"
PLAIN: dict[str, tuple[bytes, int, str]] = {
    "a page": (b"GET /x?a=b HTTP/1.1\r\nHost: atrium.test:8080\r\n", 308,
               "https://atrium.test:8080/x?a=b"),
    "by address": (b"GET / HTTP/1.1\r\nhost:192.0.2.1\r\n", 308, "https://192.0.2.1/"),
    "only the head": (b"HEAD / HTTP/1.1\r\nHost: atrium.test\r\n", 308, "https://atrium.test/"),
    "a form": (b"POST /api/sign-ins HTTP/1.1\r\nHost: atrium.test\r\n", 400, ""),
    "a WebSocket": (
        b"GET /ws HTTP/1.1\r\nHost: atrium.test\r\nUpgrade: websocket\r\n", 400, ""
    ),
    "a foreign name": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n", 400, ""),
    "no name": (b"GET / HTTP/1.0\r\n", 400, ""),
    "two names": (b"GET / HTTP/1.1\r\nHost: atrium.test\r\nHost: evil.example\r\n", 400, ""),
    "another form of target": (
        b"GET http://evil.example/ HTTP/1.1\r\nHost: atrium.test\r\n", 400, ""
    ),
    "control characters": (b"GET /\x01 HTTP/1.1\r\nHost: atrium.test\r\n", 400, ""),
    "bytes beyond ASCII": (b"GET /\xe4 HTTP/1.1\r\nHost: atrium.test\r\n", 400, ""),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n", 400, ""),
    "no request": (b"HELLO\r\n", 400, ""),
}


@pytest.mark.parametrize("what", PLAIN)
async def test_plain_http_hears_where_to_go(
    what: str, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    request, status, location = PLAIN[what]
    peer = tls.house.peer()
    await peer.write(request + b"\r\n")
    assert await peer.answer() == status
    found = [line for line in peer.head.split("\r\n") if line.lower().startswith("location:")]
    assert found == ([f"Location: {location}"] if location else [])
    assert HTTPS_ONLY in await peer.rest()
    assert tls.failures("plain") == 1


async def test_plain_http_that_has_no_end(tls: TlsHouse, autojump_clock: MockClock) -> None:
    peer = tls.house.peer()
    await peer.write(b"GET /" + b"a" * (2 * limits.HTTP_HEAD_BYTES_MAX))
    assert await peer.answer() == 400
    slow = tls.house.peer()
    await slow.write(b"GET / HTTP/1.1\r\n")
    assert await slow.answer() == 0, "let go after HANDSHAKE_S_MAX"
    assert (tls.failures("plain"), tls.failures("slow")) == (1, 1)


# --- origins -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [(f"https://{NAME}", 101), (f"http://{NAME}", 403), ("https://evil.example", 403)],
)
async def test_only_pages_that_came_by_tls_are_ours(
    origin: str, status: int, tls: TlsHouse, autojump_clock: MockClock
) -> None:
    assert await tls.peer().upgrade(Origin=origin) == status


@pytest.mark.parametrize("is_secure", [True, False])
def test_the_same_holds_for_http(is_secure: bool) -> None:
    admission = Admission(
        knows_host=lambda host: True, client_of=lambda peer, forwarded: peer,
        trusts=lambda client: False, take_request=lambda client, now, is_static: True,
        refused=lambda reason: None, is_secure=is_secure,
    )
    assert admission.is_of_ours(f"https://{NAME}", NAME)
    assert admission.is_of_ours(f"http://{NAME}", NAME) is not is_secure


# --- another certificate -----------------------------------------------------------------


async def certificate_shown(tls: TlsHouse) -> bytes:
    """What a new connection is shown, whatever it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream: trio.SSLStream[MemoryStream] = trio.SSLStream(
        tls.house.link(), context, https_compatible=True
    )
    await stream.do_handshake()
    shown = stream.getpeercert(True)
    assert isinstance(shown, bytes)
    return shown


async def test_new_connections_get_the_new_certificate_and_old_ones_live_on(
    tls: TlsHouse, tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    witness = await tls.witness()
    before = await certificate_shown(tls)
    write_pair(tmp_path)
    await _until_other(tls, before)
    after = await certificate_shown(tls)
    assert after != before
    assert witness.ended is None
    (tmp_path / "key.pem").write_bytes(b"half a ke")
    with caplog.at_level("ERROR"):
        assert tls.house.server.credentials is not None
        for is_told in (False, False, False):
            assert not await tls.house.server.credentials.reload(is_told=is_told)
    assert await certificate_shown(tls) == after, "a broken pair changes nothing"
    assert len([r for r in caplog.records if "no good" in r.message]) == 1, "told once"


async def _until_other(tls: TlsHouse, before: bytes) -> None:
    """Until a look of the server's own has found the new pair."""
    with trio.fail_after(PATIENCE_S * 100):
        while await certificate_shown(tls) == before:  # noqa: ASYNC110
            await trio.sleep(1)

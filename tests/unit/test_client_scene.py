"""What comes back of a GET for a scene: its bytes, or a sentence."""

from __future__ import annotations

import contextlib
import gzip

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_client import scene
from atrium_client.errors import ConnectionFailed
from atrium_client.link import Address
from atrium_shared.errors import ProtocolError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WORLDS = b'[{"world": {"name": "plaza", "people": 2}, "scene_url": "/scene@2", "more": 1}]'


def saying(data: bytes) -> Address:
    """The address of a server that says this, whatever it is asked, and hangs up."""

    async def dial() -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await ours.send_all(data)
        await ours.send_eof()
        return theirs

    return Address("ws://atrium.test/ws", dial)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"\r\n{}",
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0),
    ],
)
async def test_bodies_in_every_form(data: bytes) -> None:
    assert await scene.fetch(saying(HEAD + data), "/scene") == b"{}"


@pytest.mark.parametrize(
    ("data", "about"),
    [
        (b"", "did not answer as an Atrium server"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer as an Atrium server"),
        (HEAD + b"Content-Length: 9\r\n\r\n{}", "did not answer as an Atrium server"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "has nothing at /scene"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "status 302"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\nnot packed", "damaged"),
        (
            HEAD + b"Content-Encoding: gzip\r\n\r\n"
            + gzip.compress(b"{}" * 99, mtime=0)[:-9], "in part",
        ),
    ],
)
async def test_everything_else_is_a_sentence(data: bytes, about: str) -> None:
    with pytest.raises(ConnectionFailed, match=about):
        await scene.fetch(saying(data), "/scene")


@pytest.mark.parametrize("packed", [False, True])
async def test_a_scene_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(scene, "SCENE_BYTES_MAX", 1_000)
    body = bytes(100_000)
    data = HEAD + (b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(body, mtime=0) if packed
                   else b"\r\n" + body)
    with pytest.raises(ConnectionFailed, match="larger"):
        await scene.fetch(saying(data), "/scene")


async def test_a_server_that_hangs_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    held: list[trio.abc.Stream] = []

    async def dial() -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        held.append(ours)
        return theirs

    with pytest.raises(ConnectionFailed, match="broke off"):
        await scene.fetch(Address("ws://atrium.test/ws", dial), "/scene")
    assert trio.current_time() < scene.FETCH_S_MAX


async def test_a_server_that_never_ends_is_given_up(
    autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:

        async def drip(stream: trio.abc.Stream) -> None:
            with contextlib.suppress(trio.BrokenResourceError):  # when it has been given up
                await stream.send_all(HEAD + b"\r\n")
                while True:
                    await stream.send_all(b" ")
                    await trio.sleep(1)

        async def dial() -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(drip, ours)
            return theirs

        with pytest.raises(ConnectionFailed, match="took more than"):
            await scene.fetch(Address("ws://atrium.test/ws", dial), "/scene")
        nursery.cancel_scope.cancel()


@given(st.binary(max_size=100), st.booleans())
@settings(max_examples=100)
def test_any_bytes_are_a_body_or_a_sentence(data: bytes, has_head: bool) -> None:
    async def ask() -> None:
        try:
            await scene.fetch(saying(HEAD + data if has_head else data), "/scene")
        except ConnectionFailed:
            return

    trio.run(ask, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    "path", ["", "scene", "http://elsewhere/", "/a b", "/a\r\nX: y", "/é", "/a\n"]
)
async def test_an_address_that_is_none_is_not_asked_for(path: str) -> None:
    with pytest.raises(ProtocolError, match="address of a scene"):
        await scene.fetch(saying(b""), path)


async def test_the_newest_scene_is_named_by_the_list_of_worlds() -> None:
    assert await scene.newest_path(saying(HEAD + b"\r\n" + WORLDS), "plaza") == "/scene@2"
    with pytest.raises(scene.NotThere, match="'attic'"):
        await scene.newest_path(saying(HEAD + b"\r\n" + WORLDS), "attic")
    for data in (b"{}", b"[1]", b"\xff", b"[" * 9_999):
        with pytest.raises(ProtocolError, match="list of worlds"):
            await scene.newest_path(saying(HEAD + b"\r\n" + data), "plaza")

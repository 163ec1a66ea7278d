"""Fetches the scene of a world: a GET, and what is packed unpacked.

A scene can be tens of megabytes, so it comes compressed, bounded before and after it is unpacked,
and is unpacked in a thread. The way to the server is that of the WebSocket (`link.Address`).
"""

from __future__ import annotations

import re
import zlib
from typing import Final

import msgspec
import trio

from atrium_client.errors import ConnectionFailed
from atrium_client.http_exchange import Origin, Request, exchange
from atrium_client.link import Address
from atrium_shared.errors import ErrorCode, ProtocolError

SCENE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest scene, unpacked; the answer as it comes may be as long."""
FETCH_S_MAX: Final = 120.0
_PATH: Final = re.compile(r"/[!-~]*")
_GZIP: Final = 31


class NotThere(ConnectionFailed):
    """The server answered with 404."""


class _Name(msgspec.Struct):
    name: str


class _Listed(msgspec.Struct):
    world: _Name
    scene_url: str


async def fetch(address: Address, path: str) -> bytes:
    """The body of `path` on the server of a WebSocket's address. Raises ConnectionFailed (NotThere
    for what is not there) and ProtocolError.
    """
    if not _PATH.fullmatch(path):
        raise ProtocolError(ErrorCode.MALFORMED, "the address of a scene is none")
    origin = Origin(address.url, address.dial, address.ssl)
    request = Request("GET", path, {"accept-encoding": "gzip"}, b"")
    with trio.move_on_after(FETCH_S_MAX):
        async with exchange(origin, request) as answer:
            if answer.status == 404:
                raise NotThere(f"The server has nothing at {path} (any more).")
            if answer.status != 200:
                raise ConnectionFailed(f"GET {path} was answered with HTTP status {answer.status}.")
            body = await answer.body(SCENE_BYTES_MAX)
        if answer.headers.get("content-encoding", "identity") != "gzip":
            return body
        return await trio.to_thread.run_sync(_unpacked, body)
    raise ConnectionFailed(f"GET {path} took more than {FETCH_S_MAX:g} s.")


async def newest_path(address: Address, world: str) -> str:
    """The path of the newest scene of a world. Raises ConnectionFailed and ProtocolError."""
    data = await fetch(address, "/api/worlds")
    try:
        worlds = msgspec.json.decode(data, type=list[_Listed])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(ErrorCode.MALFORMED, f"not a list of worlds: {error}") from None
    for listed in worlds:
        if listed.world.name == world:
            return listed.scene_url
    raise NotThere(f"The server does not list the world {world!r}.")


def _unpacked(body: bytes) -> bytes:
    packer = zlib.decompressobj(wbits=_GZIP)
    try:
        data = packer.decompress(body, SCENE_BYTES_MAX)
    except zlib.error as error:
        raise ConnectionFailed(f"The scene was damaged on its way: {error}") from error
    if packer.unconsumed_tail:
        raise ConnectionFailed("The scene is larger than a scene can be.")
    if not packer.eof:
        raise ConnectionFailed("The scene came only in part.")
    return data

"""Answers for the files of the page, made ready once and sent without further ado.

Theory of operation
-------------------
A page is a hundred and more small modules, which all arrive in one second. So their answers take no
way through routes and handlers: they are looked up by path, between the guard and Litestar, and are
two messages that were made at the start. What is not found goes on to the routes, where
`routes.no_file` says in a sentence what is wrong.

Each header is paid for as often as there are modules, so there are few: because the address of a
file holds the version of all of them, it needs no tag by which to ask whether it is still good, and
the guard adds less to scripts and styles than to other answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atrium_server.http.assets import Asset, WebAssets
from atrium_server.http.uploads import AsgiApp, Message, Receive, Scope, Send

IMMUTABLE: Final = "public, max-age=31536000, immutable"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _File:
    """One file: the two messages of its plain answer, and those of its compressed one, if any."""

    plain: tuple[Message, Message]
    packed: tuple[Message, Message] | None

    @classmethod
    def of(cls, asset: Asset) -> _File:
        plain = _answer(asset, asset.body)
        if asset.compressed is None:
            return cls(plain, None)
        return cls(plain, _answer(asset, asset.compressed, (b"content-encoding", b"gzip")))


class StaticFiles:
    """`app` behind the files of the page; stands behind the guard, which adds its headers."""

    def __init__(self, app: AsgiApp, assets: WebAssets) -> None:
        self._app = app
        self._files = {
            f"/static/{assets.version}/{name}": _File.of(asset)
            for name, asset in assets.files.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope["type"] == "http" and scope["method"] == "GET"
        file = self._files.get(scope["path"]) if is_asked else None
        if file is None:
            await self._app(scope, receive, send)
            return
        accepted = b",".join(
            value for name, value in scope["headers"] if name == b"accept-encoding"
        )
        packed = file.packed if takes_gzip(accepted.decode("latin-1")) else None
        for message in packed or file.plain:
            await send(message)


def takes_gzip(accepted: str) -> bool:
    """Whether a header Accept-Encoding allows gzip."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _answer(asset: Asset, body: bytes, *more: Header) -> tuple[Message, Message]:
    headers: list[Header] = [
        (b"content-type", asset.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", IMMUTABLE.encode()),
        *more,
    ]
    if asset.compressed is not None:
        headers.append((b"vary", b"accept-encoding"))
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    return start, {"type": "http.response.body", "body": body, "more_body": False}

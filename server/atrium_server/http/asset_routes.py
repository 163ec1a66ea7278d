"""Assets over HTTP: bring one, fetch one, ask what is known of one.

An asset's address holds the hash of its bytes, so what is there never changes and may be kept for
ever. Whoever knows the address may fetch it, as guests see worlds, too. What people brought is
only ever handed out with headers that keep a browser from taking it for a page: no other type than
the checked one, nothing that it could run or load, and a name to be saved under.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, SkipValidation
from litestar.response import Stream

from atrium_server.accounts.roles import UPLOAD
from atrium_server.assets.admission import Reason, UploadRefused
from atrium_server.assets.store import StorageError
from atrium_server.assets.uploads import Asset, Offer, Uploads
from atrium_server.assets.verdict import TAKEN, claimed_type
from atrium_server.http.account_routes import BEARER, from_our_pages
from atrium_server.http.auth import HasAccounts, person_of
from atrium_server.http.guard import IS_HEAD
from atrium_server.http.uploads import Refused, announced_bytes
from atrium_shared.limits import ASSET_BYTES_MAX, ASSET_READ_BYTES_MAX

NOT_HERE: Final = "This server keeps no assets: start it with a data directory."
_STATUS: Final = {
    Reason.BROKEN_OFF: HTTPStatus.BAD_REQUEST,
    Reason.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.WRONG_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Reason.BAD_ASSET: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.HELD: HTTPStatus.CONFLICT,
    Reason.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.QUOTA: HTTPStatus.INSUFFICIENT_STORAGE,
    Reason.NO_ROOM: HTTPStatus.INSUFFICIENT_STORAGE,
    Reason.NOT_NOW: HTTPStatus.SERVICE_UNAVAILABLE,
}
_SANDBOX: Final = "sandbox; default-src 'none'"
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_RETRY_S: Final = 5



class HasUploads(HasAccounts, Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def uploads(self) -> Uploads | None: ...


AnyRequest = Request[Any, Any, Any]
ServiceParameter = NamedDependency[SkipValidation[HasUploads]]


@dataclass(frozen=True, slots=True)
class AssetAnswer:
    """An asset, and where it is; `meta` says what the check found (size, triangles, seconds)."""

    hash: str
    media_type: str
    size_bytes: int
    meta: dict[str, Any]
    url: str

    @classmethod
    def of(cls, asset: Asset) -> AssetAnswer:
        url = f"/api/assets/{asset.digest}"
        return cls(asset.digest, asset.media_type, asset.size_bytes, asset.meta, url)


def _failure(
    status: int, code: str, sentence: str, retry_s: float = 0.0
) -> Response[dict[str, str]]:
    headers = {"retry-after": str(math.ceil(retry_s))} if retry_s else {}
    return Response(
        {"code": code, "sentence": sentence}, status_code=status, headers=headers,
        media_type="application/json",
    )


def _on_refused_upload(request: AnyRequest, error: UploadRefused) -> Response[dict[str, str]]:
    return _failure(_STATUS[error.reason], error.reason, error.sentence, error.retry_s)


def _on_refused_body(request: AnyRequest, error: Refused) -> Response[dict[str, str]]:
    return _failure(error.status, error.code, error.sentence)


def _on_storage_error(request: AnyRequest, error: StorageError) -> Response[dict[str, str]]:
    return _failure(HTTPStatus.SERVICE_UNAVAILABLE, "not_now", error.sentence, _RETRY_S)


ERRORS: Final[Any] = {
    UploadRefused: _on_refused_upload,
    Refused: _on_refused_body,
    StorageError: _on_storage_error,
}


def _uploads(service: HasUploads) -> Uploads:
    if service.uploads is None:
        raise HTTPException(status_code=HTTPStatus.NOT_IMPLEMENTED, detail=NOT_HERE)
    return service.uploads


async def _found(service: HasUploads, digest: str) -> tuple[Uploads, Asset]:
    uploads = _uploads(service)
    asset = await uploads.find(digest)
    if asset is None:
        raise NotFoundException("There is no asset of this hash; somebody must upload it first.")
    return uploads, asset


@post(
    "/api/assets",
    summary="Upload a model, an image or a sound",
    request_max_body_size=ASSET_BYTES_MAX,
    guards=[from_our_pages],
    security=BEARER,
    exception_handlers=ERRORS,
)
async def upload(request: AnyRequest, service: ServiceParameter) -> Response[AssetAnswer]:
    """The body is the file, with its Content-Type and Content-Length. Status 201 for a new asset,
    200 when the server has it already. It is checked before the answer comes, which can take
    some seconds.
    """
    uploads = _uploads(service)
    person = await person_of(request, service, UPLOAD)
    claimed = claimed_type(request.headers.get("content-type", ""))
    if claimed is None:
        raise UploadRefused(
            Reason.WRONG_TYPE,
            f"Files of this type are not taken. Taken are {TAKEN}: the file alone as the body of"
            " the request, and its type in Content-Type, such as image/png.",
        )
    offer = Offer(announced_bytes(request.scope["headers"]), claimed, person.account)
    asset, is_new = await uploads.receive(offer, request.stream())
    return Response(
        AssetAnswer.of(asset), status_code=HTTPStatus.CREATED if is_new else HTTPStatus.OK
    )


@get(
    "/api/assets/{digest:str}", summary="The bytes of an asset",
    exception_handlers=ERRORS,
)
async def asset(
    digest: FromPath[str], request: AnyRequest, service: ServiceParameter
) -> Response[Any]:
    """The file, whole or one range of it; it may be kept for ever."""
    uploads, found = await _found(service, digest)
    headers = {
        "etag": f'"{found.digest}"',
        "cache-control": _IMMUTABLE,
        "content-type": found.media_type,
        "content-security-policy": _SANDBOX,
        "x-content-type-options": "nosniff",
        "content-disposition": f'attachment; filename="{found.file_name}"',
        "accept-ranges": "bytes",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    wanted = _wanted(request, found)
    status = HTTPStatus.OK
    if wanted is None:
        wanted = range(found.size_bytes)
    elif not wanted:
        headers["content-range"] = f"bytes */{found.size_bytes}"
        headers["content-type"] = "application/json"
        body = {"code": "bad_range", "sentence": "The file has no such part."}
        return Response(
            body, status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers
        )
    else:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["content-range"] = f"bytes {wanted[0]}-{wanted[-1]}/{found.size_bytes}"
    headers["content-length"] = str(len(wanted))
    if request.scope.get(IS_HEAD):
        return Response(b"", status_code=status, headers=headers)
    pieces = _Pieces(uploads, found, wanted)
    await pieces.begin()
    return Stream(pieces, status_code=status, headers=headers)


@get(
    "/api/assets/{digest:str}/meta", summary="What is known of an asset",
    exception_handlers=ERRORS,
)
async def asset_meta(digest: FromPath[str], service: ServiceParameter) -> Response[AssetAnswer]:
    """What the check found: sizes, triangles, seconds."""
    _, found = await _found(service, digest)
    return Response(AssetAnswer.of(found), headers={"cache-control": _IMMUTABLE})


def _wanted(request: AnyRequest, found: Asset) -> range | None:
    """The one range that is asked for, empty when the file has no such; None for the whole file,
    also when several ranges are asked for, as HTTP allows.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    known = request.headers.get("if-range", "")
    if match is None or known not in {"", f'"{found.digest}"'}:
        return None
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return None
    if first:
        end = min(int(last) + 1, found.size_bytes) if last else found.size_bytes
        return range(int(first), end)
    return range(max(0, found.size_bytes - int(last)), found.size_bytes) if last else None


class _Pieces:
    """A part of a file, read piece by piece as fast as the peer takes them.

    The first one is read before the answer begins, so that a file that cannot be read is told.
    """

    def __init__(self, uploads: Uploads, found: Asset, wanted: range) -> None:
        self._uploads, self._digest = uploads, found.digest
        self._at, self._end = wanted[0], wanted[-1] + 1
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Read the first piece. Raises NotFoundException, StorageError."""
        try:
            self._first = await self._read()
        except FileNotFoundError:
            raise NotFoundException("The file of this asset is lost: upload it again.") from None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            data, self._first = self._first, None
            return data
        if self._at >= self._end:
            raise StopAsyncIteration
        return await self._read()

    async def _read(self) -> bytes:
        size = min(ASSET_READ_BYTES_MAX, self._end - self._at)
        data = await self._uploads.read(self._digest, self._at, size)
        if len(data) != size:
            raise FileNotFoundError("the file of an asset is shorter than it was")
        self._at += size
        return data


HANDLERS: Final = (upload, asset, asset_meta)

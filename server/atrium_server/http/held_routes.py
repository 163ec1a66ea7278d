"""The routes by which moderators decide on uploads that are held, and uploaders hear of theirs.

Assets belong to the server and to no world, so who decides needs the permission in all worlds. The
bytes of what is held are never sent, to nobody: `assets.held` says what a preview is.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from atrium_server.accounts.roles import MODERATE
from atrium_server.assets.held import Decision
from atrium_server.assets.showing import HELD_SENTENCE
from atrium_server.assets.uploads import HELD_BY, Uploads
from atrium_server.http.account_routes import BEARER, as_json, from_our_pages
from atrium_server.http.asset_routes import ERRORS, NOT_HERE, ServiceParameter
from atrium_server.http.auth import person_of
from atrium_server.persistence.assets import HELD, AssetRow
from atrium_shared.errors import Overload
from atrium_shared.limits import PICTURES_MAX

REASON_CHARS_MAX: Final = 160
NOT_HELD: Final = "No upload of this hash is held: somebody may have decided already."
NO_PICTURE: Final = (
    "There is no such picture to be seen: it may be in a form that cannot be shown here (KTX2), or"
    " somebody has decided on the upload already."
)

AnyRequest = Request[Any, Any, Any]


class HeldEntry(msgspec.Struct, frozen=True):
    """What waits. `why` is score, unseen (the model could not be shown all of it), absent (there
    was no model) or failed; `score` is the highest of its pictures. `created_at` is in seconds
    since 1970."""

    hash: str
    media_type: str
    size_bytes: int
    uploader: uuid.UUID | None
    created_at: float
    pictures: int
    why: str
    score: float | None
    preview_url: str


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether others may see it; if not, the reason is told to who uploaded it."""

    may_show: bool
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)] = ""


class Outcome(msgspec.Struct, frozen=True):
    """What came of it."""

    sentence: str


class OwnUpload(msgspec.Struct, frozen=True):
    """An upload of one's own: ready, pending (a moderator is to look at it) or refused, and why."""

    hash: str
    media_type: str
    size_bytes: int
    state: str
    sentence: str


def _uploads(service: ServiceParameter) -> Uploads:
    if service.uploads is None:
        raise HTTPException(status_code=HTTPStatus.NOT_IMPLEMENTED, detail=NOT_HERE)
    return service.uploads


def _entry(row: AssetRow) -> HeldEntry:
    held_by: dict[str, Any] = row.meta.get(HELD_BY, {})
    images: list[Any] = row.meta.get("images", [])
    return HeldEntry(
        row.digest, row.media_type, row.size_bytes, row.uploader, row.created_at,
        min(len(images), PICTURES_MAX), str(held_by.get("why", "")), held_by.get("score"),
        f"/api/held-assets/{row.digest}/preview",
    )


@get("/api/held-assets", summary="Uploads that wait for a moderator", security=BEARER)
async def held_assets(request: AnyRequest, service: ServiceParameter) -> list[HeldEntry]:
    """Those that have waited for the longest, at most 200. For moderators of all worlds."""
    uploads = _uploads(service)
    await person_of(request, service, MODERATE)
    return [_entry(row) for row in await uploads.held.waiting()]


@get(
    "/api/held-assets/{digest:str}/preview", summary="A picture of an upload that is held",
    security=BEARER, exception_handlers=ERRORS,
)
async def preview(
    digest: FromPath[str], request: AnyRequest, service: ServiceParameter,
    picture: FromQuery[int] = 0, sharp: FromQuery[bool] = False,
) -> Response[bytes]:
    """A JPEG, so coarse that it harms nobody; `sharp=true` shows more of it. A model has several:
    `picture=` says which, from 0 on. For moderators of all worlds."""
    uploads = _uploads(service)
    await person_of(request, service, MODERATE)
    try:
        found = await uploads.held.preview(digest, picture, is_sharp=sharp)
    except Overload as error:
        raise HTTPException(
            status_code=HTTPStatus.SERVICE_UNAVAILABLE, detail=error.sentence,
            headers={"retry-after": str(max(1, error.retry_ms // 1000))},
        ) from None
    if found is None:
        raise NotFoundException(NO_PICTURE)
    return Response(found, headers={"content-type": "image/jpeg", "cache-control": "no-store"})


@post(
    "/api/held-assets/{digest:str}/decide", summary="Let an upload be seen, or refuse it",
    status_code=200, guards=[from_our_pages, as_json], security=BEARER, exception_handlers=ERRORS,
)
async def decide(
    digest: FromPath[str], data: JSONBody[Decided], request: AnyRequest, service: ServiceParameter
) -> Outcome:
    """What is refused is removed, and the same bytes are not taken again. It is written to the
    audit log. For moderators of all worlds."""
    uploads = _uploads(service)
    who = await person_of(request, service, MODERATE)
    decision = Decision(data.may_show, who.account, data.reason.strip())
    if not await uploads.decide(digest, decision):
        raise NotFoundException(NOT_HELD)
    if data.may_show:
        return Outcome("Everybody can fetch it now.")
    return Outcome("It is removed, and will not be taken again.")


@get("/api/accounts/me/assets", summary="What became of one's own uploads", security=BEARER)
async def own_assets(
    request: AnyRequest, service: ServiceParameter, after: FromQuery[str] = ""
) -> list[OwnUpload]:
    """At most 200, by hash; for more say `after=` with the hash of the last."""
    uploads = _uploads(service)
    who = await person_of(request, service)
    rows = await uploads.held.of_account(who.account, after)
    return [
        OwnUpload(row.digest, row.media_type, row.size_bytes, row.state,
                  HELD_SENTENCE if row.state == HELD else row.sentence)
        for row in rows
    ]


HANDLERS: Final = (held_assets, preview, decide, own_assets)

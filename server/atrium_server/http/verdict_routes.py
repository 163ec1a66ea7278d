"""The routes by which verdicts are put right: by moderators, and at the request of who was judged.

A verdict is known by its id for a day at most, and while the server runs. Whoever came in with a
token, a guest's included, finds their own in `mine`; moderators of a world find those of everybody,
but for what somebody said to one person alone and that nobody asked them to look at.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation
from msgspec import Meta

from atrium_server.accounts.person import Identity
from atrium_server.accounts.roles import MODERATE
from atrium_server.accounts.service import Accounts
from atrium_server.http.account_routes import BEARER, as_json, from_our_pages
from atrium_server.http.auth import identity_of, person_of
from atrium_server.http.world_routes import World
from atrium_server.moderation.findings import Category
from atrium_server.verdicts import Standing

VERDICTS_MAX: Final = 200
"""In one answer."""
APPEAL_CHARS_MAX: Final = 500
NOT_HERE: Final = "On this server nothing is moderated, so there are no verdicts."

AnyRequest = Request[Any, Any, Any]


class ShouldBe(StrEnum):
    """What a moderator says of a line."""

    ALLOW = "allow"
    MASK = "mask"
    BLOCK = "block"


class VerdictEntry(msgspec.Struct, frozen=True):
    """One line and what was decided on it. `shown` is what others read of it, "" for nothing; `who`
    is an account, or `guest:` and a session; `corrected` is "" before a moderator has decided."""

    id: uuid.UUID
    at: datetime
    text: str
    shown: str
    channel: str
    who: str
    name: str
    action: str
    category: str | None
    source: str
    model: str
    reason: str
    standing: Standing
    is_retracted: bool
    corrected: str
    is_appealed: bool
    appeal: str


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it should have been, and (unless that is `allow`) of which category. The reason is for
    other moderators, and for the author of a line that is taken back."""

    action: ShouldBe
    category: Category | None = None
    reason: Annotated[str, Meta(max_length=200)] = ""


class Corrected(msgspec.Struct, frozen=True):
    """What came of it: where the line is now, and whether it will be learnt from."""

    standing: Standing
    is_learnt_from: bool
    sentence: str


class Appeal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a verdict is wrong. With `may_learn` the line may be kept to learn from, should a
    moderator agree; without it that is up to the preferences of the account."""

    why: Annotated[str, Meta(max_length=APPEAL_CHARS_MAX)] = ""
    may_learn: bool = False


class Thumb(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the author finds a verdict right."""

    is_right: bool


class Kept(msgspec.Struct, frozen=True):
    """Whether something was kept, and what happens now."""

    is_kept: bool
    sentence: str


class Removed(msgspec.Struct, frozen=True):
    """How many rows of feedback were removed."""

    removed: int


class Reviewer(Protocol):
    """What the server can do; see `atrium_server.reviewing`."""

    def verdicts(
        self, world: str, standing: Standing | None, before: uuid.UUID | None, most: int
    ) -> list[VerdictEntry]: ...

    def mine(self, world: str, who: Identity) -> list[VerdictEntry]: ...

    async def correct(
        self, world: str, id: uuid.UUID, order: Correction, actor: uuid.UUID
    ) -> Corrected: ...

    async def appeal(
        self, world: str, id: uuid.UUID, appeal: Appeal, who: Identity
    ) -> Kept: ...

    async def thumb(self, world: str, id: uuid.UUID, thumb: Thumb, who: Identity) -> Kept: ...

    async def withdraw(self, account: uuid.UUID) -> int: ...


class HasReviewer(Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def accounts(self) -> Accounts | None: ...

    @property
    def reviewer(self) -> Reviewer | None: ...


ServiceParameter = NamedDependency[SkipValidation[HasReviewer]]


def _reviewer_of(service: HasReviewer) -> Reviewer:
    if service.reviewer is None:
        raise HTTPException(status_code=501, detail=NOT_HERE)
    return service.reviewer


@get("/api/worlds/{world:str}/verdicts", summary="Verdicts on lines of a world, newest first",
     security=BEARER)
async def verdicts(
    world: World, request: AnyRequest, service: ServiceParameter,
    standing: FromQuery[Standing | None] = None, before: FromQuery[uuid.UUID | None] = None,
) -> list[VerdictEntry]:
    """At most 200; for older ones say `before=` with the id of the last. `standing=held` are those
    that wait. For moderators."""
    reviewer = _reviewer_of(service)
    await person_of(request, service, MODERATE, world)
    return reviewer.verdicts(world, standing, before, VERDICTS_MAX)


@get("/api/worlds/{world:str}/verdicts/mine", summary="Verdicts on one's own lines",
     security=BEARER)
async def my_verdicts(
    world: World, request: AnyRequest, service: ServiceParameter
) -> list[VerdictEntry]:
    """What was held, covered, kept back or taken back, newest first."""
    reviewer = _reviewer_of(service)
    return reviewer.mine(world, await identity_of(request, service, world))


@post(
    "/api/worlds/{world:str}/verdicts/{id:uuid}/correct", status_code=200,
    summary="Say what a line should have been",
    guards=[from_our_pages, as_json], security=BEARER,
)
async def correct(
    world: World, id: FromPath[uuid.UUID], data: JSONBody[Correction], request: AnyRequest,
    service: ServiceParameter,
) -> Corrected:
    """A line that was kept back and is allowed now is told late; one that others read and should
    not is taken back. For moderators."""
    reviewer = _reviewer_of(service)
    who = await person_of(request, service, MODERATE, world)
    return await reviewer.correct(world, id, data, who.account)


@post(
    "/api/worlds/{world:str}/verdicts/{id:uuid}/appeal", summary="Ask a moderator to look again",
    status_code=200, guards=[from_our_pages, as_json], security=BEARER,
)
async def appeal(
    world: World, id: FromPath[uuid.UUID], data: JSONBody[Appeal], request: AnyRequest,
    service: ServiceParameter,
) -> Kept:
    """About a line of one's own, once."""
    reviewer = _reviewer_of(service)
    return await reviewer.appeal(world, id, data, await identity_of(request, service, world))


@post(
    "/api/worlds/{world:str}/verdicts/{id:uuid}/thumb", summary="Say whether a verdict is right",
    status_code=200, guards=[from_our_pages, as_json], security=BEARER,
)
async def thumb(
    world: World, id: FromPath[uuid.UUID], data: JSONBody[Thumb], request: AnyRequest,
    service: ServiceParameter,
) -> Kept:
    """About a line of one's own, once. Nobody has to look at it."""
    reviewer = _reviewer_of(service)
    return await reviewer.thumb(world, id, data, await identity_of(request, service, world))


@delete(
    "/api/accounts/me/feedback", summary="Take back what may be learnt from one's lines",
    status_code=200, guards=[from_our_pages], security=BEARER,
)
async def withdraw(request: AnyRequest, service: ServiceParameter) -> Removed:
    """All rows of feedback with one's own words are removed."""
    reviewer = _reviewer_of(service)
    who = await person_of(request, service)
    return Removed(await reviewer.withdraw(who.account))


HANDLERS: Final = (verdicts, my_verdicts, correct, appeal, thumb, withdraw)

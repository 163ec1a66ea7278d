"""The routes by which moderators look at what was done to a world, and take it back."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromQuery, JSONBody, PathParameter, SkipValidation
from msgspec import Meta

from atrium_server.accounts.roles import MODERATE
from atrium_server.accounts.rules import WORLD_PATTERN
from atrium_server.accounts.service import Accounts
from atrium_server.http.account_routes import BEARER, as_json, from_our_pages
from atrium_server.http.auth import accounts_of, person_of
from atrium_server.persistence.history import Chosen, EditHead
from atrium_shared.limits import WORLD_NAME_CHARS_MAX

EDITS_MAX: Final = 200
NOT_HERE: Final = "This server keeps no history: start it with a database."

AnyRequest = Request[Any, Any, Any]
Moment = Annotated[datetime, Meta(tz=True)]
World = Annotated[
    str, PathParameter(pattern=f"^{WORLD_PATTERN}$", max_length=WORLD_NAME_CHARS_MAX)
]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class EditEntry(msgspec.Struct, frozen=True):
    """One edit. `account` is null for a guest and for the house; `props` is how many it changed."""

    place: str
    """Where the list goes on after it."""
    at: datetime
    op: str
    account: uuid.UUID | None
    session: uuid.UUID
    prop: uuid.UUID | None
    props: int


class RestoreOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`at` is within the last 30 days."""

    at: Moment
    reason: Reason


class RollBackOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of an account, or of a guest's session."""

    since: Moment
    reason: Reason
    account: uuid.UUID | None = None
    session: uuid.UUID | None = None


class RewoundWorld(msgspec.Struct, frozen=True):
    """So many props were changed; so many were left as they are, because others changed them."""

    changed: int
    left_alone: int


class Rewinder(Protocol):
    """What the server can do; see `atrium_server.rewinding`."""

    async def edits(
        self, world: str, chosen: Chosen, before: tuple[datetime, int] | None, most: int
    ) -> list[EditHead]: ...

    async def restore(
        self, world: str, at: datetime, actor: uuid.UUID, reason: str
    ) -> RewoundWorld: ...

    async def roll_back(
        self, world: str, chosen: Chosen, actor: uuid.UUID, reason: str
    ) -> RewoundWorld: ...


class HasRewinder(Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def accounts(self) -> Accounts | None: ...

    @property
    def rewinder(self) -> Rewinder | None: ...


ServiceParameter = NamedDependency[SkipValidation[HasRewinder]]


def _rewinder_of(service: HasRewinder) -> Rewinder:
    if service.rewinder is None:
        raise HTTPException(status_code=501, detail=NOT_HERE)
    return service.rewinder


@get("/api/worlds/{world:str}/edits", summary="What was done to a world, newest first")
async def edits(
    world: World, request: AnyRequest, service: ServiceParameter,
    account: FromQuery[uuid.UUID | None] = None, before: FromQuery[str] = "",
) -> list[EditEntry]:
    """At most 200; for older ones say `before=` with the `place` of the last. For moderators."""
    rewinder = _rewinder_of(service)
    await person_of(request, service, MODERATE, world)
    if account is not None:
        await accounts_of(service).administration.find_by_id(account)
    found = await rewinder.edits(
        world, Chosen(account), _place_of(before), EDITS_MAX
    )
    return [
        EditEntry(
            f"{one.at.isoformat()}~{one.edit_id}", one.at, one.op, one.actor, one.session,
            one.prop, one.props,
        )
        for one in found
    ]


def _place_of(text: str) -> tuple[datetime, int] | None:
    if not text:
        return None
    moment, _, number = text.partition("~")
    try:
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError
        return at, int(number)
    except ValueError:
        raise HTTPException(
            status_code=400, detail="`before` is the `place` of an edit in this list."
        ) from None


@post(
    "/api/worlds/{world:str}/restore", summary="Make a world what it was", status_code=200,
    guards=[from_our_pages, as_json], security=BEARER,
)
async def restore(
    world: World, data: JSONBody[RestoreOrder], request: AnyRequest,
    service: ServiceParameter,
) -> RewoundWorld:
    """Everything that was built since is taken back. For moderators; it can be undone by another
    restore.
    """
    rewinder = _rewinder_of(service)
    who = await person_of(request, service, MODERATE, world)
    return await rewinder.restore(world, data.at, who.account, data.reason)


@post(
    "/api/worlds/{world:str}/roll-back", summary="Take back what somebody did", status_code=200,
    guards=[from_our_pages, as_json], security=BEARER,
)
async def roll_back(
    world: World, data: JSONBody[RollBackOrder], request: AnyRequest,
    service: ServiceParameter,
) -> RewoundWorld:
    """Where others have changed a prop since, it is left alone. For moderators."""
    rewinder = _rewinder_of(service)
    who = await person_of(request, service, MODERATE, world)
    if (data.account is None) == (data.session is None):
        raise HTTPException(status_code=400, detail="Name an account or a session, one of both.")
    if data.account is not None:
        await accounts_of(service).administration.find_by_id(data.account)
    chosen = Chosen(data.account, data.session, since=data.since)
    return await rewinder.roll_back(world, chosen, who.account, data.reason)


HANDLERS: Final = (edits, restore, roll_back)

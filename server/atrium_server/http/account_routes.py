"""The routes of accounts: sign up, sign in, guest, refresh, sign out, one's own account, roles.

Bodies are JSON objects whose fields are all named here, with bounds; anything else is refused
before it is looked at. Whoever is signed in shows the token in the Authorization header (`auth`
says why nowhere else). A page of another origin can send none of this: a browser would ask for
leave to send it a JSON body, which this server gives nobody, and its origin is looked at besides.

With no accounts on this server all of these answer with status 501 and a sentence.
"""

from __future__ import annotations

import math
import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter, SkipValidation
from litestar.response import Stream

from atrium_server.accounts.errors import (
    AccountError,
    NotFound,
    NotPermitted,
    NotSignedIn,
    Taken,
    TooOften,
)
from atrium_server.accounts.roles import GRANT
from atrium_server.accounts.rules import WORLD_PATTERN, Origin, PrefValue
from atrium_server.accounts.tokens import SignedIn
from atrium_server.http.auth import HasAccounts, accounts_of, identity_of, person_of, token_of
from atrium_server.http.guard import Admission
from atrium_server.persistence.errors import Refused, StoreError
from atrium_shared.limits import HANDLE_CHARS_MAX, PREFS_MAX, WORLD_NAME_CHARS_MAX

RETRY_S: Final = 2
"""When the database may answer again."""
BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
TYPED_CHARS_MAX: Final = 512
"""Of a password as it is typed: what it may be is decided, and told, after that."""

Handle = Annotated[str, msgspec.Meta(min_length=1, max_length=4 * HANDLE_CHARS_MAX)]
Typed = Annotated[str, msgspec.Meta(min_length=1, max_length=TYPED_CHARS_MAX)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_WORLD_OR_NONE: Final = f"^({WORLD_PATTERN})?$"
World = Annotated[str, msgspec.Meta(max_length=WORLD_NAME_CHARS_MAX, pattern=_WORLD_OR_NONE)]
Preferences = Annotated[dict[str, PrefValue], msgspec.Meta(max_length=PREFS_MAX)]


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To sign up and to sign in."""

    handle: Handle
    password: Typed


class GuestName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To come in without an account."""

    name: Handle


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To one's own account; what is not named stays as it is."""

    handle: Handle | None = None
    prefs: Preferences | None = None


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password, for what cannot be undone."""

    password: Typed


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the old one to the new one."""

    old_password: Typed
    new_password: Typed


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role for somebody, in one world or ("") in all."""

    handle: Handle
    role: Word
    world: World = ""


class Ticket(msgspec.Struct, frozen=True):
    """A token, to be shown as `Authorization: Bearer TOKEN` and in the hello of the WebSocket."""

    token: str
    expires_in_s: int
    account: uuid.UUID | None
    name: str

    @classmethod
    def of(cls, done: SignedIn) -> Ticket:
        """What a new sign-in is told."""
        return cls(done.token, int(done.expires_in_s), done.account, done.name)


class GrantEntry(msgspec.Struct, frozen=True):
    """A role that somebody has; `world` is "" for all."""

    role: str
    world: str
    granted_at: datetime


class Me(msgspec.Struct, frozen=True):
    """One's own account. `permissions` are those that hold in all worlds."""

    account: uuid.UUID
    handle: str
    created_at: datetime
    password_changed_at: datetime
    prefs: dict[str, PrefValue]
    permissions: list[str]
    grants: list[GrantEntry]


class SignInEntry(msgspec.Struct, frozen=True):
    """One sign-in that holds; `is_this` is the one that asks."""

    sign_in: uuid.UUID
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime
    address: str
    device: str
    is_this: bool


class Count(msgspec.Struct, frozen=True):
    """How many."""

    ended: int


class HasAdmission(HasAccounts, Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def admission(self) -> Admission: ...


AnyRequest = Request[Any, Any, Any]
ServiceParameter = NamedDependency[SkipValidation[HasAdmission]]


def from_our_pages(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Programs (no Origin), and pages that the server's front door would let connect, too."""
    origins, hosts = (connection.headers.getall(name, []) for name in ("origin", "host"))
    if not origins:
        return
    service: HasAdmission = connection.app.state.service
    admission = service.admission
    if not (len(origins) == len(hosts) == 1 and admission.is_of_ours(origins[0], hosts[0])):
        raise PermissionDeniedException("This page may not do that: its origin is not allowed.")


def as_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A body must say that it is JSON: what a foreign form can send does not."""
    kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(
            status_code=415, detail="Send a JSON object, with `Content-Type: application/json`."
        )


def _origin(request: AnyRequest) -> Origin:
    address = request.client.host if request.client else ""
    return Origin(address, request.headers.get("user-agent", "")[:TYPED_CHARS_MAX])


# --- coming and going --------------------------------------------------------------------


@post("/api/accounts", summary="Sign up", guards=[from_our_pages, as_json])
async def sign_up(
    data: JSONBody[Credentials], request: AnyRequest, service: ServiceParameter
) -> Ticket:
    """Make an account and sign in. 409 when the handle, or one that looks like it, is taken."""
    done = await accounts_of(service).sign_up(data.handle, data.password, _origin(request))
    return Ticket.of(done)


@post("/api/sign-ins", summary="Sign in", guards=[from_our_pages, as_json])
async def sign_in(
    data: JSONBody[Credentials], request: AnyRequest, service: ServiceParameter
) -> Ticket:
    """Get a token for a handle and password. 429 after too many wrong ones."""
    done = await accounts_of(service).sign_in(data.handle, data.password, _origin(request))
    return Ticket.of(done)


@post("/api/sign-ins/guest", summary="Come in as a guest", guards=[from_our_pages, as_json])
async def sign_in_guest(
    data: JSONBody[GuestName], request: AnyRequest, service: ServiceParameter
) -> Ticket:
    """Get a token without an account, for a name that no account has."""
    return Ticket.of(await accounts_of(service).guest(data.name, _origin(request)))


@post(
    "/api/sign-ins/refresh", summary="Exchange the token for a fresh one", status_code=200,
    guards=[from_our_pages], security=BEARER,
)
async def refresh(request: AnyRequest, service: ServiceParameter) -> Ticket:
    """The old token is spent: to show it once more ends the sign-in."""
    return Ticket.of(await accounts_of(service).refresh(token_of(request)))


@delete("/api/sign-ins/current", summary="Sign out", guards=[from_our_pages], security=BEARER)
async def sign_out(request: AnyRequest, service: ServiceParameter) -> None:
    """End the sign-in whose token is shown."""
    await accounts_of(service).sign_out(await identity_of(request, service))


@delete(
    "/api/sign-ins", summary="Sign out everywhere", status_code=200, guards=[from_our_pages],
    security=BEARER,
)
async def sign_out_everywhere(request: AnyRequest, service: ServiceParameter) -> Count:
    """End all sign-ins of the account, this one included."""
    person = await person_of(request, service)
    return Count(await accounts_of(service).sign_out_everywhere(person))


# --- one's own account -------------------------------------------------------------------


@get("/api/accounts/me", summary="One's own account", security=BEARER)
async def me(request: AnyRequest, service: ServiceParameter) -> Me:
    """What is kept of the account, and what it may do."""
    person, accounts = await person_of(request, service), accounts_of(service)
    row = await accounts.account(person)
    grants = await accounts.administration.grants(person.account)
    return Me(
        row.id, row.handle, row.created_at, row.password_changed_at,
        msgspec.json.decode(row.prefs), sorted(person.permissions),
        [GrantEntry(each.role, each.world, each.granted_at) for each in grants],
    )


@patch(
    "/api/accounts/me", summary="Change handle or preferences", security=BEARER,
    guards=[from_our_pages, as_json],
)
async def change_me(data: JSONBody[Changes], request: AnyRequest, service: ServiceParameter) -> Me:
    """Preferences replace all those before. 409 when the handle is taken."""
    person, accounts = await person_of(request, service), accounts_of(service)
    await accounts.change(person, data.handle, data.prefs)
    return await me.fn(request, service)


@delete(
    "/api/accounts/me", summary="Delete the account", security=BEARER,
    guards=[from_our_pages, as_json],
)
async def delete_me(
    data: JSONBody[Confirmation], request: AnyRequest, service: ServiceParameter
) -> None:
    """For good. Asks for the password. What others keep of it loses the name."""
    person = await person_of(request, service)
    await accounts_of(service).delete_me(person, data.password, _origin(request))


@put(
    "/api/accounts/me/password", summary="Change the password", status_code=204,
    security=BEARER, guards=[from_our_pages, as_json],
)
async def change_password(
    data: JSONBody[PasswordChange], request: AnyRequest, service: ServiceParameter
) -> None:
    """All other sign-ins end."""
    person = await person_of(request, service)
    this = (await identity_of(request, service)).sign_in
    passwords = (data.old_password, data.new_password)
    await accounts_of(service).change_password(person, this, passwords, _origin(request))


@get(
    "/api/accounts/me/export", summary="All that is kept about one", security=BEARER,
    media_type="application/json",
)
async def export_me(request: AnyRequest, service: ServiceParameter) -> Stream:
    """A JSON object, as a file."""
    person = await person_of(request, service)
    pieces = await accounts_of(service).export_me(person)
    headers = {"content-disposition": 'attachment; filename="atrium-export.json"'}
    return Stream(pieces, headers=headers, media_type="application/json")


@get("/api/accounts/me/sign-ins", summary="Where one is signed in", security=BEARER)
async def sign_ins(request: AnyRequest, service: ServiceParameter) -> list[SignInEntry]:
    """The newest first."""
    person = await person_of(request, service)
    this = (await identity_of(request, service)).sign_in
    return [
        SignInEntry(
            each.id, each.created_at, each.expires_at, each.last_seen_at, each.address,
            each.device, each.id == this,
        )
        for each in await accounts_of(service).sign_ins(person)
    ]


# --- roles -------------------------------------------------------------------------------


@post(
    "/api/role-grants", summary="Give a role", security=BEARER, status_code=204,
    guards=[from_our_pages, as_json],
)
async def grant(data: JSONBody[Grant], request: AnyRequest, service: ServiceParameter) -> None:
    """Needs the permission `grant` there, and all permissions of the role."""
    person = await person_of(request, service, GRANT, data.world)
    administration = accounts_of(service).administration
    await administration.grant(person, data.handle, data.role, data.world)


@delete(
    "/api/role-grants", summary="Take a role", security=BEARER, guards=[from_our_pages]
)
async def revoke(
    handle: Annotated[str, QueryParameter(min_length=1, max_length=4 * HANDLE_CHARS_MAX)],
    role: Annotated[str, QueryParameter(min_length=1, max_length=64)],
    request: AnyRequest,
    service: ServiceParameter,
    world: Annotated[
        str, QueryParameter(max_length=WORLD_NAME_CHARS_MAX, pattern=_WORLD_OR_NONE)
    ] = "",
) -> None:
    """Needs the permission `grant` there, and all permissions of the role."""
    person = await person_of(request, service, GRANT, world)
    await accounts_of(service).administration.revoke(person, handle, role, world)


HANDLERS: Final[list[HTTPRouteHandler]] = [
    sign_up, sign_in, sign_in_guest, refresh, sign_out, sign_out_everywhere,
    me, change_me, delete_me, change_password, export_me, sign_ins, grant, revoke,
]


# --- errors ------------------------------------------------------------------------------

_STATUS: Final[dict[type[AccountError], tuple[int, str]]] = {
    NotSignedIn: (401, "not_signed_in"),
    NotPermitted: (403, "not_allowed"),
    NotFound: (404, "not_found"),
    Taken: (409, "taken"),
    TooOften: (429, "too_many"),
}


def on_account_error(request: AnyRequest, error: AccountError) -> Response[dict[str, str]]:
    """The sentence, with a status by whose fault it is."""
    status, code = _STATUS.get(type(error), (400, "bad_request"))
    headers: dict[str, str] = {}
    if isinstance(error, TooOften):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_s)))
    elif isinstance(error, NotSignedIn):
        headers["www-authenticate"] = "Bearer"
    return _told(status, code, error.sentence, headers)


def on_store_error(request: AnyRequest, error: StoreError) -> Response[dict[str, str]]:
    """The database said no, or said nothing."""
    if isinstance(error, Refused):
        # What the database itself refuses has its error as the cause, and is not for the person.
        is_ours = error.__cause__ is None
        sentence = str(error) if is_ours else "The database cannot keep this as it is."
        return _told(400, "bad_request", sentence, {})
    sentence = "The database does not answer just now: try again in a moment."
    return _told(503, "unavailable", sentence, {"retry-after": str(RETRY_S)})


def _told(
    status: int, code: str, sentence: str, headers: dict[str, str]
) -> Response[dict[str, str]]:
    return Response(
        {"code": code, "sentence": sentence}, status_code=status, headers=headers,
        media_type="application/json",
    )

"""Who sends a request: the bearer token of its Authorization header, and what that one may do.

Tokens come in that header only, never in a cookie or an address. So no foreign page can let a
browser speak for somebody, and no log of addresses holds a secret.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, Protocol

from litestar import Request
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    PermissionDeniedException,
)

from atrium_server.accounts.errors import NotPermitted, NotSignedIn
from atrium_server.accounts.person import Identity, Person
from atrium_server.accounts.service import Accounts

SIGN_IN_FIRST: Final = (
    "Sign in first (POST /api/sign-ins) and send the token as `Authorization: Bearer TOKEN`."
)
NOT_HERE: Final = (
    "This server keeps no accounts: start it with a database, or come in without signing in."
)


class HasAccounts(Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def accounts(self) -> Accounts | None: ...


def accounts_of(service: HasAccounts) -> Accounts:
    """The accounts of this server; status 501 where it has none."""
    if service.accounts is None:
        raise HTTPException(status_code=501, detail=NOT_HERE)
    return service.accounts


def token_of(request: Request[Any, Any, Any]) -> str:
    """The token of a request; status 401 when there is not exactly one."""
    values = request.headers.getall("authorization", [])
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        _unknown(SIGN_IN_FIRST)
    return token.strip()


async def identity_of(
    request: Request[Any, Any, Any], service: HasAccounts, world: str = ""
) -> Identity:
    """Who sends the request, a guest perhaps; status 401 for who is not signed in."""
    accounts = accounts_of(service)
    try:
        return await accounts.identify(token_of(request), world)
    except NotSignedIn as error:
        _unknown(error.sentence)
    except NotPermitted as error:
        raise PermissionDeniedException(error.sentence) from None


async def person_of(
    request: Request[Any, Any, Any], service: HasAccounts, needs: str = "", world: str = ""
) -> Person:
    """Who sends the request, which must be somebody with an account.

    Args:
        needs: a permission (`atrium_server.accounts.roles`) without which they are refused.
        world: the world that it is about; without one only what holds in all worlds counts.

    Raises:
        NotAuthorizedException: 401, not signed in.
        PermissionDeniedException: 403, a guest, a suspended account or not permitted.
        HTTPException: 501, this server has no accounts.
    """
    found = await identity_of(request, service, world)
    if found.account is None:
        raise PermissionDeniedException(
            "Guests cannot do this: sign up (POST /api/accounts), then sign in."
        )
    if needs and needs not in found.permissions:
        raise PermissionDeniedException(
            f"This needs the permission {needs!r}: ask who runs this server for a role that has"
            " it."
        )
    return Person(found.account, found.name, found.permissions)


def _unknown(sentence: str) -> NoReturn:
    raise NotAuthorizedException(sentence, headers={"www-authenticate": "Bearer"})

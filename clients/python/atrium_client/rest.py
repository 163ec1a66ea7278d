"""Accounts over the REST API: sign up, sign in, come as a guest, refresh, leave.

::

    ticket = await sign_in("http://127.0.0.1:8080", "ada", password)
    options = Options(auth_token=ticket.token)
    async with connect("ws://127.0.0.1:8080", name=ticket.name, options=options) as me: ...

A ticket holds for `expires_in_s`; `Rest.refresh` exchanges it for a fresh one, after which the old
one must not be used again: the server takes whoever shows it for a thief and ends the sign-in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from atrium_client.errors import ClientError, ConnectionFailed
from atrium_client.http_exchange import Origin, Request, exchange

ANSWER_BYTES_MAX = 1 << 20

_T = TypeVar("_T")


class RestRefused(ClientError):
    """The server said no; its sentence says what to do.

    Attributes:
        status: of HTTP. code: a word for programs. retry_s: when to try again; 0 for unknown.
    """

    def __init__(self, status: int, code: str, sentence: str, retry_s: float) -> None:
        super().__init__(sentence)
        self.status, self.code, self.retry_s = status, code, retry_s


class Ticket(msgspec.Struct, frozen=True):
    """A token and whose it is; `account` is None for a guest."""

    token: str
    expires_in_s: int
    account: str | None
    name: str

    def __repr__(self) -> str:
        return f"Ticket(name={self.name!r})"


class Granted(msgspec.Struct, frozen=True):
    """A role in a world, or ("") in all."""

    role: str
    world: str
    granted_at: str


class Account(msgspec.Struct, frozen=True):
    """One's own account."""

    account: str
    handle: str
    created_at: str
    password_changed_at: str
    prefs: dict[str, Any]
    permissions: list[str]
    grants: list[Granted]


class SignedInAt(msgspec.Struct, frozen=True):
    """One of one's own sign-ins."""

    sign_in: str
    created_at: str
    expires_at: str
    last_seen_at: str
    address: str
    device: str
    is_this: bool


class _Sentence(msgspec.Struct):
    code: str = ""
    sentence: str = ""


class _Ended(msgspec.Struct):
    ended: int


class Rest:
    """The REST API of one server. Every method raises RestRefused or ConnectionFailed.

    What signs in keeps the token in `token`, which all further requests show.
    """

    def __init__(self, origin: Origin | str, token: str = "") -> None:
        self._origin = Origin(origin) if isinstance(origin, str) else origin
        self.token = token

    # --- coming and going ----------------------------------------------------------------

    async def sign_up(self, handle: str, password: str) -> Ticket:
        """Make an account and sign in."""
        body = {"handle": handle, "password": password}
        return self._kept(await self._ask("POST", "/api/accounts", body, Ticket))

    async def sign_in(self, handle: str, password: str) -> Ticket:
        """Sign in with a password."""
        body = {"handle": handle, "password": password}
        return self._kept(await self._ask("POST", "/api/sign-ins", body, Ticket))

    async def guest(self, name: str) -> Ticket:
        """Sign in without an account."""
        return self._kept(await self._ask("POST", "/api/sign-ins/guest", {"name": name}, Ticket))

    async def refresh(self) -> Ticket:
        """Exchange the token for a fresh one."""
        return self._kept(await self._ask("POST", "/api/sign-ins/refresh", None, Ticket))

    async def sign_out(self) -> None:
        """End this sign-in."""
        await self._ask("DELETE", "/api/sign-ins/current", None, None)
        self.token = ""

    async def sign_out_everywhere(self) -> int:
        """End all sign-ins of the account; returns how many."""
        done = await self._ask("DELETE", "/api/sign-ins", None, _Ended)
        self.token = ""
        return done.ended

    # --- one's own account ---------------------------------------------------------------

    async def me(self) -> Account:
        """What is kept of the account, and what it may do."""
        return await self._ask("GET", "/api/accounts/me", None, Account)

    async def rename(self, handle: str) -> Account:
        """Change the handle."""
        return await self._ask("PATCH", "/api/accounts/me", {"handle": handle}, Account)

    async def set_prefs(self, prefs: Mapping[str, bool | int | float | str | None]) -> Account:
        """Keep preferences in the place of those before."""
        return await self._ask("PATCH", "/api/accounts/me", {"prefs": dict(prefs)}, Account)

    async def change_password(self, old: str, new: str) -> None:
        """All other sign-ins end."""
        body = {"old_password": old, "new_password": new}
        await self._ask("PUT", "/api/accounts/me/password", body, None)

    async def delete_me(self, password: str) -> None:
        """Delete the account, for good."""
        await self._ask("DELETE", "/api/accounts/me", {"password": password}, None)
        self.token = ""

    async def sign_ins(self) -> list[SignedInAt]:
        """Where one is signed in, the newest first."""
        return await self._ask("GET", "/api/accounts/me/sign-ins", None, list[SignedInAt])

    async def export_me(self, write: Callable[[bytes], object]) -> None:
        """Pass all that is kept about one to `write`, piece by piece: JSON of any size."""
        request = self._request("GET", "/api/accounts/me/export", None)
        async with exchange(self._origin, request) as response:
            if response.status != 200:
                body = await response.body(ANSWER_BYTES_MAX)
                raise _refusal(response.status, response.headers, body)
            async for piece in response.pieces:
                write(piece)

    # --- roles ---------------------------------------------------------------------------

    async def grant(self, handle: str, role: str, world: str = "") -> None:
        """Give somebody a role, in one world or in all."""
        body = {"handle": handle, "role": role, "world": world}
        await self._ask("POST", "/api/role-grants", body, None)

    async def revoke(self, handle: str, role: str, world: str = "") -> None:
        """Take it again."""
        query = urlencode({"handle": handle, "role": role, "world": world}, quote_via=quote)
        await self._ask("DELETE", f"/api/role-grants?{query}", None, None)

    # --- inside --------------------------------------------------------------------------

    def _kept(self, ticket: Ticket) -> Ticket:
        self.token = ticket.token
        return ticket

    def _request(self, method: str, target: str, content: object) -> Request:
        headers: dict[str, str] = {}
        body = b""
        if content is not None:
            headers["content-type"] = "application/json"
            body = msgspec.json.encode(content)
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return Request(method, target, headers, body)

    async def _ask(self, method: str, target: str, content: object, kind: type[_T] | None) -> _T:
        request = self._request(method, target, content)
        async with exchange(self._origin, request) as response:
            body = await response.body(ANSWER_BYTES_MAX)
        if not 200 <= response.status < 300:
            raise _refusal(response.status, response.headers, body)
        if kind is None:
            return None  # type: ignore[return-value]
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConnectionFailed(
                f"{self._origin.url} did not answer as an Atrium server."
            ) from error


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> RestRefused:
    try:
        told = msgspec.json.decode(body, type=_Sentence)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _Sentence()
    try:
        retry_s = float(headers.get("retry-after", "0"))
    except ValueError:
        retry_s = 0.0
    sentence = told.sentence or f"The server answered with HTTP status {status}."
    return RestRefused(status, told.code, sentence, retry_s if math.isfinite(retry_s) else 0.0)


async def sign_up(url: str, handle: str, password: str) -> Ticket:
    """Make an account; the ticket's token is good for `Options(auth_token=…)`."""
    return await Rest(url).sign_up(handle, password)


async def sign_in(url: str, handle: str, password: str) -> Ticket:
    """Sign in; the ticket's token is good for `Options(auth_token=…)`."""
    return await Rest(url).sign_in(handle, password)


async def sign_in_as_guest(url: str, name: str) -> Ticket:
    """Sign in without an account."""
    return await Rest(url).guest(name)

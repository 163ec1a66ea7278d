"""The SDK's way to accounts, against the real HTTP service over memory streams."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from atrium_client import ConnectionFailed, Rest, RestRefused, Ticket
from atrium_client.http_exchange import ANSWER_S_MAX, Origin
from atrium_client.rest import ANSWER_BYTES_MAX
from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.service import Accounts
from atrium_server.http import assets, service
from atrium_server.http.guard import Admission
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.telemetry import Registry
from atrium_shared import limits

PASSWORD, OTHER = "seven herons at dusk", "nine foxes before noon"
ANYBODY = Admission(
    knows_host=lambda host: True, client_of=lambda peer, forwarded: peer,
    trusts=lambda client: True, take_request=lambda client, now, is_static: True,
    refused=lambda reason: None,
)


@asynccontextmanager
async def server(tmp_path: Any) -> AsyncGenerator[tuple[Origin, Accounts]]:
    (tmp_path / "index.html").write_text("")
    web = assets.load_assets(tmp_path)
    accounts = Accounts(MemoryAccounts(["plaza"]), Passwords(Cost(1, 8, 1)))
    await accounts.open()
    status: Any = None
    async with (
        service.open_http_service(
            status, Registry(), ANYBODY, web, accounts=accounts
        ) as serve,
        trio.open_nursery() as nursery,
    ):
        async def dial() -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(serve, theirs)
            return ours

        yield Origin("http://localhost:8080", dial), accounts
        nursery.cancel_scope.cancel()


async def test_all_that_one_can_do(tmp_path) -> None:
    async with server(tmp_path) as (origin, accounts):
        rest = Rest(origin)
        ticket = await rest.sign_up("Ada", PASSWORD)
        assert (ticket.name, ticket.expires_in_s) == ("Ada", limits.SIGN_IN_S_MAX)
        assert (await accounts.identify(ticket.token)).name == "Ada"
        assert ticket.token not in repr(ticket)
        assert len(ticket.token) <= limits.TOKEN_CHARS_MAX, "it fits into a hello"
        assert (await rest.rename("Countess")).handle == "Countess"
        assert (await rest.set_prefs({"volume": 0.5})).prefs == {"volume": 0.5}
        await rest.change_password(PASSWORD, OTHER)
        again = Rest(origin)
        assert (await again.sign_in("countess", OTHER)).account == ticket.account
        fresh = await rest.refresh()
        assert rest.token == fresh.token != ticket.token
        assert [each.is_this for each in await rest.sign_ins()].count(True) == 1
        pieces: list[bytes] = []
        await rest.export_me(pieces.append)
        assert json.loads(b"".join(pieces))["account"]["handle"] == "Countess"
        await accounts.administration.grant(None, "Countess", "admin", "")
        await rest.grant("Countess", "builder", "plaza")
        roles = {(each.role, each.world) for each in (await rest.me()).grants}
        assert roles == {("admin", ""), ("member", ""), ("builder", "plaza")}
        await rest.revoke("Countess", "builder", "plaza")
        assert await rest.sign_out_everywhere() == 2
        with pytest.raises(RestRefused) as caught:
            await again.me()
        assert (caught.value.status, caught.value.code) == (401, "not_signed_in")
        await rest.sign_in("Countess", OTHER)
        await rest.sign_out()
        await rest.sign_in("Countess", OTHER)
        await rest.delete_me(OTHER)
        guest: Ticket = await rest.guest("Countess")
        assert guest.account is None


async def test_a_refusal_is_a_sentence_and_says_when(tmp_path) -> None:
    async with server(tmp_path) as (origin, _):
        rest = Rest(origin)
        for _ in range(limits.PASSWORD_GUESSES_FREE_MAX + 1):
            with pytest.raises(RestRefused) as caught:
                await rest.sign_in("'; DROP TABLE account;--", OTHER)
        assert (caught.value.status, caught.value.retry_s >= 1) == (429, True)
        assert "wait" in str(caught.value)
        with pytest.raises(RestRefused, match="Sign in first"):
            await rest.export_me(lambda piece: None)


ODD_ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
    "a page": b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello",
    "other JSON": b'HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\n{"token": 1}',
    "endless": b"HTTP/1.1 201 Created\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX + 1),
    "a long head": b"HTTP/1.1 201 Created\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("what", ODD_ANSWERS)
async def test_what_is_no_server_of_ours_is_told(what: str) -> None:
    async def dial() -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(ODD_ANSWERS[what])
        await theirs.send_eof()
        return ours

    with pytest.raises(ConnectionFailed):
        await Rest(Origin("http://localhost", dial)).sign_in("Ada", PASSWORD)


async def test_a_silent_server_is_given_up(autojump_clock) -> None:
    held: list[trio.abc.Stream] = []

    async def dial() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        held.append(theirs)
        return ours

    with pytest.raises(ConnectionFailed):
        await Rest(Origin("http://localhost", dial)).sign_in("Ada", PASSWORD)
    assert trio.current_time() == ANSWER_S_MAX


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[", "http://h:99999"])
async def test_a_wrong_address_is_a_sentence(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="should look like"):
        await Rest(url).me()

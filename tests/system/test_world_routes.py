"""The routes of moderators, and what holds for every route that changes something."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from test_account_routes import ANYBODY, PASSWORD, Caller, NoStatus

from atrium_server.accounts.errors import NotFound
from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.service import Accounts
from atrium_server.http import assets, service
from atrium_server.http.world_routes import RewoundWorld
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.history import Chosen, EditHead
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.rewinding import Rewinding
from atrium_server.telemetry import Registry
from atrium_shared import limits

SINCE = "2026-01-02T03:04:05Z"
ORDERS = {"restore": {"at": SINCE, "reason": "so"},
          "roll-back": {"since": SINCE, "reason": "so", "session": str(uuid.UUID(int=1))}}
NOBODY = str(uuid.UUID(int=9))


class Played:
    """A rewinder that does as it is told, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def edits(
        self, world: str, chosen: Chosen, before: tuple[datetime, int] | None, most: int
    ) -> list[EditHead]:
        await self._done("edits")
        return []

    async def restore(
        self, world: str, at: datetime, actor: uuid.UUID, reason: str
    ) -> RewoundWorld:
        return await self._done("restore")

    async def roll_back(
        self, world: str, chosen: Chosen, actor: uuid.UUID, reason: str
    ) -> RewoundWorld:
        return await self._done("roll-back")

    async def _done(self, what: str) -> RewoundWorld:
        await trio.lowlevel.checkpoint()
        self.asked.append(what)
        if self.error is not None:
            raise self.error
        return RewoundWorld(1, 0)


@pytest.fixture
def web(tmp_path) -> assets.WebAssets:
    (tmp_path / "index.html").write_text("")
    return assets.load_assets(tmp_path)


@asynccontextmanager
async def opened(
    web: assets.WebAssets, *allowed_origins: str
) -> AsyncGenerator[tuple[Caller, Played]]:
    """A server that goes by the name `localhost` and by any address, and a moderator's caller."""
    accounts = Accounts(MemoryAccounts(["plaza"]), Passwords(Cost(1, 8, 1)))
    await accounts.open()
    made = await accounts.administration.create("Admin", PASSWORD, ["admin"])
    assert made
    admission = dataclasses.replace(ANYBODY, allowed_origins=allowed_origins)
    rewinder = Played()
    async with (
        service.open_http_service(
            NoStatus(), Registry(), admission, web, accounts=accounts, rewinder=rewinder
        ) as serve,
        trio.open_nursery() as nursery,
    ):
        client, server = trio.testing.memory_stream_pair()
        nursery.start_soon(serve, server)
        caller = Caller(client)
        signed_in = await caller.ask(
            "POST", "/api/sign-ins", {"handle": "admin", "password": PASSWORD}
        )
        caller.token = signed_in.json["token"]
        yield caller, rewinder
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("order", ORDERS)
async def test_a_foreign_page_cannot_rewind_a_world(web, order: str) -> None:
    path = f"/api/worlds/plaza/{order}"
    async with opened(web) as (caller, rewinder):
        foreign = await caller.ask("POST", path, ORDERS[order], origin="https://evil.example")
        assert (foreign.status, foreign.json["code"]) == (403, "not_allowed")
        as_text = await caller.ask("POST", path, ORDERS[order], content_type="text/plain")
        assert (as_text.status, as_text.json["code"]) == (415, "wrong_type")
        assert rewinder.asked == []
        assert (await caller.ask("POST", path, ORDERS[order])).status == 200
        assert rewinder.asked == [order]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 200), ("https://friend.example", 200),
        ("http://localhost:8081", 403), ("http://192.0.2.1", 403), ("http://[::1]", 403),
        ("https://friend.example:444", 403), ("http://friend.example", 403), ("null", 403),
        ("http://[", 403), ("", 403),
    ],
)
async def test_pages_are_known_by_their_whole_origin(web, origin: str, status: int) -> None:
    async with opened(web, "https://friend.example") as (caller, _):
        answer = await caller.ask("DELETE", "/api/sign-ins", origin=origin)
    assert answer.status == status


@pytest.mark.parametrize("world", ["%00", "Plaza", "a" * 33, "a%20b", "%F0%9F%8F%9B"])
async def test_what_no_world_is_called_gets_no_further(web, world: str) -> None:
    async with opened(web) as (caller, rewinder):
        caller.token = "atrium_a_" + "A" * 76
        for order in ORDERS:
            answer = await caller.ask("POST", f"/api/worlds/{world}/{order}", ORDERS[order])
            assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert (await caller.ask("GET", f"/api/worlds/{world}/edits")).status == 400
        query = f"?handle=Ada&role=admin&world={world}"
        assert (await caller.ask("DELETE", "/api/role-grants" + query)).status == 400
        assert rewinder.asked == []


async def test_an_unknown_account_is_told_as_such(web) -> None:
    async with opened(web) as (caller, rewinder):
        listed = await caller.ask("GET", f"/api/worlds/plaza/edits?account={NOBODY}")
        order = {"since": SINCE, "reason": "so", "account": NOBODY}
        rolled_back = await caller.ask("POST", "/api/worlds/plaza/roll-back", order)
        assert rewinder.asked == []
    for answer in (listed, rolled_back):
        assert (answer.status, answer.json["code"]) == (404, "not_found")
        assert "account" in answer.json["sentence"]


async def test_an_unknown_world_is_told_as_such() -> None:
    hosts: Any = SimpleNamespace(find=lambda world: None)
    nothing: Any = None
    rewinding = Rewinding(hosts, nothing, nothing)
    moment, chosen = datetime.fromisoformat(SINCE), Chosen(since=datetime.fromisoformat(SINCE))
    with pytest.raises(NotFound, match="no such world"):
        await rewinding.edits("nowhere", chosen, None, 1)
    with pytest.raises(NotFound, match="no such world"):
        await rewinding.restore("nowhere", moment, uuid.UUID(int=1), "so")
    with pytest.raises(NotFound, match="no such world"):
        await rewinding.roll_back("nowhere", chosen, uuid.UUID(int=1), "so")


async def test_a_refusal_says_why_and_the_databases_own_words_stay_inside(web) -> None:
    async with opened(web) as (caller, rewinder):
        rewinder.error = Refused("That was too long ago: name a later moment.")
        ours = await caller.ask("POST", "/api/worlds/plaza/restore", ORDERS["restore"])
        rewinder.error = Refused("the database cannot take this (SQLSTATE 22021)")
        rewinder.error.__cause__ = ValueError("of the driver")
        theirs = await caller.ask("POST", "/api/worlds/plaza/restore", ORDERS["restore"])
    assert (ours.status, ours.json["sentence"]) == (400, "That was too long ago: name a later"
                                                         " moment.")
    assert theirs.status == 400
    assert "SQLSTATE" not in theirs.json["sentence"]


async def test_who_asks_a_route_too_often_waits_for_the_answer(web, autojump_clock) -> None:
    async with opened(web) as (caller, _):
        for number in range(limits.SIGN_INS_PER_ADDRESS_BURST_MAX):
            name = {"name": f"Walker {number}"}
            answer = await caller.ask("POST", "/api/sign-ins/guest", name)
            if answer.status == 429:
                break
            began_s = trio.current_time()
        else:
            answer = await caller.ask("POST", "/api/sign-ins/guest", {"name": "One more"})
        assert (answer.status, answer.json["code"]) == (429, "too_many")
        assert trio.current_time() - began_s >= limits.HTTP_REFUSAL_S

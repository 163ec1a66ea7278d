"""Accounts on a store in memory and a clock of the test's own."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from atrium_server.accounts import tokens
from atrium_server.accounts.errors import (
    NotAcceptable,
    NotFound,
    NotPermitted,
    NotSignedIn,
    Taken,
    TooOften,
)
from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.person import Ended, Identity, News, Person, Regranted
from atrium_server.accounts.roles import BUILT_IN, GRANT, MODERATOR, OF_GUESTS
from atrium_server.accounts.rules import Origin
from atrium_server.accounts.service import SWEEP_S, Accounts
from atrium_server.persistence.accounts import SUSPENDED, Held
from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_shared import limits

PASSWORD, OTHER = "seven herons at dusk", "nine foxes before noon"
HOME, AWAY = Origin("192.0.2.7", "a test"), Origin("198.51.100.9")


class Plain(Passwords):
    """Without threads and without work, so that a clock of the test's own can be used."""

    def __init__(self) -> None:
        super().__init__(Cost(1, 8, 1))
        self.outdated = False

    async def hash(self, password: str) -> str:
        await trio.lowlevel.checkpoint()
        return f"{int(self.outdated)}{hashlib.sha256(password.encode()).hexdigest()}"

    async def matches(self, password_hash: str | None, password: str) -> bool:
        await trio.lowlevel.checkpoint()
        digest = hashlib.sha256(password.encode()).hexdigest()
        return bool(password_hash) and str(password_hash)[1:] == digest

    def is_outdated(self, password_hash: str) -> bool:
        return password_hash[0] != str(int(self.outdated))


class House:
    """Accounts, and what they told."""

    def __init__(self, store: MemoryAccounts | None = None) -> None:
        self.store = store or MemoryAccounts(["plaza"])
        self.news: list[News] = []
        self.passwords = Plain()
        self.accounts = Accounts(self.store, self.passwords, self.news.append)

    async def person(self, token: str) -> Person:
        who = await self.accounts.identify(token)
        assert who.account is not None
        return Person(who.account, who.name, who.permissions)


@pytest.fixture
async def house(mock_clock) -> House:
    made = House()
    await made.accounts.open()
    return made


async def ends(house: House, token: str) -> None:
    with pytest.raises(NotSignedIn):
        await house.accounts.identify(token)


async def test_a_token_says_who_one_is(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    assert re.fullmatch(r"atrium_a_[A-Za-z0-9_-]{43}", done.token)
    assert len(done.token) <= limits.TOKEN_CHARS_MAX
    who = await house.accounts.identify(done.token, "plaza")
    assert who == Identity(done.account, "Ada", BUILT_IN["member"], done.sign_in)
    assert done.token not in repr(done)
    kept = repr(vars(house.store)) + repr([vars(each) for each in (house.store._sign_ins,)])
    assert done.token not in kept


@pytest.mark.parametrize(
    "token", ["", "x", "atrium_a_" + "A" * 43, "atrium_a_" + "A" * 42, "atrium_g_" + "é" * 43,
              "atrium_a_" + "A" * 43 + "\n", "'; --", "\ud800" * 52, "x" * 100_000]
)
async def test_what_is_no_token_is_nobody(house, token: str) -> None:
    await ends(house, token)
    with pytest.raises(NotSignedIn):
        await house.accounts.refresh(token)


async def test_a_guests_token_cannot_be_made_anothers(house) -> None:
    done = await house.accounts.guest("A guest", HOME)
    who = await house.accounts.identify(done.token)
    assert (who.account, who.name, who.permissions) == (None, "A guest", OF_GUESTS)
    await ends(house, done.token.replace(tokens.OF_GUEST, tokens.OF_ACCOUNT))


async def test_tokens_run_out_unless_they_are_refreshed(house, mock_clock) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    kept, left = done.token, done.token
    for _ in range(5):
        mock_clock.jump(0.9 * limits.SIGN_IN_S_MAX)
        kept = (await house.accounts.refresh(kept)).token
    await house.accounts.identify(kept)
    with pytest.raises(NotSignedIn):
        await house.accounts.identify(left)
    mock_clock.jump(limits.SIGN_IN_WHOLE_S_MAX - 5 * 0.9 * limits.SIGN_IN_S_MAX + 1)
    await ends(house, kept)
    with pytest.raises(NotSignedIn):
        await house.accounts.refresh(kept)
    guest = await house.accounts.guest("A guest", HOME)
    mock_clock.jump(limits.GUEST_S_MAX + 1)
    await ends(house, guest.token)


async def test_who_shows_a_spent_token_ends_the_sign_in(house) -> None:
    for shows_it in (house.accounts.identify, house.accounts.refresh):
        done = await house.accounts.sign_in("Ada", PASSWORD, HOME) if house.news else (
            await house.accounts.sign_up("Ada", PASSWORD, HOME))
        fresh = await house.accounts.refresh(done.token)
        await house.accounts.identify(fresh.token)
        with pytest.raises(NotSignedIn, match="exchanged"):
            await shows_it(done.token)
        assert house.news[-1] == Ended(done.account, done.sign_in)
        await ends(house, fresh.token)


async def test_signing_out_works_at_once(house) -> None:
    first = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    second = await house.accounts.sign_in("ada", PASSWORD, AWAY)
    for token in (first.token, second.token):
        await house.accounts.identify(token)
    await house.accounts.sign_out(await house.accounts.identify(first.token))
    await ends(house, first.token)
    assert house.news == [Ended(first.account, first.sign_in)]
    assert await house.accounts.sign_out_everywhere(await house.person(second.token)) == 1
    await ends(house, second.token)
    assert house.news[-1] == Ended(first.account, None)


async def test_an_answer_that_was_under_way_lets_nobody_in_later(mock_clock) -> None:
    """The question is asked before the sign-out, and its answer comes after it."""

    class Slow(MemoryAccounts):
        gate: trio.Event | None = None

        async def held(self, asks: Sequence[tuple[bytes, str]]) -> list[Held | None]:
            answer = await super().held(asks)
            if self.gate is not None:
                await self.gate.wait()
            return answer

    store = Slow()
    house = House(store)
    await house.accounts.open()
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    who = await house.accounts.identify(done.token)
    mock_clock.jump(limits.IDENTITIES_KEPT_S + 1)
    store.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.accounts.identify, done.token)
        await trio.testing.wait_all_tasks_blocked()
        await house.accounts.sign_out(who)
        store.gate.set()
    await ends(house, done.token)


async def test_a_crowd_costs_few_questions(house) -> None:
    people = [await house.accounts.guest(f"Walker {n}", Origin(f"10.0.{n // 250}.{n % 250}"))
              for n in range(1_000)]
    asked_before = house.accounts._identities.questions
    names: set[str] = set()

    async def come(token: str) -> None:
        names.add((await house.accounts.identify(token, "plaza")).name)

    async with trio.open_nursery() as nursery:
        for each in people:
            nursery.start_soon(come, each.token)
    assert len(names) == 1_000
    questions = house.accounts._identities.questions - asked_before
    assert questions <= 1_000 / limits.IDENTITIES_ASKED_MAX + 1
    for each in people:
        await house.accounts.identify(each.token, "plaza")
    assert house.accounts._identities.questions - asked_before == questions, "they are kept"


async def test_answers_are_kept_for_a_moment_only(house, mock_clock) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    await house.accounts.identify(done.token)
    await house.store.end_sign_ins(done.account, "another process")
    await house.accounts.identify(done.token)
    mock_clock.jump(limits.IDENTITIES_KEPT_S)
    await ends(house, done.token)


async def test_who_is_cancelled_takes_nobody_along(mock_clock) -> None:
    class Stuck(MemoryAccounts):
        stuck = True

        async def held(self, asks: Sequence[tuple[bytes, str]]) -> list[Held | None]:
            if self.stuck:
                await trio.sleep_forever()
            return await super().held(asks)

    store = Stuck()
    house = House(store)
    await house.accounts.open()
    people = [await house.accounts.guest(f"Walker {n}", HOME) for n in range(3)]
    names: list[str] = []

    async def come(token: str) -> None:
        names.append((await house.accounts.identify(token)).name)

    async with trio.open_nursery() as nursery, trio.open_nursery() as first:
        first.start_soon(come, people[0].token)
        await trio.testing.wait_all_tasks_blocked()
        for each in people[1:]:
            nursery.start_soon(come, each.token)
        await trio.testing.wait_all_tasks_blocked()
        store.stuck = False
        first.cancel_scope.cancel()
    assert sorted(names) == ["Walker 1", "Walker 2"]


async def test_a_database_that_is_away_is_told_to_each(mock_clock) -> None:
    class Away(MemoryAccounts):
        asked = 0

        async def held(self, asks: Sequence[tuple[bytes, str]]) -> list[Held | None]:
            self.asked += 1
            await trio.lowlevel.checkpoint()
            raise Unavailable("the database does not answer")

    store = Away()
    house = House(store)
    await house.accounts.open()
    token = (await house.accounts.guest("Walker", HOME)).token
    told: list[str] = []

    async def come() -> None:
        with pytest.raises(Unavailable) as caught:
            await house.accounts.identify(token)
        told.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(come)
    assert told == ["the database does not answer"] * 50
    assert store.asked <= 2, "one question for all of them"


async def test_a_suspended_account_is_told_so(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    row = await house.store.account(done.account)
    house.store._replace(row, status=SUSPENDED)
    with pytest.raises(NotPermitted, match="suspended"):
        await house.accounts.identify(done.token)
    with pytest.raises(NotPermitted, match="suspended"):
        await house.accounts.sign_in("Ada", PASSWORD, HOME)
    with pytest.raises(NotSignedIn):
        await house.accounts.sign_in("Ada", OTHER, HOME)


async def test_a_hash_of_the_past_is_renewed(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    before = (await house.store.account(done.account)).password_hash
    house.passwords.outdated = True
    await house.accounts.sign_in("Ada", PASSWORD, HOME)
    after = (await house.store.account(done.account)).password_hash
    assert before != after
    await house.accounts.identify(done.token)
    await house.accounts.sign_in("Ada", PASSWORD, HOME)


async def test_changing_the_password(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    other = await house.accounts.sign_in("Ada", PASSWORD, AWAY)
    who = await house.person(done.token)

    async def change(old: str, new: str) -> None:
        await house.accounts.change_password(who, done.sign_in, (old, new), HOME)

    with pytest.raises(NotPermitted):
        await change(OTHER, "eleven otters in a row")
    with pytest.raises(NotAcceptable):
        await change(PASSWORD, "password1")
    await change(PASSWORD, OTHER)
    await house.accounts.identify(done.token)
    await ends(house, other.token)
    assert house.news == [Ended(done.account, None, but=done.sign_in)]
    with pytest.raises(NotSignedIn):
        await house.accounts.sign_in("Ada", PASSWORD, HOME)
    await house.accounts.sign_in("Ada", OTHER, HOME)


async def test_a_deleted_account_is_gone_and_its_name_free(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    who = await house.person(done.token)
    with pytest.raises(NotPermitted):
        await house.accounts.delete_me(who, OTHER, HOME)
    await house.accounts.delete_me(who, PASSWORD, HOME)
    assert house.news == [Ended(done.account, None, is_deleted=True)]
    await ends(house, done.token)
    with pytest.raises(NotSignedIn):
        await house.accounts.delete_me(who, PASSWORD, HOME)
    await house.accounts.sign_up("Ada", OTHER, HOME)


async def test_a_deletion_left_in_the_middle_is_finished(house, mock_clock) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    await house.store.begin_deletion(done.account, "a process that ended")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.accounts.run)
        await trio.testing.wait_all_tasks_blocked()
        assert await house.store.account(done.account) is None
        guest = await house.accounts.guest("A guest", HOME)
        mock_clock.jump(limits.GUEST_S_MAX + limits.SIGN_IN_KEPT_S + SWEEP_S)
        await trio.testing.wait_all_tasks_blocked()
        assert house.store._sign_ins.get(guest.sign_in) is None
        nursery.cancel_scope.cancel()


async def test_sweeping_outlives_a_database_that_is_away(mock_clock, caplog) -> None:
    class Away(MemoryAccounts):
        away = True

        async def purge(self, kept_s: float, rows_max: int) -> int:
            if self.away:
                raise Unavailable("it is starting")
            return await super().purge(kept_s, rows_max)

    store = Away()
    house = House(store)
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.accounts.run)
            await trio.testing.wait_all_tasks_blocked()
            store.away = False
            mock_clock.jump(SWEEP_S)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert caplog.text.count("it is starting") == 1


async def test_rates_by_address(house, mock_clock) -> None:
    for number in range(limits.SIGN_UPS_PER_ADDRESS_BURST_MAX):
        await house.accounts.sign_up(f"Walker{number}x", PASSWORD, HOME)
    with pytest.raises(TooOften) as caught:
        await house.accounts.sign_up("One-More", PASSWORD, HOME)
    await house.accounts.sign_up("One-Other", PASSWORD, AWAY)
    mock_clock.jump(caught.value.retry_s)
    await house.accounts.sign_up("One-More", PASSWORD, HOME)
    for number in range(limits.SIGN_INS_PER_ADDRESS_BURST_MAX):
        await house.accounts.guest(f"Guest of {number}", HOME)
    with pytest.raises(TooOften):
        await house.accounts.guest("A guest", HOME)


async def test_the_owner_is_not_locked_out_by_others(house) -> None:
    await house.accounts.sign_up("Ada", PASSWORD, HOME)
    outcomes: set[type] = set()
    for number in range(3 * limits.PASSWORD_STRANGERS_BURST_MAX):
        with pytest.raises((NotSignedIn, TooOften)) as caught:
            await house.accounts.sign_in("Ada", OTHER, Origin(f"203.0.113.{number}"))
        outcomes.add(caught.type)
    assert outcomes == {NotSignedIn, TooOften}
    with pytest.raises(TooOften):
        await house.accounts.sign_in("Ada", PASSWORD, Origin("198.51.100.1"))
    await house.accounts.sign_in("Ada", PASSWORD, HOME)


@pytest.mark.parametrize("name", ["", " ", "x" * 33, "a\u202eb", "Admin", "the moderat0r", "\x00"])
async def test_names_that_guests_may_not_have(house, name: str) -> None:
    with pytest.raises(NotAcceptable):
        await house.accounts.guest(name, HOME)


async def test_guests_do_not_take_the_names_of_accounts(house) -> None:
    await house.accounts.sign_up("Paul", PASSWORD, HOME)
    with pytest.raises(Taken):
        await house.accounts.guest("p a u 1", HOME)


@pytest.mark.parametrize("prefs", [
    {str(n): 1 for n in range(limits.PREFS_MAX + 1)}, {"": 1}, {"x" * 65: 1}, {"a": "x" * 513},
    {"a": "\x00"}, {"\ud800": 1}, {str(n): "x" * 500 for n in range(10)},
])
async def test_preferences_are_bounded(house, prefs: dict[str, Any]) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    with pytest.raises(NotAcceptable):
        await house.accounts.change(await house.person(done.token), "Countess", prefs)
    assert (await house.accounts.identify(done.token)).name == "Ada", "nothing half-written"


# --- roles -------------------------------------------------------------------------------


async def test_nobody_gives_more_than_they_have(house) -> None:
    administration = house.accounts.administration
    for handle in ("Ada", "Grace"):
        await house.accounts.sign_up(handle, PASSWORD, HOME)
    ada = (await administration.find("ada")).id
    here = Person(ada, "Ada", BUILT_IN[MODERATOR] | {GRANT})
    assert await administration.grant(here, "GRACE", "moderator", "plaza")
    assert not await administration.grant(here, "Grace", "moderator", "plaza")
    assert house.news[-1] == Regranted((await administration.find("grace")).id)
    with pytest.raises(NotPermitted):
        await administration.grant(here, "Ada", "admin", "plaza")
    with pytest.raises(NotPermitted):
        await administration.revoke(here, "Ada", "admin", "")
    with pytest.raises(NotPermitted):
        await administration.grant(Person(ada, "Ada", BUILT_IN["moderator"]), "Ada", "builder", "")
    for handle, role, world in (("Nobody", "member", ""), ("Ada", "king", ""),
                                ("Ada", "member", "nowhere")):
        with pytest.raises(NotFound):
            await administration.grant(None, handle, role, world)
    await administration.revoke(here, "Grace", "moderator", "plaza")


async def test_a_grant_works_at_once(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    assert "build" not in (await house.accounts.identify(done.token, "plaza")).permissions
    await house.accounts.administration.grant(None, "Ada", "builder", "plaza")
    assert "build" in (await house.accounts.identify(done.token, "plaza")).permissions
    assert "build" not in (await house.accounts.identify(done.token, "")).permissions


async def test_who_runs_the_server_makes_accounts_and_resets_passwords(house) -> None:
    administration = house.accounts.administration
    account = await administration.create("Admin", PASSWORD, ["admin"])
    done = await house.accounts.sign_in("admin", PASSWORD, HOME)
    assert (await house.person(done.token)).may(GRANT)
    with pytest.raises(NotAcceptable):
        await house.accounts.sign_up("Admin2", PASSWORD, HOME)
    with pytest.raises(NotFound):
        await administration.create("Chief", PASSWORD, ["king"])
    await administration.reset_password(account, "Admin", OTHER)
    await ends(house, done.token)
    await house.accounts.sign_in("admin", OTHER, HOME)


async def test_every_change_in_memory_is_told(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    done = await house.accounts.refresh(done.token)
    who = await house.person(done.token)
    await house.accounts.change(who, "Countess", None)
    await house.accounts.sign_out_everywhere(who)
    await house.accounts.delete_me(who, PASSWORD, HOME)
    assert [each.action for each in house.store.audit] == [
        "role.seed", "account.create", "sign_in", "sign_in.refresh", "account.rename",
        "sign_in.end_all", "account.delete", "account.deleted",
    ]
    assert not re.search("ada|countess|herons|192.0.2", repr(house.store.audit).lower())

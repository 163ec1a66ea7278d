"""Accounts on a store in memory and a clock of the test's own."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import uuid
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
from atrium_server.persistence.accounts import SUSPENDED, Ask, Held
from atrium_server.persistence.errors import Refused, Unavailable
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
    assert re.fullmatch(rf"atrium_a_[A-Za-z0-9_-]{{{tokens.TOKEN_CHARS}}}", done.token)
    assert len(done.token) <= limits.TOKEN_CHARS_MAX
    who = await house.accounts.identify(done.token, "plaza")
    assert who == Identity(done.account, "Ada", BUILT_IN["member"], done.sign_in)
    assert done.token not in repr(done)
    kept = repr(vars(house.store)) + repr([vars(each) for each in (house.store._sign_ins,)])
    assert done.token not in kept


@pytest.mark.parametrize(
    "token", ["", "x", "atrium_a_" + "A" * 76, "atrium_a_" + "A" * 75, "atrium_g_" + "é" * 76,
              "atrium_a_" + "A" * 76 + "\n", "'; --", "\ud800" * 52, "x" * 100_000]
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

        async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
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

        async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
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

        async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
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


# --- what attackers try ------------------------------------------------------------------


async def test_a_stolen_token_is_found_however_often_it_was_exchanged(house) -> None:
    stolen = (await house.accounts.sign_up("Ada", PASSWORD, HOME)).token
    thief = stolen
    for _ in range(3):
        thief = (await house.accounts.refresh(thief)).token
    with pytest.raises(NotSignedIn, match="exchanged"):
        await house.accounts.refresh(stolen)
    await ends(house, thief)


async def test_who_knows_a_sign_in_by_its_id_cannot_end_it(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    shown = tokens.read(done.token)
    assert shown is not None
    assert shown.sign_in == done.sign_in
    assert done.sign_in.bytes[6:] not in base64.urlsafe_b64decode(done.token[len("atrium_a_"):])
    other = tokens.read(tokens.new_token(0.0, is_guest=False))
    assert other is not None
    assert other.sign_in != shown.sign_in


async def test_sessions_are_looked_after(house) -> None:
    ada = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    gone = await house.accounts.sign_in("Ada", PASSWORD, HOME)
    guest = await house.accounts.guest("Walker", HOME)
    asks = [(ada.sign_in, "plaza"), (gone.sign_in, "plaza"), (guest.sign_in, "\x00")]
    await house.accounts.identify(ada.token, "plaza")
    await house.store.end_sign_in(gone.sign_in, "another process")
    await house.store.grant(ada.account, "builder", "plaza", "another process")
    assert await house.accounts.look_after(asks) == [BUILT_IN["builder"], None, OF_GUESTS]
    house.store._replace(await house.store.account(ada.account), status=SUSPENDED)
    assert (await house.accounts.look_after(asks))[0] is None
    assert await house.accounts.look_after([]) == []


async def test_few_questions_look_after_many(mock_clock) -> None:
    asked: list[int] = []

    class Counting(MemoryAccounts):
        async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
            asked.append(len(asks))
            return await super().held(asks)

    house = House(Counting())
    asks = [(uuid.UUID(int=number), "plaza") for number in range(1_001)]
    assert await house.accounts.look_after(asks) == [None] * 1_001
    assert asked == [1_000, 1]


async def test_changes_are_counted_with_all_that_is_told(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    await house.accounts.refresh((await house.accounts.sign_in("Ada", PASSWORD, HOME)).token)
    assert house.accounts.changes == 0
    await house.accounts.administration.grant(None, "Ada", "builder", "plaza")
    await house.accounts.sign_out(await house.accounts.identify(done.token))
    assert house.accounts.changes == len(house.news) == 2


@pytest.mark.parametrize("world", ["\x00", "Plaza", "a" * 33, "\ud800", "a b", "-", "plaza\n"])
async def test_what_no_world_is_called_does_not_reach_the_store(house, world: str) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    asked: list[str] = []
    held = house.store.held

    async def hear(asks: Sequence[Ask]) -> list[Held | None]:
        asked.extend(ask.world for ask in asks)
        return await held(asks)

    house.store.held = hear
    assert (await house.accounts.identify(done.token, world)).permissions == BUILT_IN["member"]
    await house.accounts.look_after([(done.sign_in, world)])
    assert asked == ["", ""]


async def test_nobody_is_refused_for_what_another_sends(house) -> None:
    people = [await house.accounts.guest(f"Walker {n}", HOME) for n in range(4)]
    held = house.store.held

    async def hear(asks: Sequence[Ask]) -> list[Held | None]:
        await trio.lowlevel.checkpoint()
        if any(ask.sign_in == people[1].sign_in for ask in asks):
            raise Refused("not this")
        return await held(asks)

    house.store.held = hear
    outcomes: list[str] = []

    async def come(token: str) -> None:
        try:
            outcomes.append((await house.accounts.identify(token)).name)
        except Refused as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        for each in people:
            nursery.start_soon(come, each.token)
    assert sorted(outcomes) == ["Walker 0", "Walker 2", "Walker 3", "not this"]


async def test_refreshing_leaves_what_is_known_of_others(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    guest = await house.accounts.guest("Walker", HOME)
    await house.accounts.identify(guest.token)
    fresh = (await house.accounts.refresh(done.token)).token
    questions = house.accounts._identities.questions
    await house.accounts.identify(guest.token)
    assert house.accounts._identities.questions == questions
    with pytest.raises(NotSignedIn, match="exchanged"):
        await house.accounts.identify(done.token)
    await ends(house, fresh)


async def test_fresh_tokens_have_a_rate_and_preferences_too(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    first = token = done.token
    for _ in range(limits.REFRESHES_PER_SIGN_IN_BURST_MAX):
        token = (await house.accounts.refresh(token)).token
    with pytest.raises(TooOften):
        await house.accounts.refresh(token)
    who = await house.person(token)
    told = len(house.store.audit)
    for number in range(limits.PREFS_PER_ACCOUNT_BURST_MAX):
        await house.accounts.change(who, None, {"n": number})
    with pytest.raises(TooOften):
        await house.accounts.change(who, None, {"n": 0})
    assert len(house.store.audit) == told, "preferences are nobody else's affair"
    with pytest.raises(NotSignedIn, match="exchanged"):
        await house.accounts.refresh(first)  # a rate does not hide a copy


async def test_password_changes_have_a_rate_by_account(house) -> None:
    done = await house.accounts.sign_up("Ada", PASSWORD, HOME)
    who = await house.person(done.token)
    for _ in range(limits.PASSWORD_CHANGES_PER_ACCOUNT_BURST_MAX):
        await house.accounts.change_password(who, done.sign_in, (PASSWORD, PASSWORD), HOME)
    with pytest.raises(TooOften):
        await house.accounts.change_password(who, done.sign_in, (PASSWORD, PASSWORD), AWAY)
    with pytest.raises(TooOften):
        await house.accounts.delete_me(who, PASSWORD, HOME)


async def test_one_address_has_a_share_of_the_hashing_only(mock_clock) -> None:
    class Slow(Plain):
        gate = trio.Event()

        async def matches(self, password_hash: str | None, password: str) -> bool:
            await self.gate.wait()
            return await super().matches(password_hash, password)

    house = House()
    await house.accounts.open()
    await house.accounts.sign_up("Ada", PASSWORD, AWAY)
    house.accounts._passwords = slow = Slow()
    refused: list[str] = []

    async def guess(number: int) -> None:
        with pytest.raises((NotSignedIn, TooOften)) as caught:
            await house.accounts.sign_in(f"Somebody{number}", OTHER, HOME)
        if caught.type is TooOften:
            refused.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        for number in range(limits.PASSWORDS_WAITING_EACH_MAX + 3):
            nursery.start_soon(guess, number)
        nursery.start_soon(house.accounts.sign_in, "Ada", PASSWORD, AWAY)
        await trio.testing.wait_all_tasks_blocked()
        slow.gate.set()
    assert len(refused) == 3
    await house.accounts.sign_in("Ada", PASSWORD, HOME)


async def test_a_name_of_an_account_is_known_as_taken(house, mock_clock) -> None:
    assert not await house.accounts.is_taken_name("Paul", HOME)
    await house.accounts.sign_up("Paul", PASSWORD, HOME)
    assert await house.accounts.is_taken_name("p a u 1", AWAY), "what was free is asked anew"
    assert not await house.accounts.is_taken_name("Walker", HOME)
    asked = 0
    find = house.store.account_by_key

    async def hear(key: str) -> object:
        nonlocal asked
        asked += 1
        return await find(key)

    house.store.account_by_key = hear
    assert await house.accounts.is_taken_name("Paul", HOME)
    assert not await house.accounts.is_taken_name("Walker", HOME)
    assert asked == 0
    mock_clock.jump(limits.NAMES_KEPT_S)
    assert await house.accounts.is_taken_name("Paul", HOME)
    assert asked == 1


async def test_handles_cannot_be_found_by_trying_names(house) -> None:
    await house.accounts.sign_up("Paul", PASSWORD, AWAY)
    for _ in range(limits.SIGN_UPS_PER_ADDRESS_BURST_MAX):
        assert await house.accounts.is_taken_name("Paul", HOME)
    for name in ("Paul", "Nobody"):
        with pytest.raises(TooOften):
            await house.accounts.is_taken_name(name, HOME)
        with pytest.raises(TooOften):
            await house.accounts.guest(name, HOME)
    assert not await house.accounts.is_taken_name("Nobody", AWAY)

"""Moderation in a real Postgres: done once, told in the audit log, found when somebody knocks."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

sys.path.insert(0, str(Path(__file__).parent))

from records import (
    NASTY,
    NOW_S,
    audited,
    claim_world,
    execute,
    fetch,
    line_id,
    make_account,
    open_clone,
    open_proxy,
)

from atrium_server.persistence import conduct
from atrium_server.persistence.audit_rows import read_audit
from atrium_server.persistence.chat_log import Channel, ChatBatch, ChatRow, LineState, Mark
from atrium_server.persistence.chat_store import ChatStore, MemoryChatStore, SqlChatStore
from atrium_server.persistence.conduct import SqlConduct
from atrium_server.persistence.conduct_rows import (
    ActionKind,
    CaseState,
    ConductStore,
    NewAction,
    NewCase,
    Subject,
    SubjectKind,
    subject_of,
)
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.memory_conduct import MemoryConduct

ADDRESS = subject_of(SubjectKind.ADDRESS, "192.0.2.7")


@asynccontextmanager
async def peopled(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_clone(postgres, nursery) as opened:
        await claim_world(opened)
        await claim_world(opened, "garden")
        for number in range(1, 4):
            await make_account(opened, number)
        yield opened


@pytest.fixture
async def database(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with peopled(postgres, nursery) as opened:
        yield opened


class Office:
    """A store of conduct and the lines that it may take back."""

    def __init__(self, conduct: ConductStore, chat: ChatStore) -> None:
        self.conduct = conduct
        self.chat = chat


@pytest.fixture(params=["postgres", "memory"])
async def office(
    request: pytest.FixtureRequest, postgres: Any, nursery: trio.Nursery
) -> AsyncGenerator[Office]:
    if request.param == "postgres":
        async with peopled(postgres, nursery) as opened:
            yield Office(SqlConduct(opened), SqlChatStore(opened))
    else:
        chat = MemoryChatStore()
        yield Office(MemoryConduct(chat, lambda: NOW_S + trio.current_time()), chat)


def person(number: int) -> uuid.UUID:
    return uuid.UUID(int=(1 << 100) + number)


ADA, BOB, EVE = person(1), person(2), person(3)


def act(number: int, kind: ActionKind, **values: object) -> NewAction:
    given: dict[str, object] = {
        "id": line_id(number), "kind": kind, "reason": "so", "actor": ADA, **values
    }
    return NewAction(**given)  # type: ignore[arg-type]


def ban(number: int, *subjects: Subject, **values: object) -> NewAction:
    return act(number, ActionKind.BAN, bans=subjects, **values)


def of_account(account: uuid.UUID) -> Subject:
    return subject_of(SubjectKind.ACCOUNT, str(account))


def line(number: int, world: int = 1) -> ChatRow:
    return ChatRow(
        line_id(number), world, Channel.WORLD, line_id(number), "Eve", "rude", seq=number
    )


# --- bans --------------------------------------------------------------------------------


async def test_who_is_banned_is_kept_out_of_that_world(office: Office) -> None:
    store = office.conduct
    assert await store.act(ban(1, of_account(EVE), world_id=1))
    found = await store.active_ban(EVE, "198.51.100.1", 1)
    assert found is not None
    assert (found.subject, found.reason, found.world_id) == (of_account(EVE), "so", 1)
    assert found.ends_at is None
    assert await store.active_ban(EVE, "198.51.100.1", 2) is None
    assert await store.active_ban(BOB, "198.51.100.1", 1) is None
    assert await store.active_ban(None, "", 1) is None


async def test_addresses_and_networks_are_known_in_every_spelling(office: Office) -> None:
    spelled = {
        (SubjectKind.ADDRESS, "192.0.2.7"): ["192.0.2.7", "::ffff:192.0.2.7"],
        (SubjectKind.ADDRESS, "2001:DB8:0::7"): ["2001:db8::7%eth0"],
        (SubjectKind.NETWORK, "198.51.100.9/24"): ["198.51.100.0", "::ffff:c633:64ff"],
        (SubjectKind.NETWORK, "2001:db8:1::/48"): ["2001:db8:1:ffff::1"],
    }
    for number, (kind, said) in enumerate(spelled):
        await office.conduct.act(ban(number, subject_of(kind, said)))
    for (kind, said), addresses in spelled.items():
        for address in addresses:
            found = await office.conduct.active_ban(None, address, 2)
            assert found is not None, address
            assert found.subject == subject_of(kind, said)
    for address in ("192.0.2.8", "198.51.101.1", "2001:db8::8", "2001:db8:2::"):
        assert await office.conduct.active_ban(EVE, address, 2) is None, address


async def test_the_longest_ban_is_told(office: Office) -> None:
    store = office.conduct
    await store.act(ban(1, of_account(EVE), ADDRESS, lasts_s=60.0, reason="short"))
    await store.act(ban(2, of_account(EVE), lasts_s=600.0, reason="longer"))
    found = await store.active_ban(EVE, "192.0.2.7", 1)
    assert found is not None
    assert found.reason == "longer"
    await store.act(ban(3, ADDRESS, reason="for ever"))
    found = await store.active_ban(EVE, "192.0.2.7", 1)
    assert found is not None
    assert (found.reason, found.ends_at) == ("for ever", None)
    assert len(await store.bans(None, 10)) == 4
    assert await store.bans(1, 10) == []


async def test_a_ban_that_is_lifted_or_over_keeps_nobody_out(office: Office) -> None:
    store = office.conduct
    await store.act(ban(1, of_account(EVE), ADDRESS, world_id=1))
    bans = tuple(each.id for each in await store.bans(1, 10))
    with pytest.raises(Refused, match="not in force here"):
        await store.act(act(2, ActionKind.LIFT, lifts=bans, world_id=2))
    with pytest.raises(Refused, match="not in force here"):
        await store.act(act(3, ActionKind.LIFT, lifts=(*bans, uuid.UUID(int=9))))
    assert await store.active_ban(EVE, "", 1) is not None, "all or nothing"
    assert await store.act(act(4, ActionKind.LIFT, lifts=bans, world_id=1))
    assert await store.active_ban(EVE, "192.0.2.7", 1) is None
    assert not await store.act(act(4, ActionKind.LIFT, lifts=bans, world_id=1))


async def test_the_database_says_when_a_ban_is_over(database: Database) -> None:
    store = SqlConduct(database)
    await store.act(ban(1, of_account(EVE), lasts_s=60.0))
    assert await store.active_ban(EVE, "", 1) is not None
    await execute(database, "UPDATE ban SET starts_at = starts_at - interval '61 s',"
                            " ends_at = ends_at - interval '61 s'")
    assert await store.active_ban(EVE, "", 1) is None
    assert await store.bans(None, 10) == []


async def test_to_look_for_a_ban_is_one_look_into_an_index(database: Database) -> None:
    await execute(database, """
        INSERT INTO ban (id, subject_kind, subject, reason)
        SELECT gen_random_uuid(), 'address', '2001:db8::' || to_hex(number), ''
        FROM generate_series(1, 20000) number""")
    await execute(database, "ANALYZE ban")
    store = SqlConduct(database)
    await execute(database, """
        CREATE FUNCTION ban_reads() RETURNS bigint LANGUAGE sql AS
        $$ SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'ban' $$""")

    async def look(connection: AsyncConnection) -> int:
        """How often the whole table was read, in a transaction of many questions."""
        for _ in range(8):  # by then the server has settled on a plan for all arguments
            values = {"world": 1, "kinds": ["address"] * 129, "subjects": ["2001:db8::1"] * 129}
            assert (await connection.execute(conduct.ACTIVE_BAN, values)).all()
        return (await connection.execute(text("SELECT ban_reads()"))).scalar_one()

    assert await database.tx(look) == 0
    assert await store.active_ban(EVE, "2001:db8::4e20", 1) is not None
    assert await store.active_ban(EVE, "2001:db8::4e21", 1) is None


async def test_text_is_text_whatever_is_in_it(office: Office) -> None:
    store = office.conduct
    for number, nasty in enumerate(NASTY):
        report = NewCase(line_id(number), "spam", nasty, nasty[:64], reporter=BOB)
        await store.open_case(report)
        assert [case.report for case in await store.cases(CaseState.OPEN, 10)][-1] == report
        subject = subject_of(SubjectKind.ADDRESS, f"192.0.2.{number}")
        await store.act(ban(number, subject, reason=nasty, subject_account=EVE))
        found = await store.active_ban(None, subject.text, 1)
        assert found is not None
        assert found.reason == nasty
        assert (await store.actions(EVE, 1))[0].reason == nasty


# --- cases and actions -------------------------------------------------------------------


async def test_a_case_is_opened_once_and_moves_on(office: Office) -> None:
    store = office.conduct
    report = NewCase(
        line_id(1), "harassment", "follows me", "Eve", 1, EVE, line_id(7), BOB,
        b'{"lines": ["rude"]}',
    )
    assert await store.open_case(report)
    assert not await store.open_case(report)
    assert await store.set_case(report.id, CaseState.REVIEWING, ADA, ADA)
    assert not await store.set_case(report.id, CaseState.REVIEWING, ADA, ADA)
    (case,) = await store.cases(CaseState.REVIEWING, 10)
    assert (case.report, case.assigned_to, case.closed_at) == (report, ADA, None)
    assert await store.set_case(report.id, CaseState.CLOSED, ADA, ADA)
    (case,) = await store.cases(CaseState.CLOSED, 10)
    assert case.closed_at is not None
    assert await store.set_case(report.id, CaseState.OPEN, None, ADA)
    (case,) = await store.cases(CaseState.OPEN, 10)
    assert case.closed_at is None
    with pytest.raises(Refused, match="no such case"):
        await store.set_case(line_id(99), CaseState.OPEN, None, ADA)


async def test_an_action_is_done_once(office: Office) -> None:
    store = office.conduct
    assert await store.act(ban(1, of_account(EVE), subject_account=EVE))
    assert not await store.act(ban(1, of_account(EVE), subject_account=EVE))
    assert len(await store.bans(None, 10)) == 1
    with pytest.raises(Refused, match="Something else"):
        await store.act(act(1, ActionKind.WARN))
    await store.act(act(2, ActionKind.WARN, subject_account=EVE, lasts_s=60.0))
    kinds = [each.kind for each in await store.actions(EVE, 10)]
    assert kinds == [ActionKind.WARN, ActionKind.BAN]


async def test_evidence_that_the_database_never_takes_is_refused(database: Database) -> None:
    for evidence in (b"[]", b"{", b"\xff", b'{"a": "\\u0000"}'):
        with pytest.raises(Refused):
            await SqlConduct(database).open_case(
                NewCase(line_id(1), "spam", "", evidence=evidence)
            )
    assert await audited(database) == []


async def test_what_the_database_does_not_know_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(Refused):
        await SqlConduct(database).act(ban(1, ADDRESS, case_id=line_id(404)))
    assert await audited(database) == []
    assert await fetch(database, "SELECT count(*) FROM ban") == [(0,)]


# --- lines -------------------------------------------------------------------------------


async def test_a_line_is_taken_back(office: Office) -> None:
    await office.chat.write(ChatBatch((line(1), line(2, world=2)), ()))
    assert await office.conduct.act(act(5, ActionKind.RETRACT, line=line_id(1), world_id=1))
    assert not await office.conduct.act(act(5, ActionKind.RETRACT, line=line_id(1), world_id=1))
    assert await office.chat.recent(1, Channel.WORLD, 9) == []
    for number, wrong in enumerate((line_id(2), line_id(3)), 6):  # elsewhere, and nowhere
        with pytest.raises(Refused, match="no such line"):
            await office.conduct.act(act(number, ActionKind.RETRACT, line=wrong, world_id=1))
    assert len(await office.chat.recent(2, Channel.WORLD, 9)) == 1


async def test_a_line_that_was_never_told_is_not_taken_back(office: Office) -> None:
    await office.chat.write(ChatBatch((line(1),), (Mark(line_id(1), LineState.REJECTED),)))
    with pytest.raises(Refused, match="never published"):
        await office.conduct.act(act(5, ActionKind.RETRACT, line=line_id(1)))


# --- the audit log -----------------------------------------------------------------------


async def test_every_change_is_told_in_the_audit_log_and_nothing_personal(
    database: Database,
) -> None:
    store = SqlConduct(database)
    await SqlChatStore(database).write(ChatBatch((line(1),), ()))
    await store.open_case(NewCase(line_id(1), "spam", "secret words", "Eve", reporter=BOB))
    await store.set_case(line_id(1), CaseState.CLOSED, ADA, ADA)
    await store.act(ban(2, ADDRESS, of_account(EVE), reason="secret words", subject_account=EVE))
    bans = tuple(each.id for each in await store.bans(None, 10))
    await store.act(act(3, ActionKind.LIFT, lifts=bans, actor=None))
    await store.act(act(4, ActionKind.RETRACT, line=line_id(1), reason="secret words"))
    assert await audited(database) == [
        "case.open", "case.set", "moderate.ban", "moderate.lift", "moderate.retract"
    ]
    texts = str(await fetch(database, "SELECT audit_log::text FROM audit_log"))
    assert "secret" not in texts
    assert "192.0.2" not in texts
    assert await database.tx(read_audit, "account", "nobody", 10) == []
    (told,) = await database.tx(read_audit, "account", str(EVE), 10)
    assert told.row.actor == str(ADA)
    assert told.row.request == str(line_id(2))
    assert set(told.row.data["bans"]) == {str(id) for id in bans}  # type: ignore[call-overload]


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_lost_answer_is_settled_before_anybody_is_told(
    drop: str, database: Database, nursery: trio.Nursery
) -> None:
    async with (
        open_proxy(database.address.url) as (proxy, url),
        open_database(nursery, url, 1) as distant,
    ):
        proxy.drop = drop
        await SqlConduct(distant).act(ban(1, ADDRESS))
        assert proxy.dropped == 1
    assert await fetch(database, "SELECT subject FROM ban") == [("192.0.2.7",)]
    assert await audited(database) == ["moderate.ban"]


async def test_an_act_is_on_disk_even_where_the_server_was_set_to_be_hasty(
    database: Database,
) -> None:
    await execute(database, """
        CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.reason = current_setting('synchronous_commit'); RETURN NEW; END $$""")
    await execute(database, "CREATE TRIGGER seen BEFORE INSERT ON moderation_action FOR EACH ROW"
                            " EXECUTE FUNCTION seen()")
    await SqlConduct(database).act(ban(1, ADDRESS))
    assert await fetch(database, "SELECT reason FROM moderation_action") == [("on",)]


async def test_a_caller_who_leaves_leaves_no_half_act(database: Database) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await SqlConduct(database).act(ban(1, ADDRESS))
    assert await audited(database) == ["moderate.ban"]
    assert await fetch(database, "SELECT count(*) FROM ban") == [(1,)]


async def test_many_moderators_at_once_keep_the_log_whole(database: Database) -> None:
    store = SqlConduct(database)

    async def moderate(moderator: int) -> None:
        for number in range(10):
            await store.act(ban(100 * moderator + number % 5, of_account(EVE)))

    async with trio.open_nursery() as nursery:
        for moderator in range(12):
            nursery.start_soon(moderate, moderator)
    assert await audited(database) == ["moderate.ban"] * 60
    assert await fetch(database, "SELECT count(*) FROM ban") == [(60,)]

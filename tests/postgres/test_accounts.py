"""The store of accounts: the same promises in memory and in Postgres, and races in Postgres."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.accounts import leaving
from atrium_server.accounts.errors import NotSignedIn, Taken
from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.person import Identity, Person
from atrium_server.accounts.roles import BUILT_IN
from atrium_server.accounts.rules import Origin
from atrium_server.accounts.service import Accounts
from atrium_server.persistence import account_erasure, audit
from atrium_server.persistence.accounts import (
    NOBODY,
    AccountStore,
    Ask,
    Exchange,
    ExportKind,
    NewAccount,
    NewSignIn,
)
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.persistence.sql_accounts import SqlAccounts

ADA, GRACE = uuid.UUID(int=0xADA << 64), uuid.UUID(int=0x62ACE << 64)
DAY_S = 86_400.0
ODD = "Robert'); DROP TABLE account;-- \" \\ % _ $1 :a {b} ü 🦊"


@pytest.fixture(params=["memory", "Postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("database_url") if kind == "Postgres" else ""


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[AccountStore]:
    """The store, with roles, one world and one account."""
    async with database_at(url) as database:
        store: AccountStore = MemoryAccounts(["plaza"])
        if database is not None:
            store = SqlAccounts(database)
            await run(database, "INSERT INTO world (slug, title) VALUES ('plaza', '')")
        await store.seed_roles(BUILT_IN)
        assert await store.create_account(new_account(ADA, "Ada"), str(ADA))
        yield store


@asynccontextmanager
async def database_at(url: str) -> AsyncGenerator[Database | None]:
    if not url:
        yield None
        return
    async with trio.open_nursery() as nursery, open_database(nursery, url) as database:
        yield database


def new_account(account: uuid.UUID, handle: str, key: str = "") -> NewAccount:
    return NewAccount(account, handle, key or handle.lower(), "a hash", ("member",))


def new_sign_in(number: int, account: uuid.UUID | None = ADA, **more: Any) -> NewSignIn:
    known = {"account": account, "password_hash": "a hash"} if account else {"guest_name": "G"}
    return NewSignIn(
        uuid.UUID(int=number), hash_of(number), more.pop("lasts_s", DAY_S), **known, **more
    )


def hash_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def held(store: AccountStore, number: int, world: str = "", token: int = 0) -> Any:
    ask = Ask(uuid.UUID(int=number), hash_of(token or number), world)
    return (await store.held([ask]))[0]


def exchange(
    old: int, new: int, lasts_s: float = DAY_S, lasts_s_max: float = 2 * DAY_S
) -> Exchange:
    """Of the tokens of the first sign-in."""
    return Exchange(uuid.UUID(int=1), hash_of(old), hash_of(new), lasts_s, lasts_s_max)


async def run(database: Database, *statements: str) -> list[Any]:
    async def execute(connection: AsyncConnection) -> list[Any]:
        for statement in statements:
            done = await connection.execute(text(statement))
        return [tuple(row) for row in done.all()] if done.returns_rows else []

    return await database.tx(execute)


# --- both stores -------------------------------------------------------------------------


async def test_an_account_is_found_as_it_was_made(url) -> None:
    async with opened(url) as store:
        for found in (await store.account(ADA), await store.account_by_key("ada")):
            assert found is not None
            assert (found.id, found.handle, found.password_hash) == (ADA, "Ada", "a hash")
            assert type(found.id) is uuid.UUID
            assert found.status == "active"
            assert found.created_at.tzinfo is not None
        assert not await store.create_account(new_account(GRACE, "ADA", "ada"), str(GRACE))
        assert await store.account(GRACE) is None
        assert await store.account_by_key("grace") is None
        assert [row.handle for row in await store.accounts("", 10)] == ["Ada"]
        assert await store.accounts("ada", 10) == []


async def test_odd_text_is_kept_as_it_is(url) -> None:
    async with opened(url) as store:
        assert await store.rename(ADA, ODD, ODD.casefold())
        prefs = json.dumps({ODD: ODD}).encode()
        await store.set_prefs(ADA, prefs)
        row = await store.account_by_key(ODD.casefold())
        assert row is not None
        assert (row.handle, json.loads(row.prefs)) == (ODD, {ODD: ODD})
        assert await store.sign_in(new_sign_in(1, device=ODD, address="2001:db8::"), 9)
        (found,) = await store.sign_ins(ADA)
        assert (found.device, found.address) == (ODD, "2001:db8::")
        assert await store.knows_address(ADA, "2001:db8::")
        assert not await store.knows_address(ADA, "2001:db8:1::")
        for role, world in ((ODD, ""), ("member", ODD)):
            with pytest.raises(Refused):
                await store.grant(ADA, role, world, "cli")
            assert not await store.revoke(ADA, role, world, "cli")


async def test_a_rename_does_not_take_what_is_taken(url) -> None:
    async with opened(url) as store:
        await store.create_account(new_account(GRACE, "Grace"), "cli")
        assert not await store.rename(GRACE, "Ada", "ada")
        assert await store.rename(GRACE, "GRACE", "grace"), "one's own key is free"
        assert not await store.rename(uuid.UUID(int=9), "Nobody", "nobody")


async def test_a_token_stands_for_somebody_and_what_they_may_do(url) -> None:
    async with opened(url) as store:
        await store.grant(ADA, "builder", "plaza", "cli")
        assert await store.sign_in(new_sign_in(1), 9)
        assert await store.sign_in(new_sign_in(2, None), 9)
        everywhere = await held(store, 1)
        assert (everywhere.account, everywhere.name, everywhere.status) == (ADA, "Ada", "active")
        assert type(everywhere.account) is uuid.UUID
        assert everywhere.permissions == BUILT_IN["member"]
        assert 0 < everywhere.expires_in_s <= DAY_S
        assert (await held(store, 1, "plaza")).permissions == BUILT_IN["builder"]
        assert (await held(store, 1, "arena")).permissions == BUILT_IN["member"]
        guest = await held(store, 2, "plaza")
        assert (guest.account, guest.name, guest.permissions) == (None, "G", frozenset())
        asks = [Ask(uuid.UUID(int=number), hash_of(number), "plaza") for number in (3, 2, 1, 2)]
        assert [each and each.name for each in await store.held(asks)] == [None, "G", "Ada", "G"]
        assert await store.held([]) == []


async def test_a_token_is_exchanged_once(url) -> None:
    async with opened(url) as store:
        await store.sign_in(new_sign_in(1), 9)
        done = await store.rotate(exchange(1, 2))
        assert done is not None
        assert (done.sign_in, done.account, done.is_copied) == (uuid.UUID(int=1), ADA, False)
        assert (await held(store, 1)).is_spent
        assert not (await held(store, 1, token=2)).is_spent
        again = await store.rotate(exchange(1, 3))
        assert again is not None
        assert again.is_copied
        assert [await held(store, 1, token=number) for number in (1, 2, 3)] == [None] * 3
        assert await store.rotate(exchange(2, 4)) is None


async def test_a_token_of_many_exchanges_ago_is_known_as_a_copy(url) -> None:
    async with opened(url) as store:
        await store.sign_in(new_sign_in(1), 9)
        for old in range(1, 4):
            assert await store.rotate(exchange(old, old + 1))
        assert (await held(store, 1, token=1)).is_spent
        copied = await store.rotate(exchange(1, 9))
        assert copied is not None
        assert copied.is_copied
        assert await held(store, 1, token=4) is None, "whoever has the present one is out, too"


async def test_sign_ins_are_looked_after_by_their_ids(url) -> None:
    async with opened(url) as store:
        await store.grant(ADA, "builder", "plaza", "cli")
        for number in (1, 2):
            await store.sign_in(new_sign_in(number), 9)
        await store.sign_in(new_sign_in(3, None), 9)
        await store.end_sign_in(uuid.UUID(int=2), "cli")
        found = await store.held([
            Ask(uuid.UUID(int=number), None, world)
            for number, world in ((1, "plaza"), (2, "plaza"), (1, ""), (3, ""), (4, ""))
        ])
        assert [each and (each.permissions, each.is_spent) for each in found] == [
            (BUILT_IN["builder"], False), None, (BUILT_IN["member"], False),
            (frozenset(), False), None,
        ]


async def test_a_sign_in_does_not_last_for_ever(url) -> None:
    async with opened(url) as store:
        await store.sign_in(new_sign_in(1), 9)
        done = await store.rotate(exchange(1, 2, 10 * DAY_S, 2 * DAY_S))
        assert done is not None
        assert DAY_S < done.expires_in_s <= 2 * DAY_S
        assert await store.rotate(exchange(2, 3, DAY_S, 0.0)) is None


async def test_the_sign_ins_used_the_longest_ago_give_way(url) -> None:
    async with opened(url) as store:
        for number in range(1, 6):
            assert await store.sign_in(new_sign_in(number), 3)
        assert [row.id.int for row in await store.sign_ins(ADA)] == [5, 4, 3]
        assert [bool(await held(store, number)) for number in range(1, 6)] == [
            False, False, True, True, True]


async def test_a_new_password_ends_all_sign_ins_but_one(url) -> None:
    async with opened(url) as store:
        for number in (1, 2):
            await store.sign_in(new_sign_in(number), 9)
        assert await store.set_password(ADA, "a new hash", uuid.UUID(int=2), str(ADA))
        assert [bool(await held(store, number)) for number in (1, 2)] == [False, True]
        assert not await store.sign_in(new_sign_in(3), 9), "it was checked against the old one"
        assert not await store.set_password(GRACE, "a new hash", None, "cli")
        await store.rehash(ADA, "a hash", "too late")
        await store.rehash(ADA, "a new hash", "the same, costlier")
        row = await store.account(ADA)
        assert row is not None
        assert row.password_hash == "the same, costlier"


async def test_signing_out_once_and_everywhere(url) -> None:
    async with opened(url) as store:
        for number in (1, 2, 3):
            await store.sign_in(new_sign_in(number), 9)
        assert await store.end_sign_in(uuid.UUID(int=1), str(ADA))
        assert not await store.end_sign_in(uuid.UUID(int=1), str(ADA))
        assert await store.end_sign_ins(ADA, str(ADA)) == 2
        assert await store.end_sign_ins(ADA, str(ADA)) == 0
        assert await store.sign_ins(ADA) == []
        assert await store.purge(DAY_S, 10) == 0
        assert await store.purge(-1.0, 2) == 2
        assert await store.purge(-1.0, 2) == 1


async def test_roles_are_written_once_and_given_once(url) -> None:
    async with opened(url) as store:
        await store.seed_roles(BUILT_IN)
        found = {row.name: row.permissions for row in await store.roles()}
        assert found == BUILT_IN
        assert await store.grant(ADA, "moderator", "", "cli")
        assert not await store.grant(ADA, "moderator", "", "cli")
        assert await store.grant(ADA, "moderator", "plaza", str(ADA))
        assert [(row.role, row.world) for row in await store.grants(ADA)] == [
            ("member", ""), ("moderator", ""), ("moderator", "plaza")]
        assert not await store.revoke(ADA, "moderator", "arena", "cli")
        assert await store.revoke(ADA, "moderator", "", "cli")
        assert not await store.revoke(ADA, "moderator", "", "cli")
        assert [row.world for row in await store.grants(ADA)] == ["", "plaza"]
        with pytest.raises(Refused, match="no such account"):
            await store.grant(GRACE, "member", "", "cli")


async def test_a_deletion_goes_in_steps_and_frees_the_name_at_once(url) -> None:
    async with opened(url) as store:
        await store.sign_in(new_sign_in(1), 9)
        assert await store.begin_deletion(ADA, str(ADA))
        assert not await store.begin_deletion(ADA, str(ADA))
        assert await held(store, 1) is None
        assert await store.account_by_key("ada") is None
        assert not await store.sign_in(new_sign_in(2), 9)
        assert not await store.set_password(ADA, "x", None, "cli")
        with pytest.raises(Refused):
            await store.grant(ADA, "admin", "", "cli")
        assert await store.create_account(new_account(GRACE, "Ada"), str(GRACE))
        assert await store.deleting(10) == [ADA]
        assert await leaving.finish_begun(store) == 1
        assert await store.account(ADA) is None
        assert await store.deleting(10) == []


# --- Postgres alone ----------------------------------------------------------------------


@asynccontextmanager
async def postgres_with_accounts(
    database_url: str,
) -> AsyncGenerator[tuple[Database, Accounts]]:
    async with (
        trio.open_nursery() as nursery, open_database(nursery, database_url) as database,
    ):
        accounts = Accounts(SqlAccounts(database), Passwords(Cost(1, 8, 1)))
        await accounts.open()
        yield database, accounts


async def test_of_two_who_want_a_handle_one_has_it(database_url) -> None:
    outcomes: list[str] = []
    async with postgres_with_accounts(database_url) as (database, accounts):
        async def try_it(handle: str) -> None:
            try:
                await accounts.sign_up(handle, "seven herons at dusk", Origin())
                outcomes.append("made")
            except Taken:
                outcomes.append("taken")

        async with trio.open_nursery() as nursery:
            for handle in ("Paul", "PAUL", "Pau1", "pául"):
                nursery.start_soon(try_it, handle)
        assert sorted(outcomes) == ["made", "taken", "taken", "taken"]
        assert await run(database, "SELECT count(*) FROM account") == [(1,)]
        assert await run(
            database, "SELECT count(*) FROM audit_log WHERE action = 'account.create'"
        ) == [(1,)]


async def test_of_two_renames_to_one_handle_one_has_it(database_url) -> None:
    async with opened(database_url) as store:
        await store.create_account(new_account(GRACE, "Grace"), "cli")
        renamed: list[bool] = []

        async def rename(account: uuid.UUID) -> None:
            renamed.append(await store.rename(account, "Paul", "paul"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(rename, ADA)
            nursery.start_soon(rename, GRACE)
        assert sorted(renamed) == [False, True]


async def test_of_two_exchanges_of_a_token_one_wins_and_the_sign_in_ends(database_url) -> None:
    async with postgres_with_accounts(database_url) as (database, accounts):
        ada = await accounts.sign_up("Ada", "seven herons at dusk", Origin())
        won: list[str] = []
        lost: list[str] = []

        async def refresh() -> None:
            try:
                won.append((await accounts.refresh(ada.token)).token)
            except NotSignedIn as error:
                lost.append(error.sentence)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refresh)
            nursery.start_soon(refresh)
        assert len(lost) >= 1
        assert any("exchanged" in sentence for sentence in lost)
        rows = await run(database, "SELECT rotation, revoked_at IS NOT NULL FROM sign_in")
        assert rows == [(1, True)]
        for token in [ada.token, *won]:
            with pytest.raises(NotSignedIn):
                await accounts.identify(token)


async def test_who_signs_in_while_the_password_changes_is_out_in_the_end(database_url) -> None:
    async with opened(database_url) as store:
        made: list[bool] = []

        async def sign_in(number: int) -> None:
            made.append(await store.sign_in(new_sign_in(number), 30))

        async with trio.open_nursery() as nursery:
            for number in range(1, 20):
                nursery.start_soon(sign_in, number)
            nursery.start_soon(store.set_password, ADA, "another", None, "cli")
        assert await store.sign_ins(ADA) == []
        assert len(made) == 19


async def test_every_change_is_in_the_audit_log_without_personal_data(
    database_url,
) -> None:
    async with postgres_with_accounts(database_url) as (database, accounts):
        origin = Origin("198.51.100.77", "Some Browser 1.0")
        ada = await accounts.sign_up("Ada_Lovelace", "seven herons at dusk", origin)
        ada = await accounts.refresh(ada.token)
        await accounts.administration.grant(None, "Ada_Lovelace", "moderator", "")
        await accounts.administration.revoke(None, "Ada_Lovelace", "moderator", "")
        who = await accounts.identify(ada.token)
        person = person_of(who)
        await accounts.change(person, "Countess", {"colour": "teal"})
        passwords = ("seven herons at dusk", "nine foxes before noon")
        await accounts.change_password(person, who.sign_in, passwords, origin)
        await accounts.guest("A stranger", origin)
        await accounts.sign_out_everywhere(person)
        await accounts.delete_me(person, passwords[1], origin)
        actions = await run(database, "SELECT action FROM audit_log ORDER BY sequence")
        assert [action for (action,) in actions] == [
            "role.seed", "account.create", "sign_in", "sign_in.refresh", "role.grant",
            "role.revoke", "account.rename", "account.password", "sign_in",
            "sign_in.end_all", "account.delete", "account.deleted",
        ]
        log = str(await run(database, "SELECT actor, action, object_kind, object_id, data::text"
                                      " FROM audit_log"))
        personal = ("Ada_Lovelace", "countess", "teal", "198.51", "browser", "stranger",
                    "argon2", "herons", "foxes", ada.token)
        assert not [word for word in personal if word.lower() in log.lower()]
        assert (await database.tx(audit.verify)).rows == len(actions)


def person_of(who: Identity) -> Person:
    assert who.account is not None
    return Person(who.account, who.name, who.permissions)


FILLED = (
    "INSERT INTO world (slug, title, owner_account) VALUES ('plaza', '', '{ada}')",
    "INSERT INTO chat (id, at, world_id, channel, session, sender_account, sender_name, body)"
    " SELECT gen_random_uuid(), now() + n * interval '1 s', 1, 'world', gen_random_uuid(),"
    " '{ada}', 'Ada', 'line ' || n FROM generate_series(1, 1203) n",
    "INSERT INTO chat (id, at, world_id, channel, session, sender_account, sender_name,"
    " recipient_account, body) VALUES"
    " (gen_random_uuid(), now(), 1, 'direct', gen_random_uuid(), '{ada}', 'Ada', '{grace}',"
    " 'from ada'), (gen_random_uuid(), now(), 1, 'direct', gen_random_uuid(), '{grace}',"
    " 'Grace', '{ada}', 'to ada')",
    "INSERT INTO world_edit (world_id, version, session, request_id, actor, op) SELECT"
    " w, 1, gen_random_uuid(), n, '{ada}', 'place' FROM generate_series(1, 700) n,"
    " generate_series(1, 2) w",
    "INSERT INTO entity (id, world_id, kind, owner_account, changed_by, changed_in, px, py, pz,"
    " qx, qy, qz, qw, sx, sy, sz) SELECT gen_random_uuid(), 1, 'model', '{ada}', '{ada}', 1,"
    " 0, 0, 0, 0, 0, 0, 1, 1, 1, 1 FROM generate_series(1, 3)",
    "INSERT INTO inventory (id, account_id) VALUES (gen_random_uuid(), '{ada}')",
    "INSERT INTO inventory_item (id, inventory_id, item_kind)"
    " SELECT gen_random_uuid(), id, 'rose' FROM inventory",
    "INSERT INTO asset (hash, media_type, size_bytes, uploader)"
    " VALUES (sha256('x'), 'image/png', 9, '{ada}')",
    "INSERT INTO avatar_pose (account_id, world_id, px, py, pz, qx, qy, qz, qw)"
    " VALUES ('{ada}', 1, 1, 2, 3, 0, 0, 0, 1)",
    "INSERT INTO session (id, account_id, world_id, number) VALUES"
    " (gen_random_uuid(), '{ada}', 1, 5)",
    "INSERT INTO moderation_case (id, subject_account, subject_name, category, summary)"
    " VALUES (gen_random_uuid(), '{ada}', 'Ada', 'spam', 'what Grace said of Ada')",
    "INSERT INTO moderation_case (id, subject_account, reporter_account, subject_name, category,"
    " summary) VALUES (gen_random_uuid(), '{grace}', '{ada}', 'Grace', 'rude', 'Grace is rude.')",
    "INSERT INTO moderation_action (id, subject_account, kind, reason)"
    " VALUES (gen_random_uuid(), '{ada}', 'warn', 'Ada, fewer signs please.')",
    "INSERT INTO ban (id, subject_kind, subject, reason)"
    " VALUES (gen_random_uuid(), 'account', '{ada}', 'too many signs')",
    "INSERT INTO npc (id, world_id, name) VALUES (gen_random_uuid(), 1, 'Gardener')",
    "INSERT INTO npc_memory (id, npc_id, kind, body, about_account)"
    " SELECT gen_random_uuid(), id, 'met', 'Ada likes roses.', '{ada}' FROM npc",
    "INSERT INTO relation (account_id, person, name, relation) VALUES"
    " ('{ada}', '{grace}', 'Grace', 1), ('{ada}', 'guest:x', 'x', 2),"
    " ('{grace}', '{ada}', 'Ada', 4), ('{grace}', 'guest:x', 'x', 4)",
)
WHERE_A_PERSON_IS = """
    SELECT c.table_name, c.column_name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
        AND c.data_type IN ('uuid', 'text') ORDER BY 1, 2
"""
KEEP_THE_ID = ("audit_log", "item_ledger", "ban")
"""And their partitions."""


async def filled(database: Database) -> SqlAccounts:
    store = SqlAccounts(database)
    await store.seed_roles(BUILT_IN)
    for account, handle in ((ADA, "Ada"), (GRACE, "Grace")):
        await store.create_account(new_account(account, handle), str(account))
    await run(database, *(each.format(ada=ADA, grace=GRACE) for each in FILLED))
    await store.sign_in(new_sign_in(1, address="192.0.2.7"), 9)
    return store


async def test_an_export_has_all_of_it(database_url) -> None:
    async with (
        trio.open_nursery() as nursery, open_database(nursery, database_url) as database,
    ):
        store = await filled(database)
        row = await store.account(ADA)
        assert row is not None
        pieces = [piece async for piece in leaving.export(store, row)]
        assert max(map(len, pieces)) < 200_000, "bounded, however much there is"
        told = json.loads(b"".join(pieces))
        assert told["account"]["handle"] == "Ada"
        sizes = {kind.value: len(told[kind.value]) for kind in ExportKind}
        assert sizes == {
            "sign_ins": 1, "grants": 1, "sessions": 1, "poses": 1, "inventory": 1,
            "chat_sent": 1_204, "chat_received": 1, "edits": 1_400, "props": 3, "assets": 1,
            "relations": 2, "memories_of_characters": 1, "bans": 1, "cases": 2,
            "actions_of_moderators": 1, "keys_of_apps": 0, "feedback": 0, "audit": 2,
        }
        assert [case["you_reported"] for case in told["cases"] if not case["about_you"]] == [
            "Grace is rude."
        ]
        assert "what Grace said of Ada" not in b"".join(pieces).decode()
        assert told["bans"][0]["reason"] == "too many signs"
        assert {row["action"] for row in told["audit"]} == {"account.create", "sign_in"}
        assert len({line["at"] for line in told["chat_sent"]}) == 1_204, "each line once"
        assert len({(edit["world"], edit["at"], edit["op"]) for edit in told["edits"]}) >= 2
        assert "a hash" not in b"".join(pieces).decode()
        grace = await store.account(GRACE)
        assert grace is not None
        other = json.loads(b"".join([piece async for piece in leaving.export(store, grace)]))
        assert [len(other["chat_sent"]), len(other["edits"])] == [1, 0]
        assert [row["name"] for row in other["relations"]] == ["Ada", "x"]


async def test_a_deleted_person_is_nowhere_by_name(database_url) -> None:
    async with (
        trio.open_nursery() as nursery, open_database(nursery, database_url) as database,
    ):
        store = await filled(database)
        await store.begin_deletion(ADA, str(ADA))
        steps = 0
        while await store.erase_some(ADA):
            steps += 1
        assert steps >= 6, "many rows are many transactions"
        await store.finish_deletion(ADA)
        for table, column in await run(database, WHERE_A_PERSON_IS):
            found = await run(
                database, f"SELECT count(*) FROM {table} WHERE {column}::text IN ('{ADA}', 'Ada')"
            )
            assert found == [(0,)] or table.startswith(KEEP_THE_ID), (table, column)
        lines = await run(database, "SELECT sender_name, count(*) FROM chat GROUP BY 1 ORDER BY 1")
        assert lines == [(NOBODY, 1_203), ("Grace", 1)], "what was said to all stays"
        assert await run(database, "SELECT count(*) FROM world_edit") == [(1_400,)]
        assert await run(database, "SELECT count(*) FROM entity") == [(3,)]
        assert await run(database, "SELECT name FROM relation") == [("x",)], "of Grace"
        assert await run(database, "SELECT count(*) FROM inventory_item") == [(0,)]
        assert await store.account_by_key("grace") is not None


def edited(**props: Any) -> str:
    """The contents of an edit, as they are kept."""
    return json.dumps(props)


EDIT = (
    "INSERT INTO world_edit (world_id, version, session, request_id, actor, op, before, after)"
    " VALUES (1, 1, gen_random_uuid(), 1, {actor}, 'place', {before}, {after})"
)


async def test_an_export_tells_nothing_of_others(database_url) -> None:
    async with (
        trio.open_nursery() as nursery, open_database(nursery, database_url) as database,
    ):
        store = SqlAccounts(database)
        await store.seed_roles(BUILT_IN)
        await store.create_account(new_account(ADA, "Ada"), str(ADA))
        mine = {"owner": str(ADA), "kept": {"locked": True, "pending": "hush"}}
        theirs = {"owner": str(GRACE), "kept": {"locked": True, "pending": "hush"}}
        before, after = edited(a=mine, b=theirs, c=None), edited(a=None, b=theirs, c=mine)
        await run(database, EDIT.format(
            actor=f"'{ADA}'", before=f"$${before}$$", after=f"$${after}$$",
        ))
        page = await store.export_page(ADA, ExportKind.EDITS, None)
        (row,) = page.rows
        told = json.loads(row)
        left = {"kept": {"locked": True}}
        assert told["before"] == {"a": {"owner": str(ADA), **left}, "b": left, "c": None}
        assert told["after"] == {"a": None, "b": left, "c": {"owner": str(ADA), **left}}


async def test_a_deleted_person_owns_nothing_in_the_history(
    database_url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_erasure, "SLICE_EDITS_MAX", 2)
    async with (
        trio.open_nursery() as nursery, open_database(nursery, database_url) as database,
    ):
        store = SqlAccounts(database)
        await store.seed_roles(BUILT_IN)
        await store.create_account(new_account(ADA, "Ada"), str(ADA))
        mine, theirs = {"owner": str(ADA), "group": ""}, {"owner": str(GRACE), "group": ""}
        rows = [
            (edited(a=None), edited(a=mine)), (edited(a=mine, b=theirs), edited(a=None, b=mine)),
            (edited(b=theirs), edited(b=theirs)), ("{}", edited(c=mine)), (None, edited(d=mine)),
        ]
        for before, after in rows:
            await run(database, EDIT.format(
                actor=f"'{GRACE}'", before=f"$${before}$$" if before else "NULL",
                after=f"$${after}$$",
            ))
        assert not await store.erase_some(ADA), "nobody wants it"
        await store.begin_deletion(ADA, str(ADA))
        steps = 0
        while await store.erase_some(ADA):
            steps += 1
        assert steps == 3, "in slices, and each is looked at once"
        found = await run(database, "SELECT before, after FROM world_edit ORDER BY id")
        nobodys = {"group": ""}
        assert found == [
            ({"a": None}, {"a": nobodys}),
            ({"a": nobodys, "b": theirs}, {"a": None, "b": nobodys}),
            ({"b": theirs}, {"b": theirs}), ({}, {"c": nobodys}), (None, {"d": nobodys}),
        ]
        await store.finish_deletion(ADA)
        assert await store.account(ADA) is None

"""The history of worlds in a real Postgres: pages, moments, roll-backs, and what is forgotten."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server import prop_rows, world_history
from atrium_server.persistence import audit, audited, migrate
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Ambiguous, Fenced, Refused
from atrium_server.persistence.history import Chosen, EditHead, WorldHistory
from atrium_server.persistence.store import LEASE_S, Batch, Claim, EditRow
from atrium_server.persistence.world_store import SqlWorldStore
from atrium_server.world.editing import Author, Editor
from atrium_server.world.props import Change, Prop, Props
from atrium_shared import edits, limits
from atrium_shared.errors import RequestRefused
from atrium_shared.props import Group, Shape, Sign, Transform

ANN, BOB = uuid.UUID(int=0xA), uuid.UUID(int=0xB)
HOURS = [timedelta(hours=n) for n in range(1_000)]


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def shape(x: float, **more: Any) -> Prop:
    return Prop(Transform((x, 0.0, 0.0)), Shape(), owner=str(ANN), **more)


def ignore(_part: float) -> None:
    pass


class Room:
    """A world in the database, whose edits are made at chosen times."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlWorldStore(database)
        self.history = WorldHistory(database)
        self.props: dict[bytes, Prop] = {}
        self.requests = 0
        self.claim: Claim

    async def open(self, slug: str = "hall") -> None:
        await self.store.create(slug, slug)
        self.claim = await self.store.claim(slug, "test")
        self.version = self.claim.version

    async def edit(
        self, changes: dict[bytes, Prop | None], actor: uuid.UUID | None = ANN,
        at: datetime | None = None, op: str = "do",
    ) -> None:
        """One commit of one edit; `at` is when it says that it was made."""
        made = [Change(one, self.props.get(one), after) for one, after in changes.items()]
        self.requests += 1
        self.version += 1
        session = uuid.UUID(int=0xF0) if actor is None else actor
        row = EditRow(
            session, self.requests, op, actor, uuid.UUID(bytes=made[0].prop_id),
            *prop_rows.history_of(made),
        )
        await self.store.commit(self.claim, Batch(
            self.version,
            tuple(prop_rows.row_of(c.prop_id, c.after, actor) for c in made if c.after),
            tuple(uuid.UUID(bytes=c.prop_id) for c in made if c.after is None), (row,),
        ))
        for one, after in changes.items():
            if after is None:
                del self.props[one]
            else:
                self.props[one] = after
        if at is not None:
            await self.run(
                "UPDATE world_edit SET at = :at WHERE session = :session AND request_id = :id",
                at=at, session=session, id=self.requests,
            )

    async def run(self, statement: str, **values: object) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(text(statement), values)

        await self.database.tx(work)

    async def value(self, question: str) -> Any:
        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(text(question))).scalar_one()

        return await self.database.tx(work)

    async def page(self, *, edits_max: int = 200, **chosen: Any) -> list[EditHead]:
        return await self.history.page(
            self.claim.world_id, Chosen(**chosen), edits_max=edits_max
        )

    def claim_now(self) -> Claim:
        """The claim, after the commits so far."""
        return msgspec.structs.replace(self.claim, version=self.version)

    async def present(self) -> dict[bytes, Prop]:
        return (await world_history.present_props(self.history, "hall", ignore))[1]


@pytest.fixture
async def room(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Room]:
    async with open_database(nursery, database_url) as database:
        made = Room(database)
        await made.open()
        yield made


async def now_of(room: Room) -> datetime:
    return await room.history.now()


# --- pages -------------------------------------------------------------------------------


async def test_pages_go_back_in_time_and_miss_nothing(room: Room) -> None:
    now = await now_of(room)
    for number in range(7):
        moment = now - HOURS[7 - number // 2]  # pairs have the same time
        await room.edit({key(number): shape(number)}, ANN if number % 3 else BOB, moment)
    seen: list[EditHead] = []
    while page := await room.history.page(
        room.claim.world_id, Chosen(), seen[-1].place if seen else None, 3
    ):
        assert len(page) <= 3
        seen += page
    assert [edit.request_id for edit in seen] == [7, 6, 5, 4, 3, 2, 1]
    head = seen[0]
    assert (head.op, head.props, head.prop, head.version) == ("do", 1, uuid.UUID(int=6), 7)
    assert type(head.session) is uuid.UUID


async def test_pages_are_chosen_by_what_is_asked(room: Room) -> None:
    now = await now_of(room)
    await room.edit({key(1): shape(1)}, ANN, now - HOURS[3])
    await room.edit({key(2): shape(1), key(1): shape(2)}, BOB, now - HOURS[2])
    await room.edit({key(2): None}, None, now - HOURS[1])

    async def ids(**chosen: Any) -> list[int]:
        return [edit.request_id for edit in await room.page(**chosen)]

    assert await ids(actor=ANN) == [1]
    assert await ids(session=uuid.UUID(int=0xF0)) == [3]
    assert await ids(prop=uuid.UUID(int=1)) == [2, 1]
    assert await ids(prop=uuid.UUID(int=2)) == [3, 2]
    assert await ids(since=now - HOURS[2]) == [3, 2]
    assert await ids(until=now - HOURS[2]) == [2, 1]
    assert await ids(actor=BOB, since=now - HOURS[1]) == []


async def test_a_page_has_a_bound(room: Room) -> None:
    for number in range(5):
        await room.edit({key(number): shape(number)})
    assert len(await room.page(edits_max=10**9)) == 5
    assert len(await room.page(edits_max=2)) == 2


async def test_worlds_are_listed(room: Room) -> None:
    await room.store.create("attic", "The attic")
    await room.edit({key(1): shape(1)})
    attic, hall = await room.history.worlds()
    assert (attic.slug, attic.props, attic.owner, attic.saved_at) == ("attic", 0, "", None)
    assert (hall.slug, hall.props, hall.version, hall.owner) == ("hall", 1, 1, "test")
    with pytest.raises(Refused, match="no world"):
        await room.history.world("cellar")


# --- moments -----------------------------------------------------------------------------


async def test_every_moment_of_a_random_history_comes_back(room: Room) -> None:
    """Each state is restored, from the newest to the oldest and in between, and is exact."""
    chance = random.Random(5)
    props = Props()
    editor = Editor(props)
    now = await now_of(room)
    states: list[tuple[datetime, dict[bytes, Prop]]] = []
    authors = [Author(str(ANN), may_moderate=True), Author(str(BOB), may_moderate=True)]
    while len(states) < 60:
        author = chance.choice(authors)
        one, other = key(chance.randrange(8)), key(chance.randrange(8))
        edit = chance.choice([
            edits.Create(one, chance.choice([b"", other]), Transform(),
                         chance.choice([Group(), Shape(), Sign(text="ä \" \\")])),
            edits.Place(one, Transform((chance.random(), -1e3, 0.1))),
            edits.Delete(one), edits.Attach((one,), chance.choice([b"", other])), edits.Undo(),
            edits.Duplicate(one, other, Transform()),
        ])
        try:
            plan = editor.plan(author, edit)
        except RequestRefused:
            continue
        if not plan.changes:
            continue
        editor.take(author, plan)
        at = now - timedelta(days=20) + timedelta(minutes=len(states))
        await room.edit(
            {change.prop_id: change.after for change in plan.changes},
            uuid.UUID(author.account), at,
        )
        states.append((at, dict(props)))
    for at, state in states[::7]:
        planned = await world_history.plan_restore(room.history, "hall", at, ignore)
        assert planned.version == 60
        present = Props()
        present.load(dict(props), 0)
        present.apply(planned.changes)
        assert dict(present) == state
        halfway = at + timedelta(seconds=30)
        assert (await world_history.present_props(room.history, "hall", ignore, halfway))[1] == (
            state
        )
    assert await room.present() == dict(props)


async def test_what_was_written_together_is_taken_back_together(room: Room) -> None:
    """The clock of the database was set back, so that times and edits are in another order."""
    now = await now_of(room)
    await room.edit({key(1): Prop(Transform(), Group())}, at=now - HOURS[1])
    await room.edit({key(2): shape(1, group=key(1))}, at=now - HOURS[3])
    planned = await world_history.plan_restore(room.history, "hall", now - HOURS[2], ignore)
    assert {change.prop_id for change in planned.changes} == {key(1), key(2)}


async def test_only_moments_that_are_remembered_can_be_asked_for(room: Room) -> None:
    now = await now_of(room)
    for moment, word in ((now + HOURS[1], "not come"), (now - timedelta(days=31), "forgotten")):
        with pytest.raises(Refused, match=word):
            await world_history.plan_restore(room.history, "hall", moment, ignore)


async def test_reading_sees_one_moment_whatever_is_written_meanwhile(
    room: Room, postgres: Any, database_url: str
) -> None:
    await room.edit({key(number): shape(number) for number in range(200)})
    since = await now_of(room)
    vandal = (
        "DELETE FROM entity",
        """INSERT INTO world_edit (world_id, version, session, request_id, op)
           SELECT id, 2, gen_random_uuid(), 1, 'do' FROM world""",
    )
    seen: list[int] = []

    class Reader:
        def present(self, rows: Any) -> None:
            if not seen:  # in the database's thread, where the snapshot is taken already
                other = threading.Thread(target=postgres.run, args=(database_url, *vandal))
                other.start()
                other.join()
            seen.append(len(rows))

        def back(self, edits_: Any) -> None:
            raise AssertionError("an edit that was made meanwhile is not seen")

    version = await room.history.read_back(room.claim.world_id, since, Reader())
    assert (version, sum(seen)) == (1, 200)
    assert await room.value("SELECT count(*) FROM entity") == 0


async def test_a_history_that_cannot_be_understood_is_told(room: Room) -> None:
    since = await now_of(room)
    await room.edit({key(1): shape(1)})
    await room.run("""UPDATE world_edit SET after = '{"x": 1}'""")
    with pytest.raises(Refused, match="newer version"):
        await world_history.plan_restore(room.history, "hall", since, ignore)


# --- one person's edits ------------------------------------------------------------------


async def test_a_vandal_is_rolled_back_and_others_are_spared(room: Room) -> None:
    start = await now_of(room)
    for number in range(4):
        await room.edit({key(number): shape(number)}, ANN)
    await room.edit({key(0): None}, BOB)
    await room.edit({key(1): shape(50)}, BOB)
    await room.edit({key(2): shape(51)}, BOB)
    await room.edit({key(2): shape(52)}, ANN)  # mended already
    asked = msgspec.structs.replace(shape(5), properties=Sign(), pending="buy")
    await room.edit({key(9): asked}, BOB)
    shown = msgspec.structs.replace(asked, properties=Sign(text="buy"), pending="")
    await room.edit({key(9): shown}, None, op="publish")
    planned = await world_history.plan_roll_back(
        room.history, "hall", start, Chosen(actor=BOB), ignore
    )
    assert {change.prop_id: change.after for change in planned.changes} == {
        key(0): shape(0), key(1): shape(1), key(9): None,
    }
    assert planned.left == [key(2)]
    version = await world_history.write(
        room.database, room.claim_now(), planned, "roll_back", "console"
    )
    assert version == room.version + 1
    assert await room.present() == {
        key(0): shape(0), key(1): shape(1), key(2): shape(52), key(3): shape(3),
    }


async def test_a_guest_is_rolled_back_by_session(room: Room) -> None:
    start = await now_of(room)
    await room.edit({key(1): shape(1)}, None)
    await room.edit({key(2): shape(1)}, ANN)
    planned = await world_history.plan_roll_back(
        room.history, "hall", start, Chosen(session=uuid.UUID(int=0xF0)), ignore
    )
    assert [change.prop_id for change in planned.changes] == [key(1)]


@pytest.mark.parametrize("is_blanked", [False, True])
async def test_who_deletes_the_account_is_rolled_back_all_the_same(
    room: Room, is_blanked: bool
) -> None:
    """By session: the edits have no actor any more. The house took the owner away meanwhile."""
    start = await now_of(room)
    theirs = msgspec.structs.replace(shape(0), owner=str(BOB))
    moved = msgspec.structs.replace(theirs, transform=shape(9).transform)
    await room.edit({key(1): shape(1), key(2): shape(2)}, ANN)
    await room.edit({key(1): None, key(3): theirs, key(4): theirs, key(5): theirs}, BOB)
    await room.edit({key(3): moved, key(2): shape(66)}, BOB)
    await room.edit({key(5): msgspec.structs.replace(moved, is_locked=True)}, ANN)
    gone = {
        one: msgspec.structs.replace(prop, owner="")
        for one, prop in room.props.items() if prop.owner == str(BOB)
    }
    assert len(gone) == 3
    await room.edit({**gone}, None, op="disown")
    await room.run("UPDATE world_edit SET actor = NULL WHERE actor = :bob", bob=BOB)
    if is_blanked:
        await room.run(
            "UPDATE world_edit SET before = replace(before::text, :bob, '')::jsonb,"
            " after = replace(after::text, :bob, '')::jsonb", bob=str(BOB),
        )
    planned = await world_history.plan_roll_back(
        room.history, "hall", start, Chosen(session=BOB), ignore
    )
    assert {change.prop_id: change.after for change in planned.changes} == {
        key(1): shape(1), key(2): shape(2), key(3): None, key(4): None,
    }
    assert planned.left == [key(5)], "somebody else has changed it since"
    await world_history.write(room.database, room.claim_now(), planned, "roll_back", "console")
    assert await room.present() == {
        key(1): shape(1), key(2): shape(2), key(5): gone[key(5)],
    }


async def test_a_moment_comes_back_without_owners_that_are_gone(room: Room) -> None:
    await room.edit({key(1): shape(1)}, ANN)
    moment = await now_of(room)
    await room.edit({key(1): shape(2)}, BOB)
    await room.edit({key(1): msgspec.structs.replace(shape(2), owner="")}, None, op="disown")
    planned = await world_history.plan_restore(room.history, "hall", moment, ignore)
    assert [change.after for change in planned.changes] == [
        msgspec.structs.replace(shape(1), owner="")
    ]


async def test_undo_and_exactly_once_are_rebuilt(room: Room) -> None:
    for number in range(5):
        await room.edit({key(number): shape(number)}, ANN)
    await room.edit({key(9): shape(1)}, BOB)
    recent = await room.history.recent_edits(room.claim.world_id, ANN, 3)
    assert [prop_rows.changes_of(edit.before, edit.after)[0].prop_id for edit in recent] == [
        key(4), key(3), key(2)
    ]
    assert recent[0].op == "do"
    unknown = uuid.UUID(int=77)
    assert await room.history.recent_requests([ANN, BOB, unknown], 3) == {
        ANN: {3, 4, 5}, BOB: {6}, unknown: set()
    }
    assert await room.history.recent_requests([], 3) == {}


# --- writing -----------------------------------------------------------------------------


async def test_a_restore_is_one_version_and_is_told_in_the_audit_log(
    room: Room, database_url: str
) -> None:
    before = await now_of(room)
    await room.edit({key(n): shape(n) for n in range(200)}, at=before + timedelta(seconds=0))
    planned = await world_history.plan_restore(
        room.history, "hall", before - HOURS[1], ignore
    )
    version = await world_history.write(
        room.database, room.claim_now(), planned, "restore", "console"
    )
    assert version == 2
    assert await room.present() == {}
    restored = [edit for edit in await room.page() if edit.op == "restore"]
    assert sum(edit.props for edit in restored) == 200
    assert {edit.version for edit in restored} == {2}
    told = "SELECT count(*) FROM audit_log WHERE action = 'world.restore' AND object_id = 'hall'"
    assert await room.value(told) == 1
    async with trio.open_nursery() as nursery, open_database(nursery, database_url) as database:
        await database.call(whole_log, database_url)


async def whole_log(url: str) -> None:
    async with migrate.connected(url) as connection:
        await audit.verify(connection)


async def test_large_edits_are_cut_in_pieces(room: Room) -> None:
    signs = {
        key(n): Prop(Transform(), Sign(text="\U0001f600" * limits.SIGN_CHARS_MAX))
        for n in range(100)
    }
    planned = world_history.Planned(0, [Change(one, None, prop) for one, prop in signs.items()])
    await world_history.write(room.database, room.claim, planned, "import", "console")
    assert len(await room.page()) > 3
    most = "SELECT max(octet_length(after::text)) FROM world_edit"
    assert await room.value(most) < 2 * limits.EDIT_ROW_BYTES_MAX
    assert await room.present() == signs


async def test_an_answer_that_was_lost_is_found_out(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx, calls = room.database.tx, []

    async def lossy(function: Any, *arguments: Any) -> Any:
        result = await tx(function, *arguments)
        calls.append(result)
        if len(calls) == 1:
            raise Ambiguous("the connection was lost")
        return result

    monkeypatch.setattr(room.database, "tx", lossy)
    planned = world_history.Planned(0, [Change(key(1), None, shape(1))])
    await world_history.write(room.database, room.claim, planned, "import", "console")
    monkeypatch.undo()
    assert len(calls) == 2
    assert await room.value("SELECT count(*) FROM audit_log") == 1
    assert await room.value("SELECT count(*) FROM world_edit") == 1
    assert audited.TRIES_MAX > 1


async def test_nothing_is_written_by_who_does_not_own_the_world(room: Room) -> None:
    planned = world_history.Planned(0, [Change(key(1), None, shape(1))])
    await room.store.release(room.claim)
    await room.store.claim("hall", "another")
    with pytest.raises(Fenced):
        await world_history.write(room.database, room.claim, planned, "import", "console")
    assert await room.value("SELECT count(*) FROM entity") == 0
    assert await room.value("SELECT count(*) FROM audit_log") == 0
    with pytest.raises(Fenced, match="try again"):
        await world_history.write(
            room.database, room.claim, world_history.Planned(5, []), "import", "console"
        )


async def test_who_holds_a_world_renews_it_and_lets_it_go(autojump_clock: Any) -> None:
    renewed: list[float] = []
    released: list[Claim] = []

    class Store:
        async def claim(self, slug: str, node: str) -> Claim:
            return Claim(1, slug, slug, 1, 0)

        async def renew(self, claim: Claim) -> None:
            renewed.append(trio.current_time())

        async def release(self, claim: Claim) -> None:
            released.append(claim)

    store: Any = Store()
    async with world_history.held(store, "hall", "here"):
        await trio.sleep(2.2 * LEASE_S)
    assert len(renewed) >= 6
    assert len(released) == 1


# --- forgetting --------------------------------------------------------------------------


async def test_what_is_old_is_forgotten_in_slices(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atrium_server.persistence import history as module

    monkeypatch.setattr(module, "PRUNE_ROWS_MAX", 2)
    now = await now_of(room)
    old, young = now - timedelta(days=31), now - timedelta(days=29)
    for number in range(5):
        await room.edit({key(number): shape(number)}, at=old)
    for number in range(3):
        await room.edit({key(number): None}, at=old)
    await room.edit({key(3): None}, at=young)
    state = await room.present()
    pruned = await room.history.prune()
    assert (pruned.edits, pruned.tombstones) == (8, 3)
    assert await room.value("SELECT count(*) FROM world_edit") == 1
    assert await room.value("SELECT count(*) FROM entity_tombstone") == 1
    assert await room.present() == state
    again = await room.history.prune()
    assert (again.edits, again.tombstones) == (0, 0)
    then = await world_history.present_props(
        room.history, "hall", ignore, now - timedelta(days=29, hours=12)
    )
    assert then[1] == {key(3): shape(3), key(4): shape(4)}


async def test_nothing_that_may_be_asked_for_is_forgotten(room: Room) -> None:
    with pytest.raises(AssertionError):
        await room.history.prune(limits.HISTORY_S_MAX - 1)

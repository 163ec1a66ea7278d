"""What people have, in a real Postgres: conserved under races, done once, never negative."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))

from records import NASTY, audited, fetch, make_account, open_clone, open_proxy

from atrium_server.persistence import inventory as inventory_module
from atrium_server.persistence import memory_inventory
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.inventory import SqlInventory
from atrium_server.persistence.item_rows import (
    AnyRequest,
    Consume,
    Give,
    InventoryStore,
    Item,
    ItemOp,
    Move,
    Receipt,
    Split,
    Stack,
)
from atrium_server.persistence.memory_inventory import MemoryInventory
from atrium_shared.limits import ITEM_QUANTITY_MAX

MOVERS = 20


def person(number: int) -> uuid.UUID:
    return uuid.UUID(int=(1 << 100) + number)


ADA, BOB = person(1), person(2)


@asynccontextmanager
async def peopled(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_clone(postgres, nursery) as opened:
        for number in range(1, 6):
            await make_account(opened, number)
        yield opened


@pytest.fixture
async def database(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with peopled(postgres, nursery) as opened:
        yield opened


@pytest.fixture(params=["postgres", "memory"])
async def store(
    request: pytest.FixtureRequest, postgres: Any, nursery: trio.Nursery
) -> AsyncGenerator[InventoryStore]:
    if request.param == "postgres":
        async with peopled(postgres, nursery) as opened:
            yield SqlInventory(opened)
    else:
        yield MemoryInventory()


def id_of(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


class Hands:
    """Makes requests, each with an id of its own."""

    def __init__(self, store: InventoryStore) -> None:
        self.store = store
        self.asked = 0

    def next_id(self) -> uuid.UUID:
        self.asked += 1
        return id_of(self.asked)

    async def inventory(self, account: uuid.UUID) -> uuid.UUID:
        return (await self.store.inventory_of(account)).id

    async def has(self, account: uuid.UUID) -> dict[str, int]:
        held: dict[str, int] = {}
        for item in (await self.store.inventory_of(account)).items:
            held[item.kind] = held.get(item.kind, 0) + item.quantity
        return held

    async def items(self, account: uuid.UUID) -> tuple[Item, ...]:
        return (await self.store.inventory_of(account)).items

    async def give(
        self, to: uuid.UUID, quantity: int, kind: str = "rose", **values: object
    ) -> uuid.UUID:
        request = Give(id=self.next_id(), quantity=quantity, to=to, kind=kind, **values)  # type: ignore[arg-type]
        receipt = await self.store.apply(request)
        assert receipt.item is not None
        return receipt.item


@pytest.fixture
def hands(store: InventoryStore) -> Hands:
    return Hands(store)


async def test_what_is_given_is_there(hands: Hands) -> None:
    before = await hands.store.inventory_of(ADA)
    assert before.items == ()
    await hands.give(before.id, 3)
    await hands.give(before.id, 4)
    await hands.give(before.id, 1, "rose", props=b'{"colour": "red"}')
    await hands.give(before.id, 1, "lamp", slot=0)
    after = await hands.store.inventory_of(ADA)
    assert after.id == before.id
    assert after.version == before.version + 4
    assert [(item.kind, item.quantity, item.slot) for item in after.items] == [
        ("lamp", 1, 0), ("rose", 7, None), ("rose", 1, None)
    ]


async def test_a_whole_stack_moves_as_it_is_and_a_part_as_a_new_one(hands: Hands) -> None:
    ada, bob = await hands.inventory(ADA), await hands.inventory(BOB)
    rose = await hands.give(ada, 5, slot=7)
    part = await hands.store.apply(
        Move(id=hands.next_id(), quantity=2, item=rose, source=ada, to=bob, slot=3)
    )
    assert part == Receipt(ItemOp.MOVE, "rose", 2, part.item)
    assert [(item.id, item.slot) for item in await hands.items(BOB)] == [(part.item, 3)]
    joined = await hands.store.apply(
        Move(id=hands.next_id(), quantity=3, item=rose, source=ada, to=bob)
    )
    assert joined.item == part.item, "to those that are like it"
    assert await hands.has(ADA) == {}
    back = await hands.store.apply(
        Move(id=hands.next_id(), quantity=5, item=part.item or rose, source=bob, to=ada)
    )
    assert back.item == part.item
    assert [(item.id, item.slot) for item in await hands.items(ADA)] == [(part.item, None)]


async def test_stacks_are_split_put_together_and_used_up(hands: Hands) -> None:
    ada = await hands.inventory(ADA)
    rose = await hands.give(ada, 5)
    split = await hands.store.apply(
        Split(id=hands.next_id(), quantity=2, item=rose, source=ada, slot=1)
    )
    assert split.item is not None
    assert [(item.id, item.quantity) for item in await hands.items(ADA)] == [
        (split.item, 2), (rose, 3)
    ]
    await hands.store.apply(
        Stack(id=hands.next_id(), quantity=3, item=rose, source=ada, into=split.item)
    )
    assert [(item.id, item.quantity) for item in await hands.items(ADA)] == [(split.item, 5)]
    for left in (4, 0):
        used = await hands.store.apply(Consume(
            id=hands.next_id(), quantity=1 if left else 4, item=split.item, source=ada
        ))
        assert used.item is None
        assert (await hands.has(ADA)).get("rose", 0) == left


async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await hands.inventory(ADA), await hands.inventory(BOB)
    rose = await hands.give(ada, 5, slot=1)
    lamp = await hands.give(ada, 1, "lamp", slot=2)
    await hands.give(bob, ITEM_QUANTITY_MAX, "lamp")
    before = await hands.store.inventory_of(ADA), await hands.store.inventory_of(BOB)
    for module in (inventory_module, memory_inventory):
        monkeypatch.setattr(module, "ITEMS_PER_INVENTORY_MAX", 2)
    wrong: list[tuple[AnyRequest, str]] = [
        (Move(id=id_of(90), quantity=6, item=rose, source=ada, to=bob), "only 5"),
        (Move(id=id_of(90), quantity=1, item=rose, source=bob, to=ada), "no such item"),
        (Move(id=id_of(90), quantity=1, item=rose, source=ada, to=ada), "there already"),
        (Move(id=id_of(90), quantity=1, item=rose, source=ada, to=id_of(404)), "not there"),
        (Move(id=id_of(90), quantity=0, item=rose, source=ada, to=bob), "number of items"),
        (Consume(id=id_of(90), quantity=-1, item=rose, source=ada), "number of items"),
        (Consume(id=id_of(90), quantity=6, item=rose, source=ada), "only 5"),
        (Consume(id=id_of(90), quantity=1, item=id_of(404), source=ada), "no such item"),
        (Split(id=id_of(90), quantity=5, item=rose, source=ada), "leave something"),
        (Split(id=id_of(90), quantity=1, item=rose, source=ada), "no room"),
        (Stack(id=id_of(90), quantity=1, item=rose, source=ada, into=lamp), "same kind"),
        (Stack(id=id_of(90), quantity=1, item=rose, source=ada, into=rose), "on itself"),
        (Stack(id=id_of(90), quantity=1, item=rose, source=ada, into=id_of(404)), "no such"),
        (Give(id=id_of(90), quantity=1, to=ada, kind="hat"), "no room"),
        (Give(id=id_of(90), quantity=1, to=bob, kind="hat", slot=1_000), "no such slot"),
        (Give(id=id_of(90), quantity=1, to=bob, kind=""), "name of its kind"),
        (Give(id=id_of(90), quantity=1, to=bob, kind="x", props=b"x" * 5_000), "too large"),
        (Give(id=id_of(90), quantity=1, to=bob, kind="x", reason="x" * 201), "too long"),
    ]
    for request, sentence in wrong:
        with pytest.raises(Refused, match=sentence):
            await hands.store.apply(request)
    for module in (inventory_module, memory_inventory):
        monkeypatch.setattr(module, "ITEMS_PER_INVENTORY_MAX", 3)
    with pytest.raises(Refused, match="slot is taken"):
        await hands.give(ada, 1, "hat", slot=2)
    assert (await hands.store.inventory_of(ADA), await hands.store.inventory_of(BOB)) == before


async def test_a_request_that_is_asked_again_is_answered_as_before(hands: Hands) -> None:
    ada, bob = await hands.inventory(ADA), await hands.inventory(BOB)
    rose = await hands.give(ada, 9)
    requests: list[AnyRequest] = [
        Give(id=id_of(50), quantity=2, to=ada, kind="lamp"),
        Move(id=id_of(51), quantity=2, item=rose, source=ada, to=bob),
        Split(id=id_of(52), quantity=1, item=rose, source=ada),
        Stack(id=id_of(53), quantity=1, item=id_of(52), source=ada, into=rose),
        Consume(id=id_of(54), quantity=7, item=rose, source=ada),
    ]
    receipts = [await hands.store.apply(request) for request in requests]
    state = await hands.store.inventory_of(ADA), await hands.store.inventory_of(BOB)
    assert [await hands.store.apply(request) for request in requests] == receipts
    assert (await hands.store.inventory_of(ADA), await hands.store.inventory_of(BOB)) == state
    assert (await hands.has(ADA), await hands.has(BOB)) == ({"lamp": 2}, {"rose": 2})
    for request in requests:
        with pytest.raises(Refused, match="another request"):
            await hands.store.apply(msgspec.structs.replace(request, quantity=3))


async def test_text_is_text_whatever_is_in_it(hands: Hands) -> None:
    ada = await hands.inventory(ADA)
    for nasty in NASTY:
        props = msgspec.json.encode({"note": nasty})
        item = await hands.give(ada, 1, nasty[:64], props=props, reason=nasty)
        found = {each.id: each for each in await hands.items(ADA)}[item]
        assert found.kind == nasty[:64]
        assert msgspec.json.decode(found.props) == {"note": nasty}


async def test_nobody_has_things_who_is_not_there(database: Database) -> None:
    with pytest.raises(Refused, match="no such account"):
        await SqlInventory(database).inventory_of(uuid.UUID(int=404))
    hands = Hands(SqlInventory(database))
    for props in (b"[]", b"{", b"\xff", b'{"a": "\\u0000"}'):
        with pytest.raises(Refused):
            await hands.give(await hands.inventory(ADA), 1, props=props)
    assert await audited(database) == []


async def test_every_change_is_in_the_ledger_and_the_audit_log(database: Database) -> None:
    hands = Hands(SqlInventory(database))
    ada = await hands.inventory(ADA)
    rose = await hands.give(ada, 5, actor=BOB, reason="a present")
    await hands.store.apply(Consume(id=id_of(9), quantity=1, item=rose, source=ada))
    assert await audited(database) == ["item.give", "item.consume"]
    ledger = "SELECT op, from_inventory, to_inventory, quantity, actor, reason FROM item_ledger"
    assert await fetch(database, ledger + " ORDER BY id") == [
        ("give", None, ada, 5, BOB, "a present"), ("consume", ada, None, 1, None, "")
    ]


# --- races -------------------------------------------------------------------------------


class Mover:
    """Moves a few of anything to anybody, and asks everything twice."""

    def __init__(self, store: InventoryStore, number: int, owners: list[uuid.UUID]) -> None:
        self.store = store
        self.chance = random.Random(number)
        self.number = number
        self.owners = owners
        self.refused = 0
        self.done: list[tuple[AnyRequest, Receipt]] = []

    async def work(self, count: int) -> None:
        for number in range(count):
            source, to = self.chance.sample(self.owners, 2)
            held = await self.store.inventory_of(source)
            if not held.items:
                continue
            item = self.chance.choice(held.items)
            quantity = self.chance.choice([1, item.quantity, item.quantity + 1])
            to_id = (await self.store.inventory_of(to)).id
            await self.ask(Move(
                id=uuid.UUID(int=1_000 * (self.number + 1) + number), quantity=quantity,
                item=item.id, source=held.id, to=to_id,
            ))

    async def ask(self, request: AnyRequest) -> None:
        """The same question twice at the same time gets the same answer twice."""
        answers: list[Receipt | None] = []

        async def once() -> None:
            try:
                answers.append(await self.store.apply(request))
            except Refused:
                answers.append(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(once)
            nursery.start_soon(once)
        done = {answer for answer in answers if answer is not None}
        assert len(done) <= 1
        if done:
            self.done.append((request, done.pop()))
        else:
            self.refused += 1


async def test_movers_at_once_lose_double_and_owe_nothing(database: Database) -> None:
    store = SqlInventory(database)
    owners = [person(number) for number in range(1, 6)]
    hands = Hands(store)
    for owner in owners:
        for kind in ("rose", "lamp"):
            await hands.give(await hands.inventory(owner), 10, kind)
    movers = [Mover(store, number, owners) for number in range(MOVERS)]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for mover in movers:
                nursery.start_soon(mover.work, 6)
    done = [each for mover in movers for each in mover.done]
    assert len(done) > MOVERS
    assert sum(mover.refused for mover in movers) > 0
    totals = "SELECT item_kind, sum(quantity), min(quantity) > 0 FROM inventory_item GROUP BY 1"
    assert sorted(await fetch(database, totals)) == [("lamp", 50, True), ("rose", 50, True)]
    moves = await fetch(database, "SELECT count(*) FROM item_ledger WHERE op = 'move'")
    assert moves == [(len(done),)]
    for request, receipt in done:
        assert await store.apply(request) == receipt, "long after"
    assert sorted(await fetch(database, totals)) == [("lamp", 50, True), ("rose", 50, True)]
    assert (await audited(database)).count("item.move") == len(done)


async def test_the_last_one_goes_to_one_of_those_who_want_it(database: Database) -> None:
    store, hands = SqlInventory(database), Hands(SqlInventory(database))
    source = await hands.inventory(ADA)
    only = await hands.give(source, 1)
    won: list[uuid.UUID] = []

    async def want(number: int, to: uuid.UUID) -> None:
        request = Move(id=id_of(100 + number), quantity=1, item=only, source=source, to=to)
        try:
            await store.apply(request)
        except Refused:
            return
        won.append(to)

    targets = [await hands.inventory(person(number)) for number in range(2, 6)]
    async with trio.open_nursery() as nursery:
        for number in range(MOVERS):
            nursery.start_soon(want, number, targets[number % 4])
    assert len(won) == 1
    assert await fetch(database, "SELECT inventory_id, quantity FROM inventory_item") == [
        (won[0], 1)
    ]


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_lost_answer_moves_nothing_twice(
    drop: str, database: Database, nursery: trio.Nursery
) -> None:
    near = Hands(SqlInventory(database))
    ada, bob = await near.inventory(ADA), await near.inventory(BOB)
    rose = await near.give(ada, 5)
    async with (
        open_proxy(database.address.url) as (proxy, url),
        open_database(nursery, url, 1) as distant,
    ):
        proxy.drop = drop
        request = Move(id=id_of(9), quantity=2, item=rose, source=ada, to=bob)
        receipt = await SqlInventory(distant).apply(request)
        assert proxy.dropped == 1
    assert (await near.has(ADA), await near.has(BOB)) == ({"rose": 3}, {"rose": 2})
    assert await near.store.apply(request) == receipt
    assert await audited(database) == ["item.give", "item.move"]

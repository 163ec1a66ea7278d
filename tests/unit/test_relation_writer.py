"""The writer of relations: what waits is known to who asks, and is saved when the store is back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import trio
from trio.testing import MockClock

from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.persistence.relations import MemoryRelations, RelationRow, RelationWriter

ADA = uuid.UUID(int=1)
ONE, TWO = RelationRow("one", "One", 1), RelationRow("two", "Two", 4)
NO_ONE = RelationRow("one", "One", 0)


class Moody(MemoryRelations):
    """A store that fails as told, and answers questions when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.may_answer = trio.Event()
        self.may_answer.set()

    async def of(self, account: uuid.UUID) -> list[RelationRow]:
        found = await super().of(account)
        await self.may_answer.wait()
        return found

    async def save(self, account: uuid.UUID, rows: Sequence[RelationRow]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        await super().save(account, rows)


async def test_what_changes_is_saved(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store = Moody()
    writer = RelationWriter(store)
    nursery.start_soon(writer.run)
    writer.take(ADA, [ONE])
    writer.take(ADA, [TWO, NO_ONE])
    await trio.sleep(0.1)
    assert await store.of(ADA) == [TWO]
    nursery.cancel_scope.cancel()


async def test_who_asks_gets_what_is_not_saved_yet(autojump_clock: MockClock) -> None:
    store = Moody()
    await store.save(ADA, [ONE])
    writer = RelationWriter(store)
    writer.take(ADA, [NO_ONE, TWO])
    assert await writer.of(ADA) == [TWO]


async def test_what_changes_while_the_store_is_asked_is_not_missed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = Moody()
    writer = RelationWriter(store)
    nursery.start_soon(writer.run)
    store.may_answer = trio.Event()
    found: list[RelationRow] = []

    async def ask() -> None:
        found.extend(await writer.of(ADA))

    nursery.start_soon(ask)
    await trio.sleep(0.1)  # the store has looked, and found nothing
    writer.take(ADA, [ONE])
    await trio.sleep(0.1)  # it is saved, and waits no more
    store.may_answer.set()
    await trio.sleep(0.1)
    assert found == [ONE]
    nursery.cancel_scope.cancel()


async def test_a_store_that_is_away_is_asked_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = Moody()
    store.errors = [Unavailable("away"), Unavailable("away")]
    writer = RelationWriter(store)
    nursery.start_soon(writer.run)
    writer.take(ADA, [ONE])
    await trio.sleep(0.1)
    assert await store.of(ADA) == []
    assert await writer.of(ADA) == [ONE]
    await trio.sleep(5.0)
    assert await store.of(ADA) == [ONE]
    nursery.cancel_scope.cancel()


async def test_what_the_store_refuses_waits_no_longer(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = Moody()
    store.errors = [Refused("no such account")]
    writer = RelationWriter(store)
    nursery.start_soon(writer.run)
    writer.take(ADA, [ONE])
    await trio.sleep(5.0)
    assert await writer.of(ADA) == []
    nursery.cancel_scope.cancel()


async def test_what_waits_at_the_end_is_saved(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = Moody()
    store.errors = [Unavailable("away")]
    writer = RelationWriter(store)
    nursery.start_soon(writer.run)
    writer.take(ADA, [ONE])
    await trio.sleep(0.1)
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.sleep(0.1)
        assert await store.of(ADA) == [ONE]

"""What people have, in memory: for --ephemeral, and for tests of what stands on it.

It keeps the promises of `inventory` but for two: nothing outlives the process, and there is no
audit log. Every account is taken to exist. All is done at once, in trio's thread.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

import msgspec
import trio

from atrium_server.persistence.errors import Refused
from atrium_server.persistence.item_rows import (
    NO_INVENTORY,
    NO_ITEM,
    NO_ROOM,
    NOT_ALIKE,
    OTHER_REQUEST,
    SLOT_TAKEN,
    SPLIT_ALL,
    AnyRequest,
    Consume,
    Give,
    Inventory,
    Item,
    Receipt,
    Split,
    Stack,
    check,
    source_of,
    target_of,
    too_few,
)
from atrium_shared.limits import ITEM_QUANTITY_MAX, ITEMS_PER_INVENTORY_MAX

RECEIPTS_KEPT_MAX: Final = 100_000
"""The newest requests, by which a repeated one is known; Postgres keeps all."""


@dataclass(slots=True)
class _Owned:
    id: uuid.UUID
    version: int = 0
    items: dict[uuid.UUID, Item] = field(default_factory=dict[uuid.UUID, Item])


class MemoryInventory:
    """An `item_rows.InventoryStore` in memory."""

    def __init__(self) -> None:
        self._of_account: dict[uuid.UUID, _Owned] = {}
        self._by_id: dict[uuid.UUID, _Owned] = {}
        self._done: dict[uuid.UUID, tuple[AnyRequest, Receipt]] = {}

    async def inventory_of(self, account: uuid.UUID) -> Inventory:
        await trio.lowlevel.checkpoint()
        owned = self._of_account.get(account)
        if owned is None:
            owned = self._of_account[account] = _Owned(uuid.uuid4())
            self._by_id[owned.id] = owned
        items = sorted(
            owned.items.values(), key=lambda item: (item.slot is None, item.slot or 0, item.id)
        )
        return Inventory(owned.id, owned.version, tuple(items))

    async def apply(self, request: AnyRequest) -> Receipt:
        check(request)
        await trio.lowlevel.checkpoint()
        if request.id in self._done:
            done, receipt = self._done[request.id]
            if done != request:
                raise Refused(OTHER_REQUEST)
            return receipt
        touched = {id for id in (source_of(request), target_of(request)) if id is not None}
        owners = [self._by_id[id] for id in touched if id in self._by_id]
        if len(owners) < len(touched):
            raise Refused(NO_INVENTORY)
        receipt = Receipt(request.op, *self._do(request))
        for owned in owners:
            owned.version += 1
        self._done[request.id] = request, receipt
        while len(self._done) > RECEIPTS_KEPT_MAX:
            del self._done[next(iter(self._done))]
        return receipt

    def _do(self, request: AnyRequest) -> tuple[str, int, uuid.UUID | None]:
        """Returns kind, number and the stack that they came to."""
        number = request.quantity
        if isinstance(request, Give):
            given = Item(
                request.id, request.to, request.kind, number, request.slot, request.props
            )
            return given.kind, number, self._bring(given)
        item = self._by_id[request.source].items.get(request.item)
        if item is None:
            raise Refused(NO_ITEM)
        if item.quantity < number:
            raise too_few(item.quantity)
        if isinstance(request, Consume):
            into = None
        elif isinstance(request, Stack):
            into = self._merge(request, item)
        elif isinstance(request, Split):
            if item.quantity == number:
                raise Refused(SPLIT_ALL)
            into = self._put(
                Item(request.id, item.inventory, item.kind, number, request.slot, item.props)
            )
        else:
            id = item.id if item.quantity == number else request.id
            into = self._bring(Item(id, request.to, item.kind, number, request.slot, item.props))
        self._take(item, number)
        return item.kind, number, into

    def _take(self, item: Item, number: int) -> None:
        items = self._by_id[item.inventory].items
        if item.quantity == number:
            del items[item.id]
        else:
            items[item.id] = msgspec.structs.replace(item, quantity=item.quantity - number)

    def _merge(self, request: Stack, item: Item) -> uuid.UUID:
        into = self._by_id[request.source].items.get(request.into)
        if into is None:
            raise Refused(NO_ITEM)
        if (into.kind, into.props) != (item.kind, item.props):
            raise Refused(NOT_ALIKE)
        if into.quantity + request.quantity > ITEM_QUANTITY_MAX:
            raise Refused(NO_ROOM)
        return self._add(into, request.quantity)

    def _bring(self, part: Item) -> uuid.UUID:
        for item in sorted(self._by_id[part.inventory].items.values(), key=lambda each: each.id):
            if (
                (item.kind, item.props) == (part.kind, part.props)
                and item.quantity + part.quantity <= ITEM_QUANTITY_MAX
                and part.slot in (None, item.slot)
            ):
                return self._add(item, part.quantity)
        return self._put(part)

    def _add(self, item: Item, number: int) -> uuid.UUID:
        items = self._by_id[item.inventory].items
        items[item.id] = msgspec.structs.replace(item, quantity=item.quantity + number)
        return item.id

    def _put(self, part: Item) -> uuid.UUID:
        items = self._by_id[part.inventory].items
        if len(items) >= ITEMS_PER_INVENTORY_MAX:
            raise Refused(NO_ROOM)
        if part.slot is not None and any(item.slot == part.slot for item in items.values()):
            raise Refused(SLOT_TAKEN)
        items[part.id] = part
        return part.id

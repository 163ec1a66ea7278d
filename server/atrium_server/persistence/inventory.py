"""What people have, in Postgres: every transfer once, never less than nothing, never a deadlock.

Theory of operation
-------------------
A request is one transaction. First it locks the inventories that it touches, in the order of their
ids, so two requests can wait for each other but never in a circle; items are only ever changed
under the lock of their inventory. Then it looks into the ledger: if its id is there it was done
before (perhaps by an attempt on a connection that was lost; its locks had to be waited for), and
the receipt is read from there. If not, the stacks are changed, the ledger and the audit log each
get their row, and the answer goes out after the commit.

Numbers are checked under the lock, and the table's own CHECK stands behind that. A stack of none
is removed. The ledger can never be changed and knows what became of each request for ever.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database
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
    ItemOp,
    Receipt,
    Split,
    Stack,
    check,
    item_of,
    source_of,
    target_of,
    too_few,
)
from atrium_server.persistence.schema import uuid7
from atrium_server.persistence.settled import settled
from atrium_server.persistence.sql_deeds import plain, plain_or_none
from atrium_shared.limits import ITEM_QUANTITY_MAX, ITEMS_PER_INVENTORY_MAX

_FIND: Final = text(
    "SELECT id, version FROM inventory WHERE account_id = :account FOR SHARE"
)
_MAKE: Final = text("""
    INSERT INTO inventory (id, account_id) VALUES (:id, :account)
    ON CONFLICT (account_id) DO NOTHING
""")
_ACCOUNT: Final = text("SELECT 1 FROM account WHERE id = :account FOR KEY SHARE")
_ITEM_COLUMNS: Final = "id, inventory_id, item_kind, quantity, slot, props::text"
_ITEMS: Final = text(f"""
    SELECT {_ITEM_COLUMNS} FROM inventory_item WHERE inventory_id = :inventory
    ORDER BY slot, id LIMIT :most
""")
_LOCK: Final = text(
    "SELECT id FROM inventory WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"
)
_KNOWN: Final = text("""
    SELECT op, from_inventory, to_inventory, item_id, quantity, item_kind, into_id
    FROM item_ledger WHERE request_id = :request
""")
_ITEM: Final = text(f"""
    SELECT {_ITEM_COLUMNS} FROM inventory_item WHERE id = :id AND inventory_id = :inventory
""")
_ALIKE: Final = text("""
    SELECT id FROM inventory_item
    WHERE inventory_id = :inventory AND item_kind = :kind AND props = CAST(:props AS jsonb)
        AND quantity <= :room AND (CAST(:slot AS smallint) IS NULL OR slot = :slot)
    ORDER BY id LIMIT 1
""")
_COUNT: Final = text("SELECT count(*) FROM inventory_item WHERE inventory_id = :inventory")
_IN_SLOT: Final = text(
    "SELECT 1 FROM inventory_item WHERE inventory_id = :inventory AND slot = :slot"
)
_ADD: Final = text("UPDATE inventory_item SET quantity = quantity + :quantity WHERE id = :id")
_TAKE: Final = text("UPDATE inventory_item SET quantity = quantity - :quantity WHERE id = :id")
_REMOVE: Final = text("DELETE FROM inventory_item WHERE id = :id")
_CARRY: Final = text("""
    UPDATE inventory_item SET inventory_id = :inventory, slot = CAST(:slot AS smallint)
    WHERE id = :id
""")
_PUT: Final = text("""
    INSERT INTO inventory_item (id, inventory_id, item_kind, quantity, slot, props)
    VALUES (:id, :inventory, :kind, :quantity, :slot, CAST(:props AS jsonb))
""")
_CHANGED: Final = text("UPDATE inventory SET version = version + 1 WHERE id = ANY(:ids)")
_LEDGER: Final = text("""
    INSERT INTO item_ledger (request_id, op, from_inventory, to_inventory, item_id, into_id,
        item_kind, quantity, actor, reason)
    VALUES (:request, :op, :source, :target, :item, :into, :kind, :quantity, :actor, :reason)
""")


class SqlInventory:
    """An `item_rows.InventoryStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def inventory_of(self, account: uuid.UUID) -> Inventory:
        return await settled(self._database, _inventory_of, account)

    async def apply(self, request: AnyRequest) -> Receipt:
        check(request)
        return await settled(self._database, _apply, request)


async def _first(
    connection: AsyncConnection, question: TextClause, **values: object
) -> Sequence[Any] | None:
    return (await connection.execute(question, values)).first()


async def _inventory_of(connection: AsyncConnection, account: uuid.UUID) -> Inventory:
    found = await _first(connection, _FIND, account=account)
    if found is None:
        if await _first(connection, _ACCOUNT, account=account) is None:
            raise Refused("There is no such account.")
        await connection.execute(_MAKE, {"id": uuid7(time.time()), "account": account})
        found = await _first(connection, _FIND, account=account)
        assert found is not None
    values = {"inventory": found[0], "most": ITEMS_PER_INVENTORY_MAX}
    items = (await connection.execute(_ITEMS, values)).all()
    return Inventory(plain(found[0]), found[1], tuple(_item(each) for each in items))


def _item(found: Sequence[Any]) -> Item:
    id, inventory, kind, quantity, slot, props = found
    return Item(plain(id), plain(inventory), kind, quantity, slot, props.encode())


# --- a request ---------------------------------------------------------------------------


async def _apply(connection: AsyncConnection, request: AnyRequest) -> Receipt:
    source, target = source_of(request), target_of(request)
    touched = sorted({each for each in (source, target) if each is not None})
    locked = (await connection.execute(_LOCK, {"ids": touched})).all()
    known = await _first(connection, _KNOWN, request=request.id)
    if known is not None:
        return _known(request, known)
    if len(locked) < len(touched):
        raise Refused(NO_INVENTORY)
    receipt = await _do(connection, request)
    await connection.execute(_CHANGED, {"ids": touched})
    await connection.execute(_LEDGER, {
        "request": request.id, "op": request.op.value, "source": source, "target": target,
        "item": item_of(request), "into": receipt.item, "kind": receipt.kind,
        "quantity": request.quantity, "actor": request.actor, "reason": request.reason,
    })
    row = AuditRow(
        "server" if request.actor is None else str(request.actor), f"item.{request.op.value}",
        "inventory", str(touched[0]), str(request.id),
        {"from": source, "to": target, "item": receipt.item, "kind": receipt.kind,
         "quantity": request.quantity},
    )
    await write_audit(connection, row)
    return receipt


def _known(request: AnyRequest, known: Sequence[Any]) -> Receipt:
    """The receipt of a request that was done before. Raises Refused: it was another one."""
    op, source, target, item, quantity, kind, into = known
    done = (op, plain_or_none(source), plain_or_none(target), plain_or_none(item), quantity)
    asked = (
        request.op.value, source_of(request), target_of(request), item_of(request),
        request.quantity,
    )
    is_other_kind = isinstance(request, Give) and request.kind != kind
    is_other_stack = isinstance(request, Stack) and request.into != plain_or_none(into)
    if done != asked or is_other_kind or is_other_stack:
        raise Refused(OTHER_REQUEST)
    return Receipt(ItemOp(op), kind, quantity, plain_or_none(into))


async def _do(connection: AsyncConnection, request: AnyRequest) -> Receipt:
    if isinstance(request, Give):
        given = Item(
            request.id, request.to, request.kind, request.quantity, request.slot, request.props
        )
        return _receipt(request, given, await _bring(connection, given))
    item = await _stack(connection, request.item, request.source)
    if item.quantity < request.quantity:
        raise too_few(item.quantity)
    if isinstance(request, Consume):
        await _take(connection, item, request.quantity)
        return _receipt(request, item, None)
    if isinstance(request, Stack):
        return _receipt(request, item, await _merge(connection, request, item))
    if isinstance(request, Split):
        if item.quantity == request.quantity:
            raise Refused(SPLIT_ALL)
        await _take(connection, item, request.quantity)
        part = _part(request.id, item, request)
        await _put(connection, part)
        return _receipt(request, item, part.id)
    part = _part(request.id, item, request)
    alike = await _alike(connection, part)
    if alike is None and item.quantity == request.quantity:
        await _make_room(connection, part)
        values = {"inventory": request.to, "slot": request.slot, "id": item.id}
        await connection.execute(_CARRY, values)
        return _receipt(request, item, item.id)
    await _take(connection, item, request.quantity)
    return _receipt(request, item, await _bring(connection, part))


def _receipt(request: AnyRequest, item: Item, into: uuid.UUID | None) -> Receipt:
    return Receipt(request.op, item.kind, request.quantity, into)


def _part(id: uuid.UUID, item: Item, request: AnyRequest) -> Item:
    """As many of a stack as are asked for, as a stack of the target."""
    target = target_of(request)
    assert target is not None
    slot = None if isinstance(request, Stack | Consume) else request.slot
    return Item(id, target, item.kind, request.quantity, slot, item.props)


async def _stack(connection: AsyncConnection, id: uuid.UUID, inventory: uuid.UUID) -> Item:
    found = await _first(connection, _ITEM, id=id, inventory=inventory)
    if found is None:
        raise Refused(NO_ITEM)
    return _item(found)


async def _merge(connection: AsyncConnection, request: Stack, item: Item) -> uuid.UUID:
    into = await _stack(connection, request.into, request.source)
    if (into.kind, into.props) != (item.kind, item.props):
        raise Refused(NOT_ALIKE)
    if into.quantity + request.quantity > ITEM_QUANTITY_MAX:
        raise Refused(NO_ROOM)
    await _take(connection, item, request.quantity)
    await connection.execute(_ADD, {"quantity": request.quantity, "id": into.id})
    return into.id


async def _take(connection: AsyncConnection, item: Item, quantity: int) -> None:
    if item.quantity == quantity:
        await connection.execute(_REMOVE, {"id": item.id})
    else:
        await connection.execute(_TAKE, {"quantity": quantity, "id": item.id})


async def _bring(connection: AsyncConnection, part: Item) -> uuid.UUID:
    """Put items to those that are like them, or else make a stack of them; returns which."""
    alike = await _alike(connection, part)
    if alike is None:
        await _put(connection, part)
        return part.id
    await connection.execute(_ADD, {"quantity": part.quantity, "id": alike})
    return alike


async def _alike(connection: AsyncConnection, part: Item) -> uuid.UUID | None:
    found = await _first(
        connection, _ALIKE, inventory=part.inventory, kind=part.kind, props=_text(part.props),
        room=ITEM_QUANTITY_MAX - part.quantity, slot=part.slot,
    )
    return None if found is None else plain(found[0])


async def _put(connection: AsyncConnection, part: Item) -> None:
    await _make_room(connection, part)
    await connection.execute(_PUT, _values(part))


async def _make_room(connection: AsyncConnection, part: Item) -> None:
    """Raise Refused where there is no room for another stack."""
    count = await _first(connection, _COUNT, inventory=part.inventory)
    if count is None or count[0] >= ITEMS_PER_INVENTORY_MAX:
        raise Refused(NO_ROOM)
    if part.slot is not None and await _first(
        connection, _IN_SLOT, inventory=part.inventory, slot=part.slot
    ):
        raise Refused(SLOT_TAKEN)


def _values(part: Item) -> Mapping[str, object]:
    return {
        "id": part.id, "inventory": part.inventory, "kind": part.kind,
        "quantity": part.quantity, "slot": part.slot, "props": _text(part.props),
    }


def _text(props: bytes) -> str:
    try:
        return props.decode()
    except UnicodeDecodeError as error:
        raise Refused("The properties are no text.") from error

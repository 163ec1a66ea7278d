"""What people have, as rows, and what may be asked about it. PURE.

Two things keep an `InventoryStore`: `inventory.SqlInventory` (Postgres) and
`memory_inventory.MemoryInventory` (for --ephemeral). A *stack* is some number of one kind of item
with the same properties. A request is known by its id (a UUID that its author made): asked again it
is not done again, and is answered as it was the first time.

A stack that comes into being has the id of the request that made it. When all of a stack goes to
another owner who has none like it, the stack itself goes, with its id.
"""

from __future__ import annotations

import enum
import uuid
from typing import ClassVar, Protocol

import msgspec

from atrium_server.persistence.errors import Refused
from atrium_shared.limits import (
    ITEM_KIND_CHARS_MAX,
    ITEM_PROPS_BYTES_MAX,
    ITEM_QUANTITY_MAX,
    ITEM_REASON_CHARS_MAX,
    ITEM_SLOTS_MAX,
)


class ItemOp(enum.StrEnum):
    """What a request does."""

    GIVE = "give"
    MOVE = "move"
    SPLIT = "split"
    STACK = "stack"
    CONSUME = "consume"


class Item(msgspec.Struct, frozen=True):
    """A stack."""

    id: uuid.UUID
    inventory: uuid.UUID
    kind: str
    quantity: int
    slot: int | None = None
    """Where its owner has put it; each slot holds one stack."""
    props: bytes = b"{}"
    """A JSON object."""


class Inventory(msgspec.Struct, frozen=True):
    """All that somebody has. `version` grows with every change."""

    id: uuid.UUID
    version: int
    items: tuple[Item, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests say. `actor` is who asks; None is the server itself."""

    op: ClassVar[ItemOp]

    id: uuid.UUID
    quantity: int
    actor: uuid.UUID | None = None
    reason: str = ""


class Give(Request, frozen=True, kw_only=True):
    """Items come into the world."""

    op: ClassVar[ItemOp] = ItemOp.GIVE

    to: uuid.UUID
    kind: str
    props: bytes = b"{}"
    slot: int | None = None


class Move(Request, frozen=True, kw_only=True):
    """From a stack of one owner to another owner."""

    op: ClassVar[ItemOp] = ItemOp.MOVE

    item: uuid.UUID
    source: uuid.UUID
    """The inventory it must be in: who lost it in the meantime is refused."""
    to: uuid.UUID
    slot: int | None = None


class Split(Request, frozen=True, kw_only=True):
    """A part of a stack becomes one of its own."""

    op: ClassVar[ItemOp] = ItemOp.SPLIT

    item: uuid.UUID
    source: uuid.UUID
    slot: int | None = None


class Stack(Request, frozen=True, kw_only=True):
    """From one stack to another of the same kind and owner."""

    op: ClassVar[ItemOp] = ItemOp.STACK

    item: uuid.UUID
    source: uuid.UUID
    into: uuid.UUID


class Consume(Request, frozen=True, kw_only=True):
    """Items leave the world."""

    op: ClassVar[ItemOp] = ItemOp.CONSUME

    item: uuid.UUID
    source: uuid.UUID


AnyRequest = Give | Move | Split | Stack | Consume


class Receipt(msgspec.Struct, frozen=True):
    """What a request has done: the same words whenever it is asked again."""

    op: ItemOp
    kind: str
    quantity: int
    item: uuid.UUID | None
    """The stack that it came to; None when it was consumed."""


class InventoryStore(Protocol):
    """What is asked of a store. Every call may raise Unavailable; of `apply` that says that
    nothing was done, or that nobody can tell: ask again with the same id."""

    async def inventory_of(self, account: uuid.UUID) -> Inventory:
        """What an account has; empty at first. Raises Refused: there is no such account."""
        ...

    async def apply(self, request: AnyRequest) -> Receipt:
        """Do it once, and return when it is on disk, with its row of the audit log.

        Raises Refused with a sentence: there is no such item, not as many, no room.
        """
        ...


def check(request: AnyRequest) -> None:
    """Raise Refused with a sentence when this makes no sense."""
    if not 0 < request.quantity <= ITEM_QUANTITY_MAX:
        raise Refused(f"The number of items must lie from 1 to {ITEM_QUANTITY_MAX:,}.")
    if len(request.reason) > ITEM_REASON_CHARS_MAX:
        raise Refused(f"The reason is too long: at most {ITEM_REASON_CHARS_MAX} characters.")
    slot = None if isinstance(request, Stack | Consume) else request.slot
    if slot is not None and not 0 <= slot < ITEM_SLOTS_MAX:
        raise Refused(f"There is no such slot: they are counted from 0 to {ITEM_SLOTS_MAX - 1}.")
    if isinstance(request, Give):
        if not 1 <= len(request.kind) <= ITEM_KIND_CHARS_MAX:
            raise Refused("An item needs the name of its kind.")
        if len(request.props) > ITEM_PROPS_BYTES_MAX:
            raise Refused(f"The properties are too large: {ITEM_PROPS_BYTES_MAX} bytes at most.")
    if isinstance(request, Move) and request.source == request.to:
        raise Refused("It is there already: to arrange what one has, split or stack it.")
    if isinstance(request, Stack) and request.item == request.into:
        raise Refused("A stack cannot be put on itself.")


def source_of(request: AnyRequest) -> uuid.UUID | None:
    """The inventory that items are taken from."""
    return None if isinstance(request, Give) else request.source


def target_of(request: AnyRequest) -> uuid.UUID | None:
    """The inventory that items come to."""
    if isinstance(request, Consume):
        return None
    return request.to if isinstance(request, Give | Move) else request.source


def item_of(request: AnyRequest) -> uuid.UUID | None:
    """The stack that items are taken from."""
    return None if isinstance(request, Give) else request.item


OTHER_REQUEST = "This id was used for another request: ask again with a new one."
NO_INVENTORY = "One of the owners is not there any more."
NO_ITEM = "There is no such item here: look again at what is there."
NO_ROOM = "There is no room for another item there."
SLOT_TAKEN = "That slot is taken by something else."
NOT_ALIKE = "Only items of the same kind can be put together."
SPLIT_ALL = "All of it was asked for: to split, leave something."


def too_few(there: int) -> Refused:
    """Not as many as were asked for."""
    return Refused(f"There are only {there:,} of it.")

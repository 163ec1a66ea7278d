"""Who builds, and what their edits come to: the small pieces of `building`. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.editing import Author
from atrium_server.world.ledger import Ledger
from atrium_server.world.props import Change, Prop
from atrium_shared import edits
from atrium_shared.messages import Rights, SaveState
from atrium_shared.props import PropError, Sign, checked_properties, encode_properties

COST_BYTES = 1_200
"""What a change costs to keep until it is saved, besides its texts: its row, and its history."""
SENTENCES = {
    SaveState.RW: "Everything is saved again.",
    SaveState.DEGRADED: "Saving takes longer than usual; what you build is kept.",
    SaveState.READ_ONLY: "This world cannot be saved just now, so nothing can be built.",
    SaveState.FENCED: "Another server has taken over this world.",
}


@dataclass(slots=True)
class Person:
    """Who builds, as long as the session lasts."""

    session_id: int
    uuid: bytes
    author: Author
    ledger: Ledger
    changed: Budget
    """Counts the props that it changes."""


class Busy(Protocol):
    """Props that nobody may edit just now."""

    def __contains__(self, prop_id: bytes, /) -> bool: ...

    def give_up(self, prop_id: bytes, out: c.TickOutput) -> None:
        """Put it back where it was, if it is one of these."""
        ...


class Nothing:
    """Nothing is in a hand."""

    def __contains__(self, prop_id: bytes, /) -> bool:
        return False

    def give_up(self, prop_id: bytes, out: c.TickOutput) -> None:
        return None


def author_of(account: str, rights: int) -> Author:
    return Author(account, bool(rights & Rights.BUILD), bool(rights & Rights.MODERATE))


def cost_bytes(change: Change) -> int:
    """What a change costs to keep until it is saved, at most."""
    before, after = change.before, change.after
    old = 0 if before is None else _said_bytes(before)
    if after is None:
        new = 0
    elif before is not None and after.properties is before.properties:  # it was moved
        new = old + 4 * (len(after.pending) - len(before.pending))
    else:
        new = _said_bytes(after)
    return COST_BYTES + 2 * (old + new)


def _said_bytes(prop: Prop) -> int:
    return len(encode_properties(prop.properties)) + 4 * len(prop.pending)


def is_of_sign(change: Change) -> bool:
    """Whether it leaves a sign behind."""
    return change.after is not None and isinstance(change.after.properties, Sign)


def with_pending(change: Change) -> Change:
    """A change of a sign's text as one of its pending text."""
    before, after = change.before, change.after
    if after is None or not isinstance(after.properties, Sign):
        return change
    shown = before.properties.text if before and isinstance(before.properties, Sign) else ""
    wanted = after.properties.text
    pending = "" if wanted in ("", shown) else wanted
    properties = msgspec.structs.replace(after.properties, text=shown if wanted else "")
    after = msgspec.structs.replace(after, properties=properties, pending=pending)
    return Change(change.prop_id, before, after)


def with_verdict(
    prop: Prop | None, command: c.SignJudged
) -> tuple[Prop, bool, str] | None:
    """A sign with the verdict on its text, whether that is published now, and why not. None if it
    says something else by now, or passed once more."""
    if prop is None or not isinstance(prop.properties, Sign):
        return None
    properties, pending, reason = prop.properties, "", command.reason
    published = command.publish
    if prop.pending != command.asked:
        if properties.text != command.asked or (published and command.text == command.asked):
            return None
        pending = prop.pending
        properties = msgspec.structs.replace(properties, text="")  # unless it passes in part
    if published:
        try:
            properties = checked_properties(msgspec.structs.replace(properties, text=command.text))
        except PropError as error:
            published, reason = False, str(error)
    return msgspec.structs.replace(prop, properties=properties, pending=pending), published, reason


def word_of(edit: edits.Edit) -> str:
    """What the history calls an operation."""
    return type(edit).__name__.lower()

"""Changes of the house to a world that is running: roll-backs and restores, from lanes and pages.

They go through the inbox like everything else, a bounded number of props at a time, and who asked
waits for the ticks that make them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from atrium_server.world.commands import Amend, Amended, AnyCommand
from atrium_server.world.props import Change
from atrium_shared import limits
from atrium_shared.errors import Overload

RETRY_MS = 1_000


class Amendments:
    """Those of one world."""

    def __init__(self, offer: Callable[[AnyCommand], None]) -> None:
        self._offer = offer
        self._number = 0
        self._waiting: dict[int, trio.Event] = {}
        self._done: dict[int, Amended] = {}

    def report(self, amended: Sequence[Amended]) -> None:
        """These have been made in this tick."""
        for one in amended:
            if one.number in self._waiting:  # who asked may have gone
                self._done[one.number] = one
                self._waiting[one.number].set()

    def fail(self) -> None:
        """The world begins again: what it has not made yet it never will."""
        for event in self._waiting.values():
            event.set()

    async def make(self, op: str, author: str, changes: Sequence[Change]) -> Amended:
        """Make changes where the props still are as they say; `op` is what the history calls it.

        Raises Overload when the world was started again in the middle of it.
        """
        made = left_alone = 0
        changes = ordered(changes)
        for start in range(0, len(changes), limits.EDIT_CHANGES_MAX):
            some = tuple(changes[start : start + limits.EDIT_CHANGES_MAX])
            done = await self._make(Amend(self._next(), op, author, some))
            made += done.made
            left_alone += done.left_alone
        return Amended(0, made, left_alone)

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _make(self, command: Amend) -> Amended:
        event = self._waiting[command.number] = trio.Event()
        try:
            self._offer(command)
            await event.wait()
            if command.number not in self._done:
                raise Overload("The world was started again: ask anew.", RETRY_MS)
            return self._done[command.number]
        finally:
            del self._waiting[command.number]
            self._done.pop(command.number, None)


def ordered(changes: Sequence[Change]) -> list[Change]:
    """The same so that each part of it leaves a forest: groups are made before what is in them,
    and go after it.
    """
    of = {change.prop_id: change for change in changes}

    def depth(change: Change, *, of_before: bool) -> int:
        levels = 0
        prop = change.before if of_before else change.after
        while prop is not None and prop.group in of and levels <= limits.GROUP_DEPTH_MAX:
            change, levels = of[prop.group], levels + 1
            prop = change.before if of_before else change.after
        return levels

    made = [change for change in changes if change.before is None]
    gone = [change for change in changes if change.after is None]
    kept = [c for c in changes if c.before is not None and c.after is not None]
    return [
        *sorted(made, key=lambda change: depth(change, of_before=False)), *kept,
        *sorted(gone, key=lambda change: -depth(change, of_before=True)),
    ]

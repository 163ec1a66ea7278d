"""How a state was before some edits, and how one person's edits are taken back. PURE.

Theory of operation
-------------------
Edits come newest first, each as its changes. `Rewind` takes all of them back, one after the other,
and has then the state before the oldest that it was given: a change says what was there before it,
so nothing has to be computed.

`RollBack` is given the edits of one person only. Of each prop it takes back what that person wrote
for as long as it still stands: the present value is the one that the newest of these edits wrote,
the one before that edit is what an older one wrote, and so on. Where somebody else's value stands,
that stays, and the prop counts as a conflict if nothing of it could be taken back. What the house
did to a prop on somebody's behalf (it published the text of a sign) goes with what it was done to.

Whose account is gone owns nothing any more, not even in the past: `Departed` reads edits as if that
had always been so. The edit that took the owner away changes nothing then, stands in nobody's way,
and nothing that comes back belongs to somebody who is not there.

Changes that were chosen prop by prop need not leave a forest: a group may go that others have put
something into, or come no more for what comes back into it. `that_fit` leaves such changes out, one
round after the other, until the rest can be applied as one; in the worst case nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from atrium_server.world.props import Change, Prop
from atrium_shared import limits
from atrium_shared.props import Group

State = Mapping[bytes, Prop]


class Rewind:
    """Goes back from `now`, edit by edit; `then` is where it has come to."""

    def __init__(self) -> None:
        self.now: dict[bytes, Prop] = {}
        self.then: dict[bytes, Prop] = {}

    def present(self, props: Iterable[tuple[bytes, Prop]]) -> None:
        """More of the present; all of it comes before the first edit."""
        for prop_id, prop in props:
            self.now[prop_id] = self.then[prop_id] = prop

    def back(self, edit: Iterable[Change]) -> None:
        """Take the next older edit back."""
        for change in edit:
            if change.before is None:
                self.then.pop(change.prop_id, None)
            else:
                self.then[change.prop_id] = change.before

    def changes(self) -> list[Change]:
        """What makes `then` of `now`."""
        return difference(self.now, self.then)


class Departed:
    """The owners that are gone; edits are seen newest first, so those before know of them."""

    def __init__(self) -> None:
        self._owners: set[str] = set()

    def disowned(self, edit: Iterable[Change]) -> None:
        """This edit took the owner away from what it changed."""
        for change in edit:
            before, after = change.before, change.after
            if before is not None and after is not None and before.owner and not after.owner:
                self._owners.add(before.owner)

    def without(self, edit: Iterable[Change]) -> list[Change]:
        """The same changes, of props that none of them owns."""
        return [
            Change(change.prop_id, self._of(change.before), self._of(change.after))
            for change in edit
        ]

    def _of(self, prop: Prop | None) -> Prop | None:
        if prop is None or prop.owner not in self._owners:
            return prop
        return msgspec.structs.replace(prop, owner="")


class RollBack:
    """Takes back what one person wrote, where it still stands."""

    def __init__(self) -> None:
        self.now: dict[bytes, Prop] = {}
        self._wanted: dict[bytes, Prop | None] = {}
        self._published: dict[bytes, Prop | None] = {}
        """What stood before the house's own edits, until it is known whose that was."""
        self._overwritten: set[bytes] = set()

    def present(self, props: Iterable[tuple[bytes, Prop]]) -> None:
        """More of the present; all of it comes before the first edit."""
        self.now.update(props)

    def back(self, edit: Iterable[Change]) -> None:
        """Take the next older edit of this person back, as far as it stands."""
        for change in edit:
            prop_id = change.prop_id
            if prop_id in self._overwritten:
                continue
            if self._stands(prop_id) == change.after:
                self._wanted[prop_id] = change.before
                self._published.pop(prop_id, None)
            else:
                self._overwritten.add(prop_id)

    def through(self, edit: Iterable[Change]) -> None:
        """The next older edit is the house's own, on top of somebody's: it goes if that goes."""
        for change in edit:
            if self._stands(change.prop_id) == change.after:
                self._published[change.prop_id] = change.before

    def _stands(self, prop_id: bytes) -> Prop | None:
        for values in (self._published, self._wanted):
            if prop_id in values:
                return values[prop_id]
        return self.now.get(prop_id)

    def changes(self) -> tuple[list[Change], list[bytes]]:
        """What takes it back and leaves a forest; and the ids of props that had to be left."""
        wanted = [
            Change(prop_id, self.now.get(prop_id), prop)
            for prop_id, prop in sorted(self._wanted.items())
            if self.now.get(prop_id) != prop
        ]
        changes, left = that_fit(self.now, wanted)
        left += [prop_id for prop_id in self._overwritten if prop_id not in self._wanted]
        return changes, sorted(left)


def difference(now: State, then: State) -> list[Change]:
    """The changes that make `then` of `now`, by id."""
    return [
        Change(prop_id, now.get(prop_id), then.get(prop_id))
        for prop_id in sorted(now.keys() | then.keys())
        if now.get(prop_id) != then.get(prop_id)
    ]


def applied(now: State, changes: Iterable[Change]) -> dict[bytes, Prop]:
    """The state after the changes."""
    state = dict(now)
    for change in changes:
        if change.after is None:
            state.pop(change.prop_id, None)
        else:
            state[change.prop_id] = change.after
    return state


def misplaced(state: State) -> list[bytes]:
    """Ids of props that cannot be where they are: in no group, in themselves, or too deep."""
    levels: dict[bytes, int] = {}
    return [
        prop_id for prop_id in state
        if _level(state, prop_id, levels) > limits.GROUP_DEPTH_MAX
    ]


def that_fit(now: State, changes: list[Change]) -> tuple[list[Change], list[bytes]]:
    """Those of the changes that leave a forest together, and the ids of the others."""
    chosen = {change.prop_id: change for change in changes}
    left: list[bytes] = []
    while True:
        state = applied(now, chosen.values())
        at_fault = {
            one for prop_id in misplaced(state) for one in _to_blame(state, prop_id, chosen)
        }
        if not at_fault:
            return [*chosen.values()], left
        left += sorted(at_fault)
        for prop_id in at_fault:
            del chosen[prop_id]


_NOWHERE = 1_000_000
"""The level of what is in no group that there is, or in itself."""


def _level(state: State, prop_id: bytes, levels: dict[bytes, int]) -> int:
    """1 for what is in no group, one more within each group; what is found out is kept."""
    path: list[bytes] = []
    level = 0
    while prop_id not in levels:
        path.append(prop_id)
        levels[prop_id] = _NOWHERE  # and so it stays for what leads back here
        group = state[prop_id].group
        if not group:
            break
        holder = state.get(group)
        if holder is None or not isinstance(holder.properties, Group):
            level = _NOWHERE
            break
        prop_id = group
    else:
        level = levels[prop_id]
    for one in reversed(path):
        level = min(level + 1, _NOWHERE)
        levels[one] = level
    return levels[path[0]] if path else level


def _to_blame(state: State, prop_id: bytes, chosen: Mapping[bytes, Change]) -> list[bytes]:
    """The changes without which this prop might be in place; the nearest to it."""
    seen: set[bytes] = set()
    while prop_id and prop_id not in seen:
        if prop_id in chosen and _moves(chosen[prop_id]):
            return [prop_id]
        seen.add(prop_id)
        prop = state.get(prop_id)
        prop_id = b"" if prop is None else prop.group
    return []


def _moves(change: Change) -> bool:
    """Whether it lets something come or go, changes its group or what it is."""
    before, after = change.before, change.after
    return before is None or after is None or before.group != after.group or (
        type(before.properties) is not type(after.properties)
    )

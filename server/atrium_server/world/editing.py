"""The rules of editing: what an operation changes, or why it may not. PURE.

Theory of operation
-------------------
`Editor.plan` turns an operation into a list of changes against the present props, or raises
`RequestRefused`; nothing has happened yet then. `Editor.take` applies what was planned and
remembers it as the newest edit of its author.

*Who may.* Building needs the permission to build. What somebody else has made, and what belongs to
the world itself, is changed by moderators only; a locked prop by nobody before it is unlocked, by
whoever may change it.

*Undo* is a new edit: the reverse of the author's newest one, but only where what that wrote still
stands. Where somebody else has changed a prop since, or has put something into a group that would
go, that prop is left alone, and when nothing is left of the edit it is refused as a conflict. An
edit that was taken back can be done again until its author edits anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from atrium_server.world.past import Pasts
from atrium_server.world.props import Change, Prop, Props, is_uniform
from atrium_shared import edits, limits
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.props import (
    Group,
    PropError,
    Transform,
    checked_properties,
    checked_transform,
    kind_of,
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who edits."""

    account: str
    """Id of the account, or of the session for a guest; never empty."""
    may_build: bool = True
    may_moderate: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation comes to."""

    changes: list[Change]
    kind: str
    """`do`, `undo` or `redo`."""
    left_alone: int = 0
    """Props of an edit to be taken back that others have changed since."""


class Editor:
    """Edits the props of one world."""

    def __init__(self, props: Props, props_max: int = limits.PROPS_PER_WORLD_MAX) -> None:
        self.props = props
        self.props_max = props_max
        self.pasts = Pasts()

    def plan(self, author: Author, edit: edits.Edit) -> Plan:
        """What `edit` changes. Raises RequestRefused with a sentence."""
        if not author.may_build:
            raise _refused(ErrorCode.NOT_ALLOWED, "You may not build in this world.")
        match edit:
            case edits.Undo():
                return self._turned(author, "undo")
            case edits.Redo():
                return self._turned(author, "redo")
            case edits.Create():
                changes = self._create(author, edit)
            case edits.Place():
                prop = self._own(author, edit.prop_id)
                changes = [self._placed(edit.prop_id, prop, edit.transform)]
            case edits.Describe():
                changes = [self._described(author, edit)]
            case edits.Duplicate():
                changes = self._duplicate(author, edit)
            case edits.Delete():
                changes = self._delete(author, edit.prop_id)
            case edits.Attach():
                changes = self._attach(author, edit)
            case edits.Lock():
                prop = self._own(author, edit.prop_id, even_locked=True)
                after = msgspec.structs.replace(prop, is_locked=edit.is_locked)
                changes = [Change(edit.prop_id, prop, after)]
        return Plan([change for change in changes if change.before != change.after], "do")

    def take(self, author: Author, plan: Plan) -> None:
        """Do what was planned against the present props. What changes nothing leaves nothing to be
        taken back, and hides nothing that came before it.
        """
        if plan.changes:
            self.props.apply(plan.changes)
            self.pasts.remember(author.account, plan.kind, tuple(plan.changes))

    def standing(self, wanted: list[Change]) -> list[Change]:
        """Of these changes, those that can be made together as things are now."""
        return self._that_still_stand(wanted)

    # --- operations ----------------------------------------------------------------------

    def _create(self, author: Author, edit: edits.Create) -> list[Change]:
        self._needs_room(1)
        self._needs_no(edit.prop_id)
        self._needs_group(author, edit.group, levels=1)
        self._needs_place_in(edit.group, 1)
        prop = Prop(
            _transform(edit.transform), _properties(edit.properties), edit.group, author.account
        )
        _needs_even_scale(prop)
        return [Change(edit.prop_id, None, prop)]

    def _placed(self, prop_id: bytes, prop: Prop, transform: Transform) -> Change:
        after = msgspec.structs.replace(prop, transform=_transform(transform))
        _needs_even_scale(after)
        return Change(prop_id, prop, after)

    def _described(self, author: Author, edit: edits.Describe) -> Change:
        prop = self._own(author, edit.prop_id)
        if kind_of(edit.properties) != kind_of(prop.properties):
            raise _refused(
                ErrorCode.BAD_EDIT, "A prop stays of its kind: delete it and make another."
            )
        after = msgspec.structs.replace(prop, properties=_properties(edit.properties))
        return Change(edit.prop_id, prop, after)

    def _duplicate(self, author: Author, edit: edits.Duplicate) -> list[Change]:
        original = self._there(edit.prop_id)
        self._needs_no(edit.copy_id)
        tree = self._needs_few(self.props.tree(edit.prop_id, limits.EDIT_CHANGES_MAX))
        self._needs_room(len(tree))
        if original.group:
            self._needs_group(author, original.group, levels=0)
            self._needs_place_in(original.group, len(tree))
        names = {one: _copy_id(edit.copy_id, one) for one in tree}
        names[edit.prop_id] = edit.copy_id
        changes: list[Change] = []
        for one in tree:
            prop = self._there(one)
            is_root = one == edit.prop_id
            copy = msgspec.structs.replace(
                prop, owner=author.account, is_locked=False,
                group=prop.group if is_root else names[prop.group],
                transform=_transform(edit.transform) if is_root else prop.transform,
            )
            _needs_even_scale(copy)
            self._needs_no(names[one])
            changes.append(Change(names[one], None, copy))
        return changes

    def _delete(self, author: Author, prop_id: bytes) -> list[Change]:
        self._there(prop_id)
        tree = self._needs_few(self.props.tree(prop_id, limits.EDIT_CHANGES_MAX))
        return [Change(one, self._own(author, one), None) for one in tree]

    def _attach(self, author: Author, edit: edits.Attach) -> list[Change]:
        chosen = list(dict.fromkeys(edit.prop_ids))
        changes: list[Change] = []
        coming = 0
        around = {edit.group, *self.props.above(edit.group)}
        for prop_id in chosen:
            prop = self._own(author, prop_id)
            if edit.group and prop_id in around:
                raise _refused(ErrorCode.BAD_EDIT, "A group cannot be put into itself.")
            if prop.group != edit.group:
                coming += len(self.props.tree(prop_id, limits.EDIT_CHANGES_MAX))
            self._needs_group(author, edit.group, levels=self._levels(prop_id))
            seen = self.props.in_frame_of(edit.group, self.props.seen_at(prop_id))
            after = msgspec.structs.replace(prop, group=edit.group, transform=_bounded(seen))
            changes.append(Change(prop_id, prop, after))
        self._needs_place_in(edit.group, coming)
        if any(not set(chosen).isdisjoint(self.props.above(one)) for one in chosen):
            raise _refused(
                ErrorCode.BAD_EDIT, "Choose a group or what is in it, but not both at once."
            )
        return changes

    def _turned(self, author: Author, kind: str) -> Plan:
        past = self.pasts.get(author.account)
        made = past.of(kind)
        if not made:
            raise _refused(ErrorCode.NOT_FOUND, f"There is nothing to {kind}.")
        wanted = [change.reverse for change in made[-1]]
        changes = self._that_still_stand(wanted)
        if not changes:
            past.drop(kind)  # it will never stand again, and hides what came before it
            raise _refused(
                ErrorCode.CONFLICT, "Others have changed it since: it was left as it is."
            )
        self._needs_room(sum(change.before is None for change in changes))
        return Plan(changes, kind, len(wanted) - len(changes))

    def _that_still_stand(self, wanted: list[Change]) -> list[Change]:
        """Those whose prop is still as it was written, and that leave a forest."""
        changes = [change for change in wanted if self.props.fits([change])]
        while True:
            going = {change.prop_id for change in changes if change.after is None}
            coming = {change.prop_id for change in changes if change.before is None}
            staying = [c for c in changes if self._leaves_a_forest(c, going, coming)]
            if len(staying) == len(changes):
                return changes
            changes = staying

    def _leaves_a_forest(self, change: Change, going: set[bytes], coming: set[bytes]) -> bool:
        if change.after is None:
            return all(one in going for one in self.props.inside(change.prop_id))
        group = change.after.group
        if not group:
            return True
        if group in going or (self.props.get(group) is None and group not in coming):
            return False
        if group in coming:
            return True
        return change.prop_id not in (group, *self.props.above(group)) and (
            self.props.depth(group) + self._levels(change.prop_id) <= limits.GROUP_DEPTH_MAX
        )

    # --- what must hold ------------------------------------------------------------------

    def _there(self, prop_id: bytes) -> Prop:
        prop = self.props.get(prop_id)
        if prop is None:
            raise _refused(ErrorCode.NOT_FOUND, "It is not there (any more).")
        return prop

    def _own(self, author: Author, prop_id: bytes, *, even_locked: bool = False) -> Prop:
        """The prop, if this author may change it."""
        prop = self._there(prop_id)
        if prop.owner != author.account and not author.may_moderate:
            raise _refused(ErrorCode.NOT_ALLOWED, "It belongs to somebody else.")
        if prop.is_locked and not even_locked:
            raise _refused(ErrorCode.NOT_ALLOWED, "It is locked: unlock it first.")
        for group in self.props.above(prop_id):
            if self._there(group).is_locked:
                raise _refused(ErrorCode.NOT_ALLOWED, "Its group is locked: unlock that first.")
        return prop

    def _needs_no(self, prop_id: bytes) -> None:
        if self.props.get(prop_id) is not None:
            raise _refused(ErrorCode.TAKEN, "There is a prop of this id already.")

    def _needs_room(self, more: int) -> None:
        if len(self.props) + more > self.props_max:
            raise _refused(
                ErrorCode.WORLD_FULL, f"This world holds at most {self.props_max:,} props."
            )

    def _needs_group(self, author: Author, group: bytes, levels: int) -> None:
        """Props of `levels` levels may be put into `group`."""
        if not group:
            return
        if not isinstance(self._own(author, group).properties, Group):
            raise _refused(ErrorCode.BAD_EDIT, "Only a group can hold other props.")
        if self.props.depth(group) + levels > limits.GROUP_DEPTH_MAX:
            raise _refused(
                ErrorCode.BAD_EDIT, f"Groups are at most {limits.GROUP_DEPTH_MAX} deep."
            )

    def _needs_place_in(self, group: bytes, more: int) -> None:
        """A group, with all that is in it and around it, stays small enough for one edit."""
        if group and more:
            top = [group, *self.props.above(group)][-1]
            if len(self.props.tree(top, limits.EDIT_CHANGES_MAX)) + more > limits.EDIT_CHANGES_MAX:
                raise _refused(
                    ErrorCode.BAD_EDIT,
                    f"A group holds at most {limits.EDIT_CHANGES_MAX - 1} props, those in its"
                    " groups counted.",
                )

    def _needs_few(self, tree: list[bytes]) -> list[bytes]:
        if len(tree) > limits.EDIT_CHANGES_MAX:
            raise _refused(
                ErrorCode.BAD_EDIT,
                f"One edit changes at most {limits.EDIT_CHANGES_MAX} props: take a smaller group.",
            )
        return tree

    def _levels(self, prop_id: bytes) -> int:
        """1 for a prop, one more for each level of what is in it."""
        if self.props.get(prop_id) is None:
            return 1
        return 1 + max(map(self._levels, self.props.inside(prop_id)), default=0)


def _refused(code: ErrorCode, sentence: str) -> RequestRefused:
    return RequestRefused(code, sentence)


def _properties(properties: edits.Properties) -> edits.Properties:
    try:
        return checked_properties(properties)
    except PropError as error:
        raise _refused(ErrorCode.BAD_EDIT, str(error)) from None


def _transform(transform: Transform) -> Transform:
    try:
        return _bounded(checked_transform(transform))
    except PropError as error:
        raise _refused(ErrorCode.BAD_EDIT, str(error)) from None


def _bounded(transform: Transform) -> Transform:
    """The same if it is one that may be said."""
    low, high, far = limits.PROP_SCALE_MIN, limits.PROP_SCALE_MAX, limits.WORLD_EXTENT_M_MAX
    if min(transform.scale) < low or max(transform.scale) > high:
        raise _refused(ErrorCode.BAD_EDIT, f"It would be scaled beyond {low} to {high}.")
    if min(transform.position_m) < -far or max(transform.position_m) > far:
        raise _refused(ErrorCode.BAD_EDIT, "It would be outside of every world.")
    return transform


def _needs_even_scale(prop: Prop) -> None:
    if isinstance(prop.properties, Group) and not is_uniform(prop.transform):
        raise _refused(ErrorCode.BAD_EDIT, "A group is scaled the same on all axes.")


def _copy_id(copy_id: bytes, prop_id: bytes) -> bytes:
    """The id of the copy of what is in a group: the same however often it is computed."""
    return hashlib.blake2b(copy_id + prop_id, digest_size=16).digest()

"""What authors can take back, and do again. PURE.

The newest edits of each author, in the order in which they were made. They are tuples of frozen
records, so they cost the garbage collector nothing; how many changes they hold is counted, not
summed up anew with each edit.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from atrium_server.world.props import Change
from atrium_shared import limits

AUTHORS_MAX = 4_096
"""Authors whose edits can be taken back; the one who edited the longest ago is forgotten first."""

MadeEdit = tuple[Change, ...]
"""All that one edit has changed."""
SavedPast = tuple[str, list[MadeEdit], list[MadeEdit]]
"""An author, what can be taken back, and what can be done again; the newest last."""


def _no_edits() -> deque[MadeEdit]:
    return deque(maxlen=limits.UNDO_EDITS_MAX)


@dataclass(slots=True)
class Past:
    """The edits of one author."""

    done: deque[MadeEdit] = field(default_factory=_no_edits)
    undone: deque[MadeEdit] = field(default_factory=_no_edits)
    changes: int = 0
    """All that is in both."""

    @classmethod
    def restored(cls, done: Iterable[MadeEdit], undone: Iterable[MadeEdit]) -> Past:
        """The newest of each last."""
        past = cls()
        past.done.extend(done)
        past.undone.extend(undone)
        past.changes = sum(map(len, [*past.done, *past.undone]))
        return past

    def of(self, kind: str) -> deque[MadeEdit]:
        """What `undo` or `redo` would turn."""
        return self.done if kind == "undo" else self.undone

    def did(self, edit: MadeEdit) -> None:
        """A new edit: what was taken back before it cannot be done again."""
        self.changes -= sum(map(len, self.undone))
        self.undone.clear()
        self._put(self.done, edit)

    def turned(self, kind: str, edit: MadeEdit) -> None:
        """The newest was taken back or done again, by `edit`."""
        self.drop(kind)
        self._put(self.undone if kind == "undo" else self.done, edit)

    def drop(self, kind: str) -> None:
        """The newest will never be turned again. After a start the oldest are not known."""
        if self.of(kind):
            self.changes -= len(self.of(kind).pop())

    def replaced(self, new: Change) -> None:
        """Another state was put in the place of one that may have been written here."""
        for edits in (self.done, self.undone):
            for place, edit in enumerate(edits):
                if any(one.prop_id == new.prop_id for one in edit):
                    edits[place] = tuple(_with_other_end(one, new) for one in edit)

    def _put(self, stack: deque[MadeEdit], edit: MadeEdit) -> None:
        """The newest of a stack. When both are too much the oldest of this one go."""
        if len(stack) == limits.UNDO_EDITS_MAX:
            self.changes -= len(stack.popleft())
        stack.append(edit)
        self.changes += len(edit)
        while self.changes > limits.UNDO_CHANGES_MAX and len(stack) > 1:
            self.changes -= len(stack.popleft())


class Pasts:
    """The edits of all authors of a world."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Past] = OrderedDict()

    def get(self, account: str) -> Past:
        """What is known of an author; empty for one who has done nothing."""
        return self._of.get(account) or Past()

    def remember(self, account: str, kind: str, edit: MadeEdit) -> None:
        """An edit of `kind` (`do`, `undo`, `redo`) was made: the newest of this author."""
        past = self._of.get(account)
        if past is None:
            past = self._of[account] = Past()
        self._of.move_to_end(account)
        while len(self._of) > AUTHORS_MAX:
            self._of.popitem(last=False)
        if kind == "do":
            past.did(edit)
        else:
            past.turned(kind, edit)

    def replaced(self, new: Change, accounts: Iterable[str]) -> None:
        """As `Past.replaced`, for these authors."""
        for account in accounts:
            self.get(account).replaced(new)

    def forget(self, account: str) -> None:
        """An author is gone, with all that could be taken back."""
        self._of.pop(account, None)

    @property
    def changes(self) -> int:
        """How many changes all of them hold."""
        return sum(past.changes for past in self._of.values())

    def save(self) -> list[SavedPast]:
        """All of it, for a checkpoint."""
        return [(who, list(past.done), list(past.undone)) for who, past in self._of.items()]

    def restore(self, saved: Iterable[SavedPast]) -> None:
        """What `save` has told."""
        for account, done, undone in saved:
            self._of[account] = Past.restored(done, undone)


def _with_other_end(one: Change, new: Change) -> Change:
    """`one`, where it led to (or came from) the state that `new` has replaced."""
    if one.prop_id != new.prop_id:
        return one
    before = new.after if one.before == new.before else one.before
    after = new.after if one.after == new.before else one.after
    return Change(one.prop_id, before, after)

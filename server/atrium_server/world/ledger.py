"""What became of the edits of one session, so that none is done twice. PURE.

A client that lost its link asks again for what was not answered, with the same request ids. The
newest EDITS_REMEMBERED_MAX outcomes are kept; an id that is older than all of them is not done,
because nobody knows any more whether it was. Ids of edits therefore rise.
"""

from __future__ import annotations

from collections.abc import Iterable

from atrium_shared import limits
from atrium_shared.messages import EditState, EditStatus

SavedLedger = tuple[int, dict[int, EditStatus]]
"""The highest id that may be forgotten, and the outcomes that are remembered, by request id, the
oldest first. A dict, because the garbage collector leaves one alone that holds nothing it knows.
"""
_OPEN = EditState.ACCEPTED


class Ledger:
    """The outcomes of one session."""

    __slots__ = ("_floor", "_of", "unanswered")

    def __init__(self, durable: Iterable[int] = (), floor: int = -1) -> None:
        """`durable`: requests that are known to be saved, from before the server began; no other
        one up to `floor` is new.
        """
        self._of: dict[int, EditStatus] = {}
        self._floor = floor
        """No id up to this one is remembered, but for those that are there."""
        self.unanswered = 0
        """Edits that wait to be saved."""
        known = sorted(durable)
        if len(known) >= limits.EDITS_REMEMBERED_MAX:  # there may be older ones
            self._floor = max(self._floor, known[0])
        for request_id in known:
            self.put(EditStatus(request_id, EditState.DURABLE, 0, "", 0))

    @property
    def highest(self) -> int:
        """The highest id that was ever asked."""
        return max(self._floor, max(self._of, default=-1))

    def get(self, request_id: int) -> EditStatus | None:
        """What was answered last, if it is remembered."""
        return self._of.get(request_id)

    def has_forgotten(self, request_id: int) -> bool:
        """Whether the outcome may have been known once."""
        return request_id <= self._floor and request_id not in self._of

    def put(self, status: EditStatus) -> None:
        """Remember an outcome, or what has become of it since."""
        before = self._of.pop(status.request_id, None)
        self.unanswered += (status.state is _OPEN) - (before is not None and before.state is _OPEN)
        self._of[status.request_id] = status
        if len(self._of) > limits.EDITS_REMEMBERED_MAX:
            # What still waits for its answer is never forgotten; it is few.
            oldest = next(one for one, told in self._of.items() if told.state is not _OPEN)
            del self._of[oldest]
            self._floor = max(self._floor, oldest)

    def save(self) -> SavedLedger:
        """All of it, for a checkpoint."""
        return self._floor, self._of.copy()

    @classmethod
    def restore(cls, saved: SavedLedger) -> Ledger:
        """What `save` has told."""
        ledger = cls()
        for status in saved[1].values():
            ledger.put(status)
        ledger._floor = saved[0]
        return ledger

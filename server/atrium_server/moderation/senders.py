"""What each sender has written lately: how much, how alike, and in how many places. PURE.

Theory of operation
-------------------
Of each line three numbers are kept, and nothing that could be read: when it came, the two hashes of
its letters (`spam_features`) and a hash of the channel. A sender has a ring of the last LINES_KEPT;
the rings of all are rows of arrays with room for a set number of senders, and whoever has been
silent longest gives way to a new one. A kernel compares a line with its sender's ring.

Two lines are alike if their letters are the same, or if they are long enough for the simhash to
mean something and it differs in NEAR_BITS at most. What is older than WINDOW_S does not count, and
`forget_before` removes who has been silent since. A sender whose data is erased is forgotten at
once (`forget`).

Time is the caller's and goes forward; a line that seems to come before another counts as coming
with it.
"""

# Kernels are compiled for the types of their signature; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_server.moderation.spam_features import Lines

SENDERS_MAX: Final = 8_192
LINES_KEPT: Final = 32
WINDOW_S: Final = 60.0
SHORT_WINDOW_S: Final = 10.0
NEAR_BITS: Final = 10


class Habit(IntEnum):
    """The columns of what is known of a sender when a line comes."""

    LINES_SHORT = 0
    """In the last SHORT_WINDOW_S, this one among them."""
    LINES = 1
    """In the last WINDOW_S, this one among them."""
    ALIKE = 2
    """Of those before this one: how many are alike."""
    CHANNELS = 3
    """In how many channels it and its like were said."""


_CHANNELS_COUNTED: Final = 4
_LINES_SHORT, _LINES, _ALIKE, _CHANNELS = map(int, Habit)


@kernel(
    "void(int64[::1], float64[::1], uint64[::1], uint64[::1], boolean[::1], uint32[::1],"
    " float64[:,::1], uint64[:,:,::1], uint32[:,::1], int64[::1], uint32[::1], int32[:,::1])",
    nogil=True,
)
def _remember(
    slots, at_s, exact, near, are_long, channels, times, hashes, places, heads, told, habits
):
    """Compare each line with the ring of its sender, then put it there. `told` is scratch."""
    for row in range(slots.size):
        habit = habits[row]
        habit[:] = 0
        slot = slots[row]
        if slot < 0:
            habit[_LINES_SHORT] = habit[_LINES] = habit[_CHANNELS] = 1
            continue
        told[0] = channels[row]
        told_count = 1
        for k in range(LINES_KEPT):
            age = at_s[row] - times[slot, k]
            if age > WINDOW_S:
                continue
            habit[_LINES] += 1
            habit[_LINES_SHORT] += int(age <= SHORT_WINDOW_S)
            alike = hashes[slot, k, 0] == exact[row]
            if not alike and are_long[row]:
                differing = hashes[slot, k, 1] ^ near[row]
                bits = 0
                while differing != np.uint64(0) and bits <= NEAR_BITS:
                    differing &= differing - np.uint64(1)
                    bits += 1
                alike = bits <= NEAR_BITS
            if not alike:
                continue
            habit[_ALIKE] += 1
            is_new = True
            for j in range(told_count):
                is_new = is_new and told[j] != places[slot, k]
            if is_new and told_count < _CHANNELS_COUNTED:
                told[told_count] = places[slot, k]
                told_count += 1
        habit[_CHANNELS] = told_count
        habit[_LINES] += 1
        habit[_LINES_SHORT] += 1
        at = heads[slot]
        times[slot, at] = at_s[row]
        hashes[slot, at, 0] = exact[row]
        hashes[slot, at, 1] = near[row]
        places[slot, at] = channels[row]
        heads[slot] = (at + 1) % LINES_KEPT


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the lines of a batch come from; as many of each as there are lines."""

    whos: Sequence[str]
    """The sender of each; empty for nobody, of whom nothing is kept."""
    channels: Sequence[str]
    at_s: Sequence[float]


class Senders:
    """The memory of one thread. Its size is set when it is made."""

    def __init__(self, senders_max: int = SENDERS_MAX) -> None:
        self._slots: dict[str, int] = {}  # who spoke last is last
        self._free = list(range(senders_max - 1, -1, -1))
        self._last_s = np.zeros(senders_max, np.float64)
        self._times = np.full((senders_max, LINES_KEPT), -np.inf, np.float64)
        self._hashes = np.zeros((senders_max, LINES_KEPT, 2), np.uint64)
        self._places = np.zeros((senders_max, LINES_KEPT), np.uint32)
        self._heads = np.zeros(senders_max, np.int64)
        self._told = np.zeros(_CHANNELS_COUNTED, np.uint32)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def bytes_kept(self) -> int:
        """The size of all arrays, which never changes."""
        arrays = (self._last_s, self._times, self._hashes, self._places, self._heads)
        return sum(array.nbytes for array in arrays)

    def seen(self, lines: Lines, origins: Origins) -> npt.NDArray[np.int32]:
        """What is known of each line's sender, a row of `Habit` each; and remember the line."""
        habits = np.empty((len(origins.whos), len(Habit)), np.int32)
        # A batch from more senders than there is room for is remembered in parts.
        for start in range(0, len(origins.whos), len(self._last_s)):
            self._seen(lines, origins, habits, slice(start, start + len(self._last_s)))
        return habits

    def _seen(
        self, lines: Lines, origins: Origins, habits: npt.NDArray[np.int32], part: slice
    ) -> None:
        at_s = np.array(origins.at_s[part], np.float64)
        slots = np.empty(len(at_s), np.int64)
        self._take_room(set(origins.whos[part]))
        for row, who in enumerate(origins.whos[part]):
            slots[row] = self._slot(who, at_s[row]) if who else -1
        channels = np.array([zlib.crc32(each.encode("utf-8", "surrogatepass"))
                             for each in origins.channels[part]], np.uint32)  # fmt: skip
        _remember(
            slots, at_s, lines.exact[part], lines.near[part],
            np.ascontiguousarray(lines.are_long[part]), channels,
            self._times, self._hashes, self._places, self._heads, self._told, habits[part],
        )  # fmt: skip

    def _take_room(self, whos: Iterable[str]) -> None:
        """Make room for those of a batch who are new, without taking it from the others of it."""
        mine = set(whos) - {""}
        for who in mine & self._slots.keys():
            self._slots[who] = self._slots.pop(who)
        for _ in range(len(mine - self._slots.keys()) - len(self._free)):
            self._release(next(iter(self._slots)))

    def _slot(self, who: str, at_s: float) -> int:
        slot = self._slots.pop(who, None)
        if slot is None:
            slot = self._free.pop()
        self._slots[who] = slot
        self._last_s[slot] = max(self._last_s[slot], at_s)
        return slot

    def _release(self, who: str) -> None:
        slot = self._slots.pop(who)
        self._last_s[slot] = 0.0
        self._times[slot] = -np.inf
        self._heads[slot] = 0
        self._hashes[slot] = 0
        self._places[slot] = 0
        self._free.append(slot)

    def forget(self, who: str) -> None:
        """Keep nothing of this sender; of one who is not known there is nothing."""
        if who in self._slots:
            self._release(who)

    def forget_before(self, now_s: float) -> None:
        """Keep nothing of those who have been silent for as long as a line counts."""
        silent = [who for who, slot in self._slots.items()
                  if now_s - self._last_s[slot] > WINDOW_S]  # fmt: skip
        for who in silent:
            self._release(who)

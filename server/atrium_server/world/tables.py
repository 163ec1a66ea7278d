"""The struct-of-arrays tables of a world: everything that has a place, one slot each. PURE.

Slots below `avatars_max` belong to the avatars of sessions, and double as the rows of viewers in
replication; those above are for what the world itself moves. A freed slot is not given out again in
the tick that freed it, because poses of its last owner may still lie in the inbox; an entity id is
never given out twice.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from atrium_server.frame import ENTER_TAIL_BYTES_MAX, Apart, PublishedFrame, enter_tail
from atrium_server.world.movement import MoveState, PoseTables
from atrium_shared.messages import EntityKind


class Tables:
    """All entities of one world; `avatars_max` slots."""

    def __init__(self, avatars_max: int) -> None:
        n = avatars_max
        self.alive = np.zeros(n, np.uint8)
        self.entity_ids = np.zeros(n, np.uint32)
        self.poses = PoseTables.empty(n)
        self.moves = MoveState.empty(n)
        self.sessions = np.full(n, -1, np.int64)
        self.boost = np.ones(n, np.float32)
        self.enter_tails = np.zeros((n, ENTER_TAIL_BYTES_MAX), np.uint8)
        self.enter_lengths = np.zeros(n, np.int32)
        self.names: list[str] = [""] * n
        self.avatars: list[str] = [""] * n
        self.high = 0
        self._free: deque[int] = deque(range(n))
        self._freed_now: list[int] = []
        self._next_id = 1

    @property
    def has_room(self) -> bool:
        """Whether `add` has a slot to give in this tick."""
        return bool(self._free)

    def add(self, session_id: int, name: str, avatar: str) -> int:
        """A slot for the avatar of a session. Raises IndexError when there is none in this tick."""
        slot = self._free.popleft()
        self.alive[slot] = 1
        self.entity_ids[slot] = self._next_id
        self.sessions[slot] = session_id
        self.names[slot] = name
        self.dress(slot, avatar)
        self.poses.rows[slot] = 0
        self.poses.extras[slot] = 0
        self.poses.parts[slot] = 0
        self.boost[slot] = 1.0
        self.moves.forget_seq(slot)
        self._next_id += 1
        self.high = max(self.high, slot + 1)
        return slot

    def dress(self, slot: int, avatar: str) -> None:
        """What who enters this entity from now on is told of its looks."""
        self.avatars[slot] = avatar
        entity_id = int(self.entity_ids[slot])
        tail = enter_tail(entity_id, EntityKind.AVATAR, self.names[slot], avatar)
        self.enter_tails[slot, : len(tail)] = np.frombuffer(tail, np.uint8)
        self.enter_lengths[slot] = len(tail)

    def remove(self, slot: int) -> None:
        """The entity is gone; the slot is free from the next tick on."""
        self.alive[slot] = 0
        self.sessions[slot] = -1
        self.names[slot] = self.avatars[slot] = ""
        self._freed_now.append(slot)

    def end_tick(self) -> None:
        """Slots freed in this tick may be given out again."""
        # Low slots first keeps `high`, and with it all loops over slots, short.
        if self._freed_now:
            self._free = deque(sorted([*self._free, *self._freed_now]))
            self._freed_now.clear()
            while self.high and not self.alive[self.high - 1]:
                self.high -= 1

    def frame(self, tick: int, apart: Apart, hidden: npt.NDArray[np.uint8]) -> PublishedFrame:
        """The published view of these tables; valid until the next tick.

        `hidden` are slots (1) that nobody outside is to know of.
        """
        alive = self.alive & ~hidden if hidden.any() else self.alive
        return PublishedFrame(
            tick=tick, high=self.high, alive=alive, entity_ids=self.entity_ids,
            rows=self.poses.rows, extras=self.poses.extras, parts=self.poses.parts,
            seqs=self.moves.seq, boost=self.boost, enter_tails=self.enter_tails,
            enter_lengths=self.enter_lengths, apart=apart,
        )

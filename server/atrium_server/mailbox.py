"""What waits for a world's next tick: bounded, swapped out whole by `drain`. PURE.

Everybody who wants something of a world puts it here; only the host takes it out. Commands that do
not fit are refused to whoever brings them; poses that do not fit are dropped and counted, for
a newer one is on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atrium_server.world.commands import AnyCommand
from atrium_server.world.movement import PoseBatch
from atrium_shared import limits, pose

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drained:
    """The inputs of one tick. The arrays are valid until the next `drain`."""

    commands: list[AnyCommand]
    poses: PoseBatch
    ack_slots: I32
    ack_ticks: I64


class Inbox:
    """Inputs of one world between two ticks."""

    def __init__(self, slots: int) -> None:
        self.poses_max = max(4096, 4 * slots)
        self.poses_dropped = 0
        self._commands: list[AnyCommand] = []
        self._acks: list[tuple[int, int]] = []
        self._fill = self._make()
        self._other = self._make()
        self._count = 0

    def _make(self) -> PoseBatch:
        n = self.poses_max
        return PoseBatch(
            np.zeros(n, np.int32), np.zeros(n, np.uint32), np.zeros(n, np.uint32),
            np.zeros((n, pose.COLUMNS), np.int32), np.zeros(n, np.uint8),
            np.zeros((n, pose.EXTRA_BYTES), np.uint8),
        )

    def offer(self, command: AnyCommand) -> bool:
        """Queue a command for the next tick; False when there is no room."""
        if len(self._commands) >= limits.INBOX_COMMANDS_MAX:
            return False
        self._commands.append(command)
        return True

    def must(self, command: AnyCommand) -> None:
        """Queue a command of the house itself, of which there is at most one per seat."""
        self._commands.append(command)

    def offer_ack(self, slot: int, tick: int) -> None:
        """The viewer in `slot`, who sends no poses, has decoded `tick`."""
        if len(self._acks) < self.poses_max:
            self._acks.append((slot, tick))

    def offer_poses(self, batch: PoseBatch) -> None:
        """Queue poses with their acks; what has no room is dropped and counted."""
        n = min(len(batch.slots), self.poses_max - self._count)
        self.poses_dropped += len(batch.slots) - n
        at = slice(self._count, self._count + n)
        poses = self._fill
        poses.slots[at] = batch.slots[:n]
        poses.seqs[at] = batch.seqs[:n]
        poses.acks[at] = batch.acks[:n]
        poses.rows[at] = batch.rows[:n]
        poses.parts[at] = batch.parts[:n]
        if (batch.parts[:n] & 56).any():
            poses.extras[at] = batch.extras[:n]
        self._count += n

    def drain(self) -> Drained:
        """Take everything that has come since the last tick."""
        poses = self._fill
        n = self._count
        batch = PoseBatch(
            poses.slots[:n], poses.seqs[:n], poses.acks[:n], poses.rows[:n], poses.parts[:n],
            poses.extras[:n],
        )
        slots, ticks = batch.slots, batch.acks.astype(np.int64)
        if self._acks:
            more = np.array(self._acks, np.int64)
            slots = np.concatenate([slots, more[:, 0].astype(np.int32)])
            ticks = np.concatenate([ticks, more[:, 1]])
        drained = Drained(self._commands, batch, slots, ticks)
        self._commands, self._acks, self._count = [], [], 0
        self._fill, self._other = self._other, self._fill
        return drained

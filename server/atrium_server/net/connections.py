"""The numbered connections, and the columns by which the hot path knows them.

A connection's *number* is its row in every column, from the handshake to the end, and then somebody
else's. That is safe because a number is given out only between two passes of the pump, when nothing
that was received from its old owner is outstanding, and because whoever keeps a number (a world) is
told when its owner goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from atrium_server.net.connection import Arrival, Connection
from atrium_shared import limits


class Connections:
    """All connections of the gateway; `n` is how many there can be."""

    def __init__(self, n: int) -> None:
        self._of: list[Connection | None] = [None] * n
        self._free = deque(range(n))
        self.in_use = np.zeros(n, np.bool_)
        self.fast_open = np.zeros(n, np.uint8)
        """Exact pose frames may be decoded without the protocol object."""
        self.door_of = np.full(n, -1, np.int32)
        """Index of the world that it is in; -1 for none."""
        self.slot_of = np.full(n, -1, np.int32)
        self.epoch = np.zeros(n, np.uint8)
        """`pose.Flags.EPOCH` of the poses that count."""
        self.acks_void = np.zeros(n, np.bool_)
        """It came from another world, and no pose has shown yet that it knows: an `Ack` may be
        about the ticks of that other world."""
        self.heard_at = np.zeros(n, np.float64)
        self.poses = np.zeros(n, np.int32)
        """Poses decoded in this second."""
        self.strikes = np.zeros(n, np.int32)
        """Seconds on end with too many poses."""
        self.has_tail = np.zeros(n, np.bool_)
        self.closing = np.zeros(n, np.bool_)
        """It has been sent a close frame, or will be in this pass: no snapshot may follow."""
        self.ciphered = np.zeros(n, np.bool_)
        self.ciphers = 0
        """How many are ciphered."""
        self.pending = np.zeros(n, np.int32)
        """Bytes of reliable messages that wait, urgent ones and talk together."""

    def __len__(self) -> int:
        return len(self._of) - len(self._free)

    def __iter__(self) -> Iterator[Connection]:
        """Those there are now; they may be removed meanwhile."""
        return iter([connection for connection in self._of if connection is not None])

    def to_look_after(self, now: float) -> list[Connection]:
        """Those with whom something may be wrong: once a second, all of them in bulk.

        Whoever is in a world, was heard of late and does not say too much is not among them.
        """
        self.strikes += 1
        self.strikes[self.poses <= limits.MESSAGES_PER_S_MAX] = 0
        self.poses[:] = 0
        suspects = (self.door_of < 0) | (now - self.heard_at > limits.SILENCE_PING_S)
        suspects |= self.strikes > 0
        return [self.at(number) for number in np.flatnonzero(suspects & self.in_use).tolist()]

    def find(self, number: int) -> Connection | None:
        return self._of[number]

    def at(self, number: int) -> Connection:
        """The connection of a number that is known to be in use."""
        connection = self._of[number]
        assert connection is not None
        return connection

    def has(self, connection: Connection) -> bool:
        """Whether it is still there (its number may have a new owner)."""
        return self._of[connection.number] is connection

    @property
    def has_room(self) -> bool:
        return bool(self._free)

    def add(self, arrival: Arrival, now: float) -> Connection:
        """Give a number to a new connection. There must be room."""
        connection = Connection(self._free.popleft(), arrival, now)
        self._of[connection.number] = connection
        self.heard_at[connection.number] = now
        self.in_use[connection.number] = True
        self.ciphered[connection.number] = arrival.cipher is not None
        self.ciphers += arrival.cipher is not None
        return connection

    def remove(self, connection: Connection) -> None:
        """Free its number and clear its row."""
        number = connection.number
        self._of[number] = None
        self.in_use[number] = False
        self.ciphers -= int(self.ciphered[number])
        self.fast_open[number] = self.epoch[number] = 0
        self.door_of[number] = self.slot_of[number] = -1
        self.poses[number] = self.strikes[number] = self.pending[number] = 0
        self.has_tail[number] = self.closing[number] = self.ciphered[number] = False
        self.acks_void[number] = False
        self._free.append(number)

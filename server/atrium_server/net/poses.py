"""Poses on their way from the sockets to the worlds.

Exact pose frames are decoded as a matrix, whoever sent them; those that came in other valid forms
join them one by one. `offer` then hands each world the poses of its own people, in one batch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from atrium_server.doors import I64, WorldDoor
from atrium_server.net import frame_kernels, route_kernels
from atrium_server.net.connection import Connection
from atrium_server.net.connections import Connections
from atrium_server.net.frame_kernels import Chunks
from atrium_server.world.movement import PoseBatch
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode, ProtocolError

POSES_PER_PASS_MAX = 8
"""Newest poses of one connection that are handed on at once: the others are history already, and
a flood of them may not take the room of those of everybody else."""
_BUFFER_POSES = 4096


class Poses:
    """Collects the poses of a pass."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._doors: list[WorldDoor] = []
        self._buffer = frame_kernels.PoseBuffer(_BUFFER_POSES)
        self._seen = np.zeros(len(connections.door_of), np.int32)
        self._doors_out = np.zeros(_BUFFER_POSES, np.int32)
        self._slots_out = np.zeros(_BUFFER_POSES, np.int32)

    def index_of(self, door: WorldDoor) -> int:
        """The number of a world in the column `door_of`."""
        if door not in self._doors:
            self._doors.append(door)
        return self._doors.index(door)

    def decode(self, chunks: Chunks) -> I64:
        """Take the leading poses of each chunk; returns how many bytes they were."""
        n, fast_open = chunks.count, self._connections.fast_open
        consumed = frame_kernels.decode_poses(chunks, fast_open, self._buffer)[:n]
        while self._buffer.full:
            self.offer()
            rest = replace(
                chunks, offsets=chunks.offsets[:n] + consumed,
                lengths=chunks.lengths[:n] - consumed,
            )
            consumed += frame_kernels.decode_poses(rest, fast_open, self._buffer)[:n]
        return consumed

    def take(self, connection: Connection, message: m.Pose) -> None:
        """A pose that came on the slow path. Raises ProtocolError."""
        if self._buffer.full:
            self.offer()
        try:
            frame_kernels.append_body(self._buffer, connection.number, message)
        except ValueError as error:
            raise ProtocolError(ErrorCode.MALFORMED, str(error)) from None

    def offer(self) -> None:
        """Give what was collected to the worlds."""
        buffer, n = self._buffer, self._buffer.count
        if not n:
            return
        buffer.count = 0
        all_, doors, slots = self._connections, self._doors_out[:n], self._slots_out[:n]
        lowest, highest = route_kernels.route(
            buffer.slots, buffer.rows, n, POSES_PER_PASS_MAX, all_.epoch, all_.acks_void,
            all_.poses, all_.door_of, all_.slot_of, self._seen, doors, slots,
        )
        # Below 0 are those between two worlds, or not in one yet.
        for index in range(max(lowest, 0), highest + 1):
            which = slice(0, n) if lowest == highest else np.flatnonzero(doors == index)
            batch = PoseBatch(
                slots[which], buffer.seqs[:n][which], buffer.ack_ticks[:n][which],
                buffer.rows[:n][which], buffer.parts[:n][which], buffer.extras[:n][which],
            )
            self._doors[index].offer_poses(batch)


"""What one pass has brought, sorted out in bulk: who was heard, and whose poses go where. PURE.

A pass comes right before a tick and often finds the caches of the processor taken by what the
kernel did for hundreds of sockets. So it is two loops over arrays here and not thirty operations of
numpy, each of which would first have to be brought back into the caches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_shared import pose

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_EPOCH = int(pose.Flags.EPOCH)


@kernel("int64(int32[::1], int64[::1], int64[::1], int64, float64, float64[::1], int64[::1])")
def note_heard(
    numbers: I32, lengths: I64, consumed: I64, count: int, now: float, heard_at: F64,
    unfinished: I64,
) -> int:
    """Note when the connections of `count` chunks were heard.

    Lists the chunks that are more than poses, or an end, in `unfinished`; returns how many.
    """
    found = 0
    for k in range(count):
        heard_at[numbers[k]] = now
        if lengths[k] <= 0 or consumed[k] < lengths[k]:
            unfinished[found] = k
            found += 1
    return found


@kernel(
    "Tuple((int64, int64))(int32[::1], int32[:, ::1], int64, int64, uint8[::1], boolean[::1],"
    " int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1])"
)
def route(
    numbers: I32, rows: I32, count: int, newest: int, epoch: U8, acks_void: Bools,
    poses: I32, door_of: I32, slot_of: I32, seen: I32, doors: I32, slots: I32,
) -> tuple[int, int]:
    """The world (`doors`) and the slot there of each of `count` poses; returns the (lowest,
    highest) world.

    World -1 is for those that go nowhere: of another epoch, of a connection that is in no world,
    or with `newest` newer ones of the same connection behind them. Counts all in `poses`; acks of
    a connection count again (`acks_void`) with the first pose that does. `seen` is all zeros, by
    connection, before and after.
    """
    lowest, highest = 1 << 30, -1
    for k in range(count - 1, -1, -1):
        number = numbers[k]
        poses[number] += 1
        seen[number] += 1
        door = int(door_of[number])
        if seen[number] > newest or rows[k, pose.FLAGS] & _EPOCH != epoch[number]:
            door = -1
        if door >= 0:
            acks_void[number] = False
        doors[k], slots[k] = door, slot_of[number]
        lowest, highest = min(lowest, door), max(highest, door)
    for k in range(count):
        seen[numbers[k]] = 0
    return lowest, highest

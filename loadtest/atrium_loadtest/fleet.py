"""The tables of a fleet of bots: one row for each connection, shared by Python and kernels.

Theory of operation
-------------------
A bot is a row number. Everything that a kernel touches for each frame lies in arrays with one
row per bot, so that thousands of bots cost one call:

``bots``    the connection: file descriptor, state, sequence numbers, counters
``carry``   bytes of a frame that has not arrived whole yet (pages that are never written to
            cost no memory, so the generous row length is free)
``tails``   the rest of a pose frame that the kernel's socket buffer took only in part
``hashes``, ``stamps``   what each bot said lately and when: the ground truth of pose age
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_shared import codec, limits, pose

AWAY, ACTIVE, LOST = 0, 1, 2
"""States of a bot: not connected (yet, or by plan), connected, and ended by the other side."""

BOT: Final = np.dtype(
    [
        ("fd", "i4"), ("state", "i4"), ("probe", "i4"), ("muted", "i4"),
        ("carried", "i4"), ("tail", "i4"),
        ("seq", "u4"), ("ack_tick", "u4"), ("entity_id", "u4"), ("spare", "u4"),
        ("snapshots", "i8"), ("received_bytes", "i8"), ("chat_lines", "i8"),
        ("other_frames", "i8"), ("poses", "i8"), ("blocked", "i8"),
    ],
    align=True,
)
"""One connection. `muted`: Python has unsent bytes of its own, so no pose may go in between.
`blocked`: poses not sent because the socket was full (a newer pose replaces them)."""

CARRY_BYTES: Final = 80 * 1024
"""Most bytes of one connection held at once; more than the largest frame of the server."""
HISTORY: Final = 64
"""Poses of each bot that are remembered: 3.2 s at 20 Hz."""
HASHES: Final = 3
"""Hashes per pose: of the root, of root and head, of root, head and hands."""

PARTS: Final = int(pose.Parts.HEAD | pose.Parts.HANDS)
BODY_BYTES: Final = pose.body_length(PARTS)
PAYLOAD_BYTES: Final = codec.POSE_HEAD_BYTES + 2 + BODY_BYTES
FRAME_BYTES: Final = 2 + 4 + PAYLOAD_BYTES
"""A masked pose frame: two bytes of header, four of masking key, the message."""

assert PAYLOAD_BYTES <= 125, "a pose frame uses the short length form"
assert CARRY_BYTES > limits.OUTGOING_BYTES_MAX + 14


@dataclass(frozen=True)
class Fleet:
    """The tables of `len(bots)` bots. Made by `make_fleet`."""

    bots: npt.NDArray[np.void]
    carry: npt.NDArray[np.uint8]
    """Shape (n, CARRY_BYTES)."""
    tails: npt.NDArray[np.uint8]
    """Shape (n, FRAME_BYTES)."""
    hashes: npt.NDArray[np.uint64]
    """Shape (n, HISTORY, HASHES); the pose with sequence number s is in slot s % HISTORY."""
    stamps: npt.NDArray[np.int64]
    """Shape (n, HISTORY): CLOCK_MONOTONIC in ns when that pose was sent, 0 when it was not."""
    bot_of_fd: npt.NDArray[np.int32]
    """Row of each file descriptor, -1 where it is not a bot's."""


def make_fleet(bots_count: int, fds_max: int) -> Fleet:
    """Tables of `bots_count` bots that are all AWAY; descriptors are below `fds_max`."""
    bots = np.zeros(bots_count, BOT)
    bots["fd"] = -1
    return Fleet(
        bots=bots,
        carry=np.empty((bots_count, CARRY_BYTES), np.uint8),
        tails=np.zeros((bots_count, FRAME_BYTES), np.uint8),
        hashes=np.zeros((bots_count, HISTORY, HASHES), np.uint64),
        stamps=np.zeros((bots_count, HISTORY), np.int64),
        bot_of_fd=np.full(fds_max, -1, np.int32),
    )


def attach(fleet: Fleet, bot: int, fd: int, rest: bytes) -> None:
    """Make `bot` ACTIVE on `fd`; `rest` is what arrived behind its welcome."""
    row = fleet.bots[bot]
    row["fd"], row["state"] = fd, ACTIVE
    row["tail"] = row["muted"] = 0
    row["seq"] = row["ack_tick"] = 0
    row["carried"] = len(rest)
    row["received_bytes"] += len(rest)
    fleet.carry[bot, : len(rest)] = np.frombuffer(rest, np.uint8)
    fleet.stamps[bot] = 0
    fleet.bot_of_fd[fd] = bot


def detach(fleet: Fleet, bot: int, state: int) -> None:
    """Take `bot` off its descriptor and put it into `state` (AWAY or LOST)."""
    row = fleet.bots[bot]
    if row["fd"] >= 0:
        fleet.bot_of_fd[row["fd"]] = -1
    row["fd"], row["state"], row["carried"] = -1, state, 0

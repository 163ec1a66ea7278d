"""The inputs of a world, kept so that its past can be lived again.

Theory of operation
-------------------
What `drain` returned, tick by tick and in order, is all that a world's future depends on (besides its
manifest and seed). A `Recorder` keeps the last REPLAY_S_MAX seconds in memory, bounded also by
REPLAY_BYTES_MAX, for the report after a failure; with a file it also writes everything from the first
tick on. A file is MessagePack: a header, then one array per tick::

    {"format": 1, "manifest": TOML text, "source": its name, "seed": n, "tick": first tick}
    [server_ms, [command, ...], slots, seqs, parts, rows, extras, digest or ""]

`slots` and `seqs` are little-endian u32, `parts` bytes, `rows` int32 (without trailing zero columns:
only those that the parts have), `extras` only for poses with such parts. Every DIGEST_TICKS-th tick
carries the digest of the world after it, so that a replay knows where it went astray.

A ring that has dropped its oldest ticks can only be replayed on the state it began with; it serves to
be read. A file can be replayed from the start: `replay_file`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import msgspec
import numpy as np

from atrium_server.mailbox import Drained
from atrium_server.world.commands import AnyCommand
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import limits, pose

FORMAT = 1
DIGEST_TICKS = 20
_commands = msgspec.msgpack.Decoder(list[AnyCommand])


class RecordingError(ValueError):
    """A recording cannot be read, or did not lead where it says it did."""


class Recorder:
    """Keeps the inputs of one world; see the module."""

    def __init__(self, tick_rate_hz: int, file: BinaryIO | None = None) -> None:
        self._ring: deque[bytes] = deque(maxlen=int(limits.REPLAY_S_MAX * tick_rate_hz))
        self._ring_bytes = 0
        self._file = file

    def begin(self, manifest_text: str, source: str, seed: int, tick: int) -> None:
        """A world begins (again): a file gets a new header."""
        self._ring.clear()
        self._ring_bytes = 0
        if self._file is not None:
            header = {"format": FORMAT, "manifest": manifest_text, "source": source,
                      "seed": seed, "tick": tick}
            self._file.write(_pack(header))

    def take(self, drained: Drained, server_ms: int, world: World) -> None:
        """Keep the inputs of the tick that `world` has just finished."""
        digest = ""
        if self._file is not None and world.tick % DIGEST_TICKS == 0:
            digest = world.digest()
        record = encode_tick(drained.commands, drained.poses, server_ms, digest)
        if len(self._ring) == self._ring.maxlen:
            self._ring_bytes -= len(self._ring[0])
        self._ring.append(record)
        self._ring_bytes += len(record)
        while self._ring_bytes > limits.REPLAY_BYTES_MAX:
            self._ring_bytes -= len(self._ring.popleft())
        if self._file is not None:
            self._file.write(record)

    def recent(self) -> bytes:
        """The ring, oldest first."""
        return b"".join(self._ring)

    def close(self) -> None:
        """Write out what is buffered."""
        if self._file is not None:
            self._file.close()


def _pack(value: Any) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def encode_tick(
    commands: list[AnyCommand], poses: PoseBatch, server_ms: int, digest: str
) -> bytes:
    """One tick's array; see the module."""
    wide = pose.COLUMNS if (poses.parts & 4).any() else pose.ROOT_COLUMNS + 3 * pose.POINT_COLUMNS
    extra = poses.parts & 56 != 0
    return _pack([
        server_ms, msgspec.msgpack.Encoder().encode(commands),
        poses.slots.astype("<u4").tobytes(), poses.seqs.astype("<u4").tobytes(),
        poses.parts.tobytes(), poses.rows[:, :wide].astype("<i4").tobytes(),
        poses.extras[extra].tobytes(), digest,
    ])


def _poses_of(record: list[Any]) -> PoseBatch:
    slots = np.frombuffer(record[2], "<u4").astype(np.int32)
    parts = np.frombuffer(record[4], np.uint8).copy()
    n = len(slots)
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    extras = np.zeros((n, pose.EXTRA_BYTES), np.uint8)
    if n:
        stored = np.frombuffer(record[5], "<i4").reshape(n, -1)
        rows[:, : stored.shape[1]] = stored
        extra = parts & 56 != 0
        extras[extra] = np.frombuffer(record[6], np.uint8).reshape(-1, pose.EXTRA_BYTES)
    return PoseBatch(slots, np.frombuffer(record[3], "<u4").astype(np.uint32), rows, parts, extras)


def replay_file(path: Path) -> Iterator[World]:
    """Live a recording again; yields the world after each tick.

    Raises RecordingError when the file is not a recording, or a digest in it does not match.
    """
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, max_buffer_size=limits.REPLAY_BYTES_MAX)
        world: World | None = None
        for record in unpacker:
            if isinstance(record, dict):
                world = _begin(record)
                continue
            if world is None or not isinstance(record, list) or len(record) != 8:
                raise RecordingError(f"{path} is not a recording of this version.")
            world.step(_commands.decode(record[1]), _poses_of(record), record[0])
            if record[7] and record[7] != world.digest():
                raise RecordingError(f"{path}: tick {world.tick} came out differently.")
            yield world


def _begin(header: dict[str, Any]) -> World:
    if header.get("format") != FORMAT:
        raise RecordingError("This recording is of another version.")
    manifest: Manifest = parse_manifest(header["manifest"], header["source"])
    world = World(manifest, header["seed"])
    world.tick = header["tick"]
    return world

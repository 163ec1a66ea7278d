"""The inputs of a world, kept so that its past can be lived again.

Theory of operation
-------------------
What `drain` returned, tick by tick and in order, is all that a world's future depends on (besides
its manifest and seed). A `Recorder` keeps the last REPLAY_S_MAX seconds in memory, bounded also by
REPLAY_BYTES_MAX, for the report after a failure; with a file it also writes everything from the
first tick on. A recording is MessagePack: a header, then one array per tick::

    {"format": 2, "manifest": TOML text, "source": its name, "seed": n, "tick": ticks before it}
    [server_ms, commands, slots, seqs, parts, narrow, wide, extras, digest tick, digest]

`slots` and `seqs` are little-endian u32, `parts` bytes. Of each pose's row `narrow` has the columns
that fit in i16 and `wide` the others as i32, both without the points that no pose of the tick has;
`extras` are there only for poses with such parts. Now and then a record carries the digest that the
world had after the tick `digest tick` (else -1), so that a replay knows where it went astray. It
may be of this tick or of the one before: a host that records a tick before it takes it keeps the
very inputs that made it fail.

A world that begins again after a failure writes a new header into the same file. The ring is a
recording like any other, but once it has dropped its oldest ticks it serves only to be read.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgpack
import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.mailbox import Drained
from atrium_server.world.commands import AnyCommand
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.manifest_reader import ManifestError
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import limits, pose

logger = logging.getLogger(__name__)

FORMAT = 2
DIGEST_TICKS = 20
RECORD_FIELDS = 10
_FIELD_TYPES = (int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, int, str)
_EXTRA_PARTS = int(pose.Parts.FINGERS | pose.Parts.JOINTS | pose.Parts.FACE)
_commands = msgspec.msgpack.Decoder(list[AnyCommand])
_encoder = msgspec.msgpack.Encoder()


def _columns(points: int) -> tuple[list[int], list[int]]:
    """(narrow, wide) columns of a row with the first `points` tracked points."""
    starts = [pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point for point in range(points)]
    narrow = [pose.Y, pose.YAW, pose.FLAGS, *(at + axis for at in starts for axis in range(3))]
    return narrow, [pose.X, pose.Z, *(at + 3 for at in starts)]


_COLUMNS = {points: _columns(points) for points in (0, 3, pose.POINTS_MAX)}
"""Root only, head and hands, all."""


class RecordingError(ValueError):
    """A recording cannot be read, or did not lead where it says it did."""


class Recorder:
    """Keeps the inputs of one world; see the module."""

    def __init__(self, tick_rate_hz: int, file: BinaryIO | None = None) -> None:
        self._ring: deque[bytes] = deque()
        self._ring_ticks_max = int(limits.REPLAY_S_MAX * tick_rate_hz)
        self._ring_bytes = 0
        self._dropped = 0
        self._header: dict[str, Any] = {}
        self._file = file

    def begin(self, manifest_text: str, source: str, seed: int, tick: int) -> None:
        """A world begins (again): a file gets a new header."""
        self._ring.clear()
        self._ring_bytes = 0
        self._dropped = tick
        self._header = {
            "format": FORMAT, "manifest": manifest_text, "source": source, "seed": seed,
            "tick": tick,
        }
        self._write(_pack(self._header))

    def take(self, drained: Drained, server_ms: int, world: World) -> None:
        """Keep the inputs of the tick that `world` has just finished, or is about to begin."""
        digest = (-1, "")
        if self._file is not None and world.tick % DIGEST_TICKS == 0:
            digest = (world.tick, world.digest())
        record = encode_tick(drained.commands, drained.poses, server_ms, digest)
        self._ring.append(record)
        self._ring_bytes += len(record)
        while (
            len(self._ring) > self._ring_ticks_max or self._ring_bytes > limits.REPLAY_BYTES_MAX
        ):
            self._ring_bytes -= len(self._ring.popleft())
            self._dropped += 1
        self._write(record)

    def recent(self) -> bytes:
        """The ring as a recording, oldest tick first."""
        return _pack({**self._header, "tick": self._dropped}) + b"".join(self._ring)

    def close(self) -> None:
        """Write out what is buffered."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                logger.error("the end of a recording could not be written: %s", error.strerror)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(data)
        except OSError as error:
            # A full disk ends the recording, not the world.
            logger.error("recording ends here: %s", error.strerror)
            self.close()


def _pack(value: Any) -> bytes:
    # msgpack has no types for its compiled parts.
    packed = cast("Any", msgpack.packb)(value)
    assert isinstance(packed, bytes)
    return packed


def encode_tick(
    commands: list[AnyCommand], poses: PoseBatch, server_ms: int, digest: tuple[int, str] = (-1, "")
) -> bytes:
    """One tick's array; see the module. Rows must be of what the wire can say."""
    parts = int(np.bitwise_or.reduce(poses.parts)) if len(poses.parts) else 0
    narrow, wide = _COLUMNS[_points(parts)]
    extra = poses.parts & _EXTRA_PARTS != 0
    return _pack([
        server_ms, _encoder.encode(commands),
        poses.slots.astype("<u4").tobytes(), poses.seqs.astype("<u4").tobytes(),
        poses.parts.tobytes(), poses.rows[:, narrow].astype("<i2").tobytes(),
        poses.rows[:, wide].astype("<i4").tobytes(), poses.extras[extra].tobytes(), *digest,
    ])


def _points(parts: int) -> int:
    if parts & pose.Parts.BODY:
        return pose.POINTS_MAX
    return 3 if parts & (pose.Parts.HEAD | pose.Parts.HANDS) else 0


def _poses_of(record: list[Any], slots_max: int) -> PoseBatch:
    """The poses of a record. Raises ValueError when its arrays do not belong together."""
    slots = np.frombuffer(record[2], "<u4")
    seqs = np.frombuffer(record[3], "<u4").astype(np.uint32)
    parts = np.frombuffer(record[4], np.uint8).copy()
    n = len(slots)
    if len(seqs) != n or len(parts) != n or (slots >= slots_max).any():
        raise ValueError("the arrays of a tick do not belong together")
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    if n:
        narrow, wide = _COLUMNS[_points(int(np.bitwise_or.reduce(parts)))]
        rows[:, narrow] = np.frombuffer(record[5], "<i2").reshape(n, len(narrow))
        rows[:, wide] = np.frombuffer(record[6], "<i4").reshape(n, len(wide))
    extra = parts & _EXTRA_PARTS != 0
    extras: npt.NDArray[np.uint8] = np.zeros((n, pose.EXTRA_BYTES), np.uint8)
    extras[extra] = np.frombuffer(record[7], np.uint8).reshape(int(extra.sum()), pose.EXTRA_BYTES)
    return PoseBatch(slots.astype(np.int32), seqs, rows, parts, extras)


def replay_file(path: Path) -> Iterator[World]:
    """Live a recording again; yields the world after each tick (the same one, moved on).

    Raises RecordingError when the file is not a whole recording, or a digest in it does not match.
    """
    with path.open("rb") as file:
        yield from _replay(_records(file, str(path)), str(path))


def _records(file: BinaryIO, name: str) -> Iterator[Any]:
    unpacker = cast("Any", msgpack.Unpacker)(
        file, max_buffer_size=limits.REPLAY_BYTES_MAX, max_array_len=RECORD_FIELDS,
        max_map_len=8, max_ext_len=0,
    )
    try:
        yield from unpacker
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise RecordingError(f"{name} is not a recording: {error}") from None
    if unpacker.tell() != file.seek(0, 2):
        raise RecordingError(f"{name} ends inside of a tick.")


def _replay(records: Iterator[Any], name: str) -> Iterator[World]:
    world: World | None = None
    failure: Exception | None = None
    for record in records:
        if isinstance(record, dict):
            world, failure = _begin(cast("dict[str, Any]", record), name), None
            continue
        if world is None:
            raise RecordingError(f"{name} is not a recording: it has no header.")
        if failure is not None:
            break
        try:
            _live(world, _checked(record), name)
        except RecordingError:
            raise
        except Exception as error:
            # Inputs that were recorded made a world fail: then the next thing is its new beginning.
            failure = error
        else:
            yield world
    if failure is not None and world is not None:
        raise RecordingError(f"{name}: tick {world.tick} fails: {failure!r}") from failure


def _checked(record: Any) -> list[Any]:
    fields = cast("list[Any]", record)
    if not isinstance(record, list) or len(fields) != RECORD_FIELDS or any(
        type(field) is not kind for field, kind in zip(fields, _FIELD_TYPES, strict=True)
    ):
        raise RecordingError("This is no record of a tick.")
    return fields


def _live(world: World, record: list[Any], name: str) -> None:
    """Take one recorded tick, comparing the digest where its turn is."""
    try:
        commands = _commands.decode(record[1])
        poses = _poses_of(record, world.manifest.capacity)
    except (msgspec.DecodeError, ValueError) as error:
        raise RecordingError(f"{name}: tick {world.tick + 1} is damaged: {error}") from None
    _compare(world, record[8], record[9], name)
    world.step(commands, poses, record[0])
    _compare(world, record[8], record[9], name)


def _compare(world: World, tick: int, digest: str, name: str) -> None:
    if tick == world.tick and digest != world.digest():
        raise RecordingError(f"{name}: tick {world.tick} came out differently.")


def _begin(header: dict[str, Any], name: str) -> World:
    kinds = {"format": int, "manifest": str, "source": str, "seed": int, "tick": int}
    if any(type(header.get(key)) is not kind for key, kind in kinds.items()):
        raise RecordingError(f"{name} has a header that is not one of a recording.")
    if header["format"] != FORMAT:
        raise RecordingError(f"{name} is a recording of format {header['format']}, not {FORMAT}.")
    if header["tick"] != 0:
        raise RecordingError(
            f"{name} begins after tick {header['tick']}: it can be read, but not lived again."
        )
    try:
        return World(parse_manifest(header["manifest"], header["source"]), header["seed"])
    except (ManifestError, ValueError) as error:
        raise RecordingError(f"{name}: its world is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay went through."""

    ticks: int
    digest: str
    """Of the world after the last tick."""


def replay_summary(path: Path) -> ReplaySummary:
    """Live a whole recording again. Raises RecordingError as `replay_file` does."""
    ticks = 0
    world: World | None = None
    for world in replay_file(path):  # noqa: B007 -- the last one is wanted
        ticks += 1
    return ReplaySummary(ticks, world.digest() if world is not None else "")

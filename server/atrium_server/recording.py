"""The inputs of a world, kept so that its past can be lived again.

Theory of operation
-------------------
What `drain` returned, tick by tick and in order, is all that a world's future depends on, besides
the state it begins with: that of its manifest and seed, or a checkpoint. A `Recorder` keeps the
newest ticks in memory for the report after a failure. It takes a checkpoint every
REPLAY_CHECKPOINT_S, and when it has more than REPLAY_S_MAX or REPLAY_BYTES_MAX it forgets the
oldest checkpoint with the ticks up to the next one: what is left is always a whole recording. With
a file it also writes everything from the first tick on, through a thread, so that no tick waits for
a disk. A recording is MessagePack: a header, then one array per tick::

    {"format": 7, "manifest": TOML text, "source": its name, "seed": n, "tick": ticks before it,
     "checkpoint": the state after those ticks, if it is not that of manifest and seed}
    [server_ms, commands, slots, seqs, acks, parts, narrow, wide, extras, digest tick, digest]

`slots`, `seqs` and `acks` are little-endian u32, `parts` bytes. Of each pose's row `narrow` has the
columns that fit in i16 and `wide` the others as i32, both without the points that no pose of the
tick has; `extras` are there only for poses with such parts. Now and then a record carries the
digest that the world had after the tick `digest tick` (else -1), so that a replay knows where it
went astray. It may be of this tick or of the one before: a host that records a tick before it takes
it keeps the very inputs that made it fail.

A world that begins again after a failure writes a new header into the same file.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import msgpack

from atrium_server import tick_records
from atrium_server.mailbox import Drained
from atrium_server.world import checkpoint
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.manifest_reader import ManifestError
from atrium_server.world.world import World
from atrium_shared import limits

logger = logging.getLogger(__name__)

FORMAT = 7
LEAVING_TICKS = 60
"""An old checkpoint is freed within about so many ticks."""
DIGEST_TICKS = 20
def create_recording(path: Path) -> BinaryIO:
    """An empty file that only its owner may read: what people say is in it, and where they go.

    Raises OSError, also for a link: whoever put it there chose what is written over.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, give the name of the file itself")
    # Not truncated before it is known to be a file, and ours to change.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        os.fchmod(file, 0o600)  # a file that was there has the mode that it had
        os.ftruncate(file, 0)
    except OSError:
        os.close(file)
        raise
    return open(file, "wb")


class RecordingError(ValueError):
    """A recording cannot be read, or did not lead where it says it did."""


class _Writer:
    """Writes a file in a thread of its own; what waits for it is bounded by REPLAY_BYTES_MAX.

    Once it was started it has to be closed: the process waits for the thread.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        """Each of the two sums is written by one thread only."""
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Nothing more is written: a write failed, or the file was too slow."""
        return self._is_over

    def put(self, data: bytes) -> None:
        """Queue `data`; never waits."""
        if self._is_over:
            return
        if self._bytes_in - self._bytes_out + len(data) > limits.REPLAY_BYTES_MAX:
            self._is_over = True
            logger.error("recording ends here: the file is written too slowly")
            return
        self._bytes_in += len(data)
        self._queue.put(data)

    def start(self) -> None:
        """Begin to write what is queued."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recording", daemon=False)
            self._thread.start()

    def close(self) -> None:
        """Write what is queued, and wait for it."""
        self._queue.put(None)
        self.start()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        failed = False
        while (data := self._queue.get()) is not None:
            try:
                if not failed:
                    self._file.write(data)
                    if self._queue.empty():
                        self._file.flush()
            except OSError as error:
                # A full disk ends the recording, not the world.
                failed = self._is_over = True
                logger.error("recording ends here: %s", error.strerror)
            self._bytes_out += len(data)
        try:
            self._file.close()
        except OSError as error:
            logger.error("the end of a recording could not be written: %s", error.strerror)


class Recorder:
    """Keeps the inputs of one world; see the module."""

    def __init__(self, tick_rate_hz: int, file: BinaryIO | None = None) -> None:
        self._ticks_max = int(limits.REPLAY_S_MAX * tick_rate_hz)
        self._checkpoint_ticks = int(limits.REPLAY_CHECKPOINT_S * tick_rate_hz)
        self._header: dict[str, Any] = {}
        self._checkpoints: deque[tuple[int, checkpoint.Held | None]] = deque()
        """(tick, state after it), the oldest first."""
        self._leaving: deque[tuple[checkpoint.Held, int]] = deque()
        """Old checkpoints, and how many of their references go with each tick."""
        self._ring: deque[bytes] = deque()
        """The ticks after the oldest checkpoint."""
        self._bytes = 0
        """Of all checkpoints and ticks."""
        self._bytes_since = 0
        """Of the ticks after the newest checkpoint."""
        self._writer = _Writer(file) if file is not None else None

    def begin(self, manifest_text: str, source: str, seed: int, world: World) -> None:
        """A world begins (again): a file gets a new header."""
        self._header = {
            "format": FORMAT, "manifest": manifest_text, "source": source, "seed": seed,
            "tick": world.tick,
        }
        self._ring.clear()
        held = checkpoint.hold(world) if world.was_loaded else None
        self._checkpoints = deque([(world.tick, held)])
        self._bytes = held.size_bytes if held is not None else 0
        self._bytes_since = 0
        if self._writer is not None:
            self._writer.put(tick_records.pack(self._header_of(world.tick, held)))

    def take(self, drained: Drained, server_ms: int, world: World) -> None:
        """Keep the inputs of the tick that `world` has just finished, or is about to begin."""
        is_due = self._is_due(world.tick)
        if is_due:
            self._keep_checkpoint(world)
        digest = (-1, "")
        is_written = self._writer is not None and not self._writer.is_over
        if is_due or (is_written and world.tick % DIGEST_TICKS == 0):
            digest = (world.tick, world.digest())
        record = tick_records.encode_tick(drained.commands, drained.poses, server_ms, digest)
        self._ring.append(record)
        self._bytes += len(record)
        self._bytes_since += len(record)
        self._forget()
        if self._leaving:
            held, each = self._leaving[0]
            if not held.let_go(each * len(self._leaving)):
                self._leaving.popleft()
        if self._writer is not None:
            self._writer.put(record)
            self._writer.start()

    def recent(self) -> bytes:
        """The newest ticks as a recording."""
        return tick_records.pack(self._header_of(*self._checkpoints[0])) + b"".join(self._ring)

    def _header_of(self, tick: int, held: checkpoint.Held | None) -> dict[str, Any]:
        state = {} if held is None else {"checkpoint": held.encode()}
        return {**self._header, "tick": tick, **state}

    def close(self) -> None:
        """Write out what is queued; the file is complete then."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _is_due(self, tick: int) -> bool:
        ticks = tick - self._checkpoints[-1][0]
        is_heavy = self._bytes_since > limits.REPLAY_BYTES_MAX // 4
        return ticks > 0 and (ticks >= self._checkpoint_ticks or is_heavy)

    def _keep_checkpoint(self, world: World) -> None:
        held = checkpoint.hold(world)
        self._checkpoints.append((world.tick, held))
        self._bytes += held.size_bytes
        self._bytes_since = 0

    def _forget(self) -> None:
        """Drop the oldest checkpoints, each with its ticks, as long as there is too much."""
        while len(self._checkpoints) > 1 and (
            len(self._ring) > self._ticks_max or self._bytes > limits.REPLAY_BYTES_MAX
        ):
            tick, held = self._checkpoints.popleft()
            if held is not None:
                self._bytes -= held.size_bytes
                each = held.size_bytes // checkpoint.REFERENCE_BYTES // LEAVING_TICKS + 1
                self._leaving.append((held, each))
            for _ in range(self._checkpoints[0][0] - tick):
                self._bytes -= len(self._ring.popleft())


def replay_file(path: Path) -> Iterator[World]:
    """Live a recording again; yields the world after each tick (the same one, moved on).

    Raises RecordingError when the file is not a whole recording, or a digest in it does not match.
    """
    with path.open("rb") as file:
        yield from _replay(_records(file, str(path)), str(path))


def _records(file: BinaryIO, name: str) -> Iterator[Any]:
    unpacker = cast("Any", msgpack.Unpacker)(
        file, max_buffer_size=8 * limits.REPLAY_BYTES_MAX, max_array_len=tick_records.RECORD_FIELDS,
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
            _live(world, record, name)
        except RecordingError:
            raise
        except Exception as error:
            # Inputs that were recorded made a world fail: then the next thing is its new beginning.
            failure = error
        else:
            yield world
    if failure is not None and world is not None:
        raise RecordingError(f"{name}: tick {world.tick} fails: {failure!r}") from failure


def _live(world: World, record: Any, name: str) -> None:
    """Take one recorded tick, comparing the digest where its turn is."""
    try:
        record = tick_records.checked(record)
        commands, poses = tick_records.inputs_of(record, world.manifest.capacity)
    except ValueError as error:
        raise RecordingError(f"{name}: tick {world.tick + 1} is damaged: {error}") from None
    _compare(world, record[9], record[10], name)
    world.step(commands, poses, record[0])
    _compare(world, record[9], record[10], name)


def _compare(world: World, tick: int, digest: str, name: str) -> None:
    if tick == world.tick and digest != world.digest():
        raise RecordingError(f"{name}: tick {world.tick} came out differently.")


def _begin(header: dict[str, Any], name: str) -> World:
    kinds = {"format": int, "manifest": str, "source": str, "seed": int, "tick": int}
    if any(type(header.get(key)) is not kind for key, kind in kinds.items()):
        raise RecordingError(f"{name} has a header that is not one of a recording.")
    if header["format"] != FORMAT:
        raise RecordingError(f"{name} is a recording of format {header['format']}, not {FORMAT}.")
    state = header.get("checkpoint", b"")
    if not isinstance(state, bytes) or (header["tick"] != 0 and not state):
        raise RecordingError(f"{name} begins after tick {header['tick']} without its checkpoint.")
    try:
        world = World(parse_manifest(header["manifest"], header["source"]), header["seed"])
        if state:
            checkpoint.restore(world, state)
    except (ManifestError, ValueError) as error:
        raise RecordingError(f"{name}: its world is damaged: {error}") from None
    if world.tick != header["tick"]:
        raise RecordingError(f"{name} has a checkpoint of another tick than its header says.")
    return world


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

"""One tick's inputs as bytes and back: a line of a recording. PURE.

The layout is told in `atrium_server.recording`. Packing runs in every tick: columns are taken apart
by a kernel, and one packer serves all, because each new one takes a megabyte.
"""

from __future__ import annotations

from typing import Any, cast

import msgpack
import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_server.world.commands import AnyCommand
from atrium_server.world.movement import PoseBatch
from atrium_shared import pose

RECORD_FIELDS = 11
_FIELD_TYPES = (int, *[bytes] * 8, int, str)
_EXTRA_PARTS = int(pose.Parts.FINGERS | pose.Parts.JOINTS | pose.Parts.FACE)
_commands = msgspec.msgpack.Decoder(list[AnyCommand])
_encoder = msgspec.msgpack.Encoder()

Columns = npt.NDArray[np.int64]


def _columns(points: int) -> tuple[Columns, Columns]:
    """(narrow, wide) columns of a row with the first `points` tracked points."""
    starts = [pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point for point in range(points)]
    narrow = [pose.Y, pose.YAW, pose.FLAGS, *(at + axis for at in starts for axis in range(3))]
    wide = [pose.X, pose.Z, *(at + 3 for at in starts)]
    return np.array(narrow, np.int64), np.array(wide, np.int64)


_COLUMNS = {points: _columns(points) for points in (0, 3, pose.POINTS_MAX)}
"""Root only, head and hands, all."""


# msgpack has no types for its compiled parts.
_packer: Any = cast("Any", msgpack.Packer)()


def pack(value: Any) -> bytes:
    """A value as MessagePack."""
    packed = _packer.pack(value)
    assert isinstance(packed, bytes)
    return packed


def encode_tick(
    commands: list[AnyCommand], poses: PoseBatch, server_ms: int, digest: tuple[int, str] = (-1, "")
) -> bytes:
    """One tick's array; see the module. Rows must be of what the wire can say."""
    n = len(poses.parts)
    parts = int(np.bitwise_or.reduce(poses.parts)) if n else 0
    narrow, wide = _COLUMNS[_points(parts)]
    shorts, longs = np.empty((n, len(narrow)), "<i2"), np.empty((n, len(wide)), "<i4")
    _split(poses.rows, narrow, wide, shorts, longs)
    extras = b""
    if parts & _EXTRA_PARTS:
        extras = poses.extras[poses.parts & _EXTRA_PARTS != 0].tobytes()
    return pack([
        server_ms, _encoder.encode(commands), poses.slots.astype("<u4", copy=False).tobytes(),
        poses.seqs.astype("<u4", copy=False).tobytes(),
        poses.acks.astype("<u4", copy=False).tobytes(), poses.parts.tobytes(), shorts.tobytes(),
        longs.tobytes(), extras, *digest,
    ])


@kernel("void(int32[:, ::1], int64[::1], int64[::1], int16[:, ::1], int32[:, ::1])")
def _split(
    rows: npt.NDArray[np.int32], narrow: Columns, wide: Columns, shorts: npt.NDArray[np.int16],
    longs: npt.NDArray[np.int32],
) -> None:
    """Copy the narrow and the wide columns apart."""
    for k in range(rows.shape[0]):
        for c in range(narrow.shape[0]):
            shorts[k, c] = rows[k, narrow[c]]
        for c in range(wide.shape[0]):
            longs[k, c] = rows[k, wide[c]]


def _points(parts: int) -> int:
    if parts & pose.Parts.BODY:
        return pose.POINTS_MAX
    return 3 if parts & (pose.Parts.HEAD | pose.Parts.HANDS) else 0


def _poses_of(record: list[Any], slots_max: int) -> PoseBatch:
    slots = np.frombuffer(record[2], "<u4")
    seqs = np.frombuffer(record[3], "<u4").astype(np.uint32)
    acks = np.frombuffer(record[4], "<u4").astype(np.uint32)
    parts = np.frombuffer(record[5], np.uint8).copy()
    n = len(slots)
    if any(len(column) != n for column in (seqs, acks, parts)) or (slots >= slots_max).any():
        raise ValueError("the arrays of a tick do not belong together")
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    if n:
        narrow, wide = _COLUMNS[_points(int(np.bitwise_or.reduce(parts)))]
        rows[:, narrow] = np.frombuffer(record[6], "<i2").reshape(n, len(narrow))
        rows[:, wide] = np.frombuffer(record[7], "<i4").reshape(n, len(wide))
    extra = parts & _EXTRA_PARTS != 0
    extras: npt.NDArray[np.uint8] = np.zeros((n, pose.EXTRA_BYTES), np.uint8)
    extras[extra] = np.frombuffer(record[8], np.uint8).reshape(int(extra.sum()), pose.EXTRA_BYTES)
    return PoseBatch(slots.astype(np.int32), seqs, acks, rows, parts, extras)


def checked(record: Any) -> list[Any]:
    """The fields of a record: server_ms first, digest tick and digest last.

    Raises ValueError when it is none.
    """
    fields = cast("list[Any]", record)
    if not isinstance(record, list) or len(fields) != RECORD_FIELDS or any(
        type(field) is not kind for field, kind in zip(fields, _FIELD_TYPES, strict=True)
    ):
        raise ValueError("it is no record of a tick")
    return fields


def inputs_of(record: list[Any], slots_max: int) -> tuple[list[AnyCommand], PoseBatch]:
    """(commands, poses) of a checked record. Raises ValueError when they are damaged."""
    try:
        return _commands.decode(record[1]), _poses_of(record, slots_max)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None

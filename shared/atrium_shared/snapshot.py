"""The packed body of a snapshot: sections of fixed-length records.

Theory of operation
-------------------
A snapshot body is a run of *sections*. Each groups the records of one *form* and one set of
*parts*, so that no record needs a mask of its own::

    section := code u8 | count u8 | index u8 * count | record * count
    code    := form << 6 | parts

    FULL   flags u8, then root and points as in a pose body
    DELTA  dx dy dz dyaw i8, then dx dy dz d0 d1 d2 i8 per point
    WIDE   dx dy dz dyaw i16, then dx dy dz d0 d1 d2 i8 per point

A delta is added to the value the client holds for that index: to be more exact, to what the
record before it left there. Because all forms are made from the *same* quantised integers, the
sum is exact, and there is no drift however long the chain. d0..d2 are steps of the three 10-bit
codes of a rotation, which keeps its dropped component; when that changes, or flags change, or a
step does not fit, the server sends FULL. The parts without columns (fingers, joints, face) are
carried whole in every form. Parts that a record does not carry are 'not tracked at this distance':
whatever a client still holds for them is stale, and no later delta builds on it.

An entity that is not mentioned has either not changed or was not due at its present rate.
Which deltas may be sent is the server's affair (`atrium_server.replication`); a decoder only
adds. It needs no clock, no ages and no acknowledgement.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atrium_shared import pose
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import INDEXES_MAX
from atrium_shared.pose import Bytes, IntRows

Ticks = npt.NDArray[np.int64]
"""Wide enough for every tick number that the wire can say (unsigned 32 bits), and for -1."""


class Form(enum.IntEnum):
    """How the values of a record are to be read."""

    FULL = 0
    DELTA = 1
    WIDE = 2


def record_length(form: int, parts: int) -> int:
    """Bytes of one record, without its index."""
    points = sum(1 for part in pose.POINT_PART if parts & part)
    extra = sum(length for part, _, length in pose.EXTRA_PART if parts & part)
    if form == Form.FULL:
        return 1 + pose.ROOT_BYTES + pose.POINT_BYTES * points + extra
    return (4 if form == Form.DELTA else 8) + 6 * points + extra


@dataclass(frozen=True, slots=True)
class Section:
    """One section, its records still packed."""

    form: int
    parts: int
    indexes: Bytes
    records: Bytes
    """Shape (count, record_length(form, parts))."""


def split_sections(body: bytes | memoryview) -> list[Section]:
    """The sections of a snapshot body. Raises ProtocolError when they do not add up."""
    raw = np.frombuffer(body, np.uint8)
    sections: list[Section] = []
    at = 0
    while at < len(raw):
        if at + 2 > len(raw):
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot ends inside a section head")
        form, parts, count = int(raw[at]) >> 6, int(raw[at]) & 63, int(raw[at + 1])
        if form > Form.WIDE:
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot section has an unknown form")
        length = record_length(form, parts)
        start, end = at + 2 + count, at + 2 + count + count * length
        if end > len(raw):
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot ends inside a section")
        records = raw[start:end].reshape(count, length)
        sections.append(Section(form, parts, raw[at + 2 : start], records))
        at = end
    return sections


@dataclass(slots=True)
class View:
    """What one client holds: a row for each index. The reference decoder of snapshots."""

    rows: IntRows = field(
        default_factory=lambda: np.zeros((INDEXES_MAX, pose.COLUMNS), np.int32)
    )
    extras: Bytes = field(
        default_factory=lambda: np.zeros((INDEXES_MAX, pose.EXTRA_BYTES), np.uint8)
    )
    tick: Ticks = field(default_factory=lambda: np.full(INDEXES_MAX, -1, np.int64))
    """Tick of the last record of each index; -1 before the first."""
    parts: Bytes = field(default_factory=lambda: np.zeros(INDEXES_MAX, np.uint8))
    """Parts of the last record of each index."""

    def forget(self, index: int) -> None:
        """The index was left or given to another entity: the next record must be full."""
        self.tick[index] = -1

    def apply(self, tick: int, body: bytes | memoryview) -> Bytes:
        """Take one snapshot; returns the indexes it touched, in their order on the wire.

        Raises ProtocolError when the body is malformed, names an index twice (the order of the
        sections would then matter), or holds a delta that has nothing to add to.
        """
        sections = split_sections(body)
        touched = [section.indexes for section in sections]
        indexes = np.concatenate(touched) if touched else np.zeros(0, np.uint8)
        mentions = np.bincount(indexes, minlength=INDEXES_MAX + 1)
        if mentions[INDEXES_MAX]:
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot names an index out of range")
        if (mentions > 1).any():
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot names an index twice")
        for section in sections:
            if section.form == Form.FULL:
                self._apply_full(section)
            else:
                self._apply_delta(section)
            self.tick[section.indexes] = tick
            self.parts[section.indexes] = section.parts
        return indexes

    def _apply_full(self, section: Section) -> None:
        rows, extras = pose.decode_root_and_points(section.records[:, 1:], section.parts)
        rows[:, pose.FLAGS] = section.records[:, 0]
        self.rows[section.indexes] = rows
        self.extras[section.indexes] = extras

    def _apply_delta(self, section: Section) -> None:
        held = self.parts[section.indexes]
        if (self.tick[section.indexes] < 0).any() or (section.parts & ~held).any():
            raise ProtocolError(ErrorCode.MALFORMED, "a delta came for what was never sent in full")
        rows = self.rows[section.indexes]
        p = _add_root(rows, section)
        for point, part in enumerate(pose.POINT_PART):
            if section.parts & part:
                at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
                _add_point(rows[:, at : at + 4], section.records[:, p : p + 6].view(np.int8))
                p += 6
        for part, offset, length in pose.EXTRA_PART:
            if section.parts & part:
                chunk = section.records[:, p : p + length]
                self.extras[section.indexes, offset : offset + length] = chunk
                p += length
        self.rows[section.indexes] = rows


def _add_root(rows: IntRows, section: Section) -> int:
    """Add the root's steps to `rows`; returns how many bytes they took."""
    wide = section.form == Form.WIDE
    length = 8 if wide else 4
    raw = np.ascontiguousarray(section.records[:, :length])
    steps = (raw.view("<i2") if wide else raw.view(np.int8)).astype(np.int32)
    rows[:, :3] += steps[:, :3]
    rows[:, pose.YAW] = (rows[:, pose.YAW] + steps[:, 3]) % pose.YAW_STEPS
    return length


def _add_point(columns: IntRows, steps: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> None:
    columns[:, :3] += steps[:, :3]
    code = columns[:, 3].astype(np.int64) & 0xFFFFFFFF
    for component, shift in enumerate((0, 10, 20)):
        code += steps[:, 3 + component].astype(np.int64) << shift
    columns[:, 3] = code.astype(np.uint32).view(np.int32)

"""A second, slow and plain writer of snapshot bodies: the oracle of the decoder's tests.

It knows the byte layout from docs/PROTOCOL.md and shares no code with a server. For each entity
that it tells about it takes the smallest form that can say the change, exactly as the protocol
allows, one record at a time and with `struct` instead of matrices.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from atrium_shared import pose

FULL, DELTA, WIDE = 0, 1, 2


@dataclass(frozen=True)
class Entity:
    """What the truth says about one entity: an int32 row, extra bytes, and parts to be told."""

    row: np.ndarray
    extra: bytes
    parts: int


def points_of(parts: int) -> list[int]:
    """First column of each point that `parts` carries."""
    return [
        pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        for point, part in enumerate(pose.POINT_PART)
        if parts & part
    ]


def extra_of(entity: Entity) -> bytes:
    """The bytes of fingers, joints and face that the entity's parts carry."""
    return b"".join(
        entity.extra[offset : offset + length]
        for part, offset, length in pose.EXTRA_PART
        if entity.parts & part
    )


def full_record(entity: Entity) -> bytes:
    """flags, x i24, y i16, z i24, yaw u16, then each point: x y z i16, rotation u32."""
    row = [int(value) for value in entity.row]
    record = bytearray([row[pose.FLAGS]])
    record += row[pose.X].to_bytes(3, "little", signed=True)
    record += struct.pack("<h", row[pose.Y])
    record += row[pose.Z].to_bytes(3, "little", signed=True)
    record += struct.pack("<H", row[pose.YAW])
    for at in points_of(entity.parts):
        record += struct.pack("<hhhI", *row[at : at + 3], row[at + 3] & 0xFFFFFFFF)
    return bytes(record) + extra_of(entity)


def rotation_steps(before: int, after: int) -> list[int] | None:
    """Steps of the three 10-bit codes, or None when the dropped component changed."""
    before, after = before & 0xFFFFFFFF, after & 0xFFFFFFFF
    if before >> 30 != after >> 30:
        return None
    return [((after >> s) & 1023) - ((before >> s) & 1023) for s in (0, 10, 20)]


def delta_record(before: Entity, after: Entity) -> tuple[int, bytes] | None:
    """(form, record) that leads from `before` to `after`, or None when only FULL can say it."""
    if after.parts & ~before.parts or before.row[pose.FLAGS] != after.row[pose.FLAGS]:
        return None
    root = [int(after.row[c]) - int(before.row[c]) for c in (pose.X, pose.Y, pose.Z, pose.YAW)]
    root[3] = (root[3] + pose.YAW_STEPS // 2) % pose.YAW_STEPS - pose.YAW_STEPS // 2
    steps: list[int] = []
    for at in points_of(after.parts):
        steps += [int(after.row[at + k]) - int(before.row[at + k]) for k in range(3)]
        turned = rotation_steps(int(before.row[at + 3]), int(after.row[at + 3]))
        if turned is None:
            return None
        steps += turned
    if any(not -128 <= step <= 127 for step in steps):
        return None
    tail = struct.pack(f"<{len(steps)}b", *steps) + extra_of(after)
    if all(-128 <= step <= 127 for step in root):
        return DELTA, struct.pack("<4b", *root) + tail
    if all(-32768 <= step <= 32767 for step in root):
        return WIDE, struct.pack("<4h", *root) + tail
    return None


def section(form: int, parts: int, records: list[tuple[int, bytes]]) -> bytes:
    """One section: code, count, indexes, records."""
    indexes = bytes(index for index, _ in records)
    return bytes((form << 6 | parts, len(records))) + indexes + b"".join(r for _, r in records)


@dataclass
class Teller:
    """Remembers what one client was told and writes the next body for it."""

    told: dict[int, Entity] = field(default_factory=dict)

    def forget(self, index: int) -> None:
        """The index is free: its next record will be FULL."""
        self.told.pop(index, None)

    def body(self, changes: dict[int, Entity]) -> bytes:
        """A snapshot body about `changes`, by index; sections in the order of (form, parts)."""
        sections: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
        for index, entity in changes.items():
            before = self.told.get(index)
            told = delta_record(before, entity) if before is not None else None
            form, record = told if told is not None else (FULL, full_record(entity))
            sections.setdefault((form, entity.parts), []).append((index, record))
            self.told[index] = entity
        return b"".join(section(*key, records) for key, records in sorted(sections.items()))


def told_columns(parts: int) -> list[int]:
    """The columns of a row that a record with `parts` determines."""
    columns = list(range(pose.ROOT_COLUMNS))
    for at in points_of(parts):
        columns += range(at, at + pose.POINT_COLUMNS)
    return columns


# --- properties of props -----------------------------------------------------------------

DEFAULTS: dict[str, dict[str, object]] = {
    "model": {"asset": "0" * 64, "tint": "#ffffff", "collides": False, "portable": False},
    "shape": {"form": "box", "colour": "#cccccc", "roughness": 0.8, "metalness": 0.0,
              "collides": True, "portable": False},
    "sign": {"text": "", "colour": "#222222", "background": "#f4f1e8"},
    "light": {"form": "point", "colour": "#ffffff", "intensity_cd": 60.0, "range_m": 10.0,
              "angle_deg": 60.0},
    "seat": {},
    "portal": {"world": ""},
    "spawn": {"radius_m": 1.0},
    "zone": {"meaning": "trigger"},
    "npc_post": {"npc": ""},
    "group": {},
}
"""What a field is that was left out; that of `title`, which all kinds have, is empty."""


def told_properties(properties: dict[str, object]) -> dict[str, object]:
    """Properties as they go over the wire: without the fields that are as they are by default."""
    kind = str(properties["kind"])
    usual = {"title": "", **DEFAULTS[kind]}
    assert properties.keys() == {"kind", *usual}
    return {"kind": kind} | {
        name: properties[name] for name in usual if properties[name] != usual[name]
    }

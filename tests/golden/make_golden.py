"""Writes the golden vectors of `atrium.1`: `vectors.json` and the files of `bin/`.

Every client language has to pass them (docs/PROTOCOL.md, "Conformance"). Run it after a change of
the wire, look at the difference with care, and commit it: a test fails while they disagree.

    python tests/golden/make_golden.py

The vectors are the same at each run: nothing here is random that is not seeded.
"""

from __future__ import annotations

import enum
import json
import math
from pathlib import Path
from typing import Any

import golden_cases as cases
import msgspec
import numpy as np
import wire_reference as reference
from golden_cases import row_and_extra

from atrium_shared import codec, messages, pose, snapshot
from atrium_shared.errors import ErrorCode, ProtocolError

HERE = Path(__file__).parent
HEX_BYTES_MAX = 512
"""Longer vectors are only in `bin/`, so that the JSON stays readable."""


def plain(value: Any) -> Any:
    """A message's field as JSON: bytes as `{"hex": ...}`, enumerations as numbers or words.

    A structure that begins with its tag has it as `op`, one that is a map as `kind`.
    """
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        name = "kind" if isinstance(tag, str) else "op"
        return fields_of(value) if tag is None else {name: tag, **fields_of(value)}
    return value


def fields_of(message: msgspec.Struct) -> dict[str, Any]:
    """The fields of a message by name."""
    return {name: plain(getattr(message, name)) for name in message.__struct_fields__}


# --- poses -------------------------------------------------------------------------------


def describe(row: np.ndarray, extra: bytes, parts: int) -> dict[str, Any]:
    """A pose as JSON: what a decoder must find, in wire units."""
    names = ("head", "left_hand", "right_hand", "hips", "left_foot", "right_foot")
    points = {
        names[(at - pose.ROOT_COLUMNS) // pose.POINT_COLUMNS]: {
            "x_mm": int(row[at]), "y_mm": int(row[at + 1]), "z_mm": int(row[at + 2]),
            "rotation": int(row[at + 3]) & 0xFFFFFFFF,
        }
        for at in reference.points_of(parts)
    }
    told = reference.extra_of(reference.Entity(row, extra, parts))
    return {
        "parts": parts, "flags": int(row[pose.FLAGS]),
        "x_mm": int(row[pose.X]), "y_units": int(row[pose.Y]), "z_mm": int(row[pose.Z]),
        "yaw_steps": int(row[pose.YAW]), "points": points, "extra": told.hex(),
    }


def pose_vectors() -> list[dict[str, Any]]:
    """Every layout once, the edges of the integers, and a world with y in units of 2 mm."""
    vectors: list[dict[str, Any]] = []
    for parts in range(pose.PARTS_ALL + 1):
        row, extra = row_and_extra(1_000 + parts)
        vectors.append(_pose(f"layout_{parts}", row, extra, parts, 1))
    edges = ((2**23 - 1, 2**15 - 1, -(2**23), 4_095), (-(2**23), -(2**15), 2**23 - 1, 0),
             (-1, -1, 1, 2_048), (256, 255, 65_536, 255))
    for number, edge in enumerate(edges):
        row = np.zeros(pose.COLUMNS, np.int32)
        row[:4] = edge
        vectors.append(_pose(f"edge_{number}", row, bytes(pose.EXTRA_BYTES), 0, 1))
    row = np.zeros(pose.COLUMNS, np.int32)
    row[:4] = (1, 30_001, 2, 3)
    vectors.append(_pose("tall_world", row, bytes(pose.EXTRA_BYTES), 0, 2))
    return vectors


def _pose(name: str, row: np.ndarray, extra: bytes, parts: int, y_unit_mm: int) -> dict[str, Any]:
    record = reference.full_record(reference.Entity(row, extra, parts))
    metres = [int(row[pose.X]) / 1000, int(row[pose.Y]) * y_unit_mm / 1000, int(row[pose.Z]) / 1000]
    return {
        "name": name, "body": (bytes((parts, record[0])) + record[1:]).hex(),
        "y_unit_mm": y_unit_mm, "root_m": metres,
        "yaw_rad": round(int(row[pose.YAW]) * 2 * math.pi / pose.YAW_STEPS, 9),
        **describe(row, extra, parts),
    }


def rotation_vectors() -> dict[str, Any]:
    """Codes with the quaternion that each means, and quaternions that must find a near code."""
    draw = np.random.default_rng(30)
    special = np.array([
        [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1],
        [1, 1, 1, 1], [1, -1, 1, -1], [0, math.sqrt(0.5), 0, math.sqrt(0.5)], [1, 1, 0, 0],
    ], np.float64)
    quaternions = np.concatenate([special, draw.normal(size=(55, 4))])
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    codes = np.concatenate([
        pose.encode_rotations(quaternions),
        np.array([0, 2**32 - 1, 511 | 511 << 10 | 511 << 20, 1023 | 3 << 30], np.uint32),
    ])
    return {
        "decode": [
            {"code": int(code), "quaternion": [round(float(v), 9) for v in quaternion]}
            for code, quaternion in zip(codes, pose.decode_rotations(codes), strict=True)
        ],
        "decode_tolerance": 1e-6,
        "encode": [[round(float(v), 9) for v in q] for q in quaternions],
        "encode_error_deg_max": 0.2,
    }


# --- snapshots ---------------------------------------------------------------------------


class Story:
    """One client's stream: operations in their order and the view expected after each."""

    def __init__(self, name: str, y_unit_mm: int = 1) -> None:
        self.name, self.y_unit_mm = name, y_unit_mm
        self.steps: list[dict[str, Any]] = []
        self._teller = reference.Teller()
        self._tick = 100

    def _view(self) -> dict[str, Any]:
        told = sorted(self._teller.told.items())
        return {str(index): describe(e.row, e.extra, e.parts) for index, e in told}

    def enter(self, index: int, entity_id: int) -> None:
        """An entity takes a free index."""
        entry = messages.EnterEntry(index, entity_id, messages.EntityKind.AVATAR, "", "")
        data = codec.encode(messages.Enter((entry,)))
        self.steps.append({"op": "enter", "hex": data.hex(), "view": self._view()})

    def leave(self, index: int) -> None:
        """The entity at `index` goes; the index is free."""
        self._teller.forget(index)
        data = codec.encode(messages.Leave(bytes([index])))
        self.steps.append({"op": "leave", "hex": data.hex(), "view": self._view()})

    def tell(self, changes: dict[int, Any], forms: str) -> None:
        """A snapshot; `forms` names the sections that it must consist of, for the reader."""
        self._tick += 1
        body = self._teller.body(changes)
        found = [snapshot.Form(s.form).name for s in snapshot.split_sections(body)]
        assert found == forms.split(), (self.name, found, forms)
        data = codec.encode_snapshot(self._tick, 50 * self._tick, 0, body)
        self.steps.append({"op": "snapshot", "tick": self._tick, "forms": found,
                           "hex": data.hex(), "body": body.hex(), "view": self._view()})

    def done(self) -> dict[str, Any]:
        """The story as JSON."""
        return {"name": self.name, "y_unit_mm": self.y_unit_mm, "steps": self.steps}


def entity(seed: int, parts: int, **root: int) -> Any:
    """An entity made from `seed` with some root columns set."""
    row, extra = row_and_extra(seed)
    for name, value in root.items():
        row[{"x": 0, "y": 1, "z": 2, "yaw": 3, "flags": 4}[name]] = value
    return reference.Entity(row, extra, parts)


def moved(before: Any, by: dict[int, int], parts: int | None = None) -> Any:
    """`before` with some columns changed by steps, perhaps with other parts."""
    row = before.row.copy()
    for column, step in by.items():
        row[column] += step
    row[pose.YAW] %= pose.YAW_STEPS
    return reference.Entity(row, before.extra, before.parts if parts is None else parts)


def story_of_a_life() -> dict[str, Any]:
    """FULL, DELTA, WIDE, fewer and more parts, leave, and the index given to another."""
    story = Story("life")
    story.enter(5, 70_000)
    now = entity(1, 3, x=1_000, y=0, z=-2_000, yaw=4_090)
    story.tell({5: now}, "FULL")
    head = pose.ROOT_COLUMNS
    now = moved(now, {pose.X: 70, pose.Z: -127, pose.YAW: 20, head: 5, head + 1: -128})
    story.tell({5: now}, "DELTA")
    now = moved(now, {pose.X: -1_500, pose.Y: 128, pose.YAW: -1_000, head + 3: (7 << 10) - 3})
    story.tell({5: now}, "WIDE")
    story.tell({}, "")
    now = moved(now, {pose.X: 1}, parts=1)
    story.tell({5: now}, "DELTA")
    now = moved(now, {pose.X: 1}, parts=3)
    story.tell({5: now}, "FULL")
    now = moved(now, {head: 128})
    story.tell({5: now}, "FULL")
    now = moved(now, {pose.FLAGS: pose.Flags.DISCONTINUITY, pose.X: 40_000})
    story.tell({5: now}, "FULL")
    story.leave(5)
    story.enter(5, 70_001)
    story.tell({5: entity(2, 0, x=-1, y=-1, z=-1, yaw=0)}, "FULL")
    return story.done()


def story_of_many() -> dict[str, Any]:
    """Several entities in one body, several sections, every kind of part."""
    story = Story("many")
    crowd = {index: entity(50 + index, parts) for index, parts in
             ((0, 3), (1, 3), (2, 0), (3, 7), (4, 11), (5, 19), (6, 35), (254, 63))}
    for index in crowd:
        story.enter(index, 1_000 + index)
    story.tell(crowd, "FULL FULL FULL FULL FULL FULL FULL")
    step = {pose.X: 3, pose.Z: -3}
    crowd = {index: moved(e, step if index != 1 else {pose.X: 900}) for index, e in crowd.items()}
    story.tell(crowd, "DELTA DELTA DELTA DELTA DELTA DELTA DELTA WIDE")
    story.leave(3)
    story.tell({0: moved(crowd[0], step)}, "DELTA")
    return story.done()


def story_of_a_tall_world() -> dict[str, Any]:
    """y in units of 2 mm: the steps of deltas are in those units too."""
    story = Story("tall", y_unit_mm=2)
    story.enter(0, 9)
    now = entity(3, 0, x=0, y=32_000, z=0, yaw=0)
    story.tell({0: now}, "FULL")
    story.tell({0: moved(now, {pose.Y: -100})}, "DELTA")
    return story.done()


# --- the files ---------------------------------------------------------------------------


def code_of(decode: Any, data: bytes) -> int:
    """The code with which `decode` refuses `data`."""
    try:
        decode(data)
    except ProtocolError as error:
        return int(error.code)
    raise AssertionError(f"{data.hex()} was taken")


class Writer:
    """Collects the files, and makes the entries of the JSON that name them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def entry(self, folder: str, name: str, data: bytes) -> dict[str, Any]:
        """One vector in a file of its own."""
        path = f"bin/{folder}/{name}.bin"
        self.files[path] = data
        short = {"hex": data.hex()} if len(data) <= HEX_BYTES_MAX else {}
        return {"name": name, "file": path, **short}

    def said(self, folder: str, all_of: dict[str, Any]) -> list[dict[str, Any]]:
        """Messages with their fields."""
        return [
            {**self.entry(folder, name, codec.encode(message)), "type": type(message).__name__,
             "op": messages.op_of(type(message)), "fields": fields_of(message)}
            for name, message in all_of.items()
        ]

    def refused(self, folder: str, all_of: dict[str, bytes], decode: Any) -> list[dict[str, Any]]:
        """Bytes with the code of their refusal."""
        return [
            {**self.entry(folder, name, data), "code": code_of(decode, data)}
            for name, data in all_of.items()
        ]


def malformed(writer: Writer) -> dict[str, Any]:
    """The lists of what must be refused."""
    client = cases.malformed_client() | {"too_large": b"\xc4" + bytes(16_384)}
    server = cases.malformed_server()
    code = int(ErrorCode.MALFORMED)
    return {
        "malformed_client": writer.refused("malformed_client", client, codec.decode_client),
        "malformed_server": writer.refused("malformed_server", server, codec.decode_server),
        "malformed_snapshots": {
            "before": reference.section(0, 1, [(5, bytes(21))]).hex(),
            "bodies": [{"name": name, "body": body.hex(), "code": code}
                       for name, body in cases.malformed_snapshots().items()],
        },
        "malformed_bodies": [
            {"name": name, "body": body.hex()} for name, body in cases.malformed_bodies().items()
        ],
    }


def build() -> dict[str, bytes]:
    """All files by their path relative to this folder."""
    writer = Writer()
    yaws = (0.0, 1.0, -1.0, 3.0, 3.2, 6.28, 6.283, -0.0001, 63.0)
    vectors = {
        "subprotocol": codec.SUBPROTOCOL,
        "protocol_hash": codec.PROTOCOL_HASH,
        "client_messages": writer.said("client", cases.client_messages()),
        "server_messages": writer.said("server", cases.server_messages()),
        "client_other_forms": [
            {"name": name, "hex": data.hex()} for name, data in cases.other_forms().items()
        ],
        "poses": pose_vectors(),
        "rotations": rotation_vectors(),
        "yaws": [{"yaw_rad": yaw, "steps": pose.quantise_yaw(yaw)} for yaw in yaws],
        "snapshots": [story_of_a_life(), story_of_many(), story_of_a_tall_world()],
        **malformed(writer),
    }
    text = json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"
    return writer.files | {"vectors.json": text.encode()}


def main() -> None:
    """Write all files and remove those that are no longer made."""
    files = build()
    for old in HERE.glob("bin/**/*.bin"):
        if str(old.relative_to(HERE)) not in files:
            old.unlink()
    for path, data in files.items():
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_bytes(data)
    print(f"{len(files)} files, protocol hash {codec.PROTOCOL_HASH}")


if __name__ == "__main__":
    main()

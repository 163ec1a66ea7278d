"""The golden vectors are what the generator writes, and what two decoders read.

`msgpack` is the oracle for the outer form: another implementation than the one in use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import make_golden
import msgpack
import numpy as np
import pytest
import wire_reference as reference

from atrium_shared import codec, messages, pose
from atrium_shared.errors import ProtocolError
from atrium_shared.snapshot import View

GOLDEN = Path(make_golden.__file__).parent
VECTORS: dict[str, Any] = json.loads((GOLDEN / "vectors.json").read_text("utf-8"))


def named(entries: list[dict[str, Any]]) -> list[Any]:
    """Parameters with their names as test ids."""
    return [pytest.param(entry, id=entry["name"]) for entry in entries]


def bytes_of(entry: dict[str, Any]) -> bytes:
    """The bytes in the file, which the JSON must repeat where it has them."""
    data = (GOLDEN / entry["file"]).read_bytes()
    assert "hex" not in entry or data.hex() == entry["hex"]
    return data


def unplain(value: Any) -> Any:
    """A field of the JSON as MessagePack has it: what says its kind in a word is a map there."""
    if isinstance(value, dict):
        if isinstance(value.get("kind"), str):
            return reference.told_properties(value)
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else list_of(value)
    return [unplain(item) for item in value] if isinstance(value, list) else value


def list_of(fields: dict[str, Any]) -> list[Any]:
    return [unplain(value) for value in fields.values()]


def test_the_generator_writes_exactly_these_files() -> None:
    files = make_golden.build()
    on_disk = {"vectors.json", *(str(p.relative_to(GOLDEN)) for p in GOLDEN.rglob("*.bin"))}
    assert on_disk == set(files)
    for path, data in files.items():
        assert (GOLDEN / path).read_bytes() == data, f"{path}: run tests/golden/make_golden.py"


@pytest.mark.parametrize("entry", named(VECTORS["client_messages"]))
def test_client_messages(entry: dict[str, Any]) -> None:
    data = bytes_of(entry)
    assert msgpack.unpackb(data) == [entry["op"], *list_of(entry["fields"])]
    message = codec.decode_client(data)
    assert type(message).__name__ == entry["type"]
    assert make_golden.fields_of(message) == entry["fields"]
    assert codec.encode(message) == data


@pytest.mark.parametrize("entry", named(VECTORS["server_messages"]))
def test_server_messages(entry: dict[str, Any]) -> None:
    data = bytes_of(entry)
    assert msgpack.unpackb(data) == [entry["op"], *list_of(entry["fields"])]
    message = codec.decode_server(data)
    assert type(message).__name__ == entry["type"]
    assert make_golden.fields_of(message) == entry["fields"]
    assert codec.encode(message) == data


@pytest.mark.parametrize("entry", named(VECTORS["client_other_forms"]))
def test_other_forms_mean_the_same(entry: dict[str, Any]) -> None:
    short = next(e for e in VECTORS["client_messages"] if e["name"] == entry["name"])
    assert entry["hex"] != short["hex"]
    message = codec.decode_client(bytes.fromhex(entry["hex"]))
    assert make_golden.fields_of(message) == short["fields"]


@pytest.mark.parametrize("entry", named(VECTORS["poses"]))
def test_poses(entry: dict[str, Any]) -> None:
    raw = np.frombuffer(bytes.fromhex(entry["body"]), np.uint8)[None]
    rows, extras = pose.decode_bodies(raw)
    found = make_golden.describe(rows[0], extras[0].tobytes(), entry["parts"])
    assert found == {key: entry[key] for key in found}
    assert pose.encode_bodies(rows, extras, entry["parts"]).tobytes() == raw.tobytes()
    y_m = rows[0, pose.Y] * entry["y_unit_mm"] / 1000
    assert [rows[0, pose.X] / 1000, y_m, rows[0, pose.Z] / 1000] == entry["root_m"]
    assert pose.yaw_of(rows[0, pose.YAW]) == pytest.approx(entry["yaw_rad"], abs=1e-8)


def test_rotations() -> None:
    rotations = VECTORS["rotations"]
    codes = np.array([entry["code"] for entry in rotations["decode"]], np.uint32)
    expected = np.array([entry["quaternion"] for entry in rotations["decode"]])
    assert np.abs(pose.decode_rotations(codes) - expected).max() < rotations["decode_tolerance"]
    wanted = np.array(rotations["encode"])
    back = pose.decode_rotations(pose.encode_rotations(wanted))
    chord = np.minimum(*(np.linalg.norm(back - s * wanted, axis=1) for s in (1, -1)))
    assert np.degrees(4 * np.arcsin(chord / 2)).max() < rotations["encode_error_deg_max"]


def test_yaws() -> None:
    for entry in VECTORS["yaws"]:
        assert pose.quantise_yaw(entry["yaw_rad"]) == entry["steps"]


@pytest.mark.parametrize("story", named(VECTORS["snapshots"]))
def test_snapshot_sequences(story: dict[str, Any]) -> None:
    view, held = View(), set[int]()
    for step in story["steps"]:
        message = codec.decode_server(bytes.fromhex(step["hex"]))
        if isinstance(message, messages.Snapshot):
            held.update(view.apply(message.tick, message.body).tolist())
            assert (message.tick, message.body.hex()) == (step["tick"], step["body"])
        else:
            assert isinstance(message, messages.Enter | messages.Leave)
            left = message.indexes if isinstance(message, messages.Leave) else b""
            for index in left:
                view.forget(index)
                held.discard(index)
        found = {
            str(index): make_golden.describe(
                view.rows[index], view.extras[index].tobytes(), int(view.parts[index])
            )
            for index in sorted(held)
        }
        for index, entity in found.items():
            assert entity == step["view"][index]
        assert set(found) == set(step["view"])


@pytest.mark.parametrize("entry", named(VECTORS["malformed_client"]))
def test_malformed_client_messages(entry: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_client(bytes_of(entry))
    assert caught.value.code == entry["code"]


@pytest.mark.parametrize("entry", named(VECTORS["malformed_server"]))
def test_malformed_server_messages(entry: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_server(bytes_of(entry))
    assert caught.value.code == entry["code"]


@pytest.mark.parametrize("entry", named(VECTORS["malformed_snapshots"]["bodies"]))
def test_malformed_snapshots(entry: dict[str, Any]) -> None:
    view = View()
    view.apply(1, bytes.fromhex(VECTORS["malformed_snapshots"]["before"]))
    with pytest.raises(ProtocolError) as caught:
        view.apply(2, bytes.fromhex(entry["body"]))
    assert caught.value.code == entry["code"]


@pytest.mark.parametrize("entry", named(VECTORS["malformed_bodies"]))
def test_malformed_bodies(entry: dict[str, Any]) -> None:
    raw = np.frombuffer(bytes.fromhex(entry["body"]), np.uint8)[None]
    with pytest.raises(ValueError, match="does not belong"):
        pose.decode_bodies(raw)

"""A broken or hostile file is refused with a sentence: nothing else ever leaves the importer."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.interchange import importing
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.copier import Copier
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.export import ExportOptions, export_world
from atrium_server.interchange.importing import Imported, ImportOptions, import_world
from atrium_server.world.props import Prop
from atrium_shared import limits
from atrium_shared.props import Group, Light, Model, Shape, Sign, Spawn, Transform, Zone

sys.path.insert(0, str(Path(__file__).parent))
import interchange_scenes as scenes

MUTATIONS = 1_500
SEED = 20_261


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def read(data: bytes, *, whole: bool = False) -> Imported:
    return import_world(data, ImportOptions("plaza", whole), lambda _asset: False)


def refused(data: bytes) -> str:
    """The sentence that a file is refused with."""
    with pytest.raises(InterchangeError) as error:
        read(data)
    sentence = str(error.value)
    assert sentence[-1] in ".", sentence
    assert len(sentence) < 500
    return sentence


def whole_world() -> bytes:
    """A file with everything in it."""
    rich = scenes.rich_glb()
    asset = hashlib.sha256(rich).hexdigest()
    return export_world({
        key(1): Prop(Transform(), Group(title="g")),
        key(2): Prop(Transform((1.0, 2.0, 3.0)), Shape(), key(1)),
        key(3): Prop(Transform(), Model(asset=asset, collides=True)),
        key(4): Prop(Transform(), Light()), key(5): Prop(Transform(), Zone()),
        key(6): Prop(Transform(), Sign(text="hello")), key(7): Prop(Transform(), Spawn()),
    }, {asset: rich}, ExportOptions()).data


def node(**parts: Any) -> bytes:
    return scenes.foreign({"nodes": [{"mesh": 0, **parts}], "scenes": [{"nodes": [0]}]})


# --- containers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "no glTF"), (b"glTF", "not whole"), (b"hello", "no glTF"), (b"{}", "no glTF"),
        (b"[]", "no glTF"), (b'{"asset":{"version":"1.0"}}', "not of glTF 2"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "glTF 1"),
        (b"glTF" + struct.pack("<II", 2, 2**32 - 1) + bytes(8), "not whole"),
        (b"glTF" + struct.pack("<II", 2, 20) + struct.pack("<I4s", 99, b"JSON"), "longer"),
        (b"glTF" + struct.pack("<II", 2, 20) + struct.pack("<I4s", 0, b"BIN\0"), "begin with"),
        (b'{"asset":{"version":"2.0"},"nodes":' + b"[" * 90_000, "no glTF"),
        (b'{"asset":{"version":"2.0"},"extras":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested"),
        (b'{"asset":{"version":"2.0"},"nodes":[{"translation":[NaN,0,0]}]}', "no glTF"),
        (b'{"asset":{"version":"2.0"},"nodes":[{"translation":[1e999,0,0]}]}', "no glTF"),
        (b'{"asset":{"version":"2.0"},"nodes":[{"mesh":-1}]}', "no glTF"),
        (b'{"asset":{"version":"2.0"},"nodes":[{"mesh":1e9}]}', "no glTF"),
        (b'{"asset":{"version":"2.0"},"nodes":[{"name":"\xff"}]}', "no glTF"),
        (b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9,"uri":"../x.bin"}]}', "one"),
        (b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9,"uri":"https://x/y"}]}', "one"),
        (b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9,"uri":"data:;base64,!"}]}',
         "broken"),
        (b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9,"uri":"data:,abc"}]}', "base64"),
        (b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9}]}', "not in the file"),
        (b'{"asset":{"version":"2.0"},"extensionsRequired":["KHR_draco_mesh_compression"]}',
         "compression"),
    ],
)
def test_what_is_no_file_of_ours(data: bytes, word: str) -> None:
    assert word in refused(data)


def test_half_a_file_is_refused() -> None:
    data = whole_world()
    for length in (10, 25, 400, len(data) // 2, len(data) - 1):
        assert "not whole" in refused(data[:length])


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMPORT_BYTES_MAX", 1_000)
    assert "too large" in refused(bytes(1_001))
    monkeypatch.setattr(limits, "IMPORT_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(limits, "IMPORT_JSON_BYTES_MAX", 100)
    assert "JSON of the file is too large" in refused(whole_world())


# --- parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"nodes": [{"children": [0]}]}, "within themselves"),
        ({"nodes": [{"children": [1]}, {"children": [0]}]}, "within themselves"),
        ({"nodes": [{"children": [1]}, {"children": [1]}]}, "in two others"),
        ({"nodes": [{"children": [1, 1]}, {}]}, "in two others"),
        ({"nodes": [{"children": [7]}]}, "names node 7"),
        ({"nodes": [{"mesh": 7}]}, "names mesh 7"),
        ({"nodes": [{"skin": 0}]}, "names skin 0"),
        ({"nodes": [{"children": [1]}, {}], "scenes": [{"nodes": [1]}]}, "root of a scene"),
        ({"nodes": [{}], "scenes": [{"nodes": [0, 0]}]}, "twice"),
        ({"nodes": [{"children": [n + 1]} for n in range(70)] + [{}]}, "nested too deeply"),
        ({"nodes": [{"extras": {"x": "y" * 1_000_000}}]}, "extras"),
        ({"scene": 5}, "names scene 5"),
        ({"accessors": [{"componentType": 5126, "count": 10**9, "type": "VEC3"}]}, "no glTF"),
        ({"nodes": [], "meshes": [], "accessors": [{"componentType": 5126, "count": 10**7,
            "type": "VEC3", "bufferView": 0}]}, "beyond"),
        ({"nodes": [], "meshes": [], "accessors": [{"componentType": 5126, "count": 1, "type":
            "VEC3", "bufferView": 0, "byteOffset": 2}]}, "aligned"),
        ({"nodes": [], "meshes": [], "accessors": [{"componentType": 5126, "count": 1, "type":
            "VEC3", "bufferView": 99}]}, "buffer view 99"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 10**9}]}, "beyond its buffer"),
        ({"bufferViews": [{"buffer": 3, "byteLength": 1}]}, "buffer 3"),
        ({"buffers": [{"byteLength": 10**9}]}, "longer than the bytes"),
        ({"nodes": [{"extensions": {"KHR_lights_punctual": {"light": 4}}}]}, "light 4"),
        ({"nodes": [{"extensions": {"KHR_lights_punctual": []}}]}, "broken"),
        ({"nodes": [{"extensions": {"OMI_seat": {}}}]}, "broken"),
        ({"nodes": [{"extensions": {"OMI_seat": {
            "back": [0, 0, 0], "knee": [0, 0, 1], "foot": [0, 0, 2]}}}]}, "on a line"),
        ({"nodes": [{"extensions": {"OMI_physics_body": {"trigger": {"shape": 3}}}}]}, "shape"),
        ({"nodes": [{"rotation": [0, 0, 0, 0], "mesh": 0}]}, "no direction"),
        ({"nodes": [{"translation": [1e9, 0, 0], "mesh": 0}]}, "outside"),
        ({"nodes": [{"matrix": [1e308] * 16, "mesh": 0, "children": [1]},
                    {"scale": [1e308] * 3, "mesh": 0}]}, "outside"),
        ({"nodes": [{"translation": [1e308] * 3, "scale": [1e308] * 3, "children": [1]},
                    {"translation": [1e308] * 3, "mesh": 0}]}, "outside"),
        ({"materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 9}}}]}, "texture"),
        ({"materials": [{"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}]}, "deep"),
        ({"materials": [{"name": "x" * 20_000}]}, "material"),
        ({"materials": [7]}, "material"),
        ({"materials": []}, "names material 0"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, Any], word: str) -> None:
    base: dict[str, Any] = {"nodes": [{"mesh": 0}], "scenes": []}
    assert word in refused(scenes.foreign({**base, **change}))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_in_meshes_are_finite(value: str) -> None:
    data = bytearray(node())
    (length,) = struct.unpack_from("<I", data, 12)
    struct.pack_into("<f", data, 20 + length + 8, float(value))
    assert "finite" in refused(bytes(data))


def test_corners_are_there() -> None:
    data = bytearray(node())
    data[-2:] = b"\xff\xff"
    assert "corner that is not there" in refused(bytes(data))


def test_huge_numbers_of_props_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPS_PER_WORLD_MAX", 2)
    assert "more than 2 props" in refused(whole_world())


def test_things_that_share_much_are_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"mesh": 0}, {"mesh": 0, "children": [2]}, {}]
    data = scenes.foreign({"nodes": nodes, "scenes": [{"nodes": [0, 1]}]})
    one = max(map(len, read(data).files.values()))
    monkeypatch.setattr(limits, "EXPORT_BYTES_MAX", one + 100)
    assert "--whole" in refused(data)
    assert len(read(data, whole=True).files) == 1


def test_what_is_too_much_is_refused_before_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is askew in its own way, so no two are the same model."""
    nodes = [
        {"mesh": 0, "matrix": [1, n / 100, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}
        for n in range(1, 60)
    ]
    data = scenes.foreign({"nodes": nodes, "scenes": [{"nodes": [*range(len(nodes))]}]})
    assert len(read(data).files) == len(nodes)
    copied = 0
    add_bytes = Builder.add_bytes

    def counted(self: Builder, data: bytes | memoryview) -> int:
        nonlocal copied
        copied += len(data)
        return add_bytes(self, data)

    monkeypatch.setattr(Builder, "add_bytes", counted)
    monkeypatch.setattr(limits, "EXPORT_BYTES_MAX", 200)
    assert "--whole" in refused(data)
    assert copied <= 200


@pytest.mark.parametrize("whole", [False, True])
def test_equal_things_are_cut_out_once(monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    cuts: list[Copier] = []

    def copier(*arguments: Any) -> Copier:
        cuts.append(Copier(*arguments))
        return cuts[-1]

    monkeypatch.setattr(importing, "Copier", copier)
    count = 300
    nodes: list[dict[str, Any]] = [
        {"name": f"n{n}", "mesh": 0, "translation": [n, 0, 0], "children": [count + n]}
        for n in range(count)
    ] + [{"name": "child", "mesh": 0, "translation": [0, 1, 0]} for _ in range(count)]
    nodes[count]["name"] = "another"
    data = scenes.foreign({"nodes": nodes, "scenes": [{"nodes": [*range(count)]}]})
    back = read(data, whole=whole)
    assert len(back.files) == len(cuts) == (1 if whole else 2)


def test_what_moves_or_bends_is_cut_out_each_time() -> None:
    rich = scenes.json_of(scenes.rich_glb())
    second = [{"children": [4, 5]}, {}, {"mesh": 0, "skin": 1}]
    data = scenes.with_json(scenes.rich_glb(), {
        **rich, "nodes": [*rich["nodes"], *second],
        "skins": [*rich["skins"], {**rich["skins"][0], "joints": [4], "skeleton": 4}],
        "scenes": [{"nodes": [0, 3]}],
    })
    assert len(read(data).files) == 2, "only the first has an animation"


def test_the_store_is_asked_once_for_each_file() -> None:
    asked: list[str] = []

    def has_file(asset: str) -> bool:
        asked.append(asset)
        return True

    model = Prop(Transform(), Model(asset="a" * 64))
    data = export_world({key(n): model for n in range(1, 9)}, {}, ExportOptions()).data
    import_world(data, ImportOptions("plaza"), has_file)
    assert asked == ["a" * 64]


def test_groups_within_groups_have_a_bound() -> None:
    world = {
        key(n): Prop(Transform(), Group(), key(n - 1) if n > 1 else b"")
        for n in range(1, limits.GROUP_DEPTH_MAX + 2)
    }
    assert "deep" in refused(export_world(world, {}, ExportOptions()).data)


def test_groups_are_scaled_evenly() -> None:
    world = {key(1): Prop(Transform(scale=(1.0, 2.0, 1.0)), Group())}
    assert "differently" in refused(export_world(world, {}, ExportOptions()).data)


def test_warnings_have_a_bound() -> None:
    warnings = Warnings()
    for number in range(10 * limits.IMPORT_WARNINGS_MAX):
        warnings.add(f"Something {number}.")
        warnings.add("Always the same.")
    told = warnings.told()
    assert len(told) == limits.IMPORT_WARNINGS_MAX + 1
    assert "Always the same. (1,000 times)" in told
    assert told[-1] == f"... and {9 * limits.IMPORT_WARNINGS_MAX + 1} more."


# --- anything ----------------------------------------------------------------------------


def tried(data: bytes) -> bool:
    """Whether a file was taken; only its own error may leave the importer."""
    try:
        taken = read(data)
    except InterchangeError:
        return False
    for prop in taken.props.values():
        assert isinstance(prop, Prop)
        assert all(abs(one) <= limits.WORLD_EXTENT_M_MAX for one in prop.transform.position_m)
    export_world(taken.props, taken.files, ExportOptions())
    return True


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    tried(data)
    tried(b"glTF" + struct.pack("<II", 2, 12 + len(data)) + data)


HOSTILE: list[Any] = [
    -1, 0, 1, 2**31, 2**63, 1e308, -1e308, 1e-308, "", "a" * 5_000, "\u0000", "\u202e", None, True,
    [], {}, [[]], [1e308] * 3, [0, 0, 0, 0], [0] * 16, {"index": 0}, "data:;base64,AAAA", 0.5,
]


def mutated(value: Any, chance: random.Random) -> Any:
    """The same with something in it replaced, left out or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.97:
        name = chance.choice(sorted(value))
        copy = dict(value)
        if chance.random() < 0.06:
            del copy[name]
        else:
            copy[name] = mutated(value[name], chance)
        return copy
    if isinstance(value, list) and value and chance.random() < 0.97:
        place = chance.randrange(len(value))
        inner = mutated(value[place], chance)
        doubled = [inner, inner] if chance.random() < 0.05 else [inner]
        return [*value[:place], *doubled, *value[place + 1 :]]
    return chance.choice(HOSTILE)


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_files_with_changed_json(name: str) -> None:
    base = whole_world() if name == "ours" else scenes.rich_glb()
    gltf = scenes.json_of(base)
    taken = 0
    for round_ in range(MUTATIONS):
        chance = random.Random(f"{SEED}/{name}/{round_}")
        changed = gltf
        for _ in range(chance.choice([1, 1, 2, 4])):
            changed = mutated(changed, chance)
        if not isinstance(changed, dict):
            continue
        try:
            taken += tried(scenes.with_json(base, changed))
        except Exception:
            sys.stderr.write(f"seed {SEED}, {name}, round {round_}: {json.dumps(changed)[:500]}\n")
            raise
    assert 100 < taken < MUTATIONS, "some are taken and some refused"


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_files_with_changed_bytes(name: str) -> None:
    base = whole_world() if name == "ours" else scenes.rich_glb()
    for round_ in range(MUTATIONS):
        chance = random.Random(f"{SEED}/bytes/{name}/{round_}")
        data = bytearray(base)
        for _ in range(chance.choice([1, 2, 8])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        tried(bytes(data))


def test_the_json_of_a_file_is_found_and_replaced() -> None:
    base = scenes.rich_glb()
    assert scenes.with_json(base, scenes.json_of(base)) == base
    assert msgspec.json.encode(scenes.json_of(base)) in base

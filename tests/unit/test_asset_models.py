"""glTF models: what they cost to show, and every way in which a file can lie about that."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atrium_server.assets.gltf import check_gltf
from atrium_server.assets.gltf_document import EXTENSIONS_REFUSED
from atrium_server.assets.verdict import GLB, GLTF, Facts, Unfit
from atrium_shared import limits

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import asset_samples as samples
from vrm_sample import vrm_document

Change = Callable[[dict[str, Any]], object]


def facts_of(document: dict[str, Any], binary: bytes = samples.BINARY) -> Facts:
    return check_gltf(samples.glb(document, binary), GLB)


def refusal_of(data: bytes, media_type: str = GLB) -> str:
    with pytest.raises(Unfit) as refused:
        check_gltf(data, media_type)
    return refused.value.sentence


def changed(change: Change) -> bytes:
    document = samples.triangle()
    change(document)
    return samples.glb(document)


def test_a_triangle_is_measured() -> None:
    facts = facts_of(samples.triangle())
    assert (facts.triangles, facts.vertices, facts.draws, facts.materials) == (1, 3, 1, 1)
    assert facts.bounds == ((0, 0, 0), (1, 2, 0))
    same = check_gltf(samples.gltf(), GLTF)
    assert (same.triangles, same.bounds) == (facts.triangles, facts.bounds)


def test_what_is_shown_often_counts_often() -> None:
    document = samples.triangle()
    document["nodes"] = [{"children": [1, 2, 3]}] + 3 * [{"mesh": 0}]
    facts = facts_of(document)
    assert (facts.triangles, facts.vertices, facts.draws) == (3, 9, 3)


def test_the_bounds_are_those_of_the_scene() -> None:
    document = samples.triangle()
    half = 0.5 ** 0.5
    document["nodes"] = [
        {"translation": [10, 0, 0], "children": [1]},
        {"rotation": [0, 0, half, half], "scale": [2, 2, 2], "mesh": 0},  # a quarter turn about z
        {"translation": [1_000, 0, 0], "mesh": 0},  # in no scene
    ]
    facts = facts_of(document)
    assert facts.bounds is not None
    assert np.allclose(facts.bounds, ((6, 0, 0), (10, 2, 0)))


def test_a_matrix_is_read_by_columns() -> None:
    document = samples.triangle()
    document["nodes"][0]["matrix"] = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]
    assert facts_of(document).bounds == ((5, 6, 7), (6, 8, 7))


def test_embedded_images_are_looked_at() -> None:
    facts = check_gltf(samples.textured(samples.png(), "image/png"), GLB)
    assert [(image.width_px, image.height_px) for image in facts.images] == [(8, 4)]
    assert "Make it smaller" in refusal_of(samples.textured(samples.png_bomb(), "image/png"))
    assert "another type" in refusal_of(samples.textured(samples.jpeg(), "image/png"))
    assert "another type" in refusal_of(samples.textured(samples.ogg(), "audio/ogg"))
    assert "web page" in refusal_of(samples.textured(b"<svg/>" * 9, "image/png"))


def test_a_crowd_of_images_is_refused_before_one_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atrium_server.assets.gltf.decode_image", None)
    document = samples.triangle()
    view, binary = samples.with_data(document, samples.png_bomb(5_000, 5_000))
    document["images"] = 3 * [{"bufferView": view}]  # all of the same bytes
    assert "pixels together" in refusal_of(samples.glb(document, binary))


@pytest.mark.parametrize(
    "uri",
    ["https://example.org/a.bin", "../../etc/passwd", "file:///etc/passwd", "a.bin", "", "DATA:",
     "//example.org/a"],
)
@pytest.mark.parametrize("where", ["buffer", "image", "extension"])
def test_a_model_asks_for_no_other_file(uri: str, where: str) -> None:
    document = samples.triangle()
    if where == "buffer":
        document["buffers"][0]["uri"] = uri
    elif where == "image":
        document["images"] = [{"uri": uri}]
    else:
        document["nodes"][0]["extras"] = {"deep": [{"uri": uri}]}
    assert "other files" in refusal_of(samples.glb(document))


@pytest.mark.parametrize(
    "uri",
    ["data:text/html;base64,PHNjcmlwdD4=", "data:application/octet-stream,abc",
     "data:application/octet-stream;base64,%%%", "data:"],
)
def test_embedded_bytes_are_base64_of_a_known_type(uri: str) -> None:
    document = samples.triangle()
    document["buffers"][0]["uri"] = uri
    assert "embedded part" in refusal_of(samples.glb(document))


def test_extensions_are_those_of_the_list() -> None:
    def required(name: str) -> bytes:
        return changed(lambda d: d.update(extensionsUsed=[name], extensionsRequired=[name]))

    assert check_gltf(required("KHR_materials_unlit"), GLB).triangles == 1
    assert "EXT_unheard_of" in refusal_of(required("EXT_unheard_of"))
    offered = changed(lambda d: d.update(extensionsUsed=["EXT_unheard_of"]))
    assert check_gltf(offered, GLB).triangles == 1, "a client may leave it out"
    for name in ("KHR_draco_mesh_compression", "EXT_mesh_gpu_instancing"):
        sentence = refusal_of(changed(lambda d, name=name: d.update(extensionsUsed=[name])))
        assert name in sentence, "what a client does with it cannot be counted here"


@pytest.mark.parametrize("name", sorted(EXTENSIONS_REFUSED))
@pytest.mark.parametrize("where", ["node", "primitive", "buffer view", "document"])
def test_an_extension_is_refused_where_it_stands(name: str, where: str) -> None:
    """Clients look at the part that carries it, and not at the list of what is used."""

    def carry(document: dict[str, Any]) -> None:
        assert "extensionsUsed" not in document
        part = {
            "node": document["nodes"][0], "buffer view": document["bufferViews"][0],
            "primitive": document["meshes"][0]["primitives"][0], "document": document,
        }[where]
        part["extensions"] = {name: {}}

    assert name in refusal_of(changed(carry))


BROKEN: dict[str, tuple[Change, str]] = {
    "another glTF": (lambda d: d["asset"].update(version="1.0"), "another glTF"),
    "a newer glTF": (lambda d: d["asset"].update(minVersion="2.1"), "another glTF"),
    "no asset": (lambda d: d.pop("asset"), "does not follow"),
    "a circle": (
        lambda d: d.update(nodes=[{"children": [1]}, {"children": [0]}], scenes=[]), "circle"
    ),
    "itself as child": (lambda d: d["nodes"][0].update(children=[0]), "circle"),
    "two parents": (
        lambda d: d.update(nodes=[{"children": [2]}, {"children": [2]}, {"mesh": 0}]), "no tree"
    ),
    "the same child twice": (
        lambda d: d.update(nodes=[{"children": [1, 1]}, {"mesh": 0}]), "no tree"
    ),
    "a child that is not there": (lambda d: d["nodes"][0].update(children=[7]), "no tree"),
    "nodes too deep": (
        lambda d: d.update(nodes=[{"children": [n + 1]} for n in range(100)] + [{"mesh": 0}]),
        "nested more than",
    ),
    "too many nodes": (
        lambda d: d.update(nodes=[{"mesh": 0}] * (limits.GLTF_NODES_MAX + 1)), "does not follow"
    ),
    "too much to draw": (
        lambda d: d.update(nodes=[{"mesh": 0}] * (limits.GLTF_DRAWS_MAX + 1)), "parts to draw"
    ),
    "a scene with a child": (
        lambda d: d.update(nodes=[{"children": [1]}, {"mesh": 0}], scenes=[{"nodes": [1]}]),
        "no root",
    ),
    "a scene that is not there": (lambda d: d.update(scene=3), "does not have"),
    "a mesh that is not there": (lambda d: d["nodes"][0].update(mesh=1), "not there"),
    "a material that is not there": (
        lambda d: d["meshes"][0]["primitives"][0].update(material=9), "material"
    ),
    "a texture that is not there": (
        lambda d: d["materials"][0].update(emissiveTexture={"index": 0}), "texture"
    ),
    "a texture inside an extension": (
        lambda d: d["materials"][0].update(
            extensions={"KHR_materials_clearcoat": {"clearcoatTexture": {"index": 5}}}
        ), "texture",
    ),
    "a texture without a number": (
        lambda d: d["materials"][0].update(normalTexture={}), "texture"
    ),
    "an image that is not there": (lambda d: d.update(textures=[{"source": 0}]), "image"),
    "an accessor that is not there": (
        lambda d: d["meshes"][0]["primitives"][0].update(indices=7), "accessor"
    ),
    "a view that is not there": (lambda d: d["accessors"][0].update(bufferView=9), "buffer view"),
    "a buffer that is not there": (lambda d: d["bufferViews"][0].update(buffer=1), "outside"),
    "a view outside its buffer": (
        lambda d: d["bufferViews"][1].update(byteLength=60), "outside"
    ),
    "a view far outside": (
        lambda d: d["bufferViews"][1].update(byteOffset=1 << 30), "outside"
    ),
    "an accessor outside its view": (lambda d: d["accessors"][0].update(count=4), "outside"),
    "an accessor far outside": (
        lambda d: d["accessors"][1].update(count=100_000_000), "outside"
    ),
    "an accessor of four thousand million": (
        lambda d: d["accessors"][1].update(count=4_000_000_000), "does not follow"
    ),
    "an accessor that unpacks to a lot": (
        lambda d: d["accessors"].append({
            "componentType": 5126, "count": 100_000_000, "type": "MAT4",
            "sparse": {"count": 1, "indices": {"bufferView": 1, "componentType": 5123},
                       "values": {"bufferView": 0}},
        }), "too much data",
    ),
    "an accessor without data": (lambda d: d["accessors"][0].pop("bufferView"), "no data"),
    "a count below one": (lambda d: d["accessors"][0].update(count=0), "does not follow"),
    "a negative offset": (
        lambda d: d["accessors"][0].update(byteOffset=-4), "does not follow"
    ),
    "an odd offset": (
        lambda d: (d["accessors"][1].update(byteOffset=1, count=2)), "not aligned"
    ),
    "a stride below an element": (
        lambda d: d["bufferViews"][0].update(byteStride=8), "outside"
    ),
    "an odd stride": (lambda d: d["bufferViews"][0].update(byteStride=13), "does not follow"),
    "an unknown number": (
        lambda d: d["accessors"][0].update(componentType=5124), "unknown type"
    ),
    "an unknown shape": (lambda d: d["accessors"][0].update(type="VEC5"), "unknown type"),
    "positions of a wrong type": (
        lambda d: d["accessors"][0].update(type="VEC2", count=3, min=[0, 0], max=[9, 9]),
        "positions",
    ),
    "indices of a wrong type": (
        lambda d: d["meshes"][0]["primitives"][0].update(indices=0), "indices"
    ),
    "attributes of different length": (
        lambda d: d["meshes"][0]["primitives"][0]["attributes"].update(COLOR_0=1)
        or d["accessors"][1].update(count=2), "fit together",
    ),
    "a mesh without attributes": (
        lambda d: d["meshes"][0]["primitives"][0].update(attributes={}), "fit together"
    ),
    "a false size": (lambda d: d["accessors"][0].update(max=[1, 9, 0]), "another size"),
    "a far place": (
        lambda d: d["nodes"][0].update(translation=[1e6, 0, 0]), "reaches further"
    ),
    "no place at all": (
        lambda d: d["nodes"][0].update(scale=[1e300, 1, 1], translation=[0, 0, 0])
        or d["nodes"].append({"children": [0], "scale": [1e300, 1, 1]})
        or d.update(scenes=[{"nodes": [1]}]), "at no place",
    ),
    "no direction": (lambda d: d["nodes"][0].update(rotation=[0, 0, 0, 0]), "no direction"),
    "a short matrix": (lambda d: d["nodes"][0].update(matrix=[1] * 15), "does not follow"),
    "a bone that is not there": (lambda d: d.update(skins=[{"joints": [9]}]), "bone"),
    "lights for a city": (
        lambda d: d.update(nodes=[
            {"extensions": {"KHR_lights_punctual": {"light": 0}}}
            for _ in range(limits.GLTF_LIGHTS_MAX + 1)
        ]), "lights",
    ),
    "an animation of nothing": (
        lambda d: d.update(animations=[{
            "channels": [{"sampler": 0, "target": {"node": 5, "path": "scale"}}],
            "samplers": [{"input": 0, "output": 0}],
        }]), "animation",
    ),
    "an animation without times": (
        lambda d: d.update(animations=[{
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "scale"}}],
            "samplers": [{"input": 0, "output": 0}],
        }]), "animation",
    ),
    "a buffer that is too short": (
        lambda d: d["buffers"][0].update(byteLength=10_000), "shorter"
    ),
    "bytes that nobody announced": (
        lambda d: d["buffers"][0].update(byteLength=8)
        or d.update(bufferViews=[], accessors=[], meshes=[], nodes=[], scenes=[{}]), "longer",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_model_is_refused(what: str) -> None:
    change, words = BROKEN[what]
    assert words in refusal_of(changed(change))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    binary = struct.pack("<f", number) + samples.BINARY[4:]
    document = samples.triangle()
    del document["accessors"][0]["min"], document["accessors"][0]["max"]
    assert "NaN" in refusal_of(samples.glb(document, binary))


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"1e999", b"-1e999"])
def test_numbers_that_are_none_are_refused_in_json_too(text: bytes) -> None:
    document = samples.triangle()
    document["nodes"][0]["translation"] = [0, 0, 12345]
    data = json.dumps(document).encode().replace(b"12345", text)
    refusal_of(samples.glb(data))


def test_an_index_beyond_the_vertices_is_refused() -> None:
    binary = samples.POSITIONS + np.array([0, 1, 3, 0], "<u2").tobytes()
    assert "vertex" in refusal_of(samples.glb(None, binary))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{" * 50 + b"}", "damaged"),
        (b'{"asset":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeply"),
        (b'{"extras":' + b"[" * 200 + b"]" * 200 + b"}", "deeply"),
        (b'{"extras":[' + b"0," * 600_000 + b"0]}", "too large"),
        (b'{"asset":{"version":"2.0"}', "damaged"),
        (b'{"asset":"\xff\xfe"}', "damaged"),
        (b"[]", "does not follow"),
        (b"0", "does not follow"),
    ],
)
def test_broken_json_is_refused(text: bytes, words: str) -> None:
    assert words in refusal_of(samples.glb(text))


def test_a_container_that_lies_about_its_length_is_refused() -> None:
    data = samples.glb()
    for size in range(12, len(data)):
        refusal_of(data[:size])
        refusal_of(struct.pack("<4sII", b"glTF", 2, size) + data[12:size])
    assert "says that it has" in refusal_of(data + b"more")
    longer = struct.pack("<4sII", b"glTF", 2, len(data) + 12) + data[12:]
    assert "more parts" in refusal_of(longer + struct.pack("<I4s", 4, b"EVIL") + bytes(4))
    refusal_of(struct.pack("<4sII", b"glTF", 1, len(data)) + data[12:])


def test_morph_targets_skins_and_animations_are_taken() -> None:
    document = samples.triangle()
    times = np.array([0, 0.5, 2.5], "<f4").tobytes()
    view, binary = samples.with_data(document, times)
    document["accessors"].append(
        {"bufferView": view, "componentType": 5126, "count": 3, "type": "SCALAR"}
    )
    document["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": 0}]
    document["nodes"] = [{"mesh": 0, "skin": 0}, {}]
    document["skins"] = [{"joints": [1]}]
    document["animations"] = [{
        "channels": [{"sampler": 0, "target": {"node": 1, "path": "translation"}}],
        "samplers": [{"input": 2, "output": 0}],
    }]
    facts = facts_of(document, binary)
    assert (facts.joints, facts.animations, facts.animation_s) == (1, 1, 2.5)
    backwards = binary[: len(samples.BINARY)] + np.array([0, 2, 1], "<f4").tobytes()
    assert "backwards" in refusal_of(samples.glb(document, backwards))


def test_sparse_positions_are_measured_as_they_are_shown() -> None:
    document = samples.triangle()
    patch = struct.pack("<HH3f", 2, 0, 0, 9, 0)
    view, binary = samples.with_data(document, patch)
    document["accessors"][0] |= {
        "max": [1, 9, 0],
        "sparse": {"count": 1, "indices": {"bufferView": view, "componentType": 5123},
                   "values": {"bufferView": view, "byteOffset": 4}},
    }
    facts = facts_of(document, binary)
    assert facts.bounds == ((0, 0, 0), (1, 9, 0))
    outside = binary.replace(patch, struct.pack("<HH3f", 3, 0, 0, 9, 0))
    assert "sparse" in refusal_of(samples.glb(document, outside))


def test_small_positions_need_their_extension() -> None:
    document = samples.triangle()
    places = np.array([(0, 0, 0, 0), (127, 0, 0, 0), (0, -127, 0, 0)], "i1").tobytes()
    view, binary = samples.with_data(document, places)
    document["bufferViews"][view]["byteStride"] = 4
    document["accessors"][0] = {
        "bufferView": view, "componentType": 5120, "count": 3, "type": "VEC3", "normalized": True
    }
    assert "positions" in refusal_of(samples.glb(document, binary))
    document["extensionsUsed"] = document["extensionsRequired"] = ["KHR_mesh_quantization"]
    assert facts_of(document, binary).bounds == ((0, -1, 0), (1, 0, 0))


def test_strips_and_fans_are_counted() -> None:
    for mode, triangles in ((0, 0), (1, 0), (4, 1), (5, 1), (6, 1)):
        document = samples.triangle()
        document["meshes"][0]["primitives"][0]["mode"] = mode
        assert facts_of(document).triangles == triangles


def test_too_many_triangles_are_refused() -> None:
    document = samples.triangle()
    count = 3_000
    view, binary = samples.with_data(document, bytes(2 * 3 * count))
    document["accessors"][1] = {
        "bufferView": view, "componentType": 5123, "count": 3 * count, "type": "SCALAR"
    }
    document["nodes"] = [{"mesh": 0}] * (limits.GLTF_TRIANGLES_MAX // count + 1)
    assert "triangles" in refusal_of(samples.glb(document, binary))


def test_an_avatar_in_vrm_is_taken_whatever_it_offers_beside() -> None:
    """What a client need not know is in VRM's extensions; a file that demands them is refused."""
    document, binary = vrm_document()
    facts = facts_of(document, binary)
    assert (facts.triangles, len(facts.images)) == (228, 1)
    document["extensionsUsed"] += ["VRMC_materials_mtoon", "VRMC_node_constraint"]
    document["materials"][0]["extensions"] = {"VRMC_materials_mtoon": {
        "specVersion": "1.0", "shadeMultiplyTexture": {"index": 0}, "shadingToonyFactor": 0.9,
    }}
    facts_of(document, binary)
    document["extensionsRequired"] = ["VRMC_vrm"]
    assert "VRMC_vrm" in refusal_of(samples.glb(document, binary))

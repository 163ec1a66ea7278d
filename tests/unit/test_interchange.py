"""Worlds go out as glTF and come back as they were; what others made comes in as models."""

from __future__ import annotations

import hashlib
import math
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from atrium_server.interchange import gltf as g
from atrium_server.interchange.checks import check
from atrium_server.interchange.container import load
from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.export import ExportOptions, export_world, needed_models
from atrium_server.interchange.extensions import UNDERSTOOD
from atrium_server.interchange.importing import Imported, ImportOptions, import_world
from atrium_server.interchange.shapes import triangles_of
from atrium_server.interchange.space import colour_of, linear_of
from atrium_server.world.props import Prop
from atrium_shared import limits
from atrium_shared.props import (
    Group,
    Light,
    LightForm,
    Model,
    Portal,
    Seat,
    Shape,
    ShapeForm,
    Sign,
    Spawn,
    Transform,
    Zone,
    ZoneMeaning,
)

sys.path.insert(0, str(Path(__file__).parent))
import interchange_scenes as scenes

PLAIN = ExportOptions()


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def read(data: bytes, **options: Any) -> Imported:
    return import_world(data, ImportOptions("plaza", **options), lambda _asset: False)


def told(data: bytes) -> list[Prop]:
    return list(read(data).props.values())


# --- there and back ----------------------------------------------------------------------


@given(scenes.worlds())
@settings(max_examples=150)
def test_a_world_comes_back_as_it_was(world: dict[bytes, Prop]) -> None:
    written = export_world(world, scenes.MODELS, PLAIN)
    back = read(written.data)
    assert back.props == world
    assert back.files == {asset: scenes.MODELS[asset] for asset in needed_models(world)}
    assert back.warnings == []
    again = export_world(dict(reversed(world.items())), scenes.MODELS, PLAIN)
    assert again.data == written.data, "equal worlds give equal bytes"


@given(scenes.worlds(most=5))
@settings(max_examples=40)
def test_a_world_comes_back_from_text(world: dict[bytes, Prop]) -> None:
    written = export_world(world, scenes.MODELS, ExportOptions(as_text=True))
    assert written.data[:1] == b"{"
    assert read(written.data).props == world


@given(scenes.worlds(most=6))
@settings(max_examples=60)
def test_what_is_written_fits_together(world: dict[bytes, Prop]) -> None:
    loaded = load(export_world(world, scenes.MODELS, PLAIN).data)
    check(loaded, UNDERSTOOD)
    gltf = loaded.gltf
    assert set(gltf.extensions_required) <= set(gltf.extensions_used)
    for view in gltf.buffer_views:
        assert view.byte_offset % 4 == 0 or view.byte_length < 4


def test_a_model_is_in_the_file_once() -> None:
    data = scenes.rich_glb()
    asset = hashlib.sha256(data).hexdigest()
    one = {key(1): Prop(Transform(), Model(asset=asset))}
    many = {key(n): Prop(Transform(), Model(asset=asset)) for n in range(1, 11)}
    small, large = (len(export_world(w, {asset: data}, PLAIN).data) for w in (one, many))
    assert large - small < 9 * 1_500, "only nodes and tags are added"
    loaded = load(export_world(many, {asset: data}, PLAIN).data)
    assert len(loaded.gltf.meshes) == 1
    assert len(loaded.gltf.skins) == 10
    assert bytes(loaded.buffers[0]).count(scenes.PNG) == 1


def test_a_model_that_is_not_there_is_named() -> None:
    world = {key(1): Prop(Transform(), Model(asset="ab" * 32))}
    written = export_world(world, {}, PLAIN)
    assert "only named" in written.warnings[0]
    back = read(written.data)
    assert back.props == world
    assert "missing" in back.warnings[0]


def test_a_model_that_cannot_be_shown_is_kept() -> None:
    data = b"a sound, or a text"
    asset = hashlib.sha256(data).hexdigest()
    world = {key(1): Prop(Transform(), Model(asset=asset))}
    written = export_world(world, {asset: data}, PLAIN)
    assert "kept and not shown" in written.warnings[0]
    assert read(written.data).files == {asset: data}


def test_what_is_private_can_be_left_out() -> None:
    sign = Prop(Transform(), Sign(text="shown"), owner="guest:ann", pending="not judged")
    written = export_world({key(1): sign}, {}, ExportOptions(private=False)).data
    assert b"guest:ann" not in written
    assert b"not judged" not in written
    assert read(written).props == {key(1): Prop(Transform(), Sign(text="shown"))}


def test_copies_get_other_ids() -> None:
    world = {
        key(1): Prop(Transform(), Group()),
        key(2): Prop(Transform(), Shape(), key(1)),
    }
    data = export_world(world, {}, PLAIN).data
    copies = read(data, new_ids=True).props
    assert not copies.keys() & world.keys()
    groups = {prop.group for prop in copies.values()} - {b""}
    assert groups <= copies.keys()
    assert read(data, new_ids=True).props == copies


# --- what other programs are told --------------------------------------------------------


def nodes_of(world: dict[bytes, Prop]) -> tuple[g.Gltf, list[dict[str, Any]]]:
    gltf = load(export_world(world, {}, PLAIN).data).gltf
    return gltf, [
        {name: msgspec.json.decode(bytes(raw)) for name, raw in node.extensions.items()}
        for node in gltf.nodes
    ]


def test_standards_are_spoken() -> None:
    world = {
        key(1): Prop(Transform(), Light(form=LightForm.SPOT, colour="#ff0000", angle_deg=90.0)),
        key(2): Prop(Transform(), Spawn(title="gate")),
        key(3): Prop(Transform(), Seat()),
        key(4): Prop(Transform(), Portal(title="Away", world="garden")),
        key(5): Prop(Transform(), Zone()),
        key(6): Prop(Transform(), Shape(form=ShapeForm.CONE)),
    }
    gltf, found = nodes_of(world)
    lights = msgspec.json.decode(bytes(gltf.extensions["KHR_lights_punctual"]))["lights"]
    assert lights[0]["color"] == [1.0, 0.0, 0.0]
    assert lights[0]["spot"]["outerConeAngle"] == pytest.approx(math.pi / 4), "half of the cone"
    assert (lights[0]["type"], lights[0]["intensity"], lights[0]["range"]) == ("spot", 60, 10)
    assert found[1] == {"OMI_spawn_point": {"title": "gate"}}
    assert found[2]["OMI_seat"]["back"] == [0, 0.45, 0]
    assert found[3] == {"OMI_link": {"uri": "./garden", "title": "Away"}}
    shapes = msgspec.json.decode(bytes(gltf.extensions["OMI_physics_shape"]))["shapes"]
    zone, cone = found[4]["OMI_physics_body"], found[5]["OMI_physics_body"]
    assert shapes[zone["trigger"]["shape"]] == {"type": "box", "box": {"size": [1, 1, 1]}}
    assert shapes[cone["collider"]["shape"]]["type"] == "convex"
    assert gltf.extensions_used == sorted({
        "KHR_lights_punctual", "OMI_spawn_point", "OMI_seat", "OMI_link", "OMI_physics_body",
        "OMI_physics_shape",
    })
    assert gltf.extensions_required == []


def test_groups_are_nodes_and_titles_are_names() -> None:
    inner = Transform((1.0, 2.0, 3.0), (0.0, 1.0, 0.0, 0.0), (2.0, 1.0, 1.0))
    gltf, _ = nodes_of({
        key(1): Prop(Transform(), Group(title="House")),
        key(2): Prop(inner, Shape(title="Door"), key(1)),
    })
    house, door = gltf.nodes
    assert (house.name, door.name) == ("House", "Door")
    assert house.children == [1]
    assert (door.translation, door.rotation, door.scale) == (
        inner.position_m, inner.rotation, inner.scale
    )
    assert gltf.scenes[0].nodes == [0]


def test_a_model_that_stops_bodies_has_a_box() -> None:
    data = scenes.box_glb()
    asset = hashlib.sha256(data).hexdigest()
    world = {key(1): Prop(Transform(), Model(asset=asset, collides=True))}
    gltf = load(export_world(world, {asset: data}, PLAIN).data).gltf
    body = next(node for node in gltf.nodes if node.name == "body")
    assert "OMI_physics_body" in body.extensions
    shapes = msgspec.json.decode(bytes(gltf.extensions["OMI_physics_shape"]))["shapes"]
    assert shapes == [{"type": "box", "box": {"size": [1, 1, 1]}}]


@pytest.mark.parametrize("form", ShapeForm)
def test_solids_are_one_metre_and_face_outwards(form: ShapeForm) -> None:
    made = triangles_of(form)
    for axis in range(3):
        numbers = [point[axis] for point in made.positions]
        flat = form is ShapeForm.PLANE and axis == 2
        assert (min(numbers), max(numbers)) == ((0.0, 0.0) if flat else (-0.5, 0.5))
    assert max(made.corners) == len(made.positions) - 1
    assert all(math.isclose(math.hypot(*normal), 1, rel_tol=1e-6) for normal in made.normals)
    for place in range(0, len(made.corners), 3):
        a, b, c = (made.positions[corner] for corner in made.corners[place : place + 3])
        u, v = ([q - p for p, q in zip(a, other, strict=True)] for other in (b, c))
        face = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
        normal = made.normals[made.corners[place]]
        assert sum(p * q for p, q in zip(face, normal, strict=True)) >= -1e-9


def test_colours_come_back() -> None:
    for byte in range(256):
        colour = f"#{byte:02x}{255 - byte:02x}80"
        assert colour_of(linear_of(colour)) == colour


# --- from elsewhere ----------------------------------------------------------------------


def test_each_object_becomes_a_model() -> None:
    data = scenes.foreign({
        "nodes": [
            {"name": "Cube", "mesh": 0, "translation": [1, 2, 3], "scale": [2, 1, 1]},
            {"name": "Cube.001", "mesh": 0, "rotation": [0, 1, 0, 0]},
            {"name": "Empty"},
        ],
        "scenes": [{"nodes": [0, 1, 2]}],
    })
    back = read(data)
    assert [prop.properties.title for prop in back.props.values()] == ["Cube", "Cube.001"]
    first, second = back.props.values()
    assert first.transform == Transform((1.0, 2.0, 3.0), scale=(2.0, 1.0, 1.0))
    assert second.transform.rotation == (0.0, 1.0, 0.0, 0.0)
    assert len(back.files) == 1, "equal things are one file"
    (asset,) = back.files
    assert hashlib.sha256(back.files[asset]).hexdigest() == asset
    assert load(back.files[asset]).gltf.nodes[0].translation == (0.0, 0.0, 0.0)
    assert read(data).props == back.props
    assert import_world(
        data, ImportOptions("garden"), lambda _: False
    ).props.keys().isdisjoint(back.props)


def test_a_scene_can_be_one_model() -> None:
    data = scenes.foreign({
        "nodes": [{"mesh": 0, "translation": [1, 2, 3]}, {"mesh": 0}],
        "scenes": [{"nodes": [0, 1]}],
    })
    back = read(data, whole=True)
    (prop,) = back.props.values()
    assert prop.transform == Transform()
    (model,) = back.files.values()
    assert [node.translation for node in load(model).gltf.nodes] == [(1, 2, 3), (0, 0, 0)]


def test_a_model_takes_along_what_it_needs() -> None:
    back = read(scenes.rich_glb())
    (model,) = back.files.values()
    loaded = load(model)
    check(loaded, UNDERSTOOD)
    gltf = loaded.gltf
    counts = (len(gltf.images), len(gltf.textures), len(gltf.skins), len(gltf.animations))
    assert counts == (1, 1, 1, 1)
    assert gltf.skins[0].joints == [1]
    material = msgspec.json.decode(bytes(gltf.materials[0]))
    assert material["extensions"].keys() == {"KHR_materials_clearcoat"}
    assert "extras" not in material
    assert back.warnings == ["Materials lost the extension 'XY_unheard_of'."]
    assert gltf.extensions_used == ["KHR_materials_clearcoat", "KHR_texture_transform"]


@pytest.mark.parametrize(
    "matrix",
    [
        [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1],  # a mirror
        [1, 0, 0, 0, 0.5, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1],  # askew
        [1e-4, 0, 0, 0, 0, 1e-4, 0, 0, 0, 0, 1e-4, 0, 5, 6, 7, 1],  # too small for a prop
    ],
)
def test_what_no_prop_can_be_stays_within_the_model(matrix: list[float]) -> None:
    back = read(scenes.foreign({"nodes": [{"mesh": 0, "matrix": matrix}],
                                "scenes": [{"nodes": [0]}]}))
    (prop,) = back.props.values()
    assert prop.transform == Transform((5.0, 6.0, 7.0))
    (model,) = back.files.values()
    inner = load(model).gltf.nodes[0].matrix
    assert inner == [*matrix[:12], 0, 0, 0, 1]


def test_extensions_become_props() -> None:
    data = scenes.foreign({
        "extensionsUsed": ["KHR_lights_punctual", "OMI_seat", "XY_music"],
        "extensions": {
            "KHR_lights_punctual": {"lights": [
                {"type": "point", "color": [0, 1, 0], "intensity": 1e9},
                {"type": "directional"},
            ]},
            "OMI_physics_shape": {"shapes": [{"type": "box", "box": {"size": [2, 3, 4]}}]},
        },
        "nodes": [
            {"name": "Lamp", "translation": [0, 3, 0], "children": [1],
             "extensions": {"KHR_lights_punctual": {"light": 0}}},
            {"name": "Bench", "translation": [1, 0, 0], "scale": [2, 2, 2], "extensions": {
                "OMI_seat": {"back": [0, 0.5, -0.2], "knee": [0, 0.5, 0.3],
                             "foot": [0, 0, 0.3]}}},
            {"name": "Sun", "extensions": {"KHR_lights_punctual": {"light": 1}}},
            {"name": "Start", "extensions": {"OMI_spawn_point": {"team": "red"}}},
            {"name": "Door", "extensions": {"OMI_link": {"uri": "https://example.org/x"}}},
            {"name": "Quiet", "scale": [1, 1, 2],
             "extensions": {"OMI_physics_body": {"trigger": {"shape": 0}}}},
            {"name": "Wall", "mesh": 0,
             "extensions": {"OMI_physics_body": {"collider": {"shape": 0}}}},
        ],
        "scenes": [{"nodes": [0, 2, 3, 4, 5, 6]}],
    })
    back = read(data)
    lamp, seat, spawn, portal, zone, wall = back.props.values()
    assert lamp.properties == Light("Lamp", colour="#00ff00", intensity_cd=limits.LIGHT_CD_MAX)
    assert isinstance(seat.properties, Seat)
    assert seat.transform.position_m == pytest.approx((1.0, 3.0, -0.4))
    assert seat.transform.rotation == pytest.approx((0.0, 1.0, 0.0, 0.0)), "it faces +Z"
    assert seat.transform.scale == (1.0, 1.0, 1.0)
    assert spawn.properties == Spawn("Start")
    assert portal.properties == Portal("Door")
    assert (zone.properties, zone.transform.scale) == (
        Zone("Quiet", ZoneMeaning.TRIGGER), (2.0, 3.0, 8.0)
    )
    assert isinstance(wall.properties, Model)
    assert wall.properties.collides
    assert back.warnings == [
        "The extension 'XY_music' was ignored.",
        "A light was brought within the bounds of this server.",
        "A light that is neither a point nor a spot was left out.",
        "A link leads to another server: its portal leads nowhere.",
    ]


def edited(world: dict[bytes, Prop], change: Any, files: dict[str, bytes] | None = None) -> bytes:
    """An export after another program has had it in its hands."""
    data = export_world(world, files or {}, PLAIN).data
    gltf = scenes.json_of(data)
    change(gltf)
    return scenes.with_json(data, gltf)


def test_what_was_moved_elsewhere_comes_back_moved() -> None:
    world = {key(1): Prop(Transform(), Group()), key(2): Prop(Transform(), Shape(), key(1))}

    def change(gltf: dict[str, Any]) -> None:
        gltf["nodes"][1]["translation"] = [7, 0, 0]
        gltf["nodes"][0]["extras"]["atrium"]["properties"]["title"] = "named anew"
        gltf["nodes"].append({"name": "between", "translation": [0, 1, 0], "children": [0]})
        gltf["scenes"][0]["nodes"] = [2]

    back = read(edited(world, change)).props
    assert back[key(2)].transform == Transform((7.0, 0.0, 0.0))
    assert back[key(1)].transform == Transform((0.0, 1.0, 0.0))
    assert back[key(1)].properties == Group("named anew")


def test_a_prop_that_was_copied_elsewhere_gets_another_id() -> None:
    def change(gltf: dict[str, Any]) -> None:
        gltf["nodes"].append({**gltf["nodes"][0], "translation": [3, 0, 0]})
        gltf["scenes"][0]["nodes"] = [0, 1]

    back = read(edited({key(1): Prop(Transform(), Shape())}, change))
    assert len(back.props) == 2
    assert key(1) in back.props
    assert "twice" in back.warnings[0]


def test_a_model_whose_file_was_lost_on_the_way_is_cut_out() -> None:
    data = scenes.box_glb()
    asset = hashlib.sha256(data).hexdigest()
    world = {key(1): Prop(Transform((1.0, 0.0, 0.0)), Model("Box", asset, "#ff0000"))}
    lost = edited(world, lambda gltf: gltf.pop("extras"), {asset: data})
    back = read(lost)
    prop = back.props[key(1)]
    assert isinstance(prop.properties, Model)
    assert prop.properties.asset != asset
    assert prop.properties.asset in back.files
    assert (prop.properties.title, prop.properties.tint) == ("Box", "#ff0000")
    known = import_world(lost, ImportOptions("plaza"), lambda one: one == asset)
    assert (known.props, known.files) == (world, {})


def test_what_others_put_into_a_group_is_in_it() -> None:
    def change(gltf: dict[str, Any]) -> None:
        gltf["nodes"][0]["children"] = [*gltf["nodes"][0].get("children", []), 2]
        gltf["nodes"].append({"name": "Vase", "mesh": 0})

    world = {key(1): Prop(Transform(), Group()), key(2): Prop(Transform(), Shape(), key(1))}
    vase = [p for p in told(edited(world, change)) if p.properties.title == "Vase"]
    assert [prop.group for prop in vase] == [key(1)]


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ({"id": "none"}, "is none"),
        ({"owner": "ada"}, "neither account nor guest"),
        ({"owner": "guest:" + "x" * 200}, "neither account nor guest"),
        ({"properties": {"kind": "bomb"}}, "broken"),
        ({"properties": {"kind": "shape", "colour": "red"}}, "broken"),
        ({"properties": {"kind": "sign", "text": "a\x1bb"}}, "cannot be shown"),
        ({"properties": {"kind": "sign"}, "pending": "a\x00"}, "cannot be shown"),
        ({"secret": 1}, "broken"),
    ],
)
def test_tags_are_input_like_any_other(tag: dict[str, Any], sentence: str) -> None:
    def change(gltf: dict[str, Any]) -> None:
        gltf["nodes"][0]["extras"]["atrium"] |= tag

    with pytest.raises(InterchangeError, match=sentence):
        read(edited({key(1): Prop(Transform(), Shape())}, change))


def test_a_file_of_a_newer_version_is_refused() -> None:
    newer = {"extras": {"atrium": {"format": 2}}}
    with pytest.raises(InterchangeError, match="newer version"):
        read(edited({key(1): Prop(Transform(), Shape())}, lambda gltf: gltf.update(newer)))


def test_a_damaged_model_is_refused() -> None:
    data = scenes.box_glb()
    asset = hashlib.sha256(data).hexdigest()
    world = {key(1): Prop(Transform(), Model(asset=asset))}
    written = bytearray(export_world(world, {asset: data}, PLAIN).data)
    written[-100] ^= 1
    with pytest.raises(InterchangeError, match="damaged"):
        read(bytes(written))


def test_ids_are_uuids_in_the_file() -> None:
    gltf = scenes.json_of(export_world({key(7): Prop(Transform(), Shape())}, {}, PLAIN).data)
    assert gltf["nodes"][0]["extras"]["atrium"]["id"] == str(uuid.UUID(int=7))

"""Worlds and foreign files for the tests of interchange."""

from __future__ import annotations

import hashlib
import math
import struct
import uuid
from typing import Any

import msgspec
from hypothesis import strategies as st

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.shapes import triangles_of
from atrium_server.world.props import Prop
from atrium_shared import limits, props
from atrium_shared.props import ShapeForm, Transform, checked_transform

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63"
    "6000000002000148afa4710000000049454e44ae426082"
)
"""One black point."""


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def box_glb(colour: str = "x") -> bytes:
    """A model of one box."""
    builder = Builder()
    material = builder.add_material({"name": colour})
    mesh = builder.add_mesh("box", triangles_of(ShapeForm.BOX), material)
    return builder.glb([builder.add_node(g.Node("thing", mesh=mesh))])


def rich_glb() -> bytes:
    """A model with a texture, a skin, an animation, morph targets and a sparse accessor."""
    builder = Builder()
    gltf = builder.gltf
    mesh = builder.add_mesh("box", triangles_of(ShapeForm.BOX), None)
    points = gltf.accessors[0]
    corners = points.count

    def view(data: bytes) -> int:
        gltf.buffer_views.append(g.BufferView(0, len(data), builder.add_bytes(data)))
        return len(gltf.buffer_views) - 1

    def accessor(data: bytes, kind: int, shape: Any, count: int, **more: Any) -> int:
        gltf.accessors.append(g.Accessor(kind, count, shape, view(data), **more))  # type: ignore[arg-type]
        return len(gltf.accessors) - 1

    joints = accessor(bytes(4 * corners), 5121, "VEC4", corners)
    weights = accessor(struct.pack("<4f", 1, 0, 0, 0) * corners, 5126, "VEC4", corners)
    uv = accessor(bytes(8 * corners), 5126, "VEC2", corners)
    moved = accessor(
        bytes(12 * corners), 5126, "VEC3", corners, min=[0.0] * 3, max=[0.0] * 3,
    )
    gltf.accessors[moved].sparse = g.Sparse(
        1, g.Sparse.Indices(view(struct.pack("<H", 1)), 5123), g.Sparse.Values(view(bytes(12)))
    )
    inverse = accessor(struct.pack("<16f", *[1, 0, 0, 0, 0] * 3, 1), 5126, "MAT4", 1)
    times = accessor(struct.pack("<2f", 0, 1), 5126, "SCALAR", 2, min=[0.0], max=[1.0])
    turns = accessor(struct.pack("<8f", 0, 0, 0, 1, 0, 1, 0, 0), 5126, "VEC4", 2)
    gltf.images = [g.Image("", None, "image/png", view(PNG))]
    gltf.samplers, gltf.textures = [g.TextureSampler(9729)], [g.Texture(0, 0)]
    gltf.materials = [msgspec.Raw(msgspec.json.encode({
        "pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "extensions": {
            "KHR_texture_transform": {"scale": [2, 2]}}}},
        "extensions": {
            "KHR_materials_clearcoat": {"clearcoatTexture": {"index": 0}, "clearcoatFactor": 1},
            "XY_unheard_of": {"index": 3},
        },
        "extras": {"more": 1},
    }))]
    first = gltf.meshes[mesh].primitives[0]
    first.material = 0
    first.attributes |= {"JOINTS_0": joints, "WEIGHTS_0": weights, "TEXCOORD_0": uv}
    first.targets = [{"POSITION": moved}]
    gltf.meshes[mesh].weights = [0.5]
    gltf.nodes = [
        g.Node("root", children=[1, 2]), g.Node("bone"), g.Node("skinned", mesh=mesh, skin=0),
    ]
    gltf.skins = [g.Skin([1], inverse, 1)]
    gltf.animations = [g.Animation(
        [g.AnimationChannel(0, g.AnimationTarget("rotation", 1))],
        [g.AnimationSampler(times, turns)],
    )]
    builder.used |= {"KHR_texture_transform", "KHR_materials_clearcoat"}
    return builder.glb([0])


MODELS = {hashlib.sha256(data).hexdigest(): data for data in (box_glb(), box_glb("y"), rich_glb())}


# --- worlds ------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
colours = st.from_regex(r"\A#[0-9a-f]{6}\Z")
shares = st.floats(0, 1)
leaves = st.one_of(
    st.builds(
        props.Model, title=texts, asset=st.sampled_from(sorted(MODELS)), tint=colours,
        collides=st.booleans(), portable=st.booleans(),
    ),
    st.builds(
        props.Shape, title=texts, form=st.sampled_from(props.ShapeForm), colour=colours,
        roughness=shares, metalness=shares, collides=st.booleans(),
    ),
    st.builds(props.Sign, title=texts, text=texts, colour=colours, background=colours),
    st.builds(
        props.Light, title=texts, form=st.sampled_from(props.LightForm), colour=colours,
        intensity_cd=st.floats(0, limits.LIGHT_CD_MAX), angle_deg=st.floats(1, 179),
        range_m=st.floats(0.1, limits.LIGHT_RANGE_M_MAX),
    ),
    st.builds(props.Seat, title=texts),
    st.builds(props.Portal, title=texts, world=texts),
    st.builds(props.Spawn, title=texts, radius_m=st.floats(0, limits.SPAWN_RADIUS_M_MAX)),
    st.builds(props.Zone, title=texts, meaning=st.sampled_from(props.ZoneMeaning)),
    st.builds(props.NpcPost, title=texts, npc=texts),
)
scales = st.floats(limits.PROP_SCALE_MIN, limits.PROP_SCALE_MAX)
places = st.floats(-limits.WORLD_EXTENT_M_MAX, limits.WORLD_EXTENT_M_MAX)
turns = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.01)
owners = st.one_of(
    st.just(""), st.integers(0, 3).map(lambda n: str(uuid.UUID(int=n))), st.just("guest:abc")
)


@st.composite
def worlds(draw: st.DrawFn, most: int = 12) -> dict[bytes, Prop]:
    """A forest of props of all kinds."""
    made: dict[bytes, Prop] = {}
    groups: dict[bytes, int] = {b"": 0}
    for number in range(1, draw(st.integers(0, most)) + 1):
        group = draw(st.sampled_from(sorted(groups)))
        is_group = groups[group] < limits.GROUP_DEPTH_MAX - 1 and draw(st.integers(0, 3)) == 0
        properties = props.Group(title=draw(texts)) if is_group else draw(leaves)
        wide = draw(scales)
        scale = (wide, wide, wide) if is_group else (wide, draw(scales), draw(scales))
        transform = checked_transform(
            Transform((draw(places), draw(places), draw(places)), draw(turns), scale)
        )
        prop_id = draw(st.binary(min_size=16, max_size=16)) if number % 2 else key(number)
        if prop_id in made:
            continue
        pending = draw(texts) if isinstance(properties, props.Sign) else ""
        made[prop_id] = Prop(
            transform, properties, group, draw(owners), draw(st.booleans()), pending
        )
        if is_group:
            groups[prop_id] = groups[group] + 1
    return made


# --- files of others ---------------------------------------------------------------------


def foreign(gltf: dict[str, Any], *, meshes: bytes | None = None) -> bytes:
    """A file with this JSON, on top of that of a GLB whose meshes it can use."""
    base = meshes or box_glb()
    there = json_of(base)
    del there["scene"]
    return with_json(base, {**there, **gltf})


def json_of(data: bytes) -> dict[str, Any]:
    """The JSON of a GLB."""
    (length,) = struct.unpack_from("<I", data, 12)
    return msgspec.json.decode(data[20 : 20 + length])


def with_json(data: bytes, gltf: dict[str, Any]) -> bytes:
    """A GLB with another JSON, which need not be any glTF."""
    (length,) = struct.unpack_from("<I", data, 12)
    text = msgspec.json.encode(gltf)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
    return head + text + rest

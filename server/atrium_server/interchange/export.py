"""Writes a world as one glTF file. PURE.

Theory of operation
-------------------
Every prop is a node: its transform is the node's, its title the node's name, a group's props are
the node's children. What other programs understand is said in their words (docs/INTERCHANGE.md
lists them): solids and signs have meshes, models are put in, lights, spawn points, seats, links and
volumes have extensions. What only Atrium understands, and all that it needs to make the same prop
again, stands in `extras.atrium`. Nodes that only show a prop are marked as parts of it.

Equal worlds give equal bytes: props are taken in the order of their ids, and nothing in the file
tells of when, where or by whom it was made. Axes and units are those of Atrium and of glTF alike.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.container import to_glb, to_json
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.extensions import (
    BODY,
    LIGHTS,
    LINK,
    SEAT,
    SHAPE,
    SPAWN,
    About,
    Body,
    LightOf,
    Link,
    Motion,
    Part,
    PhysicsShape,
    PunctualLight,
    SeatPoints,
    ShapeOf,
    ShapeSize,
    SpawnPoint,
    Spot,
    Tag,
    extras,
    raw,
)
from atrium_server.interchange.models import Models
from atrium_server.interchange.shapes import triangles_of
from atrium_server.interchange.space import linear_of
from atrium_server.world.props import Prop
from atrium_shared import limits
from atrium_shared.props import (
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
    kind_of,
)

SEAT_M: Final = 0.45
"""Height of what one sits on, and length of a thigh."""
_THIN_M: Final = 0.01


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What of a world is written, and how."""

    as_text: bool = False
    """As .gltf, which can be read with an editor, and not as GLB."""
    private: bool = True
    """Who made what, and the texts that were not let pass yet, are written too."""


@dataclass(frozen=True, slots=True)
class Exported:
    data: bytes
    warnings: list[str]


def needed_models(props: Mapping[bytes, Prop]) -> list[str]:
    """The hashes of the files that an export can use."""
    return sorted({
        prop.properties.asset for prop in props.values() if isinstance(prop.properties, Model)
    })


def export_world(
    props: Mapping[bytes, Prop], files: Mapping[str, bytes], options: ExportOptions
) -> Exported:
    """The file of a world; `files` are models by hash. Raises InterchangeError: too large."""
    writer = _Writer(props, files, options)
    gltf = writer.written()
    data = to_json(gltf, writer.builder.data) if options.as_text else (
        to_glb(gltf, writer.builder.data)
    )
    if len(data) > limits.EXPORT_BYTES_MAX:
        raise InterchangeError(
            f"The file would have more than {limits.EXPORT_BYTES_MAX >> 20} MiB: leave the models"
            " out."
        )
    return Exported(data, writer.warnings.told())


class _Writer:
    def __init__(
        self, props: Mapping[bytes, Prop], files: Mapping[str, bytes], options: ExportOptions
    ) -> None:
        self.builder = Builder()
        self.warnings = Warnings()
        self._props = props
        self._options = options
        self._models = Models(self.builder, files, self.warnings)
        self._lights: list[PunctualLight] = []
        self._shapes: dict[bytes, int] = {}
        self._inside: dict[bytes, list[bytes]] = {}
        for prop_id in sorted(props):
            self._inside.setdefault(props[prop_id].group, []).append(prop_id)

    def written(self) -> g.Gltf:
        roots = [self._node(prop_id) for prop_id in self._inside.get(b"", ())]
        if self._lights:
            self.builder.extend(LIGHTS, {"lights": self._lights})
        if self._shapes:
            shapes = [msgspec.Raw(shape) for shape in self._shapes]
            self.builder.extend(SHAPE, {"shapes": shapes})
        gltf = self.builder.finish(roots)
        gltf.extras = extras(About(files=dict(sorted(self._models.embedded.items()))))
        return gltf

    def _node(self, prop_id: bytes) -> int:
        """Groups are at most GROUP_DEPTH_MAX deep, so this may call itself."""
        prop = self._props[prop_id]
        properties, transform = prop.properties, prop.transform
        node = g.Node(
            properties.title or kind_of(properties), extras=extras(self._tag(prop_id, prop))
        )
        _place(node, transform)
        number = self.builder.add_node(node)
        match properties:
            case Shape():
                self._shape(node, properties)
            case Sign():
                self._sign(node, properties)
            case Model():
                self._model(node, properties)
            case Light():
                self._light(node, properties)
            case Spawn():
                self._extend(node, SPAWN, SpawnPoint(properties.title or None))
            case Seat():
                self._extend(node, SEAT, SeatPoints(
                    (0.0, SEAT_M, 0.0), (0.0, 0.0, -SEAT_M), (0.0, SEAT_M, -SEAT_M)
                ))
            case Portal():
                target = f"./{quote(properties.world, safe='')}" if properties.world else "#"
                self._extend(node, LINK, Link(target, properties.title or None))
            case Zone():
                box = PhysicsShape("box", box=ShapeSize(size=(1.0, 1.0, 1.0)))
                self._extend(node, BODY, Body(trigger=ShapeOf(self._shape_number(box))))
            case _:
                pass  # a group is its children, and a post has no standard
        node.children = [*node.children, *map(self._node, self._inside.get(prop_id, ()))]
        return number

    def _tag(self, prop_id: bytes, prop: Prop) -> Tag:
        private = self._options.private
        return Tag(
            str(uuid.UUID(bytes=prop_id)), prop.properties, prop.owner if private else "",
            prop.is_locked, prop.pending if private else "",
        )

    def _extend(self, node: g.Node, name: str, value: Any) -> None:
        node.extensions[name] = raw(value)
        self.builder.used.add(name)

    # --- what is seen ---------------------------------------------------------------------

    def _shape(self, node: g.Node, shape: Shape) -> None:
        look = _material(shape.colour, shape.roughness, shape.metalness)
        if shape.form is ShapeForm.PLANE:
            look["doubleSided"] = True
        node.mesh = self.builder.add_mesh(
            shape.form, triangles_of(shape.form), self.builder.add_material(look)
        )
        if shape.collides:
            self._stand(node, self._body_of(shape.form))

    def _body_of(self, form: ShapeForm) -> PhysicsShape:
        match form:
            case ShapeForm.BOX:
                return PhysicsShape("box", box=ShapeSize(size=(1.0, 1.0, 1.0)))
            case ShapeForm.PLANE:
                return PhysicsShape("box", box=ShapeSize(size=(1.0, 1.0, _THIN_M)))
            case ShapeForm.SPHERE:
                return PhysicsShape("sphere", sphere=ShapeSize(radius=0.5))
            case ShapeForm.CYLINDER:
                size = ShapeSize(radius_bottom=0.5, radius_top=0.5, height=1.0)
                return PhysicsShape("cylinder", cylinder=size)
            case ShapeForm.CONE:
                mesh = self.builder.add_mesh(form, triangles_of(form), None)
                return PhysicsShape("convex", convex=ShapeSize(mesh=mesh))

    def _sign(self, node: g.Node, sign: Sign) -> None:
        look = {**_material(sign.background, 1.0, 0.0), "doubleSided": True}
        plane = triangles_of(ShapeForm.PLANE)
        node.mesh = self.builder.add_mesh(
            ShapeForm.PLANE, plane, self.builder.add_material(look)
        )

    def _model(self, node: g.Node, model: Model) -> None:
        node.children = self._models.show(model.asset)
        box = self._models.box(model.asset)
        if model.collides and box is not None:
            centre, size = box
            body = g.Node("body", centre, extras=extras(Part("body")))
            self._stand(body, PhysicsShape("box", box=ShapeSize(size=size)))
            node.children.append(self.builder.add_node(body))

    # --- what is not seen -----------------------------------------------------------------

    def _stand(self, node: g.Node, shape: PhysicsShape) -> None:
        """A body that others stop at."""
        number = self._shape_number(shape)
        self._extend(node, BODY, Body(Motion("static"), ShapeOf(number)))

    def _shape_number(self, shape: PhysicsShape) -> int:
        return self._shapes.setdefault(msgspec.json.encode(shape), len(self._shapes))

    def _light(self, node: g.Node, light: Light) -> None:
        is_spot = light.form is LightForm.SPOT
        self._extend(node, LIGHTS, LightOf(len(self._lights)))
        self._lights.append(PunctualLight(
            "spot" if is_spot else "point", linear_of(light.colour), light.intensity_cd,
            light.range_m, Spot(0.0, math.radians(light.angle_deg / 2)) if is_spot else None,
            light.title,
        ))


def _material(colour: str, roughness: float, metalness: float) -> dict[str, Any]:
    return {"name": colour, "pbrMetallicRoughness": {
        "baseColorFactor": [*linear_of(colour), 1.0], "roughnessFactor": roughness,
        "metallicFactor": metalness,
    }}


def _place(node: g.Node, transform: Transform) -> None:
    """Put a node where a prop is; what is as it is without being said is not said."""
    plain = Transform()
    if transform.position_m != plain.position_m:
        node.translation = transform.position_m
    if transform.rotation != plain.rotation:
        node.rotation = transform.rotation
    if transform.scale != plain.scale:
        node.scale = transform.scale

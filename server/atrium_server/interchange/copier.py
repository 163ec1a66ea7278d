"""Copies parts of one glTF file into another that is being made. PURE.

Theory of operation
-------------------
Parts name each other by number, and get other numbers where they are copied to. Each part is
copied once, with all that it names; what nothing names stays behind. Where the bytes go is not
decided here (`place`): an export leaves the file of a model whole and points into it, and a model
that is cut out of a scene takes along only the bytes that it needs.

Only what Atrium understands is copied. Other extensions, extras, cameras and lights are left out;
materials are taken as they are but for their textures and for extensions nobody listed.
The numbers in what is copied are looked at: no infinities, no NaN, no corner that is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.container import Loaded, data_of
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.extensions import (
    MATERIALS,
    QUANTISATION,
    TEXTURE_INFOS,
    TEXTURES,
    raw,
)

MATERIAL_DEPTH_MAX: Final = 8
MATERIAL_BYTES_MAX: Final = 16_384
NAME_CHARS_MAX: Final = 64
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/ktx2")
_DTYPES: Final = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
Place = Callable[[g.BufferView], int]
Numbers = npt.NDArray[Any]


class Copier:
    """From `source`, which was checked, into `target`."""

    def __init__(
        self, source: Loaded, target: Builder, warnings: Warnings, place: Place | None = None
    ) -> None:
        self._source = source.gltf
        self._buffers = source.buffers
        self._target = target
        self._warnings = warnings
        self._place = place or self._copied
        self._done: dict[tuple[str, int], int] = {}

    # --- parts, by what they were numbered ------------------------------------------------

    def mesh(self, number: int) -> int:
        """The number of a mesh in the target."""
        return self._once("mesh", number, self._mesh)

    def skin(self, number: int, nodes: dict[int, int]) -> int | None:
        """A skin for copied nodes; None when some of its joints were not copied."""
        skin = self._source.skins[number]
        if any(joint not in nodes for joint in skin.joints):
            return None
        matrices = skin.inverse_bind_matrices
        self._target.gltf.skins.append(g.Skin(
            [nodes[joint] for joint in skin.joints],
            None if matrices is None else self.accessor(matrices),
            None if skin.skeleton is None else nodes.get(skin.skeleton),
            skin.name[:NAME_CHARS_MAX],
        ))
        return len(self._target.gltf.skins) - 1

    def animations(self, nodes: dict[int, int]) -> None:
        """What moves the copied nodes."""
        for animation in self._source.animations:
            channels = [
                channel for channel in animation.channels
                if channel.target.path != "pointer" and channel.target.node in nodes
            ]
            if not channels:
                continue
            order = sorted({channel.sampler for channel in channels})
            samplers = [animation.samplers[number] for number in order]
            self._target.gltf.animations.append(g.Animation(
                [
                    g.AnimationChannel(
                        order.index(channel.sampler),
                        g.AnimationTarget(
                            channel.target.path, nodes[cast(int, channel.target.node)]
                        ),
                    )
                    for channel in channels
                ],
                [
                    g.AnimationSampler(
                        self.accessor(one.input), self.accessor(one.output), one.interpolation
                    )
                    for one in samplers
                ],
                animation.name[:NAME_CHARS_MAX],
            ))

    def accessor(self, number: int) -> int:
        """The number of an accessor in the target."""
        return self._once("accessor", number, self._accessor)

    def _once(self, kind: str, number: int, copy: Callable[[int], int]) -> int:
        if (kind, number) not in self._done:
            self._done[kind, number] = copy(number)
        return self._done[kind, number]

    # --- geometry -------------------------------------------------------------------------

    def _mesh(self, number: int) -> int:
        mesh = self._source.meshes[number]
        primitives = [self._primitive(primitive) for primitive in mesh.primitives]
        self._target.gltf.meshes.append(
            g.Mesh(primitives, mesh.name[:NAME_CHARS_MAX], mesh.weights)
        )
        return len(self._target.gltf.meshes) - 1

    def _primitive(self, primitive: g.Primitive) -> g.Primitive:
        position = primitive.attributes.get("POSITION")
        if position is None:
            raise InterchangeError("A mesh in the file has no positions.")
        points = self._source.accessors[position]
        if points.type != "VEC3" or len(points.min) != 3 or len(points.max) != 3:
            raise InterchangeError("The positions of a mesh lack their bounds.")
        if primitive.indices is not None:
            self._check_corners(self._source.accessors[primitive.indices], points.count)
        if QUANTISATION in self._source.extensions_used:
            self._target.used.add(QUANTISATION)
        return g.Primitive(
            {name: self.accessor(one) for name, one in sorted(primitive.attributes.items())},
            None if primitive.indices is None else self.accessor(primitive.indices),
            None if primitive.material is None else self._material(primitive.material),
            primitive.mode,
            [
                {name: self.accessor(one) for name, one in sorted(target.items())}
                for target in primitive.targets
            ],
        )

    def _check_corners(self, corners: g.Accessor, points: int) -> None:
        if corners.type != "SCALAR" or corners.component_type not in (5121, 5123, 5125):
            raise InterchangeError("The corners of a mesh are no whole numbers.")
        numbers = self._numbers(corners)
        if numbers is not None and int(numbers.max()) >= points:
            raise InterchangeError("A mesh has a corner that is not there.")

    def _accessor(self, number: int) -> int:
        accessor = self._source.accessors[number]
        if accessor.component_type == 5126:
            numbers = self._numbers(accessor)
            if numbers is not None and not np.isfinite(numbers).all():
                raise InterchangeError("A mesh or an animation has numbers that are not finite.")
        copied = msgspec.structs.replace(accessor)
        if accessor.buffer_view is not None:
            copied.buffer_view = self._view(accessor.buffer_view)
        if accessor.sparse is not None:
            sparse = accessor.sparse
            copied.sparse = g.Sparse(
                sparse.count,
                msgspec.structs.replace(
                    sparse.indices, buffer_view=self._view(sparse.indices.buffer_view)
                ),
                msgspec.structs.replace(
                    sparse.values, buffer_view=self._view(sparse.values.buffer_view)
                ),
            )
        self._target.gltf.accessors.append(copied)
        return len(self._target.gltf.accessors) - 1

    def _numbers(self, accessor: g.Accessor) -> Numbers | None:
        """Its numbers as they lie in the file; None when there are none."""
        if accessor.buffer_view is None:
            return None
        view = self._source.buffer_views[accessor.buffer_view]
        width = g.COMPONENT_BYTES[accessor.component_type]
        size = g.element_bytes(accessor)
        return np.ndarray(
            (accessor.count, size // width), _DTYPES[accessor.component_type],
            self._buffers[view.buffer], view.byte_offset + accessor.byte_offset,
            (view.byte_stride or size, width),
        )

    def _view(self, number: int) -> int:
        return self._once("view", number, self._add_view)

    def _add_view(self, number: int) -> int:
        view = self._source.buffer_views[number]
        self._target.gltf.buffer_views.append(g.BufferView(
            0, view.byte_length, self._place(view), view.byte_stride, view.target
        ))
        return len(self._target.gltf.buffer_views) - 1

    def _copied(self, view: g.BufferView) -> int:
        start = view.byte_offset
        data = self._buffers[view.buffer][start : start + view.byte_length]
        return self._target.add_bytes(data)

    # --- materials ------------------------------------------------------------------------

    def _material(self, number: int) -> int:
        return self._once("material", number, self._add_material)

    def _add_material(self, number: int) -> int:
        text = bytes(self._source.materials[number])
        if len(text) > MATERIAL_BYTES_MAX:
            raise InterchangeError(f"A material has more than {MATERIAL_BYTES_MAX:,} bytes.")
        try:
            material = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InterchangeError(f"A material in the file is broken: {error}.") from None
        return self._target.add_material(self._with_textures(material, MATERIAL_DEPTH_MAX))

    def _with_textures(self, part: dict[str, Any], depth: int) -> dict[str, Any]:
        """A material, or a part of it, that names the textures of the target."""
        if depth == 0:
            raise InterchangeError("A material in the file is nested too deeply.")
        copied: dict[str, Any] = {}
        for name, value in part.items():
            if name == "extensions" and isinstance(value, dict):
                self._add_extensions(copied, cast(dict[str, Any], value), depth)
            elif name != "extras":
                copied[name] = self._value(name, value, depth)
        return copied

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return value
        inner = self._with_textures(cast(dict[str, Any], value), depth - 1)
        if name.endswith("Texture"):
            index = inner.get("index")
            if type(index) is not int or not 0 <= index < len(self._source.textures):
                raise InterchangeError("A material names a texture that is not there.")
            inner["index"] = self._once("texture", index, self._add_texture)
        return inner

    def _add_extensions(self, copied: dict[str, Any], found: dict[str, Any], depth: int) -> None:
        kept: dict[str, Any] = {}
        for name, value in found.items():
            if name in MATERIALS | TEXTURE_INFOS and isinstance(value, dict):
                self._target.used.add(name)
                kept[name] = self._with_textures(cast(dict[str, Any], value), depth - 1)
            else:
                self._warnings.add(f"Materials lost the extension {name[:64]!r}.")
        if kept:
            copied["extensions"] = kept

    def _add_texture(self, number: int) -> int:
        texture = self._source.textures[number]
        copied = g.Texture(
            None if texture.source is None else self._image(texture.source),
            None if texture.sampler is None else self._once(
                "sampler", texture.sampler, self._add_sampler
            ),
        )
        for name, value in texture.extensions.items():
            if name in TEXTURES:
                copied.extensions[name] = raw({"source": self._image(self._source_in(value))})
                self._target.used.add(name)
        self._target.gltf.textures.append(copied)
        return len(self._target.gltf.textures) - 1

    def _source_in(self, extension: msgspec.Raw) -> int:
        try:
            source = msgspec.json.decode(bytes(extension), type=dict[str, int]).get("source", -1)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            source = -1
        if not 0 <= source < len(self._source.images):
            raise InterchangeError("A texture names an image that is not there.")
        return source

    def _add_sampler(self, number: int) -> int:
        self._target.gltf.samplers.append(self._source.samplers[number])
        return len(self._target.gltf.samplers) - 1

    def _image(self, number: int) -> int:
        return self._once("image", number, self._add_image)

    def _add_image(self, number: int) -> int:
        image = self._source.images[number]
        kind = image.mime_type
        if image.buffer_view is not None:
            view = self._view(image.buffer_view)
        else:
            data = data_of(image.uri or "")
            kind = kind or (image.uri or "")[len("data:") :].partition(";")[0]
            if not data:
                raise InterchangeError("An image in the file is empty.")
            start = self._target.add_bytes(data)
            self._target.gltf.buffer_views.append(g.BufferView(0, len(data), start))
            view = len(self._target.gltf.buffer_views) - 1
        if kind not in IMAGE_TYPES:
            raise InterchangeError("An image in the file is of no kind that models may have.")
        self._target.gltf.images.append(g.Image(image.name[:NAME_CHARS_MAX], None, kind, view))
        return len(self._target.gltf.images) - 1

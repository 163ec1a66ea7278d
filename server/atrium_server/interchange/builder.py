"""Makes a glTF file part by part; equal parts are made once. PURE."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from atrium_server.interchange import gltf as g
from atrium_server.interchange.container import to_glb
from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.extensions import COPIED, TEXTURES, raw
from atrium_server.interchange.shapes import Triangles
from atrium_server.version import VERSION
from atrium_shared import limits

ALIGNMENT: Final = 8
_VERTICES, _INDICES = 34962, 34963
_NEEDED: Final = frozenset({"KHR_mesh_quantization"}) | TEXTURES
"""Without these a reader would show something else, or nothing."""


class Builder:
    """A file that grows."""

    def __init__(self) -> None:
        self.gltf = g.Gltf(g.About("2.0", f"Atrium {VERSION}"))
        self.data = bytearray()
        self.used: set[str] = set()
        """Names of the extensions in it."""
        self._meshes: dict[Any, int] = {}
        self._materials: dict[bytes, int] = {}

    def add_bytes(self, data: bytes | memoryview) -> int:
        """Bytes for the buffer; returns where they begin. Raises InterchangeError."""
        self.data += bytes(-len(self.data) % ALIGNMENT)
        start = len(self.data)
        if start + len(data) > limits.EXPORT_BYTES_MAX:
            raise InterchangeError(
                f"The file would have more than {limits.EXPORT_BYTES_MAX >> 20} MiB: leave the"
                " models out."
            )
        self.data += data
        return start

    def add_node(self, node: g.Node) -> int:
        """A node; returns its number."""
        self.gltf.nodes.append(node)
        return len(self.gltf.nodes) - 1

    def add_material(self, material: dict[str, Any]) -> int:
        """A material, or the number of the same one."""
        text = msgspec.json.encode(material, order="deterministic")
        if text not in self._materials:
            self._materials[text] = len(self.gltf.materials)
            self.gltf.materials.append(msgspec.Raw(text))
        return self._materials[text]

    def add_mesh(self, form: str, triangles: Triangles, material: int | None) -> int:
        """A mesh of a form that is known by name, with a material."""
        if (form, material) not in self._meshes:
            if form not in self._meshes:
                self._meshes[form] = self._add_triangles(triangles)
            first = self._meshes[form]
            primitive = g.Primitive(
                {"NORMAL": first + 1, "POSITION": first}, first + 2, material
            )
            self._meshes[form, material] = len(self.gltf.meshes)
            self.gltf.meshes.append(g.Mesh([primitive], form))
        return self._meshes[form, material]

    def _add_triangles(self, triangles: Triangles) -> int:
        """Accessors of positions, normals and corners, in this order; returns the first."""
        first = len(self.gltf.accessors)
        points = triangles.positions
        lowest = [min(point[axis] for point in points) for axis in range(3)]
        highest = [max(point[axis] for point in points) for axis in range(3)]
        for vectors in (points, triangles.normals):
            packed = b"".join(struct.pack("<3f", *vector) for vector in vectors)
            self.gltf.accessors.append(g.Accessor(
                5126, len(vectors), "VEC3", self._add_view(packed, _VERTICES)
            ))
        self.gltf.accessors[first].min, self.gltf.accessors[first].max = lowest, highest
        corners = struct.pack(f"<{len(triangles.corners)}H", *triangles.corners)
        self.gltf.accessors.append(g.Accessor(
            5123, len(triangles.corners), "SCALAR", self._add_view(corners, _INDICES)
        ))
        return first

    def _add_view(self, data: bytes, target: Any) -> int:
        start = self.add_bytes(data)
        self.gltf.buffer_views.append(g.BufferView(0, len(data), start, target=target))
        return len(self.gltf.buffer_views) - 1

    def finish(self, roots: list[int], name: str = "") -> g.Gltf:
        """The whole, with one scene."""
        gltf = self.gltf
        gltf.scenes, gltf.scene = [g.Scene(name, roots)], 0
        gltf.extensions_used = sorted(self.used)
        gltf.extensions_required = sorted(self.used & COPIED & _NEEDED)
        if self.data:
            gltf.buffers = [g.Buffer(len(self.data))]
        return gltf

    def glb(self, roots: list[int]) -> bytes:
        """The whole as a GLB."""
        return to_glb(self.finish(roots), self.data)

    def extend(self, name: str, value: Any) -> None:
        """An extension of the whole file."""
        self.used.add(name)
        self.gltf.extensions[name] = raw(value)

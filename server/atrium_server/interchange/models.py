"""The models in an exported world: shown, and kept whole. PURE.

Theory of operation
-------------------
A model is a file of its own, known by the hash of its bytes, and has to come back as exactly these
bytes. So the whole file is put into the buffer of the world; `extras.atrium.files` says where. The
meshes and images of the world then name the bytes within it, as the bytes of a GLB lie in it just
as they lie in the world's buffer, and everything is there only once. Each prop gets nodes of its
own, and all of them share meshes and materials. Models are shown as they stand before they move:
animations are in the file that is kept, and not in the scene.

What cannot be shown (it is not there, or uses what Atrium does not know) is only named.
"""

from __future__ import annotations

from collections.abc import Mapping

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.checks import check
from atrium_server.interchange.container import Loaded, load
from atrium_server.interchange.copier import Copier
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.extensions import UNDERSTOOD, Embedded, Part, extras
from atrium_server.interchange.trees import Trees, box_of, roots_of

NODES_MAX = 10_000
"""Of one model; larger ones are only named."""


class _Shown:
    """A model that can be put into the scene."""

    def __init__(self, source: Loaded, trees: Trees) -> None:
        self.source = source
        self.trees = trees
        self.roots = roots_of(source.gltf)
        self.box: tuple[g.Vector3, g.Vector3] | None = None


class Models:
    """All models of one export."""

    def __init__(self, builder: Builder, files: Mapping[str, bytes], warnings: Warnings) -> None:
        self.embedded: dict[str, Embedded] = {}
        self._builder = builder
        self._files = files
        self._warnings = warnings
        self._shown: dict[str, _Shown | None] = {}

    def show(self, asset: str) -> list[int]:
        """Nodes of a model; none if it can only be named."""
        shown = self._of(asset)
        if shown is None:
            return []
        numbers = shown.trees.copy(shown.roots, _none)
        found = [numbers[root] for root in shown.roots]
        for number in found:
            self._builder.gltf.nodes[number].extras = extras(Part("model"))
        return found

    def box(self, asset: str) -> tuple[g.Vector3, g.Vector3] | None:
        """Centre and size of a model's box; None if it cannot be known."""
        shown = self._of(asset)
        return None if shown is None else shown.box

    def _of(self, asset: str) -> _Shown | None:
        if asset not in self._shown:
            data = self._files.get(asset)
            if data is None:
                self._warnings.add("A model is not among the files of this server: only named.")
                self._shown[asset] = None
            else:
                start = self._builder.add_bytes(data)
                self.embedded[asset] = Embedded(start, len(data))
                self._shown[asset] = self._opened(data, start)
        return self._shown[asset]

    def _opened(self, data: bytes, start: int) -> _Shown | None:
        try:
            source = load(data)
            check(source, UNDERSTOOD)
            if len(source.gltf.nodes) > NODES_MAX:
                raise InterchangeError(f"It has over {NODES_MAX:,} nodes.")
            return self._tried(source, start)
        except InterchangeError as error:
            self._warnings.add(f"A model is kept and not shown. {error}")
            return None

    def _tried(self, source: Loaded, start: int) -> _Shown:
        """Copy the meshes now, so that a model that cannot be shown is not shown in part."""

        def place(view: g.BufferView) -> int:
            if view.buffer == 0 and source.binary_start:
                return start + source.binary_start + view.byte_offset
            begin = view.byte_offset
            return self._builder.add_bytes(
                source.buffers[view.buffer][begin : begin + view.byte_length]
            )

        copier = Copier(source, self._builder, self._warnings, place)
        shown = _Shown(source, Trees(source, copier, self._builder))
        for node in source.gltf.nodes:
            if node.mesh is not None:
                copier.mesh(node.mesh)
        shown.box = box_of(source.gltf, shown.roots)
        return shown


def _none(_number: int) -> bool:
    return False

"""Reads a world, or what somebody made elsewhere, from a glTF file. PURE.

Theory of operation
-------------------
A node with our extras (`extensions.Tag`) is a prop again: the same id, properties and owner, in
the group whose node it is in, at the node's own transform. So what Atrium wrote comes back as it
was, and what was moved in another program comes back moved. Where nodes without extras lie between,
their transforms are counted in.

Every other node is somebody else's. The uppermost node that shows anything is cut out, with all
that is in it, into a file of its own: that is one Model prop, known by the hash of the file, so
that equal things are one file, and are cut out once. Lights, spawn points, seats, links and volumes
within become props beside it. Their ids follow from the file and the world, so importing the same
file twice changes nothing.

Nothing is done here but to say what would be in the world. The file is checked before anything is
made of it, everything in it is bounded, and `InterchangeError` is all that a broken one can cause.
What is copied is counted before it is: a small file may show the same large mesh very often.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.checks import check
from atrium_server.interchange.container import Loaded, load
from atrium_server.interchange.copier import Copier
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.extensions import (
    FORMAT,
    UNDERSTOOD,
    About,
    Extras,
    Part,
    Tag,
    decoded,
)
from atrium_server.interchange.foreign import Specials, made, titled
from atrium_server.interchange.space import (
    IDENTITY,
    Matrix,
    bounded,
    decomposed,
    is_bounded,
    matrix_of,
)
from atrium_server.interchange.trees import Trees, roots_of
from atrium_server.rewind import misplaced
from atrium_server.world.props import Prop, is_uniform
from atrium_shared import limits
from atrium_shared.props import Group, Model, Properties, Sign, Transform, Zone

OWNER_CHARS_MAX: Final = 128
GUEST: Final = "guest:"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is read."""

    world: str = ""
    """The name of the world that it is for: ids that are made follow from it."""
    whole: bool = False
    """What others made becomes one model, and not one for each uppermost node."""
    new_ids: bool = False
    """Props of Atrium get other ids too: the file is a copy of what another world has."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What is in a file."""

    props: dict[bytes, Prop]
    files: dict[str, bytes]
    """Models by hash that came with it; all are GLB."""
    warnings: list[str]


def import_world(
    data: bytes, options: ImportOptions, has_file: Callable[[str], bool]
) -> Imported:
    """The props and models of a file. Raises InterchangeError.

    `has_file` says whether the server has the file of a model already.
    """
    loaded = load(data)
    check(loaded, UNDERSTOOD)
    reader = _Reader(loaded, hashlib.sha256(data).digest(), options, has_file)
    with np.errstate(all="ignore"):  # what is not finite is found by looking
        reader.read()
    if misplaced(reader.props):
        raise InterchangeError(f"Groups are at most {limits.GROUP_DEPTH_MAX} deep.")
    return Imported(reader.props, reader.files, reader.warnings.told())


class _Reader:
    def __init__(
        self, loaded: Loaded, digest: bytes, options: ImportOptions,
        has_file: Callable[[str], bool],
    ) -> None:
        self.props: dict[bytes, Prop] = {}
        self.files: dict[str, bytes] = {}
        self.warnings = Warnings()
        self._loaded = loaded
        self._gltf = loaded.gltf
        self._digest = digest
        self._options = options
        self._has_file = has_file
        self._ours = [_ours(node) for node in loaded.gltf.nodes]
        self._specials = Specials(loaded.gltf, self.warnings)
        self._about = _about(loaded.gltf)
        self._shows: dict[int, bool] = {}
        self._bytes = 0
        self._there: dict[str, bool] = {}
        self._cuts: dict[object, str] = {}
        """The files that were cut out already, by all that is in them."""
        self._animated = {
            channel.target.node for one in loaded.gltf.animations for channel in one.channels
        }

    def read(self) -> None:
        for name in self._gltf.extensions_used:
            if name not in UNDERSTOOD:
                self.warnings.add(f"The extension {titled(name)!r} was ignored.")
        roots = roots_of(self._gltf)
        if self._options.whole:
            theirs = [root for root in roots if self._is_theirs(root) and self._has_mesh(root)]
            if theirs:
                self._add(Model(asset=self._cut(theirs, None)), b"", Transform(), theirs[0])
        for root in roots:
            self._walk(root, b"", IDENTITY, within=self._options.whole)

    # --- nodes ----------------------------------------------------------------------------

    def _walk(self, number: int, group: bytes, outer: Matrix, *, within: bool) -> None:
        """Nodes are at most IMPORT_DEPTH_MAX deep, so this may call itself."""
        ours = self._ours[number]
        if isinstance(ours, Tag):
            self._tagged(number, ours, group, outer)
        elif ours is None:
            self._theirs(number, group, outer, within=within)

    def _tagged(self, number: int, tag: Tag, group: bytes, outer: Matrix) -> None:
        node = self._gltf.nodes[number]
        what = f"The prop {tag.id!r}"
        transform = Transform(node.translation, node.rotation, node.scale)
        if outer is not IDENTITY or node.matrix is not None:
            transform, is_same = decomposed(outer @ matrix_of(node))
            if not is_same:
                self.warnings.add("Something askew was made straight.")
        transform = bounded(transform, what)
        if isinstance(tag.properties, Group) and not is_uniform(transform):
            raise InterchangeError(f"{what} is a group and scaled differently on its axes.")
        properties = self._with_file(number, made(tag.properties, what))
        prop_id = self._id_of(number, tag)
        self._keep(prop_id, Prop(
            transform, properties, group, _owner(tag), tag.locked, _pending(tag, properties)
        ))
        inner, frame = (prop_id, IDENTITY) if isinstance(properties, Group) else (
            group, outer @ matrix_of(node)
        )
        for child in node.children:
            self._walk(child, inner, frame, within=False)

    def _theirs(self, number: int, group: bytes, outer: Matrix, *, within: bool) -> None:
        node = self._gltf.nodes[number]
        matrix = outer @ matrix_of(node)
        if not np.isfinite(matrix).all():
            raise InterchangeError(f"Node {number} has a transform beyond all numbers.")
        for properties, place in self._specials.of(node, matrix):
            transform, _ = decomposed(place)
            if not isinstance(properties, Zone):
                transform = Transform(transform.position_m, transform.rotation)
            self._add(properties, group, transform, number)
        if not within and self._has_mesh(number):
            within = True
            transform, rest = _split(matrix)
            model = Model(titled(node.name), self._cut([number], rest),
                          collides=self._is_solid(number))
            self._add(model, group, transform, number)
        for child in node.children:
            self._walk(child, group, matrix, within=within)

    def _is_theirs(self, number: int) -> bool:
        return self._ours[number] is None

    def _has_mesh(self, number: int) -> bool:
        """Whether it shows anything, itself or in what is in it and not ours."""
        if number not in self._shows:
            node = self._gltf.nodes[number]
            self._shows[number] = node.mesh is not None or any(
                self._has_mesh(child) for child in node.children if self._is_theirs(child)
            )
        return self._shows[number]

    def _is_solid(self, number: int) -> bool:
        node = self._gltf.nodes[number]
        return self._specials.is_solid(node) or any(
            self._is_solid(child) for child in node.children if self._is_theirs(child)
        )

    # --- props ----------------------------------------------------------------------------

    def _add(
        self, properties: Properties, group: bytes, transform: Transform, number: int
    ) -> None:
        """A prop that is made of something of somebody else's."""
        what = f"Node {number} ({titled(self._gltf.nodes[number].name)!r})"
        prop_id = self._made_id(f"{type(properties).__name__}:{number}".encode())
        self._keep(prop_id, Prop(bounded(transform, what), made(properties, what), group))

    def _keep(self, prop_id: bytes, prop: Prop) -> None:
        if len(self.props) >= limits.PROPS_PER_WORLD_MAX:
            raise InterchangeError(
                f"The file has more than {limits.PROPS_PER_WORLD_MAX:,} props, which are most."
            )
        self.props[prop_id] = prop

    def _id_of(self, number: int, tag: Tag) -> bytes:
        try:
            prop_id = uuid.UUID(tag.id).bytes
        except ValueError:
            raise InterchangeError(f"The id {tag.id[:64]!r} in the file is none.") from None
        if self._options.new_ids:
            key = self._options.world.encode() + prop_id
            prop_id = hashlib.blake2b(key, digest_size=16).digest()
        if prop_id in self.props:
            self.warnings.add("A prop that is twice in the file got another id.")
            return self._made_id(f"again:{number}".encode())
        return prop_id

    def _made_id(self, name: bytes) -> bytes:
        key = b"\0".join((self._options.world.encode(), self._digest, name))
        return hashlib.blake2b(key, digest_size=16).digest()

    # --- models ---------------------------------------------------------------------------

    def _with_file(self, number: int, properties: Properties) -> Properties:
        """The same; of a model whose file is nowhere, with what the scene shows of it."""
        if not isinstance(properties, Model):
            return properties
        asset = properties.asset
        embedded = self._about.files.get(asset)
        if asset in self.files:
            return properties
        if embedded is not None and self._loaded.buffers:
            start = embedded.offset
            self._spend(embedded.bytes)
            data = bytes(self._loaded.buffers[0][start : start + embedded.bytes])
            if hashlib.sha256(data).hexdigest() != asset:
                raise InterchangeError("A model within the file was damaged: export it anew.")
            self.files[asset] = data
        elif not self._is_there(asset):
            shown = [
                child for child in self._gltf.nodes[number].children
                if self._ours[child] == Part("model")
            ]
            if not shown:
                self.warnings.add("The file of a model is missing: import it where it is.")
                return properties
            self.warnings.add("A model is not kept whole in the file: it was cut out of it.")
            return msgspec.structs.replace(properties, asset=self._cut(shown, None))
        return properties

    def _is_there(self, asset: str) -> bool:
        """Asked once for each file: the answer means reading all of it."""
        if asset not in self._there:
            self._there[asset] = self._has_file(asset)
        return self._there[asset]

    def _cut(self, roots: list[int], rest: Matrix | None) -> str:
        """The hash of a file of its own; a single root gets the transform `rest`, if given."""
        likeness = [self._likeness(root, is_top=rest is not None) for root in roots]
        if None in likeness:
            return self._cut_anew(roots, rest)
        key = (tuple(likeness), None if rest is None else rest.tobytes())
        if key not in self._cuts:
            self._cuts[key] = self._cut_anew(roots, rest)
        return self._cuts[key]

    def _likeness(self, number: int, *, is_top: bool = False) -> tuple[object, ...] | None:
        """All that is in a tree: the same for equal ones; None where it is not worth the trouble.

        What is cut out has no part in two trees, so this takes as long as there are nodes.
        """
        node = self._gltf.nodes[number]
        if node.skin is not None or number in self._animated:
            return None
        inner = [self._likeness(child) for child in node.children if self._is_theirs(child)]
        if None in inner:
            return None
        own = () if is_top else (
            node.name, node.translation, node.rotation, node.scale,
            None if node.matrix is None else tuple(node.matrix),
        )
        return own, node.mesh, tuple(node.weights), tuple(inner)

    def _cut_anew(self, roots: list[int], rest: Matrix | None) -> str:
        target = Builder()
        before = self._bytes

        def place(view: g.BufferView) -> int:
            self._spend(view.byte_length)
            start = view.byte_offset
            data = self._loaded.buffers[view.buffer]
            return target.add_bytes(data[start : start + view.byte_length])

        copier = Copier(self._loaded, target, self.warnings, place)
        trees = Trees(self._loaded, copier, target)
        numbers = trees.copy(roots, lambda child: self._ours[child] is not None)
        if not self._animated.isdisjoint(numbers):
            copier.animations(numbers)
        if rest is not None:
            node = target.gltf.nodes[numbers[roots[0]]]
            node.name = ""  # equal things of other names are one file
            plain = g.Node()
            node.translation, node.rotation, node.scale = (
                plain.translation, plain.rotation, plain.scale
            )
            node.matrix = None if rest is IDENTITY else [float(one) for one in rest.T.reshape(16)]
        data = target.glb([numbers[root] for root in roots])
        self._spend(max(0, len(data) - (self._bytes - before)))
        asset = hashlib.sha256(data).hexdigest()
        self.files.setdefault(asset, data)
        return asset

    def _spend(self, size_bytes: int) -> None:
        """Count what is about to be copied, also what turns out to be there already."""
        self._bytes += size_bytes
        if self._bytes > limits.EXPORT_BYTES_MAX:
            raise InterchangeError(
                "The things in the file share so much that cut apart they are too large: import"
                " the scene as one model (--whole)."
            )


def _ours(node: g.Node) -> Tag | Part | None:
    """What our extras say of a node."""
    if not bytes(node.extras):
        return None
    try:
        inner = decoded(node.extras, Extras, "The extras").atrium
    except InterchangeError:
        return None  # extras may be anything
    if not bytes(inner):
        return None
    part = decoded(inner, Part, "The extras.atrium of a node")
    return part if part.part else decoded(inner, Tag, "The extras.atrium of a node")


def _about(gltf: g.Gltf) -> About:
    if not bytes(gltf.extras):
        return About()
    try:
        inner = decoded(gltf.extras, Extras, "The extras").atrium
    except InterchangeError:
        return About()
    about = decoded(inner, About, "The extras.atrium of the file") if bytes(inner) else About()
    if about.format > FORMAT:
        raise InterchangeError("A newer version of Atrium wrote this file: import it with that.")
    return about


def _owner(tag: Tag) -> str:
    """Who made it: an account, a guest, or nobody."""
    owner = tag.owner
    try:
        is_known = owner.startswith(GUEST) or not owner or str(uuid.UUID(owner)) == owner
    except ValueError:
        is_known = False
    if not is_known or len(owner) > OWNER_CHARS_MAX or not owner.isprintable():
        raise InterchangeError("A prop in the file belongs to what is neither account nor guest.")
    return owner


def _pending(tag: Tag, properties: Properties) -> str:
    if not isinstance(properties, Sign):
        return ""
    sign = made(Sign(text=tag.pending), "The pending text of a sign")
    assert isinstance(sign, Sign)
    return sign.text


def _split(matrix: Matrix) -> tuple[Transform, Matrix]:
    """The transform of a model's prop, and what has to stay within the model."""
    transform, is_same = decomposed(matrix)
    if is_same and is_bounded(transform):
        return transform, IDENTITY
    rest = matrix.copy()
    rest[:3, 3] = 0.0
    return Transform(transform.position_m), rest

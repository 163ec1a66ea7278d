"""The props of a world: who holds what is built here. PURE.

Theory of operation
-------------------
Props at rest are many (tens of thousands) and change rarely: each is a frozen record in a dict,
and a change is a new record. Everything that ever happens to them is a list of `Change`s, each
with the record before and after it: that is what others are told, what the database writes, what
history keeps and what undo turns round. `Props.apply` is the one place that changes anything, all
of a list or nothing; whoever made the list (`atrium_server.world.editing`) has asked the rules.

Groups make a forest. A prop's transform is in its group's frame, and groups have one scale for all
three axes, so that where something is seen can always be written as a transform of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from atrium_shared import limits
from atrium_shared.props import Properties, Transform, checked_transform

Quaternion = tuple[float, float, float, float]
Vector = tuple[float, float, float]


class Prop(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One prop as it stands."""

    transform: Transform
    properties: Properties
    group: bytes = b""
    """Id of the group that it is in; empty for none."""
    owner: str = ""
    """Account of who made it; empty for what belongs to the world itself."""
    is_locked: bool = False
    pending: str = ""
    """Of a sign: the text that its author wrote and that nobody else sees before the judge has
    let it pass. Empty for none."""


class Change(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One prop before and after: None where it is not there."""

    prop_id: bytes
    before: Prop | None
    after: Prop | None

    @property
    def reverse(self) -> Change:
        return Change(self.prop_id, self.after, self.before)


def is_only_moved(before: Prop, after: Prop) -> bool:
    """Whether they differ in nothing but the transform."""
    return (
        (before.properties is after.properties or before.properties == after.properties)
        and before.group == after.group
        and before.owner == after.owner
        and before.is_locked == after.is_locked
        and before.pending == after.pending
    )


class Props:
    """All props of one world, by id."""

    def __init__(self) -> None:
        self.version = 0
        """Counts the lists of changes that were applied."""
        self._of: dict[bytes, Prop] = {}
        self._inside: dict[bytes, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[tuple[bytes, Prop]]:
        return iter(self._of.items())

    def save(self) -> dict[bytes, Prop]:
        """All of them as they are now, for a checkpoint or a scene."""
        return self._of.copy()

    def get(self, prop_id: bytes) -> Prop | None:
        return self._of.get(prop_id)

    def inside(self, group: bytes) -> list[bytes]:
        """Ids of what is directly in a group, sorted."""
        return sorted(self._inside.get(group, ()))

    def tree(self, prop_id: bytes, most: int = limits.PROPS_PER_WORLD_MAX) -> list[bytes]:
        """The prop and all that is in it, groups before what they hold; when that is more than
        `most` some more than that of them.
        """
        found = [prop_id]
        for one in found:  # grows while it is walked
            if len(found) > most:
                break
            found.extend(self.inside(one))
        return found

    def above(self, prop_id: bytes) -> list[bytes]:
        """The groups that a prop is in, the nearest first."""
        found: list[bytes] = []
        prop = self._of.get(prop_id)
        while prop is not None and prop.group:
            found.append(prop.group)
            prop = self._of.get(prop.group)
        return found

    def depth(self, group: bytes) -> int:
        """How many groups are around what is put into `group`: 0 for none."""
        levels = 0
        while group:
            levels += 1
            group = self._of[group].group
        return levels

    def load(self, props: dict[bytes, Prop], version: int) -> list[bytes]:
        """Begin with these; returns those whose group is not there or goes round in a ring. They
        come to lie in the world.
        """
        self._of, self._inside, self.version = dict(props), {}, version
        for prop_id, prop in props.items():
            if prop.group:
                self._inside.setdefault(prop.group, set()).add(prop_id)
        reached: set[bytes] = set()
        lost: list[bytes] = []
        for prop_id, prop in props.items():
            if prop.group and prop.group not in props:
                lost.append(prop_id)
                self._free(prop_id)
            if not self._of[prop_id].group:
                reached.update(self.tree(prop_id))
        for prop_id in sorted(props.keys() - reached):  # what is left goes round in rings
            if prop_id not in reached:
                lost.append(prop_id)
                self._free(prop_id)
                reached.update(self.tree(prop_id))
        return lost

    def _free(self, prop_id: bytes) -> None:
        prop = self._of[prop_id]
        self._unlink(prop_id, prop)
        self._link(prop_id, msgspec.structs.replace(prop, group=b""))

    def fits(self, changes: list[Change]) -> bool:
        """Whether each prop is as the change says that it was."""
        for change in changes:
            now = self._of.get(change.prop_id)
            if now is not change.before and now != change.before:
                return False
        return True

    def as_forest(self, wanted: dict[bytes, Prop | None]) -> list[Change]:
        """The changes that make props as wanted; one whose group would not be there, or would be
        in the prop itself, comes to lie in the world.
        """
        def group_of(one: bytes) -> bytes | None:
            prop = wanted[one] if one in wanted else self._of.get(one)
            return None if prop is None else prop.group

        for prop_id in [*wanted, *(one for gone in wanted for one in self.inside(gone))]:
            prop = wanted[prop_id] if prop_id in wanted else self._of.get(prop_id)
            above, levels = group_of(prop_id), 0
            while above and above != prop_id and levels <= limits.GROUP_DEPTH_MAX:
                above, levels = group_of(above), levels + 1
            if prop is not None and above != b"":
                wanted[prop_id] = msgspec.structs.replace(prop, group=b"")
        changes = [Change(one, self._of.get(one), prop) for one, prop in wanted.items()]
        return [change for change in changes if change.before != change.after]

    def apply(self, changes: list[Change]) -> None:
        """Make the changes. They must fit and leave a forest."""
        assert self.fits(changes), "a change was made for another state"
        for change in changes:
            self._unlink(change.prop_id, change.before)
        for change in changes:
            self._link(change.prop_id, change.after)
        self.version += 1

    def _unlink(self, prop_id: bytes, prop: Prop | None) -> None:
        self._of.pop(prop_id, None)
        if prop is not None and prop.group:
            held = self._inside[prop.group]
            held.discard(prop_id)
            if not held:
                del self._inside[prop.group]

    def _link(self, prop_id: bytes, prop: Prop | None) -> None:
        if prop is None:
            return
        self._of[prop_id] = prop
        if prop.group:
            self._inside.setdefault(prop.group, set()).add(prop_id)

    # --- where things are seen -----------------------------------------------------------

    def seen_at(self, prop_id: bytes) -> Transform:
        """The transform of a prop in the world."""
        prop = self._of[prop_id]
        transform = prop.transform
        while prop.group:
            prop = self._of[prop.group]
            transform = compose(prop.transform, transform)
        return transform

    def in_frame_of(self, group: bytes, seen: Transform) -> Transform:
        """The transform in `group` (empty: in the world) that is seen at `seen`."""
        if not group:
            return seen
        return relative(self.seen_at(group), seen)


def compose(outer: Transform, inner: Transform) -> Transform:
    """`inner`, given in the frame of `outer`, in the frame that `outer` is given in.

    The scale of `outer` must be the same on all axes.
    """
    size = outer.scale[0]
    moved = rotate(outer.rotation, _scaled(inner.position_m, size))
    position = _added(outer.position_m, moved)
    return checked_transform(Transform(
        position, multiply(outer.rotation, inner.rotation), _scaled(inner.scale, size)
    ))


def relative(outer: Transform, seen: Transform) -> Transform:
    """What `compose(outer, ...)` makes `seen` of."""
    size, back = 1.0 / outer.scale[0], conjugate(outer.rotation)
    offset = _added(seen.position_m, _scaled(outer.position_m, -1.0))
    return checked_transform(Transform(
        _scaled(rotate(back, offset), size), multiply(back, seen.rotation),
        _scaled(seen.scale, size),
    ))


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation that first does `b`, then `a` (Hamilton product, x y z w)."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: Quaternion) -> Quaternion:
    """The rotation back, of a quaternion of length 1."""
    return -q[0], -q[1], -q[2], q[3]


def rotate(q: Quaternion, v: Vector) -> Vector:
    """A vector turned by a quaternion of length 1."""
    x, y, z, _ = multiply(multiply(q, (*v, 0.0)), conjugate(q))
    return x, y, z


def yaw_of(q: Quaternion) -> float:
    """How far a rotation turns about the vertical, in radians, counter-clockwise from above."""
    x, y, z, w = q
    return math.atan2(2.0 * (w * y + x * z), 1.0 - 2.0 * (y * y + x * x))


def is_uniform(transform: Transform) -> bool:
    """Whether the scale is the same on all axes, as that of a group must be."""
    first = transform.scale[0]
    return all(math.isclose(one, first, rel_tol=1e-9) for one in transform.scale)


def _scaled(v: Vector, by: float) -> Vector:
    return v[0] * by, v[1] * by, v[2] * by


def _added(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]

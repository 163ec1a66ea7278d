"""Props as the store keeps them: rows of entities, and edits as their before and after. PURE.

The world knows props and the store knows rows, and neither knows the other. The transform, the
kind, the group and the owner are columns; what else a prop has is JSON, checked like any other
input when it comes back. An edit is kept as two JSON objects by prop id, null where there was or
is nothing: reversing it needs nothing else.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from atrium_server.persistence.ids import uuid_of
from atrium_server.persistence.store import Batch, EditRow, EntityRow
from atrium_server.world.props import Change, Prop
from atrium_shared import limits
from atrium_shared.props import (
    Model,
    PropError,
    Properties,
    Transform,
    checked_properties,
    checked_transform,
    kind_of,
)


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a row's JSON holds."""

    properties: Properties
    locked: bool = False
    pending: str = ""
    """The text of a sign that the judge has not seen through yet."""
    owner: str = ""
    """Who made it, where that is no account."""


class _KeptProp(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole prop within the history of edits."""

    transform: Transform
    kept: Kept
    group: str = ""
    owner: str = ""


_encoder = msgspec.json.Encoder(order="sorted")
_kept_decoder = msgspec.json.Decoder(Kept)
_history_decoder = msgspec.json.Decoder(dict[uuid.UUID, _KeptProp | None])


def row_of(prop_id: bytes, prop: Prop, by: uuid.UUID | None = None) -> EntityRow:
    """The row of a prop that `by` has changed."""
    account = account_of(prop.owner)
    return EntityRow(
        id=uuid_of(prop_id),
        kind=kind_of(prop.properties),
        position=prop.transform.position_m,
        rotation=prop.transform.rotation,
        scale=prop.transform.scale,
        parent=uuid_of(prop.group) if prop.group else None,
        owner=account,
        model_hash=(
            bytes.fromhex(prop.properties.asset) if isinstance(prop.properties, Model) else None
        ),
        props=_encoder.encode(_kept(prop, "" if account else prop.owner)),
        changed_by=by,
    )


def prop_of(row: EntityRow) -> Prop:
    """The prop of a row. Raises PropError: this version of the program cannot understand it."""
    try:
        kept = _kept_decoder.decode(row.props)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PropError(f"The entity {row.id} cannot be understood: {error}.") from None
    transform = checked_transform(Transform(row.position, row.rotation, row.scale))
    return Prop(
        transform, checked_properties(kept.properties), row.parent.bytes if row.parent else b"",
        str(row.owner) if row.owner else kept.owner, kept.locked, kept.pending,
    )


@functools.lru_cache(maxsize=4096)  # thousands of edits a second are of few people
def account_of(owner: str) -> uuid.UUID | None:
    """The account that an owner is; None for a guest and for the world itself."""
    return uuid.UUID(owner) if owner and not owner.startswith("guest:") else None


def history_of(changes: Iterable[Change]) -> tuple[bytes, bytes]:
    """An edit as JSON: the props before it and after it, by id."""
    before: dict[str, _KeptProp | None] = {}
    after: dict[str, _KeptProp | None] = {}
    for change in changes:
        name = str(uuid_of(change.prop_id))
        before[name] = None if change.before is None else _in_history(change.before)
        after[name] = None if change.after is None else _in_history(change.after)
    return _encoder.encode(before), _encoder.encode(after)


def changes_of(before: bytes, after: bytes) -> list[Change]:
    """What `history_of` has told. Raises PropError."""
    try:
        old, new = _history_decoder.decode(before), _history_decoder.decode(after)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PropError(f"An edit in the history cannot be understood: {error}.") from None
    return [
        Change(name.bytes, _from_history(old.get(name)), _from_history(new.get(name)))
        for name in dict.fromkeys((*old, *new))
    ]


def batch_of(changes: Sequence[Change], version: int, op: str, session: uuid.UUID) -> Batch:
    """Many changes at once, by nobody's account, as one version; `session` is new for each.

    They are told as several edits, none of which is much larger than EDIT_ROW_BYTES_MAX.
    """
    edits = [
        EditRow(session, number, op, None, uuid_of(some[0].prop_id), *history_of(some))
        for number, some in enumerate(_edits_of(changes), 1)
    ]
    rows = [row_of(change.prop_id, change.after) for change in changes if change.after]
    removed = [uuid_of(change.prop_id) for change in changes if change.after is None]
    return Batch(version, tuple(rows), tuple(removed), tuple(edits))


def _edits_of(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    start = size = 0
    for place, change in enumerate(changes):
        size += sum(map(len, history_of([change])))
        if size >= limits.EDIT_ROW_BYTES_MAX or place + 1 - start >= limits.EDIT_CHANGES_MAX:
            yield changes[start : place + 1]
            start, size = place + 1, 0
    if start < len(changes):
        yield changes[start:]


def _kept(prop: Prop, owner: str) -> Kept:
    return Kept(prop.properties, prop.is_locked, prop.pending, owner)


def _in_history(prop: Prop) -> _KeptProp:
    return _KeptProp(prop.transform, _kept(prop, ""), prop.group.hex(), prop.owner)


def _from_history(kept: _KeptProp | None) -> Prop | None:
    if kept is None:
        return None
    return Prop(
        checked_transform(kept.transform), checked_properties(kept.kept.properties),
        bytes.fromhex(kept.group), kept.owner, kept.kept.locked, kept.kept.pending,
    )

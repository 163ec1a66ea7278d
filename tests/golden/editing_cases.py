"""The part of the golden vectors that is about props: edits, answers, and what others are told."""

from __future__ import annotations

import math
from typing import Any

import msgpack

from atrium_shared import codec, edits, limits, props
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode

PROP = bytes(range(16))
OTHER = bytes(range(16, 32))
GROUP = bytes(range(240, 256))
ACCOUNT = "018f0000-0000-7000-8000-000000000001"
GUEST = "guest:018f0000-0000-7000-8000-0000000000ff"
HALF = 0.7071068
PLACE = props.Transform((1.5, 0.25, -2.0), (0.0, HALF, 0.0, HALF), (1.0, 2.0, 0.5))
EDGE = props.Transform(
    (limits.WORLD_EXTENT_M_MAX, -limits.WORLD_EXTENT_M_MAX, 0.0), (0.0, 0.0, 0.0, -1.0),
    (limits.PROP_SCALE_MIN, limits.PROP_SCALE_MAX, 1.0),
)


def kinds() -> dict[str, props.Properties]:
    """Each kind of properties with every field in use, and none but the kind."""
    p = props
    return {
        "model": p.Model("Fern", "0123456789abcdef" * 4, "#a0ff01", True, True),
        "model_plain": p.Model(),
        "shape": p.Shape("Bäll 🎾", p.ShapeForm.SPHERE, "#0a0b0c", 0.25, 0.5, False, True),
        "shape_plain": p.Shape(),
        "sign": p.Sign("Door", "Mind the\nstep", "#ffffff", "#000000"),
        "sign_longest": p.Sign("t" * limits.PROP_TITLE_CHARS_MAX, "é" * limits.SIGN_CHARS_MAX),
        "light": p.Light("Lamp", p.LightForm.SPOT, "#ffeedd", 0.0, limits.LIGHT_RANGE_M_MAX, 179.0),
        "light_plain": p.Light(),
        "seat": p.Seat("Bench"),
        "portal": p.Portal("Way out", "arena"),
        "spawn": p.Spawn("Arrivals", 0.0),
        "zone": p.Zone("Stage", p.ZoneMeaning.STAGE),
        "npc_post": p.NpcPost("Guard", "Wächter"),
        "group": p.Group("Table with four chairs"),
        "group_plain": p.Group(),
    }


def client_messages() -> dict[str, m.ClientMessage]:
    """Every operation, every kind of properties, grab and release."""
    e = edits
    asked: dict[str, edits.Edit] = {
        **{f"create_{name}": e.Create(PROP, b"", PLACE, kind) for name, kind in kinds().items()},
        "create_in_group": e.Create(PROP, GROUP, props.Transform(), props.Shape()),
        "place": e.Place(PROP, PLACE),
        "place_at_the_edge": e.Place(PROP, EDGE),
        "describe": e.Describe(PROP, props.Sign(text="Open")),
        "duplicate": e.Duplicate(PROP, OTHER, PLACE),
        "delete": e.Delete(PROP),
        "attach": e.Attach((PROP, OTHER), GROUP),
        "attach_most": e.Attach(
            tuple(bytes([n]) * 16 for n in range(limits.EDIT_PROPS_MAX)), GROUP
        ),
        "detach": e.Attach((PROP,), b""),
        "lock": e.Lock(PROP, True),
        "unlock": e.Lock(PROP, False),
        "undo": e.Undo(),
        "redo": e.Redo(),
    }
    said: dict[str, m.ClientMessage] = {
        f"edit_{name}": m.EditSubmit(100 + number, edit)
        for number, (name, edit) in enumerate(asked.items())
    }
    grip = ((0.0, -0.05, -0.3), (HALF, 0.0, 0.0, HALF))
    return said | {
        "grab": m.Grab(200, PROP, 1, *grip),
        "release": m.Release(201, PROP, PLACE, (limits.RELEASE_M_PER_S_MAX, 2.5, -0.5)),
        "drag": m.Drag((edits.PropMove(PROP, PLACE), edits.PropMove(OTHER, EDGE))),
        "drag_ends": m.Drag(()),
    }


def states() -> tuple[edits.PropState, ...]:
    """A prop of each kind."""
    return tuple(
        edits.PropState(
            bytes([number + 1]) * 16, GROUP if number % 2 else b"", PLACE, properties,
            (ACCOUNT, GUEST, "")[number % 3], number % 4 == 0,
        )
        for number, properties in enumerate(kinds().values())
    )


def server_messages() -> dict[str, m.ServerMessage]:
    """Each message about props that a server may send."""
    state = m.EditState
    flights = (
        edits.Flight(PROP, (0.0, 1.25, 0.0), (0.0, 0.0, 0.0, 1.0), (3.0, 4.0, -0.5), False),
        edits.Flight(OTHER, (5.0, 0.5, 5.0), (0.0, HALF, 0.0, HALF), (-1.5, 0.0, 0.0), True),
    )
    grip = ((0.0, -0.05, -0.3), (HALF, 0.0, 0.0, HALF))
    return {
        "edit_status_accepted": m.EditStatus(100, state.ACCEPTED, ErrorCode.OK, "", 0),
        "edit_status_accepted_in_part": m.EditStatus(
            101, state.ACCEPTED, ErrorCode.OK, "2 of it were left as others made them.", 0
        ),
        "edit_status_durable": m.EditStatus(100, state.DURABLE, ErrorCode.OK, "", 0),
        "edit_status_reverted": m.EditStatus(
            102, state.REVERTED, ErrorCode.NOT_SAVED, "It could not be saved.", 0
        ),
        "edit_status_refused": m.EditStatus(
            103, state.REFUSED, ErrorCode.CONFLICT, "Others have changed it since.", 0
        ),
        "edit_status_refused_for_now": m.EditStatus(
            104, state.REFUSED, ErrorCode.RATE_LIMITED, "Not so fast.", 1_000
        ),
        "props_changed": m.PropsChanged(
            7, states()[:2], (edits.PropMove(OTHER, PLACE), edits.PropMove(GROUP, EDGE)), (PROP,)
        ),
        "props_changed_every_kind": m.PropsChanged(2**32 - 1, states(), (), ()),
        "props_changed_in_nothing": m.PropsChanged(8, (), (), ()),
        "prop_held": m.PropHeld(PROP, 70_000, 1, *grip),
        "prop_put_back": m.PropHeld(PROP, 0, 0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        "props_flown": m.PropsFlown(903, 45_150, flights),
        "props_dragged": m.PropsDragged(70_000, 45_200, (edits.PropMove(PROP, PLACE),)),
        "props_dragged_no_more": m.PropsDragged(70_000, 45_300, ()),
        "sign_status_pending": m.SignStatus(PROP, m.SignState.PENDING, "Mind the\nstep", ""),
        "sign_status_published": m.SignStatus(PROP, m.SignState.PUBLISHED, "Mind the\nstep", ""),
        "sign_status_rejected": m.SignStatus(PROP, m.SignState.REJECTED, "Bah", "Be kind."),
        "saving_again": m.Saving(m.SaveState.RW, "Everything is saved again."),
        "saving_late": m.Saving(m.SaveState.DEGRADED, "Saving takes longer than usual."),
        "saving_not": m.Saving(m.SaveState.READ_ONLY, "Nothing can be built just now."),
        "saving_elsewhere": m.Saving(m.SaveState.FENCED, "Another server has this world."),
    }


# --- other forms -------------------------------------------------------------------------


def numbered(name: str) -> int:
    """The request id of a message of `client_messages`."""
    message = client_messages()[name]
    assert isinstance(message, m.EditSubmit)
    return message.request_id


def other_forms() -> dict[str, bytes]:
    """Valid MessagePack that is not the shortest: a decoder must take it as well."""
    place = [[1.5, 0.25, -2], [0, HALF, 0, HALF], [1, 2, 0.5]]
    sign = {"text": "Open", "kind": "sign", "title": "", "colour": "#222222"}
    light = {"angle_deg": 60, "kind": "light", "range_m": 10, "form": "point", "colour": "#ffffff"}
    empty_map_16 = b"\xde\x00\x01" + msgpack.packb("kind") + msgpack.packb("group")
    head = msgpack.packb([10, numbered("edit_create_group_plain")])[1:]
    create = b"\x93" + head + b"\x95" + b"".join(map(msgpack.packb, (1, PROP, b"", place)))
    return {
        "edit_place": packed("edit_place", [2, PROP, place]),
        "edit_create_in_group": packed(
            "edit_create_in_group", [1, PROP, GROUP, [], {"kind": "shape"}]
        ),
        "edit_describe": packed("edit_describe", [3, PROP, sign]),
        "edit_create_light_plain": packed("edit_create_light_plain", [1, PROP, b"", place, light]),
        "edit_create_group_plain": create + empty_map_16,
    }


def packed(name: str, edit: list[Any]) -> bytes:
    """An EditSubmit with the request id of the vector `name`."""
    return msgpack.packb([10, numbered(name), edit])


# --- malformed ---------------------------------------------------------------------------

_AT = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]


def transforms() -> dict[str, list[Any]]:
    """Transforms that none may be."""
    return {
        "nan": [[math.nan, 0.0, 0.0], *_AT[1:]],
        "infinite": [[0.0, math.inf, 0.0], *_AT[1:]],
        "rotation_nan": [_AT[0], [0.0, 0.0, math.nan, 1.0], _AT[2]],
        "outside": [[0.0, 0.0, 8_388.5], *_AT[1:]],
        "two_numbers": [[0.0, 0.0], *_AT[1:]],
        "four_numbers": [[0.0, 0.0, 0.0, 0.0], *_AT[1:]],
        "rotation_of_three": [_AT[0], [0.0, 0.0, 1.0], _AT[2]],
        "scale_zero": [*_AT[:2], [1.0, 0.0, 1.0]],
        "scale_negative": [*_AT[:2], [-1.0, 1.0, 1.0]],
        "scale_too_large": [*_AT[:2], [1.0, 1.0, 100.5]],
        "number_is_text": [["0", 0.0, 0.0], *_AT[1:]],
        "number_is_bool": [[True, 0.0, 0.0], *_AT[1:]],
        "one_field_too_many": [*_AT, 0],
    }


def properties() -> dict[str, Any]:
    """Properties that none may have."""
    deep: Any = {"kind": "group"}
    for _ in range(100):
        deep = {"kind": deep}
    return {
        "none": None,
        "array": ["shape"],
        "empty": {},
        "kind_unknown": {"kind": "door"},
        "kind_is_number": {"kind": 2},
        "kind_missing": {"colour": "#ffffff"},
        "field_unknown": {"kind": "seat", "colour": "#ffffff"},
        "field_of_another_kind": {"kind": "group", "text": "Open"},
        "field_is_number": {"kind": "seat", 1: "x"},
        "colour_red": {"kind": "shape", "colour": "red"},
        "colour_upper_case": {"kind": "shape", "colour": "#FFFFFF"},
        "colour_and_newline": {"kind": "shape", "colour": "#ffffff\n"},
        "form_unknown": {"kind": "shape", "form": "torus"},
        "form_is_number": {"kind": "shape", "form": 0},
        "share_above_one": {"kind": "shape", "roughness": 1.5},
        "share_nan": {"kind": "shape", "roughness": math.nan},
        "bool_is_number": {"kind": "shape", "collides": 1},
        "text_too_long": {"kind": "sign", "text": "a" * (limits.SIGN_CHARS_MAX + 1)},
        "title_too_long": {"kind": "seat", "title": "a" * (limits.PROP_TITLE_CHARS_MAX + 1)},
        "title_is_bytes": {"kind": "seat", "title": b"Bench"},
        "asset_too_short": {"kind": "model", "asset": "0" * 63},
        "asset_is_a_path": {"kind": "model", "asset": "../" + "0" * 61},
        "light_without_cone": {"kind": "light", "form": "spot", "angle_deg": 0.0},
        "light_too_bright": {"kind": "light", "intensity_cd": 10_001.0},
        "deep": deep,
    }


def malformed_client() -> dict[str, bytes]:
    """Bytes that are no edit."""
    bad: dict[str, list[Any]] = {
        **{f"transform_{name}": [10, 1, [2, PROP, at]] for name, at in transforms().items()},
        **{f"properties_{name}": [10, 1, [3, PROP, of]] for name, of in properties().items()},
        "edit_unknown": [10, 1, [10]],
        "edit_zero": [10, 1, [0]],
        "edit_empty": [10, 1, []],
        "edit_is_map": [10, 1, {"op": 8}],
        "edit_tag_is_text": [10, 1, ["undo"]],
        "edit_field_missing": [10, 1, [2, PROP]],
        "edit_field_too_many": [10, 1, [8, 0]],
        "edit_id_of_15_bytes": [10, 1, [5, PROP[:15]]],
        "edit_id_of_17_bytes": [10, 1, [5, PROP + b"\x00"]],
        "edit_id_is_text": [10, 1, [5, "0123456789abcdef"]],
        "edit_group_of_17_bytes": [10, 1, [6, [PROP], GROUP + b"\x00"]],
        "attach_nothing": [10, 1, [6, [], GROUP]],
        "attach_65": [10, 1, [6, [PROP] * (limits.EDIT_PROPS_MAX + 1), GROUP]],
        "lock_is_number": [10, 1, [7, PROP, 1]],
        "request_id_negative": [10, -1, [8]],
        "grab_third_hand": [11, 1, PROP, 2, _AT[0], _AT[1]],
        "grab_nan": [11, 1, PROP, 0, [0.0, math.nan, 0.0], _AT[1]],
        "release_too_fast": [12, 1, PROP, _AT, [0.0, 50.5, 0.0]],
        "release_at_nan_speed": [12, 1, PROP, _AT, [math.nan, 0.0, 0.0]],
        "release_without_speed": [12, 1, PROP, _AT],
        **{f"drag_{name}": [19, [[PROP, at]]] for name, at in transforms().items()},
        "drag_65": [19, [[PROP, _AT]] * (limits.EDIT_PROPS_MAX + 1)],
        "drag_id_of_15_bytes": [19, [[PROP[:15], _AT]]],
        "drag_without_place": [19, [[PROP]]],
        "drag_is_map": [19, {"drags": []}],
        "drag_asks": [19, 1, []],
    }
    twice = codec.encode(client_messages()["edit_create_in_group"])
    return {name: msgpack.packb(value) for name, value in bad.items()} | {
        "edit_cut": twice[:-1],
        "edit_map_cut": twice[: twice.index(b"kind") + 4],
        "edit_map_length_lies": twice.replace(b"\x81\xa4kind", b"\xdf\xff\xff\xff\xff\xa4kind"),
        "edit_nested_deep": b"\x93\x0a\x01" + b"\x91" * 4_000,
        "edit_maps_deep": b"\x93\x0a\x01\x93\x03\xc4\x10" + PROP + b"\x81\xa4kind" * 2_000,
    }


def malformed_server() -> dict[str, bytes]:
    """Bytes that are nothing a server may say about props."""
    good = [PROP, b"", _AT, {"kind": "seat"}, "", False]
    bad: dict[str, list[Any]] = {
        **{f"move_{name}": [78, 1, [], [[PROP, at]], []] for name, at in transforms().items()},
        **{
            f"state_{name}": [78, 1, [[*good[:3], of, *good[4:]]], [], []]
            for name, of in properties().items()
        },
        "state_id_of_15_bytes": [78, 1, [[PROP[:15], *good[1:]]], [], []],
        "state_owner_too_long": [78, 1, [[*good[:4], "a" * 49, False]], [], []],
        "state_lock_is_number": [78, 1, [[*good[:5], 0]], [], []],
        "state_short": [78, 1, [good[:5]], [], []],
        "state_is_map": [78, 1, [{"kind": "seat"}], [], []],
        "gone_id_of_15_bytes": [78, 1, [], [], [PROP[:15]]],
        "changes_without_gone": [78, 1, [], []],
        "edit_state_unknown": [77, 1, 4, 0, "", 0],
        "saving_state_unknown": [82, 4, ""],
        "sign_state_unknown": [81, PROP, 3, "", ""],
        "held_at_nan": [79, PROP, 1, 0, [math.nan, 0.0, 0.0], _AT[1]],
        "flight_too_fast": [80, 1, 1, [[PROP, _AT[0], _AT[1], [51.0, 0.0, 0.0], False]]],
        **{f"dragged_{name}": [86, 1, 1, [[PROP, at]]] for name, at in transforms().items()},
        "dragged_by_nobody_known": [86, -1, 1, []],
        "flight_short": [80, 1, 1, [[PROP, _AT[0], _AT[1], [1.0, 0.0, 0.0]]]],
    }
    return {name: msgpack.packb(value) for name, value in bad.items()}

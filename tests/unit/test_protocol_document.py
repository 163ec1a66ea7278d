"""docs/PROTOCOL.md says what the code does: its tables and examples are compared with it."""

from __future__ import annotations

import enum
import json
import re
from pathlib import Path
from typing import Any

import make_golden
import msgspec
import numpy as np
import pytest
from websockets.frames import CloseCode as FrameCloseCode

from atrium_client.props import GRAVITY_M_PER_S2, SLIDE_M_PER_S2, PropsView, decode_scene
from atrium_client.session import RESUMABLE
from atrium_shared import codec, edits, errors, limits, messages, pose, props, snapshot

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "PROTOCOL.md").read_text("utf-8")
PROSE = " ".join(TEXT.split())
GOLDEN = Path(make_golden.__file__).parent


def table(name: str) -> list[list[str]]:
    """The cells of the table that follows `<!-- table: name -->`, without its heading."""
    after = TEXT.split(f"<!-- table: {name} -->")[1].strip().splitlines()
    rows = after[: next(i for i, line in enumerate([*after, ""]) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows[2:]]


def number(value: float) -> str:
    """A bound as the page writes it."""
    return f"{value:g}" if abs(value) < 1e5 else str(int(value))


def written(info: msgspec.inspect.Type) -> str:
    """A field's type as the page writes it."""
    i = msgspec.inspect
    if isinstance(info, i.IntType):
        widths = {255: "u8", 65_535: "u16", 4_294_967_295: "u32"}
        assert info.le is not None
        if info.ge == 0 and info.le in widths:
            return widths[info.le]
        width = "u8" if info.le < 256 else "u32"
        return f"{width}({info.ge}..{info.le})"
    if isinstance(info, i.FloatType):
        assert info.ge is not None
        assert info.le is not None
        return f"f64({number(info.ge)}..{number(info.le)})"
    if isinstance(info, i.BoolType):
        return "bool"
    if isinstance(info, i.StrType | i.BytesType):
        word = "str" if isinstance(info, i.StrType) else "bin"
        if info.max_length is None:
            return word
        least = f"{info.min_length}.." if info.min_length else ""
        if info.min_length == info.max_length:
            least = "="
        pattern = getattr(info, "pattern", None)
        form = f", {pattern.strip('^$')}" if pattern else ""
        return f"{word}({least}{info.max_length}{form})"
    if isinstance(info, i.VarTupleType):
        least = f"{info.min_length}.." if info.min_length else ""
        most = f"; {least}{info.max_length}" if info.max_length else ""
        return f"[{written(info.item_type)}{most}]"
    if isinstance(info, i.TupleType):
        (each,) = {written(item) for item in info.item_types}
        return f"[{each} * {len(info.item_types)}]"
    if isinstance(info, i.UnionType):
        held = tuple(each.cls for each in info.types if isinstance(each, i.StructType))
        return {edits.EDITS: "Edit", props.KINDS: "Properties"}[held]
    assert isinstance(info, i.EnumType | i.StructType)
    return info.cls.__name__


def fields_of(kind: type[msgspec.Struct], *, with_defaults: bool = False) -> str:
    return ", ".join(
        f"{field.name}: {written(field.type)}"
        + (f" = {json.dumps(field.default)}" if with_defaults else "")
        for field in codec.info_of(kind).fields
    )


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("client messages", messages.CLIENT_MESSAGES), ("server messages", messages.SERVER_MESSAGES)],
)
def test_messages(name: str, kinds: tuple[type[messages.Message], ...]) -> None:
    assert table(name) == [
        [str(messages.op_of(kind)), kind.__name__, fields_of(kind)] for kind in kinds
    ]


def test_nested_arrays() -> None:
    found = codec.nested_of((*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES))
    kinds = [kind for kind in found if kind not in (*edits.EDITS, *props.KINDS)]
    assert table("nested") == [[kind.__name__, fields_of(kind)] for kind in kinds]
    for kind in kinds:
        defaults = [
            json.dumps(field.default) for field in codec.info_of(kind).fields if not field.required
        ]
        assert not defaults or f"`{', '.join(defaults)}`" in PROSE


def test_edits() -> None:
    assert table("edits") == [
        [str(codec.info_of(kind).tag), kind.__name__, fields_of(kind)] for kind in edits.EDITS
    ]


def test_properties() -> None:
    shown = [[kind, fields] for kind, _, fields in table("properties")]
    assert shown == [
        [str(codec.info_of(kind).tag), fields_of(kind, with_defaults=True)] for kind in props.KINDS
    ]


def test_words() -> None:
    kinds = (props.ShapeForm, props.LightForm, props.ZoneMeaning)
    assert table("words") == [[kind.__name__, ", ".join(kind)] for kind in kinds]


def test_rights() -> None:
    rows = [row[:2] for row in table("rights")]
    assert rows == [[str(right.value), str(right.name)] for right in messages.Rights]


def test_the_scene_of_the_example_holds_the_prop_of_the_vector() -> None:
    text = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0]
    view = PropsView()
    assert view.load(decode_scene(text.encode()))
    message = codec.decode_server((GOLDEN / "bin/server/props_changed.bin").read_bytes())
    assert isinstance(message, messages.PropsChanged)
    (state,) = view.states()
    assert state == message.states[0]


def test_what_flies_is_where_the_page_says() -> None:
    assert f"{GRAVITY_M_PER_S2:g} m/s²" in PROSE
    assert f"{SLIDE_M_PER_S2:g} m/s²" in PROSE


def test_enumerations() -> None:
    kinds: tuple[type[enum.IntEnum], ...] = (
        messages.ClientKind, messages.EntityKind, messages.ChatChannel, messages.ChatState,
        messages.TeleportTarget, messages.EditState, messages.SignState, messages.SaveState,
        messages.ReportReason, messages.SignalKind, messages.VoiceMode,
    )
    assert table("enumerations") == [
        [kind.__name__, ", ".join(f"{m.name}={m.value}" for m in kind)] for kind in kinds
    ]


def test_parts() -> None:
    rows = table("parts")
    assert [row[:2] for row in rows] == [[str(p.value), str(p.name)] for p in pose.Parts]
    for bit, _, length, _ in rows:
        assert int(length) == pose.body_length(int(bit)) - pose.body_length(0)
    lengths = [pose.body_length(parts) for parts in (0, 3, 63)]
    sentence = "without points has {} bytes, one with head and hands {}, one with everything {}"
    assert sentence.format(*lengths) in PROSE


def test_flags() -> None:
    rows = table("flags")
    assert [row[:2] for row in rows] == [[str(f.value), str(f.name)] for f in pose.Flags]
    # One that is the client's in poses only is not passed on to others.
    of_client = sum(
        int(row[0]) for row in rows
        if row[2].startswith("the client") and "in poses only" not in row[2]
    )
    assert of_client == pose.FLAGS_OF_CLIENT


def test_reasons() -> None:
    rows = [row[:2] for row in table("reasons")]
    assert rows == [[str(r.value), str(r.name)] for r in messages.MoveReason]


def test_forms_and_lengths() -> None:
    assert [row[:2] for row in table("forms")] == [[str(f.value), f.name] for f in snapshot.Form]
    for parts, *lengths in table("record lengths"):
        found = [snapshot.record_length(form, int(parts)) for form in snapshot.Form]
        assert [int(length) for length in lengths] == found


def test_error_codes() -> None:
    def row(code: errors.ErrorCode) -> list[str]:
        close = errors.CLOSE_CODE_OF.get(code)
        resume = "" if close is None else "yes" if code in RESUMABLE else "no"
        return [str(code.value), code.name, "" if close is None else str(close.value), resume]

    rows = [[code, name, close, resume] for code, name, _, close, resume in table("error codes")]
    assert rows == [row(code) for code in errors.ErrorCode]


CLOSE_CODES_OF_THE_LIBRARY = {1000: "NORMAL", 1007: "INVALID_DATA"}
"""What the WebSocket library sends by itself, as RFC 6455 tells it to."""


def test_close_codes() -> None:
    rows = [row[:2] for row in table("close codes")]
    codes = {code.value: code.name for code in errors.CloseCode} | CLOSE_CODES_OF_THE_LIBRARY
    assert rows == [[str(code), name] for code, name in sorted(codes.items())]


def test_a_message_too_large_closes_as_the_library_does() -> None:
    assert errors.CLOSE_CODE_OF[errors.ErrorCode.TOO_LARGE] == FrameCloseCode.MESSAGE_TOO_BIG


def test_limits() -> None:
    for name, value, _ in table("limits"):
        assert float(value) == float(getattr(limits, name)), name


def test_the_hash() -> None:
    assert f"    {codec.PROTOCOL_HASH}\n" in TEXT


def examples() -> list[Any]:
    """(name, bytes) of the fenced examples."""
    found = re.findall(r"```hex ([^\n]+)\n(.*?)```", TEXT, re.DOTALL)
    return [pytest.param(name, bytes.fromhex(text), id=name) for name, text in found]


@pytest.mark.parametrize(("name", "data"), examples())
def test_examples_are_golden_vectors(name: str, data: bytes) -> None:
    if name.startswith("body "):
        _, story, step = name.split()
        vectors = json.loads((GOLDEN / "vectors.json").read_text("utf-8"))
        steps = next(s["steps"] for s in vectors["snapshots"] if s["name"] == story)
        assert data.hex() == steps[int(step) - 1]["body"]
    else:
        assert data == (GOLDEN / "bin" / f"{name}.bin").read_bytes()


def test_there_are_examples() -> None:
    assert len(examples()) == 8


def test_the_identity_rotation() -> None:
    code = 511 | 511 << 10 | 511 << 20 | 3 << 30
    assert f"= {code:#010x}" in TEXT
    assert pose.decode_rotations(np.array([code], np.uint32)).tolist() == [[0, 0, 0, 1]]


def test_the_conformance_table_names_every_list() -> None:
    rows = TEXT.split("## Conformance")[1]
    named = set(re.findall(r"^\| ([a-z_]+) \|", rows, re.MULTILINE)) - {"list"}
    vectors = json.loads((GOLDEN / "vectors.json").read_text("utf-8"))
    assert named == set(vectors) - {"subprotocol", "protocol_hash"}

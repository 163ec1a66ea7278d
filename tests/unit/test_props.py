"""What a prop may be: one definition for JSON and MessagePack, a sentence for everything else."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_shared import limits, props
from atrium_shared.props import PropError, Transform

HASH = "ab" * 32


@pytest.mark.parametrize("kind", props.KINDS)
def test_every_kind_has_defaults_and_comes_back_from_json(kind: type[props.Model]) -> None:
    made = kind(title="a thing")
    text = props.encode_properties(made)
    assert props.decode_properties(text) == made
    assert json.loads(text) == {"kind": props.kind_of(made), "title": "a thing"}


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
shapes = st.builds(
    props.Shape, title=texts, form=st.sampled_from(props.ShapeForm),
    colour=st.from_regex(r"\A#[0-9a-f]{6}\Z"), roughness=st.floats(0, 1), metalness=st.floats(0, 1),
    collides=st.booleans(),
)
signs = st.builds(props.Sign, text=texts, title=texts)


@given(shapes | signs)
def test_both_encodings_hold_the_same(made: props.Properties) -> None:
    assert props.decode_properties(props.encode_properties(made)) == made
    packed = msgspec.msgpack.encode(made)
    assert msgspec.msgpack.decode(packed, type=props.Properties) == made
    assert props.checked_properties(made) == made


@given(st.binary(max_size=200) | texts.map(str.encode))
def test_any_bytes_are_properties_or_a_sentence(data: bytes) -> None:
    made, sentence = None, ""
    try:
        made = props.decode_properties(data)
    except PropError as error:
        sentence = str(error)
    assert sentence.endswith(".") == (made is None)
    if made is not None:
        assert props.decode_properties(props.encode_properties(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"bomb"}', '{"kind":"shape","form":"teapot"}', '{"kind":"shape","colour":"red"}',
        '{"kind":"model","asset":"../../etc/passwd"}', '{"kind":"model","asset":"ABCD"}',
        '{"kind":"light","intensity_cd":NaN}', '{"kind":"light","intensity_cd":1e300}',
        '{"kind":"light","range_m":-1}', '{"kind":"sign","text":["a"]}',
        '{"kind":"sign","more":1}', '{"kind":"spawn","radius_m":"1"}', "[]", "null", "{}",
        "[" * 5_000, '{"kind":"sign","title":"' + "x" * 65 + '"}',
        '{"kind":"sign","text":"' + "x" * 501 + '"}', '{"kind":"sign"}' + " " * 1_000_000,
    ],
)
def test_what_no_prop_may_be(text: str) -> None:
    with pytest.raises(PropError):
        props.decode_properties(text)


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[31m", "\x85", "\ud800"])
def test_texts_that_cannot_be_shown_are_refused(text: str) -> None:
    with pytest.raises(PropError):
        props.checked_properties(props.Sign(text=text))


def test_lines_of_a_sign_are_kept() -> None:
    assert props.checked_properties(props.Sign(text="one\ntwo")).title == ""


def test_the_largest_text_fits_into_the_bytes() -> None:
    sign = props.Sign(text="\U0001f600" * limits.SIGN_CHARS_MAX, title="\U0001f600" * 64)
    assert len(props.encode_properties(props.checked_properties(sign))) <= limits.PROP_BYTES_MAX


finite = st.floats(-1e3, 1e3)


@given(st.tuples(finite, finite, finite), st.tuples(*[st.floats(-1e6, 1e6)] * 4))
def test_rotations_come_out_with_length_one_and_stay_as_they_are(
    position: tuple[float, float, float], rotation: tuple[float, float, float, float]
) -> None:
    given_ = Transform(position, rotation)
    if math.hypot(*rotation) < 1e-3:
        with pytest.raises(PropError, match="direction"):
            props.checked_transform(given_)
        return
    once = props.checked_transform(given_)
    assert math.hypot(*once.rotation) == pytest.approx(1.0, abs=1e-6)
    assert props.checked_transform(once) == once
    assert once.position_m == position
    packed = msgspec.msgpack.encode(once)
    assert msgspec.msgpack.decode(packed, type=Transform) == once


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e9])
def test_transforms_have_finite_numbers_within_bounds(bad: float) -> None:
    for made in (Transform((bad, 0.0, 0.0)), Transform(scale=(1.0, bad, 1.0)),
                 Transform(rotation=(0.0, 0.0, 0.0, bad))):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Transform)
    if not math.isfinite(bad):
        with pytest.raises(PropError):
            props.checked_transform(Transform((bad, 0.0, 0.0)))

"""What is looked at in an uploaded file: each kind, each way to lie, and mutations of all."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.assets import verdict
from atrium_server.assets.mp3 import mp3_shape
from atrium_server.assets.ogg import ogg_shape
from atrium_server.assets.sniff import media_type_of
from atrium_server.assets.verdict import Facts, Unfit
from atrium_server.assets.worker import check
from atrium_shared import limits

sys.path.insert(0, str(Path(__file__).parent))
import asset_samples as samples


def facts_of(data: bytes) -> Facts:
    """The facts of a file, found in this process. Raises Unfit."""
    fd = os.memfd_create("asset")
    try:
        os.write(fd, data)
        return check(data, media_type_of(data), fd)
    finally:
        os.close(fd)


def refusal_of(data: bytes) -> str:
    with pytest.raises(Unfit) as refused:
        facts_of(data)
    sentence = refused.value.sentence
    assert sentence.endswith(".")
    assert len(sentence) <= limits.SENTENCE_CHARS_MAX
    return sentence


# --- kinds -------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", samples.SAMPLES)
def test_a_file_is_known_by_its_bytes(media_type: str) -> None:
    data = samples.SAMPLES[media_type]()
    facts = facts_of(data)
    assert (facts.media_type, facts.size_bytes) == (media_type, len(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "GIF image: save it as PNG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP image"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV sound"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"<!doctype html><script>alert(1)</script>", "web page"),
        (b"PK\x03\x04....", "ZIP archive"),
        (b"\x7fELF....", "a program"),
        (b"#!/bin/sh", "a program"),
        (b"Kaydara FBX Binary", "FBX model"),
        (b"anything else", "unknown kind"),
        (b"\xff\xfb\xff\xff", "unknown kind"),
    ],
)
def test_what_is_not_taken_is_called_by_its_name(data: bytes, words: str) -> None:
    with pytest.raises(Unfit) as refused:
        media_type_of(data)
    assert words in refused.value.sentence
    assert refused.value.is_of_wrong_type


@pytest.mark.parametrize(
    ("claimed", "meant"),
    [
        ("image/png", "image/png"), ("IMAGE/PNG; charset=binary", "image/png"), ("", ""),
        ("application/octet-stream", ""), ("audio/mp3", "audio/mpeg"), ("image/jpg", "image/jpeg"),
        ("text/html", None), ("image/svg+xml", None), ("image/png, text/html", None),
    ],
)
def test_a_claim_is_understood_or_refused(claimed: str, meant: str | None) -> None:
    assert verdict.claimed_type(claimed) == meant


# --- images ------------------------------------------------------------------------------


def test_the_size_of_images_is_found() -> None:
    for data in (samples.png(8, 4), samples.jpeg(8, 4), samples.jpeg(8, 4, progressive=True),
                 samples.ktx2(8, 4, 3)):
        (image,) = facts_of(data).images
        assert (image.width_px, image.height_px) == (8, 4)


@pytest.mark.parametrize(
    "data", [samples.png_bomb(), samples.png_bomb(8_192, 8_192), samples.jpeg_bomb(),
             samples.ktx2(16_384, 4)],
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atrium_server.assets.images._DECODERS", {})
    assert "Make it smaller" in refusal_of(data)


def test_an_image_that_is_not_whole_is_refused() -> None:
    for data in (samples.png(64, 64), samples.jpeg(64, 64), samples.ktx2()):
        for size in range(16, len(data), max(1, len(data) // 60)):
            refusal_of(data[:size])


def test_nothing_hides_behind_an_image() -> None:
    for data in (samples.png(), samples.jpeg()):
        assert "behind its end" in refusal_of(data + b"PK\x03\x04 another file")


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(samples.png())
    data[data.index(b"IDAT") + 6] ^= 1
    assert "damaged" in refusal_of(bytes(data))


def test_a_png_that_lacks_rows_is_refused() -> None:
    assert "cannot be decoded" in refusal_of(samples.png_bomb(4_000, 4_000))


def test_text_in_a_png_that_unpacks_to_much_is_refused() -> None:
    import zlib

    bomb = samples.chunk(b"zTXt", b"note\0\0" + zlib.compress(b"a" * 100_000_000, 9))
    data = samples.png()
    at = data.index(b"IDAT") - 4
    assert "cannot be decoded" in refusal_of(data[:at] + bomb + data[at:])


def test_an_image_that_moves_is_refused() -> None:
    data = samples.png()
    at = data.index(b"IDAT") - 4
    moving = samples.chunk(b"acTL", struct.pack(">II", 2, 0))
    assert "move" in refusal_of(data[:at] + moving + data[at:])


def test_a_photograph_that_tells_its_place_is_refused() -> None:
    assert "where it was taken" in refusal_of(samples.jpeg_with_place())


def test_a_jpeg_of_many_layers_is_refused() -> None:
    data = samples.jpeg(16, 8, progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    scan = data[first:second].partition(b"\xff\xc4")[0]
    assert "layers" in refusal_of(data[:first] + scan * 200 + data[first:])


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (12, 37, "not one a world can show"),  # a format of graphics cards
        (28, 4, "not one a world can show"),  # depth
        (36, 6, "not one a world can show"),  # a cube
        (40, 30, "more levels"),
        (44, 7, "packed in a way"),
        (48, 1 << 30, "too early"),
        (80, 1 << 40, "lies outside"),
        (88, 1 << 50, "lies outside"),
        (96, 1 << 40, "wrong size"),
    ],
)
def test_a_texture_that_lies_is_refused(at: int, value: int, words: str) -> None:
    data = bytearray(samples.ktx2())
    if at < 80:
        struct.pack_into("<I", data, at, value)
    else:
        struct.pack_into("<Q", data, at, value)
    assert words in refusal_of(bytes(data))


# --- sounds ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [samples.ogg, samples.opus, samples.mp3])
def test_the_length_of_a_sound_is_found(make: Callable[[], bytes]) -> None:
    facts = facts_of(make())
    assert facts.duration_s == pytest.approx(0.5, abs=0.1)
    assert facts.channels == 1


@pytest.mark.parametrize("make", [samples.ogg, samples.opus, samples.mp3])
def test_a_sound_that_is_not_whole_is_refused(make: Callable[[], bytes]) -> None:
    data = make()
    for size in range(40, len(data) - 200, len(data) // 40):
        try:
            facts = facts_of(data[:size])
        except Unfit:
            continue
        assert facts.media_type == verdict.MP3, "it may end behind any frame"


@pytest.mark.parametrize("make", [samples.ogg, samples.opus, samples.mp3])
def test_nothing_hides_behind_a_sound(make: Callable[[], bytes]) -> None:
    refusal_of(make() + b"PK\x03\x04 another file")
    refusal_of(make() + b"<script>alert(1)</script>" * 20)


def test_a_sound_that_is_too_long_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atrium_server.assets.sound._decoded_s", None)
    frames = samples.mp3()
    head = frames.index(b"\xff\xf3") if b"\xff\xf3" in frames else frames.index(b"\xff\xfb")
    assert "lasts" in refusal_of(frames[:head] + frames[head:] * 2_000)
    ogg = bytearray(samples.ogg())
    last = ogg.rindex(b"OggS")
    struct.pack_into("<q", ogg, last + 6, 1 << 40)
    assert "lasts" in refusal_of(bytes(ogg))


def test_a_sound_of_many_channels_or_a_wild_rate_is_refused() -> None:
    data = bytearray(samples.ogg())
    at = data.index(b"\x01vorbis")
    data[at + 11] = 8
    assert "8 channels" in refusal_of(bytes(data))
    data[at + 11] = 1
    struct.pack_into("<I", data, at + 12, 1_000_000)
    assert "samples per second" in refusal_of(bytes(data))


def test_two_sounds_in_one_file_are_refused() -> None:
    assert "behind its end" in refusal_of(samples.ogg() + samples.ogg())
    data = bytearray(samples.ogg())
    second = data.index(b"OggS", 4)
    struct.pack_into("<I", data, second + 14, 12_345)
    assert "more than one stream" in refusal_of(bytes(data))


def test_a_sound_with_damaged_pages_is_refused() -> None:
    data = bytearray(samples.sound("OGG", "VORBIS", 20.0))
    page = data.index(b"OggS", len(data) // 2)
    data[page + 200] ^= 255  # the checksum is wrong now, and the decoder leaves the page out
    assert "damaged" in refusal_of(bytes(data))


# --- mutations ---------------------------------------------------------------------------

cuts = st.tuples(st.floats(0, 1), st.integers(0, 64), st.binary(max_size=64))


def mutated(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Pieces replaced by other bytes, of the same length or not."""
    for where, size, put in changes:
        at = int(where * len(data))
        data = data[:at] + put + data[at + size :]
    return data


def settle(data: bytes, judge: Callable[[bytes], object]) -> None:
    """Any bytes are either taken or unfit; nothing else may come out."""
    sentence = "."
    try:
        judge(data)
    except Unfit as error:
        sentence = error.sentence
    assert sentence.endswith(".")
    assert len(sentence) <= 2 * limits.SENTENCE_CHARS_MAX


NOT_DECODED = [each for each in samples.SAMPLES if not each.startswith("audio")]


@settings(max_examples=150)
@given(media_type=st.sampled_from(NOT_DECODED), changes=st.lists(cuts, min_size=1, max_size=4))
def test_mutations_are_taken_or_refused(
    media_type: str, changes: list[tuple[float, int, bytes]]
) -> None:
    settle(mutated(samples.SAMPLES[media_type](), changes), facts_of)


@settings(max_examples=150)
@given(
    sample=st.sampled_from([(samples.ogg, ogg_shape), (samples.mp3, mp3_shape)]),
    changes=st.lists(cuts, min_size=1, max_size=4),
)
def test_mutated_sounds_are_walked_or_refused(
    sample: tuple[Callable[[], bytes], Callable[[bytes], object]],
    changes: list[tuple[float, int, bytes]],
) -> None:
    """Their decoder is C code and only ever runs in a process of its own."""
    settle(mutated(sample[0](), changes), sample[1])


junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 40) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values inside of a document."""
    if isinstance(value, dict):
        pairs = [*value.items()]
    elif isinstance(value, list):
        pairs = [*enumerate(value)]
    else:
        return [path]
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


def rich() -> dict[str, Any]:
    """A document that uses everything that is looked at."""
    document = samples.triangle()
    document["nodes"] = [
        {"mesh": 0, "skin": 0, "children": [1]},
        {"rotation": [0, 0, 0, 1], "scale": [1, 1, 1], "translation": [0, 1, 0]},
    ]
    document["skins"] = [{"joints": [1], "skeleton": 1}]
    document["accessors"][1]["sparse"] = {
        "count": 1, "indices": {"bufferView": 1, "componentType": 5123},
        "values": {"bufferView": 1},
    }
    document["accessors"].append(
        {"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR"}
    )
    document["animations"] = [{
        "channels": [{"sampler": 0, "target": {"node": 1, "path": "translation"}}],
        "samplers": [{"input": 2, "output": 0, "interpolation": "STEP"}],
    }]
    document["images"] = [{"uri": samples.data_uri(samples.png(), "image/png")}]
    document["samplers"] = [{}]
    document["textures"] = [{"source": 0, "sampler": 0}]
    document["materials"][0]["normalTexture"] = {"index": 0}
    document["extensionsUsed"] = ["KHR_materials_unlit"]
    return document


RICH_PLACES = places(rich())[1:]


@settings(max_examples=400)
@given(place=st.sampled_from(RICH_PLACES), value=junk)
def test_any_value_at_any_place_of_a_model_is_taken_or_refused(
    place: tuple[Any, ...], value: object
) -> None:
    document = rich()
    inside: Any = document
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    settle(samples.glb(json.dumps(document).encode()), facts_of)


@settings(max_examples=100)
@given(data=st.binary(max_size=400))
def test_any_bytes_behind_any_magic_are_refused(data: bytes) -> None:
    for magic in (b"glTF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xabKTX 20\xbb\r\n\x1a\n",
                  b"OggS", b"ID3", b"{"):
        refusal_of(magic + data)


def test_numbers_are_read_as_they_are() -> None:
    """The oracle of the bounds: numpy on the positions as they were written."""
    data = np.random.default_rng(5).uniform(-3, 7, (50, 3)).astype("<f4")
    document = samples.triangle()
    view, binary = samples.with_data(document, data.tobytes())
    document["accessors"][0] = {
        "bufferView": view, "componentType": 5126, "count": 50, "type": "VEC3"
    }
    facts = facts_of(samples.glb(document, binary))
    assert facts.bounds is not None
    assert np.allclose(facts.bounds[0], data.min(0), atol=1e-5)
    assert np.allclose(facts.bounds[1], data.max(0), atol=1e-5)

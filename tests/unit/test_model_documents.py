"""Documents of models: one form, one id, and nothing in them that is believed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_samples import SIGNATURE, write_sample

from atrium_server.registry.documents import (
    KEYS,
    Document,
    canonical,
    is_name,
    is_version,
    read_document,
)
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import check_signature
from atrium_server.registry.signature import Field, Signature
from atrium_shared import limits


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return write_sample(tmp_path)


def changed(document: Document, path: tuple[Any, ...], value: object) -> bytes:
    content = json.loads(document.data)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(content).encode()


def test_the_id_is_that_of_the_content_and_not_of_its_spaces(document: Document) -> None:
    pretty = json.dumps(json.loads(document.data), indent=4, sort_keys=False).encode()
    assert pretty != document.data
    again = read_document(pretty)
    assert (again.id, again.data) == (document.id, document.data)
    other = read_document(changed(document, ("seed",), 1))
    assert other.id != document.id
    assert document.label == "sample@1.0"


@pytest.mark.parametrize(("path", "value", "said"), [
    (("format",), "pickle", "format"),
    (("extra",), 1, "'extra', which is not known"),
    (("name",), "../up", "name that is none"),
    (("name",), 7, "name that is no text"),
    (("version",), "1-2", "version that is none"),
    (("version",), "../../x", "version that is none"),
    (("kind",), "os.path", "kind that is none"),
    (("seed",), True, "seed"),
    (("seed",), 1.5, "seed"),
    (("created",), None, "created"),
    (("settings",), [], "its settings should be an object"),
    (("reference",), "x", "its reference should be an object"),
    (("files",), [], "names no .safetensors file"),
    (("files",), "abc", "its files should be a list"),
    (("files",), [{}], "without name, sha256 and size"),
    (("files",), [{}] * 17, "at most 16"),
    (("files", 0, "name"), "../weights.safetensors", "only plain names"),
    (("files", 0, "name"), "a/b.safetensors", "only plain names"),
    (("files", 0, "name"), "weights.pkl", "only plain names"),
    (("files", 0, "name"), ".safetensors", "only plain names"),
    (("files", 0, "name"), "a" * 101 + ".json", "only plain names"),
    (("files", 0, "sha256"), "A" * 64, "sha256"),
    (("files", 0, "size"), -1, "size"),
    (("files", 0, "size"), 2**40, "size"),
    (("tensors",), {}, "tensors"),
    (("tensors",), {"a b": {"dtype": "float32", "shape": []}}, "whose name is none"),
    (("tensors", "bias", "dtype"), "object", "dtype"),
    (("tensors", "bias", "shape"), [-1], "shape"),
    (("tensors", "bias", "shape"), [2**20, 2**20], "too large"),
    (("tensors", "bias", "shape"), [1] * 9, "at most 8"),
    (("signature",), {}, "signature"),
    (("signature", "inputs", 0, "dtype"), "str", "signature"),
])
def test_what_is_wrong_is_told(
    document: Document, path: tuple[Any, ...], value: object, said: str
) -> None:
    with pytest.raises(ModelError) as caught:
        read_document(changed(document, path, value), "It")
    assert said in caught.value.sentence
    assert caught.value.sentence.startswith("It ")
    assert caught.value.sentence.endswith(".")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_nothing_may_be_left_out(document: Document, key: str) -> None:
    content = json.loads(document.data)
    del content[key]
    with pytest.raises(ModelError, match=key):
        read_document(json.dumps(content).encode())


def test_a_file_is_named_once(document: Document) -> None:
    files = [*json.loads(document.data)["files"]] * 2
    with pytest.raises(ModelError, match="twice"):
        read_document(changed(document, ("files",), files))


@pytest.mark.parametrize("data", [
    b"", b"null", b"[]", b"{", b"\xff", b"\x80\x04\x95", b"[" * 100_000, b'{"a":' * 100_000,
    b" " * (limits.MODEL_DOCUMENT_BYTES_MAX + 1), b'{"format": NaN}',
])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        read_document(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.data())
def test_documents_of_strangers_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "strange"
    content = json.loads(write_sample(folder).data)
    content[data.draw(st.sampled_from(sorted(KEYS)))] = data.draw(JSON)
    with contextlib.suppress(ModelError, UnicodeEncodeError):
        read = read_document(json.dumps(content).encode())
        assert read_document(read.data).id == read.id


def test_what_is_no_json_cannot_be_written() -> None:
    for content in ({"a": float("nan")}, {"a": b""}, {"a": "\ud800"}):
        with pytest.raises(ModelError, match="cannot be written"):
            canonical(content)


def test_names_and_versions() -> None:
    assert [is_name(each) for each in ("moderation", "a-b2", "", "-a", "A", "a_b", "a" * 49)] == [
        True, True, False, False, False, False, False]
    assert [is_version(each) for each in ("1", "1.2.3+cpu", "", "a b", "1-2", ".1")] == [
        True, True, False, False, False, False]


def test_a_version_that_does_not_fit_its_use_is_refused(document: Document) -> None:
    check_signature(document, SIGNATURE)
    (ids,) = SIGNATURE.inputs
    for wrong in (
        Signature((ids,), (Field("scores", "float32", (7,)),)),
        Signature((ids,), (Field("scores", "int64", (6,)),)),
        Signature((Field("ids", "int64", is_bag=True, bound=32),), SIGNATURE.outputs),
        Signature((Field("ids", "int64", (3,), bound=64),), SIGNATURE.outputs),
    ):
        with pytest.raises(ModelError, match=r"sample@1\.0 (takes|gives) .* should be"):
            check_signature(document, wrong)

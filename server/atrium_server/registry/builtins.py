"""The models that come with the program: documents and weights inside the package.

They lie in one folder as NAME-VERSION.json with their files beside them, and are read where they
lie. What is wrong with one of them is a broken installation, and is told as such.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrium_server.registry.documents import WORDS_SUFFIX, Document, read_document
from atrium_server.registry.errors import ModelError

FOLDER: Final = Path(__file__).parents[1] / "inference" / "builtin"
SOURCE: Final = "built-in"
"""As records say it."""


@dataclass(frozen=True, slots=True)
class Builtins:
    """What came with the program."""

    documents: Sequence[Document] = ()
    """By name, and of each name the oldest first."""
    paths: dict[str, Path] = field(default_factory=dict[str, Path])
    """Where each file lies, by its hash."""


def find_builtins(folder: Path = FOLDER) -> Builtins:
    """What lies in the folder. Blocks. Raises ModelError."""
    documents: list[Document] = []
    paths: dict[str, Path] = {}
    try:
        for path in sorted(folder.glob(f"*{WORDS_SUFFIX}")):
            document = read_document(path.read_bytes(), f"The built-in document {path.name}")
            documents.append(document)
            paths[document.id] = path
            paths |= {file.sha256: folder / file.name for file in document.files}
    except OSError as error:
        raise ModelError(
            f"The models that came with Atrium cannot be read ({error.strerror}): install it anew."
        ) from None
    documents.sort(key=lambda document: (document.name, version_key(document.version)))
    return Builtins(documents, paths)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """What versions are put into order by: 1.10 comes after 1.9, and 1.0 after 1.0rc1."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    key = [(1, int(part), "") if part.isdigit() else (-1, 0, part) for part in parts]
    return [*key, (0, 0, "")]

"""A smaller version of a published one: the way that is chosen, written as a version of its own.

What the card says of the larger one's making is true of the smaller one, too; its figures are not,
so they are left out, and it says instead what was tried on which lines and what each way cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atrium_server.inference.models import text_head
from atrium_server.registry.documents import Document
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package
from atrium_server.registry.writing import Card, write_version
from atrium_server.training.compression import CompressionError, Table, compress, figures_of
from atrium_server.training.fixed_sets import held, read_set


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made."""

    version: str
    """What it is to be called."""
    lines: Path
    """What the ways are compared on."""
    folder: Path
    loss_max: float
    way: str = ""
    """The smallest that is allowed, unless one is named."""


def make_smaller(package: Package, wanted: Wanted) -> tuple[Table, Document]:
    """Try all ways and write one. Raises ModelError."""
    old = package.document
    if old.kind != text_head.KIND:
        raise ModelError(f"{old.label} is of the kind {old.kind}: only {text_head.KIND} can be"
                         " made smaller.")
    labels = old.content["settings"]["labels"]
    fixed = read_set(wanted.lines, labels)
    try:
        head = text_head.from_tensors(package.tensors, old.content)
        table = compress(head, held(fixed), loss_max=wanted.loss_max)
        chosen = table.chosen(wanted.way)
    except CompressionError as error:
        raise ModelError(str(error)) from None
    content = old.content
    card = Card(
        name=old.name, version=wanted.version, kind=old.kind, signature=chosen.head.signature,
        created=content["created"], seed=content["seed"],
        settings={**content["settings"], "way": chosen.way.name},
        metrics={"compressed_from": old.label, "compared_on": fixed.name,
                 "compared_on_sha256": fixed.sha256, "ways": figures_of(table)},
        data=content["data"], licence=content["licence"], notes=content.get("notes", ""),
        reference=content.get("reference", {}),
    )
    return table, write_version(wanted.folder, card, text_head.to_tensors(chosen.head))

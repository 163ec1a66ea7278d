"""Fixed sets of lines with what they are, and how a version does on one: what the gate compares.

A set is a file, known by the SHA-256 of its bytes, so two versions that were measured on the same
one can be compared whenever that was. Two forms are read:

- `.tsv`: cases as `moderation.evaluation` has them. Of those only the part `test` is used. A line
  of a category is one of that label, and nobody knows of the others; a benign line is none of them.
  Categories that no label is for (personal data, say) are left out: they are the rules' part.
- `.jsonl`: one object a line, `{"text": "...", "labels": {"toxic": 1, "spam": 0}}`; a label that is
  not named is not known.

`recall` is the share of lines of any label in which the model finds any, `blocked` the share of
lines of no label in which it does, both at one half, where versions are calibrated; `roc_auc` is
the mean over the labels of which the set has lines of both kinds.

One set comes with Atrium: the authored lines (`AUTHORED`). Its other part, `dev`, may be looked at
and learnt from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from atrium_server.inference.rows import Bag
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging
from atrium_server.moderation.evaluation import CaseError, parse
from atrium_server.registry.errors import ModelError
from atrium_server.training.scores import roc_auc
from atrium_server.training.text_training import Held
from atrium_server.training.texts import F32, Labelled, labelled

BYTES_MAX: Final = 256 * 1_048_576
ROWS_AT_ONCE: Final = 256
AT: Final = 0.5
_NAN: Final = float("nan")
_FILE: Final = "chat_lines.tsv"
_BESIDE: Final = Path(__file__).with_name(_FILE)
AUTHORED: Final = _BESIDE if _BESIDE.is_file() else (
    Path(__file__).parents[3] / "tests" / "moderation" / _FILE
)
"""In a wheel it lies beside this module, in a working copy among the tests."""
Rows = Iterator[tuple[str, Sequence[float], float]]


class _Row(msgspec.Struct):
    text: str
    labels: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class FixedSet:
    """Lines that do not change."""

    name: str
    sha256: str
    lines: Labelled


def read_set(path: Path, labels: Sequence[str]) -> FixedSet:
    """The set in a file, for a model with these labels. Raises ModelError."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ModelError(f"{path} has more than {BYTES_MAX:,} bytes: use a part of it.")
        data = path.read_bytes()
        document = data.decode()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path} is no text in UTF-8.") from None
    rows = _cases(path, document, labels) if path.suffix == ".tsv" else _lines(
        path, document, labels)
    lines = labelled(rows, len(labels))
    if not len(lines):
        raise ModelError(f"{path} has no line with a label of this model ({', '.join(labels)}).")
    return FixedSet(path.name[:128], hashlib.sha256(data).hexdigest(), lines)


def _cases(path: Path, document: str, labels: Sequence[str]) -> Rows:
    try:
        cases = parse(document)
    except CaseError as error:
        raise ModelError(f"{path} is no file of cases. {error}") from None
    for case in cases:
        if case.split != "test":
            continue
        if case.category is None:
            yield case.text, [0.0] * len(labels), 1.0
        elif str(case.category) in labels:
            yield case.text, [1.0 if each == str(case.category) else _NAN for each in labels], 1.0


def _lines(path: Path, document: str, labels: Sequence[str]) -> Rows:
    for number, line in enumerate(document.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line.encode(), type=_Row)
        except (msgspec.DecodeError, RecursionError):
            raise ModelError(
                f'Line {number} of {path} is not {{"text": ..., "labels": {{...}}}}.'
            ) from None
        target = [row.labels.get(each, _NAN) for each in labels]
        if not np.isnan(target).all():
            yield row.text, target, 1.0


def authored() -> list[str]:
    """The lines of AUTHORED that may be learnt from."""
    return [case.text for case in parse(AUTHORED.read_text(encoding="utf-8"))
            if case.split != "test"]


def measure(loaded: Loaded, labels: Sequence[str], fixed: FixedSet) -> dict[str, Any]:
    """The figures of a version on a set."""
    scores, targets = _scores(loaded, fixed.lines), fixed.lines.targets
    figures: dict[str, Any] = {"lines": len(fixed.lines)}
    areas = _areas(scores, targets)
    figures.update({f"roc_auc_{labels[column]}": round(area, 4) for column, area in areas.items()})
    is_any = np.nan_to_num(targets).max(axis=1) > AT
    is_found = scores.max(axis=1) >= AT
    if areas:
        figures["roc_auc"] = round(float(np.mean([*areas.values()])), 4)
    if is_any.any():
        figures["recall"] = round(float(is_found[is_any].mean()), 4)
    if not is_any.all():
        figures["blocked"] = round(float(is_found[~is_any].mean()), 5)
    return figures


def held(fixed: FixedSet) -> Held:
    """The set as what heads are compared by: the mean area over the labels. Raises ModelError."""
    targets = fixed.lines.targets
    if not _areas(np.zeros_like(targets), targets):
        raise ModelError(f"{fixed.name} has lines of both kinds of no label: add some.")
    return Held(fixed.lines, lambda logits: float(np.mean([*_areas(logits, targets).values()])))


def _areas(scores: F32, targets: F32) -> dict[int, float]:
    """By the column of each label of which there are lines of both kinds."""
    found: dict[int, float] = {}
    for column in range(targets.shape[1]):
        is_known = ~np.isnan(targets[:, column])
        area = roc_auc(scores[is_known, column], targets[is_known, column] > AT)
        if not np.isnan(area):
            found[column] = area
    return found


def _scores(loaded: Loaded, lines: Labelled) -> F32:
    staging, parts = Staging(), list[F32]()
    for start in range(0, len(lines), ROWS_AT_ONCE):
        part = lines.part(np.arange(start, min(start + ROWS_AT_ONCE, len(lines))))
        features = part.features()
        name = loaded.model.signature.inputs[0].name
        rows = {name: Bag(features.ids, features.offsets)}
        inputs = staging.join(loaded.model.signature, [(rows, 0, len(part))])
        # Outputs are good until the next batch only.
        parts.append(np.array(loaded.model.run(inputs)["scores"], np.float32))
    return np.concatenate(parts)

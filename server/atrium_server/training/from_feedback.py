"""What people said of verdicts, as texts to learn from.

Each row counts as much as `WEIGHT` others: a correction is one line among a hundred thousand, and a
person took the trouble. Of labels that the row does not name nobody knows anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from atrium_server.persistence.feedback import ROWS_ASKED_MAX, FeedbackRow, FeedbackStore
from atrium_server.training.texts import Labelled, labelled

WEIGHT: Final = 50.0
_NAN: Final = float("nan")


async def read_all(store: FeedbackStore, task: str) -> list[FeedbackRow]:
    """All rows of a model that may be learnt from. Raises StoreError."""
    rows: list[FeedbackRow] = []
    while page := await store.to_learn(task, rows[-1].row.id if rows else None, ROWS_ASKED_MAX):
        rows += page
    return rows


def as_texts(
    rows: Sequence[FeedbackRow], labels: Sequence[str], weight: float = WEIGHT
) -> Labelled:
    """The rows that name a label of the model."""
    return labelled(
        (
            (row.row.body, [row.row.labels.get(each, _NAN) for each in labels], weight)
            for row in rows if any(each in row.row.labels for each in labels)
        ),
        len(labels),
    )

"""What can go wrong between us and the database, by what the caller is to do about it.

`Unavailable` passes by itself: wait and try again. `Fenced` is final for who holds the world:
somebody else owns it now, and nothing more may be written. `Behind` and `Ahead` speak of the
schema and are known at start. `Refused` is what a person, or the request, must put right. What
reaches a person is a sentence that says what to do, and it never holds a password.

Anything else that leaves this package is a bug and ends the process as any other bug does.
"""

from __future__ import annotations

import uuid


class StoreError(Exception):
    """The base of all that the store says about itself."""


class Unavailable(StoreError):
    """The database does not answer now: it is gone, starting, stopping, full or too slow."""


class Ambiguous(Unavailable):
    """The connection was lost after COMMIT was sent: it may or may not have happened."""


class Fenced(StoreError):
    """Another owner has the world: what this one still holds must not be written.

    Attributes:
        durable: of the edits whose commit was refused, those that an earlier attempt of ours did
            write before the other owner came; all others are not in the database and never will
            be by our hand.
    """

    def __init__(
        self, sentence: str, durable: frozenset[tuple[uuid.UUID, int]] = frozenset()
    ) -> None:
        super().__init__(sentence)
        self.durable = durable


class Behind(StoreError):
    """The schema of the database is older than this program needs."""


class Ahead(StoreError):
    """The schema of the database is newer than this program knows."""


class Refused(StoreError):
    """The database said no for good; the sentence says what to do."""

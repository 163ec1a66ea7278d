"""Who may upload how much at the same time, and how often.

All that an upload holds (a file under way, room on the disk, a place in the queue of checks) has a
bound for everybody together, and a smaller one for each account, so that nobody takes it all.
"""

from __future__ import annotations

import enum
import math
import uuid
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from atrium_shared.limits import (
    ASSETS_PER_ACCOUNT_BYTES_MAX,
    UPLOADS_MAX,
    UPLOADS_PER_ACCOUNT_BURST_MAX,
    UPLOADS_PER_ACCOUNT_MAX,
    UPLOADS_PER_ACCOUNT_PER_S_MAX,
)


class Reason(enum.StrEnum):
    """Why an upload is refused, for programs."""

    BROKEN_OFF = "broken_off"
    TOO_LARGE = "too_large"
    WRONG_TYPE = "wrong_type"
    BAD_ASSET = "bad_asset"
    HELD = "held"
    TOO_MANY = "too_many"
    QUOTA = "quota"
    NO_ROOM = "no_room"
    NOT_NOW = "not_now"


class UploadRefused(Exception):
    """An upload is refused, for a reason and in a sentence."""

    def __init__(self, reason: Reason, sentence: str, retry_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.reason, self.sentence, self.retry_s = reason, sentence, retry_s


class Admission:
    """Counts what is under way."""

    def __init__(self) -> None:
        self._under_way: Counter[uuid.UUID] = Counter()
        self._bytes: Counter[uuid.UUID] = Counter()
        self._saved: dict[uuid.UUID, tuple[float, float]] = {}

    @contextmanager
    def upload(self, account: uuid.UUID, size_bytes: int, now: float) -> Generator[None]:
        """Count one upload for the length of the block. Raises UploadRefused."""
        if self._under_way[account] >= UPLOADS_PER_ACCOUNT_MAX:
            raise UploadRefused(
                Reason.TOO_MANY,
                f"You may upload {UPLOADS_PER_ACCOUNT_MAX} files at the same time: wait for one of"
                " them.", 1.0,
            )
        if self._under_way.total() >= UPLOADS_MAX:
            raise UploadRefused(
                Reason.TOO_MANY, "Many people upload files now: try again soon.", 5.0
            )
        self._take(account, now)
        self._under_way[account] += 1
        self._bytes[account] += size_bytes
        try:
            yield
        finally:
            self._under_way[account] -= 1
            self._bytes[account] -= size_bytes
            if not self._under_way[account]:
                del self._under_way[account], self._bytes[account]

    def check_quota(self, account: uuid.UUID, stored_bytes: int) -> None:
        """Whether what is stored and what is under way, this one too, is not too much."""
        if stored_bytes + self._bytes[account] > ASSETS_PER_ACCOUNT_BYTES_MAX:
            raise UploadRefused(
                Reason.QUOTA,
                f"Your files may have {ASSETS_PER_ACCOUNT_BYTES_MAX:,} bytes together; those that"
                " you have leave no room for this one.",
            )

    def _take(self, account: uuid.UUID, now: float) -> None:
        """Take one upload from what the account has saved up (a token bucket)."""
        for other, (saved, when) in [*self._saved.items()]:
            if saved + (now - when) * UPLOADS_PER_ACCOUNT_PER_S_MAX < (
                UPLOADS_PER_ACCOUNT_BURST_MAX
            ):
                break
            del self._saved[other]  # full again, as if it had never been; the oldest come first
        saved, when = self._saved.pop(account, (UPLOADS_PER_ACCOUNT_BURST_MAX, now))
        saved += (now - when) * UPLOADS_PER_ACCOUNT_PER_S_MAX
        saved = min(saved, UPLOADS_PER_ACCOUNT_BURST_MAX)
        is_enough = saved >= 1
        self._saved[account] = (saved - 1 if is_enough else saved, now)
        if not is_enough:
            wait_s = math.ceil((1 - saved) / UPLOADS_PER_ACCOUNT_PER_S_MAX)
            raise UploadRefused(
                Reason.TOO_MANY,
                f"You have uploaded many files in a short time: try again in {wait_s} s.",
                wait_s,
            )

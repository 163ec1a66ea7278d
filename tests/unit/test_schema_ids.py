"""Ids that sort by the time at which they were made."""

from __future__ import annotations

import uuid

from atrium_server.persistence.schema import uuid7


def test_the_layout_is_that_of_the_standard() -> None:
    made = uuid7(0x017F22E279B0 / 1000, bytes([0xFF] * 10))
    assert made == uuid.UUID("017f22e2-79b0-7fff-bfff-ffffffffffff")
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert uuid7(0x017F22E279B0 / 1000, bytes(10)).int & (1 << 76) - 1 == 0b10 << 62


def test_ids_sort_by_their_time_and_differ_within_it() -> None:
    made = [uuid7(1_700_000_000 + number / 1000) for number in range(100)]
    assert made == sorted(made)
    assert len({uuid7(1.0) for _ in range(1000)}) == 1000

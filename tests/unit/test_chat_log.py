"""What was said and is not written: bounded, told once, and never held up by one bad line."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.persistence.chat_log import (
    BATCH_ROWS_MAX,
    MARKS_MAX,
    Channel,
    ChatBatch,
    ChatLog,
    ChatRow,
    LineState,
    moment_of,
)
from atrium_server.persistence.journal import DEGRADED_S, StoreState
from atrium_server.persistence.schema import uuid7
from atrium_shared.errors import Overload

SESSION = uuid.UUID(int=1)


def line(number: int) -> ChatRow:
    id = uuid7(1_000.0, number.to_bytes(10, "big"))
    return ChatRow(id, 1, Channel.WORLD, SESSION, "Ada", f"line {number}", seq=number)


def number_of(id: uuid.UUID) -> int:
    return id.int & 0xFFFF


def cut(log: ChatLog, now: float = 1.0) -> ChatBatch:
    batch = log.cut(now)
    assert batch is not None
    return batch


def told(log: ChatLog) -> list[tuple[int, bool]]:
    return [(number_of(each.id), each.is_kept) for each in log.take_told()]


def test_the_time_of_a_line_is_that_of_its_id() -> None:
    at = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
    assert moment_of(uuid7(at.timestamp())) == at


def test_a_line_is_told_after_it_was_written_and_not_before() -> None:
    log = ChatLog(0.0)
    assert log.take(line(1))
    batch = cut(log)
    assert log.take(line(2))
    assert not log.take_told()
    assert log.waiting == 2
    log.done(batch, 2.0)
    assert told(log) == [(1, True)]
    log.done(cut(log), 2.0)
    assert told(log) == [(2, True)]
    assert log.cut(3.0) is None
    assert not log.is_waiting


def test_a_line_that_waits_is_not_taken_twice() -> None:
    log = ChatLog(0.0)
    assert log.take(line(1))
    assert not log.take(line(1))
    log.done(cut(log), 1.0)
    assert told(log) == [(1, True)]


def test_what_failed_is_handed_out_again_unchanged() -> None:
    log = ChatLog(0.0)
    log.take(line(1))
    batch = cut(log)
    log.take(line(2))
    log.failed(1.5)
    assert cut(log) is batch
    assert not log.take_told()


def test_lines_beyond_the_bound_are_refused_and_none_is_lost() -> None:
    log = ChatLog(0.0, rows_max=3)
    for number in range(3):
        log.take(line(number))
    assert log.state is StoreState.READ_ONLY
    with pytest.raises(Overload) as caught:
        log.take(line(3))
    assert caught.value.retry_ms > 0
    log.mark(line(1).id, LineState.RETRACTED)  # there is room for these
    log.done(cut(log), 1.0)
    assert log.state is StoreState.RW
    assert log.take(line(3))
    assert told(log) == [(0, True), (1, True), (2, True)]


def test_marks_are_bounded_and_follow_their_lines() -> None:
    log = ChatLog(0.0)
    log.take(line(1))
    for _ in range(MARKS_MAX):
        log.mark(line(1).id, LineState.RETRACTED)
    with pytest.raises(Overload):
        log.mark(line(1).id, LineState.RETRACTED)
    first = cut(log)
    assert (len(first.rows), len(first.marks)) == (1, BATCH_ROWS_MAX - 1)
    log.done(first, 1.0)
    second = cut(log)
    assert (len(second.rows), len(second.marks)) == (0, MARKS_MAX - BATCH_ROWS_MAX + 1)
    log.done(second, 1.0)
    assert told(log) == [(1, True)]
    log.mark(line(1).id, LineState.REJECTED)


def test_a_late_commit_shows_in_the_state() -> None:
    log = ChatLog(0.0)
    log.take(line(1))
    log.advance(DEGRADED_S)
    assert log.state is StoreState.DEGRADED
    assert log.lag_s == DEGRADED_S
    log.take(line(2))  # lines are taken nevertheless
    log.done(cut(log, 2.0), 2.0)
    assert log.state is StoreState.RW
    log.advance(100.0)
    assert log.state is StoreState.RW, "nothing waits"


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=5))
def test_only_bad_lines_are_given_up_and_all_are_told_once(count: int, bad: set[int]) -> None:
    log = ChatLog(0.0)
    for number in range(count):
        log.take(line(number))
    heard: list[tuple[int, bool]] = []
    tries = 0
    while (batch := log.cut(1.0)) is not None:
        tries += 1
        if any(number_of(row.id) in bad for row in batch.rows):
            log.refused(batch, "no", 1.0)
        else:
            log.done(batch, 1.0)
        heard += told(log)
        assert log.is_behind == log.is_waiting, "nothing waits for another period"
    assert heard == [(number, number not in bad) for number in range(count)]
    assert tries <= 1 + 40 * (1 + len(bad))

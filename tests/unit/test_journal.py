"""What waits to be written: coalesced, bounded, answered once, whatever the store does."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atrium_server.persistence.errors import Fenced
from atrium_server.persistence.journal import (
    DEGRADED_S,
    READ_ONLY_S,
    Bounds,
    Journal,
    Outcome,
    StoreState,
)
from atrium_server.persistence.store import Batch, EditKey, EditRow, EntityRow
from atrium_shared.errors import Overload

SESSION = uuid.UUID(int=1 << 100)


def entity(number: int, x: float = 0.0, props: bytes = b"{}") -> EntityRow:
    return EntityRow(
        uuid.UUID(int=number), "box", (x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), props=props
    )


def edit(request_id: int, number: int | None = None, after: bytes = b"{}") -> EditRow:
    entity_id = None if number is None else uuid.UUID(int=number)
    return EditRow(SESSION, request_id, "move", entity_id=entity_id, after=after)


def cut(journal: Journal, now: float) -> Batch:
    batch = journal.cut(now)
    assert batch is not None
    return batch


def answers(journal: Journal) -> list[tuple[int, Outcome]]:
    return [(answer.request_id, answer.outcome) for answer in journal.take_answers()]


def test_the_newest_row_of_an_entity_is_written_and_every_edit_answered() -> None:
    journal = Journal(7, 0.0)
    assert journal.edit(edit(1, 1), [entity(1, 1.0)])
    assert journal.edit(edit(2, 1), [entity(1, 2.0)])
    journal.mark(entity(2))
    journal.remove(uuid.UUID(int=2))
    batch = cut(journal, 0.05)
    assert batch.version == 8
    assert [row.position[0] for row in batch.rows] == [2.0]
    assert batch.removed == (uuid.UUID(int=2),)
    assert not journal.take_answers(), "nothing is said before the commit"
    journal.done(batch, frozenset(), 0.06)
    assert answers(journal) == [(1, Outcome.DURABLE), (2, Outcome.DURABLE)]
    assert journal.version == 8
    assert journal.cut(0.1) is None


def test_what_is_marked_during_a_commit_goes_into_the_next_one() -> None:
    journal = Journal(0, 0.0)
    journal.mark(entity(1, 1.0))
    first = cut(journal, 0.0)
    journal.mark(entity(1, 2.0))
    assert journal.cut(0.0) is first, "one at a time"
    journal.done(first, frozenset(), 0.0)
    second = cut(journal, 0.0)
    assert (second.version, second.rows[0].position[0]) == (2, 2.0)


def test_a_failed_batch_is_handed_out_again_unchanged() -> None:
    journal = Journal(0, 0.0)
    journal.mark(entity(1))
    batch = cut(journal, 0.0)
    journal.failed(0.1)
    journal.mark(entity(2))
    assert cut(journal, 0.2) is batch


def test_the_states_follow_the_time_without_a_commit() -> None:
    journal = Journal(0, 0.0)
    journal.advance(100.0)
    assert journal.state is StoreState.RW, "who has nothing to write misses nothing"
    journal.mark(entity(1))
    batch = cut(journal, 100.0)
    journal.advance(100.0 + DEGRADED_S - 0.01)
    assert journal.state is StoreState.RW
    journal.advance(100.0 + DEGRADED_S)
    assert journal.state is StoreState.DEGRADED
    assert journal.edit(edit(1)), "edits are taken; their answers are late"
    journal.advance(100.0 + READ_ONLY_S)
    assert journal.state is StoreState.READ_ONLY
    with pytest.raises(Overload, match="cannot be saved"):
        journal.edit(edit(2))
    journal.mark(entity(3))  # what moves by itself goes on
    journal.done(batch, frozenset(), 106.0)
    assert journal.state is StoreState.RW, "one good commit"
    assert journal.edit(edit(2))


def test_a_store_that_is_gone_while_nothing_waits_is_noticed_too() -> None:
    journal = Journal(0, 0.0)
    journal.failed(1.0)
    journal.failed(1.0 + READ_ONLY_S)
    assert journal.state is StoreState.READ_ONLY
    journal.reached(7.0)
    assert journal.state is StoreState.RW


@pytest.mark.parametrize(
    "bounds", [Bounds(rows=2), Bounds(edits=2), Bounds(bytes=1_000)], ids=["rows", "edits", "bytes"]
)
def test_a_full_journal_refuses_whole_edits_until_there_was_a_commit(bounds: Bounds) -> None:
    journal = Journal(0, 0.0, bounds)
    for number in range(2):
        journal.edit(edit(number, number), [entity(number)])
    with pytest.raises(Overload, match="too much"):
        journal.edit(edit(2, 2), [entity(2)])
    assert (journal.dirty_rows, journal.dirty_edits) == (2, 2)
    assert journal.state is StoreState.READ_ONLY
    batch = cut(journal, 0.0)
    with pytest.raises(Overload):
        journal.edit(edit(3, 3), [entity(3)])
    journal.done(batch, frozenset(), 0.0)
    assert journal.state is StoreState.RW
    assert journal.edit(edit(3, 3), [entity(3)])


def test_in_a_full_journal_an_entity_may_still_be_replaced() -> None:
    journal = Journal(0, 0.0, Bounds(rows=1))
    journal.mark(entity(1, 1.0))
    journal.mark(entity(1, 2.0))
    with pytest.raises(Overload):
        journal.mark(entity(2))
    assert cut(journal, 0.0).rows[0].position[0] == 2.0


def test_an_edit_that_waits_already_is_not_taken_twice() -> None:
    journal = Journal(0, 0.0)
    assert journal.edit(edit(1, 1), [entity(1, 1.0)])
    assert not journal.edit(edit(1, 1), [entity(1, 9.0)])
    batch = cut(journal, 0.0)
    assert not journal.edit(edit(1, 1), [entity(1, 9.0)]), "nor while it is being written"
    journal.done(batch, frozenset({(SESSION, 1)}), 0.0)
    (answer,) = journal.take_answers()
    assert answer.known
    assert journal.cut(0.1) is None


def test_who_is_fenced_says_what_was_written_and_takes_nothing_more() -> None:
    journal = Journal(0, 0.0)
    journal.edit(edit(1))
    journal.edit(edit(2))
    cut(journal, 0.0)
    journal.edit(edit(3))
    journal.fenced(Fenced("gone", frozenset({(SESSION, 2)})), 0.1)
    assert sorted(answers(journal)) == [
        (1, Outcome.REVERTED),
        (2, Outcome.DURABLE),
        (3, Outcome.REVERTED),
    ]
    assert journal.state is StoreState.FENCED
    assert journal.cut(1.0) is None
    with pytest.raises(Fenced):
        journal.mark(entity(1))
    with pytest.raises(Fenced):
        journal.edit(edit(4))


def test_an_edit_of_many_props_is_written_or_reverted_as_a_whole() -> None:
    """Prop 3 is at fault, and edit 2 changes it together with 4, which edit 3 has changed, too."""
    journal = Journal(0, 0.0)
    both = EditRow(
        SESSION, 2, "delete", entity_id=uuid.UUID(int=3),
        touched=(uuid.UUID(int=3), uuid.UUID(int=4)),
    )
    journal.edit(edit(1, 1), [entity(1)])
    journal.edit(edit(3, 4), [entity(4, 1.0)])
    journal.edit(both, [entity(3)], [uuid.UUID(int=4)])
    journal.edit(edit(5, 5), [entity(5)])
    written: list[EntityRow] = []
    while (batch := journal.cut(0.0)) is not None:
        if any(row.id.int == 3 for row in batch.rows):
            journal.refused(batch, "no", 0.0)
        else:
            written += batch.rows
            journal.done(batch, frozenset(), 0.0)
    assert sorted(row.id.int for row in written) == [1, 5]
    assert sorted(answers(journal)) == [
        (1, Outcome.DURABLE), (2, Outcome.REVERTED), (3, Outcome.REVERTED), (5, Outcome.DURABLE)
    ]
    assert {one.int for one in journal.take_reverted()} == {3, 4}


def test_of_a_refused_batch_only_the_entity_at_fault_is_reverted() -> None:
    journal = Journal(0, 0.0)
    for number in range(9):
        journal.edit(edit(number, number), [entity(number)])
    written: list[int] = []
    while (batch := journal.cut(0.0)) is not None:
        if any(row.id.int == 5 for row in batch.rows):
            journal.refused(batch, "no", 0.0)
        else:
            written += [row.id.int for row in batch.rows]
            journal.done(batch, frozenset(), 0.0)
    assert sorted(written) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert journal.take_reverted() == [uuid.UUID(int=5)]
    assert dict(answers(journal))[5] is Outcome.REVERTED
    assert (journal.dirty_rows, journal.dirty_bytes, journal.dirty_edits) == (0, 0, 0)


POISON = b'{"poison": true}'
BOUNDS = Bounds(rows=12, edits=10, bytes=12_000)


class Lives(RuleBasedStateMachine):
    """A world, its journal and a store that does everything a store can do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.journal = Journal(0, 0.0, BOUNDS)
        self.stored: dict[uuid.UUID, EntityRow] = {}
        self.stored_edits: list[EditKey] = []
        self.version = 0
        self.world: dict[uuid.UUID, EntityRow] = {}
        self.taken: set[EditKey] = set()
        self.told: dict[EditKey, Outcome] = {}
        self.requests = 0

    @rule(number=st.integers(1, 15), poison=st.sampled_from([False] * 9 + [True]))
    def change(self, number: int, poison: bool) -> None:
        row = entity(number, float(self.requests), POISON if poison else b"{}")
        self.requests += 1
        request = edit(self.requests, number)
        before = (self.journal.dirty_rows, self.journal.dirty_edits, self.journal.dirty_bytes)
        try:
            assert self.journal.edit(request, [row])
        except (Overload, Fenced):
            after = (
                self.journal.dirty_rows, self.journal.dirty_edits, self.journal.dirty_bytes
            )
            assert after == before, "all or nothing"
            return
        self.taken.add(request.key)
        self.world[row.id] = row

    @rule(number=st.integers(1, 15))
    def drift(self, number: int) -> None:
        self.requests += 1
        row = entity(number, float(self.requests))
        try:
            self.journal.mark(row)
        except (Overload, Fenced):
            return
        self.world[row.id] = row

    @rule(number=st.integers(1, 15))
    def remove(self, number: int) -> None:
        try:
            self.journal.remove(uuid.UUID(int=number))
        except (Overload, Fenced):
            return
        self.world.pop(uuid.UUID(int=number), None)

    @rule(wait_s=st.sampled_from([0.01, 0.5, 3.0]))
    def wait(self, wait_s: float) -> None:
        self.now += wait_s
        self.journal.advance(self.now)

    def _apply(self, batch: Batch) -> bool:
        """What the database does; False when it will not have the content."""
        if any(row.props == POISON for row in batch.rows):
            return False
        if self.version != batch.version:  # else an earlier attempt was written
            assert self.version == batch.version - 1
            self.version = batch.version
            self.stored |= {row.id: row for row in batch.rows}
            for entity_id in batch.removed:
                self.stored.pop(entity_id, None)
            self.stored_edits += [each.key for each in batch.edits]
        return True

    @rule(fate=st.sampled_from(["done", "done", "failed", "lost answer"]))
    def flush(self, fate: str) -> None:
        batch = self.journal.cut(self.now)
        if batch is None:
            return
        if fate == "failed":
            self.journal.failed(self.now)
        elif not self._apply(batch):
            self.journal.refused(batch, "poison", self.now)
        elif fate == "lost answer":
            self.journal.failed(self.now)
        else:
            self.journal.done(batch, frozenset(), self.now)
            assert self.journal.state is StoreState.RW
        self._hear()

    @precondition(lambda self: len(self.taken) > 12)
    @rule(written=st.booleans())
    def fence(self, written: bool) -> None:
        batch = self.journal.cut(self.now)
        if batch is not None and written:
            self._apply(batch)
        durable = frozenset(each.key for each in batch.edits) if batch else frozenset[EditKey]()
        error = Fenced("another owner", durable & frozenset(self.stored_edits))
        self.journal.fenced(error, self.now)
        self._hear()

    def _hear(self) -> None:
        for answer in self.journal.take_answers():
            key = (answer.session, answer.request_id)
            assert key in self.taken
            assert key not in self.told, "answered twice"
            self.told[key] = answer.outcome
        for entity_id in self.journal.take_reverted():
            # The world takes back what the store has, unless it has changed it since.
            if self.world.get(entity_id, entity(0)).props == POISON:
                self.world.pop(entity_id)
                if entity_id in self.stored:
                    self.world[entity_id] = self.stored[entity_id]

    @invariant()
    def bounds_hold(self) -> None:
        assert self.journal.dirty_rows <= BOUNDS.rows
        assert self.journal.dirty_edits <= BOUNDS.edits
        assert 0 <= self.journal.dirty_bytes <= BOUNDS.bytes
        assert len(self.taken) == len(self.told) + self.journal.dirty_edits

    def teardown(self) -> None:
        """The store comes back: everything is written and everybody has an answer."""
        while self.journal.is_waiting:
            self.flush("done")
        assert self.told.keys() == self.taken
        assert len(set(self.stored_edits)) == len(self.stored_edits), "an edit written twice"
        durable = {key for key, outcome in self.told.items() if outcome is Outcome.DURABLE}
        assert durable == set(self.stored_edits)
        assert self.journal.dirty_bytes == 0
        if self.journal.state is not StoreState.FENCED:
            assert self.stored == self.world


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=60)

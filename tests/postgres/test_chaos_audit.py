"""The audit of `make chaos` finds every kind of difference, and none where there is none."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaos.audit import Kept, Line, Told, Verdict, compare, late_writes

from atrium_server.prop_rows import history_of
from atrium_server.world.props import Change, Prop
from atrium_shared import edits
from atrium_shared.messages import EditState
from atrium_shared.props import Shape, Transform

ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)
HOUSE, TREE = bytes(15) + b"h", bytes(15) + b"t"
DURABLE, REFUSED, REVERTED = EditState.DURABLE, EditState.REFUSED, EditState.REVERTED


def at(x: float) -> Transform:
    return Transform((x, 0.0, 0.0))


def prop(x: float) -> Prop:
    return Prop(at(x), Shape(), owner="guest:somebody")


def line(number: int, key: tuple[uuid.UUID, int], op: str, *changes: Change) -> Line:
    return Line(number, number, key, op, *history_of(changes))


def create(prop_id: bytes, x: float) -> edits.Create:
    return edits.Create(prop_id, b"", at(x), Shape())


MADE = line(1, (ANN, 1), "create", Change(HOUSE, None, prop(1.0)))
MOVED = line(2, (ANN, 2), "place", Change(HOUSE, prop(1.0), prop(2.0)))
OTHER = line(3, (BOB, 1), "create", Change(TREE, None, prop(5.0)))
TOLD = [
    Told((ANN, 1), create(HOUSE, 1.0), DURABLE),
    Told((ANN, 2), edits.Place(HOUSE, at(2.0)), DURABLE),
    Told((BOB, 1), create(TREE, 5.0), DURABLE),
]
LINES = [MADE, MOVED, OTHER]
ENTITIES = {HOUSE: prop(2.0), TREE: prop(5.0)}


def found(told: Sequence[Told] = TOLD, **changes: object) -> Verdict:
    kept = Kept(3, LINES, ENTITIES)
    return compare(told, replace(kept, **changes))  # type: ignore[arg-type]


def kinds(verdict: Verdict) -> set[str]:
    return {
        name for name in ("lost", "twice", "late", "wrong") if getattr(verdict, name)
    }


def test_what_holds_is_good() -> None:
    verdict = found()
    assert verdict.is_good, list(verdict.differences())
    assert (verdict.asked, verdict.durable, verdict.rows) == (3, 3, 3)


@pytest.mark.parametrize("state", [None, EditState.ACCEPTED])
def test_an_edit_without_a_last_answer_may_be_there_or_not(state: EditState | None) -> None:
    told = [*TOLD[:2], replace(TOLD[2], state=state)]
    assert found(told).is_good
    assert found(told).unanswered == 1
    assert found(told, version=2, lines=LINES[:2], entities={HOUSE: prop(2.0)}).is_good


def test_a_durable_edit_that_is_not_there_is_lost() -> None:
    verdict = found(version=2, lines=LINES[:2], entities={HOUSE: prop(2.0)})
    assert kinds(verdict) == {"lost"}
    assert "request 1" in next(verdict.differences())


def test_a_row_that_is_there_twice_is_found() -> None:
    lines = [*LINES, replace(OTHER, id=4, version=4)]
    assert "twice" in kinds(found(lines=lines, version=4))


def test_an_edit_that_was_done_twice_but_written_once_is_found() -> None:
    """Place was done again, after another Place: only the entity and the chain know of it."""
    back = line(3, (ANN, 3), "place", Change(HOUSE, prop(2.0), prop(9.0)))
    told = [*TOLD[:2], Told((ANN, 3), edits.Place(HOUSE, at(9.0)), DURABLE)]
    good = found(told, lines=[MADE, MOVED, back], entities={HOUSE: prop(9.0)})
    assert good.is_good
    again = found(told, lines=[MADE, MOVED, back], entities={HOUSE: prop(2.0)})
    assert kinds(again) == {"wrong"}
    later = line(4, (ANN, 4), "place", Change(HOUSE, prop(2.0), prop(7.0)))
    told.append(Told((ANN, 4), edits.Place(HOUSE, at(7.0)), DURABLE))
    chain = found(told, version=4, lines=[MADE, MOVED, back, later], entities={HOUSE: prop(7.0)})
    assert kinds(chain) == {"twice"}


@pytest.mark.parametrize("state", [REFUSED, REVERTED])
def test_what_was_refused_must_not_be_there(state: EditState) -> None:
    verdict = found([*TOLD[:2], replace(TOLD[2], state=state)])
    assert kinds(verdict) == {"wrong"}


def test_what_nobody_asked_for_must_not_be_there() -> None:
    assert kinds(found(TOLD[:2])) == {"wrong"}


@pytest.mark.parametrize(
    "edit", [create(TREE, 6.0), create(HOUSE, 5.0), edits.Delete(TREE), edits.Undo()]
)
def test_what_is_there_must_be_what_was_asked_for(edit: edits.Edit) -> None:
    assert kinds(found([*TOLD[:2], replace(TOLD[2], edit=edit)])) == {"wrong"}


def test_entities_must_be_what_their_history_says() -> None:
    for entities in (
        {HOUSE: prop(2.0)},
        {HOUSE: prop(2.5), TREE: prop(5.0)},
        {**ENTITIES, bytes(16): prop(0.0)},
        {**ENTITIES, TREE: msgspec.structs.replace(prop(5.0), is_locked=True)},
    ):
        assert kinds(found(entities=entities)) == {"wrong"}


def test_each_commit_is_one_version() -> None:
    assert kinds(found(version=4)) == {"wrong"}
    assert kinds(found(version=2)) == {"wrong"}
    together = [MADE, replace(MOVED, version=1), replace(OTHER, version=2)]
    assert found(version=2, lines=together).is_good
    swapped = [replace(MADE, version=2), replace(MOVED, version=1), OTHER]
    assert kinds(found(lines=swapped)) == {"wrong"}


def test_late_writes_are_those_of_the_past_behind_the_takeover() -> None:
    kept = Kept(3, LINES, ENTITIES)
    assert late_writes(kept, 2, [ANN]) == []
    assert len(late_writes(kept, 1, [ANN])) == 1
    assert len(late_writes(kept, 0, [ANN, BOB])) == 3


def test_few_differences_of_each_kind_are_told() -> None:
    verdict = Verdict(lost=[f"number {k}" for k in range(9)], late=["one"])
    assert list(verdict.differences())[-2:] == ["lost: and 4 more", "late: one"]
    both = Verdict(asked=1)
    both.add(verdict)
    assert (both.asked, len(both.lost)) == (1, 9)
    assert not both.is_good

"""What an author can take back is bounded, and counted right whatever happens to it."""

from __future__ import annotations

import random

import pytest

from atrium_server.world import past as past_module
from atrium_server.world.past import MadeEdit, Past, Pasts
from atrium_server.world.props import Change, Prop
from atrium_shared import limits
from atrium_shared.props import Shape, Transform


def prop(x: float) -> Prop:
    return Prop(Transform((x, 0.0, 0.0)), Shape(), b"", "ann")


def edit(size: int, x: float = 1.0) -> MadeEdit:
    """A move of so many props."""
    return tuple(Change(bytes([k % 256] * 16), prop(0.0), prop(x)) for k in range(size))


def test_the_oldest_go_when_they_hold_too_many_changes() -> None:
    past = Past()
    for _ in range(10):
        past.did(edit(limits.UNDO_CHANGES_MAX // 4))
    assert len(past.done) == 4
    past.did(edit(3 * limits.UNDO_CHANGES_MAX))
    assert [len(one) for one in past.done] == [3 * limits.UNDO_CHANGES_MAX]  # the newest always


@pytest.mark.parametrize("seed", range(8))
def test_what_is_counted_is_what_is_there(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNDO_CHANGES_MAX", 40)
    rng = random.Random(seed)
    past = Past()
    for _ in range(400):
        match rng.randrange(6):
            case 0:
                past.turned("undo", edit(rng.randint(1, 5)))
            case 1:
                past.turned("redo", edit(rng.randint(1, 5)))
            case 2:
                past.drop(rng.choice(("undo", "redo")))
            case 3:
                past = Past.restored(list(past.done), list(past.undone))
            case _:
                past.did(edit(rng.randint(1, 5)))
        assert past.changes == sum(map(len, [*past.done, *past.undone])), f"seed {seed}"
        # Neither stack is emptied by the other: the newest of each stays.
        assert past.changes <= 40 + 5, f"seed {seed}"
        assert len(past.done) <= limits.UNDO_EDITS_MAX
        assert len(past.undone) <= limits.UNDO_EDITS_MAX


def test_a_full_past_forgets_the_oldest_and_still_counts_right() -> None:
    past = Past()
    for size in range(1, limits.UNDO_EDITS_MAX + 3):
        past.did(edit(size % 3 + 1))
    assert len(past.done) == limits.UNDO_EDITS_MAX
    assert past.changes == sum(map(len, past.done))


def test_who_edited_the_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "AUTHORS_MAX", 2)
    pasts = Pasts()
    pasts.remember("ann", "do", edit(1))
    pasts.remember("bob", "do", edit(1))
    pasts.remember("ann", "do", edit(1))
    pasts.remember("cid", "do", edit(1))
    assert [account for account, _, _ in pasts.save()] == ["ann", "cid"]
    assert not pasts.get("bob").done


def test_what_replaced_a_state_is_what_would_be_taken_back() -> None:
    pasts = Pasts()
    pasts.remember("ann", "do", edit(1, x=1.0))
    (change,) = edit(1, x=1.0)
    pasts.replaced(Change(change.prop_id, prop(1.0), prop(2.0)), ["ann", "nobody"])
    assert pasts.get("ann").done[0] == edit(1, x=2.0)
    assert [account for account, _, _ in pasts.save()] == ["ann"]

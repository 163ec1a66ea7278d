"""What became of a session's edits: remembered for long enough, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world.ledger import Ledger
from atrium_shared import limits
from atrium_shared.messages import EditState, EditStatus


def status(request_id: int, state: EditState = EditState.ACCEPTED) -> EditStatus:
    return EditStatus(request_id, state, 0, "", 0)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(EditState)), max_size=60))
def test_unanswered_counts_what_is_accepted_and_no_more(
    told: list[tuple[int, EditState]]
) -> None:
    ledger, newest = Ledger(), dict[int, EditState]()
    for request_id, state in told:
        ledger.put(status(request_id, state))
        newest[request_id] = state
        assert ledger.unanswered == list(newest.values()).count(EditState.ACCEPTED)
    for request_id, state in newest.items():
        found = ledger.get(request_id)
        assert found is not None
        assert found.state is state


def test_the_oldest_is_forgotten_and_then_not_done_again() -> None:
    ledger = Ledger()
    most = limits.EDITS_REMEMBERED_MAX
    for request_id in range(most + 10):
        ledger.put(status(request_id, EditState.DURABLE))
    assert ledger.get(9) is None
    assert ledger.has_forgotten(9)
    assert ledger.get(10) is not None
    assert not ledger.has_forgotten(most + 10)


def test_what_was_saved_before_the_start_is_known() -> None:
    ledger = Ledger([7, 3])
    found = ledger.get(3)
    assert found is not None
    assert found.state is EditState.DURABLE
    assert ledger.unanswered == 0


def test_a_restored_ledger_is_the_same() -> None:
    ledger = Ledger()
    for request_id in range(limits.EDITS_REMEMBERED_MAX + 5):
        ledger.put(status(request_id, EditState(request_id % 4)))
    twin = Ledger.restore(ledger.save())
    assert twin.save() == ledger.save()
    assert twin.unanswered == ledger.unanswered
    assert twin.has_forgotten(2)

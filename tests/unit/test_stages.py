"""Stages of versions: what may follow what, and what always holds, whatever is ordered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.persistence.model_rows import ALONE, Op, Stage
from atrium_server.registry.errors import ModelError
from atrium_server.registry.stages import Order, Place, Standing, decide
from atrium_shared import limits

PASSED = {"has_passed": True}


def walk(*orders: Order, start: Standing | None = None) -> Standing:
    standing = start or Standing("sample")
    for order in orders:
        standing = standing.after(decide(standing, order))
    return standing


def publish(*versions: str) -> list[Order]:
    return [Order(Op.PUBLISH, version) for version in versions]


def promote(version: str) -> Order:
    return Order(Op.PROMOTE, version, has_passed=True)


def stages(standing: Standing) -> dict[str, Stage]:
    return {version: place.stage for version, place in standing.places.items()}


def test_a_version_goes_all_the_way() -> None:
    standing = walk(*publish("1"), promote("1"), *publish("2"), Order(Op.SHADOW, "2"))
    assert (standing.live, standing.at(Stage.SHADOW)) == ("1", "2")
    standing = walk(Order(Op.CANARY, "2", 0.1), start=standing)
    assert (standing.at(Stage.CANARY), standing.canary_share) == ("2", 0.1)
    standing = walk(Order(Op.CANARY, "2", 0.5), start=standing)
    assert standing.canary_share == 0.5
    standing = walk(promote("2"), start=standing)
    assert stages(standing) == {"1": Stage.RETIRED, "2": Stage.LIVE}
    assert (standing.canary_share, standing.predecessor, standing.sequence) == (0.0, "1", 7)


def test_roll_backs_go_back_and_not_to_and_fro() -> None:
    orders = [order for version in "123" for order in (*publish(version), promote(version))]
    standing = walk(*orders)
    back = Order(Op.ROLLBACK)
    standing = walk(back, start=standing)
    assert stages(standing) == {"1": Stage.RETIRED, "2": Stage.LIVE, "3": Stage.RETIRED}
    standing = walk(back, start=standing)
    assert standing.live == "1"
    with pytest.raises(ModelError, match="No version of sample was live before 1: promote"):
        decide(standing, back)
    standing = walk(Order(Op.SHADOW, "3"), promote("3"), back, start=standing)
    assert standing.live == "1"


def test_no_roll_back_leads_to_what_was_retired_or_demoted() -> None:
    live = walk(*publish("1", "2"), promote("1"), promote("2"), Order(Op.SHADOW, "1"))
    assert live.predecessor == "1"
    for op in (Op.RETIRE, Op.DEMOTE):
        with pytest.raises(ModelError, match="No version of sample was live before 2"):
            walk(Order(op, "1"), Order(Op.ROLLBACK), start=live)


def test_who_comes_displaces_who_is_there() -> None:
    standing = walk(*publish("1", "2", "3"), promote("1"), Order(Op.CANARY, "2", 0.2),
                    Order(Op.CANARY, "3", 0.3))
    assert stages(standing) == {
        "1": Stage.LIVE, "2": Stage.CANDIDATE, "3": Stage.CANARY}
    assert standing.canary_share == 0.3
    standing = walk(Order(Op.SHADOW, "2"), Order(Op.SHADOW, "3"), start=standing)
    assert stages(standing)["2"] is Stage.CANDIDATE
    assert (standing.at(Stage.CANARY), standing.canary_share) == (None, 0.0)


def test_a_broken_budget_takes_a_version_back() -> None:
    standing = walk(*publish("1", "2"), promote("1"), Order(Op.CANARY, "2"))
    standing = walk(Order(Op.DEMOTE, "2"), start=standing)
    assert stages(standing)["2"] is Stage.CANDIDATE
    standing = walk(promote("2"), Order(Op.DEMOTE, "2"), start=standing)
    assert stages(standing) == {"1": Stage.LIVE, "2": Stage.RETIRED}
    with pytest.raises(ModelError, match="promote another"):
        decide(standing, Order(Op.DEMOTE, "1"))


def test_what_came_with_the_program_is_adopted_and_can_be_left() -> None:
    standing = walk(Order(Op.ADOPT, "1"), *publish("2"), promote("2"), Order(Op.ADOPT, "3"))
    assert standing.live == "3"
    assert walk(Order(Op.ROLLBACK), start=standing).live == "2"


@pytest.mark.parametrize(("order", "said"), [
    (Order(Op.PROMOTE, "2", **PASSED), "no version 2"),
    (Order(Op.PROMOTE, "", **PASSED), "no version without a name"),
    (Order(Op.PROMOTE, "new"), "did not pass the gate"),
    (Order(Op.PROMOTE, "old", **PASSED), "is retired: let it be a shadow"),
    (Order(Op.PROMOTE, "live", **PASSED), "is live, so there is nothing to do"),
    (Order(Op.PUBLISH, "new"), "is known already"),
    (Order(Op.RETIRE, "live"), "cannot be retired: promote another"),
    (Order(Op.CANARY, "new", 0.0), "above 0 and at most 0.5"),
    (Order(Op.CANARY, "new", 0.6), "above 0 and at most 0.5"),
    (Order(Op.CANARY, "new", float("nan")), "above 0 and at most 0.5"),
    (Order(Op.CANARY, "live"), "is live"),
    (Order(Op.DEMOTE, "new"), "nothing to do"),
    (Order(Op.ROLLBACK, "new"), "nothing to do"),
])
def test_what_is_not_allowed_is_told(order: Order, said: str) -> None:
    standing = walk(*publish("old", "live", "new"), promote("old"), promote("live"))
    with pytest.raises(ModelError) as caught:
        decide(standing, order)
    assert said in caught.value.sentence


def test_nothing_live_is_nothing_to_compare_with_nor_to_roll_back() -> None:
    standing = walk(*publish("1"))
    with pytest.raises(ModelError, match="promote sample 1"):
        decide(standing, Order(Op.CANARY, "1"))
    with pytest.raises(ModelError, match="nothing to roll back"):
        decide(standing, Order(Op.ROLLBACK))


def test_versions_are_bounded() -> None:
    full = Standing("sample", {
        str(n): Place(Stage.CANDIDATE) for n in range(limits.MODEL_VERSIONS_MAX)})
    with pytest.raises(ModelError, match="another name"):
        decide(full, Order(Op.PUBLISH, "one more"))


ORDERS = st.builds(
    Order, st.sampled_from(Op), st.sampled_from(["", "a", "b", "c", "d"]),
    st.sampled_from([0.0, 0.05, 0.5, 0.7]), st.booleans(),
)


@given(st.lists(ORDERS, max_size=40))
def test_what_holds_whatever_is_ordered(orders: list[Order]) -> None:
    standing = Standing("sample")
    for order in orders:
        try:
            moves = decide(standing, order)
        except ModelError:
            continue
        before, standing = standing, standing.after(moves)
        for move in moves:
            was = before.places.get(move.version)
            assert move.before == (was.stage if was else None)
        there = [place.stage for place in standing.places.values()]
        assert all(there.count(stage) <= 1 for stage in ALONE)
        assert standing.live is not None or before.live is None
        assert set(before.places) <= set(standing.places)
        assert (standing.canary_share > 0) == (Stage.CANARY in there)
        ranks = [place.live_rank for place in standing.places.values() if place.live_rank]
        assert len(set(ranks)) == len(ranks)
        assert standing.live is None or standing.places[standing.live].live_rank > 0
        if order.op is Op.PROMOTE:
            assert order.has_passed
            undone = standing.after(decide(standing, Order(Op.ROLLBACK))) if before.live else None
            assert undone is None or undone.live == before.live

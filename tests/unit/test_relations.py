"""The table of who wants whom near: what may pass between two, and what replication is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atrium_server.frame import ALONE, VEILED
from atrium_server.world.relations import Regard, Relations
from atrium_shared import limits
from atrium_shared.social import Relation

N = 12
PEOPLE = "abcdef"


def of(person: str, relation: int) -> Regard:
    return Regard(person, person.upper(), relation)


def two(relation: int) -> Relations:
    """Ann in slot 0 does this about Ben in slot 1."""
    table = Relations(N)
    table.enter(0, "ann", [of("ben", relation)] if relation else [], False)
    table.enter(1, "ben", [], False)
    return table


def is_veiled(table: Relations, viewer: int, seen: int) -> bool:
    return bool(table.apart().veils[viewer, seen >> 3] >> (seen & 7) & 1)


def test_mute_is_about_hearing_and_one_way() -> None:
    table = two(Relation.MUTE)
    assert not table.may_hear(0, 1)
    assert table.may_hear(1, 0)
    assert table.may_know(0, 1)
    assert table.deaf_to("ben") == [0]
    assert table.deaf_to("ann") == []
    assert not table.apart().state.any()


def test_hide_is_about_looks_and_one_way() -> None:
    table = two(Relation.HIDE)
    assert table.may_hear(0, 1)
    assert not table.may_know(0, 1)
    assert table.may_know(1, 0)
    assert table.may_see(0, 1)
    assert is_veiled(table, 0, 1)
    assert not is_veiled(table, 1, 0)
    assert table.apart().state.tolist()[:2] == [VEILED, 0]


def test_block_is_both_in_both_directions() -> None:
    table = two(Relation.BLOCK)
    for viewer, seen in ((0, 1), (1, 0)):
        assert not table.may_hear(viewer, seen)
        assert not table.may_know(viewer, seen)
        assert table.may_see(viewer, seen)
        assert is_veiled(table, viewer, seen)
    assert table.deaf_to("ben") == [0]
    assert table.deaf_to("ann") == [1]
    table.set("ann", of("ben", 0))
    assert table.may_hear(1, 0)
    assert not table.apart().state.any()


def test_a_block_outlives_who_set_it_for_lines_under_way() -> None:
    table = two(Relation.BLOCK)
    blocked = table.blocked_by("ann")
    table.leave(0, 7, "Ann")
    assert table.deaf_to("ann") == []
    assert table.deaf_to("ann", blocked) == [1]


def test_the_safe_zone_is_empty_of_others_from_both_sides() -> None:
    table = two(0)
    version = table.version
    table.shelter(0, True)
    assert table.version > version
    assert not table.may_see(0, 1)
    assert not table.may_see(1, 0)
    assert not table.may_hear(0, 1)
    assert not table.may_hear(1, 0)
    assert table.may_hear(0, 0)
    assert table.may_know(0, 0)
    assert table.apart().state.tolist()[:2] == [ALONE, 0]
    assert table.deaf_to("ben") == [0]
    table.shelter(0, False)
    assert table.may_know(0, 1)
    assert not table.apart().state.any()


def test_all_sessions_of_a_person_are_meant_and_never_kept_apart() -> None:
    table = two(Relation.BLOCK)
    table.enter(5, "ben", [], False)
    table.enter(6, "ann", [], False)
    for ann in (0, 6):
        for ben in (1, 5):
            assert not table.may_hear(ben, ann)
            assert is_veiled(table, ben, ann)
            assert is_veiled(table, ann, ben)
    assert table.may_know(0, 6)
    assert table.may_hear(1, 5)
    table.leave(0, 1, "Ann")
    assert not table.may_hear(6, 1), "one session of hers is still here"


def test_a_slot_tells_nothing_of_its_last_owner() -> None:
    table = two(Relation.BLOCK)
    table.leave(1, 2, "Ben")
    table.enter(1, "cat", [], False)
    assert table.may_hear(0, 1)
    assert table.may_know(1, 0)
    assert not is_veiled(table, 0, 1)
    assert not table.apart().state.any()


def test_nobody_does_anything_about_oneself() -> None:
    table = Relations(N)
    table.enter(0, "ann", [of("ann", 7)], False)
    table.enter(1, "ann", [], False)
    assert table.may_hear(0, 1)
    assert table.may_know(0, 1)


def test_who_went_lately_is_known_and_bounded() -> None:
    table = Relations(N)
    for entity in range(1, limits.LEFT_REMEMBERED_MAX + 10):
        table.enter(0, f"p{entity}", [], False)
        table.leave(0, entity, "P")
    assert len(table.left) == limits.LEFT_REMEMBERED_MAX
    assert table.left[limits.LEFT_REMEMBERED_MAX + 9].person == f"p{limits.LEFT_REMEMBERED_MAX + 9}"


STEPS = st.lists(st.one_of(
    st.tuples(st.just("enter"), st.integers(0, N - 1), st.sampled_from(PEOPLE)),
    st.tuples(st.just("leave"), st.integers(0, N - 1), st.just("")),
    st.tuples(st.sampled_from(PEOPLE), st.integers(0, 7), st.sampled_from(PEOPLE)),
    st.tuples(st.just("safe"), st.integers(0, N - 1), st.sampled_from(["", "on"])),
), max_size=60)


@given(STEPS)
def test_what_is_kept_ready_is_what_the_rules_say(steps: list[tuple[str, int, str]]) -> None:
    table = Relations(N)
    wanted: dict[tuple[str, str], int] = {}
    here: dict[int, str] = {}
    for what, number, who in steps:
        if what == "enter" and number not in here:
            known = [of(b, bits) for (a, b), bits in wanted.items() if a == who]
            table.enter(number, who, known, False)
            here[number] = who
        elif what == "leave" and number in here:
            table.leave(number, 1, "")
            del here[number]
        elif what == "safe" and number in here:
            table.shelter(number, bool(who))
        elif what in here.values() and what != who:
            wanted[what, who] = number
            table.set(what, of(who, number))
    # What one does who is gone is not known to the world, and so not enforced.
    rules = {pair: bits for pair, bits in wanted.items() if pair[0] in here.values()}
    for viewer, a in here.items():
        state = 0
        for seen, b in here.items():
            bits, back = rules.get((a, b), 0), rules.get((b, a), 0)
            apart = viewer != seen and bool(table.safe[viewer] or table.safe[seen])
            assert table.may_hear(viewer, seen) == (not apart and not (bits & 5 or back & 4))
            assert table.may_know(viewer, seen) == (not apart and not (bits & 6 or back & 4))
            assert is_veiled(table, viewer, seen) == bool(bits & 6 or back & 4)
            state |= VEILED if is_veiled(table, viewer, seen) else 0
            assert (viewer in table.deaf_to(b)) == (
                not table.may_hear(viewer, seen) or bool(table.safe[viewer])
            ) or bool(table.safe[seen])
        state |= ALONE if table.safe[viewer] else 0
        assert table.apart().state[viewer] == state
    for slot in set(range(N)) - here.keys():
        assert not table.apart().veils[:, slot >> 3].any() or not any(
            is_veiled(table, viewer, slot) for viewer in range(N)
        )
        assert not table.apart().state[slot]


def test_whom_somebody_blocked_is_remembered_with_who_went() -> None:
    table = two(Relation.BLOCK)
    table.leave(0, 7, "Ann")
    assert table.left[7].blocked == ("ben",)
    assert not table.is_veiled("ben", "ann"), "what she did went with her"

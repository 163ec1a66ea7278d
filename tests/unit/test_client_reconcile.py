"""Corrections of poses that were sent a while ago."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atrium_client.body import Vector
from atrium_client.reconcile import POSES_REMEMBERED, OwnRoots

millimetres = st.integers(-8_000_000, 8_000_000).map(lambda value: value / 1000)
places = st.tuples(millimetres, millimetres, millimetres)


@given(st.lists(places, min_size=1, max_size=8), places, st.data())
def test_the_steps_made_since_are_kept(
    walked: list[Vector], put: Vector, data: st.DataObject
) -> None:
    roots = OwnRoots()
    for seq, root in enumerate(walked):
        roots.sent(seq, root)
    seq = data.draw(st.integers(0, len(walked) - 1))
    wanted = walked[-1]
    now = roots.reconcile(seq, put, wanted)
    steps_mm = [round(1000 * (b - a)) for a, b in zip(walked[seq], wanted, strict=True)]
    assert [round(1000 * (b - a)) for a, b in zip(put, now, strict=True)] == steps_mm
    # The answer has been taken in: the same one again changes nothing.
    assert roots.reconcile(seq, put, now) == now


def test_a_pose_that_is_forgotten_is_set_back_to() -> None:
    roots = OwnRoots()
    for seq in range(POSES_REMEMBERED + 1):
        roots.sent(seq, (seq / 1000, 0.0, 0.0))
    assert roots.reconcile(0, (5.0, 0.0, 0.0), (0.128, 0.0, 0.0)) == (5.0, 0.0, 0.0)
    assert roots.reconcile(1, (5.001, 0.0, 0.0), (0.128, 0.0, 0.0)) == (5.128, 0.0, 0.0)


def test_after_a_jump_poses_on_their_way_count_from_there() -> None:
    roots = OwnRoots()
    roots.sent(1, (1.0, 0.0, 0.0))
    roots.jumped((9.0, 0.0, 9.0))
    assert roots.reconcile(1, (9.0, 0.0, 9.0), (9.25, 0.0, 9.0)) == (9.25, 0.0, 9.0)
    roots.forget()
    assert roots.reconcile(1, (2.0, 0.0, 0.0), (9.0, 0.0, 9.0)) == (2.0, 0.0, 0.0)

"""What is dragged: who sees it, what of it may be seen, and that nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.world import World
from atrium_shared import edits, limits
from atrium_shared import messages as m
from atrium_shared.messages import Rights, SaveState
from atrium_shared.props import Group, Shape, Transform

MANIFEST = """
[world]
name = "test"
tick_rate_hz = 20
capacity = 4
[extent]
min = [-40.0, -1.0, -40.0]
max = [40.0, 9.0, 40.0]
[movement]
teleport_range_m_max = 30.0
teleport_cooldown_s = 0.0
[[seat]]
name = "bench"
position = [0.0, 0.4, -9.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 0.1
"""
ANN, BEN, EVE, MOD = 1, 2, 3, 4
BOX, OTHERS, LOCKED, GROUP, NOWHERE = (bytes([n]) * 16 for n in range(1, 6))


def at(x: float, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Transform:
    return Transform((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), scale)


class Yard:
    """A world with two builders, one who only looks, and a moderator."""

    def __init__(self) -> None:
        self.world = World(parse_manifest(MANIFEST, "test"), 1)
        self.out = c.TickOutput()
        self.requests = 0
        build = int(Rights.BUILD)
        for session, rights in ((ANN, build), (BEN, build), (EVE, 0),
                                (MOD, build | int(Rights.MODERATE))):
            self.step(c.Join(
                session, f"P{session}", "", bytes([session]) * 16, f"guest:{session}", rights
            ))
        for prop_id, owner in ((BOX, ANN), (OTHERS, BEN), (LOCKED, ANN)):
            self.edit(owner, edits.Create(prop_id, b"", at(0.0), Shape(portable=True)))
        self.edit(ANN, edits.Lock(LOCKED, True))
        self.edit(ANN, edits.Create(GROUP, b"", at(0.0), Group()))

    def step(self, *commands: c.AnyCommand) -> None:
        self.out = self.world.step(commands, None, 50 * (self.world.tick + 1))

    def edit(self, session: int, edit: edits.Edit) -> None:
        self.requests += 1
        self.step(c.Build(session, self.requests, edit))

    def drag(self, session: int, *drags: tuple[bytes, Transform]) -> list[m.PropsDragged]:
        """What is told of a drag."""
        self.step(c.Drag(session, tuple(edits.PropMove(*one) for one in drags)))
        told = [tell for tell in self.out.tells if isinstance(tell.message, m.PropsDragged)]
        for tell in told:
            assert tell.sessions is None
            assert tell.without == (session,), "one sees one's own hand without the server"
        return [tell.message for tell in told if isinstance(tell.message, m.PropsDragged)]

    def entity(self, session: int) -> int:
        slot = self.world.slot_of(session)
        assert slot is not None
        return int(self.world.tables.entity_ids[slot])

    def kept(self) -> Any:
        """All that lasts."""
        building = self.world.building
        return dict(building.props), building.chain, building.telling.revision, [
            building.editor.pasts.get(f"guest:{session}").of("undo") for session in (ANN, BEN)
        ]


def test_a_drag_is_seen_and_nothing_of_it_stays() -> None:
    yard = Yard()
    before = yard.kept()
    told, = yard.drag(ANN, (BOX, at(2.0)))
    assert told == m.PropsDragged(
        yard.entity(ANN), 50 * yard.world.tick, (edits.PropMove(BOX, at(2.0)),)
    )
    assert yard.out.edits == []
    assert not any(isinstance(tell.message, m.PropsChanged) for tell in yard.out.tells)
    assert yard.kept() == before
    ended, = yard.drag(ANN)
    assert ended.drags == ()


def test_a_drag_to_where_it_stands_is_told() -> None:
    told, = Yard().drag(ANN, (BOX, at(0.0)))
    assert told.drags == (edits.PropMove(BOX, at(0.0)),)


@pytest.mark.parametrize(("session", "prop_id", "to"), [
    (ANN, OTHERS, at(1.0)), (ANN, LOCKED, at(1.0)), (EVE, BOX, at(1.0)), (ANN, NOWHERE, at(1.0)),
    (ANN, GROUP, at(1.0, (1.0, 2.0, 1.0))),
    (ANN, BOX, Transform((1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))),
])
def test_what_may_not_be_moved_is_not_seen_to_move(
    session: int, prop_id: bytes, to: Transform
) -> None:
    yard = Yard()
    assert yard.drag(session, (prop_id, to)) == []
    seen = [one.prop_id for told in yard.drag(ANN, (prop_id, to), (BOX, at(3.0)))
            for one in told.drags]
    assert BOX in seen
    assert not any(isinstance(tell.message, m.Result | m.EditStatus) for tell in yard.out.tells)


def test_a_moderator_drags_what_others_made() -> None:
    told, = Yard().drag(MOD, (OTHERS, at(1.0)))
    assert len(told.drags) == 1


def test_what_is_in_a_hand_is_not_dragged() -> None:
    yard = Yard()
    yard.step(c.Take(ANN, 900, BOX, 1, (0.0, 0.0, -0.1), (0.0, 0.0, 0.0, 1.0)))
    assert BOX in yard.world.carrying
    assert yard.drag(ANN, (BOX, at(1.0))) == []


def test_a_world_that_is_read_only_shows_no_drags() -> None:
    yard = Yard()
    yard.step(c.Store(SaveState.READ_ONLY, 40, 60, 90_000))
    assert yard.drag(ANN, (BOX, at(1.0))) == []


def test_drags_have_budgets_and_what_is_beyond_them_is_dropped() -> None:
    yard = Yard()
    full = [(BOX, at(1.0))] * limits.EDIT_PROPS_MAX
    told = [yard.drag(ANN, *full) for _ in range(200)]
    sizes = [sum(len(one.drags) for one in each) for each in told]
    assert sizes[0] == limits.EDIT_PROPS_MAX
    rate_hz = yard.world.manifest.tick_rate_hz
    bytes_told = sum(sizes) * 100  # about, for one of them
    assert 0.4 * limits.DRAGS_BYTES_PER_S_MAX < bytes_told / (200 / rate_hz) < (
        2 * limits.DRAGS_BYTES_PER_S_MAX
    )
    for _ in range(3 * rate_hz):
        yard.step()
    assert yard.drag(ANN, (BOX, at(1.0)))


def test_one_tick_looks_at_so_many() -> None:
    yard = Yard()
    drags = tuple(edits.PropMove(OTHERS, at(1.0)) for _ in range(limits.EDIT_PROPS_MAX))
    yard.step(*[c.Drag(ANN, drags)] * 20)
    assert yard.out.drags == limits.DRAGS_PER_TICK_MAX


@given(st.lists(st.tuples(
    st.sampled_from([ANN, BEN, EVE, MOD]),
    st.lists(st.tuples(
        st.sampled_from([BOX, OTHERS, LOCKED, GROUP, NOWHERE]),
        st.builds(at, st.floats(-100, 100, width=32), st.sampled_from(
            [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (0.5, 0.5, 0.5)]
        )),
    ), max_size=4),
), max_size=12))
def test_whatever_is_dragged_lasts_nowhere_and_only_ones_own_is_shown(
    asked: list[tuple[int, list[tuple[bytes, Transform]]]]
) -> None:
    yard = Yard()
    before = yard.kept()
    mine = {ANN: {BOX, GROUP}, BEN: {OTHERS}, EVE: set[bytes](), MOD: {BOX, OTHERS, GROUP}}
    for session, drags in asked:
        for told in yard.drag(session, *drags):
            assert {one.prop_id for one in told.drags} <= mine[session]
    assert yard.kept() == before

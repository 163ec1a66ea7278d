"""The SDK among people: what it asks for works, and what it hears does not break it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from harness import open_house, write_world
from trio.testing import MockClock

from atrium_client import (
    ErrorCode,
    LooksChanged,
    MarkerShown,
    Me,
    PropTransform,
    Relation,
    ReportReason,
    RequestRefused,
    connect,
)
from atrium_server.persistence.conduct_rows import CaseState
from atrium_shared.props import Seat

URL = "ws://atrium.test"


async def heard(me: Me, kind: type[object]) -> object:
    """The next event of a kind."""
    with trio.fail_after(5):
        async for event in me.events():
            if isinstance(event, kind):
                return event
    raise AssertionError


async def test_all_that_one_can_do_about_people(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = write_world(tmp_path, "hall")
    path.write_text(path.read_text() + '[building]\nbuilders = "everyone"\n')
    async with (
        open_house(worlds=[path], has_lanes=True) as house,
        connect(URL, name="Ann", stream=house.dial) as ann,
        connect(URL, name="Ben", stream=house.dial) as ben,
    ):
        await trio.sleep(1.0)
        assert [other.name for other in ann.others] == ["Ben"]
        await ben.set_avatar("robot")
        assert await heard(ann, LooksChanged) == LooksChanged(ben.entity_id, "robot")
        assert [other.avatar for other in ann.others] == ["robot"]
        await ben.marker((1.0, 0.0, 1.0), 0.5)
        assert await heard(ann, MarkerShown) == MarkerShown(ben.entity_id, (1.0, 0.0, 1.0), 0.5)

        sentence = await ann.report(ben.entity_id, ReportReason.SPAM, "Points at things.")
        assert "kept" in sentence
        lanes = house.host().parts.safety
        (case,) = await lanes.reports.store.cases(CaseState.OPEN, 9)
        assert case.report.summary == "Points at things."

        await ann.relate(ben.entity_id, Relation.BLOCK)
        await trio.sleep(0.5)
        assert [(other.name, other.avatar) for other in ann.others] == [("", "")]
        (entry,) = ann.relations
        assert (entry.name, entry.relation) == ("Ben", Relation.BLOCK)
        await ann.relate(entry.person, 0)
        assert ann.relations == ()
        with pytest.raises(RequestRefused) as refused:
            await ann.relate(ann.entity_id, Relation.MUTE)
        assert refused.value.code == ErrorCode.NOT_ALLOWED

        await ann.safe_zone()
        await trio.sleep(1.0)
        assert ann.others == ben.others == []
        await ann.safe_zone(False)
        seat = ann.create(Seat(), PropTransform((1.0, 0.0, 2.0)))
        await seat.accepted()
        x, _, z = await ann.sit_on(seat.prop_id)
        assert (x, z) == (1.0, 2.0)
        with pytest.raises(RequestRefused):
            await ben.sit_on(seat.prop_id)

"""A server that thinks: what people say and call themselves is judged before others read it.

On the real clock: threads read and models run meanwhile, of which a test's clock knows nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import trio
from harness import House, open_house, write_world
from PIL import Image
from test_account_routes import Caller
from trio.testing import MockClock

from atrium_client import ChatState, Me, connect
from atrium_server import moderator
from atrium_server.assets.admission import UploadRefused
from atrium_server.assets.uploads import Offer
from atrium_server.brain import FORGET_S, MUTE, RULES_ALONE, forget_now_and_then
from atrium_server.config import AtriumStartError
from atrium_server.image_judge import PICTURES_MODEL
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.models.picture_net import from_tensors
from atrium_server.inference.slots import Loaded
from atrium_server.moderator import MODEL
from atrium_server.replication.replicator import warm_up

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from picture_samples import small_net

URL = "ws://atrium.test"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    # However busy the machine is, the model has its say here.
    monkeypatch.setattr(moderator, "VERDICT_S_MAX", 20.0)
    async with open_house(
        worlds=[write_world(tmp_path, "hall")], has_lanes=True, brain="on", device="cpu"
    ) as opened:
        yield opened


async def said(me: Me, text: str) -> tuple[ChatState, str]:
    with trio.fail_after(20):
        outcome = await me.say(text)
    return outcome.state, outcome.reason


async def heard(me: Me) -> str:
    with trio.fail_after(20):
        async for line in me.listen():
            return line.text
    raise AssertionError


async def test_lines_are_let_pass_covered_and_kept_back(house: House) -> None:
    async with (
        connect(URL, name="Ann", stream=house.dial) as ann,
        connect(URL, name="Ben", stream=house.dial) as ben,
    ):
        assert await said(ann, "hello, kill the boss first") == (ChatState.PUBLISHED, "")
        assert await heard(ben) == "hello, kill the boss first"
        assert (await said(ann, "what the f.u.c.k"))[0] is ChatState.PUBLISHED
        assert await heard(ben) == "what the •••••••"
        assert (await said(ann, "mail me at ann@example.org"))[0] is ChatState.PUBLISHED
        assert await heard(ben) == "mail me at •••••••••••••••"
        state, reason = await said(ann, "you are all worthless stupid bitches")
        assert state is ChatState.REJECTED
        assert "tell a moderator" in reason
        assert (await said(ann, "still here"))[0] is ChatState.PUBLISHED
        assert await heard(ben) == "still here"
        text = house.server.registry.render()
        assert 'atrium_lane_jobs_total{class="moderation",outcome="done"}' in text
        assert 'atrium_moderation_verdicts_total{action="block"' in text


@pytest.mark.parametrize("name", ["fuckface", "N1gg3r", "ann@example.org"])
async def test_a_name_that_others_should_not_have_to_read_is_refused(
    house: House, name: str
) -> None:
    with pytest.raises(match="name"):
        async with connect(URL, name=name, stream=house.dial):
            pass


async def test_when_models_are_gone_the_rules_go_on(house: House) -> None:
    brain = house.server.brain
    assert brain is not None
    lane = brain.lane
    assert lane is not None
    lane.slots.of(MODEL).live = None
    async with (
        connect(URL, name="Ann", stream=house.dial) as ann,
        connect(URL, name="Ben", stream=house.dial) as ben,
    ):
        assert (await said(ann, "what the f.u.c.k"))[0] is ChatState.PUBLISHED
        assert await heard(ben) == "what the •••••••"
        assert (await said(ann, "kys"))[0] is ChatState.REJECTED
    assert await readiness(house) == (200, RULES_ALONE)
    assert "\natrium_brain_whole 0" in house.server.registry.render()


async def readiness(house: House) -> tuple[int, str]:
    """What a probe is told."""
    answer = await Caller(house.link()).ask("GET", "/readyz")
    return answer.status, answer.json["degraded"]


async def test_where_nothing_is_told_without_models_nobody_is_sent_while_they_do_not_run(
    tmp_path: Path,
) -> None:
    warm_up()
    world = write_world(tmp_path, "nursery")
    world.write_text(world.read_text() + '\n[moderation]\npolicy = "strict"\n')
    async with (
        open_house(worlds=[world], has_lanes=True, brain="on", device="cpu") as house,
        connect(URL, name="Ann", stream=house.dial),
    ):
        assert await readiness(house) == (200, "")
        assert "\natrium_brain_whole 1" in house.server.registry.render()
        brain = house.server.brain
        assert brain is not None
        assert brain.lane is not None
        live = brain.lane.slots.of(MODEL).live
        assert live is not None
        live.is_broken = True
        assert await readiness(house) == (503, MUTE)


class Remembering:
    """A reader and a moderator that are told to forget."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def forget_before(self, now_s: float) -> None:
        self.told.append(now_s)


async def test_what_people_did_is_forgotten_every_minute(autojump_clock: MockClock) -> None:
    reader, moderator_ = Remembering(), Remembering()
    given: Any = SimpleNamespace(reader=reader, moderator=moderator_)
    began_s = trio.current_time()
    with trio.move_on_after(2.5 * FORGET_S):
        await forget_now_and_then(given)
    assert reader.told == moderator_.told == [began_s + FORGET_S, began_s + 2 * FORGET_S]


async def test_a_strict_world_does_not_start_without_models(tmp_path: Path) -> None:
    world = write_world(tmp_path, "nursery")
    world.write_text(world.read_text() + '\n[moderation]\npolicy = "strict"\n')
    with pytest.raises(AtriumStartError, match="--brain on"):
        async with open_house(worlds=[world], has_lanes=True, brain="off"):
            pass


async def test_a_card_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AtriumStartError, match="--device cpu"):
        async with open_house(
            worlds=[write_world(tmp_path, "hall")], has_lanes=True, brain="on", device="cuda:63"
        ):
            pass


async def test_pictures_are_judged_as_soon_as_there_is_a_model(house: House) -> None:
    brain, lanes = house.server.brain, house.server.lanes
    assert brain is not None
    assert lanes is not None
    assert brain.lane is not None

    async def put(colour: str) -> str:
        """What became of a picture: its outcome, as the metrics tell it."""
        written = io.BytesIO()
        Image.new("RGB", (9, 7), colour).save(written, "PNG")
        data = written.getvalue()

        async def pieces() -> AsyncIterator[bytes]:
            await trio.lowlevel.checkpoint()
            yield data

        offer = Offer(len(data), uploader=UUID(int=7))
        with trio.fail_after(20), suppress(UploadRefused):
            await lanes.uploads.receive(offer, pieces())
        return house.server.registry.render()

    assert 'atrium_asset_pictures_total{showing="show",why="absent"} 1' in await put("red")
    net = TorchDevice("cpu").place(from_tensors(small_net(), {}))
    brain.lane.slots.of(PICTURES_MODEL).live = Loaded(PICTURES_MODEL, "1", net)
    text = await put("green")
    assert 'why="score"} 1' in text
    assert 'atrium_lane_jobs_total{class="pictures",outcome="done"} 1' in text
    brain.lane.slots.of(PICTURES_MODEL).live = None
    assert 'atrium_asset_pictures_total{showing="show",why="absent"} 2' in await put("blue")

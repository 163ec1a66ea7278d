"""Pictures are judged on the lane, one file after the other, by the version that is live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import torch
import trio
import trio.testing
from picture_samples import pictures, small_net

from atrium_server.assets.showing import NotJudged
from atrium_server.image_judge import PICTURES_SIGNATURE, LaneImageJudge
from atrium_server.inference.classes import WorkClass
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.lane import Lane
from atrium_server.inference.models.picture_net import from_tensors
from atrium_server.inference.outcomes import Outcome, Status
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Ended
from atrium_server.telemetry import Registry
from atrium_shared.limits import PICTURES_JUDGED_S_MAX

SEEN = [picture.tobytes() for picture in pictures()]


class House:
    """A lane with a small network by chance."""

    def __init__(self) -> None:
        self.ended: list[Ended] = []
        device = TorchDevice("cpu")
        self.lane = Lane(device, self.ended.append)
        self.registry = Registry()
        self.judge = LaneImageJudge(self.lane, self.registry)
        self.net = from_tensors(small_net(), {})
        self.loaded = Loaded("pictures", "1", device.place(self.net))

    def publish(self) -> None:
        self.lane.slots.of("pictures").live = self.loaded


@asynccontextmanager
async def running() -> AsyncGenerator[House]:
    house = House()
    async with trio.open_nursery() as nursery:
        await nursery.start(house.lane.run)
        yield house
        nursery.cancel_scope.cancel()


def test_it_asks_what_the_network_takes() -> None:
    assert from_tensors(small_net(), {}).signature == PICTURES_SIGNATURE


async def test_scores_are_those_of_the_network_in_order() -> None:
    async with running() as house:
        house.publish()
        found = await house.judge.judge(SEEN)
        with torch.inference_mode():
            own = house.net.run({"pixels": torch.from_numpy(pictures())})["scores"][:, 0].numpy()
        np.testing.assert_allclose(found, own, atol=1e-6)
        assert np.ptp(found) > 0.05
        runs = [each.batch for each in house.ended if each.batch is not None]
        assert {run.work for run in runs} == {WorkClass.PICTURES}
        assert "atrium_pictures_judge_seconds_count 1" in house.registry.render()


async def test_a_version_comes_and_goes() -> None:
    async with running() as house:
        assert not house.judge.is_there
        with pytest.raises(NotJudged, match="absent"):
            await house.judge.judge(SEEN)
        house.publish()
        assert house.judge.is_there
        assert len(await house.judge.judge(SEEN[:1])) == 1
        house.lane.slots.of("pictures").live = None
        assert not house.judge.is_there


async def test_a_broken_version_judges_nothing() -> None:
    async with running() as house:
        house.publish()
        house.loaded.is_broken = True
        assert house.judge.is_there, "it is there, so what it did not see is not let pass"
        with pytest.raises(NotJudged, match="absent"):
            await house.judge.judge(SEEN)


async def test_pictures_go_one_by_one_and_leave_the_lane_half_of_its_time(
    autojump_clock: trio.testing.MockClock
) -> None:
    house = House()
    under_way, begun = 0, list[float]()

    async def ask(*given: object, **named: object) -> Outcome:
        nonlocal under_way
        assert under_way == 0, "one after the other, whoever uploads"
        under_way += 1
        begun.append(trio.current_time())
        await trio.sleep(0.02)
        under_way -= 1
        return Outcome(Status.DONE, {"scores": np.array([[0.5]], np.float32)}, ran_s=0.02)

    house.publish()
    house.lane.ask = ask  # type: ignore[method-assign, assignment]
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(house.judge.judge, SEEN)
    assert len(begun) == 3 * len(SEEN)
    assert np.diff(begun) == pytest.approx(0.04)


async def test_what_gets_no_turn_is_not_judged(autojump_clock: trio.testing.MockClock) -> None:
    house = House()  # whose lane takes work, and has no thread to do it

    async def never(*given: object, **named: object) -> None:
        await trio.sleep_forever()

    house.publish()
    house.lane.ask = never  # type: ignore[method-assign, assignment]
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(_refused, house)
    assert trio.current_time() - began == pytest.approx(PICTURES_JUDGED_S_MAX), (
        "those who wait for their turn wait no longer"
    )


async def _refused(house: House) -> None:
    with pytest.raises(NotJudged, match="no time"):
        await house.judge.judge(SEEN)

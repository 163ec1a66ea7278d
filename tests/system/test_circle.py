"""The whole circle: a wrong verdict, a moderator who corrects it, a version that learnt it, and the
same line judged right, in a server that runs on meanwhile.

On the real clock, with the real model and the built-in lines. What the ticks pay is measured in
processor time of their own thread, so that it does not depend on who else uses the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from harness import House, open_house, write_world
from test_review import (
    caller,
    first,
    heard,
    is_told,
    moderators,
    order,
    person,
    said,
    until,
)

from atrium_client import ChatState
from atrium_server import moderator
from atrium_server.brain import Brain
from atrium_server.cli_models import go_live
from atrium_server.cli_models_make import measured
from atrium_server.moderation.findings import Action
from atrium_server.moderation.policy import POLICIES, PolicyName
from atrium_server.moderator import LABELS, MODEL
from atrium_server.persistence.model_rows import Op
from atrium_server.registry import catalogue as catalogues
from atrium_server.registry.catalogue import Catalogue, Who
from atrium_server.registry.stages import Order
from atrium_server.replication.replicator import warm_up
from atrium_server.reviewing import CONSENT, PASSED
from atrium_server.training import from_feedback
from atrium_server.training.fine_tuning import Lesson, fine_tune

THINGS = (
    "white trash bags", "Dick Van Dyke", "Moby Dick", "Bitche in Lorraine", "Essex", "Mr Hancock",
    "the queer history walk", "sex education at school", "the maze that I murdered yesterday",
)
FRAMES = (
    "I love {} so much", "tell me more about {} please", "{} in my garden", "we need {} again",
    "{} and the final boss",
)
HARMLESS = tuple(frame.format(thing) for thing in THINGS for frame in FRAMES)
"""Of which a model that goes by words and pieces of words takes some for what they are not."""
STANDARD = POLICIES[PolicyName.STANDARD]
NEW = "9.9"
WHO = Who("console", "the circle")
STRETCH_S_MAX = 0.01
"""What a tick of the server itself takes at most here, and much less than to load a version."""


@dataclass(eq=False)
class Stretches(trio.abc.Instrument):
    """How long tasks of the server keep the thread of the ticks at a stretch, in its own processor
    time; what the test itself does is a console's part, which is another process."""

    longest_s: float = 0.0
    _began_s: float = field(default_factory=time.thread_time)
    _test: Any = field(default_factory=trio.lowlevel.current_task)

    def before_task_step(self, task: Any) -> None:
        self._began_s = time.thread_time()

    def after_task_step(self, task: Any) -> None:
        if task is not self._test:
            self.longest_s = max(self.longest_s, time.thread_time() - self._began_s)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    warm_up()
    # However busy the machine is, the model has its say, and changes are noticed at once.
    monkeypatch.setattr(moderator, "VERDICT_S_MAX", 20.0)
    monkeypatch.setattr(catalogues, "POLL_S", 0.05)
    async with open_house(
        worlds=[write_world(tmp_path, "hall")], has_lanes=True, brain="on", device="cpu",
        data_dir=tmp_path / "data",
    ) as opened:
        yield opened


def brain_of(house: House) -> tuple[Brain, Catalogue]:
    brain = house.server.brain
    assert brain is not None
    assert brain.catalogue is not None
    return brain, brain.catalogue


async def wrongly_judged(brain: Brain) -> str:
    """A harmless line that rules let pass and the model of today does not."""
    for text in HARMLESS:
        decision = (await brain.moderator.check(text, STANDARD)).decision
        if decision.action >= Action.HOLD and decision.source.startswith("model:"):
            return text
    raise AssertionError("the model judges all of these right: find others")


async def taken(brain: Brain, is_so: Callable[[Any], bool]) -> None:
    """The running server uses what the records say."""
    assert brain.lane is not None
    with trio.fail_after(20):
        while not is_so(brain.lane.slots.of(MODEL)):
            await trio.to_thread.run_sync(threading.Event().wait, 0.005)


async def learnt(house: House, catalogue: Catalogue, folder: Path) -> None:
    """What `atrium models train moderation --with-feedback --on live` does, in a thread."""
    lanes = house.server.lanes
    assert lanes is not None
    rows = await from_feedback.read_all(lanes.feedback, MODEL)
    live = (await catalogue.standing(MODEL)).live
    assert live is not None
    package = await catalogue.load(MODEL, live)
    texts = from_feedback.as_texts(rows, LABELS)
    assert len(texts) == 1
    await trio.to_thread.run_sync(fine_tune, package, texts, Lesson(NEW, folder))


async def brought_live(brain: Brain, catalogue: Catalogue, folder: Path, text: str) -> None:
    """Publish, shadow, canary, gate, live; each is in use before the next."""
    live = (await catalogue.standing(MODEL)).live
    await catalogue.publish(folder, WHO)
    await catalogue.order(MODEL, Order(Op.SHADOW, NEW), WHO)
    await taken(brain, lambda slot: slot.shadow is not None and slot.shadow.version == NEW)
    assert (await brain.moderator.check(text, STANDARD)).decision.action >= Action.HOLD
    await catalogue.order(MODEL, Order(Op.CANARY, NEW, 0.5), WHO)
    await taken(brain, lambda slot: slot.canary is not None and slot.canary.version == NEW)
    assert brain.lane is not None
    slot = brain.lane.slots.of(MODEL)
    seen: dict[str, Action] = {}
    for who in map(str, range(64)):
        decision = (await brain.moderator.check(text, STANDARD, who)).decision
        seen[decision.model] = decision.action
        chosen = slot.choose(who)
        assert chosen is not None
        assert decision.model == chosen.label
    assert {version: action >= Action.HOLD for version, action in seen.items()} == {
        f"{MODEL}@{live}": True, f"{MODEL}@{NEW}": False
    }
    for version in (live, NEW):
        await measured(catalogue, MODEL, version)
    await go_live(catalogue, MODEL, NEW, WHO)
    await taken(brain, lambda slot: slot.live.version == NEW and slot.canary is None)


async def test_what_a_moderator_corrects_is_learnt_and_judged_right(
    house: House, tmp_path: Path
) -> None:
    brain, catalogue = brain_of(house)
    text, folder = await wrongly_judged(brain), tmp_path / "trained"
    mona, ada = await moderators(house), await caller(house, "Ada", **{CONSENT: True})
    stretches, host = Stretches(), house.host("hall")
    async with person(house, token=ada.token) as me, person(house, "Ben") as ben:
        assert (await said(me, text))[0] is ChatState.REJECTED
        wrong = await first(mona)
        assert (wrong["text"], wrong["model"] != "") == (text, True)
        done = await order(mona, wrong["id"], "correct", action="allow")
        assert done.json["is_learnt_from"] is True
        await until(me, is_told(PASSED))
        assert await heard(ben) == f"⏳ {text}"
        assert (await said(me, text))[0] is ChatState.REJECTED
        tick = host.world.tick
        trio.lowlevel.add_instrument(stretches)
        await learnt(house, catalogue, folder)
        await brought_live(brain, catalogue, folder, text)
        trio.lowlevel.remove_instrument(stretches)
        assert host.world.tick > tick
        assert stretches.longest_s < STRETCH_S_MAX
        assert (await said(me, text)) == (ChatState.PUBLISHED, "")
        assert await heard(ben) == text

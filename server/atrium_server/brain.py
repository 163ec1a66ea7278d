"""What thinks in a server: the reader, the lane with its models, the moderator. The wiring of it.

With the brain on, torch is imported and the built-in models are loaded and warmed before anybody is
let in; with it off torch is never imported, and the rules moderate alone. A world that is for
children (policy strict) does not start without models, because it publishes nothing unjudged.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from atrium_server.ai.service import EMOTION_MODEL, EMOTION_SIGNATURE, AiService
from atrium_server.config import AtriumStartError, Config
from atrium_server.deployment import Deployment, Hooks
from atrium_server.embedding import Embedder
from atrium_server.http.status import Trouble
from atrium_server.image_judge import PICTURES_MODEL, PICTURES_SIGNATURE
from atrium_server.inference.lane import Lane
from atrium_server.inference.numbers import LaneNumbers
from atrium_server.inference.worker import Ended
from atrium_server.models import Models
from atrium_server.moderation.findings import Decision
from atrium_server.moderation.policy import NAMES, POLICIES, Policy, PolicyName
from atrium_server.moderation.rules import TextRules
from atrium_server.moderation.sentences import refusal_of_name
from atrium_server.moderator import MODEL, SIGNATURE, Moderator, Tally
from atrium_server.persistence.database import Database
from atrium_server.reader import Reader
from atrium_server.registry.catalogue import Catalogue
from atrium_server.registry.errors import ModelError
from atrium_server.registry.opening import adopt, open_catalogue
from atrium_server.shadowing import Shadowing
from atrium_server.telemetry import Registry
from atrium_server.verdicts import Desk
from atrium_server.version import VERSION
from atrium_server.world_judge import WorldJudge

if TYPE_CHECKING:
    from atrium_server.inference.device import TorchDevice

logger = logging.getLogger(__name__)

EXPECTED: Final = {
    MODEL: SIGNATURE, EMOTION_MODEL: EMOTION_SIGNATURE,
    PICTURES_MODEL: PICTURES_SIGNATURE,
}
"""What versions of these must take and give."""
FORGET_S: Final = 60.0
RULES_ALONE: Final = (
    "Models do not run just now, so the rules moderate alone; the log says why. They are started"
    " again by themselves: if that goes on, look at the log and at `atrium models list`."
)
MUTE: Final = (
    "Models do not run just now, so in worlds with the policy strict nothing that is said is told;"
    " the log says why. They are started again by themselves: if that goes on, look at the log and"
    " at `atrium models list`."
)
WHOLE: Final = "atrium_brain_whole"
"""Gauge: 1 while all that is to think does, 0 while the rules moderate alone for want of models."""
HELD: Final = "atrium_moderation_held"
"""Gauge: lines that wait for a moderator."""
VERDICTS_TOTAL: Final = "atrium_moderation_verdicts_total"
"""Counter {action, category}: first verdicts on texts."""
VERDICT_SECONDS: Final = "atrium_moderation_verdict_seconds"
"""Histogram: from a text being submitted to its first verdict."""
NO_TORCH: Final = (
    "Models need torch, which is not installed: pip install torch, or start with --brain off, and"
    " the rules moderate alone."
)


@dataclass(slots=True)
class Brain:
    """That of one server."""

    moderator: Moderator
    reader: Reader
    ai: AiService
    """What the apps of worlds ask."""
    lane: Lane | None = None
    device: str = "none"
    """Where models run, for people."""
    catalogue: Catalogue | None = None
    """The versions of its models; None without models."""
    has_strict_worlds: bool = False
    """Whether some world publishes nothing that no model has judged."""
    desk: Desk = field(default_factory=lambda: Desk(time.time))
    """What was decided, for who puts it right."""

    def judge(self, world: str, policy: str) -> WorldJudge:
        """The judge of a world. Raises AtriumStartError for one that needs models without any."""
        found = policy_of(policy)
        if found.fails_closed and self.lane is None:
            raise AtriumStartError(
                f"The world {world!r} is moderated strictly and needs models, which are off: start"
                " with --brain on, or give it the policy standard."
            )
        self.has_strict_worlds |= found.fails_closed
        return WorldJudge(self.moderator, found, world, self.desk)

    async def refusal_of_name(self, name: str) -> str:
        """Why somebody may not be called so; empty if they may."""
        return refusal_of_name((await self.moderator.check(name, NAMES)).decision)

    def forget(self, person: str) -> None:
        """Remember nothing more of somebody who is gone for good."""
        self.desk.forget(person)
        self.reader.forget(person)

    @property
    def is_whole(self) -> bool:
        """Whether all that was to think does: the lane takes work, and a version answers."""
        if self.lane is None:
            return True
        live = self.lane.slots.of(MODEL).live
        return self.lane.is_up and live is not None and not live.is_broken

    def trouble(self) -> Trouble:
        """What to say of it to who asks whether clients may come."""
        if self.is_whole:
            return Trouble()
        return Trouble(MUTE, may_come=False) if self.has_strict_worlds else Trouble(RULES_ALONE)


def policy_of(name: str) -> Policy:
    """A policy by its name in a manifest."""
    return POLICIES[PolicyName(name)]


@asynccontextmanager
async def open_brain(
    config: Config, registry: Registry, database: Database | None
) -> AsyncGenerator[Brain]:
    """Open it: models are loaded and warm when the block begins.

    Raises AtriumStartError when models are asked for and cannot run, and StoreError.
    """
    rules = await trio.to_thread.run_sync(TextRules)
    reader = Reader(rules)
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        moderator = Moderator(reader, None, _tally(registry))
        brain = Brain(moderator, reader, AiService(reader, None))
        if _wants_models(config):
            device = await _device(config)
            observers, numbers = _Observers(), LaneNumbers(registry)
            lane = Lane(device, observers)
            numbers.read(lane)
            brain = Brain(
                Moderator(reader, lane, _tally(registry)), reader,
                AiService(reader, lane, Embedder(lane)), lane, device.name,
            )
            await nursery.start(lane.run)
            places = _Places(config.data_dir, database, lane, device)
            deployment, catalogue = await _deployed(places, registry)
            observers.all = [numbers, deployment.observe, Shadowing(lane, registry).observe]
            brain.catalogue = catalogue
            brain.moderator.observed = deployment.saw
            nursery.start_soon(catalogue.run, deployment.follow)
            nursery.start_soon(deployment.keep_budgets)
            logger.info("models run on %s", device.name)
        registry.gauge_read(WHOLE, "Whether models run, where they are to.", lambda: brain.is_whole)
        registry.gauge_read(HELD, "Lines that wait for a moderator.", lambda: brain.desk.held)
        nursery.start_soon(brain.moderator.run)
        nursery.start_soon(forget_now_and_then, brain)
        yield brain
        nursery.cancel_scope.cancel()


async def forget_now_and_then(brain: Brain) -> None:
    """What people have said lately is remembered for a minute, and for FORGET_S more."""
    while True:
        await trio.sleep(FORGET_S)
        brain.reader.forget_before(trio.current_time())
        brain.moderator.forget_before(trio.current_time())


def _wants_models(config: Config) -> bool:
    if config.brain == "off":
        return False
    if importlib.util.find_spec("torch") is not None:
        return True
    if config.brain == "on":
        raise AtriumStartError(NO_TORCH)
    logger.warning("%s", NO_TORCH)
    return False


async def _device(config: Config) -> TorchDevice:
    """Imports torch, which takes seconds."""

    def chosen() -> TorchDevice:
        from atrium_server.inference.device import DeviceError, How, TorchDevice

        how: Any = config.inference
        wanted: How = how
        try:
            return TorchDevice(config.device, wanted)
        except DeviceError as error:
            raise AtriumStartError(str(error)) from None

    return await trio.to_thread.run_sync(chosen)


class _Observers:
    """Who is told what every turn of the lane came to."""

    def __init__(self) -> None:
        self.all: list[Callable[[Ended], None]] = []

    def __call__(self, ended: Ended) -> None:
        for each in self.all:
            each(ended)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where versions are known, and where they run."""

    data_dir: Path
    database: Database | None
    lane: Lane
    device: TorchDevice


async def _deployed(places: _Places, registry: Registry) -> tuple[Deployment, Catalogue]:
    """What the records say is loaded and answers. Raises AtriumStartError and StoreError."""
    models = Models(places.lane, places.device)
    try:
        catalogue = await open_catalogue(places.data_dir, places.database)
        await adopt(catalogue, VERSION)
        deployment = Deployment(
            catalogue, places.lane.slots, Hooks(models.load, models.retire), EXPECTED, registry,
        )
        for name in await catalogue.store.sequences():
            await deployment.follow(await catalogue.standing(name))
    except ModelError as error:
        raise AtriumStartError(str(error)) from None
    if places.lane.slots.of(MODEL).live is None:
        raise AtriumStartError(
            f"No version of the model {MODEL!r} can run; the log says why. Start with --brain off"
            " to let the rules moderate alone, and mend it with `atrium models`."
        )
    return deployment, catalogue


def _tally(registry: Registry) -> Tally:
    took = registry.histogram(VERDICT_SECONDS, "From a text being submitted to its verdict.")
    late = registry.counter("atrium_moderation_late_total", "Texts on which the rules decided.")
    retracted = registry.counter("atrium_moderation_retracted_total", "Lines taken back later.")
    remembered = registry.counter("atrium_moderation_remembered_total", "Scores not asked again.")

    def decided(decision: Decision, took_s: float) -> None:
        registry.counter(
            VERDICTS_TOTAL, "First verdicts on texts.", action=decision.action.name.lower(),
            category=str(decision.category) if decision.category is not None else "none",
        ).add()
        took.observe(took_s)

    return Tally(decided, late.add, retracted.add, remembered.add)

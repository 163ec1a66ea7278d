"""The versions that a running server uses: as the records say, swapped between two batches.

Theory of operation
-------------------
::

    Catalogue.run --- Standing ---> follow: load and warm beside --- one assignment --> slot
         ^                                                                               |
         |                                                            Loaded on the lane v
         +---- order(DEMOTE) <--- keep_budgets <--- Watch <--- observe <--- what batches came to

`follow` is told how a model stands whenever that changes. What is new is read, checked, built and
warmed while the old versions answer; then live, canary, share and shadow are set together, without
a turn of the event loop in between. Jobs carry the version that they were submitted for, so nothing
is dropped. A version that only changes its stage is not loaded again.

What cannot be loaded changes nothing for those who ask: a live version that fails leaves the one
before in use here, a canary or shadow that fails is not used, and it is tried again later, for its
files may have been brought meanwhile. It is told in the log and by a gauge.

Budgets are watched for versions in use alone, so the first, slow runs of one that is being warmed
count against nobody. A version that breaks its budget is taken back for all servers, with the
sentence that says why as the reason; where there is none to go back to it stays, and that is told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.inference.outcomes import LaneError, Status
from atrium_server.inference.slots import Loaded, Slot, Slots
from atrium_server.inference.worker import Ended
from atrium_server.persistence.errors import StoreError
from atrium_server.persistence.model_rows import Op, Stage
from atrium_server.registry.catalogue import SERVER, Catalogue, Who
from atrium_server.registry.drift import Histograms, Reference, read_reference
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package
from atrium_server.registry.signature import Signature
from atrium_server.registry.stages import Order, Standing
from atrium_server.registry.watch import Batch, Watch, budget_of
from atrium_server.telemetry import Registry

BUDGETS_S: Final = 5.0
"""Between two looks at what broke its budget."""
AGAIN_S: Final = 60.0
"""A demotion that could not be written is tried again then."""
DRIFT_PSI: Final = "atrium_model_drift_psi"
"""Gauge {model, version, field}: how far scores have gone from those of its making."""
MISSING: Final = "atrium_model_versions_missing"
"""Gauge {model}: versions that should be in use here and cannot be."""

logger = logging.getLogger(__name__)
Load = Callable[[Package], Awaitable[Loaded]]


@dataclass(slots=True)
class Hooks:
    """What a deployment is told by and tells."""

    load: Load
    """Builds and warms a version. Raises ModelError or LaneError."""
    retire: Callable[[Loaded], None] = lambda loaded: None
    """It is in use no more."""
    clock: Callable[[], float] = trio.current_time
    """Seconds that only go forward."""


@dataclass(slots=True)
class _InUse:
    watch: Watch
    reference: Reference | None
    seen: Histograms = field(default_factory=Histograms)


class Deployment:
    """What is in use of all models of a server."""

    def __init__(
        self, catalogue: Catalogue, slots: Slots, hooks: Hooks,
        expected: Mapping[str, Signature] | None = None, metrics: Registry | None = None,
    ) -> None:
        """Args:
            expected: by the name of a model what its users need; of others anything is taken.
        """
        self._catalogue = catalogue
        self._slots = slots
        self._hooks = hooks
        self._expected = expected or {}
        self._metrics = metrics or Registry()
        self._in_use: dict[str, _InUse] = {}
        self._held_off: dict[str, float] = {}

    # --- following ---------------------------------------------------------------------------

    async def follow(self, standing: Standing) -> bool:
        """Use what should be used; whether all of it is. Raises StoreError."""
        slot = self._slots.of(standing.name)
        wanted = {stage: standing.at(stage) for stage in (Stage.LIVE, Stage.CANARY, Stage.SHADOW)}
        new: dict[str, Loaded | None] = {}
        for version in wanted.values():
            if version is not None and not self._answers(slot, version):
                new[version] = await self._made(standing.name, version)
        # From here on nothing waits. The lane may have put others in the place of broken ones.
        before = slot.versions()
        found = {loaded.version: loaded for loaded in before} | new
        live, canary, shadow = (found.get(version or "") for version in wanted.values())
        missing = [version for version in wanted.values() if version and not found.get(version)]
        slot.live = live or slot.live
        slot.canary = canary
        slot.canary_share = standing.canary_share
        slot.shadow = shadow
        after = slot.versions()
        for loaded in before:
            if loaded not in after:
                self._hooks.retire(loaded)
                if loaded.label not in {each.label for each in after}:
                    self._forget(loaded)
        self._metrics.gauge(
            MISSING, "Versions that should be in use and cannot be.", model=standing.name
        ).set(len(missing))
        logger.info("%s: %s", standing.name, ", ".join(
            f"{stage} {version}" for stage, version in wanted.items() if version))
        return not missing

    def _answers(self, slot: Slot, version: str) -> bool:
        return any(
            loaded.version == version and loaded.label in self._in_use
            for loaded in slot.versions()
        )

    async def _made(self, name: str, version: str) -> Loaded | None:
        """A version, built and warm; None if it cannot be had."""
        try:
            package = await self._catalogue.load(name, version, self._expected.get(name))
            reference = read_reference(package.document.content)
            loaded = await self._hooks.load(package)
        except (ModelError, LaneError) as error:
            logger.error("%s@%s cannot be used here: %s", name, version, error)
            return None
        self._in_use[loaded.label] = _InUse(Watch(loaded.label, budget_of(name)), reference)
        return loaded

    def _forget(self, loaded: Loaded) -> None:
        self._in_use.pop(loaded.label, None)

    # --- watching ----------------------------------------------------------------------------

    def observe(self, ended: Ended) -> None:
        """What a turn of the lane came to; for versions in use."""
        now_s = self._hooks.clock()
        counts: dict[Loaded, list[int]] = {}
        for work, outcome in ended.outcomes:  # thousands, of one version or two
            count = counts.get(work.loaded)
            if count is None:
                count = counts[work.loaded] = [0, 0, 0]
            rows = work.job.rows
            count[0] += rows
            if outcome.status is Status.FAILED:
                count[1] += rows
            elif outcome.status is Status.LATE:
                count[2] += rows
        for loaded, (rows, failed, late) in counts.items():
            self._note(loaded.label, Batch(rows, failed, late), now_s)
        if ended.batch is not None:
            self._note(ended.batch.label, Batch(0, run_s=ended.batch.took_s), now_s)

    def _note(self, label: str, batch: Batch, now_s: float) -> None:
        known = self._in_use.get(label)
        if known is not None:
            known.watch.note(batch, now_s)

    def saw(
        self, loaded: Loaded, scores: npt.NDArray[np.floating[Any]],
        sizes: npt.NDArray[np.int64],
    ) -> None:
        """What a version said of rows of such sizes, for its drift."""
        known = self._in_use.get(loaded.label)
        if known is not None:
            known.seen.count_sizes(sizes)
            known.seen.count_scores(scores)

    async def keep_budgets(self) -> None:
        """Take back what breaks its budget, for ever, and tell how far scores have gone."""
        while True:
            await trio.sleep(BUDGETS_S)
            for name in list(self._slots.by_name):
                for loaded in self._slots.of(name).versions():
                    await self._keep_budget(loaded)

    async def _keep_budget(self, loaded: Loaded) -> None:
        known = self._in_use.get(loaded.label)
        if known is None:
            return
        self._tell_drift(loaded, known)
        now_s = self._hooks.clock()
        why = known.watch.broken(now_s)
        if why is None or now_s < self._held_off.get(loaded.label, now_s):
            return
        self._held_off[loaded.label] = now_s + AGAIN_S
        try:
            await self._catalogue.order(
                loaded.name, Order(Op.DEMOTE, loaded.version), Who(SERVER, why)
            )
        except (ModelError, StoreError) as error:
            logger.error("%s It stays in use: %s", why, error)
        else:
            logger.error("%s It was taken back.", why)

    def _tell_drift(self, loaded: Loaded, known: _InUse) -> None:
        if known.reference is None:
            return
        for drift in known.seen.against(known.reference):
            self._metrics.gauge(
                DRIFT_PSI, "How far scores have gone from those of its making.",
                model=loaded.name, version=loaded.version, field=drift.field,
            ).set(drift.psi)

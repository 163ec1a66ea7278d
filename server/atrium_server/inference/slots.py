"""Which version of each model answers whom. PURE.

Theory of operation
-------------------
A `Loaded` is one version of a model, loaded and warm. Jobs carry the one that they are for, so a
swap is one assignment: jobs that were submitted before it run on the version that they were
submitted for, jobs after it on the new one, and nothing is dropped or waits. What nobody refers to
any more is freed by itself.

A slot has up to three versions: the live one; a canary, which answers a share of those who ask,
always the same ones, chosen by a hash of who they are; and a shadow, which is asked too when the
live one has answered, and whose answers are only compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from atrium_server.inference.rows import Array, Bag, Rows
from atrium_server.registry.signature import Signature


class Model(Protocol):
    """What can run: modules of `inference.models` on a device, and stand-ins in tests."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """All rows of a batch; bags come as two inputs, NAME and NAME_offsets. May raise anything.
        """
        ...


@dataclass(eq=False, slots=True)
class Loaded:
    """One version of a model that can run. Two that are loaded from the same files are two."""

    name: str
    version: str
    model: Model
    is_broken: bool = False
    """It failed, and is to be loaded anew."""
    is_retired: bool = False
    """It is in use no more; at most what was submitted for it still runs."""
    rows_of: Callable[[Sequence[str]], Rows] | None = None
    """Makes rows of texts, where a version brings its own vocabulary. Blocks."""
    sizes: Sequence[int] = ()
    """Of bags: a job whose longest row is up to one of these is run with such jobs only."""

    def size_of(self, rows: Rows) -> int:
        """The one of `sizes` for these rows, the last one for longer ones; 0 without sizes."""
        if not self.sizes:
            return 0
        longest = max(
            (int(np.diff(bag.offsets).max(initial=0)) for bag in rows.values()
             if isinstance(bag, Bag)), default=0,
        )
        return next((size for size in self.sizes if size >= longest), self.sizes[-1])

    @property
    def label(self) -> str:
        """As verdicts name it."""
        return f"{self.name}@{self.version}"


@dataclass(slots=True)
class Slot:
    """The versions of one model that are in use."""

    live: Loaded | None = None
    canary: Loaded | None = None
    canary_share: float = 0.0
    """Of those who ask, 0 to 1."""
    shadow: Loaded | None = None

    def choose(self, who: str = "") -> Loaded | None:
        """The version that answers somebody; the live one for nobody in particular."""
        canary = self.canary
        if canary is None or canary.is_broken or not who:
            return self.live
        return canary if zlib.crc32(who.encode()) / 2**32 < self.canary_share else self.live

    def versions(self) -> list[Loaded]:
        """All that are loaded."""
        return [each for each in (self.live, self.canary, self.shadow) if each is not None]


@dataclass(slots=True)
class Slots:
    """The slots of all models, by name."""

    by_name: dict[str, Slot] = field(default_factory=dict[str, Slot])

    def of(self, name: str) -> Slot:
        """That of a model; an empty one if it is not known yet."""
        return self.by_name.setdefault(name, Slot())

    def replace(self, old: Loaded, new: Loaded | None) -> None:
        """Wherever `old` is in use, `new` is from now on."""
        for slot in self.by_name.values():
            if slot.live is old:
                slot.live = new
            if slot.canary is old:
                slot.canary = new
            if slot.shadow is old:
                slot.shadow = new

    def all(self) -> list[Loaded]:
        """Every version that is in use."""
        return [each for slot in self.by_name.values() for each in slot.versions()]

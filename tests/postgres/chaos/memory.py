"""What a builder remembers of its sessions, and how those in a crowd find and hear of things."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from atrium_shared import edits
from atrium_shared.messages import EditState

SILENCE_S_MAX = 8.0
EDITS_PER_S = 4.0
FINAL = frozenset({EditState.DURABLE, EditState.REVERTED, EditState.REFUSED})


@dataclass(slots=True)
class Asked:
    """One edit as its author knows of it."""

    edit: edits.Edit
    state: EditState | None = None
    """The last that was told; None before the first answer."""
    code: int = 0
    reason: str = ""
    times: int = 0

    @property
    def is_open(self) -> bool:
        return self.state not in FINAL


@dataclass(slots=True)
class Memory:
    """One session, as long as it can be resumed, and what was asked in it."""

    uuid: uuid.UUID
    asked: dict[int, Asked] = field(default_factory=dict[int, Asked])
    open: dict[int, Asked] = field(default_factory=dict[int, Asked])
    newest: int = 0


class Whereabouts:
    """Where the server is, if it is anywhere just now."""

    def __init__(self) -> None:
        self._address: tuple[str, int] | None = None
        self._known = trio.Event()

    def tell(self, address: tuple[str, int] | None) -> None:
        """It is there from now on; None: nowhere."""
        self._address = address
        if address is None:
            if self._known.is_set():
                self._known = trio.Event()
        else:
            self._known.set()

    async def find(self) -> tuple[str, int]:
        """Wait until it is somewhere."""
        while self._address is None:
            await self._known.wait()
        return self._address


class Bell:
    """Lets others wait for what may have become true."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Something has happened: who waits looks again."""
        rung, self._rung = self._rung, trio.Event()
        rung.set()

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait for it. Raises trio.TooSlowError."""
        with trio.fail_after(seconds):
            while not holds():
                await self._rung.wait()


@dataclass(slots=True)
class Habits:
    """What the builders of a crowd have in common."""

    edits_per_s: float = EDITS_PER_S
    silence_s: float = SILENCE_S_MAX
    walks: bool = False
    avatars_max: int = 1

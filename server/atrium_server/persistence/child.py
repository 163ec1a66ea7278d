"""A program that we start, watch and end: Postgres itself, or one of its tools.

Theory of operation
-------------------
A child gets almost nothing of ours: no environment (there are secrets in it, and `PG*` variables
would change what Postgres does), no terminal, a session of its own (so that Ctrl-C in the
terminal reaches us alone) and the descriptors that it was handed. `launcher` sees to its user and
to its end. It must be started by a thread that lives as long as it may run, which is why `start`
is an ordinary function that takes a few milliseconds, and not a call into a thread of trio's.

Its end is waited for without a thread: a `pidfd` becomes readable. A second descriptor tells when
its descendants have ended as well: the child and all its children hold the writing end of a pipe
in which nobody ever writes. That is what must be awaited before the same cluster is started
again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import trio

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the programs run as. `dropped`: we are root, and they are not."""

    uid: int
    gid: int
    name: str
    dropped: bool


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a child gets of ours: input, where its messages go, and descriptors to hold open."""

    log: int
    stdin: IO[bytes] | int = subprocess.DEVNULL
    held: tuple[int, ...] = ()


class Child:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], family: int) -> None:
        self._process = process
        self._family = family
        self._pidfd = _pidfd(process.pid)

    @classmethod
    def start(cls, command: Sequence[str | Path], who: Identity, gets: Inherited) -> Child:
        """Start it. Raises OSError."""
        uid, gid = (who.uid, who.gid) if who.dropped else (-1, -1)
        family, held_by_family = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), str(uid), str(gid),
                 *command],
                stdin=gets.stdin, stdout=subprocess.DEVNULL, stderr=gets.log, cwd="/",
                env=ENVIRONMENT, pass_fds=(*gets.held, held_by_family), start_new_session=True,
            )
        except BaseException:
            os.close(family)
            raise
        finally:
            os.close(held_by_family)
        return cls(process, family)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """None while it runs; the exit status, or minus the signal that ended it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Wait for its end; returns the status."""
        while (status := self._process.poll()) is None:
            if self._pidfd >= 0:
                await trio.lowlevel.wait_readable(self._pidfd)
            else:
                await trio.sleep(POLL_S)
        return status

    async def wait_family(self) -> None:
        """Wait until all of its descendants have ended, too."""
        await self.wait()
        await trio.lowlevel.wait_readable(self._family)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    async def end(self, *steps: tuple[signal.Signals, float]) -> bool:
        """Send signals in turn, each with its time to work; returns whether all have ended."""
        for number, seconds in steps:
            self.send(number)
            with trio.move_on_after(seconds):
                await self.wait_family()
                return True
        return False

    def close(self) -> None:
        """Let go of the descriptors. The child must have ended, or be given up."""
        os.close(self._family)
        if self._pidfd >= 0:
            os.close(self._pidfd)


def _pidfd(pid: int) -> int:
    """-1 where the system has none; `wait` asks again and again then."""
    if sys.platform != "linux":
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def told(status: int) -> str:
    """How it ended, for people."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"

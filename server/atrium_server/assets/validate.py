"""Runs the check of a file in a worker process, and makes sure that it ends.

Theory of operation
-------------------
A check is a process of its own (`worker` says what it may do: nearly nothing). Here is the outside
of it: the file as its standard input, already open; an environment that has nothing of ours; an
empty folder to be in; a session of its own; a wall clock. A pipe takes the answer, and as much of
it as an answer can be. Whatever way the check ends, by an answer, out of time, because who asked
has been cancelled, the process is killed and waited for before `check` returns, so none is left
behind and its place is free.

At most ASSET_CHECKS_MAX run at once, for the processors belong to the worlds; a few may wait, in
the order in which they came, and the next one is refused at once.

A worker that dies says something about the file, not about the server: the file is refused.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import trio

from atrium_server.assets.verdict import SUFFIXES, WITH_PICTURES, Verdict
from atrium_shared.errors import Overload
from atrium_shared.limits import (
    ASSET_ANSWER_BYTES_MAX,
    ASSET_CHECK_S_MAX,
    ASSET_CHECKS_MAX,
    ASSET_CHECKS_WAITING_MAX,
    ASSET_PICTURES_BYTES_MAX,
)

COMMAND: Final = (
    sys.executable, "-I", "-B", "-X", "faulthandler=0", "-m", "atrium_server.assets.worker",
)
_RETRY_MS: Final = 5_000
_PIECE_BYTES: Final = 65_536
_log = logging.getLogger("atrium.assets")


class Validator:
    """Checks files, a few at a time."""

    def __init__(self, empty: Path, command: Sequence[str] = COMMAND) -> None:
        """`empty` is a folder with nothing in it, where the processes run."""
        self._empty = empty
        self._command = command
        self._limiter = trio.CapacityLimiter(ASSET_CHECKS_MAX)

    @property
    def waiting(self) -> int:
        """How many checks wait for their turn."""
        return self._limiter.statistics().tasks_waiting

    async def check(self, path: Path, *, with_pictures: bool = False) -> Verdict:
        """The verdict on a file, with what a network is shown of it if that is asked. Raises
        Overload when too many wait already.
        """
        if self.waiting >= ASSET_CHECKS_WAITING_MAX:
            raise Overload("Too many files are being checked now: try again soon.", _RETRY_MS)
        async with self._limiter:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return await self._run(fd, with_pictures)
            finally:
                os.close(fd)

    async def _run(self, fd: int, with_pictures: bool) -> Verdict:
        answer = bytearray()
        answer_bytes_max = ASSET_PICTURES_BYTES_MAX if with_pictures else ASSET_ANSWER_BYTES_MAX
        process = await self._start(fd, [WITH_PICTURES] * with_pictures)
        assert process.stdout is not None
        with trio.move_on_after(ASSET_CHECK_S_MAX) as clock:
            try:
                while len(answer) <= answer_bytes_max:
                    piece = await process.stdout.receive_some(_PIECE_BYTES)
                    if not piece:
                        await process.wait()
                        break
                    answer += piece
            finally:
                await _end(process)
        if clock.cancelled_caught:
            return Verdict(
                refusal="Checking this file takes too long: make it smaller or simpler."
            )
        if len(answer) > answer_bytes_max:
            answer.clear()
        return _verdict(bytes(answer), process.returncode)

    async def _start(self, fd: int, words: Sequence[str]) -> trio.Process:
        try:
            return await trio.lowlevel.open_process(
                [*self._command, *words], stdin=fd, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=self._environment(), cwd=self._empty,
                start_new_session=True,
            )
        except OSError as error:
            _log.error("no process for checking assets could be started", exc_info=error)
            raise Overload("Files cannot be checked now: try again soon.", _RETRY_MS) from None

    def _environment(self) -> dict[str, str]:
        """One thread for numpy, and no folder for compiled kernels, which are not used."""
        return {
            "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(self._empty),
        }


async def _end(process: trio.Process) -> None:
    """Kill it and all that it may have started, and wait."""
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()


def _verdict(answer: bytes, status: int | None) -> Verdict:
    if status == 0 and answer:
        try:
            verdict = msgspec.json.decode(answer, type=Verdict)
        except msgspec.DecodeError:
            verdict = Verdict()
        if verdict.bug:
            _log.error("the check of an asset failed: %s", verdict.bug)
        if verdict.bug:
            return msgspec.structs.replace(verdict, is_certain=False)
        if verdict.refusal or (
            # What a file that has taken its process over would like to be served as.
            verdict.facts is not None and verdict.facts.media_type in SUFFIXES
        ):
            return verdict
    _log.warning("a process that checked an asset ended with status %s", status)
    return Verdict(
        refusal="This file could not be checked, it needs too much time or memory, or is damaged:"
        " make it smaller, or save it again."
    )

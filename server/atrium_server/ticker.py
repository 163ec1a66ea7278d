"""Absolute deadlines: when the next tick is due, and how late it began.

The n-th tick is due at `start + n * period`, whatever happened before, so rounding and delays do
not add up. After a stall at most CATCH_UP_TICKS_MAX ticks run back to back and the others are
skipped: the world loses time rather than falling into a spiral of catching up.

On Linux the wait is on a timerfd, whose wake is about three times as punctual as that of a timeout
of epoll with its milliseconds. It is armed anew for each tick, which also clears it, through calls
that keep the GIL: a `read` would let go of it and have to win it back. Elsewhere, and under a
test's clock, it is `trio.sleep_until`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Protocol

import trio

from atrium_shared.limits import CATCH_UP_TICKS_MAX

_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME, _CLOCK_MONOTONIC = 0o4000, 0o2000000, 1, 1


class Sleeper(Protocol):
    """Waits until a time of trio's clock."""

    async def until(self, deadline: float) -> None: ...

    def close(self) -> None: ...


class TrioSleeper:
    """The portable one."""

    async def until(self, deadline: float) -> None:
        await trio.sleep_until(deadline)

    def close(self) -> None:
        pass


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerfdSleeper:
    """One timerfd. Raises OSError where there is none."""

    def __init__(self) -> None:
        # PyDLL keeps the GIL during calls.
        self._libc = ctypes.PyDLL(None, use_errno=True)
        if not hasattr(self._libc, "timerfd_create"):
            raise OSError("this system has no timerfd")
        self._fd = int(
            self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        )
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    async def until(self, deadline: float) -> None:
        import time

        # trio's clock is perf_counter plus an offset; the timer runs on CLOCK_MONOTONIC.
        at = time.monotonic() + max(deadline - trio.current_time(), 1e-6)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(int(at), int(at % 1.0 * 1e9)))
        failed = self._libc.timerfd_settime(
            self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None
        )
        if failed:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def best_sleeper() -> Sleeper:
    """The most punctual sleeper of this system."""
    if sys.platform == "linux":
        try:
            return TimerfdSleeper()
        except OSError:
            pass
    return TrioSleeper()


class Ticks:
    """(deadline, ticks skipped before it) for ever; each is awaited first.

    An iterator and no generator: it holds nothing that would have to be closed when a tick fails.
    """

    def __init__(self, period_s: float, sleeper: Sleeper) -> None:
        self._period_s, self._sleeper = period_s, sleeper
        self._start = trio.current_time()
        self._tick = 0

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> tuple[float, int]:
        due = int((trio.current_time() - self._start) / self._period_s)
        skipped = max(0, due - self._tick - CATCH_UP_TICKS_MAX)
        self._tick += 1 + skipped
        deadline = self._start + self._tick * self._period_s
        if deadline > trio.current_time():
            await self._sleeper.until(deadline)
        else:
            await trio.lowlevel.checkpoint()
        return deadline, skipped

"""The bridge from trio to the one thread in which asyncio runs, for the database's sake.

Theory of operation
-------------------
asyncpg and SQLAlchemy's async engine speak asyncio only. A thread of its own runs an asyncio
loop in which they live; no other part of the server ever sees asyncio. `Bridge.call` starts a
coroutine there and waits for its outcome, which comes back as it is: the result, or the very
exception that was raised.

Cancelling a call cancels the asyncio task and then waits for what really happened: asyncpg sends
a cancel request and hands the connection back in order. If the work had been finished first, its
result is returned, and the cancellation shows at the caller's next checkpoint. With `shield` the
call cannot be cancelled at all, for what must not be left half-known.

The number of calls at once is bounded by a trio.CapacityLimiter, which is as large as the pool
of connections: who waits, waits in trio, where it can be cancelled.

All book-keeping happens in trio's thread. The other thread only ever posts to it, and what it
posts after trio has ended (RunFinishedError) concerns nobody any more. If the thread dies, every
waiting call fails and the nursery that was handed in, the root of the server, is ended by
BridgeCrashed: without a store the server must not go on in silence.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import outcome
import trio

from atrium_server.tick_gate import GatedSelector

CALLS_MAX: Final = 8
JOIN_S_MAX: Final = 5.0
"""How long the thread may take to end once it was told to."""

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Outcome = outcome.Outcome[Any]


class BridgeCrashed(Exception):
    """The database thread ended by itself, which is a bug."""


class BridgeClosed(Exception):
    """A call was made, or was still under way, when the bridge was closed, which is a bug."""


class _Call:
    """One call under way; `task` belongs to the other thread."""

    __slots__ = ("caller", "task")

    def __init__(self, caller: trio.lowlevel.Task) -> None:
        self.caller = caller
        self.task: asyncio.Task[None] | None = None


class Bridge:
    """Runs coroutines in the asyncio thread; made by `open_bridge`."""

    def __init__(self, calls_max: int) -> None:
        self._limiter = trio.CapacityLimiter(calls_max)
        self._trio = trio.lowlevel.current_trio_token()
        self._loop = asyncio.SelectorEventLoop(GatedSelector())
        self._stop = asyncio.Event()  # not `loop.stop`, which could hit the loop's own tidying up
        self._thread = threading.Thread(target=self._run, name="database")
        self._calls: set[_Call] = set()
        self._is_closing = False
        self._ended = trio.Event()
        self._crash: BaseException | None = None

    # --- in trio's thread ------------------------------------------------------------------

    async def call(
        self,
        function: Callable[[*_Ts], Awaitable[_T]],
        *arguments: *_Ts,
        shield: bool = False,
    ) -> _T:
        """Await `function(*arguments)` in the asyncio thread and return what it returns."""
        work = functools.partial(function, *arguments)
        result: list[object] = []
        async with self._limiter:
            with trio.CancelScope(shield=shield):
                result.append(await self._wait_for(work))
        return cast(_T, result[0])

    async def _wait_for(self, work: Callable[[], Awaitable[Any]]) -> object:
        if self._ended.is_set() or self._is_closing:
            raise BridgeClosed("the bridge to the database is closed")
        call = _Call(trio.lowlevel.current_task())
        self._calls.add(call)
        self._loop.call_soon_threadsafe(self._start, call, work)
        raise_cancel: list[Callable[[], None]] = []

        def abort(reason: Callable[[], None]) -> trio.lowlevel.Abort:
            raise_cancel.append(reason)
            # The loop may be gone in the moment between the thread's end and the news of it.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._cancel, call)
            return trio.lowlevel.Abort.FAILED  # wait for what really happens

        try:
            return await trio.lowlevel.wait_task_rescheduled(abort)
        except asyncio.CancelledError:
            if raise_cancel:
                raise_cancel[0]()
            raise  # somebody cancelled it within the other thread

    def _finish(self, call: _Call, result: _Outcome) -> None:
        if call in self._calls:
            self._calls.remove(call)
            trio.lowlevel.reschedule(call.caller, result)

    def _end(self, error: BaseException | None) -> None:
        """The loop has ended: with an error when nobody asked for it."""
        self._crash = error
        self._ended.set()
        for call in [*self._calls]:
            failure = (
                BridgeClosed("the bridge to the database was closed during a call")
                if self._is_closing
                else BridgeCrashed("the database thread ended by itself")
            )
            failure.__cause__ = error
            self._finish(call, outcome.Error(failure))

    async def _watch(self) -> None:
        await self._ended.wait()
        if not self._is_closing:
            raise BridgeCrashed("the database thread ended by itself") from self._crash

    def begin(self, nursery: trio.Nursery) -> None:
        """Start the thread; its crash ends `nursery`."""
        self._thread.start()
        nursery.start_soon(self._watch)

    async def close(self) -> None:
        """End the thread; what still runs in it is cancelled."""
        self._is_closing = True
        with suppress(RuntimeError):  # it has crashed
            self._loop.call_soon_threadsafe(self._stop.set)
        with trio.move_on_after(JOIN_S_MAX, shield=True):
            await trio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
        if self._thread.is_alive():
            raise BridgeCrashed(f"the database thread did not end within {JOIN_S_MAX:g} s")

    # --- in the asyncio thread -------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._asked_to_stop())
            except BaseException as crash:
                error = crash  # it is raised in trio's thread, where somebody sees it
            # Before what still runs here is cancelled: that is a consequence, not the reason.
            self._post(self._end, error)

    async def _asked_to_stop(self) -> None:
        await self._stop.wait()

    def _start(self, call: _Call, work: Callable[[], Awaitable[Any]]) -> None:
        call.task = self._loop.create_task(self._work(call, work))
        call.task.add_done_callback(functools.partial(self._unstarted, call))

    def _cancel(self, call: _Call) -> None:
        if call.task is not None:
            call.task.cancel()

    async def _work(self, call: _Call, work: Callable[[], Awaitable[Any]]) -> None:
        self._post(self._finish, call, await outcome.acapture(work))

    def _unstarted(self, call: _Call, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step never ran, and posted nothing."""
        if task.cancelled():
            self._post(self._finish, call, outcome.Error(asyncio.CancelledError()))

    def _post(self, function: Callable[[*_Ts], object], *arguments: *_Ts) -> None:
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(function, *arguments)


@asynccontextmanager
async def open_bridge(
    nursery: trio.Nursery, calls_max: int = CALLS_MAX
) -> AsyncGenerator[Bridge]:
    """A bridge that lives as long as the block; a crash of its thread ends `nursery`."""
    bridge = Bridge(calls_max)
    bridge.begin(nursery)
    try:
        yield bridge
    finally:
        await bridge.close()

"""The life of one world: when it ticks, and what becomes of it after a failure.

A bug in a tick ends this world, loudly: its inputs are dumped, its sessions are told and closed
with 1011, and it begins again with what the store has of it, WORLD_RESTARTS_MAX times; other worlds
never notice. A world that another server has taken over is over here: nothing that is done to it
could be saved. Its keeper and the maker of its scenes live as long as it does.
"""

from __future__ import annotations

import logging
from collections import deque

import trio

from atrium_server import garbage
from atrium_server.host import WorldHost
from atrium_server.keeper import NOTHING_KEPT
from atrium_server.persistence.errors import Fenced, Unavailable
from atrium_server.tick_gate import GATE
from atrium_server.ticker import Ticks
from atrium_shared import limits
from atrium_shared.props import PropError

logger = logging.getLogger(__name__)
RETRY_S = 1.0


class Supervisor:
    """Runs one host."""

    def __init__(self, host: WorldHost) -> None:
        self._host = host
        self._failed_at: deque[float] = deque(maxlen=limits.WORLD_RESTARTS_MAX + 1)

    async def run(self) -> None:
        """Tick, save, and make scenes, until cancelled, lost, or failed too often."""
        host = self._host
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.parts.keeper.run, self._lose)
            nursery.start_soon(self._attend)
            nursery.start_soon(host.parts.scenes.run, lambda: host.world)
            host.record()
            await self._tick_on()
            nursery.cancel_scope.cancel()

    async def _attend(self) -> None:
        try:
            await self._host.parts.attendance.run()
        except Fenced:
            return  # the keeper tells of it

    def _lose(self, sentence: str) -> None:
        """Another server has the world: everybody out, and nothing more is done here."""
        host = self._host
        logger.error("world %s is lost: %s", host.name, sentence)
        host.state.is_lost = host.state.failed = True
        host.dismiss("Another server has taken over this world: please join again.")

    async def _tick_on(self) -> None:
        host = self._host
        parts, metrics = host.parts, host.parts.metrics
        sleeper, period_s = parts.sleeper(), 1.0 / host.manifest.tick_rate_hz
        try:
            async for deadline, skipped in Ticks(period_s, sleeper):
                if host.state.is_lost:
                    return
                metrics.ticks_skipped.add(skipped)
                with GATE.shut():
                    is_well = self._tick(deadline)
                if not is_well:
                    if host.state.failed:
                        logger.error("world %s failed too often and stays down", host.name)
                        return
                    if not await self._load_again():
                        return
                    host.record()
                GATE.expect(host.name, deadline + period_s - trio.current_time())
                garbage.look()  # now there is the most time until the next tick
        finally:
            GATE.forget(host.name)
            sleeper.close()

    def _tick(self, deadline: float) -> bool:
        """One tick, after what the sockets have; False when the world has failed in it."""
        host, parts, metrics = self._host, self._host.parts, self._host.parts.metrics
        began = trio.current_time()
        metrics.late_seconds.observe(began - deadline)
        parts.collect()  # the network's own: what fails there is no fault of this world
        started = trio.current_time()
        metrics.collect_seconds.observe(started - began)
        try:
            host.tick(int((deadline - parts.epoch) * 1000) & 0xFFFFFFFF)
        except Exception:
            # The one boundary of this world: a bug in its tick is only its own.
            logger.exception("world %s failed in tick %d", host.name, host.world.tick)
            self._fail(deadline)
            return False
        host.state.last_tick_at = trio.current_time()
        metrics.tick_seconds.observe(host.state.last_tick_at - started)
        return True

    async def _load_again(self) -> bool:
        """Begin with what the store has, however long it does not answer; False when it is over."""
        host = self._host
        while True:
            try:
                await host.load()
                return True
            except Unavailable as error:
                logger.warning("world %s waits for its store: %s", host.name, error)
                await trio.sleep(RETRY_S)
            except Fenced as error:
                self._lose(str(error))
                return False
            except PropError as error:
                logger.error("world %s cannot be loaded and stays down: %s", host.name, error)
                host.state.failed = True
                return False

    def _fail(self, now: float) -> None:
        """Tell everybody, begin anew, and keep what led here."""
        host = self._host
        inputs = host.parts.recorder.recent()
        host.dismiss("The world had to be restarted: please join again.")
        host.state.restarts += 1
        host.parts.metrics.restarts.add()
        self._failed_at.append(now)
        host.state.failed = len(self._failed_at) > limits.WORLD_RESTARTS_MAX and (
            now - self._failed_at[0] < limits.WORLD_RESTARTS_S
        )
        host.begin(NOTHING_KEPT)
        # Written here and now, REPLAY_BYTES_MAX at most: the process may not live much longer.
        host.parts.dump(host.name, inputs)

"""Makes the hosts of all worlds, from their manifests to what the store has of them."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from atrium_server.attendance import Attendance
from atrium_server.brain import Brain
from atrium_server.config import AtriumStartError, Config
from atrium_server.host import WorldHost
from atrium_server.host_parts import HostMetrics, HostParts
from atrium_server.judge import AllowAll, Judge
from atrium_server.keeper import Keeper
from atrium_server.net.gateway import Gateway
from atrium_server.persistence.chat_store import SqlChatStore
from atrium_server.persistence.history import WorldHistory
from atrium_server.persistence.open import Stores, claim_world
from atrium_server.persistence.session_writer import SessionNumbers
from atrium_server.persistence.world_writer import WriterNumbers
from atrium_server.recording import Recorder, create_recording
from atrium_server.returning import expect_back
from atrium_server.safety import SafetyLanes
from atrium_server.scenes import Scenes
from atrium_server.scribe import Scribe
from atrium_server.seats import SeatState
from atrium_server.telemetry import (
    COLLECT_SECONDS,
    CORRECTIONS_TOTAL,
    POSES_TOTAL,
    SESSIONS,
    SNAPSHOT_BYTES_TOTAL,
    SNAPSHOTS_SKIPPED_TOTAL,
    SNAPSHOTS_TOTAL,
    TICK_LATE_SECONDS,
    TICK_SECONDS,
    WORLD_RESTARTS_TOTAL,
    Counter,
    Registry,
)
from atrium_server.ticker import Sleeper
from atrium_server.tokens import TokenSigner
from atrium_server.trace import SendTrace
from atrium_server.voice_relay import IceSettings
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.manifest_reader import ManifestError
from atrium_shared import limits

logger = logging.getLogger(__name__)
DUMPS_PER_WORLD_MAX = 3


@dataclass(slots=True)
class HostMaker:
    """Makes the hosts, each with its own counters, recorder and keeper."""

    config: Config
    gateway: Gateway
    registry: Registry
    signer: TokenSigner
    epoch: float
    sleeper: Callable[[], Sleeper]
    scribe: Scribe | None = None
    safety: SafetyLanes = field(default_factory=SafetyLanes)
    recorders: list[Recorder] = field(default_factory=list[Recorder])
    trace: SendTrace | None = None
    brain: Brain | None = None

    def __post_init__(self) -> None:
        if self.config.send_trace_file:
            self.trace = SendTrace(self.config.send_trace_file)

    async def hosts(self, stores: Stores) -> list[WorldHost]:
        """The hosts of all worlds, loaded.

        Raises AtriumStartError for a world that cannot be made, and what `claim_world` and
        `WorldHost.load` raise.
        """
        read: dict[str, tuple[str, Manifest]] = {}
        for path in self.config.worlds:
            text, manifest = read_manifest(path)
            if manifest.name in read:
                raise AtriumStartError(
                    f"Two worlds have the name {manifest.name!r}, the second one in {path}:"
                    " rename one."
                )
            read[manifest.name] = text, manifest
        hosts = [await self._host(stores, *one) for one in read.values()]
        taken: set[int] = set()
        for host in hosts:
            await expect_back(host, taken)
        return hosts

    async def _host(self, stores: Stores, text: str, manifest: Manifest) -> WorldHost:
        claim = await claim_world(stores, manifest.name, manifest.title)
        numbers = WriterNumbers.of(self.registry, manifest.name)
        recorder = self._recorder(manifest)
        self.recorders.append(recorder)
        host = WorldHost(manifest, text, HostParts(
            sink=self.gateway, judge=self._judge(manifest), signer=self.signer,
            metrics=self._metrics(manifest.name), recorder=recorder,
            collect=self._collect, dump=dump_inputs, sleeper=self.sleeper,
            epoch=self.epoch, seed=self.config.seed, resume_s=self.config.resume_s,
            keeper=Keeper(stores.worlds, claim, numbers),
            attendance=Attendance(
                stores.sessions, WorldHistory(stores.database) if stores.database else None,
                claim, time.time, self.config.resume_s,
                SessionNumbers.of(self.registry, manifest.name),
            ),
            scenes=Scenes(manifest), scribe=self.scribe, safety=self.safety,
            ice=IceSettings(self.config.ice_servers, self.config.turn_secret),
            send_trace=self.trace.take if self.trace else None,
        ))
        await host.load()
        if stores.database is not None:
            # Numbers of lines go on where they were, so that no client takes one for another.
            newest = await SqlChatStore(stores.database).newest_seq(claim.world_id)
            host.world.chat.skip_to(newest)
        self.registry.counter_read(
            "atrium_poses_dropped_total", "Poses that the inbox had no room for.",
            lambda: host.inbox.poses_dropped, world=host.name,
        )
        self.registry.gauge_read(
            "atrium_world_failed", "1 for a world that failed too often and stays down.",
            lambda: host.state.failed, world=host.name,
        )
        for state in SeatState:
            self.registry.gauge_read(
                SESSIONS, "Sessions by state.",
                lambda state=state: host.seats.count(state), world=host.name, state=state.value,
            )
        return host

    def _judge(self, manifest: Manifest) -> Judge:
        """Without a brain, which is for tests of worlds alone, everything is let pass."""
        if self.brain is None:
            return AllowAll()
        return self.brain.judge(manifest.name, manifest.moderation)

    def _collect(self) -> None:
        self.gateway.collect()

    def _recorder(self, manifest: Manifest) -> Recorder:
        if self.config.record_file is None:
            return Recorder(manifest.tick_rate_hz)
        path = self.config.record_file
        if len(self.config.worlds) > 1:
            path = path.with_name(f"{path.stem}-{manifest.name}{path.suffix}")
        try:
            return Recorder(manifest.tick_rate_hz, create_recording(path))
        except OSError as error:
            raise AtriumStartError(f"Cannot record to {path}: {error.strerror}.") from None

    def _metrics(self, world: str) -> HostMetrics:
        r = self.registry

        def skipped(reason: str) -> Counter:
            return r.counter(
                SNAPSHOTS_SKIPPED_TOTAL, "Snapshots that were not sent.", reason=reason
            )

        return HostMetrics(
            tick_seconds=r.histogram(
                TICK_SECONDS, "Duration of ticks, without the receiving before them.", world=world
            ),
            late_seconds=r.histogram(TICK_LATE_SECONDS, "Lateness of ticks.", world=world),
            collect_seconds=r.histogram(
                COLLECT_SECONDS, "Duration of the receiving right before a tick.", world=world
            ),
            poses=r.counter(POSES_TOTAL, "Poses taken."),
            snapshots=r.counter(SNAPSHOTS_TOTAL, "Snapshots sent."),
            snapshot_bytes=r.counter(SNAPSHOT_BYTES_TOTAL, "Bytes sent with snapshots."),
            skipped_credit=skipped("credit"), skipped_tail=skipped("tail"),
            skipped_broken=skipped("broken"),
            ticks_skipped=r.counter(
                "atrium_ticks_skipped_total", "Ticks left out after a stall.", world=world
            ),
            restarts=r.counter(
                WORLD_RESTARTS_TOTAL, "Restarts of a world after a failure.", world=world
            ),
            signals_dropped=r.counter(
                "atrium_voice_signals_dropped_total",
                "Signals of voice to somebody not paired, or too many for one receiver.",
                world=world,
            ),
            correction=lambda reason: r.counter(
                CORRECTIONS_TOTAL, "Movement rules that poses broke.", reason=reason
            ),
        )

    def close(self) -> None:
        for recorder in self.recorders:
            recorder.close()
        if self.trace is not None:
            self.trace.close()


def read_manifest(path: Path) -> tuple[str, Manifest]:
    """Text and manifest. Raises AtriumStartError with file, line and what is wrong."""
    try:
        with path.open("rb") as file:
            text = file.read(limits.MANIFEST_BYTES_MAX + 1).decode()
    except OSError as error:
        raise AtriumStartError(
            f"Cannot read the world {path}: {error.strerror or error}."
        ) from None
    except UnicodeDecodeError:
        raise AtriumStartError(f"Cannot read the world {path}: it is not UTF-8 text.") from None
    try:
        return text, parse_manifest(text, str(path))
    except ManifestError as error:
        raise AtriumStartError(str(error)) from None


def dump_inputs(world: str, data: bytes) -> None:
    """Keep the last inputs of a world that failed, readable by this user only.

    Of each world the newest DUMPS_PER_WORLD_MAX are kept, of whatever run they are.
    """
    prefix = f"atrium-{world}-{time.strftime('%Y%m%dT%H%M%S')}-"
    try:
        with tempfile.NamedTemporaryFile(prefix=prefix, suffix=".ticks", delete=False) as file:
            file.write(data)
    except OSError as error:
        logger.error("the last inputs of world %s could not be kept: %s", world, error.strerror)
    else:
        logger.error("the last inputs of world %s are in %s", world, file.name)
        _forget_dumps(world, Path(file.name))


def _forget_dumps(world: str, newest: Path) -> None:
    """Remove the older dumps of a world. Other users may write to this folder, too."""
    pattern = re.compile(rf"atrium-{re.escape(world)}-[0-9]{{8}}T[0-9]{{6}}-\w+\.ticks")
    found: list[tuple[int, str]] = []
    try:
        own = newest.stat().st_uid
        for entry in os.scandir(newest.parent):
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                info = entry.stat(follow_symlinks=False)
                if info.st_uid == own:
                    found.append((info.st_mtime_ns, entry.path))
        for _, path in sorted(found)[:-DUMPS_PER_WORLD_MAX]:
            os.unlink(path)
    except OSError as error:
        logger.warning("old inputs of world %s could not be removed: %s", world, error.strerror)



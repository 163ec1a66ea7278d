"""The wiring: what is made, in which order, and how it ends. Nothing else.

::

    sockets - front door -+- HTTP service
                          +- gateway - Inbox - WorldHost.tick - gateway - sockets
                                                  |
                                                  +- judge (a lane) - Inbox

Opened in this order, in one nursery: telemetry, worlds, gateway, HTTP, listeners. Closed in the
opposite one: nobody new is let in, clients are told and closed, then the rest is cancelled. A bug in
anything but a world's tick ends the process, loudly: it would otherwise live on in pieces.
"""

from __future__ import annotations

import gc
import logging
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from atrium_server.config import AtriumStartError, Config
from atrium_server.host import HostMetrics, HostParts, WorldHost
from atrium_server.hosts import Hosts
from atrium_server.http.service import open_http_service
from atrium_server.judge import AllowAll
from atrium_server.net.addresses import Addresses, AddressRules
from atrium_server.net.front_door import FrontDoor, FrontDoorParts
from atrium_server.net.gateway import Gateway, GatewayParts, Guests
from atrium_server.net.socket_io import SocketIO, open_socket_io
from atrium_server.process_metrics import add_process_metrics, observe_gc
from atrium_server.recording import Recorder
from atrium_server.replication.replicator import warm_up
from atrium_server.seats import SeatState
from atrium_server.status import Status
from atrium_server.telemetry import (
    CONNECTIONS, CORRECTIONS_TOTAL, POSES_TOTAL, PROTOCOL_ERRORS_TOTAL, REFUSED_TOTAL, SESSIONS,
    SNAPSHOT_BYTES_TOTAL, SNAPSHOTS_SKIPPED_TOTAL, SNAPSHOTS_TOTAL, TICK_LATE_SECONDS,
    TICK_SECONDS, WORLD_RESTARTS_TOTAL, Counter, Registry,
)
from atrium_server.ticker import Sleeper, TrioSleeper, best_sleeper
from atrium_server.tokens import TokenSigner
from atrium_server.trace import SendTrace
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.manifest_reader import ManifestError
from atrium_shared import limits

logger = logging.getLogger(__name__)


async def run(
    config: Config, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled or told to stop by SIGTERM or SIGINT.

    Raises AtriumStartError when the server cannot start, with a sentence that says why.
    """
    sys.setswitchinterval(config.switch_interval_ms / 1000)
    warm_up()
    with open_signals() as signals:
        async with open_server(config) as server, trio.open_nursery() as nursery:
            listeners = await _listen(config)
            await nursery.start(
                trio.serve_listeners, server.door.handle, listeners
            )
            port = listeners[0].socket.getsockname()[1]
            host = f"[{config.host}]" if ":" in config.host else config.host
            address = f"http://{host}:{port}"
            _settle_memory()
            server.status.started()
            print(f"ready {address}", flush=True)
            task_status.started(address)
            async for _ in signals:
                break
            await server.drain(config.drain_s)
            nursery.cancel_scope.cancel()


def open_signals():  # type: ignore[no-untyped-def] -- trio's own context manager
    """SIGTERM and SIGINT as a stream."""
    return trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT)


class Server:
    """The parts of a running server, for `run` and for tests that bring their own streams."""

    def __init__(self, door: FrontDoor, gateway: Gateway, hosts: Hosts, status: Status) -> None:
        self.door, self.gateway, self.hosts, self.status = door, gateway, hosts, status

    async def drain(self, seconds: float) -> None:
        """Tell all clients, close their connections."""
        self.status.stop()
        await self.gateway.drain(seconds)


@asynccontextmanager
async def open_server(
    config: Config, io: SocketIO | None = None, sleeper: type[TrioSleeper] | None = None
) -> AsyncIterator[Server]:
    """Everything but the listeners. Tests give a `MemoryIO` and a sleeper for their clock."""
    registry = Registry()
    add_process_metrics(registry)
    epoch = trio.current_time()
    addresses = Addresses(AddressRules(
        connections_max=config.connections_max,
        connections_per_address_max=config.connections_per_address_max,
        handshakes_per_s_max=config.handshakes_per_address_per_s_max,
        handshakes_burst_max=limits.HANDSHAKES_PER_ADDRESS_BURST_MAX,
        trusted=config.trusted_networks,
    ))
    io = io or open_socket_io(config.io, config.connections_max)
    gateway = Gateway(GatewayParts(
        io=io, identifier=Guests(), addresses=addresses,
        protocol_errors=lambda code: registry.counter(
            PROTOCOL_ERRORS_TOTAL, "Sessions ended because the peer broke the protocol.", code=code
        ),
        epoch=epoch, connections_max=config.connections_max,
    ))
    registry.gauge_read(CONNECTIONS, "Open connections.", lambda: addresses.open)
    trace = SendTrace(config.send_trace_file) if config.send_trace_file else None
    signer = TokenSigner(config.secret_key.encode() or secrets.token_bytes(32))
    parts = _PartsMaker(config, gateway, registry, signer, epoch, sleeper or best_sleeper, trace)
    hosts = Hosts([parts.host(path) for path in config.worlds], signer)
    status = Status(hosts)
    with observe_gc(registry):
        async with (
            open_http_service(status, registry) as serve_http,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(gateway.run, hosts)
            nursery.start_soon(hosts.run)
            door = FrontDoor(FrontDoorParts(
                gateway=gateway, addresses=addresses, serve_http=serve_http,
                allowed_origins=config.allowed_origins,
                refused=lambda reason: registry.counter(
                    REFUSED_TOTAL, "Connections and handshakes refused.", reason=reason
                ),
            ))
            try:
                yield Server(door, gateway, hosts, status)
            finally:
                nursery.cancel_scope.cancel()
                parts.close()
    io.close()


class _PartsMaker:
    """Makes the hosts, each with its own counters and recorder."""

    def __init__(
        self, config: Config, gateway: Gateway, registry: Registry, signer: TokenSigner,
        epoch: float, sleeper: type[TrioSleeper] | type[Sleeper] | object, trace: SendTrace | None,
    ) -> None:
        self._config, self._gateway, self._registry = config, gateway, registry
        self._signer, self._epoch, self._sleeper, self._trace = signer, epoch, sleeper, trace
        self._recorders: list[Recorder] = []

    def host(self, path: Path) -> WorldHost:
        """The host of the world in the manifest file `path`."""
        text, manifest = read_manifest(path)
        recorder = self._recorder(manifest)
        self._recorders.append(recorder)
        host = WorldHost(manifest, text, HostParts(
            sink=self._gateway, judge=AllowAll(), signer=self._signer,
            metrics=self._metrics(manifest.name), recorder=recorder,
            collect=self._collect, dump=dump_inputs,
            sleeper=self._sleeper,  # type: ignore[arg-type]
            epoch=self._epoch, seed=self._config.seed, resume_s=self._config.resume_s,
            send_trace=self._trace.take if self._trace else None,
        ))
        for state in SeatState:
            self._registry.gauge_read(
                SESSIONS, "Sessions by state.",
                lambda state=state: host.seats.count(state), world=host.name, state=state.value,
            )
        return host

    def _collect(self) -> None:
        self._gateway.collect()

    def _recorder(self, manifest: Manifest) -> Recorder:
        if self._config.record_file is None:
            return Recorder(manifest.tick_rate_hz)
        path = self._config.record_file
        if len(self._config.worlds) > 1:
            path = path.with_name(f"{path.stem}-{manifest.name}{path.suffix}")
        try:
            return Recorder(manifest.tick_rate_hz, path.open("wb"))
        except OSError as error:
            raise AtriumStartError(f"Cannot record to {path}: {error.strerror}.") from None

    def _metrics(self, world: str) -> HostMetrics:
        r = self._registry

        def skipped(reason: str) -> Counter:
            return r.counter(
                SNAPSHOTS_SKIPPED_TOTAL, "Snapshots that were not sent.", reason=reason
            )

        return HostMetrics(
            tick_seconds=r.histogram(TICK_SECONDS, "Duration of ticks.", world=world),
            late_seconds=r.histogram(TICK_LATE_SECONDS, "Lateness of ticks.", world=world),
            poses=r.counter(POSES_TOTAL, "Poses taken."),
            snapshots=r.counter(SNAPSHOTS_TOTAL, "Snapshots sent."),
            snapshot_bytes=r.counter(SNAPSHOT_BYTES_TOTAL, "Bytes sent with snapshots."),
            skipped_credit=skipped("credit"), skipped_tail=skipped("tail"),
            skipped_refused=skipped("refused"),
            ticks_skipped=r.counter(
                "atrium_ticks_skipped_total", "Ticks left out after a stall.", world=world
            ),
            restarts=r.counter(
                WORLD_RESTARTS_TOTAL, "Restarts of a world after a failure.", world=world
            ),
            correction=lambda reason: r.counter(
                CORRECTIONS_TOTAL, "Movement rules that poses broke.", reason=reason
            ),
        )

    def close(self) -> None:
        for recorder in self._recorders:
            recorder.close()
        if self._trace is not None:
            self._trace.close()


def read_manifest(path: Path) -> tuple[str, Manifest]:
    """Text and manifest. Raises AtriumStartError with file, line and what is wrong."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AtriumStartError(f"Cannot read the world {path}: {error}.") from None
    try:
        return text, parse_manifest(text, str(path))
    except ManifestError as error:
        raise AtriumStartError(str(error)) from None


async def _listen(config: Config) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(config.port, host=config.host, backlog=4096)
    except OSError as error:
        raise AtriumStartError(
            f"Cannot listen on {config.host} port {config.port}: {error.strerror or error}. "
            "Is another server running? Choose another with --port, or 0 for any."
        ) from None


def dump_inputs(world: str, data: bytes) -> None:
    """Keep the last inputs of a world that failed, readable by this user only."""
    with tempfile.NamedTemporaryFile(
        prefix=f"atrium-{world}-{time.strftime('%Y%m%dT%H%M%S')}-", suffix=".ticks", delete=False
    ) as file:
        file.write(data)
    logger.error("the last inputs of world %s are in %s", world, file.name)


def _settle_memory() -> None:
    """Keep the garbage collector away from what lives as long as the process.

    What was imported and made so far is frozen: later collections do not look at it. The rest is
    looked at seldom; the pauses are in the metric `atrium_gc_pause_seconds`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)



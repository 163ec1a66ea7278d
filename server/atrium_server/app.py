"""The wiring: what is made, in which order, and how it ends. Nothing else.

::

    sockets - front door -+- HTTP service
                          +- gateway - Inbox - WorldHost.tick - gateway - sockets
                                                  |
                                                  +- judge (a lane) - Inbox

Opened in this order, in one nursery: telemetry, worlds, gateway, HTTP, listeners. Closed in the
opposite one: nobody new is let in, clients are told and closed, then the rest is cancelled. A bug
in anything but a world's tick ends the process, loudly: it would otherwise live on in pieces.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from atrium_server.config import AtriumStartError, Config
from atrium_server.host import HostMetrics, HostParts, WorldHost
from atrium_server.hosts import Hosts
from atrium_server.http.guard import Admission
from atrium_server.http.service import open_http_service
from atrium_server.judge import AllowAll
from atrium_server.net.addresses import Addresses, AddressRules
from atrium_server.net.forwarded import Forwarding
from atrium_server.net.front_door import FrontDoor, FrontDoorParts
from atrium_server.net.gateway import Gateway, GatewayParts
from atrium_server.net.host_names import HostNames
from atrium_server.net.requests import Guests
from atrium_server.net.socket_io import SocketIO, open_socket_io
from atrium_server.process_metrics import add_process_metrics, observe_gc
from atrium_server.recording import Recorder, create_recording
from atrium_server.replication.replicator import warm_up
from atrium_server.seats import SeatState
from atrium_server.status import Status
from atrium_server.telemetry import (
    COLLECT_SECONDS,
    CONNECTIONS,
    CORRECTIONS_TOTAL,
    POSES_TOTAL,
    PROTOCOL_ERRORS_TOTAL,
    REFUSED_TOTAL,
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
from atrium_server.ticker import Sleeper, best_sleeper
from atrium_server.tokens import TokenSigner
from atrium_server.trace import SendTrace
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.manifest_reader import ManifestError
from atrium_shared import limits

logger = logging.getLogger(__name__)

FILES_BESIDE_CONNECTIONS = 128
"""Open files besides connections: listeners, libraries, recordings, requests being refused."""
DUMPS_PER_WORLD_MAX = 3


async def run(
    config: Config, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled or told to stop by SIGTERM or SIGINT.

    Raises AtriumStartError when the server cannot start, with a sentence that says why.
    """
    sys.setswitchinterval(config.switch_interval_ms / 1000)
    _raise_files_limit(config.connections_max)
    warm_up()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_server(config) as server, trio.open_nursery() as nursery:
            listeners = await _listen(config)
            await nursery.start(trio.serve_listeners, server.door.handle, listeners)
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
    config: Config, io: SocketIO | None = None, sleeper: Callable[[], Sleeper] = best_sleeper
) -> AsyncGenerator[Server]:
    """Everything but the listeners. Tests give a `MemoryIO` and a sleeper for their clock."""
    registry = Registry()
    add_process_metrics(registry)
    epoch = trio.current_time()
    forwarding = Forwarding(config.forwarded_by, config.trusted_networks)
    addresses = Addresses(_address_rules(config, forwarding))
    names = HostNames(config.host, config.allowed_origins)
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
    # Seats end with the process, and session numbers begin again: so must the tokens end.
    signer = TokenSigner(config.secret_key.encode(), run=secrets.token_bytes(32))
    maker = _HostMaker(config, gateway, registry, signer, epoch, sleeper, trace)
    hosts = Hosts(maker.hosts(), signer)
    status = Status(hosts)
    refused = partial(_refused, registry)
    with observe_gc(registry):
        async with (
            open_http_service(
                status, registry, Admission(
                    names.knows, forwarding.client_of, forwarding.trusts, addresses.take_request,
                    refused=lambda reason: refused(reason).add(),
                )
            ) as serve_http,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(gateway.run, hosts)
            nursery.start_soon(hosts.run)
            door = FrontDoor(FrontDoorParts(
                gateway=gateway, addresses=addresses, serve_http=serve_http,
                allowed_origins=config.allowed_origins, knows_host=names.knows,
                forwarding=forwarding, refused=refused,
            ))
            try:
                yield Server(door, gateway, hosts, status)
            finally:
                nursery.cancel_scope.cancel()
                maker.close()
                io.close()


def _refused(registry: Registry, reason: str) -> Counter:
    return registry.counter(
        REFUSED_TOTAL, "Connections, handshakes and requests refused.", reason=reason
    )


def _address_rules(config: Config, forwarding: Forwarding) -> AddressRules:
    return AddressRules(
        connections_max=config.connections_max,
        connections_per_address_max=config.connections_per_address_max,
        handshakes_per_s_max=config.handshakes_per_address_per_s_max,
        handshakes_burst_max=limits.HANDSHAKES_PER_ADDRESS_BURST_MAX,
        forwarding=forwarding,
    )


@dataclass(slots=True)
class _HostMaker:
    """Makes the hosts, each with its own counters and recorder."""

    config: Config
    gateway: Gateway
    registry: Registry
    signer: TokenSigner
    epoch: float
    sleeper: Callable[[], Sleeper]
    trace: SendTrace | None
    recorders: list[Recorder] = field(default_factory=list[Recorder])

    def hosts(self) -> list[WorldHost]:
        """The hosts of all worlds. Raises AtriumStartError for a world that cannot be made."""
        hosts: list[WorldHost] = []
        for path in self.config.worlds:
            host = self._host(path)
            if any(host.name == other.name for other in hosts):
                raise AtriumStartError(
                    f"Two worlds have the name {host.name!r}, the second one in {path}: rename one."
                )
            hosts.append(host)
        return hosts

    def _host(self, path: Path) -> WorldHost:
        text, manifest = read_manifest(path)
        recorder = self._recorder(manifest)
        self.recorders.append(recorder)
        host = WorldHost(manifest, text, HostParts(
            sink=self.gateway, judge=AllowAll(), signer=self.signer,
            metrics=self._metrics(manifest.name), recorder=recorder,
            collect=self._collect, dump=dump_inputs, sleeper=self.sleeper,
            epoch=self.epoch, seed=self.config.seed, resume_s=self.config.resume_s,
            send_trace=self.trace.take if self.trace else None,
        ))
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


async def _listen(config: Config) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(config.port, host=config.host, backlog=4096)
    except OSError as error:
        advice = "Choose an address of this machine with --host."
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            advice = "Is another server running? Choose another with --port, or 0 for any."
        raise AtriumStartError(
            f"Cannot listen on {config.host} port {config.port}: {error.strerror or error}."
            f" {advice}"
        ) from None


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


def _raise_files_limit(connections_max: int) -> None:
    """Every connection is an open file: take what the system allows, and say so if it is little."""
    try:
        import resource
    except ImportError:
        return  # no such limit on this system
    wanted = connections_max + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        logger.warning(
            "this system allows %d open files, enough for %d connections and not for %d: "
            "raise the limit (ulimit -n) or lower --connections-max",
            soft, soft - FILES_BESIDE_CONNECTIONS, connections_max,
        )


def _settle_memory() -> None:
    """Keep the garbage collector away from what lives as long as the process.

    What was imported and made so far is frozen: later collections do not look at it. The rest is
    looked at seldom; the pauses are in the metric `atrium_gc_pause_seconds`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)



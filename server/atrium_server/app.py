"""The wiring: what is made, in which order, and how it ends. Nothing else.

::

    sockets - front door -+- HTTP service
                          +- gateway - Inbox - WorldHost.tick - gateway - sockets
                                                  |
                                                  +- judge (the brain) - Inbox
                                                  +- keeper - writer - store

Opened in this order: telemetry, stores, the brain, lanes, worlds, gateway, HTTP, listeners. Closed
in the opposite one: nobody new is let in, clients are told and closed, worlds end and what they
hold is saved, then the stores are closed. A bug in anything but a world's tick ends the process,
loudly: it would otherwise live on in pieces.
"""

from __future__ import annotations

import errno
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from atrium_server import garbage
from atrium_server.announcement import qr_code, reachable, self_signed_lines, url_of
from atrium_server.brain import Brain, open_brain
from atrium_server.config import AtriumStartError, Config
from atrium_server.credentials import Credentials, open_credentials
from atrium_server.host_maker import HostMaker, read_manifest
from atrium_server.hosts import Hosts
from atrium_server.http.guard import Admission
from atrium_server.http.service import Lanes as HttpLanes
from atrium_server.http.service import open_http_service
from atrium_server.http.status import Trouble
from atrium_server.lanes import Lanes, open_lanes
from atrium_server.net.addresses import Addresses, AddressRules
from atrium_server.net.forwarded import Forwarding
from atrium_server.net.front_door import FrontDoor, FrontDoorParts
from atrium_server.net.gateway import Gateway, GatewayParts
from atrium_server.net.host_names import HostNames
from atrium_server.net.requests import Guests
from atrium_server.net.socket_io import SocketIO, open_socket_io
from atrium_server.net.tls_door import TlsDoor, TlsDoorParts
from atrium_server.persistence.errors import StoreError
from atrium_server.persistence.open import Place, Stores, open_stores
from atrium_server.process_metrics import add_process_metrics, observe_gc
from atrium_server.replication.replicator import warm_up
from atrium_server.reviewing import Reviewing
from atrium_server.rewinding import Rewinding
from atrium_server.self_signed import own_addresses
from atrium_server.status import Status
from atrium_server.telemetry import (
    CONNECTIONS,
    PROTOCOL_ERRORS_TOTAL,
    REFUSED_TOTAL,
    Counter,
    Registry,
)
from atrium_server.ticker import Sleeper, best_sleeper
from atrium_server.tokens import TokenSigner
from atrium_shared import limits
from atrium_shared.props import PropError

logger = logging.getLogger(__name__)

_RELOAD = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
FILES_BESIDE_CONNECTIONS = 128
"""Open files besides connections: listeners, libraries, recordings, requests being refused."""


async def run(
    config: Config, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled or told to stop by SIGTERM or SIGINT.

    Raises AtriumStartError when the server cannot start, with a sentence that says why.
    """
    sys.setswitchinterval(config.switch_interval_ms / 1000)
    _raise_files_limit(config.connections_max)
    warm_up()
    # Without TLS SIGHUP ends the process, as it does where a terminal is closed.
    reload = _RELOAD if config.tls_self_signed or config.tls_cert is not None else ()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, *reload) as signals:
        async with open_server(config) as server, trio.open_nursery() as nursery:
            listeners = await _listen(config)
            await nursery.start(trio.serve_listeners, server.door.handle, listeners)
            port = listeners[0].socket.getsockname()[1]
            address = url_of("https" if server.credentials else "http", config.host, port)
            await nursery.start(garbage.search_between_ticks)
            server.status.started()
            print(f"ready {address}", flush=True)
            if server.credentials is not None and config.tls_self_signed:
                _announce(config.host, port, server.credentials)
            task_status.started(address)
            async for number in signals:
                if number not in _RELOAD:
                    break
                if server.credentials is not None:
                    await server.credentials.reload()
            await server.drain(config.drain_s)
            nursery.cancel_scope.cancel()


def _announce(host: str, port: int, credentials: Credentials) -> None:
    """Tell a person where the server is, and a headset by a picture."""
    own = own_addresses()
    print("\n".join(self_signed_lines(host, port, own, credentials.pair)), flush=True)
    if (hosts := reachable(host, own)) and sys.stdout.isatty():
        print(qr_code(url_of("https", hosts[0], port)), flush=True)


class Server:
    """The parts of a running server, for `run` and for tests that bring their own streams."""

    brain: Brain | None = None
    """None where a test does without lanes."""
    lanes: Lanes | None = None
    """The same."""
    credentials: Credentials | None = None
    """The certificate in force; None without TLS."""

    reviewing: Reviewing | None = None
    """The same."""

    def __init__(
        self, door: FrontDoor, gateway: Gateway, hosts: Hosts, status: Status, registry: Registry
    ) -> None:
        self.door, self.gateway, self.hosts, self.status = door, gateway, hosts, status
        self.registry = registry

    async def drain(self, seconds: float) -> None:
        """Tell all clients, close their connections."""
        self.status.stop()
        await self.gateway.drain(seconds)


@asynccontextmanager
async def open_server(
    config: Config, io: SocketIO | None = None, sleeper: Callable[[], Sleeper] = best_sleeper,
    *, has_lanes: bool = True,
) -> AsyncGenerator[Server]:
    """Everything but the listeners. Tests give a `MemoryIO` and a sleeper for their clock, and do
    without the lanes where they are about nothing but worlds.

    Raises AtriumStartError when a store or a world cannot be opened.
    """
    is_open = False
    try:
        async with AsyncExitStack() as stack:
            registry = Registry()
            stores = await stack.enter_async_context(open_stores(_place_of(config)))
            credentials = await open_credentials(config, registry)
            lanes = brain = None
            if has_lanes:
                brain = await stack.enter_async_context(
                    open_brain(config, registry, stores.database)
                )
                worlds = [read_manifest(path)[1] for path in config.worlds]
                lanes = await stack.enter_async_context(
                    open_lanes(config, stores, registry, worlds, brain)
                )
            parts = _Parts(config, registry, stores, lanes, brain, credentials, io, sleeper)
            server = await stack.enter_async_context(_opened(parts))
            server.brain, server.lanes = brain, lanes
            is_open = True
            yield server
    except (StoreError, PropError) as error:
        raise _told(error) from error
    except BaseExceptionGroup as group:
        error = None if is_open else _only_store_error(group)
        if error is None:
            raise
        raise _told(error) from group


def _place_of(config: Config) -> Place:
    return Place(
        config.data_dir, config.database_url, config.ephemeral, config.pg_bin, config.pg_user
    )


def _told(error: Exception) -> AtriumStartError:
    return AtriumStartError(str(error))


def _only_store_error(group: BaseExceptionGroup[BaseException]) -> Exception | None:
    """What a group is about, if it is about a store that cannot be opened and nothing else."""
    ours, rest = group.split((StoreError, PropError, AtriumStartError))
    while isinstance(ours, BaseExceptionGroup):
        ours = ours.exceptions[0]
    return ours if rest is None and isinstance(ours, Exception) else None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What there is before the worlds are."""

    config: Config
    registry: Registry
    stores: Stores
    lanes: Lanes | None
    brain: Brain | None
    credentials: Credentials | None
    io: SocketIO | None
    sleeper: Callable[[], Sleeper]


@asynccontextmanager
async def _opened(parts: _Parts) -> AsyncGenerator[Server]:
    config, registry, lanes = parts.config, parts.registry, parts.lanes
    add_process_metrics(registry)
    epoch = trio.current_time()
    forwarding = Forwarding(config.forwarded_by, config.trusted_networks)
    addresses = Addresses(_address_rules(config, forwarding))
    names = HostNames(config.host, config.allowed_origins)
    io = parts.io or open_socket_io(config.io, config.connections_max)
    gateway = _gateway(parts, io, addresses, epoch)
    registry.gauge_read(CONNECTIONS, "Open connections.", lambda: addresses.open)
    signer = TokenSigner(config.secret_key.encode() or parts.stores.node.key)
    maker = HostMaker(config, gateway, registry, signer, epoch, parts.sleeper)
    if lanes is not None:
        maker.scribe, maker.safety, maker.brain = lanes.scribe, lanes.safety, parts.brain
    try:
        hosts = Hosts(await maker.hosts(parts.stores), signer)
        status = Status(hosts)
        reviewing = _reviewing(parts, hosts)
        admission = _admission(parts, names, forwarding, addresses)
        with observe_gc(registry):
            async with (
                open_http_service(
                    status, registry, admission, **_behind_http(parts, hosts, reviewing)
                ) as serve_http,
                trio.open_nursery() as nursery,
            ):
                await nursery.start(gateway.run, hosts)
                nursery.start_soon(hosts.run)
                if lanes is not None:
                    nursery.start_soon(lanes.run, hosts)
                if reviewing is not None:
                    nursery.start_soon(reviewing.run)
                door = FrontDoor(FrontDoorParts(
                    gateway=gateway, addresses=addresses, serve_http=serve_http,
                    allowed_origins=config.allowed_origins, knows_host=names.knows,
                    forwarding=forwarding, refused=partial(_refused, registry),
                    tls=_tls_door(parts, names),
                ))
                server = Server(door, gateway, hosts, status, registry)
                server.reviewing = reviewing
                if parts.credentials is not None:
                    server.credentials = parts.credentials
                    nursery.start_soon(parts.credentials.run)
                try:
                    yield server
                finally:
                    nursery.cancel_scope.cancel()
    finally:
        maker.close()
        io.close()


def _gateway(parts: _Parts, io: SocketIO, addresses: Addresses, epoch: float) -> Gateway:
    registry = parts.registry
    return Gateway(GatewayParts(
        io=io, identifier=parts.lanes.people if parts.lanes else Guests(), addresses=addresses,
        protocol_errors=lambda code: registry.counter(
            PROTOCOL_ERRORS_TOTAL, "Sessions ended because the peer broke the protocol.", code=code
        ),
        epoch=epoch, connections_max=parts.config.connections_max,
    ))


def _admission(
    parts: _Parts, names: HostNames, forwarding: Forwarding, addresses: Addresses
) -> Admission:
    return Admission(
        names.knows, forwarding.client_of, forwarding.trusts, addresses.take_request,
        refused=lambda reason: _refused(parts.registry, reason).add(),
        allowed_origins=parts.config.allowed_origins, is_secure=parts.credentials is not None,
    )


def _tls_door(parts: _Parts, names: HostNames) -> TlsDoor | None:
    credentials = parts.credentials
    if credentials is None:
        return None
    return TlsDoor(TlsDoorParts(lambda: credentials.context, names.knows, parts.registry))


def _behind_http(parts: _Parts, hosts: Hosts, reviewing: Reviewing | None) -> HttpLanes:
    """What the routes work with, as far as this server has it."""
    lanes = parts.lanes
    if lanes is None:
        return {}
    brain = parts.brain
    return {
        "trouble": brain.trouble if brain else Trouble, "accounts": lanes.accounts,
        "uploads": lanes.uploads, "ai_keys": lanes.ai_keys,
        "rewinder": _rewinding(hosts, lanes), "ai": brain.ai if brain else None,
        "reviewer": reviewing,
    }


def _rewinding(hosts: Hosts, lanes: Lanes) -> Rewinding | None:
    if lanes.history is None:
        return None
    return Rewinding(hosts, lanes.history, lanes.conduct)


def _reviewing(parts: _Parts, hosts: Hosts) -> Reviewing | None:
    lanes, brain = parts.lanes, parts.brain
    if lanes is None or brain is None:
        return None
    return Reviewing(
        hosts, brain.desk, lanes.feedback, lanes.accounts, parts.config.retention_feedback_days
    )


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

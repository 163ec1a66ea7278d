"""One run from start to report: server up, crowd in, warm up, measure, crowd out, server down.

Theory of operation
-------------------
The order matters more than any of its steps. Kernels are compiled and the ground is known before
the first bot joins; everybody is in before the warm-up; the window opens after it; its end is
marked before anything is torn down, and the server is asked to leave last, because how it leaves
is part of the result.
"""

from __future__ import annotations

import gc
import ipaddress
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from atrium_loadtest import frames, scenarios
from atrium_loadtest.crowd import Extent
from atrium_loadtest.evidence import Evidence
from atrium_loadtest.fleet import ACTIVE, LOST
from atrium_loadtest.generator import Generator, Plan
from atrium_loadtest.joiner import Address, Failed, Joiner
from atrium_loadtest.observer import Observer
from atrium_loadtest.report import Report, build_report
from atrium_loadtest.scenarios import ScenarioName
from atrium_loadtest.server_process import ServerProcess, atrium_command, pinned
from atrium_shared import codec, limits, messages

WORLDS: Final = Path(__file__).parent / "worlds"
_SETTLE_S: Final = 0.3
"""After the window, while the last sample of the server is taken under load."""
_SCENE_BYTES_MAX: Final = 16 * 1024 * 1024
_HTTP_S_MAX: Final = 10.0


class RunError(RuntimeError):
    """The run could not begin; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """One run, as asked for on the command line."""

    scenario: ScenarioName
    clients: int
    seconds: float
    rate_hz: float = 20.0
    warmup_s: float = 3.0
    seed: int = 1
    probes: int = 8
    joins_per_s: float = 400.0
    world: str = ""
    url: str | None = None
    allow_remote: bool = False
    pin_server: int | None = None
    pin_generator: int | None = None
    radius_m: float | None = None
    trace: Path | None = None
    """Where the server that is started here shall write its send trace."""
    busy_thread: bool = False
    """Start the server beside a thread of busy pure Python."""


@dataclass(frozen=True)
class Target:
    """A server that is up. `pid` when it is our child."""

    address: Address
    base_url: str
    pid: int | None = None
    metrics: bool = True
    probes: bool = True
    extent: Extent | None = None
    """Known beforehand only where there is no scene to ask for it (the floor)."""


@dataclass
class Stage:
    """Tells a progress bar where the run stands."""

    name: str = "starting"
    done: float = 0.0
    """Share of the stage that is over."""
    active: int = 0
    listeners: list[Callable[[Stage], None]] = field(
        default_factory=list[Callable[["Stage"], None]]
    )

    def tell(self, name: str, done: float, active: int) -> None:
        """Move on and tell everybody."""
        self.name, self.done, self.active = name, done, active
        for listener in self.listeners:
            listener(self)


class Scene(msgspec.Struct):
    """The part of a world's scene that walkers need."""

    extent: SceneExtent


class SceneExtent(msgspec.Struct):
    """Two opposite corners."""

    min_m: tuple[float, float, float]
    max_m: tuple[float, float, float]


def target_of(url: str, allow_remote: bool) -> Target:
    """The server at `url`. Raises RunError for one that is not on loopback, unless allowed.

    Thousands of connections at a server of somebody else are an attack, whatever was meant.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "ws") or not parts.hostname:
        raise RunError(f"{url!r} is not an address like http://127.0.0.1:8080; give such a URL")
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not allow_remote:
        raise RunError(
            f"{parts.hostname} is not this machine; load-test only servers that are yours to"
            " load, and say so with --allow-remote"
        )
    port = parts.port or 80
    return Target((socket.gethostbyname(host), port), f"http://{parts.hostname}:{port}")


def run(settings: Settings, stage: Stage | None = None) -> Report:
    """Run `settings`, against its own server when no URL is given."""
    with pinned(settings.pin_generator):
        return _run(settings, stage or Stage())


def _run(settings: Settings, stage: Stage) -> Report:
    if settings.url is not None:
        return measure(settings, target_of(settings.url, settings.allow_remote), stage, None)
    manifest = WORLDS / ("arena_bench.toml" if settings.scenario == "arena" else "plaza_bench.toml")
    if not manifest.is_file():
        raise RunError(f"{manifest} is missing; install Atrium again")
    stage.tell("starting the server", 0.0, 0)
    server = ServerProcess(
        atrium_command(manifest, settings.trace, settings.busy_thread), settings.pin_server
    )
    with server:
        target = replace(target_of(server.url, allow_remote=False), pid=server.pid)
        return measure(settings, target, stage, server)


def measure(
    settings: Settings, target: Target, stage: Stage, server: ServerProcess | None
) -> Report:
    """Drive a crowd at `target` and report; `server` is stopped at the end when there is one."""
    extent = target.extent or find_extent(target, settings.world)
    plan = _plan(settings, target, extent)
    scenario = scenarios.make_scenario(settings.scenario, settings.seed)
    with Generator(plan, target.address, "/ws", scenario) as generator:
        observer = Observer(
            f"{target.base_url}/metrics" if target.metrics else None, target.pid,
            lambda: int(generator.fleet.bots["received_bytes"].sum()),
        )
        generator.compile_kernels()
        _bring_in(generator, settings, stage)
        observer.start()
        try:
            gc.collect()
            gc.freeze()
            _drive(generator, "warming up", settings.warmup_s, stage)
            joins_pending = _unanswered(generator)
            generator.begin_window()
            start_s = time.monotonic()  # before the mark: its sample belongs to the window
            observer.mark()
            _drive(generator, "measuring", settings.seconds, stage)
            window = generator.end_window()
            died = server is not None and not server.alive
            observer.mark()
            end_s = time.monotonic() + _SETTLE_S
            generator.run(_SETTLE_S)
            lost = dict(generator.lost)
        finally:
            observer.stop()
            gc.unfreeze()
        stage.tell("leaving", 0.0, generator.active)
        for bot in range(plan.clients):
            if generator.fleet.bots["state"][bot] == ACTIVE:
                generator.leave(bot)
    return build_report(
        Evidence(
            settings.scenario, settings.clients, settings.rate_hz, settings.seed, window,
            observer.between(start_s, end_s), generator.join_s, generator.corrections, lost,
            scenario.summary(), None if server is None else server.stop(), died, target.probes,
            target.metrics, joins_pending,
        )
    )


def find_extent(target: Target, world: str) -> Extent:
    """Ask the server, as one quick guest, which ground its world has."""
    welcome = _scout(target.address, world)
    url = urllib.parse.urljoin(target.base_url, welcome.scene_url)
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_S_MAX) as answer:
            scene = msgspec.json.decode(answer.read(_SCENE_BYTES_MAX), type=Scene)
    except (OSError, msgspec.DecodeError) as error:
        raise RunError(f"the scene at {url} cannot be read ({error}); is this Atrium?") from None
    low, high = scene.extent.min_m, scene.extent.max_m
    return Extent(low[0], high[0], low[2], high[2])


def _scout(address: Address, world: str) -> messages.Welcome:
    joiner = Joiner(address, "/ws", 1000.0)
    hello = messages.Hello(
        codec.PROTOCOL_HASH, messages.ClientKind.BOT, "Scout", "", world,
        messages.Capabilities(1, limits.BYTES_PER_S_MIN), "", "", 0,
    )
    joiner.request(0, hello)
    try:
        while True:
            for outcome in joiner.poll(time.monotonic()):
                if isinstance(outcome, Failed):
                    raise RunError(
                        f"no bot can join at {address[0]}:{address[1]} ({outcome.reason});"
                        " check that the server runs and speaks this version"
                    )
                with outcome.connection as connection:
                    connection.send(_goodbye(joiner.key))
                return outcome.welcome
            time.sleep(0.002)
    finally:
        joiner.close()


def _goodbye(key: bytes) -> bytes:
    bye = frames.client_frame(frames.BINARY, codec.encode(messages.Bye()), key)
    return bye + frames.client_frame(frames.CLOSE, (1000).to_bytes(2, "big"), key)


def _plan(settings: Settings, target: Target, extent: Extent) -> Plan:
    radius_m = settings.radius_m
    return Plan(
        clients=settings.clients,
        rate_hz=settings.rate_hz,
        extent=extent,
        radius_m=scenarios.RADIUS_M[settings.scenario] if radius_m is None else radius_m,
        probes=min(settings.probes, settings.clients) if target.probes else 0,
        seed=settings.seed,
        world=settings.world,
        avatars_max=scenarios.AVATARS_MAX[settings.scenario],
        joins_per_s=settings.joins_per_s,
    )


def _unanswered(generator: Generator) -> int:
    """Bots that were neither ever let in nor refused; one that returns in churn is none."""
    states = generator.fleet.bots["state"]
    return sum(
        welcome is None and states[bot] != LOST
        for bot, welcome in enumerate(generator.welcomes)
    )


def _bring_in(generator: Generator, settings: Settings, stage: Stage) -> None:
    for bot in range(settings.clients):
        generator.join(bot)
    generator.run(
        20.0 + settings.clients / settings.joins_per_s,
        until=lambda: not generator.joiner.pending,
        progress=lambda: stage.tell(
            "joining", generator.active / settings.clients, generator.active
        ),
    )
    if not generator.active:
        why = "; ".join(generator.lost) or "nobody answered"
        raise RunError(f"no bot could join ({why}); look at the server's log")


def _drive(generator: Generator, name: str, seconds: float, stage: Stage) -> None:
    start_s = time.monotonic()
    generator.run(
        seconds,
        progress=lambda: stage.tell(
            name, min(1.0, (time.monotonic() - start_s) / seconds), generator.active
        ),
    )

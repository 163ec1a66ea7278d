"""The loop that drives all bots: one thread, one epoll, one kernel call per batch.

Theory of operation
-------------------
A period of the pose rate is cut into `PHASES` slots and every bot belongs to one of them, so that
poses reach the server spread over the period, as those of people do. The loop does three things::

    slot due?  ->  walk the slot's bots, encode their poses as a matrix, send them in one call
    otherwise  ->  wait for sockets until the next slot is due; receive, walk frames, spill
    spilled    ->  Python sees the few frames that matter (probes, corrections, closings, ...)

Slots have absolute deadlines. How late each was served is the generator's own health: a generator
that is late measures itself, and the run is then not valid (`report`). There is no event-loop
library here on purpose: the loop has a single owner, and its waiting time must be measurable.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from atrium_loadtest import fleet as tables
from atrium_loadtest import frames, kernels
from atrium_loadtest.crowd import Crowd, Extent
from atrium_loadtest.evidence import Window
from atrium_loadtest.fleet import ACTIVE, AWAY, LOST
from atrium_loadtest.joiner import Address, Failed, Joined, Joiner
from atrium_loadtest.probe import Probe, Truth
from atrium_shared import codec, limits, messages, pose
from atrium_shared.errors import ErrorCode, ProtocolError

PHASES: Final = 10
EVENTS_MAX: Final = 256
"""Sockets served between two looks at the clock: about 1 ms of work."""
WAIT_MS_MAX: Final = 10
ACT_S: Final = 0.1
"""How often a scenario may act."""
PROGRESS_S: Final = 0.5
_CLIENT_MS_MASK: Final = 0xFFFFFFFF
_SNAPSHOT_OP: Final = bytes((messages.op_of(messages.Snapshot),))
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Plan:
    """What the generator is to drive."""

    clients: int
    rate_hz: float
    extent: Extent
    radius_m: float
    margin_m: float = 2.0
    probes: int = 8
    seed: int = 1
    world: str = ""
    avatars_max: int = 64
    joins_per_s: float = 400.0


class Scenario(Protocol):
    """What bots do besides walking."""

    def act(self, generator: Generator, now_s: float) -> None:
        """Called every `ACT_S`."""
        ...

    def joined(self, generator: Generator, joined: Joined) -> None:
        """A bot is in (again)."""
        ...

    def heard(self, bot: int, message: messages.ServerMessage, now_ns: int) -> None:
        """A message that the generator itself has no use for."""
        ...


_COUNTERS: Final = ("snapshots", "received_bytes", "chat_lines", "other_frames", "poses", "blocked")


class Generator:
    """A crowd of bots and their connections to one server. Use as a context manager."""

    def __init__(self, plan: Plan, address: Address, path: str, scenario: Scenario) -> None:
        self.plan = plan
        self.scenario = scenario
        fds_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.fleet = tables.make_fleet(plan.clients, min(fds_max, 1 << 20))
        self.crowd = Crowd(plan.clients, plan.seed, plan.extent)
        walkers = self.crowd.walkers
        self.truth = Truth(
            self.fleet, walkers["x"], walkers["z"], plan.radius_m, plan.margin_m, 1.0
        )
        self.joiner = Joiner(address, path, plan.joins_per_s)
        self.welcomes: list[messages.Welcome | None] = [None] * plan.clients
        self.lost: Counter[str] = Counter()
        """Bots that the server (or the network) ended or refused, by reason."""
        self.corrections = 0
        self.join_s: list[float] = []
        self.window = self._new_window()
        self._sockets: list[socket.socket | None] = [None] * plan.clients
        self._probes: dict[int, Probe] = {}
        self._unsent: dict[int, bytes] = {}
        self._errors: dict[int, str] = {}
        self._epoll = select.epoll()
        self._epoll.register(self.joiner.fileno(), select.EPOLLIN)
        self._rng = np.random.default_rng(plan.seed)
        every = np.arange(plan.clients, dtype=np.int32)
        self._slots = [every[slot::PHASES] for slot in range(PHASES)]
        longest = max(1, len(self._slots[0]))
        self._rows = np.zeros((longest, pose.COLUMNS), np.int32)
        self._frames = np.zeros((longest, tables.FRAME_BYTES), np.uint8)
        self._events = np.zeros(EVENTS_MAX * kernels.EPOLL_EVENT_BYTES, np.uint8)
        self._scratch = np.zeros(tables.CARRY_BYTES, np.uint8)
        self._spill = np.zeros(kernels.SPILL_BYTES, np.uint8)
        self._index = np.zeros((kernels.SPILL_LINES, 4), np.int64)
        self._slot_ns = int(1e9 / plan.rate_hz / PHASES)
        self._slot, self._due_ns, self._act_s = 0, time.monotonic_ns(), 0.0

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self.joiner.close()
        for bot in range(self.plan.clients):
            if self._sockets[bot] is not None:
                self.part(bot, AWAY)
        self._epoll.close()

    # --- for the runner -------------------------------------------------------------------

    def compile_kernels(self) -> None:
        """Call every kernel once without work, so that none is compiled while time counts."""
        nobody = np.zeros(0, np.int32)
        self._send(nobody, time.monotonic_ns())
        self._receive(0)
        none = np.zeros((0, pose.COLUMNS), np.int32)
        frames.match_rows(
            none, np.zeros(0, np.uint8), nobody, self.fleet.hashes, self.fleet.stamps,
            np.zeros(0, np.int64),
        )
        self.crowd.place(0, np.zeros(pose.COLUMNS, np.int32), 0.0)

    def join(self, bot: int, resume_token: str = "", last_chat_seq: int = 0) -> None:
        """Ask for `bot` to be let in."""
        hello = messages.Hello(
            codec.PROTOCOL_HASH, messages.ClientKind.BOT, f"Bot {bot}", "", self.plan.world,
            messages.Capabilities(
                self.plan.avatars_max, limits.BYTES_PER_S_DEFAULT, tables.PARTS
            ),
            "", resume_token, last_chat_seq,
        )
        self.joiner.request(bot, hello)

    def run(
        self,
        seconds: float,
        until: Callable[[], bool] = lambda: False,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Drive the crowd for `seconds`, or until `until()` holds (asked often)."""
        now_ns = time.monotonic_ns()
        end_ns, progress_ns = now_ns + int(seconds * 1e9), 0
        while now_ns < end_ns and not until():
            if now_ns >= self._due_ns:
                self._serve_slot(now_ns)
            elif now_ns >= progress_ns:
                progress_ns = now_ns + int(PROGRESS_S * 1e9)
                progress()
            wait_ns = min(self._due_ns, end_ns) - time.monotonic_ns()
            self._receive(min(max(0, -(-wait_ns // 1_000_000)), WAIT_MS_MAX))
            now_ns = time.monotonic_ns()
            if self.joiner.pending:
                self._take_joined(now_ns / 1e9)
            if self._unsent:
                self._flush()
            if now_ns / 1e9 >= self._act_s:
                self._act_s = now_ns / 1e9 + ACT_S
                self.window.actives.append(self.active)
                self.scenario.act(self, now_ns / 1e9)

    @property
    def active(self) -> int:
        """Bots that are connected now."""
        return int((self.fleet.bots["state"] == ACTIVE).sum())

    def begin_window(self) -> None:
        """Measure from now on."""
        self.window = self._new_window()

    def end_window(self) -> Window:
        """What was measured since `begin_window`."""
        window = self.window
        window.ended_ns = time.monotonic_ns()
        now = self._totals()
        window.counts = {name: now[name] - window.base[name] for name in _COUNTERS}
        self.window = self._new_window()
        return window

    # --- for scenarios --------------------------------------------------------------------

    def say(self, bot: int, message: messages.ClientMessage) -> None:
        """Send a message of `bot` between its poses."""
        self._send_control(bot, frames.BINARY, codec.encode(message))

    def leave(self, bot: int) -> None:
        """Say goodbye and close: the seat is free at once."""
        self.say(bot, messages.Bye())
        self._send_control(bot, frames.CLOSE, (1000).to_bytes(2, "big"))
        self.part(bot, AWAY)

    def cut(self, bot: int) -> None:
        """Drop the connection without a word, as a dead link does; the seat can be resumed."""
        connection = self._sockets[bot]
        assert connection is not None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.part(bot, AWAY)

    def part(self, bot: int, state: int) -> None:
        """Close `bot`'s socket and leave it in `state`."""
        connection = self._sockets[bot]
        assert connection is not None
        with contextlib.suppress(OSError):
            self._epoll.unregister(connection.fileno())
        tables.detach(self.fleet, bot, state)
        connection.close()
        self._sockets[bot] = None
        self._unsent.pop(bot, None)
        self._probes.pop(bot, None)

    # --- sending --------------------------------------------------------------------------

    def _serve_slot(self, now_ns: int) -> None:
        self.window.late_ns.append(now_ns - self._due_ns)
        slot = self._slots[self._slot]
        self._send(slot[self.fleet.bots["state"][slot] == ACTIVE], now_ns)
        self._slot = (self._slot + 1) % PHASES
        self._due_ns = max(self._due_ns + self._slot_ns, now_ns - PHASES * self._slot_ns)

    def _send(self, chosen: npt.NDArray[np.int32], now_ns: int) -> None:
        self.crowd.step(chosen, now_ns / 1e9, self._rows)
        keys = self._rng.integers(0, 2**32, len(chosen), dtype=np.uint32)
        frames.encode_frames(
            self._rows, chosen, self.fleet.bots, now_ns // 1_000_000 & _CLIENT_MS_MASK, keys,
            self.fleet.hashes, self._frames,
        )
        kernels.send_frames(
            chosen, self._frames, self.fleet.bots, self.fleet.tails, self.fleet.stamps
        )

    def _send_control(self, bot: int, opcode: int, payload: bytes) -> None:
        if self._sockets[bot] is not None:
            frame = frames.client_frame(opcode, payload, self._rng.bytes(4))
            self._unsent[bot] = self._unsent.get(bot, b"") + frame
            self._flush()

    def _flush(self) -> None:
        """Send what Python has to say, never in the middle of a pose frame."""
        for bot, data in list(self._unsent.items()):
            row, connection = self.fleet.bots[bot], self._sockets[bot]
            assert connection is not None
            if row["tail"]:
                continue
            try:
                data = data[connection.send(data) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                data = b""
            row["muted"] = bool(data)
            self._unsent[bot] = data
            if not data:
                del self._unsent[bot]

    # --- receiving ------------------------------------------------------------------------

    def _receive(self, timeout_ms: int) -> None:
        ready, spilled, waited_ns = kernels.receive(
            self._epoll.fileno(), timeout_ms, self._events, self.fleet.bot_of_fd,
            self.fleet.bots, self.fleet.carry, self._scratch, self._spill, self._index,
        )
        self.window.waited_ns += waited_ns
        if ready < 0:
            raise OSError(-ready, "epoll_wait failed")
        for bot, opcode, at, length in self._index[:spilled].tolist():
            if self.fleet.bots["state"][bot] == ACTIVE:
                self._take(bot, opcode, self._spill[at : at + length].tobytes())

    def _take(self, bot: int, opcode: int, payload: bytes) -> None:
        if opcode == frames.BINARY:
            try:
                self._take_message(bot, payload)
            except ProtocolError as error:
                self._lose(bot, f"does not decode: {error.sentence}")
        elif opcode == frames.PING:
            self._send_control(bot, frames.PONG, payload)
        elif opcode == frames.CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self._lose(bot, self._errors.pop(bot, f"closed with {code}"))
        elif opcode == kernels.ENDED:
            self._lose(bot, self._errors.pop(bot, "the connection ended"))
        elif opcode != frames.PONG:
            self._lose(bot, "sent what is no frame of a server")

    def _take_message(self, bot: int, payload: bytes) -> None:
        probe = self._probes.get(bot)
        if probe is not None and payload[1:2] == _SNAPSHOT_OP:
            probe.snapshot(payload, time.monotonic_ns, self.window.tally)
            return
        message, now_ns = codec.decode_server(payload), time.monotonic_ns()
        match message:
            case messages.Correction(body=body):
                self.corrections += 1
                self._place(bot, body, now_ns / 1e9)
            case messages.Error(sentence=sentence):
                self._errors[bot] = f"error: {sentence}"
            case messages.Enter() if probe is not None:
                probe.enter(message, now_ns)
            case messages.Leave() if probe is not None:
                probe.leave(message)
            case _:
                self.scenario.heard(bot, message, now_ns)

    def _lose(self, bot: int, reason: str) -> None:
        self.lost[reason] += 1
        self.part(bot, LOST)

    def _take_joined(self, now_s: float) -> None:
        for outcome in self.joiner.poll(now_s):
            if isinstance(outcome, Failed):
                self.lost[f"could not join: {outcome.reason}"] += 1
                self.fleet.bots[outcome.bot]["state"] = LOST
                continue
            try:
                self._admit(outcome, now_s)
            except ProtocolError as error:
                self.lost[f"could not join: {error.sentence}"] += 1
                self.fleet.bots[outcome.bot]["state"] = LOST
                outcome.connection.close()

    def _admit(self, joined: Joined, now_s: float) -> None:
        bot, welcome, fd = joined.bot, joined.welcome, joined.connection.fileno()
        self._place(bot, welcome.body, now_s)
        self.welcomes[bot], self._sockets[bot] = welcome, joined.connection
        self.join_s.append(joined.seconds)
        self.fleet.bots[bot]["entity_id"] = welcome.entity_id
        self.fleet.bots[bot]["probe"] = bot < self.plan.probes
        self.truth.bot_of_entity[welcome.entity_id] = bot
        self.truth.updates_per_tick = min(1.0, self.plan.rate_hz / max(1, welcome.tick_rate_hz))
        if bot < self.plan.probes:
            self._probes[bot] = Probe(bot, welcome.cap, self.truth)
        self._attach(bot, fd, joined.rest)
        self._epoll.register(fd, select.EPOLLIN)
        self.scenario.joined(self, joined)

    def _attach(self, bot: int, fd: int, rest: bytes) -> None:
        """Put the bot on its socket, with the frames that arrived together with its welcome.

        They have to be taken now: a server that waits for the ack of a first large snapshot
        sends nothing that would bring the kernel back to them.
        """
        whole: list[tuple[int, bytes]] = []
        behind_welcome = len(rest)
        while (found := frames.server_frame(rest)) is not None:
            opcode, payload, rest = found
            whole.append((opcode, payload))
        tables.attach(self.fleet, bot, fd, rest)
        row = self.fleet.bots[bot]
        row["received_bytes"] += behind_welcome - len(rest)
        for opcode, payload in whole:
            if opcode == frames.BINARY and payload[1:2] == _SNAPSHOT_OP:
                row["ack_tick"] = int.from_bytes(payload[3:7], "big")
                row["snapshots"] += 1
                if bot not in self._probes:
                    continue
            self._take(bot, opcode, payload)

    def _place(self, bot: int, body: bytes, now_s: float) -> None:
        try:
            rows, _ = pose.decode_bodies(np.frombuffer(body, np.uint8)[None, :])
        except ValueError as error:
            raise ProtocolError(
                ErrorCode.MALFORMED, f"a body of the server does not decode: {error}"
            ) from None
        self.crowd.place(bot, rows[0], now_s)

    def _totals(self) -> dict[str, int]:
        return {name: int(self.fleet.bots[name].sum()) for name in _COUNTERS}

    def _new_window(self) -> Window:
        return Window(time.monotonic_ns(), self._totals())

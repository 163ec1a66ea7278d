"""The generator against a small server that speaks the protocol, over real sockets.

The server here is written with the codec and the websockets library alone: it shows each client
all the others in full records. Each test ends as soon as what it waits for has happened.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_loadtest import runner
from atrium_loadtest.crowd import Extent
from atrium_loadtest.evidence import Evidence
from atrium_loadtest.fleet import ACTIVE
from atrium_loadtest.generator import Generator, Plan
from atrium_loadtest.observer import Observer
from atrium_loadtest.scenarios import Churn, Walk
from atrium_shared import codec, messages, pose
from atrium_shared.errors import ErrorCode
from atrium_shared.snapshot import Form

PATIENCE_S = 30.0
TICK_S = 0.05
HOME = pose.encode_bodies(
    np.zeros((1, pose.COLUMNS), np.int32), np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0
)[0].tobytes()


@dataclass
class Client:
    """One connection of the small server."""

    connection: socket.socket
    entity_id: int
    protocol: ServerProtocol = field(
        default_factory=lambda: ServerProtocol(subprotocols=[codec.SUBPROTOCOL])  # type: ignore[list-item]
    )
    hello: messages.Hello | None = None
    pose: messages.Pose | None = None
    known: dict[int, int] = field(default_factory=dict)
    said: list[messages.ClientMessage] = field(default_factory=list)


class SmallServer:
    """Serves in a thread until closed. What it heard is for assertions."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = self.listener.getsockname()
        self.clients: list[Client] = []
        self.heard: list[messages.ClientMessage] = []
        self.pongs: list[bytes] = []
        self.refuse: messages.Error | None = None
        self.orders: list[tuple[Opcode, bytes]] = []
        """(opcode, payload) to be sent to everybody at the next tick."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._tick = 100
        self._ids = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for client in self.clients:
            client.connection.close()
        self.listener.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    self._accept()
                else:
                    self._receive(key.data)
            self._show()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        self._ids += 1
        client = Client(connection, self._ids)
        self.clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _receive(self, client: Client) -> None:
        try:
            data = client.connection.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        client.protocol.receive_data(data)
        for event in client.protocol.events_received():
            if isinstance(event, Request):
                client.protocol.send_response(client.protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                self._take(client, codec.decode_client(bytes(event.data)))
        self._flush(client)

    def _take(self, client: Client, message: messages.ClientMessage) -> None:
        self.heard.append(message)
        if isinstance(message, messages.Pose):
            client.pose = message
        elif isinstance(message, messages.Hello) and self.refuse is not None:
            client.protocol.send_binary(codec.encode(self.refuse))
        elif isinstance(message, messages.Hello):
            client.hello = message
            client.protocol.send_binary(codec.encode(messages.Welcome(
                client.entity_id, f"token {client.entity_id}", client.entity_id, "small",
                self._tick, 20, 0, 64, 1_000_000, 3, 1, bool(message.resume_token), 30,
                "/scene@1", HOME, 0, "", 0,
            )))

    def _show(self) -> None:
        """A tick: every client is shown all others; then the orders are carried out."""
        self._tick += 1
        there = [client for client in self.clients if client.hello and client.pose]
        orders, self.orders = self.orders, []
        for client in list(self.clients):
            if client.hello is None or client.protocol.state is not State.OPEN:
                continue
            for other in there:
                if other is not client and other.entity_id not in client.known:
                    self._enter(client, other)
            self._snapshot(client, [other for other in there if other is not client])
            for opcode, payload in orders:
                client.protocol.send_frame(Frame(opcode, payload))
            self._flush(client)

    def _enter(self, client: Client, other: Client) -> None:
        index = len(client.known) % 255
        client.known[other.entity_id] = index
        entry = messages.EnterEntry(
            index, other.entity_id, messages.EntityKind.AVATAR, other.hello.name, ""
        )
        client.protocol.send_binary(codec.encode(messages.Enter((entry,))))

    def _snapshot(self, client: Client, others: list[Client]) -> None:
        body = b""
        if others:
            body = bytes((Form.FULL << 6 | 3, len(others)))
            body += bytes(client.known[other.entity_id] for other in others)
            body += b"".join(other.pose.body[1:] for other in others)
        client.protocol.send_binary(codec.encode_snapshot(self._tick, 0, 0, body))

    def _flush(self, client: Client) -> None:
        with contextlib.suppress(OSError):
            for data in client.protocol.data_to_send():
                client.connection.sendall(data)

    def _drop(self, client: Client) -> None:
        self._selector.unregister(client.connection)
        client.connection.close()
        self.clients.remove(client)


@pytest.fixture
def server() -> Iterator[SmallServer]:
    made = SmallServer()
    yield made
    made.close()


def plan(clients: int, probes: int = 2) -> Plan:
    return Plan(
        clients=clients, rate_hz=20.0, extent=Extent(-9.0, 9.0, -9.0, 9.0), radius_m=100.0,
        probes=probes, joins_per_s=1_000.0,
    )


@contextlib.contextmanager
def crowd(
    server: SmallServer, made: Plan, scenario: Walk | None = None
) -> Iterator[Generator]:
    """A generator whose bots are all in."""
    with Generator(made, server.address, "/ws", scenario or Walk()) as generator:
        generator.compile_kernels()
        for bot in range(made.clients):
            generator.join(bot)
        generator.run(PATIENCE_S, until=lambda: not generator.joiner.pending)
        yield generator


def test_probes_find_the_poses_that_the_others_sent(server: SmallServer) -> None:
    with crowd(server, plan(6)) as generator:
        assert generator.active == 6
        generator.begin_window()
        generator.run(PATIENCE_S, until=lambda: generator.window.tally.snapshots > 30)
        window = generator.end_window()
    tally = window.tally
    assert tally.records > 60
    assert tally.unmatched == 0
    ages_ms = tally.ages_ms()
    assert len(ages_ms) == tally.records
    assert ages_ms.min() > 0
    assert window.counts["snapshots"] >= tally.snapshots
    assert window.counts["poses"] > 0
    assert 0 < window.busy < 1
    assert not generator.lost
    poses = [message for message in server.heard if isinstance(message, messages.Pose)]
    assert max(message.ack_tick for message in poses) > 100
    assert len({message.body for message in poses}) == len(poses)


def test_a_correction_is_obeyed(server: SmallServer) -> None:
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, [pose.X, pose.Z]] = 7_000, -8_000
    body = pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0)[0].tobytes()
    with crowd(server, plan(1, probes=0)) as generator:
        server.orders = [(Opcode.BINARY, codec.encode(messages.Correction(1, 1, 2, body)))]
        generator.run(PATIENCE_S, until=lambda: generator.corrections > 0)
        assert abs(generator.crowd.walkers["x"][0] - 7.0) < 1.0
        assert abs(generator.crowd.walkers["z"][0] + 8.0) < 1.0


def test_a_ping_is_answered_and_a_close_is_a_loss(server: SmallServer) -> None:
    with crowd(server, plan(2, probes=0)) as generator:
        server.orders = [(Opcode.PING, b"hello?")]
        generator.run(PATIENCE_S, until=lambda: len(server.pongs) == 2)
        assert server.pongs == [b"hello?"] * 2
        server.orders = [(Opcode.CLOSE, (1011).to_bytes(2, "big") + b"sorry")]
        generator.run(PATIENCE_S, until=lambda: generator.active == 0)
        assert generator.lost == {"closed with 1011": 2}


def test_an_error_gives_its_sentence_to_the_loss(server: SmallServer) -> None:
    with crowd(server, plan(1, probes=0)) as generator:
        error = messages.Error(int(ErrorCode.SLOW), "you are too slow", 0)
        goodbye = (4010).to_bytes(2, "big")
        server.orders = [(Opcode.BINARY, codec.encode(error)), (Opcode.CLOSE, goodbye)]
        generator.run(PATIENCE_S, until=lambda: generator.active == 0)
        assert generator.lost == {"error: you are too slow": 1}


def test_a_snapshot_that_does_not_decode_is_a_loss(server: SmallServer) -> None:
    with crowd(server, plan(1, probes=1)) as generator:
        server.orders = [(Opcode.BINARY, codec.encode_snapshot(999, 0, 0, b"\xff\x01"))]
        generator.run(PATIENCE_S, until=lambda: generator.active == 0)
        assert [reason.split(":")[0] for reason in generator.lost] == ["does not decode"]


def test_a_refusal_is_counted_with_its_reason(server: SmallServer) -> None:
    server.refuse = messages.Error(int(ErrorCode.FULL), "no room", 0)
    with crowd(server, plan(3)) as generator:
        assert generator.active == 0
        assert generator.lost == {"could not join: refused: no room": 3}


def test_nobody_listening_is_counted_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with Generator(plan(2), address, "/ws", Walk()) as generator:
        generator.join(0)
        generator.run(PATIENCE_S, until=lambda: not generator.joiner.pending)
        assert sum(generator.lost.values()) == 1


class Quick(Churn):
    """Churn in which every bot leaves or is cut once."""

    def act(self, generator: Generator, now_s: float) -> None:
        if self.left == 0 and generator.active == 4:
            for bot in (0, 1):
                generator.leave(bot)
                self.left += 1
                self._come_back(bot, 0.0, "")
            for bot in (2, 3):
                welcome = generator.welcomes[bot]
                assert welcome is not None
                generator.cut(bot)
                self.cut += 1
                self._come_back(bot, 0.0, welcome.resume_token)
        elif self.left:
            super().act(generator, 1e9)


def test_bots_leave_with_a_word_and_resume_after_a_cut(server: SmallServer) -> None:
    scenario = Quick(seed=1)
    with crowd(server, plan(4, probes=4), scenario) as generator:
        generator.run(PATIENCE_S, until=lambda: scenario.rejoined + scenario.resumed == 4)
        assert (generator.fleet.bots["state"] == ACTIVE).all()
        assert not generator.lost
    assert (scenario.rejoined, scenario.resumed, scenario.resume_refused) == (2, 2, 0)
    assert sum(isinstance(message, messages.Bye) for message in server.heard) == 2


class Prompt(Observer):
    """Samples at the very moment of a mark, and at no other."""

    def start(self) -> None:
        pass

    def mark(self) -> None:
        self.samples.append(self._sample())

    def stop(self) -> None:
        pass


def test_the_samples_of_both_marks_are_in_the_window(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind: list[Evidence] = []
    monkeypatch.setattr(runner, "Observer", Prompt)
    monkeypatch.setattr(runner, "build_report", left_behind.append)
    settings = runner.Settings("plaza", 2, 0.1, warmup_s=0.0)
    target = runner.Target(
        server.address, "", metrics=False, probes=False, extent=Extent(-9.0, 9.0, -9.0, 9.0)
    )
    runner.measure(settings, target, runner.Stage(), None)
    (evidence,) = left_behind
    assert len(evidence.samples) == 2
    assert evidence.joins_pending == 0
    assert (evidence.expects_metrics, evidence.expects_probes) == (False, False)
    assert evidence.window.actives

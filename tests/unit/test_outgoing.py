"""What goes out goes out whole and in order, whatever a socket takes at a time."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.doors import U8
from atrium_server.net.connection import Arrival, Connection
from atrium_server.net.connections import Connections
from atrium_server.net.frame_kernels import Chunks, chunks_of
from atrium_server.net.outgoing import SNAPSHOT_BYTES_MAX, TAIL_BYTES_MAX, Outgoing
from atrium_server.net.socket_io import Endpoint, Sizes, Slots
from atrium_shared import limits


class NoEndpoint:
    """A socket that nobody looks at."""

    def close(self) -> None:
        pass


@dataclass
class FakeIO:
    """Sockets that take what a seeded generator says, or fail."""

    random: random.Random = field(default_factory=lambda: random.Random(0))
    taken: dict[int, bytes] = field(default_factory=dict[int, bytes])
    fails: dict[int, int] = field(default_factory=dict[int, int])
    """Slots that answer with -errno."""
    most: int = 1 << 30
    """Most bytes that are taken at once; anything below that is a matter of chance."""

    def add(self, slot: int, endpoint: Endpoint) -> None: ...

    def remove(self, slot: int) -> None: ...

    async def wait_readable(self) -> None: ...

    def receive(self) -> Chunks:
        return chunks_of([])

    def end_output(self, slot: int) -> None: ...

    def close(self) -> None: ...

    def send(self, slots: Slots, arena: U8, offsets: Sizes, lengths: Sizes) -> Sizes:
        return np.array([
            self.send_one(slot, arena[at : at + length].tobytes())
            for slot, at, length in zip(
                slots.tolist(), offsets.tolist(), lengths.tolist(), strict=True
            )
        ], np.int64)

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        if slot in self.fails:
            return -self.fails[slot]
        size = min(len(data), self.most if self.most > 1_000 else self.random.randint(0, self.most))
        self.taken[slot] = self.taken.get(slot, b"") + bytes(data[:size])
        return size if size else -errno.EAGAIN


class Rig:
    """An Outgoing with a few connections."""

    def __init__(self, io: FakeIO, count: int = 3, cipher: object = None) -> None:
        self.io = io
        self.all = Connections(count)
        self.out = Outgoing(io, self.all)
        for _ in range(count):
            protocol = ServerProtocol(state=State.OPEN)
            self.all.add(Arrival(NoEndpoint(), protocol, "", b"", cipher), 0.0)  # type: ignore[arg-type]

    def one(self, number: int = 0) -> Connection:
        return self.all.at(number)

    def snapshots(self, bodies: dict[int, bytes], room: int = 1 << 30) -> dict[int, bool]:
        """One tick: a snapshot for each of those who are ready, as the host sends them."""
        numbers = np.array(sorted(bodies), np.int32)
        numbers = numbers[self.out.ready(numbers)]
        prefixes = self.out.waiting(numbers, np.full(len(numbers), room, np.int32))
        lengths = np.array(
            [prefix + len(bodies[n]) for n, prefix in zip(numbers.tolist(), prefixes, strict=True)],
            np.int64,
        )
        offsets = np.cumsum(lengths) - lengths
        arena = np.zeros(int(lengths.sum()) or 1, np.uint8)
        for n, at, prefix in zip(numbers.tolist(), offsets, prefixes, strict=True):
            body = np.frombuffer(bodies[n], np.uint8)
            arena[at + prefix : at + prefix + len(body)] = body
        accepted = self.out.send(numbers, prefixes, arena, offsets, lengths)
        return dict(zip(numbers.tolist(), (accepted == 1).tolist(), strict=True))


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_the_stream_is_what_was_handed_over_in_that_order(seed: int, most: int) -> None:
    """Sockets take 0 to `most` bytes at a time; nothing is missing."""
    rng = random.Random(seed)
    rig = Rig(FakeIO(random=rng, most=most))
    expected = dict.fromkeys(range(3), b"")
    urgent, talk = dict.fromkeys(range(3), b""), dict.fromkeys(range(3), b"")
    for step in range(60):
        n, piece = rng.randrange(3), f"<{step}>".encode() * rng.randrange(1, 5)
        match rng.randrange(4):
            case 0:
                is_talk = rng.random() < 0.5
                rig.out.queue(rig.one(n), piece, is_talk)
                (talk if is_talk else urgent)[n] += piece
            case 1:
                rig.out.send_now(rig.one(n), piece)
                expected[n] += piece
            case 2:
                rig.out.flush_tails()
            case _:
                bodies = {k: f"[{step}:{k}]".encode() * 3 for k in range(3)}
                for k, accepted in rig.snapshots(bodies).items():
                    assert accepted
                    expected[k] += urgent[k] + talk[k] + bodies[k]
                    urgent[k] = talk[k] = b""
    for n in range(3):
        rig.out.flush_reliable(rig.one(n))
        expected[n] += urgent[n] + talk[n]
    rig.io.most = 1 << 30
    rig.out.flush_tails()
    assert rig.io.taken == {n: data for n, data in expected.items() if data}
    assert not rig.all.has_tail.any()
    assert not rig.all.pending.any()
    assert rig.out.broken == rig.out.overflowed == []


def test_who_has_a_tail_or_is_closing_gets_no_snapshot() -> None:
    rig = Rig(FakeIO(most=10))
    rig.one(0).tail = b"rest"
    rig.all.has_tail[0] = True
    rig.all.closing[1] = True
    assert set(rig.snapshots({0: b"a", 1: b"b", 2: b"c"})) == {2}


@pytest.mark.parametrize("error", [errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT])
def test_a_socket_that_breaks_in_a_bulk_send_is_reported_and_the_others_are_served(
    error: int,
) -> None:
    rig = Rig(FakeIO(fails={1: error}))
    rig.out.queue(rig.one(1), b"reliable")
    assert rig.snapshots({0: b"a", 1: b"b", 2: b"c"}) == {0: True, 1: False, 2: True}
    assert rig.out.broken == [1]
    assert rig.io.taken == {0: b"a", 2: b"c"}
    rig.out.send_now(rig.one(1), b"x")
    assert set(rig.out.broken) == {1}


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EINTR, errno.ENOBUFS])
def test_later_is_not_never(error: int) -> None:
    rig = Rig(FakeIO(fails={0: error}))
    rig.out.queue(rig.one(0), b"reliable ")
    assert rig.snapshots({0: b"old"}) == {0: True}
    assert rig.out.broken == []
    rig.io.fails.clear()
    assert rig.snapshots({0: b"new"}) == {}, "nothing is built before the tail is gone"
    rig.out.flush_tails()
    assert rig.io.taken == {0: b"reliable old"}


def test_reliable_messages_are_bounded_by_bytes_and_by_number() -> None:
    rig = Rig(FakeIO())
    for _ in range(limits.RELIABLE_MESSAGES_MAX):
        rig.out.queue(rig.one(0), b"x")
    assert rig.out.overflowed == []
    rig.out.queue(rig.one(0), b"x")
    assert rig.out.overflowed == [0]
    rig.out.queue(rig.one(1), bytes(limits.RELIABLE_BYTES_MAX))
    assert rig.out.overflowed == [0]
    rig.out.queue(rig.one(1), b"x")
    assert rig.out.overflowed == [0, 1]


def test_what_concerns_the_client_itself_never_waits_behind_talk() -> None:
    """Talk goes as far as credit allows, whole lines and at least one; the others go at once."""
    rig = Rig(FakeIO())
    for k in range(4):
        rig.out.queue(rig.one(), b"talk%d " % k, is_talk=True)
        rig.out.queue(rig.one(), b"urgent%d " % k)
    assert rig.snapshots({0: b"[1]"}, room=0) == {0: True}
    assert rig.io.taken[0] == b"urgent0 urgent1 urgent2 urgent3 talk0 [1]"
    rig.out.queue(rig.one(), b"urgent4 ")
    rig.snapshots({0: b"[2]"}, room=20)
    assert rig.io.taken[0].endswith(b"[1]urgent4 talk1 talk2 [2]")
    rig.snapshots({0: b"[3]"}, room=0)
    assert rig.io.taken[0].endswith(b"[2]talk3 [3]")
    assert not rig.all.pending.any()


def test_no_snapshot_goes_out_without_a_message_that_found_no_room() -> None:
    rig = Rig(FakeIO())
    rig.out.queue(rig.one(0), bytes(limits.RELIABLE_BYTES_MAX), is_talk=True)
    rig.out.queue(rig.one(0), b"welcome")
    assert rig.out.overflowed == [0]
    assert set(rig.snapshots({0: b"a", 1: b"b"})) == {1}


def test_the_largest_piece_and_full_queues_fit_behind_one_byte_taken() -> None:
    """Whoever is closed just then is still told why, if only it reads on."""
    rig = Rig(FakeIO())
    rig.out.queue(rig.one(0), bytes(limits.RELIABLE_BYTES_MAX))
    rig.io.most = 1
    while not rig.all.has_tail[0]:
        rig.snapshots({0: bytes(SNAPSHOT_BYTES_MAX)})
    rig.out.queue(rig.one(0), bytes(limits.RELIABLE_BYTES_MAX))
    rig.out.send_last(rig.one(0), b"error")
    assert rig.out.overflowed == []


def test_a_tail_is_bounded() -> None:
    rig = Rig(FakeIO(fails={0: errno.EAGAIN}))
    rig.out.send_now(rig.one(0), bytes(TAIL_BYTES_MAX))
    assert rig.out.overflowed == []
    rig.out.send_now(rig.one(0), b"x")
    assert rig.out.overflowed == [0]


class Rot:
    """A cipher whose order shows: each piece is numbered, and shifted by one."""

    def __init__(self) -> None:
        self.count = 0
        self.is_over = self.is_broken = False

    def decrypt(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""

    def end(self) -> bytes:
        return b"end"

    def encrypt(self, data: bytes | memoryview) -> bytes:
        if self.is_broken:
            raise ConnectionResetError
        self.count += 1
        return b"%d(" % self.count + bytes(b + 1 for b in data) + b")"


def test_what_is_encrypted_is_sent_to_the_end_and_in_order() -> None:
    rng = random.Random(4)
    rig = Rig(FakeIO(random=rng, most=4), count=1, cipher=Rot())
    for k in range(6):
        rig.snapshots({0: b"%d" % k})
        rig.out.send_now(rig.one(0), b"now")
        for _ in range(rng.randrange(4)):
            rig.out.flush_tails()
    rig.io.most = 1 << 30
    rig.out.flush_tails()
    stream = rig.io.taken[0]
    parts = stream.rstrip(b")").split(b")")
    assert [int(part.partition(b"(")[0]) for part in parts] == list(range(1, len(parts) + 1))
    assert parts.count(parts[-1]) == 1


def test_a_cipher_that_is_broken_ends_its_connection_and_no_other() -> None:
    cipher = Rot()
    rig = Rig(FakeIO(), count=2, cipher=cipher)
    other = Connection(1, Arrival(NoEndpoint(), rig.one(1).protocol, ""), 0.0)
    rig.one(1).cipher = other.cipher
    cipher.is_broken = True
    rig.snapshots({0: b"zero", 1: b"one"})
    assert rig.out.broken == [0]
    assert rig.io.taken.get(0, b"") == b""
    assert rig.io.taken[1] == b"one", "what is not encrypted goes out as it is beside it"
    rig.out.send_now(rig.one(0), b"now")
    assert rig.out.broken == [0, 0]


def test_the_end_is_said_unless_it_would_cut_a_record() -> None:
    rig = Rig(FakeIO(), count=2, cipher=Rot())
    rig.one(1).tail = b"rest of a record"
    for number in (0, 1):
        rig.out.send_end(rig.one(number))
    assert rig.io.taken == {0: b"end"}


def test_nothing_is_encrypted_for_nothing() -> None:
    cipher = Rot()
    rig = Rig(FakeIO(), count=1, cipher=cipher)
    rig.out.send_now(rig.one(0), b"")
    rig.out.send_protocol(rig.one(0))
    assert cipher.count == 0

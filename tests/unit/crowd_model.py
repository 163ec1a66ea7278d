"""Models for the tests of replication: a crowd that does everything a crowd can do, and a client.

`Crowd` is the tables of a world without its rules: entities walk, run, jump further than any delta
reaches, turn their wrists, change flags and tracked parts, stand still, come and go in slots that
others had.
`Client` is what the bytes mean: it takes whole pieces as a socket would deliver them, parses the
frames by itself, keeps a `snapshot.View`, and holds the server to the protocol at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from atrium_server.frame import ENTER_TAIL_BYTES_MAX, PublishedFrame, enter_tail
from atrium_shared import codec, pose, snapshot
from atrium_shared import messages as m

Rows = pose.IntRows
PART_SETS = (0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 11, 16, 24, 32, 43, 59, 63)
IDLE, WALK, RUN, LEAP, TURN, WILD = range(6)


class Crowd:
    """Entities of one world in `slots` slots, on a square of twice `half_mm`."""

    def __init__(self, rng: np.random.Generator, slots: int, half_mm: int) -> None:
        self.rng, self.slots, self.half_mm = rng, slots, half_mm
        self.tick = 0
        self.alive = np.zeros(slots, np.uint8)
        self.ids = np.zeros(slots, np.uint32)
        self.rows = np.zeros((slots, pose.COLUMNS), np.int32)
        self.extras = np.zeros((slots, pose.EXTRA_BYTES), np.uint8)
        self.parts = np.zeros(slots, np.uint8)
        self.seqs = np.zeros(slots, np.uint32)
        self.boost = np.ones(slots, np.float32)
        self.tails = np.zeros((slots, ENTER_TAIL_BYTES_MAX), np.uint8)
        self.tail_lengths = np.zeros(slots, np.int32)
        self.names: dict[int, str] = {}
        self.manner = np.zeros(slots, np.int64)
        self._next_id = 1

    def join(self, slot: int) -> None:
        """A new entity in a free slot."""
        rng = self.rng
        assert not self.alive[slot]
        self.alive[slot], self.ids[slot] = 1, self._next_id
        self._next_id += 1
        self.rows[slot] = 0
        self.rows[slot, [pose.X, pose.Z]] = rng.integers(-self.half_mm, self.half_mm + 1, 2)
        self.rows[slot, pose.YAW] = rng.integers(pose.YAW_STEPS)
        self.parts[slot] = rng.choice(PART_SETS)
        self.manner[slot] = rng.integers(6)
        self.boost[slot] = rng.choice([0.25, 1.0, 1.0])
        name = "né" * int(rng.integers(1, 17))
        self.names[int(self.ids[slot])] = name
        tail = enter_tail(int(self.ids[slot]), m.EntityKind.AVATAR, name, "")
        self.tails[slot, : len(tail)] = np.frombuffer(tail, np.uint8)
        self.tail_lengths[slot] = len(tail)
        self._points(slot)

    def leave(self, slot: int) -> None:
        self.alive[slot] = 0

    def step(self) -> None:
        """One tick: everybody moves in their manner."""
        self.tick += 1
        for slot in np.flatnonzero(self.alive).tolist():
            self._move(slot)

    def _move(self, slot: int) -> None:
        rng, row = self.rng, self.rows[slot]
        manner = self.manner[slot] if rng.random() > 0.05 else rng.integers(6)
        if manner == IDLE:
            if rng.random() < 0.3:
                self._extras(slot)  # a smile, and nothing else
            return
        reach = {WALK: 80, RUN: 400, LEAP: 90_000, TURN: 1, WILD: 2 * self.half_mm}[int(manner)]
        row[[pose.X, pose.Z]] += rng.integers(-reach, reach + 1, 2).astype(np.int32)
        # Round the edge to the other side: at an edge many would have the same distance.
        row[[pose.X, pose.Z]] = (
            (row[[pose.X, pose.Z]] + self.half_mm) % (2 * self.half_mm + 1) - self.half_mm
        )
        row[pose.Y] = rng.integers(0, 30_000) if manner == LEAP else row[pose.Y]
        turn = int(rng.integers(-100, 101)) if manner != TURN else int(rng.integers(4096))
        row[pose.YAW] = (row[pose.YAW] + turn) % pose.YAW_STEPS
        if rng.random() < 0.03:
            row[pose.FLAGS] ^= int(rng.choice([1, 2, 8, 16, 32]))
        if rng.random() < 0.02:
            self.parts[slot] = rng.choice(PART_SETS)
        self.seqs[slot] += 1
        self._points(slot)

    def _points(self, slot: int) -> None:
        rng, row, parts = self.rng, self.rows[slot], int(self.parts[slot])
        far = self.manner[slot] in (LEAP, WILD)
        for point, part in enumerate(pose.POINT_PART):
            at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
            if not parts & part:
                row[at : at + 4] = 0
            elif far and rng.random() < 0.3:
                row[at : at + 3] = rng.integers(-(2**15), 2**15, 3)
                row[at + 3] = rng.integers(-(2**31), 2**31)
            else:
                row[at : at + 3] += rng.integers(-20, 21, 3).astype(np.int32)
                np.clip(row[at : at + 3], -(2**15), 2**15 - 1, out=row[at : at + 3])
                row[at + 3] = self._wrist(int(row[at + 3]))
        self._extras(slot)

    def _extras(self, slot: int) -> None:
        for part, offset, length in pose.EXTRA_PART:
            if self.parts[slot] & part:
                self.extras[slot, offset : offset + length] = self.rng.integers(0, 256, length)

    def _wrist(self, code: int) -> int:
        """A small step of each component; now and then another one is dropped."""
        rng = self.rng
        wide = code & 0xFFFFFFFF
        largest = wide >> 30 if rng.random() > 0.1 else int(rng.integers(4))
        steps = [(wide >> shift & 1023) + int(rng.integers(-9, 10)) for shift in (0, 10, 20)]
        low, mid, high = (min(max(step, 0), 1023) for step in steps)
        return int(np.uint32(low | mid << 10 | high << 20 | largest << 30).view(np.int32))

    def frame(self) -> PublishedFrame:
        used = np.flatnonzero(self.alive)
        return PublishedFrame(
            self.tick, int(used[-1]) + 1 if len(used) else 0, self.alive, self.ids, self.rows,
            self.extras, self.parts, self.seqs, self.boost, self.tails, self.tail_lengths,
        )


def carried(row: Rows, extras: pose.Bytes, parts: int) -> tuple[list[int], list[int]]:
    """(columns, extra bytes) of a pose that a record with `parts` says something about."""
    columns = row[: pose.ROOT_COLUMNS].tolist()
    for point, part in enumerate(pose.POINT_PART):
        if parts & part:
            at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
            columns += row[at : at + pose.POINT_COLUMNS].tolist()
    extra = [value for part, offset, length in pose.EXTRA_PART if parts & part
             for value in extras[offset : offset + length].tolist()]
    return columns, extra


def messages_of(piece: bytes) -> list[tuple[m.ServerMessage, int]]:
    """The messages in a run of WebSocket frames, each with the bytes of its frame."""
    found: list[tuple[m.ServerMessage, int]] = []
    at = 0
    while at < len(piece):
        assert piece[at] == 0x82, "a whole binary frame"
        length, head = piece[at + 1], 2
        assert length < 127, "not masked, and not in the longest form"
        if length == 126:
            length, head = int.from_bytes(piece[at + 2 : at + 4], "big"), 4
            assert length >= 126, "the shortest form of the length is used"
        payload = piece[at + head : at + head + length]
        assert len(payload) == length
        found.append((codec.decode_server(payload), head + length))
        at += head + length
    return found


@dataclass
class Told:
    """What one piece brought."""

    left: set[int] = field(default_factory=set[int])
    entered: list[int] = field(default_factory=list[int])
    """Entity ids in the order of the message."""
    leave_bytes: int = 0
    enter_bytes: int = 0
    touched: list[int] = field(default_factory=list[int])


class Client:
    """One client of the crowd, from the beginning of an index epoch on."""

    def __init__(self, slot: int, cap: int, parts: int) -> None:
        self.slot, self.cap, self.parts = slot, cap, parts
        self.view = snapshot.View()
        self.entity: dict[int, int] = {}
        """Entity id by index in use."""
        self.held: dict[int, tuple[list[int], list[int]]] = {}
        """What the last record of each index said."""
        self.stale_since: dict[int, int] = {}
        """The tick from which on the truth was another than what is held (or nothing was held)."""
        self.last_tick = -1

    def take(self, piece: bytes, crowd: Crowd, server_ms: int) -> Told:
        """Take a piece whole; asserts everything that the protocol promises."""
        told = Told()
        kinds: list[str] = []
        for message, size in messages_of(piece):
            kinds.append(type(message).__name__)
            if isinstance(message, m.Leave):
                self._leave(message, told)
                told.leave_bytes += size
            elif isinstance(message, m.Enter):
                self._enter(message, crowd, told)
                told.enter_bytes += size
            else:
                assert isinstance(message, m.Snapshot)
                assert (message.tick, message.server_ms) == (crowd.tick, server_ms)
                assert message.ack_seq == crowd.seqs[self.slot]
                self._records(message, crowd, told)
        assert kinds in (
            ["Snapshot"], ["Leave", "Snapshot"], ["Enter", "Snapshot"],
            ["Leave", "Enter", "Snapshot"],
        )
        return told

    def _leave(self, message: m.Leave, told: Told) -> None:
        assert len(set(message.indexes)) == len(message.indexes)
        for index in message.indexes:
            told.left.add(self.entity.pop(index))  # KeyError: it was not in use
            self.held.pop(index, None)
            self.stale_since.pop(index, None)

    def _enter(self, message: m.Enter, crowd: Crowd, told: Told) -> None:
        for entry in message.entries:
            assert entry.index < self.cap <= 255
            assert entry.index not in self.entity, "an index is left before it is used again"
            assert entry.entity_id not in self.entity.values()
            assert entry.name == crowd.names[entry.entity_id]
            self.entity[entry.index] = entry.entity_id
            self.view.forget(entry.index)
            self.stale_since[entry.index] = crowd.tick
            told.entered.append(entry.entity_id)

    def _records(self, message: m.Snapshot, crowd: Crowd, told: Told) -> None:
        assert message.tick > self.last_tick
        self.last_tick = message.tick
        told.touched = self.view.apply(message.tick, message.body).tolist()
        slots = {int(crowd.ids[s]): s for s in np.flatnonzero(crowd.alive).tolist()}
        for index in told.touched:
            slot = slots[self.entity[index]]  # KeyError: no enter came before the first record
            parts = int(self.view.parts[index])
            assert not parts & ~self.parts & 63, "parts that were not asked for"
            assert not parts & ~int(crowd.parts[slot]), "parts that are not there"
            truth = carried(crowd.rows[slot], crowd.extras[slot], parts)
            assert self.shown(index) == truth, f"index {index} is not what the tick claims"
            self.held[index] = truth
            self.stale_since.pop(index, None)
        for index, held in self.held.items():
            assert self.shown(index) == held, f"index {index} was changed by others' records"

    def shown(self, index: int) -> tuple[list[int], list[int]]:
        """What the view says of an index, as far as it is carried."""
        view = self.view
        return carried(view.rows[index], view.extras[index], int(view.parts[index]))

    def note_time(self, crowd: Crowd) -> None:
        """Once a tick, after `take` if there was one: notice what is out of date now."""
        slots = {int(crowd.ids[s]): s for s in np.flatnonzero(crowd.alive).tolist()}
        for index, entity in self.entity.items():
            slot = slots.get(entity)
            if slot is None or index in self.stale_since:
                continue
            truth = carried(crowd.rows[slot], crowd.extras[slot], int(self.view.parts[index]))
            if truth != self.held[index]:
                self.stale_since[index] = crowd.tick

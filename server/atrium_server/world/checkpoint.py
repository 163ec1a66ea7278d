"""The whole state of a world as bytes, so that its inputs can be lived again from here. PURE.

Theory of operation
-------------------
A checkpoint holds all that `World.step` depends on besides manifest, seed and inputs, and is taken
between two ticks: then no slot rests and no return waits, and the free slots are those that nobody
has. What follows from the rest (sessions by slot, held lines by id, the tails of `enter`) is made
anew. Arrays are cut off at `Tables.high`, because whoever gets a slot above it begins afresh, but
for `has_jumped`, which only passing time clears. They are bytes, little-endian; shape and type
follow from the manifest and `high`. The rest is MessagePack by the types of `_Saved`.

Props, what authors can undo and what they were answered are many and never change in place: `hold`
takes hold of them between two ticks, which is quick, and `Held.encode` makes bytes of them when
they are wanted.

What a checkpoint says is checked as far as compiled code relies on it; a wrong one may make a world
that is wrong or fails, but not one that reads memory which is not its own.

This module is a friend of the classes it saves: it reads and writes their private state, and what
is added to that has to be added here. A test compares all of it. Hence what pyright is told below.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.frame import enter_tail
from atrium_server.world.budget import Budget
from atrium_server.world.builders import Person
from atrium_server.world.carrying import Throw
from atrium_server.world.chat import ChatRules, Claims, Line, Published
from atrium_server.world.commands import Join, Store
from atrium_server.world.editing import Author
from atrium_server.world.ledger import Ledger, SavedLedger
from atrium_server.world.past import SavedPast
from atrium_server.world.props import Prop
from atrium_server.world.relations import SavedRelations
from atrium_server.world.tables import Tables
from atrium_server.world.telling import News
from atrium_server.world.voice_round import Round, SavedRound
from atrium_server.world.world import World
from atrium_shared import limits
from atrium_shared.messages import EntityKind
from atrium_shared.props import Transform

REFERENCE_BYTES: Final = 100
_MOTION_MAX: Final = 1e12
"""No speed, budget or height is ever near this."""

_U128 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_U32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Chance(msgspec.Struct, frozen=True):
    """The generator's state."""

    state: _U128
    increment: _U128
    has_half: bool
    half: _U32


class _Chat(msgspec.Struct, frozen=True):
    lines: list[Line]
    """All that are on their way, in the order of their ids."""
    claims: dict[int, Claims]
    history: list[Published]
    next_line: int
    next_seq: int


class _Saved(msgspec.Struct, frozen=True):
    tick: int
    server_ms: int
    high: Annotated[int, msgspec.Meta(ge=0)]
    next_id: int
    chance: _Chance
    arrays: list[bytes]
    """In the order of `_arrays`."""
    names: list[Annotated[str, msgspec.Meta(max_length=limits.NAME_CHARS_MAX)]]
    avatars: list[Annotated[str, msgspec.Meta(max_length=limits.AVATAR_CHARS_MAX)]]
    seq_at_join: dict[int, int]
    waiting: list[Join]
    chat: _Chat
    relations: SavedRelations
    voice_round: SavedRound | None
    voice_is_due: bool
    stale: list[int]
    """Slots whose relations are to be told again."""
    prop_seats: list[tuple[int, bytes]]
    paid_to: list[int]
    """Of the budgets, in the order of `_budgets`."""
    built: _Built


class _Person(msgspec.Struct, frozen=True):
    """Who builds."""

    session_id: int
    uuid: bytes
    account: str
    may_build: bool
    may_moderate: bool
    paid_to: int


class _Built(msgspec.Struct, frozen=True):
    """What is built and carried, but for the props."""

    version: int
    run: bytes
    amendments: int
    chain: bytes
    store: Store
    people: list[_Person]
    spawns: list[bytes]
    judging: list[tuple[bytes, str]]
    unasked: bool
    revision: int
    untold: list[tuple[bytes, News]]
    holds: list[tuple[int, int, bytes, Transform]]
    throws: list[tuple[bytes, Throw]]
    flights: bytes


class _Whole(msgspec.Struct, frozen=True, array_like=True):
    fixed: bytes
    """A `_Saved`."""
    props: list[tuple[bytes, Prop]]
    past: list[SavedPast]
    ledgers: list[SavedLedger]
    """In the order of `_Built.people`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint that is no bytes yet. It does not change with the world."""

    fixed: bytes
    props: dict[bytes, Prop]
    past: list[SavedPast]
    ledgers: list[SavedLedger]
    size_bytes: int
    """What it costs to hold, about: of what it shares with the world, the references."""

    def encode(self) -> bytes:
        """The checkpoint as bytes."""
        return _encoder.encode(_Whole(
            self.fixed, list(self.props.items()), self.past, self.ledgers
        ))

    def let_go(self, references: int) -> bool:
        """Drop about so many of the references; whether there are more. It cannot be encoded any
        more then. What nobody else has is freed with them, which takes as long as a tick where it
        is all done at once.
        """
        while references > 0 and self.ledgers:
            _, outcomes = self.ledgers.pop()
            references -= 1 + len(outcomes)
        while references > 0 and self.past:
            _, done, undone = self.past[-1]
            stack = done or undone
            references -= 1 + len(stack.pop() if stack else self.past.pop())
        while references > 0 and self.props:
            self.props.popitem()
            references -= 1
        return bool(self.ledgers or self.past or self.props)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Saved)
_whole_decoder = msgspec.msgpack.Decoder(_Whole)


def save(world: World) -> bytes:
    """The state of `world` after its last tick. Not while a tick is under way."""
    return hold(world).encode()


def hold(world: World) -> Held:
    """As `save`, and bytes only when they are asked for."""
    building = world.building
    fixed, props, past = _save_fixed(world), building.props.save(), building.editor.pasts.save()
    ledgers = [person.ledger.save() for person in building.people.values()]
    shared = (
        len(props) + building.editor.pasts.changes
        + sum(len(outcomes) for _, outcomes in ledgers)
    )
    return Held(fixed, props, past, ledgers, len(fixed) + REFERENCE_BYTES * shared)


def _save_fixed(world: World) -> bytes:
    t, voices = world.tables, world.society.voices
    assert not t._freed_now, "a checkpoint is taken between two ticks"
    assert not world._returned, "a checkpoint is taken between two ticks"
    return _encoder.encode(_Saved(
        tick=world.tick, server_ms=world.server_ms, high=t.high, next_id=t._next_id,
        chance=_save_chance(world.places.random),
        arrays=[array.astype(_little(array)).tobytes() for array in _arrays(world, t.high)],
        names=t.names[: t.high], avatars=t.avatars[: t.high],
        seq_at_join=world._seq_at_join, waiting=world._waiting, chat=_save_chat(world.chat),
        relations=world.relations.save(t.high),
        voice_round=None if voices.round is None else voices.round.save(),
        voice_is_due=voices.is_due, stale=[*world.society.stale],
        prop_seats=world.places.prop_seats.save(),
        paid_to=[budget.paid_to for budget in _budgets(world)],
        built=_save_built(world),
    ))


def restore(world: World, data: bytes) -> None:
    """Bring `world`, fresh and of the same manifest, to the state that `save` told.

    Raises ValueError when `data` is no checkpoint of such a world.
    """
    try:
        whole = _whole_decoder.decode(data)
        saved = _decoder.decode(whole.fixed)
    except msgspec.DecodeError as error:
        raise ValueError(f"no checkpoint: {error}") from None
    if saved.high > world.manifest.capacity:
        raise ValueError("the checkpoint is of a larger world")
    _restore_arrays(_arrays(world, saved.high), saved.arrays)
    motion = world.tables.moves.motion
    if not (np.abs(motion) < _MOTION_MAX).all():
        raise ValueError("the checkpoint has motions that cannot be")
    world.tick, world.server_ms = saved.tick, saved.server_ms
    _restore_tables(world.tables, saved)
    t = world.tables
    alive = np.flatnonzero(t.alive).tolist()
    world._slot_of_session.update(zip(t.sessions[alive].tolist(), alive, strict=True))
    world._seq_at_join = saved.seq_at_join
    world._waiting = saved.waiting
    world.relations.restore(saved.relations)
    _restore_voices(world, saved)
    world.society.stale.update(dict.fromkeys(saved.stale))
    _restore_chance(world.places.random, saved.chance)
    _restore_built(world, saved.built, whole)
    world.places.prop_seats.restore(saved.prop_seats)
    _restore_chat(world.chat, saved.chat)
    world._stage.tick = world.building.telling.tick = saved.tick
    for budget, paid_to in zip(_budgets(world), saved.paid_to, strict=True):
        budget.paid_to = paid_to


def _restore_voices(world: World, saved: _Saved) -> None:
    voices = world.society.voices
    if ((voices.peers < -1) | (voices.peers >= len(voices.modes))).any():
        raise ValueError("the checkpoint has voices of slots that are not there")
    if saved.voice_round is not None:
        voices.round = Round.restore(saved.voice_round, len(voices.modes))
    voices.is_due = saved.voice_is_due


def _budgets(world: World) -> list[Budget]:
    stage = world._stage
    t, society = world.building.telling, world.society
    return [
        *stage.budgets.values(), stage.hall, stage.emotes, society.looks, society.markers,
        t.reader, t.all, *t.hands, world.dragging.reader, world.dragging.all,
    ]


def _arrays(world: World, high: int) -> list[npt.NDArray[Any]]:
    """Views of all that is saved as bytes."""
    t, moves = world.tables, world.tables.moves
    voices = world.society.voices
    of_slots: list[npt.NDArray[Any]] = [
        t.alive, t.entity_ids, t.sessions, t.boost, t.enter_lengths, t.poses.rows,
        t.poses.extras, t.poses.parts, moves.seq, moves.has_seq, moves.unheard_tick,
        world.places.seat_of_slot, world.places.jump_tick, world._told_tick,
        world.society.dressed_tick, world.society.told_tick, voices.modes, voices.peers,
        voices.flows, voices.untold, *world._stage.heard_to.values(),
    ]
    return [
        *(array[:high] for array in of_slots), moves.motion[:, :high], moves.has_jumped,
        world.places.slot_of_seat, voices.seen_version,
    ]


def _little(array: npt.NDArray[Any]) -> np.dtype[Any]:
    return array.dtype.newbyteorder("<")


def _restore_arrays(arrays: list[npt.NDArray[Any]], saved: list[bytes]) -> None:
    for array, data in zip(arrays, saved, strict=True):
        array[...] = np.frombuffer(data, _little(array)).reshape(array.shape)


def _restore_tables(t: Tables, saved: _Saved) -> None:
    if len(saved.names) != saved.high or len(saved.avatars) != saved.high:
        raise ValueError("the checkpoint has not one name for each slot")
    if (t.alive > 1).any():
        raise ValueError("the checkpoint has slots that are neither free nor taken")
    t.high, t._next_id = saved.high, saved.next_id
    t.names[: t.high], t.avatars[: t.high] = saved.names, saved.avatars
    for slot in np.flatnonzero(t.alive).tolist():
        tail = enter_tail(
            int(t.entity_ids[slot]), EntityKind.AVATAR, t.names[slot], t.avatars[slot]
        )
        t.enter_tails[slot, : len(tail)] = np.frombuffer(tail, np.uint8)
    t._free = deque(np.flatnonzero(t.alive == 0).tolist())


def _save_built(world: World) -> _Built:
    building, carrying = world.building, world.carrying
    people = [
        _Person(
            person.session_id, person.uuid, person.author.account, person.author.may_build,
            person.author.may_moderate, person.changed.paid_to,
        )
        for person in building.people.values()
    ]
    return _Built(
        building.props.version, building.run, building.amendments, building.chain, building.store,
        people, list(building.spawns), list(building.judging.items()), building.unasked,
        building.telling.revision,
        list(building.telling.untold.items()), carrying.holds.save(),
        list(carrying.throws.items()), carrying.flights.save(),
    )


def _restore_built(world: World, saved: _Built, whole: _Whole) -> None:
    building, carrying = world.building, world.carrying
    building.props.load(dict(whole.props), saved.version)
    building.editor.pasts.restore(whole.past)
    building.run, building.amendments, building.chain = saved.run, saved.amendments, saved.chain
    building.store = saved.store
    for one, ledger in zip(saved.people, whole.ledgers, strict=True):
        author = Author(one.account, one.may_build, one.may_moderate)
        changed = Budget(limits.EDIT_PROPS_PER_S_MAX, world.manifest.tick_rate_hz, one.paid_to)
        building.people[one.session_id] = Person(
            one.session_id, one.uuid, author, Ledger.restore(ledger), changed
        )
    building.spawns.update(dict.fromkeys(saved.spawns))
    building.judging.update(saved.judging)
    building.unasked = saved.unasked
    building.telling.revision = saved.revision
    building.telling.untold.update(saved.untold)
    if any(not 0 <= slot < world.manifest.capacity for slot, *_ in saved.holds):
        raise ValueError("the checkpoint has props in hands that are not there")
    carrying.holds.restore(saved.holds)
    carrying.throws.update(saved.throws)
    carrying.flights.restore(saved.flights)
    flying = {segment.key for segment in carrying.flights.present()}
    props = world.building.props
    if flying != carrying.throws.keys() or any(props.get(one) is None for one in flying):
        raise ValueError("the checkpoint has flights of what was not thrown")


def _save_chance(random: np.random.Generator) -> _Chance:
    state: Any = random.bit_generator.state
    wide = state["state"]
    return _Chance(
        wide["state"].to_bytes(16, "little"), wide["inc"].to_bytes(16, "little"),
        bool(state["has_uint32"]), state["uinteger"],
    )


def _restore_chance(random: np.random.Generator, saved: _Chance) -> None:
    random.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {
            "state": int.from_bytes(saved.state, "little"),
            "inc": int.from_bytes(saved.increment, "little"),
        },
        "has_uint32": int(saved.has_half), "uinteger": saved.half,
    }


def _save_chat(chat: ChatRules) -> _Chat:
    lines = [line for queue in chat.queues.values() for line in queue.lines]
    return _Chat(
        sorted(lines, key=lambda line: line.line_id), chat._claims, list(chat._history),
        chat._next_line, chat._next_seq,
    )


def _restore_chat(chat: ChatRules, saved: _Chat) -> None:
    for line in saved.lines:
        chat.queues[line.channel].add(line)
        if line.ready_tick < 0:
            chat._held.setdefault((line.session_id, line.channel), deque()).append(line)
            chat._by_id[line.line_id] = line
    chat._claims.update(saved.claims)
    chat._history.extend(saved.history)
    chat._next_line, chat._next_seq = saved.next_line, saved.next_seq

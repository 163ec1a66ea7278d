"""Whatever people do about each other, nobody ever receives what that forbids.

A world and its replication are driven with random commands: people come, go, relate, shelter, talk,
show and change themselves. Everything that is addressed to anybody is compared with rules that are
written here a second time, in three lines.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.replication.replicator import ReplicationSettings, Replicator
from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.relations import Regard
from atrium_server.world.world import World
from atrium_shared import messages as m
from atrium_shared import pose
from atrium_shared.snapshot import View

sys.path.insert(0, str(Path(__file__).parent))
from crowd_model import messages_of

N = 7
TOLD_TO_FRIENDS = int(
    pose.Flags.SNAP | pose.Flags.SPEAKING | pose.Flags.TYPING | pose.Flags.HAND_TRACKING
)
PEOPLE = "abcde"
MANIFEST = parse_manifest(f"""
[world]
name = "test"
tick_rate_hz = 20
capacity = {N}
[extent]
min = [-20.0, -1.0, -20.0]
max = [20.0, 9.0, 20.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 4.0
""", "test")
SETTINGS = ReplicationSettings(
    radius_m=50.0, hysteresis_m=5.0, full_rate_radius_m=55.0, half_rate_radius_m=55.0, cap=N,
    tick_rate_hz=20, low_mm=(-20_000, -20_000), high_mm=(20_000, 20_000), entities_max=N,
    viewers_max=N,
)


class Viewer:
    """What one client was told so far."""

    def __init__(self, session: int, slot: int, entity: int, person: str) -> None:
        self.session, self.slot, self.entity, self.person = session, slot, entity, person
        self.view = View()
        self.held: dict[int, m.EnterEntry] = {}


class Place:
    """A world, its clients, and the rules once more."""

    def __init__(self) -> None:
        self.world = World(MANIFEST, 1)
        self.replicator = Replicator(SETTINGS)
        self.viewers: dict[int, Viewer] = {}
        self.wanted: dict[tuple[str, str], int] = {}
        self.safe: set[int] = set()
        self.person_of: dict[int, str] = {}
        self.sessions = 0
        self.verdicts: list[c.Judged] = []
        self.told: Counter[str] = Counter()

    # --- the rules -----------------------------------------------------------------------

    def bits(self, one: str, other: str) -> int:
        """What one does about another, as long as one is here."""
        is_here = any(viewer.person == one for viewer in self.viewers.values())
        return self.wanted.get((one, other), 0) if is_here else 0

    def may_hear(self, viewer: Viewer, entity: int) -> bool:
        if entity == viewer.entity:
            return True
        me, other = viewer.person, self.person_of[entity]
        apart = viewer.entity in self.safe or entity in self.safe
        return not (apart or self.bits(me, other) & 5 or self.bits(other, me) & 4)

    def may_know(self, viewer: Viewer, entity: int) -> bool:
        if entity == viewer.entity:
            return True
        me, other = viewer.person, self.person_of[entity]
        apart = viewer.entity in self.safe or entity in self.safe
        return not (apart or self.bits(me, other) & 6 or self.bits(other, me) & 4)

    # --- a tick --------------------------------------------------------------------------

    def step(self, commands: list[c.AnyCommand]) -> None:
        out = self.world.step([*self.verdicts, *commands], self.poses(), 50 * self.world.tick)
        self.verdicts = [c.Judged(one.line_id, True, one.text, "") for one in out.judge]
        self.replicator.take_frame(self.world.publish())
        for one in out.joined:
            person = self.world.relations.people[one.slot]
            self.viewers[one.session_id] = Viewer(
                one.session_id, one.slot, one.entity_id, person
            )
            self.person_of[one.entity_id] = person
            if self.world.relations.safe[one.slot]:
                self.safe.add(one.entity_id)
            self.replicator.add_viewer(one.slot, one.slot, N, 63, 4_000_000)
        for tell in out.tells:
            sessions = self.viewers.keys() if tell.sessions is None else tell.sessions
            for session in set(sessions) - set(tell.without):
                if session in self.viewers:
                    self.hear(self.viewers[session], tell.message)
        self.show()

    def poses(self) -> PoseBatch:
        """Everybody waves."""
        slots = np.array([v.slot for v in self.viewers.values()], np.int32)
        rows = self.world.tables.poses.rows[slots].copy()
        rows[:, pose.ROOT_COLUMNS] = self.world.tick % 50
        rows[:, pose.FLAGS] = int(pose.Flags.TYPING) << self.world.tick // 7 % 4 & 255
        n = len(slots)
        return PoseBatch(
            slots, np.full(n, self.world.tick, np.uint32),
            np.full(n, self.world.tick, np.uint32), rows, np.full(n, 3, np.uint8),
            np.zeros((n, pose.EXTRA_BYTES), np.uint8),
        )

    def hear(self, viewer: Viewer, message: m.Message) -> None:
        self.told[type(message).__name__] += 1
        match message:
            case m.ChatPublished():
                assert self.may_hear(viewer, message.sender_id), message
            case m.Emote() | m.Marker():
                assert self.may_hear(viewer, message.entity_id), message
            case m.Appearance():
                assert self.may_know(viewer, message.entity_id), message
            case _:
                pass

    def show(self) -> None:
        viewers = sorted(self.viewers.values(), key=lambda viewer: viewer.slot)
        which = np.array([viewer.slot for viewer in viewers], np.int32)
        built, end = self.replicator.build(which, np.zeros(len(which), np.int32), 0, 0)
        assert end == len(which)
        self.replicator.commit(built, np.ones(len(which), np.uint8))
        for viewer, at, size in zip(viewers, built.offsets, built.lengths, strict=True):
            for message, _ in messages_of(built.arena[at : at + size].tobytes()):
                self.see(viewer, message)
            for entry in viewer.held.values():
                knows = self.may_know(viewer, entry.entity_id)
                assert (entry.name != "") == knows
                assert (entry.avatar != "") == knows
                assert not {viewer.entity, entry.entity_id} & self.safe
                self.told["known" if knows else "silhouette"] += 1

    def see(self, viewer: Viewer, message: m.Message) -> None:
        match message:
            case m.Leave():
                for index in message.indexes:
                    del viewer.held[index]
            case m.Enter():
                for entry in message.entries:
                    assert entry.index not in viewer.held
                    viewer.held[entry.index] = entry
                    viewer.view.forget(entry.index)
            case m.Snapshot():
                for index in viewer.view.apply(message.tick, message.body).tolist():
                    parts = int(viewer.view.parts[index])
                    flags = int(viewer.view.rows[index, pose.FLAGS])
                    if self.may_know(viewer, viewer.held[index].entity_id):
                        self.told["points"] += parts != 0
                        self.told["flags"] += flags & TOLD_TO_FRIENDS != 0
                    else:
                        assert parts == 0
                        assert not flags & TOLD_TO_FRIENDS
            case _:
                raise AssertionError(message)

    # --- what people do ------------------------------------------------------------------

    def join(self, person: str, is_safe: bool) -> list[c.AnyCommand]:
        if len(self.viewers) == N:
            return []
        self.sessions += 1
        regards = tuple(
            Regard(other, other, bits) for (one, other), bits in self.wanted.items()
            if one == person and bits
        )
        return [c.Join(
            self.sessions, f"name {person}", f"{person}.glb", author=person, regards=regards,
            is_safe=is_safe,
        )]

    def leave(self, session: int) -> list[c.AnyCommand]:
        viewer = self.viewers.pop(session)
        self.replicator.remove_viewer(viewer.slot)
        self.safe.discard(viewer.entity)
        return [c.Leave(session)]

    def relate(self, session: int, other: Viewer, bits: int) -> list[c.AnyCommand]:
        me = self.viewers[session].person
        if other.person != me:
            self.wanted[me, other.person] = bits
        return [c.Relate(session, 1, other.entity, "", bits)]

    def shelter(self, session: int, is_on: bool) -> list[c.AnyCommand]:
        entity = self.viewers[session].entity
        self.safe = self.safe | {entity} if is_on else self.safe - {entity}
        return [c.Shelter(session, 1, is_on)]


ACTIONS = st.lists(st.tuples(
    st.sampled_from("jjjlrrrrrrsstttttdm"), st.integers(0, N - 1), st.integers(0, N - 1),
    st.integers(0, 7),
), min_size=20, max_size=60)


def commands_of(place: Place, action: tuple[str, int, int, int]) -> list[c.AnyCommand]:
    what, one, other, number = action
    if what == "j":
        return place.join(PEOPLE[one % len(PEOPLE)], number == 7)
    sessions = sorted(place.viewers)
    if not sessions:
        return []
    session = sessions[one % len(sessions)]
    them = place.viewers[sessions[other % len(sessions)]]
    match what:
        case "l":
            return place.leave(session)
        case "r":
            return place.relate(session, them, number)
        case "s":
            return place.shelter(session, number < 3)
        case "t":
            channel = m.ChatChannel(number % 3)
            return [c.Say(session, 1, channel, them.entity, "hi"), c.Gesture(session, 3)]
        case "d":
            return [c.Dress(session, 1, f"{place.world.tick}.glb")]
        case _:
            return [c.PointAt(session, (0.0, 0.0, 0.0), 0.0)]


def run(actions: list[tuple[str, int, int, int]]) -> Place:
    place = Place()
    for person in "abcd":
        place.step(place.join(person, False))
    for action in actions:
        place.step(commands_of(place, action))
        place.step([])
    return place


@settings(max_examples=60)
@given(ACTIONS)
def test_nobody_receives_what_a_relation_forbids(
    actions: list[tuple[str, int, int, int]]
) -> None:
    run(actions)


def test_the_rules_are_put_to_the_test() -> None:
    """A run in which all that can be told is told, and silhouettes and the safe zone occur."""
    rng = np.random.default_rng(5)
    actions = [
        (str(rng.choice([*"jjjlrrrrrrsstttttdm"])), *rng.integers(0, 7, 2).tolist(),
         int(rng.integers(8)))
        for _ in range(400)
    ]
    told = run(actions).told
    assert all(told[kind] > 20 for kind in (
        "ChatPublished", "Emote", "Marker", "Appearance", "known", "silhouette", "points", "flags",
    )), told

"""Who is paired with whom: the properties of a choice, what ends a pair, and what it costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.world import checkpoint
from atrium_server.world import commands as c
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.relations import Regard
from atrium_server.world.scene import VoiceRules
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Relation, VoiceMode

MANIFEST = parse_manifest(
    """
    [world]
    name = "hall"
    tick_rate_hz = 10
    capacity = 24
    [extent]
    min = [-100, -1, -100]
    max = [100, 20, 100]
    [[spawn]]
    position = [0, 0, 0]
    radius_m = 0.0
    [voice]
    radius_m = 10
    """, "test",
)
OFF, LISTEN, TALK = VoiceMode
MUTE, BLOCK = int(Relation.MUTE), int(Relation.BLOCK)


class Hall:
    """People in a world whose ticks are made by the test; session k has slot k."""

    def __init__(self, *places_m: float, manifest: Manifest = MANIFEST) -> None:
        self.world = World(manifest, 1)
        self.told: list[c.Tell] = []
        self.server_ms = 0
        self.step(*(c.Join(k, f"P{k}", "") for k in range(len(places_m))))
        for k, x_m in enumerate(places_m):
            self.move(k, x_m)

    @property
    def voices(self):
        return self.world.society.voices

    def move(self, slot: int, x_m: float, z_m: float = 0.0) -> None:
        row = self.world.tables.poses.rows[slot]
        row[pose.X], row[pose.Z] = round(x_m * 1000), round(z_m * 1000)

    def step(self, *commands: c.AnyCommand) -> c.TickOutput:
        self.server_ms += 100
        out = self.world.step(commands, None, self.server_ms)
        self.told += out.tells
        return out

    def set(self, mode: VoiceMode, *slots: int) -> c.TickOutput:
        return self.step(*(c.SetVoice(slot, 7, mode) for slot in slots))

    def choose(self) -> None:
        """Long enough for a choice."""
        for _ in range(6):
            self.step()

    def peers(self, slot: int) -> dict[int, tuple[bool, bool]]:
        """As was told last: slot to (sends, hears)."""
        ids = self.world.tables.entity_ids.tolist()
        for tell in reversed(self.told):
            if tell.sessions == (slot,) and isinstance(tell.message, m.RtcPeers):
                return {
                    ids.index(one.entity_id): (one.sends, one.hears) for one in tell.message.peers
                }
        return {}


def test_two_who_talk_nearby_are_paired_and_one_of_them_is_polite() -> None:
    hall = Hall(0, 5, 30)
    out = hall.set(TALK, 0, 1, 2)
    assert [one.message for one in out.tells] == [m.Result(7, ErrorCode.OK, "", 0)] * 3
    assert out.voiced == [0, 1, 2]
    hall.choose()
    assert hall.peers(0) == {1: (True, True)}
    assert hall.peers(1) == {0: (True, True)}
    assert hall.peers(2) == {}
    polite = [
        tell.message.peers[0].is_polite for tell in hall.told
        if isinstance(tell.message, m.RtcPeers)
    ]
    assert sorted(polite) == [False, True]


def test_nothing_is_told_while_nothing_changes() -> None:
    hall = Hall(0, 5)
    hall.set(TALK, 0, 1)
    hall.choose()
    count = len(hall.told)
    hall.choose()
    assert len(hall.told) == count


def test_who_listens_hears_and_is_not_heard_and_two_listeners_are_not_paired() -> None:
    hall = Hall(0, 1, 2)
    hall.set(TALK, 0)
    hall.set(LISTEN, 1, 2)
    hall.choose()
    assert hall.peers(0) == {1: (False, True), 2: (False, True)}
    assert hall.peers(1) == {0: (True, False)}


def test_one_sided_mute_stops_one_direction_and_a_block_both_at_once() -> None:
    hall = Hall(0, 1)
    hall.set(TALK, 0, 1)
    hall.choose()
    ids = hall.world.tables.entity_ids.tolist()
    hall.step(c.Relate(0, 8, ids[1], "", MUTE))
    hall.step()
    assert hall.peers(0) == {1: (False, True)}
    assert hall.peers(1) == {0: (True, False)}
    hall.step(c.Relate(0, 9, ids[1], "", BLOCK))
    hall.step()
    assert hall.peers(0) == hall.peers(1) == {}
    hall.step(c.Relate(0, 9, ids[1], "", 0))
    hall.step()
    assert hall.peers(0) == {1: (True, True)}


def test_the_safe_zone_ends_all_pairs_in_the_next_tick() -> None:
    hall = Hall(0, 1)
    hall.set(TALK, 0, 1)
    hall.choose()
    hall.step(c.Shelter(0, 8, True))
    hall.step()
    assert hall.peers(0) == hall.peers(1) == {}


@pytest.mark.parametrize(
    "end", [c.Leave(0), c.LinkChange(0, True), c.LinkChange(0, False), c.SetVoice(0, 9, OFF)],
    ids=["leave", "lost", "replaced", "off"],
)
def test_a_pair_ends_in_the_tick_of_its_reason_and_voice_is_off(end: c.AnyCommand) -> None:
    hall = Hall(0, 1, 2)
    hall.set(TALK, 0, 1, 2)
    hall.choose()
    hall.world.tables.poses.rows[0, pose.FLAGS] |= int(pose.Flags.SPEAKING)
    hall.step(end)
    assert hall.peers(1) == {2: (True, True)}
    assert hall.voices.modes[0] == OFF
    assert not hall.world.tables.poses.rows[0, pose.FLAGS] & int(pose.Flags.SPEAKING)
    hall.choose()
    assert hall.peers(1) == {2: (True, True)}


def test_who_stops_talking_is_known_to_be_silent_in_the_next_tick() -> None:
    hall = Hall(0, 1)
    hall.set(TALK, 0, 1)
    hall.choose()
    hall.set(LISTEN, 0)
    hall.step()
    assert hall.peers(1) == {0: (False, True)}


def test_a_pair_is_kept_until_clearly_farther_and_does_not_begin_there() -> None:
    hall = Hall(0, 9)
    hall.set(TALK, 0, 1)
    hall.choose()
    hall.move(1, 13)
    hall.choose()
    assert hall.peers(0) == {1: (True, True)}
    hall.move(1, 13.5)
    hall.choose()
    assert hall.peers(0) == {}
    hall.move(1, 11)
    hall.choose()
    assert hall.peers(0) == {}


def test_a_nearer_stranger_does_not_take_a_place_at_once() -> None:
    hall = Hall(0, 4, 4.1, 4.2, 4.3, 4.4, 4.5, 9)
    hall.set(TALK, 0)
    hall.set(LISTEN, *range(1, 8))
    hall.choose()
    assert sorted(hall.peers(0)) == [1, 2, 3, 4, 5, 6]
    hall.move(7, -4.0)
    hall.choose()
    assert sorted(hall.peers(0)) == [1, 2, 3, 4, 5, 6]
    hall.move(7, -3.0)
    hall.choose()
    assert 7 in hall.peers(0)


def test_a_world_without_voice_says_so() -> None:
    hall = Hall(0, 1, manifest=dataclasses.replace(MANIFEST, voice=VoiceRules(False)))
    out = hall.set(TALK, 0, 1)
    assert all(one.message.code == ErrorCode.NOT_ALLOWED for one in out.tells)  # type: ignore[attr-defined]
    hall.choose()
    assert hall.peers(0) == {}


def test_only_who_talks_shows_as_speaking() -> None:
    hall = Hall(0, 1, 2)
    hall.set(TALK, 0)
    hall.set(LISTEN, 1)
    hall.world.tables.poses.rows[:3, pose.FLAGS] |= int(pose.Flags.SPEAKING | pose.Flags.TYPING)
    hall.voices.mask(np.arange(3, dtype=np.int32))
    speaking = hall.world.tables.poses.rows[:3, pose.FLAGS]
    assert (speaking & int(pose.Flags.SPEAKING) != 0).tolist() == [True, False, False]
    assert (speaking & int(pose.Flags.TYPING) != 0).all()


_people = st.lists(
    st.tuples(st.integers(-12, 12), st.integers(-12, 12), st.sampled_from(list(VoiceMode))),
    min_size=1, max_size=24,
)


@given(people=_people, mutes=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 23)),
                                      max_size=12))
@settings(deadline=None)
def test_every_choice_is_symmetric_bounded_allowed_and_leaves_out_nobody(
    people: list[tuple[int, int, VoiceMode]], mutes: list[tuple[int, int]]
) -> None:
    hall = Hall(*(0.0 for _ in people))
    for slot, (x, z, mode) in enumerate(people):
        hall.move(slot, x, z)
        hall.set(mode, slot)
    for one, other in mutes:
        if one < len(people) and other < len(people) and one != other:
            hall.world.relations.set(f"session:{one}", Regard(f"session:{other}", "", MUTE))
    hall.choose()
    hall.choose()
    table, modes = hall.voices.peers.tolist(), hall.voices.modes.tolist()
    relations, rows = hall.world.relations, hall.world.tables.poses.rows
    pairs = {(a, b) for a, row in enumerate(table) for b in row if b >= 0}

    def flows(a: int, b: int) -> bool:
        return modes[a] == TALK and modes[b] != OFF and relations.may_hear(b, a)

    for a, b in pairs:
        assert (b, a) in pairs
        assert modes[a]
        assert modes[b]
        told = hall.peers(a)[b]
        assert told == (flows(b, a), flows(a, b))
        assert any(told)
    for a in range(len(people)):
        for b in range(a):
            length = float(np.linalg.norm(rows[a, :3].astype(float) - rows[b, :3]))
            has_room = min(table[a][-1], table[b][-1]) < 0 and table[a][-1] < 0 > table[b][-1]
            if length <= 10_000 and (flows(a, b) or flows(b, a)) and has_room:
                assert (a, b) in pairs


def test_a_checkpoint_has_all_of_it() -> None:
    hall = Hall(0, 1, 2)
    hall.set(TALK, 0, 1, 2)
    hall.choose()
    fresh = World(MANIFEST, 1)
    checkpoint.restore(fresh, checkpoint.save(hall.world))
    theirs, ours = fresh.society.voices, hall.voices
    for name in ("modes", "peers", "flows", "untold", "seen_version"):
        assert np.array_equal(getattr(theirs, name), getattr(ours, name)), name
    assert theirs.peers[0, 0] == 1


def test_most_is_what_the_wire_says() -> None:
    hall = Hall(*(k / 10 for k in range(24)))
    hall.set(TALK, *range(24))
    hall.choose()
    counts = [len(hall.peers(slot)) for slot in range(24)]
    assert max(counts) == limits.VOICE_PEERS_MAX
    assert min(counts) >= 1

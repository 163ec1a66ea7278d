"""Pairs for voice that are chosen over many ticks are those that one look at all would choose.

The rule is written here a second time, over all pairs and without slices: the nearest first, as
long as both have room.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world import checkpoint, voice_round
from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.voice_kernels import PERSON_WORK, SLOT_BITS
from atrium_server.world.voice_round import Crowd, Round, SavedRound
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared import messages as m
from atrium_shared.messages import Relation, VoiceMode

RADIUS_MM = 10_000
N = 17
"""As many as can be nearest of each other all together."""
TALK, LISTEN = int(VoiceMode.TALK), int(VoiceMode.LISTEN)
MOST = limits.VOICE_PEERS_MAX
TICKS_MAX = 200
MANIFEST = parse_manifest("""
[world]
name = "hall"
tick_rate_hz = 10
capacity = 24
[extent]
min = [-100, -1, -100]
max = [100, 20, 100]
[[spawn]]
position = [0, 0, 0]
[voice]
radius_m = 10
""", "test")


@contextmanager
def in_slices(scanned: int, at_once: int = 0, crowd: int = 0) -> Generator[None]:
    """Little is done in one tick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voice_round, "SCANNED_PER_TICK", scanned)
        patch.setattr(voice_round, "AT_ONCE_MAX", at_once)
        patch.setattr(voice_round, "CROWD_MIN", crowd)
        yield


def crowd_of(
    places: Sequence[Sequence[int]], modes: list[int], deaf: set[tuple[int, int]],
    before: dict[int, list[int]],
) -> Crowd:
    n = len(places)
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    rows[:, :3] = places
    bits = np.zeros((n, (n + 7) // 8), np.uint8)
    for listener, speaker in deaf:
        bits[listener, speaker >> 3] |= np.uint8(1 << (speaker & 7))
    peers = np.full((n, MOST), -1, np.int32)
    for slot, others in before.items():
        peers[slot, : len(others)] = others
    return Crowd(rows, np.array(modes, np.uint8), bits, np.zeros(n, np.uint8), peers, RADIUS_MM)


def chosen(crowd: Crowd, gone: set[int]) -> list[list[int]]:
    """The peers of each, by the rule itself."""
    n = len(crowd.modes)
    pairs = {(a, b) for a in range(n) for b in crowd.peers[a].tolist() if a < b}
    edges: list[tuple[int, int, int]] = []
    for a in range(n):
        for b in range(a + 1, n):
            apart = crowd.rows[a, :3].astype(np.int64) - crowd.rows[b, :3]
            squared = int(apart @ apart)
            if (a, b) in pairs:
                squared = squared * 9 // 16
            speaks = [
                crowd.modes[one] == TALK and not crowd.deaf[two, one >> 3] >> (one & 7) & 1
                for one, two in ((a, b), (b, a))
            ]
            is_out = not crowd.modes[a] or not crowd.modes[b] or {a, b} & gone
            if squared <= RADIUS_MM**2 and any(speaks) and not is_out:
                edges.append((squared, a, b))
    peers: list[list[int]] = [[] for _ in range(n)]
    for _, a, b in sorted(edges):
        if len(peers[a]) < MOST and len(peers[b]) < MOST:
            peers[a].append(b)
            peers[b].append(a)
    return [sorted(one) for one in peers]


def finished(one: Round, crowd: Crowd) -> list[list[int]]:
    for _ in range(TICKS_MAX):
        done = one.step(crowd)
        if done is not None:
            return [[other for other in row if other >= 0] for row in done[0].tolist()]
    raise AssertionError("it never ends")


_coordinate = st.integers(-9_000, 9_000)
_people = st.lists(
    st.tuples(_coordinate, st.integers(0, 3_000), _coordinate, st.sampled_from([0, LISTEN, TALK])),
    min_size=1, max_size=N,
)
_some_pairs = st.sets(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=20)


@given(people=_people, deaf=_some_pairs, before=_some_pairs, gone=st.sets(st.integers(0, N - 1)),
       scanned=st.integers(1, 400), is_late=st.booleans())
def test_slices_choose_as_one_look_at_everybody_would(
    people: list[tuple[int, int, int, int]], deaf: set[tuple[int, int]],
    before: set[tuple[int, int]], gone: set[int], scanned: int, is_late: bool,
) -> None:
    n = len(people)
    modes = [mode for *_, mode in people]
    kept: dict[int, list[int]] = {}
    for a, b in sorted(before):
        fits = a < b < n and modes[a] and modes[b]
        if fits and len(kept.get(a, ())) < MOST and len(kept.get(b, ())) < MOST:
            kept.setdefault(a, []).append(b)
            kept.setdefault(b, []).append(a)
    deaf = {(a, b) for a, b in deaf if a < n and b < n}
    crowd = crowd_of([(x, y, z) for x, y, z, _ in people], modes, deaf, {
        slot: sorted(others) for slot, others in kept.items()
    })
    expected = chosen(crowd, {slot for slot in gone if slot < n} if not is_late else set())
    with in_slices(scanned):
        wants = np.flatnonzero(crowd.modes).astype(np.int32)
        one = Round.of(wants, crowd)
        if not is_late:
            for slot in gone & {*wants.tolist()}:
                one.leave(slot)
        assert finished(one, crowd) == expected


@given(people=_people, gone=st.lists(st.tuples(st.integers(0, 30), st.integers(0, N - 1))),
       deaf=st.lists(st.tuples(st.integers(0, 30), st.integers(0, N - 1), st.integers(0, N - 1))),
       safe=st.lists(st.tuples(st.integers(0, 30), st.integers(0, N - 1))))
def test_what_changes_while_a_choice_is_under_way_is_never_chosen(
    people: list[tuple[int, int, int, int]], gone: list[tuple[int, int]],
    deaf: list[tuple[int, int, int]], safe: list[tuple[int, int]],
) -> None:
    n = len(people)
    crowd = crowd_of([(x, y, z) for x, y, z, _ in people], [mode for *_, mode in people], set(), {})
    with in_slices(30):
        one = Round.of(np.flatnonzero(crowd.modes).astype(np.int32), crowd)
        done, tick, left = None, 0, set[int]()
        while done is None:
            done, tick = one.step(crowd), tick + 1
            if done is not None:
                break
            for when, slot in gone:
                if when == tick and slot < n:
                    crowd.modes[slot] = 0
                    one.leave(slot)
                    left.add(slot)
            for when, slot in safe:
                if when == tick and slot < n:
                    crowd.safe[slot] = 1
            for when, listener, speaker in deaf:
                if when == tick and max(listener, speaker) < n:
                    crowd.deaf[listener, speaker >> 3] |= np.uint8(1 << (speaker & 7))
    peers, flows = done
    for slot, (row, flow) in enumerate(zip(peers.tolist(), flows.tolist(), strict=True)):
        for other, bits in zip(row, flow, strict=True):
            if other < 0:
                continue
            assert not {slot, other} & left
            assert not crowd.safe[[slot, other]].any()
            hears = crowd.modes[other] == TALK and not (
                crowd.deaf[slot, other >> 3] >> (other & 7) & 1
            )
            is_heard = crowd.modes[slot] == TALK and not (
                crowd.deaf[other, slot >> 3] >> (slot & 7) & 1
            )
            assert bits == hears + 2 * is_heard
            assert bits


@pytest.mark.parametrize("shape", ["spread", "blob", "queue", "point"])
def test_no_tick_looks_at_more_than_its_share(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: in how many steps 2,000 people are gathered, whatever they look like."""
    n, rng = 2_000, np.random.default_rng(4)
    places = np.zeros((n, 3), np.int64)
    if shape == "spread":
        places[:, [0, 2]] = rng.integers(-70_000, 70_000, (n, 2))
    elif shape == "blob":
        places[:, [0, 2]] = rng.normal(0, 3_000, (n, 2))
    elif shape == "queue":
        places[:, 2] = np.arange(n) * 60
    crowd = crowd_of(places.tolist(), [TALK] * n, set(), {})
    gathered: list[tuple[int, int]] = []
    gather = voice_round.gather_edges

    def counted(*arguments: object) -> tuple[int, int]:
        next_one, count = gather(*arguments)  # type: ignore[arg-type]
        gathered.append((int(arguments[7]), next_one))  # type: ignore[call-overload]
        return next_one, count

    monkeypatch.setattr(voice_round, "gather_edges", counted)
    one, steps = Round.of(np.arange(n, dtype=np.int32), crowd), 1
    assert one.is_of_crowd
    while one.step(crowd) is None:
        steps += 1
    assert [start for start, _ in gathered[1:]] == [end for _, end in gathered[:-1]]
    assert 2 <= len(gathered) <= 20
    # A tick to sort and one to pair come behind those that gather.
    assert steps == len(gathered) + 2
    most = voice_round.SCANNED_PER_TICK // PERSON_WORK + 1
    assert max(end - start for start, end in gathered) <= most


class Hall:
    """A world in which three talk."""

    def __init__(self) -> None:
        self.world = World(MANIFEST, 1)
        self.step(*(c.Join(k, f"P{k}", "") for k in range(3)))
        for slot in range(3):
            self.world.tables.poses.rows[slot, [pose.X, pose.Z]] = slot * 1_000, 0
        self.step(*(c.SetVoice(slot, 1, VoiceMode.TALK) for slot in range(3)))

    def step(self, *commands: c.AnyCommand) -> c.TickOutput:
        return self.world.step(commands, None, 100 * (self.world.tick + 1))

    @property
    def voices(self):
        return self.world.society.voices

    def until_under_way(self) -> None:
        for _ in range(TICKS_MAX):
            if self.voices.round is not None and self.voices.round.save().first:
                return
            self.step()
        raise AssertionError("no choice was begun")


def test_a_checkpoint_in_the_middle_of_a_choice_leads_to_the_same_pairs() -> None:
    with in_slices(1):
        hall = Hall()
        hall.until_under_way()
        hall.step(c.SetVoice(1, 2, VoiceMode.OFF))
        hall.step(c.SetVoice(1, 3, VoiceMode.TALK))
        assert hall.voices.round is not None
        fresh = World(MANIFEST, 9)
        checkpoint.restore(fresh, checkpoint.save(hall.world))
        for _ in range(20):
            theirs = fresh.step((), None, 100 * (fresh.tick + 1))
            ours = hall.step()
            assert theirs.tells == ours.tells
        assert hall.voices.peers[0].tolist() == [1, 2, -1, -1, -1, -1]
        assert np.array_equal(fresh.society.voices.peers, hall.voices.peers)


def test_what_is_no_choice_of_this_world_is_refused() -> None:
    with in_slices(1):
        hall = Hall()
        hall.until_under_way()
        assert hall.voices.round is not None
        good = hall.voices.round.save()
    capacity = MANIFEST.capacity
    assert Round.restore(good, capacity).save() == good
    edge = ((5 << (2 * SLOT_BITS)) | (1 << SLOT_BITS) | 2).to_bytes(8, "little")
    itself = ((5 << (2 * SLOT_BITS)) | (1 << SLOT_BITS) | 1).to_bytes(8, "little")
    beyond = ((5 << (2 * SLOT_BITS)) | (1 << SLOT_BITS) | 24).to_bytes(8, "little")
    far = (24).to_bytes(4, "little")
    wrong: list[dict[str, object]] = [
        {"slots": good.slots[:8] + far}, {"slots": good.slots[:4] * 3}, {"slots": b"123"},
        {"places": good.places[:-4]}, {"first": 4}, {"first": -1}, {"edges": itself},
        {"edges": beyond}, {"edges": edge * 23, "first": 1}, {"edges": b"\xff" * 8},
        {"gone": [5]}, {"gone": [-1]},
    ]
    for fields in wrong:
        saved = SavedRound(**{
            name: fields.get(name, getattr(good, name)) for name in good.__struct_fields__
        })  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"."):
            Round.restore(saved, capacity)


def test_who_is_blocked_in_a_tick_is_sent_no_signal_of_that_tick() -> None:
    """An ICE candidate tells an address: the pair counts no more as soon as one has said so."""
    hall = Hall()
    for _ in range(10):
        hall.step()
    ids = hall.world.tables.entity_ids.tolist()
    assert hall.voices.paired_session(0, ids[1]) == 1
    hall.step(c.Relate(0, 8, ids[1], "", int(Relation.BLOCK)))
    assert hall.voices.paired_session(0, ids[1]) is None
    assert hall.voices.paired_session(1, ids[0]) is None
    hall.step(c.Shelter(2, 9, True))
    assert hall.voices.paired_session(0, ids[2]) is None


def test_to_switch_back_and_forth_begins_no_work_of_its_own() -> None:
    """However often somebody stops talking in a choice, no more than one follows it."""
    with in_slices(1):
        hall = Hall()
        began = 0
        for tick in range(60):
            before = hall.voices.round
            hall.step(c.SetVoice(0, tick, VoiceMode(LISTEN + tick % 2)))
            began += hall.voices.round is not None and hall.voices.round is not before
        # Each takes six ticks: one to begin, three people, to sort, to pair.
        assert began <= 60 / 5 + 1


def test_nobody_hears_what_is_told_before_it_is_chosen() -> None:
    hall = Hall()
    told = [tell for _ in range(6) for tell in hall.step().tells
            if isinstance(tell.message, m.RtcPeers)]
    assert {tell.sessions for tell in told} == {(0,), (1,), (2,)}

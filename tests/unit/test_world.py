"""A world by itself: joins and slots, seats and jumps, chat, and what a returning link may do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from atrium_server.world import commands as c
from atrium_server.world import movement
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.places import root_body
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import ChatChannel, ChatState, MoveReason, TeleportTarget

Said = TypeVar("Said", bound=m.Message)
MANIFEST = """
[world]
name = "test"
tick_rate_hz = 20
capacity = {capacity}
[extent]
min = [-40.0, -1.0, -40.0]
max = [40.0, 9.0, 40.0]
[movement]
teleport_range_m_max = 15.0
teleport_cooldown_s = 0.5
[chat]
nearby_m = 5.0
[[box]]
name = "block"
center = [10.0, 1.0, 0.0]
size = [2.0, 2.0, 2.0]
[[seat]]
name = "a"
position = [0.0, 0.4, -3.0]
yaw_deg = 90.0
[[seat]]
name = "b"
position = [2.0, 0.4, -3.0]
[[seat]]
name = "far"
position = [0.0, 0.4, 30.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = {radius}
"""


class Stage:
    """A world and short words for what is done to it."""

    def __init__(
        self, capacity: int = 8, radius_m: float = 0.1, seed: int = 1, more: str = ""
    ) -> None:
        text = MANIFEST.format(capacity=capacity, radius=radius_m) + more
        self.world = World(parse_manifest(text, "test"), seed)
        self.out = c.TickOutput()

    def step(self, *commands: c.AnyCommand, poses: PoseBatch | None = None) -> c.TickOutput:
        self.out = self.world.step(commands, poses, 50 * (self.world.tick + 1))
        return self.out

    def join(self, *sessions: int) -> list[int]:
        """Slots of the sessions, which join together."""
        self.step(*(c.Join(session, f"name {session}", "") for session in sessions))
        return [self.slot(session) for session in sessions]

    def slot(self, session: int) -> int:
        slot = self.world._slot_of_session.get(session)
        assert slot is not None
        return slot

    def row(self, session: int) -> list[int]:
        return self.world.tables.poses.rows[self.slot(session)].tolist()

    def flag(self, session: int, flag: pose.Flags) -> bool:
        return bool(self.row(session)[pose.FLAGS] & flag)

    def told(self, kind: type[Said], session: int | None = None) -> list[Said]:
        """Messages of a kind of the last tick (for one session)."""
        return [tell.message for tell in self.out.tells if isinstance(tell.message, kind)
                and (session is None or tell.sessions is None or session in tell.sessions)]

    def jump(
        self, session: int, kind: TeleportTarget, target: int = 0,
        to: tuple[float, float, float] = (0.0, 0.0, 0.0), yaw: float = 0.0,
    ) -> m.Result:
        self.step(c.Jump(session, 77, kind, target, *to, yaw))
        result, = self.told(m.Result, session)
        assert result.request_id == 77
        return result

    def rest(self, seconds: float = 0.5) -> None:
        for _ in range(math.ceil(seconds * 20)):
            self.step()

    def say(
        self, session: int, text: str, channel: ChatChannel = ChatChannel.WORLD, target: int = 0
    ) -> int:
        """Submit a line; the number that the judge knows it by."""
        self.step(c.Say(session, 5, channel, target, text))
        return self.out.judge[0].line_id

    def publish(self, line_id: int, text: str = "x") -> c.Tell:
        """A good verdict; who was told what."""
        self.step(c.Judged(line_id, True, text, ""))
        tell, = [t for t in self.out.tells if isinstance(t.message, m.ChatPublished)]
        return tell


def pose_at(
    slot: int, seq: int, x_mm: int, z_mm: int = 0, flags: int = 0, ack: int = 0
) -> PoseBatch:
    rows = np.zeros((1, pose.COLUMNS), np.int32)
    rows[0, [pose.X, pose.Z, pose.FLAGS]] = x_mm, z_mm, flags
    return PoseBatch(
        np.array([slot], np.int32), np.array([seq], np.uint32), np.array([ack], np.uint32), rows,
        np.zeros(1, np.uint8), np.zeros((1, pose.EXTRA_BYTES), np.uint8),
    )


# --- joins and slots ---------------------------------------------------------------------------


def test_who_joins_is_told_slot_and_entity() -> None:
    stage = Stage()
    stage.join(10, 11)
    ids = [joined.entity_id for joined in stage.out.joined]
    assert [(j.session_id, j.slot) for j in stage.out.joined] == [(10, 0), (11, 1)]
    frame = stage.world.publish()
    assert frame.entity_ids[:2].tolist() == ids
    assert frame.alive.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert frame.high == 2
    stage.step(c.Leave(11))
    assert stage.world.publish().high == 1


def test_entity_ids_are_never_used_twice_and_slots_rest_a_tick() -> None:
    rng = np.random.default_rng(4)
    stage = Stage(capacity=6)
    seen: set[int] = set()
    inside: list[int] = []
    next_session = 1
    for _ in range(300):
        commands: list[c.AnyCommand] = []
        before = stage.world.tables.alive.copy()
        ids_before = stage.world.tables.entity_ids.copy()
        for session in [s for s in inside if rng.random() < 0.3]:
            inside.remove(session)
            commands.append(c.Leave(session))
        while len(inside) < 6 and rng.random() < 0.7:
            inside.append(next_session)
            commands.append(c.Join(next_session, "n", ""))
            next_session += 1
        rng.shuffle(commands)  # type: ignore[arg-type] -- a list is shuffled in place
        out = stage.step(*commands)
        for joined in out.joined:
            assert joined.entity_id not in seen
            seen.add(joined.entity_id)
        after = stage.world.tables
        reused = (before == 1) & (after.alive == 1) & (ids_before != after.entity_ids)
        assert not reused.any(), "a slot was given on in the tick that freed it"
    assert len(seen) > 200


def test_a_full_world_changes_its_people_within_one_tick() -> None:
    """The seat that was given up is taken at once; the slot behind it is free a tick later."""
    stage = Stage(capacity=2)
    stage.join(1, 2)
    out = stage.step(c.Leave(1), c.Leave(2), c.Join(3, "c", ""), c.Join(4, "d", ""))
    assert out.joined == []
    out = stage.step()
    assert [joined.session_id for joined in out.joined] == [3, 4]


def test_who_waits_for_a_slot_may_leave_again() -> None:
    stage = Stage(capacity=1)
    stage.join(1)
    stage.step(c.Leave(1), c.Join(2, "b", ""), c.Leave(2), c.Join(3, "c", ""))
    assert [joined.session_id for joined in stage.step().joined] == [3]
    assert 2 not in stage.world._slot_of_session


def test_commands_of_the_gone_mean_nothing() -> None:
    stage = Stage()
    stage.join(1)
    out = stage.step(
        c.Leave(1), c.Say(1, 1, ChatChannel.WORLD, 0, "x"), c.Gesture(1, 1), c.Leave(1),
        c.Jump(1, 1, TeleportTarget.SPAWN, 0, 0, 0, 0, 0), c.LinkChange(1, True), c.Leave(9),
    )
    assert (out.tells, out.judge) == ([], [])


def test_poses_of_the_gone_are_skipped() -> None:
    stage = Stage()
    slot, = stage.join(1)
    out = stage.step(c.Leave(1), poses=pose_at(slot, 1, 50))
    assert out.poses_taken == 0
    stage.join(2)
    assert stage.slot(2) == slot
    assert stage.row(2)[pose.X] != 50
    assert stage.step(poses=pose_at(slot, 1, 60)).poses_taken == 1, "the new owner counts from 1"


def test_everybody_starts_in_free_space_within_the_spawn() -> None:
    stage = Stage(capacity=300, radius_m=14.0)  # the box stands inside of the disc
    stage.join(*range(300))
    world = stage.world
    for session in range(300):
        x, y, z = (value / 1000 for value in stage.row(session)[:3])
        assert math.hypot(x, z) <= 14.001
        free, ground = movement.walkable(world._colliders, world.rules, x, y + 0.001, z)
        assert free
        assert ground == pytest.approx(y, abs=0.002)
    assert len({tuple(stage.row(session)[:3]) for session in range(300)}) > 250


def test_the_first_few_meet_and_a_crowd_spreads() -> None:
    far = "".join(f"[[spawn]]\nposition = [{x}, 0.0, 0.0]\nradius_m = 1.0\n" for x in (-30, 30))
    stage = Stage(capacity=100, more=far)
    stage.join(*range(7))
    assert {round(stage.row(session)[pose.X] / 30_000) for session in range(7)} == {0}
    stage.join(*range(7, 100))
    places = [round(stage.row(session)[pose.X] / 30_000) for session in range(100)]
    assert all(places.count(place) > 20 for place in (-1, 0, 1))


# --- links -------------------------------------------------------------------------------------


def test_a_lost_link_shows_and_goes() -> None:
    stage = Stage()
    slot, = stage.join(1)
    stage.step(poses=pose_at(slot, 7, 100))
    stage.step(c.LinkChange(1, lost=True))
    assert stage.flag(1, pose.Flags.LINK_LOST)
    stage.step(poses=pose_at(slot, 8, 150, flags=int(pose.Flags.TYPING)))
    assert stage.flag(1, pose.Flags.LINK_LOST), "a client cannot say it away"
    stage.step(c.LinkChange(1, lost=False))
    assert not stage.flag(1, pose.Flags.LINK_LOST)


def test_poses_of_the_old_link_do_not_spoil_the_new_one() -> None:
    """They may lie in the inbox when the session comes back, with numbers far ahead."""
    stage = Stage()
    slot, = stage.join(1)
    stage.step(poses=pose_at(slot, 5_000, 100))
    stage.step(c.LinkChange(1, lost=False), poses=pose_at(slot, 5_001, 150))
    assert stage.row(1)[pose.X] == 100
    assert stage.step(poses=pose_at(slot, 1, 120)).poses_taken == 1
    assert stage.row(1)[pose.X] == 120


def test_a_step_of_the_view_is_a_discontinuity_for_others() -> None:
    stage = Stage()
    slot, = stage.join(1)
    before = stage.flag(1, pose.Flags.DISCONTINUITY)
    stage.step(poses=pose_at(slot, 1, 0, flags=int(pose.Flags.SNAP)))
    assert stage.flag(1, pose.Flags.DISCONTINUITY) is not before
    stage.step(poses=pose_at(slot, 2, 0, flags=int(pose.Flags.SNAP)))
    assert stage.flag(1, pose.Flags.DISCONTINUITY) is not before
    stage.step(poses=pose_at(slot, 3, 0, flags=int(pose.Flags.SEATED | pose.Flags.SPEAKING)))
    assert stage.flag(1, pose.Flags.DISCONTINUITY) is before
    assert not stage.flag(1, pose.Flags.SEATED | pose.Flags.SPEAKING)


# --- jumps and seats ---------------------------------------------------------------------------


def test_a_jump_moves_and_is_corrected_and_marked() -> None:
    stage = Stage()
    stage.join(1)
    before = stage.flag(1, pose.Flags.DISCONTINUITY)
    result = stage.jump(1, TeleportTarget.POINT, to=(5.0, 0.0, 6.0), yaw=math.pi)
    assert result.code == ErrorCode.OK
    assert stage.row(1)[:4] == [5_000, 0, 6_000, 2_048]
    assert stage.flag(1, pose.Flags.DISCONTINUITY) is not before
    correction, = stage.told(m.Correction, 1)
    assert correction.reasons == MoveReason.TELEPORT
    assert correction.body == root_body(stage.world.tables, stage.slot(1))
    assert stage.told(m.Correction, 2) == []


@pytest.mark.parametrize(("to", "code"), [
    ((10.0, 0.0, 0.0), ErrorCode.BLOCKED), ((0.0, 0.0, 15.5), ErrorCode.OUT_OF_RANGE),
    ((0.0, 9.5, 1.0), ErrorCode.BLOCKED),
])
def test_a_jump_that_the_rules_deny_moves_nobody(
    to: tuple[float, float, float], code: ErrorCode
) -> None:
    stage = Stage()
    stage.join(1)
    before = stage.row(1)
    result = stage.jump(1, TeleportTarget.POINT, to=to)
    assert result.code == code
    assert result.reason
    assert stage.row(1) == before
    assert stage.told(m.Correction) == []
    assert stage.jump(1, TeleportTarget.POINT, to=(1.0, 0.0, 1.0)).code == ErrorCode.OK


def test_jumps_have_a_cooldown_that_says_how_long() -> None:
    stage = Stage()
    stage.join(1)
    assert stage.jump(1, TeleportTarget.SPAWN).code == ErrorCode.OK
    result = stage.jump(1, TeleportTarget.SPAWN)
    assert result.code == ErrorCode.COOLDOWN
    assert result.retry_ms == 450
    stage.rest(result.retry_ms / 1000 - 0.05)
    assert stage.jump(1, TeleportTarget.SPAWN).code == ErrorCode.OK


def test_a_new_owner_of_a_slot_does_not_inherit_the_cooldown() -> None:
    stage = Stage(capacity=1)
    stage.join(1)
    assert stage.jump(1, TeleportTarget.SPAWN).code == ErrorCode.OK
    stage.step(c.Leave(1))
    stage.join(2)
    assert stage.jump(2, TeleportTarget.SPAWN).code == ErrorCode.OK


def test_a_seat_has_one_owner_until_it_is_left() -> None:
    stage = Stage()
    stage.join(1, 2)
    assert stage.jump(1, TeleportTarget.SEAT, 0).code == ErrorCode.OK
    assert stage.flag(1, pose.Flags.SEATED)
    assert stage.row(1)[:4] == [0, 400, -3_000, 1_024]
    assert stage.jump(2, TeleportTarget.SEAT, 0).code == ErrorCode.TAKEN
    assert not stage.flag(2, pose.Flags.SEATED)
    assert stage.jump(2, TeleportTarget.SEAT, 1).code == ErrorCode.OK
    stage.rest()
    assert stage.jump(1, TeleportTarget.SEAT, 1).code == ErrorCode.TAKEN
    assert stage.flag(1, pose.Flags.SEATED), "and keeps the seat it has"
    stage.rest()
    assert stage.jump(2, TeleportTarget.STAND).code == ErrorCode.OK
    assert stage.jump(1, TeleportTarget.SEAT, 1).code == ErrorCode.OK
    stage.rest()
    assert stage.jump(2, TeleportTarget.SEAT, 0).code == ErrorCode.OK, "who moves frees the old one"


@pytest.mark.parametrize("kind", [TeleportTarget.SPAWN, TeleportTarget.POINT, TeleportTarget.STAND])
def test_every_way_out_of_a_seat_frees_it(kind: TeleportTarget) -> None:
    stage = Stage()
    stage.join(1, 2)
    assert stage.jump(1, TeleportTarget.SEAT, 0).code == ErrorCode.OK
    stage.rest()
    assert stage.jump(1, kind, to=(3.0, 0.0, 3.0)).code == ErrorCode.OK
    assert not stage.flag(1, pose.Flags.SEATED)
    x, y, z = (value / 1000 for value in stage.row(1)[:3])
    assert movement.walkable(stage.world._colliders, stage.world.rules, x, y + 0.1, z)[0]
    assert stage.jump(2, TeleportTarget.SEAT, 0).code == ErrorCode.OK


def test_a_seat_is_free_when_its_owner_has_left() -> None:
    stage = Stage()
    stage.join(1, 2)
    assert stage.jump(1, TeleportTarget.SEAT, 0).code == ErrorCode.OK
    stage.step(c.Leave(1))
    assert stage.jump(2, TeleportTarget.SEAT, 0).code == ErrorCode.OK
    stage.join(3)
    assert stage.slot(3) == 0
    assert not stage.flag(3, pose.Flags.SEATED)


def test_seats_that_are_not_there_or_too_far() -> None:
    stage = Stage()
    stage.join(1)
    assert stage.jump(1, TeleportTarget.SEAT, 3).code == ErrorCode.NOT_FOUND
    assert stage.jump(1, TeleportTarget.SEAT, 2**32 - 1).code == ErrorCode.NOT_FOUND
    assert stage.jump(1, TeleportTarget.SEAT, 2).code == ErrorCode.OUT_OF_RANGE
    assert stage.jump(1, TeleportTarget.STAND).code == ErrorCode.NOT_FOUND


# --- chat --------------------------------------------------------------------------------------


def states(told: Sequence[m.ChatStatus]) -> list[ChatState]:
    return [status.state for status in told]


def test_a_line_is_pending_then_published_to_everybody() -> None:
    stage = Stage()
    stage.join(1, 2)
    line = stage.say(1, "hi\x00 there")
    assert states(stage.told(m.ChatStatus, 1)) == [ChatState.PENDING]
    assert stage.out.judge[0].text == "hi there"
    tell = stage.publish(line, "hi there")
    assert tell.sessions is None
    message = tell.message
    assert isinstance(message, m.ChatPublished)
    assert (message.sender_name, message.text, message.chat_seq) == ("name 1", "hi there", 1)
    assert message.server_ms == stage.world.server_ms
    status, = stage.told(m.ChatStatus, 1)
    assert (status.state, status.chat_seq, status.request_id) == (ChatState.PUBLISHED, 1, 5)
    assert stage.told(m.ChatStatus, 2) == []


def test_a_rejected_line_is_told_to_its_author_alone() -> None:
    stage = Stage()
    stage.join(1, 2)
    line = stage.say(1, "rude")
    stage.step(c.Judged(line, False, "", "Please be kind."))
    status, = stage.told(m.ChatStatus)
    assert (status.state, status.reason) == (ChatState.REJECTED, "Please be kind.")
    assert stage.told(m.ChatPublished) == []


def test_verdicts_out_of_order_do_not_change_the_order() -> None:
    stage = Stage()
    stage.join(1)
    lines = [stage.say(1, text) for text in "abc"]
    stage.step(c.Judged(lines[2], True, "c", ""), c.Judged(lines[1], False, "b", "no"))
    assert stage.out.tells == []
    stage.step(c.Judged(lines[0], True, "a", ""))
    assert [message.text for message in stage.told(m.ChatPublished)] == ["a", "c"]
    assert states(stage.told(m.ChatStatus)) == [
        ChatState.PUBLISHED, ChatState.REJECTED, ChatState.PUBLISHED
    ]


def test_nearby_lines_reach_who_is_near_when_they_are_published() -> None:
    stage = Stage()
    stage.join(1, 2, 3)
    stage.jump(3, TeleportTarget.POINT, to=(0.0, 0.0, 9.0))
    line = stage.say(1, "psst", ChatChannel.NEARBY)
    assert stage.publish(line).sessions == (1, 2)
    line = stage.say(1, "gone", ChatChannel.NEARBY)
    stage.step(c.Leave(1))
    stage.step(c.Judged(line, True, "gone", ""))
    assert stage.told(m.ChatPublished) == []


def test_direct_lines_reach_two_people() -> None:
    stage = Stage()
    stage.join(1, 2, 3)
    target = int(stage.world.tables.entity_ids[stage.slot(2)])
    line = stage.say(1, "you", ChatChannel.DIRECT, target)
    assert set(stage.publish(line).sessions or ()) == {1, 2}
    line = stage.say(1, "you", ChatChannel.DIRECT, target)
    stage.step(c.Leave(2))
    stage.step(c.Judged(line, True, "you", ""))
    assert stage.told(m.ChatPublished) == []
    assert states(stage.told(m.ChatStatus, 1)) == [ChatState.REJECTED]
    stage.step(c.Say(1, 6, ChatChannel.DIRECT, target, "you"))
    assert states(stage.told(m.ChatStatus, 1)) == [ChatState.REJECTED], "nobody has that id"


def test_empty_lines_and_too_many_are_refused_with_a_reason() -> None:
    stage = Stage()
    stage.join(1)
    stage.step(c.Say(1, 5, ChatChannel.WORLD, 0, "\u200b"))
    status, = stage.told(m.ChatStatus, 1)
    assert (status.state, bool(status.reason)) == (ChatState.REJECTED, True)
    for _ in range(limits.CHAT_HELD_PER_SESSION_MAX):
        stage.say(1, "x")
    stage.step(c.Say(1, 5, ChatChannel.WORLD, 0, "one more"))
    assert states(stage.told(m.ChatStatus, 1)) == [ChatState.REJECTED]
    assert stage.out.judge == []


def test_a_line_is_taken_back_from_those_who_were_told() -> None:
    stage = Stage()
    stage.join(1, 2, 3)
    target = int(stage.world.tables.entity_ids[stage.slot(2)])
    stage.publish(stage.say(1, "secret", ChatChannel.DIRECT, target))
    stage.step(c.Retract(1))
    tell, = stage.out.tells
    assert tell.message == m.ChatRetract(1)
    assert set(tell.sessions or ()) == {1, 2}
    stage.step(c.Retract(1), c.Retract(99))
    assert stage.out.tells == []


def test_a_verdict_that_changes_takes_a_line_back_wherever_it_is() -> None:
    stage = Stage()
    stage.join(1, 2)
    told = stage.say(1, "was told")
    stage.publish(told)
    stage.step(c.Withdraw(told, "it was an insult"))
    assert [tell.message for tell in stage.out.tells] == [m.ChatRetract(1)]
    waits = stage.say(1, "is decided and waits")
    behind = stage.say(1, "comes behind it")
    stage.step(c.Judged(behind, True, "comes behind it", ""))
    stage.step(c.Withdraw(behind, "it was one too"))
    stage.step(c.Judged(waits, True, "is decided and waits", ""))
    assert [each.text for each in stage.told(m.ChatPublished, 2)] == ["is decided and waits"]
    rejected, = (each for each in stage.told(m.ChatStatus, 1) if each.state is ChatState.REJECTED)
    assert rejected.reason == "it was one too"
    stage.step(c.Withdraw(told, "again"), c.Withdraw(99, "unknown"))
    assert stage.out.tells == []


def late(channel: ChatChannel = ChatChannel.WORLD, target: int = 0, text: str = "old") -> Any:
    return c.LateLine(1, 9, channel, target, 7, "Ann", text, "session:1")


def test_a_late_line_comes_behind_what_is_ready_and_says_that_it_is_late() -> None:
    stage = Stage()
    stage.join(1, 2)
    ready = stage.say(1, "is ready")
    waits = stage.say(1, "waits for its verdict")
    stage.step(late(), c.Judged(ready, True, "is ready", ""))
    assert [each.text for each in stage.told(m.ChatPublished, 2)] == ["is ready", "⏳ old"]
    stage.step(c.Judged(waits, True, "waits for its verdict", ""))
    assert stage.told(m.ChatPublished, 2)[-1].chat_seq == 3
    stage.step(late(text="x" * limits.CHAT_CHARS_MAX))
    assert len(stage.told(m.ChatPublished, 2)[-1].text) == limits.CHAT_CHARS_MAX


def test_a_late_line_of_who_is_gone_is_told_to_all_and_to_nobody_near() -> None:
    stage = Stage()
    stage.join(1, 2)
    stage.step(c.Leave(1))
    stage.step(late())
    assert [each.text for each in stage.told(m.ChatPublished, 2)] == ["⏳ old"]
    stage.step(late(ChatChannel.NEARBY), late(ChatChannel.DIRECT, 77))
    assert stage.told(m.ChatPublished, 2) == []


def test_who_comes_back_gets_what_was_missed_but_nothing_from_before_the_join() -> None:
    stage = Stage()
    stage.join(1)
    stage.publish(stage.say(1, "a"), "before")
    stage.join(2)
    stage.publish(stage.say(1, "b"), "heard")
    stage.step(c.LinkChange(2, lost=True))
    stage.publish(stage.say(1, "c"), "missed")
    assert [line.text for line in stage.world.chat_since(2, 2)] == ["missed"]
    assert [line.text for line in stage.world.chat_since(2, 0)] == ["heard", "missed"]
    assert stage.world.chat_since(99, 0) == []


def test_gestures_are_seen_nearby() -> None:
    stage = Stage()
    stage.join(1, 2, 3)
    stage.jump(3, TeleportTarget.POINT, to=(0.0, 0.0, 9.0))
    stage.step(c.Gesture(2, 4))
    tell, = stage.out.tells
    assert tell.sessions == (1, 2)
    assert tell.message == m.Emote(int(stage.world.tables.entity_ids[stage.slot(2)]), 4)


# --- determinism -------------------------------------------------------------------------------


def test_the_same_inputs_leave_the_same_world() -> None:
    def run(seed: int) -> str:
        stage = Stage(radius_m=5.0, seed=seed)
        slots = stage.join(1, 2, 3)
        for tick in range(30):
            stage.step(c.Jump(3, tick, TeleportTarget.SPAWN, 0, 0, 0, 0, 0),
                       poses=pose_at(slots[0], tick + 1, 40 * tick))
        return stage.world.digest()

    assert run(1) == run(1)
    assert run(1) != run(2)

"""Nobody can be drowned: floods of lines and emotes in worlds of all sizes and tick rates."""

from __future__ import annotations

import pytest

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.world import World
from atrium_shared import codec, limits, pose
from atrium_shared import messages as m
from atrium_shared.messages import ChatChannel, ChatState

WORLD, NEARBY, DIRECT = ChatChannel.WORLD, ChatChannel.NEARBY, ChatChannel.DIRECT
MANIFEST = """
[world]
name = "test"
tick_rate_hz = {rate_hz}
capacity = {capacity}
[extent]
min = [-400.0, -1.0, -400.0]
max = [400.0, 9.0, 400.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
"""
FLOODERS = 64
"""As many as one address may connect."""
LONGEST = "🦊" * limits.CHAT_CHARS_MAX
LINE_BYTES_MAX = limits.LINE_BYTES_MIN + limits.CHAT_BYTES_MAX
HEAD_BYTES = 4
"""Of a WebSocket frame."""


class Hall:
    """A world full of people who all stand in one place, and a judge that allows everything.

    Sessions are numbered from 1; session n is entity n in slot n - 1.
    """

    def __init__(self, people: int, rate_hz: int = 20) -> None:
        self.rate_hz = rate_hz
        self.world = World(parse_manifest(MANIFEST.format(rate_hz=rate_hz, capacity=people), ""), 1)
        t = self.world.tables
        # Joins would look for a place for each of them.
        t.high, t._next_id = people, people + 1
        t._free.clear()
        t.alive[:] = 1
        t.sessions[:] = t.entity_ids[:] = range(1, people + 1)
        t.names[:] = ["n" * limits.NAME_CHARS_MAX] * people
        for session in range(1, people + 1):
            self.world._slot_of_session[session] = session - 1
            self.world._stage.enter(session, session - 1)
        self.world.tick = 10 * rate_hz  # since when nobody has said anything
        self.out = c.TickOutput()
        self._verdicts: list[c.Judged] = []
        self._next_request = 1
        self.asked: dict[int, c.Say] = {}
        """What was submitted, by request."""
        self.answers: dict[int, list[m.ChatStatus]] = {}
        self.published: list[m.ChatPublished] = []

    def say(self, session: int, channel: ChatChannel, text: str = "x", target: int = 0) -> c.Say:
        """A line with a request of its own."""
        say = c.Say(session, self._next_request, channel, target, text)
        self._next_request += 1
        self.asked[say.request_id] = say
        return say

    def step(self, *commands: c.AnyCommand) -> c.TickOutput:
        server_ms = 1000 * self.world.tick // self.rate_hz
        out = self.out = self.world.step([*self._verdicts, *commands], None, server_ms)
        self._verdicts = [c.Judged(one.line_id, True, one.text, "") for one in out.judge]
        for tell in out.tells:
            if isinstance(tell.message, m.ChatStatus):
                self.answers.setdefault(tell.message.request_id, []).append(tell.message)
            elif isinstance(tell.message, m.ChatPublished):
                self.published.append(tell.message)
        return out

    def flood(
        self, channel: ChatChannel, *more: c.AnyCommand, first: int = 1, target: int = 0
    ) -> c.TickOutput:
        """A tick in which each of the flooders says as much as its session is let."""
        every = max(int(self.rate_hz / limits.CHAT_PER_S_MAX), 1)
        now = self.world.tick
        lines = [
            self.say(session, channel, LONGEST, target)
            for session in range(first, first + FLOODERS) if (now + session) % every == 0
        ]
        return self.step(*lines, *more)

    def heard_bytes(self, session: int) -> int:
        """What a session is told by others in the last tick."""
        return sum(
            HEAD_BYTES + len(codec.encode(tell.message)) for tell in self.out.tells
            if isinstance(tell.message, m.ChatPublished | m.Emote)
            and (tell.sessions is None or session in tell.sessions)
        )

    def delivered(self) -> int:
        """Lines and emotes times readers in the last tick."""
        people = len(self.world._slot_of_session)
        return sum(
            people if tell.sessions is None else len(tell.sessions) for tell in self.out.tells
            if isinstance(tell.message, m.ChatPublished | m.Emote)
        )

    def states(self, say: c.Say) -> list[ChatState]:
        return [status.state for status in self.answers.get(say.request_id, [])]

    def ticks_until_published(self, say: c.Say, channel: ChatChannel, most: int) -> int:
        """How many ticks of flood it takes after the one in which the line was submitted."""
        for ticks in range(most + 1):
            if ChatState.PUBLISHED in self.states(say):
                return ticks
            assert ChatState.REJECTED not in self.states(say)
            self.flood(channel)
        return most + 1


RATES_HZ = [limits.TICK_RATE_HZ_MIN, limits.TICK_RATE_HZ_DEFAULT, limits.TICK_RATE_HZ_MAX]


# --- budgets -----------------------------------------------------------------------------------


def test_a_budget_gives_what_time_pays_and_remembers_debts() -> None:
    budget = Budget(bytes_per_s=100, tick_rate_hz=10)
    assert budget.has_room(7)
    budget.take(7, 9)
    assert budget.has_room(7), "a tick's worth is not used up"
    budget.take(7, 25)  # 34 of this tick's 10: paid with the next two, and nearly the third
    assert [budget.has_room(tick) for tick in (7, 8, 9, 10)] == [False, False, False, True]
    budget.take(1000, 1)
    assert budget.paid_to == 1000 * 100 + 10, "what time would have paid before is not saved up"


# --- what one reader, and all together, are told -----------------------------------------------


@pytest.mark.parametrize("people", [100, 2_000, 10_000])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("channel", [WORLD, NEARBY])
def test_a_flood_is_bounded_for_a_reader_and_for_the_world(
    channel: ChatChannel, rate_hz: int, people: int
) -> None:
    hall, seconds = Hall(people, rate_hz), 10
    heard_bytes = delivered = 0
    for _ in range(seconds * rate_hz):
        hall.flood(channel)
        heard_bytes += hall.heard_bytes(people)
        delivered += hall.delivered()
    # A tick's worth and one overdraft are what a budget may be off by.
    reader_bytes_max = limits.READER_BYTES_PER_S_MAX * (seconds + 1 / rate_hz) + LINE_BYTES_MAX
    assert 0 < heard_bytes <= reader_bytes_max
    world_bytes_per_s = hall.world._stage.budgets[channel].bytes_per_s
    world_bytes_max = world_bytes_per_s * (seconds + 1 / rate_hz) + people * LINE_BYTES_MAX
    assert delivered * LINE_BYTES_MAX <= world_bytes_max
    assert heard_bytes > seconds / 4 * min(
        limits.READER_BYTES_PER_S_MAX, world_bytes_per_s / people
    ), "what there is room for is used"


def test_one_person_is_not_drowned_by_direct_lines() -> None:
    hall, seconds = Hall(100), 10
    heard_bytes = 0
    for _ in range(seconds * hall.rate_hz):
        hall.flood(DIRECT, target=100)
        heard_bytes += hall.heard_bytes(100)
    assert heard_bytes <= limits.READER_BYTES_PER_S_MAX * (seconds + 1) + LINE_BYTES_MAX


@pytest.mark.parametrize("people", [100, 2_000, 10_000])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_emotes_are_bounded_by_bytes_over_seconds_not_by_tick(rate_hz: int, people: int) -> None:
    hall, seconds, delivered = Hall(people, rate_hz), 5, 0
    for _ in range(seconds * rate_hz):
        out = hall.step(*(c.Gesture(session, 1) for session in range(1, 101)))
        assert out.emotes <= limits.EMOTES_PER_TICK_MAX
        delivered += hall.delivered()
    most = limits.EMOTES_BYTES_PER_S_MAX * (seconds + 1 / rate_hz) / limits.LINE_BYTES_MIN + people
    assert 0 < delivered <= most


# --- who is heard ------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [100, 2_000, 10_000])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("flood_s", [1, 4, 12])
def test_one_who_speaks_now_and_then_is_heard_in_a_flood(
    flood_s: int, rate_hz: int, people: int
) -> None:
    if people == 10_000 and flood_s == 1:
        return  # until the flooders' first lines are told, they are people who had been quiet
    hall = Hall(people, rate_hz)
    for _ in range(flood_s * rate_hz):
        hall.flood(WORLD)
    honest = hall.say(people, WORLD, "Is anybody here?")
    hall.flood(WORLD, honest)
    assert hall.ticks_until_published(honest, WORLD, 2 * rate_hz) <= 2 * rate_hz
    for channel, target in ((DIRECT, people - 1), (NEARBY, 0)):
        aside = hall.say(people, channel, "What a noise!", target)
        hall.flood(WORLD, aside)
        assert hall.ticks_until_published(aside, WORLD, 2) <= 2, "no WORLD line is before it"


def test_floods_in_other_channels_do_not_hold_up_a_direct_line() -> None:
    hall = Hall(200)
    for _ in range(5 * hall.rate_hz):
        hall.flood(NEARBY)
        hall.flood(DIRECT, target=100)
    honest = hall.say(200, DIRECT, "psst", 199)
    hall.flood(NEARBY, honest)
    assert hall.ticks_until_published(honest, NEARBY, 2) <= 2


def test_one_who_talks_much_takes_turns_with_the_others() -> None:
    """And nobody who waits goes on waiting for ever, because all others have their turn, too."""
    hall = Hall(100)
    for _ in range(30 * hall.rate_hz):
        hall.flood(WORLD)
    said = dict.fromkeys(range(1, FLOODERS + 1), 0)
    for message in hall.published:
        said[message.sender_id] += 1
    assert sum(said.values()) >= 3 * 30
    assert max(said.values()) <= 8


def test_a_crowd_that_says_usual_things_is_not_refused() -> None:
    hall = Hall(2_000)
    for tick in range(10 * hall.rate_hz):
        # A line every 20 s in the hall from one in ten, and to those near from some.
        lines = [hall.say(tick % 200 + 1, WORLD, "This is a usual line, as people write them.")]
        hall.step(*lines[: tick % 2], hall.say(tick % 900 + 300, DIRECT, "hello", 5 + tick))
    for _ in range(5):
        hall.step()
    assert all(
        [status.state for status in answers] == [ChatState.PENDING, ChatState.PUBLISHED]
        for answers in hall.answers.values()
    )


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", list(ChatChannel))
def test_each_line_has_one_first_answer_and_one_last_and_order_stays(channel: ChatChannel) -> None:
    hall = Hall(100)
    for tick in range(8 * hall.rate_hz):
        text = f"{tick:04}" + LONGEST[:100]
        talkers = range(1 + tick % 7, FLOODERS, 7)
        hall.step(*(hall.say(session, channel, text, 100) for session in talkers))
    for _ in range(int((limits.CHAT_TURN_S_MAX + 1) * hall.rate_hz)):
        hall.step()
    assert set(hall.answers) == set(hall.asked)
    ends = {tuple(status.state for status in answers) for answers in hall.answers.values()}
    assert ends == {
        (ChatState.PENDING, ChatState.PUBLISHED), (ChatState.PENDING, ChatState.REJECTED),
        (ChatState.REJECTED,),
    }
    for session in range(1, FLOODERS + 1):
        mine = [one.text[:4] for one in hall.published if one.sender_id == session]
        assert mine == sorted(mine)
    assert all(queue.lines == [] for queue in hall.world.chat.queues.values())
    assert hall.world.chat._by_id == {}


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tick_cleans_so_many_lines_and_answers_all(rate_hz: int) -> None:
    hall = Hall(2_000, rate_hz)
    lines = [hall.say(session, DIRECT, "hi", 7) for session in range(1, 2_001)]
    out = hall.step(*lines)
    assert 0 < out.lines * rate_hz <= limits.LINES_PER_S_MAX + rate_hz
    states = [hall.states(line) for line in lines]
    assert states.count([ChatState.PENDING]) == len(out.judge) == out.lines
    assert states.count([ChatState.REJECTED]) == len(lines) - out.lines


def test_lines_that_wait_for_verdicts_are_bounded() -> None:
    """A judge that never answers does not make the world hold more and more."""
    hall = Hall(2_000)
    for _ in range(3 * hall.rate_hz):
        for channel in ChatChannel:
            hall.flood(channel, first=1 + 100 * channel, target=7)
            hall._verdicts.clear()
    for channel, queue in hall.world.chat.queues.items():
        bytes_max = hall.world._stage._waiting_bytes_max(channel)
        assert queue.size_bytes <= bytes_max + LINE_BYTES_MAX
        assert queue.size_bytes == sum(line.size_bytes for line in queue.lines) > 0


def test_a_line_with_nothing_to_see_drives_nobody_out() -> None:
    hall = Hall(100)
    for _ in range(hall.rate_hz):
        hall.flood(WORLD)
    before = list(hall.world.chat.queues[WORLD].lines)
    empty = hall.say(99, WORLD, "\u200b")
    hall.step(empty)
    assert hall.states(empty) == [ChatState.REJECTED]
    after = hall.world.chat.queues[WORLD].lines
    assert [line for line in before if line not in after and line.ready_tick < 0] == []


def test_a_line_whose_turn_does_not_come_is_refused_in_time() -> None:
    hall = Hall(100)
    for _ in range(3 * hall.rate_hz):
        hall.flood(DIRECT, target=100)
    waiting = [line.request_id for line in hall.world.chat.queues[DIRECT].lines]
    assert len(waiting) > 10
    for _ in range(int((limits.CHAT_TURN_S_MAX + 1) * hall.rate_hz)):
        hall.step()
    ends = [hall.answers[request][-1].state for request in waiting]
    assert ChatState.REJECTED in ends
    assert ChatState.PENDING not in ends


def test_places_apart_do_not_hold_up_each_other() -> None:
    hall = Hall(200)
    hall.world.tables.poses.rows[100:, pose.X] = 200_000
    for _ in range(3 * hall.rate_hz):
        hall.flood(NEARBY)
    far = hall.say(150, NEARBY, "how quiet it is here")
    hall.flood(NEARBY, far)
    assert hall.ticks_until_published(far, NEARBY, 2) <= 2
    assert hall.heard_bytes(1) == 0 or hall.heard_bytes(150) < 200

"""Held lines, verdicts in any order, and what a session that comes back has missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world.chat import SINCE_BYTES_MAX, ChatRules, Line, Turn, size_of
from atrium_server.world.commands import Judged
from atrium_shared import codec, limits
from atrium_shared.messages import ChatChannel, ChatState

WORLD, NEARBY, DIRECT = ChatChannel.WORLD, ChatChannel.NEARBY, ChatChannel.DIRECT
FIRST = Turn(pressing=False, silent_since=0)



def verdict(
    rules: ChatRules, line_id: int, publish: bool, text: str, reason: str
) -> list[Line]:
    """Give a verdict; returns the lines that wait only for their turn with it."""
    rules.judge(Judged(line_id, publish, text, reason), 1)
    ready = [
        line for queue in rules.queues.values() for line in queue.lines if line.ready_tick >= 0
    ]
    for one in ready:
        rules.queues[one.channel].remove(one)
    return ready


def line(
    session: int, text: str = "x", channel: ChatChannel = WORLD, request: int = 0,
    turn: Turn = FIRST,
) -> Line:
    return Line(0, session, request, channel, 0, session + 1000, f"n{session}", text, turn)


def new_rules() -> ChatRules:
    rules = ChatRules()
    for session in range(1, 10):
        rules.enter(session, 0)
    return rules


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(list(ChatChannel))), max_size=40),
    st.data(),
)
def test_lines_come_in_order_however_the_verdicts_come(
    submitted: list[tuple[int, ChatChannel]], data: st.DataObject
) -> None:
    rules = new_rules()
    accepted: list[Line] = []
    for number, (session, channel) in enumerate(submitted):
        one = line(session, str(number), channel)
        if rules.submit(one, 0):
            accepted.append(one)
    verdicts = data.draw(st.permutations(accepted))
    decided: list[Line] = []
    for one in verdicts:
        allow = data.draw(st.booleans())
        decided += verdict(rules, one.line_id, allow, one.text, "" if allow else "no")
        assert verdict(rules, one.line_id, not allow, "again", "") == [], "one verdict each"
    assert len(decided) == len(accepted), "every line is decided once"
    for session in (1, 2, 3):
        for channel in ChatChannel:
            def mine(lines: list[Line], s: int = session, c: ChatChannel = channel) -> list[int]:
                return [one.line_id for one in lines if (one.session_id, one.channel) == (s, c)]

            assert mine(decided) == mine(accepted)


def test_a_decided_line_waits_only_for_those_before_it_in_its_channel() -> None:
    rules = new_rules()
    first, second = line(1), line(1)
    other, direct = line(2), line(1, channel=DIRECT)
    for one in (first, second, other, direct):
        assert rules.submit(one, 0)
    assert verdict(rules, second.line_id, True, "b", "") == []
    assert verdict(rules, other.line_id, True, "c", "") == [other]
    assert verdict(rules, direct.line_id, True, "d", "") == [direct]
    assert verdict(rules, first.line_id, False, "a", "rude") == [first, second]
    assert (first.verdict, first.reason, second.verdict) == (False, "rude", True)


def test_a_session_holds_a_bounded_number_of_lines() -> None:
    rules = new_rules()
    held = [line(1) for _ in range(limits.CHAT_HELD_PER_SESSION_MAX)]
    assert all(rules.submit(one, 0) for one in held)
    assert not rules.submit(line(1), 0)
    assert rules.submit(line(2), 0), "others are not concerned"
    verdict(rules, held[0].line_id, True, "x", "")
    assert rules.submit(line(1), 0)


def test_verdicts_on_unknown_lines_mean_nothing() -> None:
    assert verdict(ChatRules(), 77, True, "x", "") == []


def test_numbers_count_up_and_the_author_learns_them() -> None:
    rules = new_rules()
    for expected in (1, 2, 3):
        message, status = rules.publish(line(1, "hi", request=9), None, 500)
        assert message.chat_seq == status.chat_seq == rules.last_seq == expected
        assert (status.request_id, status.state) == (9, ChatState.PUBLISHED)
        assert (message.sender_id, message.server_ms, message.text) == (1001, 500, "hi")


def test_a_session_is_told_what_it_has_missed_and_nothing_else() -> None:
    rules = new_rules()
    for number in range(1, 7):
        rules.publish(line(1, str(number)), None if number % 2 else (4, 5), 0)
    assert [message.chat_seq for message in rules.since(4, 2)] == [3, 4, 5, 6]
    assert [message.chat_seq for message in rules.since(9, 2)] == [3, 5]
    assert rules.since(4, 6) == []
    assert rules.since(4, 2**32 - 1) == []


def test_a_line_that_is_taken_back_is_forgotten() -> None:
    rules = new_rules()
    rules.publish(line(1, "a"), None, 0)
    rules.publish(line(1, "b"), (1, 2), 0)
    taken = rules.retract(2)
    assert taken is not None
    assert taken.sessions == (1, 2)
    assert rules.retract(2) is None
    assert [message.text for message in rules.since(1, 0)] == ["a"]
    assert rules.last_seq == 2, "its number is not given again"


def test_what_was_missed_fits_the_queue_of_a_session() -> None:
    rules = new_rules()
    for number in range(2 * limits.CHAT_HISTORY_MAX):
        rules.publish(line(1, f"{number:03}" + "😀" * (limits.CHAT_CHARS_MAX - 3)), None, 0)
    missed = rules.since(2, 0)
    assert sum(len(codec.encode(message)) for message in missed) <= SINCE_BYTES_MAX
    assert SINCE_BYTES_MAX < limits.RELIABLE_BYTES_MAX
    numbers = [message.chat_seq for message in missed]
    assert numbers == list(range(numbers[0], 2 * limits.CHAT_HISTORY_MAX + 1)), "the newest ones"
    assert limits.CHAT_HISTORY_MAX < limits.RELIABLE_MESSAGES_MAX


# --- turns -------------------------------------------------------------------------------------


def test_who_was_quiet_is_first_and_then_who_talked_the_longest_ago() -> None:
    rules = ChatRules()
    rules.enter(1, 10)
    rules.enter(2, 20)
    assert rules.ask(2, WORLD, 25, 5) == (False, 20)
    assert rules.ask(2, WORLD, 29, 5) == (True, 20), "in vain, but it has asked"
    assert rules.ask(2, DIRECT, 29, 5) == (False, 20), "each channel by itself"
    assert rules.ask(1, WORLD, 29, 5) == (False, 10)
    assert rules.submit(line(1), 29)
    assert rules.ask(1, WORLD, 99, 5) == (True, 29), "a line is on its way"
    verdict(rules, 1, True, "x", "")
    assert rules.ask(1, WORLD, 199, 5) == (False, 29)
    turns = [Turn(True, 3), Turn(False, 9), Turn(False, 4), Turn(False, 9)]
    for turn in turns:
        assert rules.submit(line(2, turn=turn), 200)
    assert [one.line_id for one in rules.queues[WORLD].lines] == [4, 3, 5, 2]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=60), st.data())
def test_a_full_queue_gives_up_its_last_lines_and_no_others(
    asked: list[tuple[int, int]], data: st.DataObject
) -> None:
    rules, size_bytes_max, tick = new_rules(), 5 * size_of("x"), 0
    kept: list[Line] = []

    def order(one: Line) -> tuple[Turn, int]:
        return one.turn, one.line_id

    for session, pause in asked:
        tick += pause
        turn = rules.ask(session, WORLD, tick, 3)
        gone = rules.in_the_way(WORLD, turn, size_bytes_max)
        if gone is None:
            assert len(kept) == 5
            assert all(one.turn <= turn for one in kept[-1:])
            continue
        assert gone == ([] if len(kept) < 5 else [max(kept, key=order)])
        one = line(session, turn=turn)
        assert rules.submit(one, tick)
        for other in gone:
            rules.give_up(other)
        kept = sorted([*(other for other in kept if other not in gone), one], key=order)
        if data.draw(st.booleans()):
            judged = data.draw(st.sampled_from(kept))
            rules.judge(Judged(judged.line_id, True, "y", ""), tick)
        for talker in range(1, 5):
            ids = [other.line_id for other in kept if other.session_id == talker]
            assert ids == sorted(ids), "order and turn are one"
    queue = rules.queues[WORLD]
    assert queue.lines == kept
    assert queue.size_bytes == len(kept) * size_of("x")
    assert queue.ready == sum(one.ready_tick >= 0 for one in kept)
    for one in list(rules._by_id.values()):
        rules.judge(Judged(one.line_id, True, "y", ""), tick)
    assert queue.ready == len(kept)
    assert not rules._held

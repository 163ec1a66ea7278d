"""Held lines, verdicts in any order, and what a session that comes back has missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world.chat import SINCE_BYTES_MAX, ChatRules, Line
from atrium_shared import codec, limits
from atrium_shared.messages import ChatChannel, ChatState

WORLD, NEARBY, DIRECT = ChatChannel.WORLD, ChatChannel.NEARBY, ChatChannel.DIRECT



def verdict(
    rules: ChatRules, line_id: int, publish: bool, text: str, reason: str
) -> list[Line]:
    """Give a verdict; returns the lines that are decided with it."""
    rules.judge(line_id, publish, text, reason)
    decided = list(rules.decided)
    rules.decided.clear()
    return decided


def line(session: int, text: str = "x", channel: ChatChannel = WORLD, request: int = 0) -> Line:
    return Line(0, session, request, channel, 0, session + 1000, f"n{session}", text)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(list(ChatChannel))), max_size=40),
    st.data(),
)
def test_lines_come_in_order_however_the_verdicts_come(
    submitted: list[tuple[int, ChatChannel]], data: st.DataObject
) -> None:
    rules = ChatRules()
    accepted: list[Line] = []
    for number, (session, channel) in enumerate(submitted):
        one = line(session, str(number), channel)
        if rules.submit(one):
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
    rules = ChatRules()
    first, second = line(1), line(1)
    other, direct = line(2), line(1, channel=DIRECT)
    for one in (first, second, other, direct):
        assert rules.submit(one)
    assert verdict(rules, second.line_id, True, "b", "") == []
    assert verdict(rules, other.line_id, True, "c", "") == [other]
    assert verdict(rules, direct.line_id, True, "d", "") == [direct]
    assert verdict(rules, first.line_id, False, "a", "rude") == [first, second]
    assert (first.verdict, first.reason, second.verdict) == (False, "rude", True)


def test_a_session_holds_a_bounded_number_of_lines() -> None:
    rules = ChatRules()
    held = [line(1) for _ in range(limits.CHAT_HELD_PER_SESSION_MAX)]
    assert all(rules.submit(one) for one in held)
    assert not rules.submit(line(1))
    assert rules.submit(line(2)), "others are not concerned"
    verdict(rules, held[0].line_id, True, "x", "")
    assert rules.submit(line(1))


def test_verdicts_on_unknown_lines_mean_nothing() -> None:
    assert verdict(ChatRules(), 77, True, "x", "") == []


def test_numbers_count_up_and_the_author_learns_them() -> None:
    rules = ChatRules()
    for expected in (1, 2, 3):
        message, status = rules.publish(line(1, "hi", request=9), None, 500)
        assert message.chat_seq == status.chat_seq == rules.last_seq == expected
        assert (status.request_id, status.state) == (9, ChatState.PUBLISHED)
        assert (message.sender_id, message.server_ms, message.text) == (1001, 500, "hi")


def test_a_session_is_told_what_it_has_missed_and_nothing_else() -> None:
    rules = ChatRules()
    for number in range(1, 7):
        rules.publish(line(1, str(number)), None if number % 2 else (4, 5), 0)
    assert [message.chat_seq for message in rules.since(4, 2)] == [3, 4, 5, 6]
    assert [message.chat_seq for message in rules.since(9, 2)] == [3, 5]
    assert rules.since(4, 6) == []
    assert rules.since(4, 2**32 - 1) == []


def test_a_line_that_is_taken_back_is_forgotten() -> None:
    rules = ChatRules()
    rules.publish(line(1, "a"), None, 0)
    rules.publish(line(1, "b"), (1, 2), 0)
    taken = rules.retract(2)
    assert taken is not None
    assert taken.sessions == (1, 2)
    assert rules.retract(2) is None
    assert [message.text for message in rules.since(1, 0)] == ["a"]
    assert rules.last_seq == 2, "its number is not given again"


def test_what_was_missed_fits_the_queue_of_a_session() -> None:
    rules = ChatRules()
    for number in range(2 * limits.CHAT_HISTORY_MAX):
        rules.publish(line(1, f"{number:03}" + "😀" * (limits.CHAT_CHARS_MAX - 3)), None, 0)
    missed = rules.since(2, 0)
    assert sum(len(codec.encode(message)) for message in missed) <= SINCE_BYTES_MAX
    assert SINCE_BYTES_MAX < limits.RELIABLE_BYTES_MAX
    numbers = [message.chat_seq for message in missed]
    assert numbers == list(range(numbers[0], 2 * limits.CHAT_HISTORY_MAX + 1)), "the newest ones"
    assert limits.CHAT_HISTORY_MAX < limits.RELIABLE_MESSAGES_MAX

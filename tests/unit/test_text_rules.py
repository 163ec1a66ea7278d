"""All rules together: lines broken in several, and input that is meant to hurt the server."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

import pytest

from atrium_server.moderation.before import BEFORE_S, Before
from atrium_server.moderation.findings import Action, Category, Finding
from atrium_server.moderation.policy import POLICIES, PolicyName, decide
from atrium_server.moderation.reading import Text
from atrium_server.moderation.rules import TextRules

STANDARD = POLICIES[PolicyName.STANDARD]


@pytest.fixture(scope="module")
def rules() -> TextRules:
    return TextRules()


def said(rules: TextRules, lines: Sequence[str], who: str, step_s: float = 1.0) -> list[Action]:
    """What is decided on lines that somebody says one after the other."""
    rules.forget(who)
    return [
        decide(line, rules.read([Text(line, who, k * step_s, "w:1:local")])[0].findings,
               STANDARD).action
        for k, line in enumerate(lines)
    ]


@pytest.mark.parametrize("lines", [
    ["f", "u", "c", "k"], ["n", "i", "g", "g", "e", "r"], ["you are", "worthless"],
    ["i will", "kill you", "irl"], ["you", "are such a", "loser"], ["du", "bist", "dumm"],
    ["你是", "白痴"], ["send", "nudes"], ["go back to", "your country"],
])
def test_what_is_broken_in_several_lines_is_found_in_the_last(
    rules: TextRules, lines: list[str]
) -> None:
    assert all(action is Action.ALLOW for action in said(rules, lines, "ann")[:1])
    assert max(said(rules, lines, "ann")) > Action.ALLOW
    together = rules.read([Text(line, "bob", 9.0 + k, "w:2:local") for k, line in enumerate(lines)])
    assert any(read.findings for read in together)


@pytest.mark.parametrize("lines", [
    ["f", "u", "c", "k"], ["you are", "worthless"],
])
def test_lines_of_others_of_long_ago_or_elsewhere_are_not_joined(
    rules: TextRules, lines: list[str]
) -> None:
    assert max(said(rules, lines, "cid", step_s=BEFORE_S + 1)) is Action.ALLOW
    for who, channel in (("", "w:1:local"), ("{}", "w:1:local"), ("dan", "{}")):
        texts = [Text(line, who.format(k), 0.0, channel.format(k)) for k, line in enumerate(lines)]
        for text in texts:
            rules.forget(text.who)
        assert not any(read.findings for read in rules.read(texts))


def test_what_is_found_in_the_lines_before_alone_is_not_found_again(rules: TextRules) -> None:
    assert said(rules, ["fuck", "sorry", "about that"], "eve")[1:] == [Action.ALLOW, Action.ALLOW]


def test_a_talk_in_short_lines_is_let_be(rules: TextRules) -> None:
    lines = ["hi", "you are", "early today", "lol", "ok", "kill", "the boss", "first", "gg", "u 2"]
    assert max(said(rules, lines, "fay")) is Action.ALLOW


def test_the_memory_is_bounded_and_forgets() -> None:
    before = Before(senders_max=3)
    for k in range(10):
        assert before.seen(Text("hi", f"p{k}", float(k), "c")) == ""
    assert len(before) == 3
    assert before.seen(Text("x" * 33, "p9", 10.0, "c")) == ""
    assert before.seen(Text("you", "p9", 10.0, "c")) == ""
    assert before.seen(Text("too", "p9", 11.0, "c")) == "you "
    before.forget("p9")
    assert before.seen(Text("too", "p9", 12.0, "c")) == ""
    before.forget_before(12.0 + BEFORE_S + 1)
    assert len(before) == 0


def blocks() -> list[str]:
    """256 characters from each block of 256 code points; what has no meaning included."""
    return [
        "".join(chr(code) for code in range(start, start + 256))
        for start in range(0, sys.maxunicode + 1, 256)
    ]


def within(text: str, findings: Sequence[Finding]) -> bool:
    return all(0 <= each.start < each.end <= len(text) for each in findings)


def test_every_block_of_unicode_can_be_read(rules: TextRules) -> None:
    texts = blocks()
    for start in range(0, len(texts), 256):
        part = texts[start : start + 256]
        for text, read in zip(part, rules.read([Text(each) for each in part]), strict=True):
            assert within(text, read.findings)


LONG = 100_000
HOSTILE = {
    "a letter": "a" * LONG, "insults": ("you are an idiot " * LONG)[:LONG],
    "beginnings": ("you are such " * LONG)[:LONG], "spelled": ("f u c k " * LONG)[:LONG],
    "digits": ("4111 1111 " * LONG)[:LONG], "at signs": ("a@b." * LONG)[:LONG],
    "marks": "e" + "\u0301" * (LONG - 1), "overrides": ("\u202egood\u202c " * LONG)[:LONG],
    "isolates": "\u2067" * LONG, "unseen": "\u200b" * LONG, "ligatures": "\ufdfa" * LONG,
    "surrogates": "\ud800" * LONG, "emoji": "\U0001f468\u200d\U0001f469" * (LONG // 3),
    "han": "你是白痴" * (LONG // 4), "links": ("http://a.b/ " * LONG)[:LONG],
    "brackets": "([{<" * (LONG // 4), "numbers": "+1 (555) 010-9999 ," * (LONG // 19),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hundred_thousand_characters_are_read_and_do_not_touch_their_neighbours(
    rules: TextRules, name: str
) -> None:
    text = HOSTILE[name]
    long, after = rules.read([Text(text), Text("you are an idiot")])
    assert within(text, long.findings)
    assert len(long.findings) < LONG // 4
    assert {each.category for each in after.findings} == {Category.INSULT}


@pytest.mark.parametrize("text", [
    "\u202eyou are an idiot\u202c", "y\u202eou are an id\u2067iot", "you\u2066 are \u2069an idiot",
    "\u061cyou are an i\u200fdiot",
])
def test_writing_from_right_to_left_hides_nothing(rules: TextRules, text: str) -> None:
    assert any(each.category is Category.INSULT for each in rules.read([Text(text)])[0].findings)
    assert unicodedata.bidirectional("\u202e") == "RLO"

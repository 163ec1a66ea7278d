"""Floods and advertising are told from joy, by how lines look and by what their sender does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation import spam_features
from atrium_server.moderation.evaluation import Case, parse, score
from atrium_server.moderation.findings import Action, Category
from atrium_server.moderation.policy import POLICIES, PolicyName, decide
from atrium_server.moderation.reading import Text
from atrium_server.moderation.rules import TextRules
from atrium_server.moderation.senders import (
    LINES_KEPT,
    NEAR_BITS,
    SHORT_WINDOW_S,
    WINDOW_S,
    Habit,
    Origins,
    Senders,
)
from atrium_server.moderation.spam import SpamRules, Verdict, weigh
from atrium_server.moderation.spam_features import READ_CHARS, Feature, read

FILE = Path(__file__).parents[1] / "moderation" / "chat_lines.tsv"
STANDARD = POLICIES[PolicyName.STANDARD]
SENTENCE = "come and see my shop at the corner of the old market"


def counted(text: str, feature: Feature) -> int:
    return int(read([text]).counts[0, feature])


def verdict(text: str) -> Verdict:
    (found,) = weigh(read([text]).counts)
    return found


@pytest.mark.parametrize(
    ("text", "feature", "count"),
    [
        ("see https://a.example/x and www.b.example", Feature.LINKS, 2),
        ("go to example.com/shop or example.com", Feature.LINKS, 2),
        ("end of it. then more. 3.5 and v1.2", Feature.LINKS, 0),
        ("a@b.com", Feature.AT_SIGNS, 1),
        ("FREE gift, click", Feature.LURES, 2),
        ("免费领取", Feature.LURES, 2),
        ("5 € or 5 dollars or 5 euros", Feature.MONEY, 3),
        ("AbC ÄÖ 12", Feature.CAPITALS, 4),
        ("AbC ÄÖ 12", Feature.CASED, 5),
        ("stop!!!", Feature.EXCLAMATIONS, 3),
        ("ok 😂😂👍🏽", Feature.EMOJI, 3),
        ("sooooo", Feature.LONGEST_RUN, 5),
        ("a          b", Feature.LONGEST_RUN, 1),
        ("e\u0301\u0302", Feature.PILED_MARKS, 0),
        ("e\u0301\u0302\u0303\u0304", Feature.PILED_MARKS, 2),
        ("abcdabcd", Feature.REPEATED, 1),
        ("abcdabcd", Feature.STRETCHES, 5),
        ("привет мир 12", Feature.LETTERS, 11),
    ],
)
def test_what_is_counted(text: str, feature: Feature, count: int) -> None:
    assert counted(text, feature) == count


@given(st.text(max_size=200))
def test_unseen_characters_change_no_count_but_the_length(text: str) -> None:
    hidden = "".join(f"{each}\u200b\ufe0f" for each in text)
    plain, other = read([text]), read([hidden])
    assert (plain.counts[0, 1:] == other.counts[0, 1:]).all()
    assert (plain.exact[0], plain.near[0]) == (other.exact[0], other.near[0])


@given(st.lists(st.text(max_size=80), max_size=6))
def test_a_line_is_read_alike_in_every_batch(texts: list[str]) -> None:
    together = read(texts)
    for row, text in enumerate(texts):
        alone = read([text])
        assert (together.counts[row] == alone.counts[0]).all()
        assert together.exact[row] == alone.exact[0]
        assert together.near[row] == alone.near[0]


@given(st.text(max_size=300))
def test_counts_are_within_their_line(text: str) -> None:
    counts = read([text]).counts[0]
    assert (counts >= 0).all()
    assert counts[Feature.LENGTH] == len(text)
    assert counts[Feature.CAPITALS] <= counts[Feature.CASED] <= counts[Feature.LETTERS]
    assert counts[Feature.REPEATED] <= counts[Feature.STRETCHES] <= len(text)
    assert counts[: Feature.STRETCHES].max() <= len(text)


def test_a_long_text_is_read_up_to_a_bound() -> None:
    text = "ab " * READ_CHARS
    counts = read([text + "!!!"]).counts[0]
    assert counts[Feature.LENGTH] == len(text) + 3
    assert counts[Feature.EXCLAMATIONS] == 0
    assert counts[Feature.STRETCHES] < READ_CHARS


def kind_of(character: str) -> int:
    code = ord(character)
    if 0xE0000 <= code < 0xE1000:
        return spam_features._UNSEEN
    return int(spam_features._KIND[code]) if code < len(spam_features._KIND) else 0


def counts_by_hand(text: str) -> dict[Feature, int]:
    """The kernel's twin for all that is counted a character at a time."""
    kinds = [kind_of(each) for each in text]
    seen = [each for each, kind in zip(text, kinds, strict=True)
            if kind not in {spam_features._UNSEEN, spam_features._MARK}]  # fmt: skip
    lower = [each.lower()[0] if ord(each) < 0x600 else each for each in seen]
    letters = [k for k, each in enumerate(seen) if kind_of(each) == spam_features._LETTER]
    cased = [k for k in letters if 64 < ord(seen[k]) < 0x600]
    piled, run = 0, 0
    for kind in kinds:
        run = run + 1 if kind == spam_features._MARK else (
            run if kind == spam_features._UNSEEN else 0)  # fmt: skip
        piled += kind == spam_features._MARK and run > 2
    squeezed: list[str] = []
    for each, low in zip(seen, lower, strict=True):
        shown = " " if kind_of(each) == spam_features._SPACE else low
        if not (shown == " " and squeezed[-1:] == [" "]):
            squeezed.append(shown)
    stretches = ["".join(squeezed[k : k + 4]) for k in range(len(squeezed) - 3)]
    stretches = [each for each in stretches if len(set(each)) > 1]
    return {
        Feature.LENGTH: len(text),
        Feature.LETTERS: len(letters),
        Feature.AT_SIGNS: seen.count("@"),
        Feature.CAPITALS: sum(lower[k] != seen[k] for k in cased),
        Feature.CASED: len(cased),
        Feature.EXCLAMATIONS: seen.count("!") + seen.count("！"),
        Feature.EMOJI: sum(kind_of(each) == spam_features._EMOJI for each in seen),
        Feature.PILED_MARKS: piled,
        Feature.STRETCHES: len(stretches),
        Feature.REPEATED: len(stretches) - len(set(stretches)),
    }


SPOKEN = st.text(st.one_of(
    st.sampled_from("ab AB!@\u0301\u200b\u3000\ufe0f😂！é€Ж路"), st.characters(codec="utf-8")
), max_size=40)  # fmt: skip


@given(st.lists(SPOKEN, max_size=4))
def test_the_kernel_counts_what_its_twin_counts(texts: list[str]) -> None:
    counts = read(texts).counts
    for row, text in enumerate(texts):
        told = {feature: int(counts[row, feature]) for feature in counts_by_hand(text)}
        assert told == counts_by_hand(text)


JOY = [
    "GOOOOAL!!!!! WHAT A MATCH", "hahahahahahahahahaha", "😂😂😂😂😂", "HAPPY NEW YEAR ALL 🎉🎉🎉",
    "my blog about birds: https://birds.example.net", "sooo" + "o" * 20,
    "time's up! time's up! time's up!", "is the drink free?", "noooooooooo",
    "that costs 5 dollars", "I won!!!", "Chào buổi sáng mọi người", "مرحبا كيف حالكم يا أصدقائي",
    "no no no no no", "la la la la la la", "x" * 11, "",
]  # fmt: skip


@pytest.mark.parametrize("text", JOY)
def test_what_people_do_in_joy_is_no_spam(text: str) -> None:
    assert verdict(text).score < 0.5


def test_one_word_of_advertising_with_a_link_is_not_held() -> None:
    (found,) = SpamRules().find([Text("free crochet pattern at https://hats.example.net")])
    assert decide("text", found, STANDARD).action is Action.ALLOW


FLOODS = [
    ("a" * 80, "stretched"), ("!" * 60, "exclaiming"), ("😂" * 40, "emoji"),
    ("lol " * 25, "repeated"), ("buy my mixtape now " * 6, "repeated"),
    ("h" + "\u0300\u0301\u0302\u0303\u0304\u0305" * 8, "piled marks"),
    ("www.a.com www.b.com www.c.com", "links"),
    ("FREE COINS!!! click http://coins.example.com", "advert"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), FLOODS, ids=[each[1] for each in FLOODS])
def test_a_flood_is_spam_and_says_why(text: str, reason: str) -> None:
    found = verdict(text)
    assert found.score >= 0.7
    assert reason in found.reasons


@given(st.text(max_size=200))
def test_a_score_is_a_probability_and_has_reasons_from_where_it_is_told(text: str) -> None:
    found = verdict(text)
    assert 0 <= found.score < 1
    assert bool(found.reasons) == (found.score >= 0.3)


# Hashes and memory.


def differing_bits(one: str, other: str) -> int:
    near = read([one, other]).near
    return int(near[0] ^ near[1]).bit_count()


def test_disguises_of_one_line_have_one_hash() -> None:
    lines = read([
        "FREE 500 coins!!!", "free 700 coins", "f.r.e.e   999 COOIINS", "fre\u0301e 5 coins",
    ])  # fmt: skip
    assert len(set(lines.exact.tolist())) == 1
    assert read(["free coins 500"]).exact[0] != lines.exact[0]


WORDS = [
    "come", "see", "shop", "corner", "market", "garden", "river", "bridge", "stage", "music",
    "tonight", "everybody", "please", "bring", "lantern", "costume", "dragon", "castle",
    "painting", "museum", "window", "breakfast", "yellow", "quickly", "finish", "beside",
    "mountain", "village", "kitchen", "journey", "whisper", "thunder", "blanket", "orchard",
    "compass", "harvest", "velvet", "marble",
]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=10, max_size=14, unique=True).map(" ".join)


@given(SENTENCES, st.integers(0, 10**6))
def test_a_letter_more_is_nearly_the_same_line(text: str, place: int) -> None:
    at = place % len(text)
    assert differing_bits(text, f"{text[:at]}q{text[at:]}") <= 2 * NEAR_BITS


def test_most_lines_with_a_small_change_are_alike_and_others_are_not() -> None:
    """What the number of bits is good for, on lines as people write them."""
    lines = [case.text for case in cases() if counted(case.text, Feature.LETTERS) >= 30]
    changed = [f"{text} x7" for text in lines]
    alike = [differing_bits(a, b) <= NEAR_BITS for a, b in zip(lines, changed, strict=True)]
    assert np.mean(alike) >= 0.95
    near = read(lines).near.tolist()
    pairs = [(a ^ b).bit_count() for k, a in enumerate(near) for b in near[:k]]
    assert np.mean(np.array(pairs) <= NEAR_BITS) <= 0.0005


@cache
def cases() -> list[Case]:
    return parse(FILE.read_text(encoding="utf-8"))


def said(senders: Senders, texts: list[str], at_s: list[float] | None = None, **given: str) -> list[
    list[int]
]:
    """The habits told at each of these lines, one batch each."""
    told: list[list[int]] = []
    for k, text in enumerate(texts):
        moment = at_s[k] if at_s else float(k)
        origins = Origins([given.get("who", "ann")], [given.get("channel", "hall")], [moment])
        told.append(senders.seen(read([text]), origins)[0].tolist())
    return told


def test_lines_are_counted_in_two_windows() -> None:
    senders = Senders(4)
    lines = [f"line number {k} of {chr(97 + k) * 3}" for k in range(4)]
    told = said(senders, lines, [0.0, 1.0, 1.0 + SHORT_WINDOW_S + 0.5, 1.0 + WINDOW_S + 0.5])
    assert [each[Habit.LINES_SHORT] for each in told] == [1, 2, 1, 1]
    assert [each[Habit.LINES] for each in told] == [1, 2, 3, 2]


def test_the_same_again_is_counted_even_in_disguise() -> None:
    senders = Senders(4)
    lines = [SENTENCE, SENTENCE.upper() + "!!!", SENTENCE + " x9", "what a lovely day"]
    told = said(senders, lines)
    assert [each[Habit.ALIKE] for each in told] == [0, 1, 2, 0]


def test_short_lines_are_alike_only_when_they_are_equal() -> None:
    senders = Senders(4)
    assert not read(["good game all"]).are_long[0]
    told = said(senders, ["good game all", "good game ale", "Good game, all!"])
    assert [each[Habit.ALIKE] for each in told] == [0, 0, 1]


def test_the_same_line_in_many_channels_is_seen() -> None:
    senders = Senders(4)
    told = [
        said(senders, [SENTENCE], [float(k)], channel=f"room {k}")[0][Habit.CHANNELS]
        for k in range(4)
    ]
    assert told == [1, 2, 3, 4]
    assert said(senders, ["something else"], [9.0], channel="room 9")[0][Habit.CHANNELS] == 1


def test_senders_are_kept_apart_and_nobody_is_not_kept() -> None:
    senders = Senders(4)
    said(senders, [SENTENCE], who="ann")
    assert said(senders, [SENTENCE], who="bob")[0] == [1, 1, 0, 1]
    for _ in range(3):
        assert said(senders, [SENTENCE], who="")[0] == [1, 1, 0, 1]
    assert len(senders) == 2


def test_who_is_forgotten_begins_anew() -> None:
    senders = Senders(4)
    said(senders, [SENTENCE] * 3)
    senders.forget("ann")
    senders.forget("nobody")
    assert len(senders) == 0
    assert said(senders, [SENTENCE])[0] == [1, 1, 0, 1]


def test_who_has_been_silent_is_forgotten() -> None:
    senders = Senders(4)
    said(senders, ["one"], [0.0], who="ann")
    said(senders, ["one"], [30.0], who="bob")
    senders.forget_before(WINDOW_S + 1)
    assert len(senders) == 1
    assert said(senders, ["one"], [WINDOW_S + 2], who="bob")[0][Habit.ALIKE] == 1


@pytest.mark.parametrize("is_by_name", [True, False])
def test_the_rules_as_a_whole_forget_as_well(is_by_name: bool) -> None:
    rules = TextRules()

    def finds_spam() -> bool:
        flood = [Text(SENTENCE, "ann", 1.0, "plaza")] * 20
        return any(each.category is Category.SPAM for each in rules.read(flood)[0].findings)

    assert [finds_spam(), finds_spam()] == [False, True]
    if is_by_name:
        rules.forget("ann")
    else:
        rules.forget_before(2.0 + WINDOW_S)
    assert not finds_spam()


def test_whoever_has_been_silent_longest_gives_way() -> None:
    senders = Senders(2)
    for who in ("ann", "bob", "ann", "cid"):
        said(senders, [SENTENCE], who=who)
    assert len(senders) == 2
    assert said(senders, [SENTENCE], who="ann")[0][Habit.ALIKE] == 2
    assert said(senders, [SENTENCE], who="bob")[0][Habit.ALIKE] == 0, "a new sender has no past"


def test_one_batch_counts_as_its_lines_one_by_one() -> None:
    texts = [SENTENCE, "hello", SENTENCE, SENTENCE.upper(), "hello", "hello"]
    whos = ["ann", "bob", "ann", "bob", "", "bob"]
    times = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    together = Senders(4).seen(read(texts), Origins(whos, ["hall"] * 6, times))
    senders = Senders(4)
    alone = [
        said(senders, [text], [at_s], who=who)[0]
        for text, who, at_s in zip(texts, whos, times, strict=True)
    ]
    assert together.tolist() == alone


LINES = st.lists(
    st.tuples(
        st.sampled_from(["", "ann", "bob", "cid", "dan"]),
        st.sampled_from(["hello", SENTENCE, SENTENCE + " x9", "bye now"]),
        st.sampled_from(["hall", "yard"]),
        st.floats(0, 40),
    ),
    max_size=40,
)


@given(LINES, st.integers(1, 3), st.integers(1, 50))
def test_memory_is_bounded_and_agrees_with_a_plain_model(
    lines: list[tuple[str, str, str, float]], room: int, batch: int
) -> None:
    senders = Senders(room)
    size = senders.bytes_kept
    now_s = 0.0
    past: dict[str, list[tuple[float, str]]] = {}
    for start in range(0, len(lines), batch):
        part = lines[start : start + batch]
        times = [now_s := now_s + gap for *_, gap in part]
        origins = Origins([each[0] for each in part], [each[2] for each in part], times)
        habits = senders.seen(read([each[1] for each in part]), origins)
        assert len(senders) <= room
        assert senders.bytes_kept == size
        for (who, text, _, _), at_s, habit in zip(part, times, habits, strict=True):
            mine = past.setdefault(who, []) if who else []
            recent = [each for each in mine[-LINES_KEPT:] if at_s - each[0] <= WINDOW_S]
            # A sender who gave way has less of a past, never more.
            assert 1 <= habit[Habit.LINES] <= len(recent) + 1
            assert habit[Habit.ALIKE] <= habit[Habit.LINES] - 1
            assert habit[Habit.LINES_SHORT] <= habit[Habit.LINES]
            if room >= len({each[0] for each in lines} - {""}):
                assert habit[Habit.LINES] == len(recent) + 1
                assert habit[Habit.ALIKE] >= sum(each[1] == text for each in recent)
            mine.append((at_s, text))


def test_a_clock_that_went_back_forgets_nothing() -> None:
    senders = Senders(2)
    assert said(senders, [SENTENCE, SENTENCE], [100.0, 50.0])[1][Habit.ALIKE] == 1


# All together.


def actions(texts: list[Text]) -> list[Action]:
    rules = SpamRules(Senders(8))
    return [
        decide(text.text, found, STANDARD).action
        for text, found in zip(texts, rules.find(texts), strict=True)
    ]


def test_who_says_the_same_again_and_again_is_held_and_then_blocked() -> None:
    told = actions([Text(SENTENCE, "ann", 4.0 * k, "hall") for k in range(6)])
    assert told[0] is Action.ALLOW
    assert told[-1] is Action.BLOCK


def test_who_says_the_same_everywhere_is_held_at_the_third_place() -> None:
    told = actions([Text(SENTENCE, "ann", 20.0 * k, f"room {k}") for k in range(3)])
    assert told[:2] == [Action.ALLOW, Action.ALLOW]
    assert told[2] >= Action.HOLD


def test_a_lively_talk_is_let_be() -> None:
    lines = ["hi", "hahahahahahahahahahaha", "lol", "hahahahahahahahahahahaha", "gg", "gg",
             "where are we going", "ok", "lol", "hahahahahahahahahahaha"]  # fmt: skip
    assert set(actions([Text(line, "ann", 2.5 * k) for k, line in enumerate(lines)])) == {
        Action.ALLOW
    }


def test_a_flood_of_different_lines_is_held() -> None:
    texts = [Text(f"{chr(97 + k) * 2}{chr(110 + k) * 2} {k}", "ann", 0.5 * k) for k in range(14)]
    assert actions(texts)[-1] >= Action.HOLD


def test_findings_are_of_the_whole_line_and_name_the_reason() -> None:
    (found, none) = SpamRules().find([Text("a" * 80), Text("hello")])
    (finding,) = found
    assert (finding.category, finding.start, finding.end) == (Category.SPAM, 0, 80)
    assert finding.source == "spam:stretched"
    assert none == ()
    assert SpamRules().find([]) == []


@pytest.mark.parametrize(("split", "recall_min"), [("dev", 0.9), ("test", 0.85)])
def test_spam_is_found_by_its_looks_and_nothing_else_is(split: str, recall_min: float) -> None:
    lines = [case for case in cases() if case.split == split]
    found = SpamRules().find([Text(case.text) for case in lines])
    decisions = [decide(case.text, each, STANDARD) for case, each in zip(lines, found, strict=True)]
    report = score(lines, decisions)
    spam = report.categories["spam"]
    assert spam.recall is not None
    assert spam.recall >= recall_min
    assert spam.precision == 1
    assert report.overall.false_alarms == 0

"""The lines that moderation is judged by: the file is sound, and its figures mean what they say."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation import pii
from atrium_server.moderation.evaluation import COLUMNS, Case, CaseError, parse, score, table
from atrium_server.moderation.findings import Action, Category, Decision
from atrium_server.moderation.policy import POLICIES, PolicyName, decide
from atrium_server.moderation.reading import Text
from atrium_server.moderation.rules import TextRules

FILE = Path(__file__).parents[1] / "moderation" / "chat_lines.tsv"
STANDARD = POLICIES[PolicyName.STANDARD]
LOCALES = {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ar", "hi", "zh", "ja", "ko"}
NEAR = 0.5
"""Share of three-letter stretches in common from which on two lines are nearly the same."""


@cache
def cases() -> list[Case]:
    return parse(FILE.read_text(encoding="utf-8"))


def of_split(split: str) -> list[Case]:
    return [case for case in cases() if case.split == split]


def test_there_is_enough_of_everything() -> None:
    assert len(cases()) >= 1_000
    assert {case.locale for case in cases()} == LOCALES
    for split in ("dev", "test"):
        half = of_split(split)
        assert len(half) >= 500
        locales = Counter(case.locale for case in half)
        assert min(locales.values()) >= 15
        categories = Counter(case.category for case in half)
        assert set(categories) == {None, *Category}
        assert categories[None] >= 190
        assert min(count for each, count in categories.items() if each is not None) >= 5


def test_every_locale_has_harmless_and_harmful_lines_of_each_kind_in_each_half() -> None:
    for split in ("dev", "test"):
        for locale in LOCALES:
            found = {case.category for case in of_split(split) if case.locale == locale}
            assert {None, Category.INSULT, Category.HATE, Category.PII, Category.SELF_HARM} <= found


def test_the_hard_kinds_are_there() -> None:
    tags = {case.tag for case in cases()}
    assert {
        "gaming", "scunthorpe", "name", "medical", "educational", "reclaimed", "quotation",
        "figurative", "obfuscated", "direct", "real", "despair", "advert", "flood", "numbers",
    } <= tags  # fmt: skip


def test_who_is_in_despair_is_never_to_be_punished() -> None:
    for case in cases():
        if case.category is Category.SELF_HARM:
            assert Action.BLOCK not in case.expected
        if case.category in {Category.THREAT, Category.SPAM}:
            assert case.is_to_be_acted_on
        if case.category is None:
            assert not case.is_to_be_acted_on


def stretches(text: str) -> set[str]:
    plain = f" {' '.join(text.lower().split())} "
    return {plain[k : k + 3] for k in range(len(plain) - 2)}


def test_no_line_is_there_twice_and_none_has_its_like_in_the_other_half() -> None:
    assert len({case.text.lower() for case in cases()}) == len(cases())
    sets = [(case, stretches(case.text)) for case in cases()]
    like = [
        (one.text, other.text)
        for k, (one, mine) in enumerate(sets)
        for other, theirs in sets[:k]
        if one.split != other.split and len(mine & theirs) >= NEAR * len(mine | theirs)
    ]
    assert not like


def test_the_personal_data_is_nobodys() -> None:
    """Mail goes to domains kept for examples, or to names without a number at a provider."""
    for case in cases():
        for domain in re.findall(r"@\s?([\w.-]+\.\w{2,})", case.text):
            assert re.search(r"(^|\.)example\.", domain), case.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("dev\ten\tbenign\tallow\ttag\ttext", "6 cells"),
        ("held\ten\tbenign\tallow\ttag\ttext\t", "split"),
        ("dev\ten\tbad\tallow\ttag\ttext\t", "no category"),
        ("dev\ten\tbenign\tallow|ban\ttag\ttext\t", "'ban' is no action"),
        ("dev\ten\tbenign\tallow\ttag\t \t", "no text"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(row: str, message: str) -> None:
    with pytest.raises(CaseError, match=message) as caught:
        parse("\t".join(COLUMNS) + "\n" + row)
    assert "Line 2" in str(caught.value)


def test_a_file_names_its_columns() -> None:
    with pytest.raises(CaseError, match="name the columns"):
        parse("dev\ten\tbenign\tallow\ttag\ttext\t")


def test_escapes_are_the_characters_they_name() -> None:
    (case,) = parse("\t".join(COLUMNS) + "\ndev\ten\tbenign\tallow\tx\ta\\u200bb\t\n# remark\n")
    assert case.text == "a\u200bb"


def case(category: Category | None, *expected: Action, locale: str = "en") -> Case:
    return Case("dev", locale, category, frozenset(expected), "tag", "text")


def decision(action: Action, category: Category | None = None) -> Decision:
    return Decision(action, "text", category)


def test_the_figures_are_what_they_are_called() -> None:
    report = score(
        [
            case(None, Action.ALLOW), case(None, Action.ALLOW), case(None, Action.ALLOW),
            case(None, Action.ALLOW, Action.MASK), case(Category.HATE, Action.BLOCK),
            case(Category.HATE, Action.BLOCK), case(Category.HATE, Action.BLOCK, locale="de"),
            case(Category.SELF_HARM, Action.HOLD),
        ],
        [
            decision(Action.ALLOW), decision(Action.MASK, Category.PROFANITY),
            decision(Action.BLOCK, Category.HATE), decision(Action.MASK, Category.PROFANITY),
            decision(Action.BLOCK, Category.HATE), decision(Action.MASK, Category.INSULT),
            decision(Action.ALLOW), decision(Action.BLOCK, Category.TOXIC),
        ],
    )  # fmt: skip
    overall = report.overall
    assert (overall.lines, overall.right) == (8, 3)
    assert (overall.false_alarm_share, overall.kept_back_share) == (2 / 3, 1 / 3)
    hate = report.categories["hate"]
    assert (hate.recall, hate.precision) == (2 / 3, 1 / 2)
    assert report.categories["profanity"].precision == 1 / 2
    assert report.categories["insult"].precision == 1
    assert report.locales["de"].recall == 0
    assert report.self_harm_blocked == 1
    assert len(report.wrong) == 5
    assert report.as_json()["categories"]["benign"]["recall"] is None
    assert "hate" in table(report)


def test_as_many_decisions_as_cases() -> None:
    with pytest.raises(ValueError, match="argument"):
        score([case(None, Action.ALLOW)], [])


@given(st.lists(st.tuples(st.frozensets(st.sampled_from(Action), min_size=1),
                          st.sampled_from(Action)), max_size=20))  # fmt: skip
def test_shares_are_shares_and_parts_add_up(pairs: list[tuple[frozenset[Action], Action]]) -> None:
    report = score(
        [case(None, *expected) for expected, _ in pairs],
        [decision(action, Category.TOXIC) for _, action in pairs],
    )
    overall = report.overall
    assert overall.right + len(report.wrong) == overall.lines == len(pairs)
    assert overall.kept_back <= overall.false_alarms <= overall.to_leave
    for share in (overall.accuracy, overall.recall, overall.precision, overall.kept_back_share):
        assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(("split", "right_min", "missed_max"), [
    ("dev", 0.97, 0.02), ("test", 0.89, 0.15),
])
def test_rules_and_policy_decide_as_a_moderator_would(
    split: str, right_min: float, missed_max: float
) -> None:
    """Without a model; what the halves come to with one is in its card."""
    lines = of_split(split)
    reads = TextRules().read([Text(line.text) for line in lines])
    report = score(lines, [
        decide(line.text, read.findings, STANDARD) for line, read in zip(lines, reads, strict=True)
    ])
    overall = report.overall
    assert overall.accuracy is not None
    assert overall.accuracy >= right_min
    assert 1 - (overall.recall or 0) <= missed_max
    assert overall.false_alarm_share is not None
    assert overall.false_alarm_share <= 0.02
    assert report.self_harm_blocked == 0


@pytest.mark.parametrize("split", ["dev", "test"])
def test_personal_data_is_found_in_every_language_and_nowhere_else(split: str) -> None:
    lines = of_split(split)
    found = pii.find([line.text for line in lines])
    decisions = [
        decide(line.text, [each for each in findings if each.category is Category.PII], STANDARD)
        for line, findings in zip(lines, found, strict=True)
    ]
    report = score(lines, decisions)
    recall = report.categories["pii"].recall
    assert recall is not None
    # Which lines of `test` were missed is not told: nobody is to write rules for them.
    told = [each.text for each, _ in report.wrong if each.split == "dev"]
    assert recall >= 0.9, told
    assert report.overall.false_alarms == 0, told

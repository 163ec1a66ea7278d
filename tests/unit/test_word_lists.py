"""Words and phrases that are known to be bad, in whatever disguise, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation.findings import Action, Category, Finding
from atrium_server.moderation.fold import fold
from atrium_server.moderation.policy import POLICIES, PolicyName, decide
from atrium_server.moderation.word_lists import (
    MATCHES_PER_TEXT_MAX,
    WordListError,
    build,
    packaged,
    read_list,
)

LIST = build(read_list("""
# words
allow 0: bad apple | moby dick
profanity 0.5: bad | ass | dick | fuck* | 傻逼
insult 0.9: very bad thing | you bad one
""", "xx"))


def find(text: str) -> list[tuple[str, Category, float]]:
    return [(text[each.start:each.end], each.category, each.severity)
            for each in LIST.find(fold([text]))[0]]


def words(text: str) -> list[str]:
    return [word for word, _, _ in find(text)]


@pytest.mark.parametrize(("text", "expected"), [
    ("this is bad", ["bad"]), ("BAD!", ["BAD"]), ("b.a.d", ["b.a.d"]), ("baaaad", ["baaaad"]),
    ("b4d b@d", ["b4d", "b@d"]), ("badge abad", []), ("ass", ["ass"]), ("as", []),
    ("asssss", ["asssss"]), ("class assassin", []), ("fucking fuuuckers", ["fucking", "fuuuckers"]),
    ("what a very bad thing", ["very bad thing"]), ("a bad apple", []), ("moby dick", []),
    ("moby is a dick", ["dick"]), ("你是傻逼吗", ["傻逼"]), ("b a d", ["b a d"]),
    ("\u202eb\u200bad", ["b\u200bad"]), ("", []),
])
def test_what_is_found(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_of_what_overlaps_the_worst_is_kept() -> None:
    assert find("you bad one") == [("you bad one", Category.INSULT, 0.9)]


def test_texts_of_a_batch_do_not_touch_each_other() -> None:
    found = LIST.find(fold(["very", "bad", "thing", "", "ass"]))
    assert [len(each) for each in found] == [0, 1, 0, 0, 1]


@given(st.lists(st.text(st.sampled_from("abds @!.傻逼fuck"), max_size=30), max_size=6))
def test_findings_lie_within_their_text(texts: list[str]) -> None:
    for text, found in zip(texts, LIST.find(fold(texts)), strict=True):
        for each in found:
            assert 0 <= each.start < each.end <= len(text)


def test_a_text_that_is_full_of_them_is_bounded() -> None:
    found: tuple[Finding, ...]
    found, other = LIST.find(fold(["bad " * 5_000, "bad"]))
    assert len(found) <= MATCHES_PER_TEXT_MAX + 1
    assert len(other) == 1


def test_what_is_behind_more_than_is_looked_at_does_not_pass() -> None:
    """Whoever fills a line with mild words cannot hide a grave one behind them."""
    found = LIST.find(fold(["bad " * MATCHES_PER_TEXT_MAX + "very bad thing"]))[0]
    assert decide("", found, POLICIES[PolicyName.OPEN]).action is Action.BLOCK


@pytest.mark.parametrize("text", ["дypaк", "cyкa", "дуpaк", "дурак"])
def test_letters_that_look_alike_do_not_hide_a_word_of_another_alphabet(text: str) -> None:
    russian = build(read_list("insult 0.5: дурак | сука", "ru"))
    assert len(russian.find(fold([text]))[0]) == 1


@pytest.mark.parametrize(("text", "said"), [
    ("rubbish 0.5: a", "line 1"), ("insult: a", "line 1"), ("\ninsult 2: a", "line 2"),
    ("insult 0.5 a", "line 1"), ("insult 0.5: a | | b", "empty"),
    ("insult 0.5: " + "x y " * 40, "too long"),
    ("insult 0.5: aa bb cc dd ee ff gg hh ii", "too many"),
])
def test_a_mistake_in_a_list_is_told(text: str, said: str) -> None:
    with pytest.raises(WordListError, match=said):
        read_list(text, "xx")


@pytest.mark.parametrize("text", [
    "Scunthorpe is near Essex", "the cockpit of the plane", "Dickens wrote it", "a classic passage",
    "assassin class", "analysis of the data", "therapist", "shiitake soup", "Moby Dick",
    "night in the tithe barn", "button", "let's assume", "cumulative", "kill the boss",
    "Hancock", "peacock", "bass guitar", "pass the butter", "Penistone", "what a grape",
])
def test_words_that_hold_a_bad_one_are_let_alone(text: str) -> None:
    assert packaged().find(fold([text])) == [()]


@pytest.mark.parametrize(("text", "category"), [
    ("you are a r.e.t.a.r.d", Category.INSULT), ("n1gg3r", Category.HATE),
    ("kys", Category.INSULT), ("i want to kill myself", Category.SELF_HARM),
    ("send nudes", Category.SEXUAL), ("i know where you live", Category.THREAT),
    ("enculé", Category.INSULT), ("傻逼", Category.INSULT), ("Arschloch", Category.INSULT),
])
def test_bad_ones_are_found_in_many_languages(text: str, category: Category) -> None:
    found, = packaged().find(fold([text]))
    assert max(found, key=lambda each: each.severity).category is category


@pytest.mark.parametrize(("text", "why"), [
    ("el gato negro", "a colour"),
    ("a qué hora empieza", "an hour"),
    ("mon chef est en retard", "late"),
    ("jeg kan ikke høre dig", "to hear"),
    ("slut för i dag", "an end"),
    ("det er et godt fag", "a subject"),
    ("vi har seks, sex, sechs", "six"),
    ("jag fick en present", "got"),
    ("det er slet ikke sandt", "not at all"),
    ("hallo allemaal, hoe gaat het", "how"), ("după masa", "after"), ("cum te simți", "how"),
    ("jøder og kristne", "people"), ("det er sikkert", "sure"), ("eu gosto de cerveja", "beer"),
    ("uma aranha na parede", "a spider"),
    ("aku suka kamu", "to like"),
    ("suda sıkıştı", "to press"),
    ("thông tin", "news"), ("el pico de la montaña", "a peak"), ("Lund University", "a town"),
    ("ファンタジーの女の子", "a girl of fantasy"),
    ("パチンコとフェラーリとファックス", "a game, a car, a fax"),
    ("必死ね", "hard at it"), ("同性愛は自由", "love"), ("废物利用", "re-use"),
    ("成人教育", "adults"),
    ("시발점", "a start"), ("奶茶", "milk tea"), ("Abo", "a subscription"),
    ("i almost died laughing, i want to die laughing", "laughing"),
])
def test_harmless_words_of_other_languages_are_let_alone(text: str, why: str) -> None:
    assert packaged().find(fold([text])) == [()], why


@pytest.mark.parametrize(("text", "category"), [
    ("je vais te tuer", Category.THREAT), ("ich weiß, wo du wohnst", Category.THREAT),
    ("sé dónde vives", Category.THREAT), ("я знаю где ты живёшь", Category.THREAT),
    ("我知道你住哪", Category.THREAT), ("殺してやる", Category.THREAT),
    ("ich will sterben", Category.SELF_HARM), ("quiero morirme", Category.SELF_HARM),
    ("je veux mourir", Category.SELF_HARM), ("死にたい", Category.SELF_HARM),
    ("죽고 싶어", Category.SELF_HARM), ("मुझे मरना है", Category.SELF_HARM),
    ("ölmek istiyorum", Category.SELF_HARM), ("أريد أن أموت", Category.SELF_HARM),
    ("zabij się", Category.INSULT), ("ik wil niet meer leven", Category.SELF_HARM),
    ("voglio morire", Category.SELF_HARM), ("quero morrer", Category.SELF_HARM),
    ("支那猪", Category.HATE), ("쪽바리", Category.HATE), ("жиды", Category.HATE),
])
def test_what_is_grave_is_found_in_other_languages(text: str, category: Category) -> None:
    found, = packaged().find(fold([text]))
    assert max(found, key=lambda each: each.severity).category is category


def test_what_is_allowed_is_never_found() -> None:
    allowed = ["".join(letter * times for letter, times in zip(entry.text, entry.runs, strict=True))
               for entry in packaged().entries if entry.category is None]
    assert len(allowed) > 50
    found = packaged().find(fold(allowed))
    assert [text for text, each in zip(allowed, found, strict=True) if each] == []

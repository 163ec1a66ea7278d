"""Turns of phrase: what is bad by how words are put together, and what only looks so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation.findings import Action, Category, Finding
from atrium_server.moderation.fold import fold
from atrium_server.moderation.phrases import (
    FOUND_PER_TEXT_MAX,
    NOTHING,
    Found,
    Phrases,
    packaged,
    phrases,
    weighed,
)
from atrium_server.moderation.policy import POLICIES, PolicyName, decide
from atrium_server.moderation.reading import Text
from atrium_server.moderation.rules import TextRules
from atrium_server.moderation.word_lists import WordListError

STANDARD = POLICIES[PolicyName.STANDARD]
SMALL = phrases([("xx", """
# words
you  = you | u
are  = are
low  = trash | a joke | 垃圾
你   = 你
insult 0.6: you are ~2 low
insult 0.7: 你 ~2 low
threat 0.9: "watch_out" you?
allow: you are "not" ~1 low
own: "i_am" low
report: "he" "said"
play: "in_the_game"
""")])
RULES = TextRules()


def found(text: str, of: Phrases = SMALL) -> list[str]:
    return [text[each.start:each.end] for each in of.find(fold([text]))[0].findings]


@pytest.mark.parametrize(("text", "expected"), [
    ("you are trash", ["you are trash"]), ("YOU ARE SUCH A JOKE", ["YOU ARE SUCH A JOKE"]),
    ("u are really very trash", ["u are really very trash"]), ("y0u 4re tr4sh", ["y0u 4re tr4sh"]),
    ("you are not the one with trash", []), ("you trash are", []), ("trash you are", []),
    ("are you trash", []), ("you are", []), ("", []), ("你真是垃圾", ["你真是垃圾"]),
    ("你看那边有垃圾", []), ("watch out", ["watch out"]), ("t r a s h", []),
    ("so you are a\u200b joke lol", ["you are a\u200b joke"]),
])
def test_sets_follow_each_other_with_room_for_other_words(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_what_may_be_left_out_may() -> None:
    assert found("watch out you") == ["watch out", "watch out you"]


def test_texts_of_a_batch_do_not_touch_each_other() -> None:
    said = SMALL.find(fold(["you are", "trash", "", "you are trash"]))
    assert [len(each.findings) for each in said] == [0, 0, 0, 1]


def test_the_four_sorts_that_are_no_findings_say_where_they_are() -> None:
    one, two, three = SMALL.find(fold(["you are not trash", "i am trash", "he said in the game"]))
    assert (one.harmless, one.findings) == (((0, 17),), one.findings)
    assert two.own == ((0, 10),)
    assert three.is_report
    assert three.is_play


def finding(category: Category, severity: float, start: int = 0, end: int = 4) -> Finding:
    return Finding(category, severity, start, end, "list:en")


def test_what_is_harmless_own_told_or_played_weighs_less() -> None:
    slur, threat = finding(Category.HATE, 0.95), finding(Category.THREAT, 0.9)
    assert weighed([slur], NOTHING) == (slur,)
    assert weighed([slur], Found(harmless=((3, 9),))) == ()
    assert weighed([slur], Found(harmless=((4, 9),))) == (slur,)
    for eased in (Found(own=((0, 9),)), Found(is_report=True)):
        kept, = weighed([slur], eased)
        assert decide("slur", [kept], STANDARD).action is Action.MASK
    assert weighed([threat], Found(is_play=True)) == ()
    told, = weighed([threat], Found(is_report=True))
    assert decide("told", [told], STANDARD).action is Action.HOLD


@pytest.mark.parametrize(("document", "said"), [
    ("rubbish", "line 1"), ("insult 0.5: nothing", "no set 'nothing'"),
    ("a b = x\n", "no name of a set"), ("a = x\ninsult: a", "a category and a severity"),
    ("a = x\ninsult 2: a", "from 0 to 1"), ("a = x\nbad 0.5: a", "a category and a severity"),
    ("a = x | \n", "empty"), ("a = x\ninsult 0.5: a?", "without a"),
    ("a = x\ninsult 0.5: a ~99 a", "no set '~99'"), ("a = x\ninsult 0.5: " + "a " * 9, "1 to 8"),
])
def test_a_mistake_in_a_file_is_told(document: str, said: str) -> None:
    with pytest.raises(WordListError, match=said):
        phrases([("xx", document)])


@given(st.lists(st.lists(st.sampled_from(
    ["you", "u", "are", "trash", "a", "joke", "not", "i am", "x", "你", "垃圾", "真", "\u202e", "!"]
), max_size=30).map(" ".join), max_size=5))
def test_findings_lie_within_their_text(texts: list[str]) -> None:
    for text, said in zip(texts, SMALL.find(fold(texts)), strict=True):
        assert len(said.findings) <= FOUND_PER_TEXT_MAX
        for each in said.findings:
            assert 0 <= each.start < each.end <= len(text)


def test_a_text_that_is_full_of_beginnings_is_bounded() -> None:
    long, after = SMALL.find(fold(["you are " * 20_000 + "trash", "you are trash"]))
    assert len(long.findings) <= FOUND_PER_TEXT_MAX
    assert len(after.findings) == 1


def decided(text: str) -> tuple[Action, Category | None]:
    decision = decide(text, RULES.read([Text(text)])[0].findings, STANDARD)
    return decision.action, decision.category


LOCALES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ar", "hi", "zh", "ja", "ko")


def test_there_are_phrases_of_each_kind_in_each_language() -> None:
    for locale in LOCALES:
        sorts = {each.sort for each in packaged().patterns if each.locale == locale}
        assert sorts >= {"insult", "threat", "hate", "sexual", "self_harm", "spam", "report",
                         "own", "play", "allow"}, locale


# None of these lines is one of those that moderation is measured by.
@pytest.mark.parametrize(("text", "category"), [
    ("you're such an ugly little rat, nobody wants you around here", Category.INSULT),
    ("I'll smash your teeth in after school", Category.THREAT),
    ("immigrants should all be thrown out", Category.HATE),
    ("take off your clothes for me", Category.SEXUAL),
    ("I keep thinking about jumping off a bridge", Category.SELF_HARM),
    ("claim your free nitro now, link in bio", Category.SPAM),
    ("du bist echt eine Schande", Category.INSULT),
    ("ich breche dir morgen die Nase", Category.THREAT),
    ("les migrants sont des parasites", Category.HATE),
    ("je vais te casser les jambes", Category.THREAT),
    ("eres una rata patética", Category.INSULT),
    ("los gitanos son unos ladrones", Category.HATE),
    ("siete tutti dei falliti", Category.INSULT),
    ("os nordestinos são burros", Category.HATE),
    ("ik sla je tanden eruit", Category.THREAT),
    ("uchodźcy to złodzieje", Category.HATE),
    ("без меня всем будет лучше", Category.SELF_HARM),
    ("mülteciler defolsun", Category.HATE),
    ("أنت حثالة", Category.INSULT),
    ("tera ghar pata hai, tujhe jaan se maar dunga", Category.THREAT),
    ("你真是个废物", Category.INSULT),
    ("黑人都是猴子", Category.HATE),
    ("お前は本当に役立たずだな", Category.INSULT),
    ("너 진짜 쓰레기다", Category.INSULT),
    ("пидopаc", Category.HATE), ("everyone would be better off without me", Category.SELF_HARM),
    ("you will die alone, even your mother hates you", Category.INSULT),
    ("nadie me va a extrañar", Category.SELF_HARM), ("もう生きるのつらい", Category.SELF_HARM),
])
def test_what_no_list_of_words_has_is_found(text: str, category: Category) -> None:
    action, why = decided(text)
    assert action is not Action.ALLOW
    assert why is category or {why, category} <= {Category.INSULT, Category.HATE}


@pytest.mark.parametrize("text", [
    "I'm gonna kill you in the next round", "you are not stupid, you just started",
    "the koreans won the cup", "we talked about how refugees are treated", "I am such an idiot",
    "catch you later, gonna beat my brother at chess", "you killed it", "gg ez noob team lol",
    "it costs 600k", "die Ratte im Spiel ist süß", "tu as vu le chien ?", "il cane è sul divano",
    "küçük bir köpek gördüm", "你看那只狗", "あの豚はかわいい", "너 강아지 봤어?",
    "the doctor says my vagina is fine", "nine people were raped in the war, the court says",
    "wir lachen uns tot", "je meurs de rire", "me muero de risa", "умираю со смеху", "笑死我了",
    "I'm standing on the bridge, come over", "屋上にいるよ", "je ne serai plus là demain",
    "I won't be here tomorrow", "I have a rope and a torch", "nobody here speaks Dutch",
    "is there a free seat, click the chair to sit",
    "мы не можем найти босса", "I don't want to live there", "she was a victim of incest",
])
def test_harmless_lines_are_let_pass(text: str) -> None:
    assert decided(text)[0] is Action.ALLOW


@pytest.mark.parametrize("text", [
    "he called me a faggot, how do I report him", "someone keeps calling my friend a retard",
    "er hat mich Hurensohn genannt, wie melde ich das", "I'm a proud dyke", "il m'a traité de pédé",
    "please stop saying the word bitch", "me llamó maricón, quiero denunciar",
])
def test_who_tells_or_speaks_of_themselves_is_read_with_words_covered(text: str) -> None:
    assert decided(text)[0] <= Action.MASK

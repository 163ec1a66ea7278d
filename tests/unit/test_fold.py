"""Disguises of a word are that word; everything else stays what it is."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pytest
import text_cases
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation.features import BUCKETS, ROW_MAX, bags, joined
from atrium_server.moderation.fold import SEQUENCE_MAX, Folded, fold

ANY = st.text(st.characters(), max_size=60)
"""All of Unicode, lone surrogates included."""


def soft(text: str) -> str:
    return fold([text]).soft_text(0)


def hard(text: str) -> str:
    return fold([text]).hard_text(0)


def test_the_golden_vectors_hold() -> None:
    assert text_cases.FILE.read_text(encoding="utf-8") == text_cases.written(text_cases.build())


@pytest.mark.parametrize("disguised", [
    "FUCK", "f u c k", "f.u.c.k", "f-u-c-k", "f_u_c_k", "fuuuuck", "ｆｕｃｋ", "𝓯𝓾𝓬𝓴", "🅵🆄🅲🅺",
    "f\u200bu\u200cc\u2060k", "\u202efuck\u202c", "fúçk", "f̶u̷c̸k", "fuсk", "ⓕⓤⓒⓚ", "f u  c k",
    "F. U. C. K.", "fuck!!!", "(fuck)", "f\u00aduck", "fᴜck", "ƒuck",
])
def test_a_disguise_is_what_it_hides(disguised: str) -> None:
    assert hard(disguised).split() == ["fuck"]


@pytest.mark.parametrize(("text", "expected"), [
    ("sh1t", "shit"), ("sh!t", "shit"), ("@ss", "as"), ("a$$", "as"), ("b1tch", "bitch"),
    ("c0ck", "cock"),
    ("wow!", "wow"), ("100%", "100%"), ("level 42", "level 42"), ("$5", "$5"),
    ("2 b or not 2 b", "2 b or not 2 b"), ("(really)", "realy"), ("a|b", "alb"),
    ("I am a b", "i am a b"), ("don't", "dont"), ("5 stars", "5 stars"),
])
def test_signs_stand_for_letters_in_words_only(text: str, expected: str) -> None:
    assert hard(text) == expected


@pytest.mark.parametrize("text", [
    "привет как дела", "ρε φιλε", "сука", "вор рас оса", "你好世界", "नमस्ते दोस्त", "안녕하세요",
    "がんばって", "สวัสดีครับ", "հայերեն", "😀 ok",
])
def test_what_is_no_disguise_stays_itself(text: str) -> None:
    assert soft(text) == unicodedata.normalize("NFC", text)


def test_a_word_of_look_alikes_alone_is_latin_only_among_latin_ones() -> None:
    assert soft("you асе hole") == "you ace hole"
    assert soft("это асе и оса") == "это асе и оса"


@given(st.lists(ANY, max_size=5))
def test_texts_do_not_touch_each_other(texts: list[str]) -> None:
    together = fold(texts)
    features = bags(together)
    for k, text in enumerate(texts):
        alone = fold([text])
        assert together.soft_text(k) == alone.soft_text(0)
        assert together.hard_text(k) == alone.hard_text(0)
        assert features.row(k).tolist() == bags(alone).row(0).tolist()


@given(ANY)
def test_each_character_comes_from_somewhere(text: str) -> None:
    folded = fold([text])
    assert len(folded.soft) <= SEQUENCE_MAX * len(text)
    assert len(folded.hard) <= len(folded.soft)
    assert_within(folded.soft_from, folded.soft_from + 1, len(text))
    assert_within(folded.hard_from, folded.hard_to, len(text))
    assert not folded.soft_text(0).startswith(" ")
    assert "  " not in folded.hard_text(0)
    assert (folded.hard_runs > 0).all()


def assert_within(begin: np.ndarray, end: np.ndarray, length: int) -> None:
    assert (np.diff(begin) >= 0).all()
    assert ((begin >= 0) & (end <= length)).all()


@given(ANY)
def test_features_are_numbers_of_buckets(text: str) -> None:
    ids = bags(fold([text])).ids
    assert len(ids) <= ROW_MAX
    assert ((ids >= 0) & (ids < BUCKETS)).all()


def test_every_code_point_can_be_folded() -> None:
    everything = [chr(code) for code in range(0x110000)]
    folded = fold(everything)
    assert folded.rows == 0x110000
    kept = np.diff(folded.soft_offsets)
    assert kept.max() <= SEQUENCE_MAX
    for control in "\x00\u200b\u202e\u2066\ufeff\ud800\U000e0001":
        assert kept[ord(control)] == 0, hex(ord(control))


@pytest.mark.parametrize("text", ["x" * 100_000, "ﷺ" * 100_000, "a " * 50_000, "\u202e" * 100_000,
                                  "\u0301" * 100_000, "😀" * 100_000])
def test_long_texts_are_folded_and_their_features_are_bounded(text: str) -> None:
    folded = fold([text, "next"])
    assert folded.soft_text(1) == "next"
    made = bags(folded)
    assert len(made.row(0)) <= ROW_MAX
    assert made.row(1).tolist() == bags(fold(["next"])).row(0).tolist()


def test_the_features_of_a_disguise_share_much_with_what_it_hides() -> None:
    plain, disguised, other = (set(bags(fold([text])).ids.tolist()) for text in (
        "you are a stupid idiot", "you are a $tup1d 1d10t", "see you at the market stall"))
    assert len(plain & disguised) > 2 * len(plain & other)


def test_features_of_different_texts_fall_together_seldom() -> None:
    words = ["".join(each) for each in itertools.product("abcdefghij", repeat=3)]
    ids = np.array([bags(fold([word])).row(0)[0] for word in words])
    expected = BUCKETS * (1 - (1 - 1 / BUCKETS) ** len(words))
    assert abs(len(set(ids.tolist())) - expected) < 15


def test_rows_are_joined_in_order() -> None:
    texts = ["one two", "", "three"]
    parts = joined([bags(fold(texts[:2])), bags(fold(texts[2:]))])
    whole = bags(fold(texts))
    assert parts.ids.tolist() == whole.ids.tolist()
    assert parts.offsets.tolist() == whole.offsets.tolist()


def test_nothing_is_folded_to_nothing() -> None:
    folded: Folded = fold([])
    assert (folded.rows, len(bags(folded).ids)) == (0, 0)

"""Handles: what looks alike is one, what is odd is refused, and no text breaks the folding."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.accounts.confusables import LUNATE, SKELETON
from atrium_server.accounts.errors import NotAcceptable
from atrium_server.accounts.handles import (
    KEY_CHARS_MAX,
    clean_handle,
    fold,
    is_of_staff,
    is_reserved,
)
from atrium_shared.limits import HANDLE_CHARS_MAX, NAME_BYTES_MAX

ANY_TEXT = st.text(st.characters(), max_size=60)
PLAIN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=3,
                max_size=HANDLE_CHARS_MAX)


@pytest.mark.parametrize(
    "alike",
    [
        ["Ada_Lovelace", "adalovelace", "ADA.LOVELACE", "Ádá-Lovelace", "Аdа_Lоvelace",
         "ada lovelace", "Ａｄａ＿Ｌｏｖｅｌａｃｅ", "AdaLovelaϲe", "a\u200bda\u00adlovelace"],
        ["Paul", "PauI", "pau1", "pau|", "ΡAUL", "раuⅼ"],
        ["Bob", "B0b", "вов", "вob", "BÖB"],
        ["Mark", "rnark", "Rnark", "ⅿark"],
        ["Straße", "STRASSE", "strasse"],
        ["İstanbul", "istanbul", "ISTANBUL", "lstanbul", "ıstanbul"],
    ],
)
def test_what_looks_alike_has_one_key(alike: list[str]) -> None:
    assert len({fold(name) for name in alike}) == 1, {name: fold(name) for name in alike}


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada", "Adam"), ("Иван", "Иванна"), ("हिन्दी", "हन्द"), ("か", "が"), ("Tom", "Tim"),
     ("東京", "京都"), ("عمر", "عمرو"), ("gate", "gade")],
)
def test_what_looks_different_has_different_keys(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(ANY_TEXT)
def test_folding_a_key_changes_nothing(text: str) -> None:
    key = fold(text)
    assert fold(key) == key
    assert len(key) <= KEY_CHARS_MAX
    assert not any(unicodedata.category(c)[0] in "CZ" for c in key)


@given(ANY_TEXT)
def test_case_and_form_do_not_count(text: str) -> None:
    text = text.translate(dict.fromkeys(LUNATE))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)
    if text.isascii():
        assert fold(text.upper()) == fold(text.lower())


@given(PLAIN, st.data())
def test_separators_and_look_alikes_do_not_count(name: str, data: st.DataObject) -> None:
    alike: dict[str, list[str]] = {}
    for code, plain in SKELETON.items():
        alike.setdefault(plain, []).append(chr(code))
    disguised = "".join(
        data.draw(st.sampled_from([c, *alike.get(c.casefold(), [])])) +
        data.draw(st.sampled_from(["", "", "_", "-", "."]))
        for c in name
    )
    assert fold(disguised) == fold(name)


def test_each_skeleton_is_its_own() -> None:
    for code, plain in SKELETON.items():
        assert plain.translate(SKELETON) == plain, chr(code)


@given(ANY_TEXT)
def test_any_text_is_a_handle_or_refused_with_a_sentence(text: str) -> None:
    try:
        handle = clean_handle(text)
    except NotAcceptable:
        return
    assert clean_handle(handle) == handle
    assert 3 <= len(handle) <= HANDLE_CHARS_MAX
    assert len(handle.encode()) <= NAME_BYTES_MAX
    assert handle.isprintable()
    assert fold(handle)


@pytest.mark.parametrize(
    "handle",
    ["Ada", "ada_lovelace", "R2-D2", "x.y.z", "Zoë", "Иван", "東京Taro", "हिन्दी", "김철수"],
)
def test_proper_handles_are_shown_as_they_were_chosen(handle: str) -> None:
    assert clean_handle(f" {handle} ") == handle


@pytest.mark.parametrize(
    "handle",
    ["", "ab", "x" * 33, "a b c", "a__b", "_ada", "ada-", "ada!", "a\u200bda", "аdа", "Ωmega",
     "a\u202eda", "ada\n", "ada\x00", "<b>ada", "a'; DROP", "🦊🦊🦊", "\ud800abc", "ﷺ" * 9,
     "\u3164\u3164\u3164", "..." , "\u0301ab", "東" * 33, "x" * 10_000],
)
def test_odd_handles_are_refused(handle: str) -> None:
    if handle == "ada\n":
        assert clean_handle(handle) == "ada", "blanks around it are no part of it"
        return
    with pytest.raises(NotAcceptable):
        clean_handle(handle)


def test_names_of_those_in_charge_are_nobodys() -> None:
    for name in ("admin", "Adm1n", "ADMIN42", "аdmin", "The Admin", "Bob-Moderator", "root"):
        assert is_of_staff(name), name
        assert is_reserved(name), name
    for name in ("guest", "Guest17", "everyone", "null"):
        assert is_reserved(name), name
        assert not is_of_staff(name), name
    for name in ("Badminton", "Rooter", "Ada", "Modesty", "Ownership"):
        assert not is_reserved(name), name

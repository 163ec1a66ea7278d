"""Names and lines: what is refused, what is cleaned away, what must stay as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world.text import clean_line, clean_name
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import CHAT_CHARS_MAX, NAME_BYTES_MAX, NAME_CHARS_MAX

ANY_TEXT = st.text(st.characters(), max_size=200)
NASTY = st.text(
    st.sampled_from("a é\u0301\u200d\u202e\u2028\ufeff\x00\n\t\u3164\U0001d160\ud800🙂")
)


@pytest.mark.parametrize("name", [
    "Ann", "José", "نورا", "می‌خواهم", "नि‍शा", "李小龍", "👩‍🚀", "Zoë ✨", "x" * NAME_CHARS_MAX,
])
def test_names_of_people_stay(name: str) -> None:
    assert clean_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", [
    "", "   ", "x" * (NAME_CHARS_MAX + 1), "x" * 10_000, "😀" * NAME_CHARS_MAX,
    "a\x00b", "a\x1b[2J", "a\u202eb",
    "\u200b", "a\ufeffb", "\u0301\u0301", "a" + "\u0316" * 5, "\ue000", "\u3164",
    "\u2800\u2800", "a\u115f", "a\ud800",
])
def test_names_that_hide_or_lie_are_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        clean_name(name)
    assert caught.value.code is ErrorCode.BAD_NAME


def test_white_space_in_names_is_made_plain() -> None:
    assert clean_name("  Ann\u2003\t\n von  X ") == "Ann von X"
    assert clean_name("Jose\u0301") == "José"


@given(ANY_TEXT | NASTY)
def test_any_name_is_clean_or_refused(raw: str) -> None:
    try:
        name = clean_name(raw)
    except ProtocolError:
        return
    assert 1 <= len(name) <= NAME_CHARS_MAX
    assert len(name.encode()) <= NAME_BYTES_MAX
    assert name == name.strip()
    assert clean_name(name) == name


@pytest.mark.parametrize(("raw", "line"), [
    ("hello", "hello"), ("two\nlines\tand\rmore", "two lines and more"), ("a\u2028b", "a b"),
    ("a\u202eb\x00c\ufeff", "abc"), ("  \u200b ", ""), ("\u3164\u2800", ""), ("👩‍🚀", "👩‍🚀"),
    ("a" + "\u0316" * 9, "a" + "\u0316" * 4), ("\u0301", ""), ("a\ud800b", "ab"),
])
def test_lines_lose_what_one_cannot_see(raw: str, line: str) -> None:
    assert clean_line(raw) == line


@given(ANY_TEXT | NASTY | st.text(st.sampled_from("\U0001d160\u0958a"), max_size=CHAT_CHARS_MAX))
def test_any_line_is_clean(raw: str) -> None:
    line = clean_line(raw)
    assert len(line) <= CHAT_CHARS_MAX
    assert line == line.strip()
    assert clean_line(line) == line
    assert "\n" not in line
    line.encode()


def test_a_line_that_grows_in_its_normal_form_is_cut() -> None:
    raw = "\U0001d160" * CHAT_CHARS_MAX
    assert len(unicodedata.normalize("NFC", raw)) > CHAT_CHARS_MAX
    assert len(clean_line(raw)) <= CHAT_CHARS_MAX

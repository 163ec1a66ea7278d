"""On which line of a TOML text each table and key stands.

Theory of operation
-------------------
`tomllib` gives the values of a document but not their places, and a mistake without a line makes
a person search. So once `tomllib` has accepted a text, one more walk over it notes the line of
each header and of each key. The walk may be simple because the text is known to be valid: a
statement is a header (`[a.b]`, `[[a]]`) or a key with a value, and a value ends at the first line
end that is neither inside a string nor inside brackets.

A path is what one would write in Python to reach the value: `("box", 2, "size")`. Keys inside an
inline table are not indexed; `line_of` answers with the nearest place around them.
"""

from __future__ import annotations

import re
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))[ \t]*""")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'",
    re.DOTALL,
)


class TomlLines:
    """The lines of one valid TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_of: dict[Path, int] = {(): 1}
        self._array_lengths: dict[Path, int] = {}
        self._walk()

    def line_of(self, path: Path) -> int:
        """Line (from 1) of `path`, or of the nearest table around it that has a line."""
        while path not in self._line_of:
            path = path[:-1]
        return self._line_of[path]

    def _walk(self) -> None:
        text, line, counted_to = self._text, 1, 0
        table: Path = ()
        at = _skip_blank(text, 0)
        while at < len(text):
            line += text.count("\n", counted_to, at)
            counted_to = at
            if text[at] == "[":
                is_array = text.startswith("[[", at)
                keys, at = _keys(text, at + 1 + is_array)
                table = self._header(keys, is_array)
                self._note(table, line)
                at += 1 + is_array
            else:
                keys, at = _keys(text, at)
                self._note(table + keys, line)
                at = _skip_value(text, at + 1)
            at = _skip_blank(text, at)

    def _header(self, keys: tuple[str, ...], is_array: bool) -> Path:
        """The path a header opens; each array on the way stands for its newest element."""
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            if is_array and position == len(keys) - 1:
                self._array_lengths[path] = self._array_lengths.get(path, 0) + 1
            if path in self._array_lengths:
                path = (*path, self._array_lengths[path] - 1)
        return path

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._line_of.setdefault(path[:length], line)


def _skip_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None, "the pattern matches the empty string"
    return found.end()


def _keys(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The parts of the dotted key at `at` and where it ends. Escapes are left as written."""
    keys: list[str] = []
    while True:
        found = _KEY.match(text, at)
        assert found is not None, "the text is valid TOML, so a key stands here"
        keys.append(next(part for part in found.groups() if part is not None))
        at = found.end()
        if not text.startswith(".", at):
            return tuple(keys), at
        at += 1


def _skip_value(text: str, at: int) -> int:
    """Where the value that starts at `at` ends: at the end of its line or of the text."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            found = _STRING.match(text, at)
            assert found is not None, "the text is valid TOML, so the string ends"
            at = found.end()
            continue
        if character == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if character == "\n" and depth == 0:
            return at
        depth += (character in "[{") - (character in "]}")
        at += 1
    return at

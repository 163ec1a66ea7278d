"""A module's text, taken apart into code, comments and literals.

Theory of operation
-------------------
`pieces` is a scanner and no parser: it goes from one comment, string, template or slash to the next
and takes what lies between as code. Joined again, the pieces are the text.

The one hard question is whether a slash divides or begins a regular expression, which JavaScript
leaves to its grammar. It is answered by what stands before: after a value a slash divides, after an
operator or a keyword it does not. A bracket that closes is remembered by the word before the one
that opened it, since `if (a) /b/.test(c)` holds a regular expression and `f(a) / b / c` none. What
remains is rare: a slash after a `}`, a `++`, a point or `of`. There `pieces` guesses, as suits who
only wants to be fast, or with `is_strict` raises Unsure, as suits who changes the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

_TOKEN: Final = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[`/{}()]""", re.DOTALL
)
_TEMPLATE_TEXT: Final = re.compile(r"(?:\\.|\\\Z|\$(?!\{)|[^`\\$])*+(`|\$\{|\Z)", re.DOTALL)
_REGULAR_EXPRESSION: Final = re.compile(
    r"/(?:\\[^\n]|\[(?:\\[^\n]|[^\]\\\n])*+\]|[^/\\\n\[])++/\w*"
)
_TAIL_CHARS: Final = 24
"""How much of the code before is looked at: more than a keyword and what stands before it."""
_VALUE_END: Final = re.compile(r"(?:[\w$)\]]|\+\+|--) ?\Z")
_KEYWORD_END: Final = re.compile(
    r"(?<![\w$.#])(?:return|typeof|instanceof|in|of|new|delete|void|throw|case|do|else|yield|await)"
    r" ?\Z"
)
_UNSURE_END: Final = re.compile(r"(?:[}.]|\+\+|--|(?<![\w$.#])of) ?\Z")
_CONDITION_END: Final = re.compile(r"(?<![\w$.#])(?:if|while|for|with|for\s+await) ?\Z")


class Kind(Enum):
    """What a piece is."""

    CODE = 1
    COMMENT = 2
    STRING = 3
    TEMPLATE = 4
    """From a backtick or the end of a substitution to the next backtick or substitution."""
    REGULAR_EXPRESSION = 5


class Unsure(Exception):
    """What the text means cannot be told without a parser."""


def pieces(source: str, is_strict: bool = False) -> Iterator[tuple[Kind, str]]:
    """The text in pieces, none of them empty.

    Raises:
        Unsure: with `is_strict`, where the text is open to more than one reading, or is cut off.
    """
    return _Scan(source, is_strict).pieces()


class _Scan:
    """Where the scanner is, and what it remembers of the code before."""

    def __init__(self, source: str, is_strict: bool) -> None:
        self._source = source
        self._is_strict = is_strict
        self._at = 0
        self._tail = ""
        """The last code, with one blank at most at its end; a literal stands there as a 0."""
        self._conditions: list[bool] = []
        """Of each bracket that is open: whether `if` or the like stands before it."""
        self._after_condition = False
        self._depth = 0
        self._substitutions: list[int] = []
        """The depths of the templates whose substitutions we are in."""

    def pieces(self) -> Iterator[tuple[Kind, str]]:
        source, begun = self._source, 0
        while match := _TOKEN.search(source, self._at):
            start, token = match.start(), match.group()
            self._read_code(source[self._at : start])
            self._at = match.end()
            kind = self._read(token, start)
            if kind is not Kind.CODE:
                if begun < start:
                    yield Kind.CODE, source[begun:start]
                begun = self._at
                yield kind, source[start:begun]
        if begun < len(source):
            yield Kind.CODE, source[begun:]
        if self._is_strict and (self._depth or self._conditions or self._substitutions):
            raise Unsure("a bracket or a template is not closed")

    def _read(self, token: str, start: int) -> Kind:
        """What begins with this token; `_at` is moved to its end."""
        if token in "{}":
            return self._brace(token, start)
        if token in "()":
            return self._bracket(token)
        if token == "/":
            return self._slash(start)
        if token == "`":
            return self._template(start)
        if token.startswith(("//", "/*")):
            is_open = token[1] == "*" and (len(token) < 4 or not token.endswith("*/"))
            self._require(not is_open, "a comment is not closed")
            self._read_code(" ")
            return Kind.COMMENT
        self._require(len(token) > 1 and token[-1] == token[0], "a string is not closed")
        self._value()
        return Kind.STRING

    def _brace(self, token: str, start: int) -> Kind:
        if token == "}" and self._substitutions and self._substitutions[-1] == self._depth:
            self._substitutions.pop()
            return self._template(start)
        self._depth += 1 if token == "{" else -1
        self._require(self._depth >= 0, "a brace is closed that was not open")
        self._read_code(token)
        return Kind.CODE

    def _bracket(self, token: str) -> Kind:
        if token == "(":
            self._conditions.append(bool(_CONDITION_END.search(self._tail)))
            self._read_code(token)
            return Kind.CODE
        self._require(bool(self._conditions), "a bracket is closed that was not open")
        is_condition = self._conditions.pop() if self._conditions else False
        self._read_code(token)
        self._after_condition = is_condition
        return Kind.CODE

    def _slash(self, start: int) -> Kind:
        tail = self._tail
        self._require(not _UNSURE_END.search(tail), "a slash could mean two things")
        is_value = bool(_VALUE_END.search(tail)) and not _KEYWORD_END.search(tail)
        if is_value and not self._after_condition:
            self._read_code("/")
            return Kind.CODE
        literal = _REGULAR_EXPRESSION.match(self._source, start)
        self._require(literal is not None, "a regular expression is not closed")
        if literal is None:
            self._read_code("/")
            return Kind.CODE
        self._at = literal.end()
        self._value()
        return Kind.REGULAR_EXPRESSION

    def _template(self, start: int) -> Kind:
        match = _TEMPLATE_TEXT.match(self._source, start + 1)
        assert match is not None  # it matches the empty text
        self._at = match.end()
        self._require(bool(match[1]), "a template is not closed")
        if match[1] == "${":
            self._substitutions.append(self._depth)
            self._read_code("{")
        else:
            self._value()
        return Kind.TEMPLATE

    def _read_code(self, code: str) -> None:
        stripped = code.rstrip()
        if stripped:
            self._tail = (self._tail + stripped)[-_TAIL_CHARS:]
            self._after_condition = False
        if len(stripped) < len(code) and not self._tail.endswith(" "):
            self._tail += " "

    def _value(self) -> None:
        self._read_code(" 0")

    def _require(self, is_met: bool, otherwise: str) -> None:
        if self._is_strict and not is_met:
            raise Unsure(otherwise)

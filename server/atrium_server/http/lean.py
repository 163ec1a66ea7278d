"""Scripts and styles without what only their readers need: comments, indentation, blanks.

Theory of operation
-------------------
A third of what our modules cost on the wire is their comments. They are taken out when the files
are made ready to be sent; in the repository and in the wheel the modules stay as they were written.
Every newline stays, so line numbers in a stack trace are those of the repository, and nothing is
renamed or moved: what runs is token for token what was written.

The text is read in pieces (see `javascript`). A comment becomes its newlines, or one blank. Of the
code, blanks at both ends of a line go, and between two tokens where they cannot grow together:
beside brackets, commas, semicolons and literals, and between a word and an operator. A point counts
as no operator (`1 .toFixed()`), nor does a slash that begins a regular expression (`a / /b/`).
Strings, templates and regular expressions are not touched, nor are comments that hold a licence.

Whatever is not plain beyond doubt is refused (Unsure) and then served as it was written. The tests
have a parser read all modules before and after.
"""

from __future__ import annotations

import re
from typing import Final

from atrium_server.http.javascript import Kind, Unsure, pieces

_LITERAL: Final = "\x01"
"""Stands for a string or a piece of a template, beside which no blank is needed."""
_SLASHED: Final = "\x02"
"""Stands for a regular expression: its beginning is like an operator, its end like a word."""
_PLACE: Final = re.compile(f"[{_LITERAL}{_SLASHED}]")
_PLAIN: Final = re.compile(r"[\n\t -\[\]-~]*")
"""What code may consist of: ASCII, without backslashes and without a carriage return."""
_LICENCE: Final = re.compile(r"/[*/]!|@license|@preserve|SPDX-License")
_LINE_ENDS: Final = re.compile(r"[ \t]*\n[ \t]*")
_ALONE: Final = rf"{{}}()\[\],;{_LITERAL}"
_OPERATOR: Final = r"=+\-*/%<>!&|^~?:"
_NEEDLESS: Final = re.compile(
    rf"(?<=[{_ALONE}])[ \t]+|[ \t]+(?=[{_ALONE}])"
    rf"|(?<=[\w${_SLASHED}])[ \t]+(?=[{_OPERATOR}])|(?<=[{_OPERATOR}])[ \t]+(?=[\w$#])"
)
_BLANKS: Final = re.compile(r"[ \t]+")


def lean_script(source: str) -> str:
    """The same module in fewer bytes, on the same lines.

    Raises:
        Unsure: the text is none of which we know how it is read.
    """
    if source.startswith("#!"):
        raise Unsure("the first line is for a shell")
    code: list[str] = []
    literals: list[str] = []
    for kind, text in pieces(source, is_strict=True):
        if kind is Kind.CODE:
            if not _PLAIN.fullmatch(text):
                raise Unsure("the code has characters that are not plain ASCII")
            code.append(text)
        elif kind is Kind.COMMENT and not _LICENCE.search(text):
            code.append(_newlines_of(text))
        else:
            code.append(_SLASHED if kind is Kind.REGULAR_EXPRESSION else _LITERAL)
            literals.append(text)
    lean = _LINE_ENDS.sub("\n", "".join(code)).strip(" \t")
    lean = _BLANKS.sub(" ", _NEEDLESS.sub("", lean))
    return _filled(lean, literals)


_STYLE_TOKEN: Final = re.compile(
    r"""/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|url\([^"'()\s]*\)""", re.DOTALL
)
_STYLE_APART: Final = "\n\t {};,"
_STYLE_UNSURE: Final = re.compile(r"""[^\n\t -~\x01]|["'\\]|/\*|\*/|url\(""")
_STYLE_NEEDLESS: Final = re.compile(r"(?<=[{};,])[ \t]+|[ \t]+(?=[{};,])")


def lean_style(source: str) -> str:
    """The same style sheet in fewer bytes, on the same lines.

    Raises:
        Unsure: the text is none of which we know how it is read.
    """
    literals: list[str] = []

    def replace(match: re.Match[str]) -> str:
        text = match.group()
        if text.startswith("/*") and not _LICENCE.search(text):
            before, after = source[: match.start()][-1:], source[match.end() :][:1]
            if before.strip(_STYLE_APART) and after.strip(_STYLE_APART):
                raise Unsure("a comment holds two words of the style apart")
            return _newlines_of(text)
        literals.append(text)
        return _LITERAL

    if _LITERAL in source:
        raise Unsure("the style has characters that are not plain ASCII")
    code = _STYLE_TOKEN.sub(replace, source)
    if found := _STYLE_UNSURE.search(code):
        raise Unsure(f"the style has {found.group()!r} where it is not expected")
    lean = _LINE_ENDS.sub("\n", code).strip(" \t")
    return _filled(_BLANKS.sub(" ", _STYLE_NEEDLESS.sub("", lean)), literals)


def _newlines_of(comment: str) -> str:
    return "\n" * comment.count("\n") or " "


def _filled(lean: str, literals: list[str]) -> str:
    waiting = iter(literals)
    return _PLACE.sub(lambda _: next(waiting), lean)

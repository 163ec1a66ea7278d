"""Which modules a page will load, read from the modules' own text.

Theory of operation
-------------------
A browser learns what a module imports when that module has arrived, so a graph that is six modules
deep costs six round trips before anything runs. Whoever serves the modules can know the whole graph
beforehand and name all of it in the page. `ModuleGraph.closure` follows the static imports of the
entry, nearest first; `import()` is not followed, since it is how a page says that it may never need
something.

Imports are statements that stand outside of strings, comments, templates and regular expressions.
`code_only` blanks those out and keeps every other character in its place. It is a scanner and no
parser: whether a slash divides or begins a regular expression is told by what stands before it,
which is wrong for a regular expression right after `if (...)`, and nowhere else in sane code. What
depends on it is speed alone: a module that is missed here is loaded all the same, only later.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

_TOKEN: Final = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[`/{}]""", re.DOTALL
)
_TEMPLATE_TEXT: Final = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*+(`|\$\{|\Z)", re.DOTALL)
_REGULAR_EXPRESSION: Final = re.compile(
    r"/(?:\\[^\n]|\[(?:\\[^\n]|[^\]\\\n])*+\]|[^/\\\n\[])++/\w*"
)
_VALUE_END: Final = re.compile(r"""[\w$)\]"'`]\Z|\+\+\Z|--\Z""")
_KEYWORD_END: Final = re.compile(
    r"(?<![\w$.])(?:return|typeof|instanceof|in|of|new|delete|void|throw|case|do|else|yield|await)\Z"
)
_IMPORT: Final = re.compile(
    r"""(?<![\w$.#])(?:import|(?:import|export)\b[\w$\s{},*"']*?(?<![\w$])from)\s*(["'])"""
)
_MAY_IMPORT: Final = re.compile(r"""(?<![\w$])(?:import|from)\s*["'/]""")
"""True of every text with an import, as its keyword stands before a string or a comment; most
libraries that are one file need not be looked at more closely."""
_NOT_NEWLINE: Final = re.compile(r"[^\n]")


def code_only(source: str) -> str:
    """The same text, with blanks for comments and for what is inside of strings and templates.

    The quotation marks of strings stay, lines and columns stay, the code in `${...}` stays; a
    regular expression becomes a 0, which is a value just as well.
    """
    out: list[str] = []
    at = depth = 0
    substitutions: list[int] = []
    after_value = False
    while match := _TOKEN.search(source, at):
        start, token = match.start(), match.group()
        between = source[at:start]
        if between and (code := between.rstrip()):
            after_value = _is_value(code)
        out.append(between)
        at = match.end()
        if token.startswith(("//", "/*")):
            out.append(_blank(token))
        elif token == "`" or (token == "}" and substitutions and substitutions[-1] == depth):
            if token == "}":
                substitutions.pop()
            at, after_value = _end_of_template_text(source, at)
            if not after_value:
                substitutions.append(depth)
            out.append(_blank(source[start:at]))
        elif token == "/":
            literal = None if after_value else _REGULAR_EXPRESSION.match(source, start)
            at = literal.end() if literal else at
            out.append("0".ljust(at - start) if literal else token)
            after_value = literal is not None
        elif token in "{}":
            depth += 1 if token == "{" else -1
            out.append(token)
            after_value = False
        else:
            out.append(_blank_string(token))
            after_value = True
    out.append(source[at:])
    return "".join(out)


def static_imports(source: str) -> Iterator[str]:
    """What a module imports, or exports from elsewhere, as it is written there and in its order."""
    if not _MAY_IMPORT.search(source):
        return
    code = code_only(source)
    for match in _IMPORT.finditer(code):
        end = code.find(match[1], match.end())
        if end > 0:
            yield source[match.end():end]


class ModuleGraph:
    """The modules of a folder and what imports what; each is read at most once, when asked for.

    Names are paths with `/` between the parts. What is imported by another kind of name, or is not
    there, is passed over.
    """

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources
        self._imports: dict[str, list[str]] = {}

    def closure(self, entries: Iterable[str]) -> list[str]:
        """All modules that load with those entries, nearest first and without them."""
        found = [entry for entry in dict.fromkeys(entries) if entry in self._sources]
        count = len(found)
        seen = set(found)
        for name in found:  # grows while it is gone through
            new = [each for each in self._imported(name) if each not in seen]
            seen.update(new)
            found.extend(new)
        return found[count:]

    def _imported(self, name: str) -> list[str]:
        if name not in self._imports:
            folder = posixpath.dirname(name)
            source = self._sources[name].decode("utf-8", "replace")
            targets = (
                posixpath.normpath(posixpath.join(folder, wanted))
                for wanted in static_imports(source)
                if wanted.startswith(("./", "../"))
            )
            self._imports[name] = [
                target for target in dict.fromkeys(targets) if target in self._sources
            ]
        return self._imports[name]


def _is_value(code: str) -> bool:
    """Whether a slash that follows divides; `code` ends without a blank."""
    return bool(_VALUE_END.search(code, max(0, len(code) - 2))) and not _KEYWORD_END.search(
        code, max(0, len(code) - 12)
    )


def _end_of_template_text(source: str, at: int) -> tuple[int, bool]:
    """Where the text of a template ends, and whether the template does."""
    match = _TEMPLATE_TEXT.match(source, at)
    assert match is not None  # it matches the empty text
    return match.end(), match[1] != "${"


def _blank_string(token: str) -> str:
    is_closed = len(token) > 1 and token[-1] == token[0]
    return token[0] + _blank(token[1:-1]) + token[0] if is_closed else token[0] + _blank(token[1:])


def _blank(text: str) -> str:
    return _NOT_NEWLINE.sub(" ", text)

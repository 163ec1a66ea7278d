"""Which modules a page will load, read from the modules' own text.

Theory of operation
-------------------
A browser learns what a module imports when that module has arrived, so a graph that is six modules
deep costs six round trips before anything runs. Whoever serves the modules can know the whole graph
beforehand and name all of it in the page. `ModuleGraph.closure` follows the static imports of the
entry, nearest first; `import()` is not followed, since it is how a page says that it may never need
something.

Imports are statements that stand outside of strings, comments, templates and regular expressions.
`code_only` blanks those out (see `javascript`) and keeps every other character in its place. Where
the scanner guesses and is wrong, speed alone depends on it: a module that is missed here is loaded
all the same, only later.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from atrium_server.http.javascript import Kind, pieces

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
    return "".join(_BLANKED[kind](text) for kind, text in pieces(source))


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


def _blank_string(token: str) -> str:
    is_closed = len(token) > 1 and token[-1] == token[0]
    return token[0] + _blank(token[1:-1]) + token[0] if is_closed else token[0] + _blank(token[1:])


def _blank(text: str) -> str:
    return _NOT_NEWLINE.sub(" ", text)


_BLANKED: Final[Mapping[Kind, Callable[[str], str]]] = {
    Kind.CODE: str,
    Kind.COMMENT: _blank,
    Kind.STRING: _blank_string,
    Kind.TEMPLATE: _blank,
    Kind.REGULAR_EXPRESSION: lambda text: "0".ljust(len(text)),
}

"""Typed reading of a manifest's tables that collects every mistake with its line.

Theory of operation
-------------------
A person who corrects a file wants all of its mistakes at once. So a `TableReader` never raises:
each getter notes what is wrong and answers with a value of the right type to go on with, and
`Mistakes.check` raises one `ManifestError` at the end. Whoever builds something from several
getters asks `is_sound` before relating the values to each other, so that one slip does not bring
a trail of follow-up complaints.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from atrium_server.world.scene import Numbers3
from atrium_server.world.toml_lines import Path, TomlLines
from atrium_shared.errors import AtriumError

MISTAKES_SHOWN_MAX: Final = 50
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_REPR_CHARS_MAX: Final = 40


class ManifestError(AtriumError):
    """The manifest cannot be used. `mistakes` holds one `source:line: sentence` for each reason."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        shown = list(self.mistakes[:MISTAKES_SHOWN_MAX])
        if len(self.mistakes) > len(shown):
            shown.append(f"and {len(self.mistakes) - len(shown)} more mistakes")
        super().__init__("\n".join(shown))


class Mistakes:
    """What is wrong with one text so far."""

    def __init__(self, source: str, lines: TomlLines) -> None:
        self._source = source
        self._lines = lines
        self._found: list[tuple[int, str]] = []

    def add(self, path: Path, sentence: str) -> None:
        """Note that what stands at `path` is wrong."""
        self._found.append((self._lines.line_of(path), sentence))

    def check(self) -> None:
        """Raise ManifestError, in the order of the lines, when anything was wrong."""
        if self._found:
            raise ManifestError(
                f"{self._source}:{line}: {sentence}" for line, sentence in sorted(self._found)
            )


class TableReader:
    """Reads one table; `label` is what a sentence calls it, as in `[extent]` or `[[box]] 2`.

    `is_sound` turns False with the first mistake in this table.
    """

    def __init__(
        self, mistakes: Mistakes, path: Path, values: Mapping[str, object], label: str
    ) -> None:
        self._mistakes = mistakes
        self._path = path
        self._values = values
        self._label = label
        self._asked: list[str] = []
        self.is_sound = True

    def complain(self, key: str, sentence: str) -> None:
        """Note that the value of `key` (or the table, when `key` is empty) is wrong."""
        self.is_sound = False
        path = (*self._path, key) if key in self._values else self._path
        self._mistakes.add(path, f"{self._label}: {sentence}")

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number within `low`..`high`; required when there is no default."""
        value = self._take(key, default)
        number = _as_number(value)
        if number is not None and low <= number <= high:
            return number
        if value is not None:
            self.complain(
                key, f"{key} must be a number from {low:g} to {high:g}, not {_short(value)}"
            )
        return low if default is None else default

    def integer(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number within `low`..`high`."""
        value = self._take(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.complain(
            key, f"{key} must be a whole number from {low} to {high}, not {_short(value)}"
        )
        return default

    def truth(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value = self._take(key, default)
        if isinstance(value, bool):
            return value
        self.complain(key, f"{key} must be true or false, not {_short(value)}")
        return default

    def vector(self, key: str, low: float, high: float) -> Numbers3:
        """Three numbers [x, y, z], each within `low`..`high`; required."""
        value = self._take(key, None)
        if isinstance(value, list):
            numbers = [_as_number(item) for item in cast("list[object]", value)]
            fitting = [n for n in numbers if n is not None and low <= n <= high]
            if len(fitting) == len(numbers) == 3:
                return fitting[0], fitting[1], fitting[2]
        if value is not None:
            self.complain(
                key,
                f"{key} must be three numbers [x, y, z] from {low:g} to {high:g},"
                f" not {_short(cast('object', value))}",
            )
        return 0.0, 0.0, 0.0

    def slug(self, key: str, chars_max: int) -> str:
        """A name of small letters, digits and inner hyphens; required."""
        value = self._take(key, None)
        if isinstance(value, str) and len(value) <= chars_max and _SLUG.fullmatch(value):
            return value
        if value is not None:
            self.complain(
                key,
                f"{key} must be 1 to {chars_max} small letters, digits or hyphens between them,"
                f" not {_short(value)}",
            )
        return ""

    def line_of_text(self, key: str, chars_max: int, default: str) -> str:
        """One line of printable text."""
        value = self._take(key, default)
        if isinstance(value, str) and 1 <= len(value) <= chars_max and value.isprintable():
            return value
        self.complain(
            key, f"{key} must be 1 to {chars_max} printable characters, not {_short(value)}"
        )
        return default

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of `choices`; required when there is no default."""
        value = self._take(key, default)
        if isinstance(value, str) and value in choices:
            return value
        if value is not None:
            known = ", ".join(f"'{choice}'" for choice in choices)
            self.complain(key, f"{key} must be one of {known}, not {_short(value)}")
        return choices[0]

    def table(self, key: str) -> TableReader:
        """The table `[key]` of this one; an empty one where it is absent."""
        value = self._values.get(key, {})
        self._asked.append(key)
        if not isinstance(value, dict):
            self.complain(key, f"write a table [{key}] instead of a value")
            value = {}
        known = cast("dict[str, object]", value)
        return TableReader(self._mistakes, (*self._path, key), known, f"[{key}]")

    def tables(self, key: str, count_max: int) -> list[TableReader]:
        """The elements of the array of tables `[[key]]`, at most `count_max`."""
        value = self._values.get(key, [])
        self._asked.append(key)
        items = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, dict) for item in items):
            self.complain(key, f"write each {key} as a table under [[{key}]]")
            return []
        if len(items) > count_max:
            self.complain(key, f"there may be at most {count_max} [[{key}]], not {len(items)}")
            return []
        return [
            TableReader(
                self._mistakes, (*self._path, key, position),
                cast("dict[str, object]", item), f"[[{key}]] {position + 1}",
            )
            for position, item in enumerate(items)
        ]

    def finish(self) -> None:
        """Note every key that no getter has asked for, with the likeliest meant one."""
        for key in self._values:
            if key in self._asked:
                continue
            close = difflib.get_close_matches(key[:_REPR_CHARS_MAX], self._asked, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(self._asked)}"
            self.complain(key, f"{_short(key)} is not known here; {hint}")

    def _take(self, key: str, default: Any) -> object:
        self._asked.append(key)
        value = self._values.get(key, default)
        if value is None:
            self.complain("", f"{key} is missing")
        return value


def _as_number(value: object) -> float | None:
    """`value` as a finite float, or None. An integer too large for a float is no number here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _short(value: object) -> str:
    """`value` as a sentence shows it: on one line and not longer than a few words."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):
        # Python refuses to write integers of thousands of digits, as hexadecimal TOML can say.
        return "a value that long"
    return text if len(text) <= _REPR_CHARS_MAX else text[: _REPR_CHARS_MAX - 1] + "…"

"""Drafts word lists of other languages than English, to be chosen from by hand.

    python -m atrium_server.moderation.make_word_lists FOLDER DRAFTS CORPUS...

FOLDER is that of the npm package `naughty-words` (the List of Dirty, Naughty, Obscene and
Otherwise Bad Words, CC BY 4.0), whose entries have no categories: all of them are taken as
profanity that is covered. CORPUS are plain texts of harmless English: what occurs there as a word
is left out, because a line's language is not known and "bite", "fan" and "am" are bad words
somewhere. Drafts are written to the folder DRAFTS. The lists in `data/words` were chosen from such
drafts and added to, with a category and severity for each entry, and checked against the frequent
words of 40 languages; a draft does not replace them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from atrium_server.moderation.fold import fold

LOCALES: Final = (
    "ar", "cs", "da", "de", "es", "fa", "fi", "fil", "fr", "hi", "hu", "it", "ja", "ko", "nl", "no",
    "pl", "pt", "ru", "sv", "th", "tr", "zh",
)
OCCURS_MIN: Final = 3
CHARS_MIN: Final = 3
_HEAD: Final = (
    "# {locale}: from the List of Dirty, Naughty, Obscene and Otherwise Bad Words (CC BY 4.0, see\n"
    "# LICENSE.txt), changed: a draft, without what is a word of English too, all as profanity.\n"
)


def common_words(texts: Iterable[str]) -> set[str]:
    """Words, in the hard form, that harmless English has."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(fold([text]).hard_text(0).split())
    return {word for word, count in counts.items() if count >= OCCURS_MIN}


def kept(entries: Iterable[str], common: set[str]) -> list[str]:
    """Those that can be told from harmless English, each once."""
    found: dict[str, str] = {}
    for entry in entries:
        plain = " ".join(entry.replace("|", " ").replace(":", " ").replace("*", " ").split())
        hard = fold([plain]).hard_text(0)
        is_latin = hard.isascii()
        if not hard or (is_latin and (len(hard) < CHARS_MIN or set(hard.split()) <= common)):
            continue
        if any(each.isdigit() for each in hard):
            continue
        found.setdefault(hard, plain.lower())
    return sorted(found.values())


def main(arguments: Sequence[str]) -> None:
    """Write all drafts."""
    source, drafts, *corpora = map(Path, arguments)
    common = common_words(
        line for path in corpora for line in path.read_text(encoding="utf-8").splitlines()
    )
    for locale in LOCALES:
        entries = json.loads((source / f"{locale}.json").read_text(encoding="utf-8"))
        words = kept(entries, common)
        text = _HEAD.format(locale=locale) + f"profanity 0.5: {' | '.join(words)}\n"
        (drafts / f"{locale}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

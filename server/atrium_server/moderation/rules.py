"""All rules together: what is known of texts without a model. PURE; one owner, see `reading`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from atrium_server.moderation import phrases, pii
from atrium_server.moderation.before import Before, reaching_in
from atrium_server.moderation.features import bags
from atrium_server.moderation.findings import Finding
from atrium_server.moderation.fold import fold
from atrium_server.moderation.phrases import NOTHING, Found, weighed
from atrium_server.moderation.reading import Read, Text
from atrium_server.moderation.spam import SpamRules
from atrium_server.moderation.word_lists import WordLists, packaged

_AMOUNT: Final = re.compile(r"\d{2,}[A-Za-z]{1,2}")


class TextRules:
    """Word lists, turns of phrase, personal data and spam. Spam has a memory of senders, so each
    owner has one."""

    def __init__(self, lists: WordLists | None = None) -> None:
        """Reads the packaged lists and warms what is read on first use; takes a moment."""
        self._lists = packaged() if lists is None else lists
        self._phrases = phrases.packaged()
        self._spam = SpamRules()
        self._before = Before()
        pii.warm()
        self.read([Text("a line to warm the kernels, mail me at nobody@example.org")])

    def read(self, texts: Sequence[Text]) -> list[Read]:
        """Each text's findings and features."""
        lines = [text.text for text in texts]
        folded = fold(lines)
        made = bags(folded)
        words, turns = self._lists.find(folded), self._phrases.find(folded)
        personal, spam = pii.find(lines), self._spam.find(texts)
        broken = self._broken(texts)
        return [
            Read(
                (*_words(lines[k], words[k], turns[k]), *broken.get(k, ()), *personal[k], *spam[k]),
                folded.soft_text(k), made.row(k),
            )
            for k in range(len(texts))
        ]

    def _broken(self, texts: Sequence[Text]) -> dict[int, tuple[Finding, ...]]:
        """What was broken into several lines, by the number of the line that ends it."""
        before = {k: said for k, text in enumerate(texts) if (said := self._before.seen(text))}
        if not before:
            return {}
        whole = [said + texts[k].text for k, said in before.items()]
        folded = fold(whole)
        words, turns = self._lists.find(folded), self._phrases.find(folded)
        return {
            k: reaching_in(_words(whole[row], words[row], turns[row]), len(said))
            for row, (k, said) in enumerate(before.items())
        }

    def forget(self, who: str) -> None:
        """Remember nothing of a sender."""
        self._before.forget(who)
        self._spam.senders.forget(who)

    def forget_before(self, now_s: float) -> None:
        """Remember nothing of those who have been silent for as long as a line counts."""
        self._before.forget_before(now_s)
        self._spam.senders.forget_before(now_s)


def _words(text: str, words: Sequence[Finding], turns: Found) -> Sequence[Finding]:
    """What lists and phrases found. An amount such as 600k is no word with digits for letters."""
    if not words and turns is NOTHING:
        return ()
    real = [each for each in words if not _AMOUNT.fullmatch(text, each.start, each.end)]
    return weighed(real, turns)

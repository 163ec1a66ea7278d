"""Accounts elsewhere, and the wish to exchange them, in plain lines. PURE.

In worlds for children this is how somebody is led away from where others look on; among grown-ups
it is everyday talk. So it is a category of its own, which only strict worlds act on. To speak of a
platform is not yet an exchange ("I was on discord yesterday"). It is one where

- an account is named: an invitation link, `name#1234`, "insta: name", "my snap is name_99";
- somebody is to come there: a verb like "add" with "me" before a platform ("add me on discord");
- an account is asked for: "your" before a platform ("what's your snap").

Languages with spaces are read word by word with tables of words, so the time is linear in the
words; Chinese, Japanese and Korean by expressions whose repetitions are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from atrium_server.moderation.pii_numbers import Stretch
from atrium_server.moderation.pii_vocabulary import PLATFORMS, words

_AMBIGUOUS: Final = words(
    "line signal matrix element steam xbox psn number numero número fone dc sc wa disc wp messenger"
    " roblox omegle whats zap handynummer"
)
"""Also plain words, or where games are bought: asked for or added to, but no name after them."""
_PLATFORM_WORDS: Final = frozenset(PLATFORMS) | words(
    "телеграме телеграмм телеге инсте инсту дискорде дискорда ватсапе ватсапу вотсапе скайпе"
    " вконтакте discordda discordu discordum instagramda instan instanı snapin telegramda"
)
_TO_ADD: Final = words(
    "add dm pm msg message text hmu hit write contact find follow reach ring friend adde add'e"
    " schreib schreibt füg folg kontaktier such ajoute ajoutez écris rejoins contacte agrega"
    " escribe escríbeme adiciona chama segue voeg volg stuur dodaj napisz pisz znajdź добавь"
    " добавьте добавляй пиши напиши стучись найди подпишись ekle yaz bul add करो जोड़ो"
)
_ME: Final = words(
    "me my mich mir moi m me mi mij mnie mnie мне меня ко beni bana up मुझे मुझको"
)
_ADD_ME: Final = words(
    "hmu agrégame agregame agregadme búscame buscame sígueme sigueme escríbeme escribeme"
    " aggiungimi scrivimi seguimi cercami añádeme anademe adicioname ضيفني ضفني كلمني راسلني تابعني"
    " dmme pmme стучись подписывайся підпишись yazın ekleyin"
)
_YOUR: Final = words(
    "your ur yr ya dein deine deinen ton votre tu tuo tuo's seu teu jouw je twój twojego twoj твой"
    " твоя тво твою свой senin gimme"
)
_MY: Final = words("my mein meine meinen mon mi mio il meu mijn mój moj мой моя benim")
_IS: Final = words("is ist est es é è e to это हे هو s")
_SHOWN: Final = words(
    "post posts story stories pic pics picture photo photos feed page stream video beitrag foto"
    " fotos publication historia storia"
)
"""What is seen on a platform: to speak of it asks for nothing."""
_FAR: Final = 6
"""Words between the verb and the platform."""
_WORD: Final = re.compile(r"[^\s,;!?()\"]+")
_HANDLE: Final = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9_.-]{2,31}+")
_SIGN: Final = re.compile(r"[0-9_.]")
_EDGES: Final = ".:=@'-#"


def _bare(word: str) -> str:
    return word.strip(_EDGES).removesuffix("'s").lower()


class _Line:
    """The words of one line, and what was heard of late."""

    def __init__(self, text: str) -> None:
        found = list(_WORD.finditer(text))
        self.spans = [match.span() for match in found]
        self.raw = [match[0] for match in found]
        self.words = [_bare(word) for word in self.raw]

    def stretch(self, first: int, last: int, severity: float) -> Stretch:
        return Stretch("handle", self.spans[first][0], self.spans[last][1], severity)

    def told(self, at: int) -> int | None:
        """The word that names the account on the platform at `at`, if one does."""
        stated = self.raw[at].endswith((":", "=", "@"))
        after = at + 1
        while after < len(self.words) and after <= at + 3:
            word, raw = self.words[after], self.raw[after]
            if word in {"name", "id", "tag", "user", "username", "handle", ""} or word in _IS:
                stated = stated or raw.endswith((":", "=")) or (word in _IS and self._is_mine(at))
                after += 1
                continue
            shape = _HANDLE.fullmatch(raw.strip(":=#-,."))
            if shape is None:
                return None
            has_sign = _SIGN.search(word) is not None and not word.isdecimal()
            return after if stated or raw[0] == "@" or (has_sign and len(word) > 4) else None
        return None

    def is_shown(self, at: int) -> bool:
        """Whether it is about something on the platform at `at`."""
        return at + 1 < len(self.words) and self.words[at + 1] in _SHOWN

    def _is_mine(self, at: int) -> bool:
        return at > 0 and self.words[at - 1] in _MY


def _exchanges(text: str) -> Iterator[Stretch]:
    line = _Line(text)
    asked_at = -_FAR - 2  # of the last "add me"
    for k, word in enumerate(line.words):
        before = line.words[k - 1] if k else ""
        if word in _ADD_ME or (word in _ME and before in _TO_ADD):
            asked_at = k
        platform = word if word in _PLATFORM_WORDS else word.partition(":")[0].partition("=")[0]
        if platform not in _PLATFORM_WORDS:
            continue
        glued = line.raw[k].partition(":")[2] or line.raw[k].partition("=")[2]
        named = None if platform in _AMBIGUOUS and k > asked_at + _FAR else line.told(k)
        if k - asked_at <= _FAR:
            yield line.stretch(max(asked_at - 1, 0), k if named is None else named, 0.75)
        elif named is not None or (platform != word and _HANDLE.fullmatch(glued)):
            yield line.stretch(k, k if named is None else named, 0.8)
        elif before in _YOUR and platform not in _AMBIGUOUS and not line.is_shown(k):
            yield line.stretch(k - 1, k, 0.6)


_ASIAN: Final = re.compile(
    r"(?:加|换|发|给|留)[^\s,.!]{0,6}?(?:微信|薇信|威信|扣扣|qq|vx|wx)号?"
    r"[:是 ]{0,3}+[A-Za-z0-9_-]{0,24}+"
    r"|(?:微信|薇信|威信|扣扣|(?<![!-~])(?:qq|vx|wx)(?![a-z]))号?[是: ]{0,3}+[A-Za-z0-9_-]{5,24}+"
    r"|(?:ライン|(?<![!-~])line|インスタ|ディスコ(?:ード)?|(?<![!-~])discord|カカオ)(?:の?id)?[^\s]{0,2}?"
    r"(?:交換|教えて|追加|やって|おしえて|しよ)"
    r"|(?:카톡|라인|인스타|디코|텔레(?:그램)?)\s?(?:아이디|주소|id)?[가는를로]?\s?"
    r"(?:추가|알려(?:줘|주세요)?|줘|교환|뭐|하자|친추|오세요)"
    r"|(?:카톡|라인|인스타|디코|텔레)\s?(?:아이디|id)?\s?[:는은]?\s?[A-Za-z0-9_.]{4,24}+",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"(?<![\w#])[\w.]{2,32}+#[0-9]{4}(?![0-9\w])")
_INVITE: Final = re.compile(
    r"(?:discord(?:app)?\s?\.\s?(?:gg|com/invite|com/users)|(?<!\w)t\.me|telegram\.me|wa\.me"
    r"|chat\.whatsapp\.com|snapchat\.com/add|instagram\.com|(?<!\w)m\.me|line\.me|vk\.com"
    r"|join\.skype\.com|open\.kakao\.com)\s?/\s?[\w.@/+-]{2,64}+",
    re.IGNORECASE,
)


def handles(text: str) -> Iterator[Stretch]:
    """Accounts elsewhere, and the wish to exchange them."""
    for expression, severity in ((_INVITE, 0.8), (_TAG, 0.7), (_ASIAN, 0.7)):
        for match in expression.finditer(text):
            yield Stretch("handle", match.start(), match.end(), severity)
    yield from _exchanges(text)

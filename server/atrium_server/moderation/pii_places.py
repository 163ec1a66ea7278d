"""Where somebody is: network addresses, coordinates and street addresses in plain lines. PURE.

Each check takes a plain line (`pii_plain`) and yields stretches of it, in time linear in its
length.

*IP.* Four numbers to 255 are as often a version as an address, and an address whose numbers are all
of one digit (1.2.3.4, 8.8.8.8) is nobody's home. So those are left alone unless "ip" stands before,
as are those after "version", "v" and the like, and private ranges, which tell nothing. IPv6 counts
where it is public.

*Place.* Two numbers with four and more decimals each (ten metres) that are a latitude and a
longitude; degrees, minutes and seconds. A game's own coordinates have fewer.

*Street.* Each language puts number, name and kind of street in its own order, and each has kinds
that are plain words as well ("way", "place", "via", "road"). Those count only with a name in
capitals, or where the line speaks of living or coming somewhere. Names of cities and persons are
not sought: a world is full of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from atrium_server.moderation.pii_numbers import Stretch

_IPV4: Final = re.compile(
    r"(?<![0-9.])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9]|\.[0-9])"
)
_IP_NAMED: Final = re.compile(r"\bip(?:v4)?\b.{0,12}\Z", re.IGNORECASE)
_VERSION_NAMED: Final = re.compile(
    r"(?:\b(?:v|ver|vers|version|versión|versão|versione|build|patch|release|firmware|driver|update"
    r"|wersja|sürüm|версия|версии|патч)\.? ?|版本 ?|버전 ?|バージョン ?|الإصدار )\Z",
    re.IGNORECASE,
)
_CONTEXT_CHARS: Final = 24


def ipv4(text: str) -> Iterator[Stretch]:
    """Public addresses of the Internet, where they are not versions."""
    for match in _IPV4.finditer(text):
        try:
            address = IPv4Address(match[0])
        except AddressValueError:
            continue
        before = text[max(match.start() - _CONTEXT_CHARS, 0) : match.start()]
        is_named = _IP_NAMED.search(before) is not None
        if not address.is_global or _VERSION_NAMED.search(before):
            continue
        if is_named or any(int(part) > 9 for part in match[0].split(".")):
            yield Stretch("ipv4", match.start(), match.end(), 0.7)


_IPV6: Final = re.compile(r"(?<![0-9A-Za-z:])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{3,34}+(?![0-9A-Za-z])")


def ipv6(text: str) -> Iterator[Stretch]:
    """Public addresses; they begin with 2 or 3 and are hardly anything else."""
    for match in _IPV6.finditer(text):
        address = match[0].rstrip(":")
        try:
            if not IPv6Address(address).is_global:
                continue
        except AddressValueError:
            continue
        yield Stretch("ipv6", match.start(), match.start() + len(address), 0.7)


_DECIMALS: Final = re.compile(
    r"(?<![0-9.])[-+]?([0-9]{1,2}\.[0-9]{4,}+)°? ?[NSns]?(?:,? |,|;|/)[ ]?"
    r"(?:(?:lon|lng|long|longitude)[: =]{1,3})?[-+]?([0-9]{1,3}\.[0-9]{4,}+)(?![0-9.]*[0-9])"
)
_DEGREES: Final = re.compile(
    r"[0-9]{1,2} ?[°º] ?[0-9]{1,2}(?:\.[0-9]{1,6})? ?' ?(?:[0-9]{1,2}(?:\.[0-9]{1,4})? ?(?:\""
    r"|'') ?)?"
    r"[NSns][ ,;]{0,3}[0-9]{1,3} ?[°º] ?[0-9]{1,2}(?:\.[0-9]{1,6})? ?'"
    r"(?: ?[0-9]{1,2}(?:\.[0-9]{1,4})? ?(?:\"|''))? ?[EWOewo]"
)


def coordinates(text: str) -> Iterator[Stretch]:
    """Where on Earth, to some ten metres and less."""
    for match in _DECIMALS.finditer(text):
        if float(match[1]) <= 90 and float(match[2]) <= 180:
            yield Stretch("coordinates", match.start(), match.end(), 0.7)
    for match in _DEGREES.finditer(text):
        yield Stretch("coordinates", match.start(), match.end(), 0.7)


_NAME: Final = r"[A-Z\u00c0-\u00de][\w'-]{0,24}+"
_STREETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # English: 221b Baker Street, 1600 Pennsylvania Ave NW
        rf"(?<![\w.])[0-9]{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:{_NAME}|[0-9]{{1,3}}(?:st|nd|rd"
        rf"|th)) )"
        r"{1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place"
        r"|Pl"
        r"|Square|Sq|Terrace|Close|Crescent|Parkway|Pkwy|Highway|Hwy|Gardens|Grove|Mews|street|st"
        r"|avenue|ave|road|rd|lane|ln|drive|boulevard|blvd|crescent)(?!\w)",
        # German and Dutch: Hauptstraße 12a, Am Alten Markt 3, Keizersgracht 174
        r"(?i)(?<![\w-])[a-zà-ÿ][a-zà-ÿ-]{1,23}(?:str(?:a(?:ß|ss)e|\.)|gasse|allee|damm|straat|laan|gracht"
        r"|kade"
        r"|plein|singel)\s?[0-9]{1,4}\s?[a-z]?(?!\w)",
        r"(?<!\w)[A-ZÄÖÜ][a-zäöüß-]{2,24}(?:weg|platz|ring|ufer|dijk) [0-9]{1,4} ?[a-z]?(?!"
        r"\w)",
        rf"(?<!\w){_NAME}(?: {_NAME})? (?:Straße|Strasse|Str\.|Allee|Weg|Platz|Gasse"
        rf"|Ring) ?[0-9]{{1,4}}"
        r" ?[a-z]?(?!\w)",
        rf"(?<!\w)(?:Am|An der|Im|In der|Auf dem|Auf der|Zum|Zur|Unter den) {_NAME} [0-9]{{1,4}}"
        r"[a-z]?,? [0-9]{5}(?!\w)",
        # French: 12 bis rue de la Paix
        r"(?i)(?<!\w)[0-9]{1,4}(?: ?(?:bis|ter|[a-d]))?,? (?:rue|avenue|av\.|boulevard|bd|chemin"
        r"|all[ée]e"
        r"|impasse|quai|faubourg)(?: (?:de|du|des|la|le|les))*+ (?:l'|d')?\w{2,24}+",
        rf"(?<!\w)[0-9]{{1,4}}(?: ?bis)?,? (?:place|square|cours|route|passage)(?: (?:de|du|des"
        rf"|la))*+"
        rf" (?:l'|d')?{_NAME}",
        # Spanish and Portuguese: Calle Mayor 5, Carrera 7 # 12-34, Rua Augusta, 1500
        r"(?i)(?<!\w)(?:calle|avenida|avda\.?|paseo|carrera|cra\.?|calzada|ronda|rua|travessa"
        r"|alameda"
        r"|pra[çc]a|estrada|rodovia)(?: [^\W\d_]{1,20}+\.?){0,5}+,? (?:n(?:[º°o]|úm|um|ro)?\.? ?"
        r"|# ?)?"
        r"[0-9]{1,5}(?:-[0-9]{1,4})?(?!\w)",
        rf"(?<!\w)(?:C/|Av\.|R\.|Plaza|Camino|Largo) ?(?:(?:de|del|da|do|dos|la|las|los"
        rf"|el) )*+{_NAME}"
        rf"(?: {_NAME}){{0,3}}+,? (?:nº ?)?[0-9]{{1,5}}(?!\w)",
        # Italian: Via Roma 12, Piazza del Duomo, 1
        rf"(?<!\w)(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Vv]icolo|[Ll]argo|[Pp]iazzale)"
        rf"(?: (?:di|del|della|dei|delle|dello|degli|d'|dell'))?+ (?:dell'"
        rf"|d')?{_NAME}(?: {_NAME}){{0,3}}+,?"
        r" (?:n\.? ?)?[0-9]{1,4} ?(?:/?[a-zA-Z])?(?!\w)",
        # Polish: ul. Marszałkowska 10/12, os. Przyjaźni 5
        r"(?i)(?<!\w)(?:(?:ul|al|os|pl)\. ?|(?:ulic[ay]|alej[ai]|osiedl[eu]|placu?) )"
        r"(?:[^\W\d_]{2,20}+\.? ){1,3}[0-9]{1,4}(?!\w)",
        # Russian: ул. Ленина, д. 5
        r"(?i)(?<!\w)(?:ул\.|улиц[аеыу]|пр(?:-т|\.|оспект[еа]?)|пер\.|переул[а-я]{2,4}|бульвар[е]?"
        r"|шоссе"
        r"|наб\.|набережн[а-я]{2})(?: ?[^\W\d_]{2,20}+\.?){1,3}+,? ?(?:д(?:ом"
        r"|\.)? ?)?[0-9]{1,4}(?!\w)",
        # Turkish: Atatürk Caddesi No: 12
        r"(?i)(?<!\w)[^\W\d_]{2,20}+ (?:soka(?:k|ğı|ğında)|sok\.|sk\.|cadde(?:si|sinde)?|cad\.|cd\."
        r"|mahallesi|mah\.|bulvarı),? ?(?:no ?:? ?)?[0-9]{1,4}(?!\w)",
        # Arabic: شارع التحرير رقم 12
        r"(?<!\w)(?:شارع|طريق)(?: [^\W\d_]{2,20}+){1,3}+,? ?(?:رقم )?[0-9]{1,4}(?!\w)",
        # Hindi: मकान नंबर 12, गली नंबर 4
        r"(?:मकान|फ्लैट|गली|सेक्टर|प्लॉट) ?(?:नंबर|नं\.?|संख्या)? ?[0-9]{1,4}",
        # Chinese, Japanese, Korean
        r"[\u4e00-\u9fff]{1,12}(?:路|街|大道|巷|弄|胡同)[0-9]{1,5} ?(?:号|弄|號|巷)",
        r"[都道府県市区町村][\u3400-\u9fffぁ-んァ-ヶー]{1,12}+[0-9]{1,3}(?:丁目|番|-[0-9]{1,3}-[0-9])"
        r"[0-9番地号-]{0,10}",
        r"〒 ?[0-9]{3}-?[0-9]{4}",
        r"[가-힣]{1,6}[시구군] [가-힣0-9]{1,12}[로길] ?[0-9]{1,4}(?:-[0-9]{1,3})?(?![0-9])",
    )
)
_LIVING: Final = re.compile(
    r"(?i)(?<!\w)(?:live|lives|living|address|my house|come to|home is|i'm at|pick me up"
    r"|deliver)(?!\w)"
)
_LOWER_STREET: Final = re.compile(
    r"(?<![\w.])[0-9]{1,5}[a-z]? (?:[a-z]{3,20}+ ){1,2}(?:street|st|avenue|ave|road|rd|lane|ln"
    r"|drive|dr"
    r"|boulevard|blvd|court|ct|way|place|square|terrace|close|crescent)(?!\w)"
)
_NO_STREET: Final = re.compile(
    r"(?i)(?:arbeits|sitz|start|steh|park|spiel|stell|tabellen|lager|camping|ranglisten)platz"
)


def streets(text: str) -> Iterator[Stretch]:
    """Street and number, in the orders of the languages above."""
    for expression in _STREETS:
        for match in expression.finditer(text):
            if not _NO_STREET.match(match[0]):
                yield Stretch("address", match.start(), match.end(), 0.7)
    if _LIVING.search(text):
        for match in _LOWER_STREET.finditer(text):
            yield Stretch("address", match.start(), match.end(), 0.6)

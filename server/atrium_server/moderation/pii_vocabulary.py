"""The words by which a line is chosen for a check for personal data. PURE.

Each word is whole, in lower case; PARTS are four letters anywhere (of compounds like
"Hauptstraße", or where a script glues words together), INNER one or two characters of a script that
sets no spaces. Who is found here is only looked at more closely, so a word too many costs
microseconds and a word too few hides what follows it. The checks themselves are in the other
`pii_*` modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntFlag
from typing import Final


class Sign(IntFlag):
    """What a line has that calls for a check."""

    DIGIT = 1
    DIGITS = 2
    """Seven and more: a number that is dialled or paid with."""
    AT = 4
    SPELLED_AT = 8
    SPELLED_DOT = 16
    SECRET = 32
    KEY = 64
    """The first letters of well-known keys."""
    PLATFORM = 128
    STREET = 256
    NUMBER_WORDS = 512
    """Six and more."""
    COLONS = 1024
    DOTS = 2048
    """Three and more, with digits."""
    HASH = 4096


def words(text: str) -> frozenset[str]:
    """The words of a list written as text."""
    return frozenset(text.split())


SPELLED_AT: Final = (
    "at", "arroba", "arobase", "chiocciola", "chez", "ät", "klammeraffe", "apenstaartje",
    "małpa", "malpa", "собака", "собачка", "et", "ad", "艾特", "골뱅이", "アット", "アットマーク",
)
SPELLED_DOT: Final = (
    "dot", "punkt", "punto", "point", "ponto", "punt", "kropka", "точка", "nokta", "दॉट", "نقطة",
    "点", "點", "ドット", "점", "닷",
)
PROVIDERS: Final = (
    "gmail", "googlemail", "hotmail", "outlook", "yahoo", "icloud", "gmx", "protonmail", "proton",
    "aol", "live", "msn", "yandex", "qq", "163", "126", "naver", "hanmail", "libero", "orange",
    "wanadoo", "laposte", "ziggo", "uol", "interia", "onet", "freenet", "rediffmail", "docomo",
)
"""Of e-mail, where "name at gmail com" needs no further proof."""

DIGIT_WORDS: Final[Sequence[Sequence[str]]] = (
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
    ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
    ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
    ("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove"),
    ("nul", "een", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"),
    ("zero", "jeden", "dwa", "trzy", "cztery", "pięć", "sześć", "siedem", "osiem", "dziewięć"),
    ("ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"),
    ("sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"),
    ("शून्य", "एक", "दो", "तीन", "चार", "पाँच", "छह", "सात", "आठ", "नौ"),
    ("صفر", "واحد", "اثنان", "ثلاثة", "أربعة", "خمسة", "ستة", "سبعة", "ثمانية", "تسعة"),
)
DIGIT_OF_WORD: Final[Mapping[str, str]] = {
    word: str(digit)
    for language in DIGIT_WORDS
    for digit, word in enumerate(language)
} | {"zwo": "2", "ein": "1", "cinq": "5", "ноль": "0", "нуль": "0", "oh": "0"}
HAN_DIGITS: Final[Mapping[int, str]] = {
    ord(character): str(digit)
    for characters in ("〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖")
    for digit, character in enumerate(characters)
}

SECRET: Final = (
    "password", "passwords", "passwd", "passwort", "kennwort", "pwd", "pw", "pass", "passphrase",
    "passcode", "mdp", "contraseña", "contrasena", "clave", "senha", "parola", "wachtwoord",
    "hasło", "haslo", "пароль", "şifre", "sifre", "şifrem", "sifrem", "şifreniz", "parolam",
    "kodwort", "пароля", "hasłem", "пас", "پسورد", "پاسورد", "الباسورد", "باسورد", "पासवर्ड",
    "pin", "secret", "token", "apikey", "api", "key", "credentials", "login", "bearer", "otp",
    "2fa", "private", "seed",
)
"""`mot de passe`, `palabra clave` and the like are found by their last word."""

PLATFORMS: Final = (
    "discord", "dc", "disc", "insta", "instagram", "ig", "snap", "snapchat", "sc", "telegram", "tg",
    "telega", "whatsapp", "whatsap", "wa", "wapp", "zap", "zapzap", "wechat", "weixin", "wx", "vx",
    "kik", "line", "skype", "tiktok", "twitter", "vk", "вк", "тг", "телеграм", "телега", "инста",
    "инстаграм", "дискорд", "ватсап", "вотсап", "вацап", "скайп", "facebook", "fb", "messenger",
    "signal", "viber", "kakao", "kakaotalk", "zalo", "qq", "xbox", "psn", "steam", "roblox",
    "onlyfans", "omegle", "wickr", "threema", "element", "matrix", "واتساب", "واتس", "تيليجرام",
    "تلغرام", "انستا", "انستقرام", "سناب", "ديسكورد", "व्हाट्सएप", "इंस्टा", "इंस्टाग्राम", "टेलीग्राम",
    "insta'm", "instam", "whats", "fone", "handynummer", "number", "numero", "número",
)

STREET_WORDS: Final = (
    "street", "st", "avenue", "ave", "road", "rd", "lane", "ln", "drive", "dr", "boulevard",
    "blvd", "court", "ct", "way", "place", "square", "terrace", "close", "crescent", "parkway",
    "pkwy", "highway", "hwy", "gardens", "grove", "mews", "apt", "apartment", "strasse", "straße",
    "str", "weg", "gasse", "allee", "platz", "rue", "av", "bd", "allée", "chemin", "impasse",
    "quai", "faubourg", "passage", "calle", "c", "avenida", "avda", "avd", "plaza", "paseo",
    "camino", "carrera", "cra", "calzada", "ronda", "travesía", "via", "viale", "piazza", "corso",
    "vicolo", "largo", "piazzale", "straat", "laan", "plein", "gracht", "kade", "dijk", "singel",
    "rua", "r", "travessa", "alameda", "praça", "praca", "estrada", "rodovia", "ul", "ulica",
    "ulicy", "al", "aleja", "alei", "os", "osiedle", "osiedlu", "plac", "placu", "pl", "ул",
    "улица", "улице", "улицы", "пр", "проспект", "проспекте", "пер", "переулок", "переулке",
    "бульвар", "шоссе", "наб", "набережная", "sokak", "sokağı", "sokağında", "sokakta", "sok", "sk",
    "cadde", "caddesi", "caddesinde", "cad", "cd", "mahallesi", "mah", "bulvarı", "blv", "شارع",
    "طريق", "حي", "गली", "मकान", "सेक्टर", "सड़क", "मार्ग", "रोड", "फ्लैट", "gata", "gatan", "vägen",
)

WORDS: Final[Mapping[Sign, Sequence[str]]] = {
    Sign.SPELLED_AT: (*SPELLED_AT, "a"),
    Sign.SPELLED_DOT: (*SPELLED_DOT, *PROVIDERS),
    Sign.SECRET: SECRET,
    Sign.KEY: ("sk", "pk", "rk", "begin"),
    Sign.PLATFORM: PLATFORMS,
    Sign.STREET: STREET_WORDS,
    Sign.NUMBER_WORDS: tuple(DIGIT_OF_WORD),
}
PARTS: Final[Mapping[Sign, Sequence[str]]] = {
    Sign.STREET: (
        "traß", "tras", "gass", "alle", "latz", "weg ", "ring", "damm", "ufer", "traa", "laan",
        "grac", "plei", "kade", "dijk", "gata", "väge", "شارع", "улиц", "прос", "str.",
    ),
    Sign.SECRET: ("pass", "паро", "كلمة", "الرم", "सवर्", "pass"),
    Sign.KEY: ("ghp_", "gho_", "ghs_", "akia", "asia", "xoxb", "xoxp", "aiza", "eyjh", "eyj0",
               "glpa", "npm_", "pypi"),
    Sign.PLATFORM: (
        "d.gg", "t.me", "a.me", "ord.", "сорд", "елег", "нста", "واتس", "سناب", "تلغر",
        "ديسك", "انست", "व्हा", "इंस्", "टेली", "डिस्", "ाट्स",
    ),
}
"""Four characters anywhere."""
INNER: Final[Mapping[Sign, Sequence[str]]] = {
    Sign.STREET: (*"路街道巷弄号號番町市区県府村〒로길", "丁目"),
    Sign.SECRET: ("密码", "密碼", "口令", "パス", "暗証", "비밀", "비번", "암호"),
    Sign.PLATFORM: (
        "微信", "薇信", "威信", "加我", "扣扣", "企鹅", "抖音", "ライ", "イン", "ディ", "カカ",
        "카톡", "라인", "인스", "디코", "디스", "텔레",
    ),
    Sign.SPELLED_AT: ("艾特", "골뱅", "アッ"),
    Sign.SPELLED_DOT: (*"点點닷점", "ドッ"),
}
"""One or two characters anywhere."""

"""E-mail addresses and secrets in plain lines. PURE.

Each check takes a plain line (`pii_plain`) and yields stretches of it, in time linear in its
length: repetitions are bounded or give nothing back, and none stands inside another over the same
characters.

*E-mail* is found as it is written (in any script), and spelled ("name at domain dot com", "name
(at) gmail com"). "look at amazon dot com" is a link: the word before the at must not be one of
those that go before "at" in plain speech.

*Secrets*: what follows "password:" and its like in the languages below, if it looks like one (after
"is" it needs a digit or a sign; "the password is wrong" gives nothing away), and the keys that
well-known services give out, which have a form of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from atrium_server.moderation.pii_numbers import Stretch
from atrium_server.moderation.pii_vocabulary import PROVIDERS, SPELLED_AT, SPELLED_DOT, words


def _any_of(*words: str) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_MAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}+ ?@ ?[\w-]{1,63}+(?: ?\.[\w-]{1,63}+){1,5}(?<![-0-9_])(?!\w)"
)
_TOP_DOMAINS: Final = _any_of(
    "com", "net", "org", "edu", "gov", "info", "biz", "io", "me", "co", "app", "dev", "gg", "tv",
    "de", "at", "ch", "fr", "es", "it", "pt", "br", "nl", "be", "ru", "pl", "tr", "in", "cn", "jp",
    "kr", "uk", "us", "ca", "au", "mx", "ar", "cl", "ua", "se", "no", "dk", "fi", "cz", "eu", "рф",
    "sa", "ae", "eg", "ком", "ру",
)
_ATS: Final = _any_of(*SPELLED_AT)
_DOTS: Final = _any_of(*SPELLED_DOT)
_AT: Final = rf"(?:[\[({{<]\s?(?:@|a|{_ATS})\s?[\])}}>]|(?:{_ATS})|@)"
_DOT: Final = rf"(?:[\[({{<]\s?(?:\.|{_DOTS})\s?[\])}}>]|(?:{_DOTS})|\.)"
_SPELLED_MAIL: Final = re.compile(
    rf"(?<![\w.+-])([\w.+-]{{2,64}}+)(\s{{0,2}}+{_AT}\s{{0,2}})([\w-]{{2,63}}+)"
    rf"(\s{{0,2}}+{_DOT}\s{{0,2}}|\s)(?:[\w-]{{2,20}}+\s?{_DOT}\s?)?({_TOP_DOMAINS})(?!\w)",
    re.IGNORECASE,
)
_BEFORE_AT: Final = words(
    "look looked looking meet me us is was were are am be out up down in on it them him her you"
    " available shop shopping found find bought buy join check here there online order ordered"
    " work works working play playing watch watching read stay live see sold only cheaper now and"
    " arrive arrived start started been not staring laugh laughing mad good bad best great server"
    " store et ad der die das ist nur auch hat va voir plus moins"
)
_IS_PROVIDER: Final = frozenset(PROVIDERS)
_PLAIN_AT: Final = words("at et ad chez")
_PLAIN_DOT: Final = words("point punto punt ponto")
"""Words of plain speech: "at this point in ..." is no address of India."""


def mails(text: str) -> Iterator[Stretch]:
    """Addresses as they are written."""
    for match in _MAIL.finditer(text):
        yield Stretch("email", match.start(), match.end(), 0.9)


def spelled_mails(text: str) -> Iterator[Stretch]:
    """Addresses with "at" and "dot" in words or in brackets."""
    for match in _SPELLED_MAIL.finditer(text):
        name, at, domain, dot = match[1].lower(), match[2].strip(), match[3].lower(), match[4]
        is_provider = domain in _IS_PROVIDER
        is_bracketed = not at.isalnum() and at != "@"
        is_dot_said = dot.strip() not in {"", "."}
        is_speech = at.lower() in _PLAIN_AT and dot.strip().lower() in _PLAIN_DOT
        if (name in _BEFORE_AT and not is_bracketed) or (is_speech and not is_provider):
            continue
        if is_provider or (is_bracketed and dot.strip()) or is_dot_said:
            yield Stretch("email", match.start(), match.end(), 0.8)


_SECRET_NAME: Final = (
    r"(?:passwords?|passwd|pass|passwort|kennwort|pwd?|passphrase|passcode|mdp|mot de passe"
    r"|contrase[ñn]a|clave(?: de acceso)?|senha|parola d'ordine|parola|wachtwoord|has[łl]o|пароль"
    r"|[şs]ifrem?|كلمة (?:السر|المرور)|الرقم السري|الباسورد|باسورد|पासवर्ड"
    r"|pin(?: code)?|api[ _-]?key"
    r"|secret(?: key)?|access[ _-]?token"
    r"|auth[ _-]?token|bearer|token|otp|2fa(?: code)?|seed phrase)"
)
_COPULA: Final = r"(?:\s(?:is|ist|lautet|est|es|è|é|to|это|هي|है)(?!\w))"
_SECRET: Final = re.compile(
    rf"(?<![^\W_])(?P<name>{_SECRET_NAME})(?!\w){_COPULA}?"
    r"(\s{0,2}+(?:[:=]|->|=>|は|是|为|는|은)\s{0,2}+|\s)[\"'`]?([^\s\"'`]{4,128}+)"
    r"|(?:密码|密碼|口令|パスワード|パス|暗証番号|비밀번호|비번|암호)"
    r"(\s?(?:[:=は是为는은]\s?)?)([!-~]{4,64}+)",
    re.IGNORECASE,
)
_KEYS: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[spr]k[-_](?:live_|test_|proj-|ant-|or-)?[A-Za-z0-9_-]{20,200}+"
    r"|gh[pousr]_[A-Za-z0-9]{30,80}+|github_pat_[A-Za-z0-9_]{30,100}+|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,100}+|AIza[0-9A-Za-z_-]{35}|glpat-[A-Za-z0-9_-]{20,60}+"
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40,250}+"
    r"|eyJ[A-Za-z0-9_-]{10,400}+\.eyJ[A-Za-z0-9_-]{10,400}+(?:\.[A-Za-z0-9_-]{5,400}+)?"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\S{0,400}+)"
)
_HAS_DIGIT: Final = re.compile(r"[0-9]")
_HAS_LETTER: Final = re.compile(r"[^\W\d_]")
_HAS_SIGN: Final = re.compile(r"[!@#$%^&*+=~]")
_LINK: Final = re.compile(r"https?:|www\.", re.IGNORECASE)


def secrets(text: str) -> Iterator[Stretch]:
    """What somebody should not have said: passwords and keys."""
    for match in _SECRET.finditer(text):
        group = 3 if match[3] else 5
        is_stated = match[group - 1].strip() in _STATED
        if not is_stated and (match["name"] or "").lower() in _PLAIN_NAMES:
            continue
        if _is_secret(match[group], is_stated=is_stated):
            yield Stretch("secret", match.start(group), match.end(group), 0.85)
    for match in _KEYS.finditer(text):
        yield Stretch("secret", match.start(), match.end(), 0.95)


_PLAIN_NAMES: Final = words("pass pin secret token otp clave bearer parola")
"""Words of plain speech, which must be followed by a sign: "pass lvl20" gives nothing away."""
_STATED: Final = frozenset((":", "=", "->", "=>", "は", "是", "为", "는", "은"))


def _is_secret(value: str, *, is_stated: bool) -> bool:
    """Whether this is a password rather than a word about one."""
    value = value.rstrip(".,;:!?)")
    if len(value) < 4 or _LINK.match(value):
        return False
    digits, letters = _HAS_DIGIT.search(value), _HAS_LETTER.search(value)
    if digits and (letters or _HAS_SIGN.search(value)):
        return True
    return is_stated and (bool(digits) or bool(_HAS_SIGN.search(value)) or len(value) >= 6)

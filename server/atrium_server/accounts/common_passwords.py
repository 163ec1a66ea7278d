"""Passwords that are guessed first, as rules rather than as a list. PURE.

Lists of leaked passwords are mostly a few hundred words with a year, a digit or a `!` behind them
and letters turned into digits. So a password is taken apart the way it was put together: case
does not count, `4` is read as `a` and `$` as `s`, digits and signs at both ends are dropped,
and what is left is looked up. Beside that there are runs of the keyboard, the alphabet and the
digits, and the same few characters over and over.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS_TEXT: Final = """
    123qwe 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx aaron abc abcdef access adam admin administrator
    adobe alex alexander amanda amor andrea andrew angel angels anthony apple arsenal ashley asdf
    asdfgh asdfghjkl atlantis atrium austin baby babygirl bailey banana barcelona baseball
    basketball batman beautiful benjamin biteme blahblah blessed blink bond bonjour boston brandon
    bubbles buster butterfly carlos change changeme charlie cheese chelsea chester chicago
    chocolate chris christian cookie computer corvette courtney cowboy cowboys crystal daniel
    danielle david default dragon eagle elephant eminem enter estrella ferrari flower flowers
    football forever frank freedom friend friends fuckoff fuckyou gateway geheim george gfhjkm
    gibson ginger golden golf google guitar gunner hallo hammer hannah happy harley heather hello
    helloworld hockey hottie hunter iceman iloveyou internet jackson james jasmine jasper jennifer
    jessica jesus john jonathan jordan joseph joshua junior justin killer knight kristina ladybug
    lakers lauren letmein letmeinplease liverpool login london lorenzo love lovely loveme lover
    loveyou maggie manchester marina mario marlboro martin marvin master matrix matthew maverick
    melissa mercedes merlin metallica michael michelle mickey midnight minecraft monika monkey
    monster morgan mother motdepasse mustang mynoob mypassword naruto nascar natasha nathan
    newyork nicholas nicole nintendo ninja nirvana nothing nugget oliver orange packers parola
    pass passw passwd passwort password password1 passwords patrick peanut pepper phoenix pokemon
    pony porsche pretty prince princess purple pussy qazwsx qwer qwerty qwertyui qwertyuiop
    rabbit rachel rainbow raiders ranger realmadrid rebecca robert rockstar ronaldo root samantha
    samsung sandra saturn scooter secret senha server shadow shannon silver simple slipknot
    smokey snoopy snowball soccer sophie spiderman starwars steelers stella steven summer sunday
    sunshine superman superstar swordfish system taylor teacher temp tennis test tester testing
    thomas thunder tiger tigger tinkerbell trustno trustnoone user vanessa victoria viking
    welcome whatever william winner winter wizard wordpass yamaha yankees yellow zaq12wsx zxcvbn
    zxcvbnm spring autumn fall january february march april june july august september october
    november december monday tuesday wednesday thursday friday saturday
"""
_WORDS: Final = frozenset(_WORDS_TEXT.split())

_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
    "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "1qaz2wsx3edc4rfv5tgb6yhn",
    "1q2w3e4r5t6y7u8i9o0p", "!@#$%^&*()", "qazwsxedcrfvtgbyhnujmik",
)
_LEET: Final = str.maketrans("4@8(36!1|0$5+7", "aabcegiilosstt")
_ENDS: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_DISTINCT_MIN: Final = 4
_RUN_CHARS_MIN: Final = 4
_NUMBER_CHARS_MIN: Final = 16
"""Digits alone are a date or a telephone number, unless there are this many."""
_TOLD_CHARS_MIN: Final = 4
"""A word about the person must have this many characters to count as one."""


def is_common(password: str, *words: str) -> bool:
    """Whether it is among the first guesses; `words` are what an attacker knows of the person."""
    plain = password.casefold()
    if len(set(plain)) < _DISTINCT_MIN or _is_repeated(plain) or _is_runs(plain):
        return True
    for read in {plain, plain.translate(_LEET)}:
        for core in {_ENDS.sub("", read), _ENDS.sub("", plain).translate(_LEET)}:
            if core in _WORDS or _halves(core):
                return True
            if not core and len(plain) < _NUMBER_CHARS_MIN:
                return True
            if any(_is_about(core, word.casefold()) for word in words):
                return True
    return False


def _is_about(core: str, word: str) -> bool:
    return len(word) >= _TOLD_CHARS_MIN and core in {word, word[::-1], word + word}


def _halves(core: str) -> bool:
    """Two common words, or one of them twice, are no better."""
    return any(core[:k] in _WORDS and core[k:] in _WORDS for k in range(3, len(core) - 2))


def _is_repeated(plain: str) -> bool:
    """`abcabcabc`: one short piece over and over."""
    return any(
        plain[:size] * (len(plain) // size) + plain[: len(plain) % size] == plain
        for size in range(1, min(4, len(plain) // 2) + 1)
    )


def _is_runs(plain: str) -> bool:
    """Made of pieces of keyboard rows, forwards or backwards, and nothing else."""
    rest = plain
    while rest:
        length = max(
            (k for row in (*_ROWS, *(row[::-1] for row in _ROWS))
             for k in range(min(len(rest), len(row)), _RUN_CHARS_MIN - 1, -1)
             if rest[:k] in row),
            default=0,
        )
        if not length:
            return len(rest) < _RUN_CHARS_MIN and len(rest) < len(plain)
        rest = rest[length:]
    return True

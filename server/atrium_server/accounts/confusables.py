"""Characters that look like others, and the plain one that stands for all that look alike. PURE.

After the idea of Unicode's Technical Standard 39: two texts are confusable if their skeletons are
equal. The table is our own and small: it has what passes for Latin letters and digits in the
alphabets that people mix them with. Because case does not count in handles, what looks like
either case of a letter stands for that letter, and so `I`, `l`, `1` and `|` are one, as are `O`
and `0`. `m` and `w` become two letters rather than the reverse, so that every skeleton is its own
skeleton.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LOOK_ALIKE: Final[Mapping[str, str]] = {
    # what it looks like: what looks like it (lower case; others come by folding)
    "a": "аɑα\u1d00ʌ∂ᴀ",
    "b": "ьвβƀɓʙᏏ",
    "c": "сƈᴄ¢ҫ",
    "d": "ԁɗđɖᴅð",
    "e": "еєҽεɛǝəᴇ℮",
    "f": "ƒϝꜰ",
    "g": "ɡɢǥցɠ",
    "h": "һħнʜհηն",
    "j": "јʝϳɟᴊ",
    "k": "кκƙᴋқҡ",
    "l": "1i|ıɩιіӏłƚɨǀاוןⅼɪʟ!ɫɭ",
    "n": "пղոɲŋɴ",
    "o": "0оοσօøөɵᴏ०০੦૦௦౦೦൦๐໐၀ہه○◯",
    "p": "рρþƥᴘ",
    "q": "ԛզɋϙ",
    "r": "гɾɼʀᴦ",
    "s": "ѕʂꜱ$ƨ",
    "t": "тτŧƭᴛ",
    "u": "υսʋμцᴜ",
    "v": "νѵⅴᴠ∨",
    "x": "хχ×ⅹ",
    "y": "уүγყʏ¥ყ",
    "z": "ʐƶᴢȥ",
    "rn": "mмɱⅿᴍ",
    "vv": "wшщωԝɯᴡ",
    "ss": "ß",
    "ae": "æӕ",
    "oe": "œ",
    "2": "ƻ",
    "3": "зʒȝӡ",
    "6": "б",
    "8": "ȣ",
}

LUNATE: Final[Mapping[int, str]] = {0x3F2: "c", 0x3F9: "c"}
"""Looks like a c, and is a common sigma in normal form: to be replaced before that."""
SKELETON: Final[Mapping[int, str]] = {
    ord(character): plain
    for plain, alike in _LOOK_ALIKE.items()
    for character in alike
}
"""For str.translate."""

"""Rules that label texts poorly but at once: for training only, where no person has labelled.

Each finds words and turns of phrase that nearly always are of its label. What none of them finds is
known to be harmless only where its source says so; elsewhere it is unknown.
"""

from __future__ import annotations

import re
from typing import Final

from atrium_server.moderation.fold import fold

NAN: Final = float("nan")
ORDER: Final[tuple[str, ...]] = ("toxic", "hate", "insult", "threat", "sexual", "spam")
_RULES: Final[dict[str, re.Pattern[str]]] = {
    "insult": re.compile(
        r"\b(you|u|ur|your|youre|ya|yal)\b( \w+){0,4} (idiot|moron|loser|dumb(as)?|stupid"
        r"|retard(ed)?|imbecil\w*|pathetic|worthles\w*|ashole|bitch\w*|bastard\w*|cunt\w*|scum\w*|trash(y)?"
        r"|pusy|twat|wanker|jackas|douche\w*|fag\w*|niger\w*|hoe?s?|slut\w*|whore\w*|ugly|fatas"
        r"|dickhead|clown|freak|disgusting|useles)\b"
        r"|\b(shut up|fuck (you|u|off)|get lost|what an?) (\w+ )?(idiot|moron|loser|bitch|cunt|fag"
        r"|retard|dumbas|ashole|whore|slut|clown|freak)\b"
    ),
    "threat": re.compile(
        r"\b(kil|shot|stab|beat|hurt|murder|slap|punch|choke|burn|hang|rape|smack)"
        r"( the (shit|fuck) out)?( of)? (you|u|ya|him|her|them|your|that bitch|these|those)\b"
        r"|\bil (kil|beat|shot|stab)\b|\byou (wil|gona) die\b|\bwatch your back\b|\bkil yourself\b"
    ),
    "sexual": re.compile(
        r"\b(nudes|dick pic\w*|blowjob\w*|handjob\w*|horny|porn\w*|masturbat\w*|deepthroat\w*"
        r"|cumshot\w*|creampie|anal sex|oral sex|have sex with (me|you|u)"
        r"|(suck|lick|ride)( on)? my (dick|cock|bals)|(lick|eat)( my| ur| your| that| her)? pusy"
        r"|(show|send)( me)?( your| ur| some)? (tits|titties|bobs|pusy|as|nude\w*|naked pic\w*)"
        r"|wana fuck|want to fuck (you|her|him)|fuck me (hard|dady|baby))\b"
    ),
    "spam": re.compile(
        r"\b(folow (me|back)|folow for|click here|fre (giveaway|folowers|gift)|subscribe to my"
        r"|promo code|use code|discount|check out my (chanel|mixtape)|buy now|order now)\b"
    ),
}
_STRONG: Final = re.compile(
    r"\b(fuck\w*|shit\w*|bitch\w*|niger\w*|niga\w*|fag\w*|cunt\w*|whore\w*|slut\w*|retard\w*"
    r"|ashole\w*|pusy|dyke\w*|trany|chink\w*|spic\w*|kike\w*)\b"
)
_SLUR: Final = re.compile(
    r"\b(bitch\w*|niger\w*|niga\w*|fag\w*|cunt\w*|whore\w*|slut\w*|retard\w*|pusy|dyke\w*|trany"
    r"|chink\w*|spic\w*|kike\w*|hoes?|thot\w*)\b"
)


_YOU: Final = re.compile(r"\b(you|u|ur|your|youre|ya|yal|yourself)\b")


def is_venting(text: str) -> bool:
    """Whether somebody swears at nobody and calls nobody a name: strong words, which rules cover,
    in a line that no model has to refuse."""
    hard = fold([text]).hard_text(0)
    return not _YOU.search(hard) and not _SLUR.search(hard) and not any(
        rule.search(hard) for rule in _RULES.values()
    )


def finds(text: str) -> bool:
    """Whether any rule finds anything."""
    hard = fold([text]).hard_text(0)
    return _STRONG.search(hard) is not None or any(
        rule.search(hard) for rule in _RULES.values()
    )


def of(text: str, *, is_harmless: bool) -> list[float]:
    """Labels in the order of ORDER; toxic and hate are never known here."""
    hard = fold([text]).hard_text(0)
    nothing = 0.0 if is_harmless else NAN
    return [
        NAN if label not in _RULES else 1.0 if _RULES[label].search(hard) else (
            0.0 if label == "spam" else nothing
        )
        for label in ORDER
    ]

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
        r"\b(idiot|moron|loser|dumb(as)?|stupid|retard(ed)?|imbecil\w*|pathetic|worthles\w*|ashole"
        r"|bitch\w*|bastard\w*|cunt\w*|scum\w*|trash(y)?|pusy|twat|wanker|jackas|douche\w*|fag\w*"
        r"|niger\w*|niga\w*|hoe?s?|slut\w*|whore\w*|ugly|fatas|dick(head)?)\b"
    ),
    "threat": re.compile(
        r"\b(kil|shot|stab|beat|hurt|murder|slap|punch|choke|burn|hang|rape|smack)"
        r"( the (shit|fuck) out)?( of)? (you|u|ya|him|her|them|your|that bitch|these|those)\b"
        r"|\bil (kil|beat|shot|stab)\b|\byou (wil|gona) die\b|\bwatch your back\b|\bkil yourself\b"
    ),
    "sexual": re.compile(
        r"\b(sex\w*|nude\w*|naked|pusy|dick|cock|bob(s|ies)?|tit(s|ies|y)?|blowjob|horny|porn\w*"
        r"|cum|orgasm\w*|anal|masturbat\w*|suck my|fuck (me|her|him)|eat my|strip(er|per)s?)\b"
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

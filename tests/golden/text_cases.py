"""Writes the golden vectors of folding and features: `texts.json`.

Models are trained on these numbers: if they change, `features.VERSION` changes and all models of
text are trained anew.

    python tests/golden/text_cases.py
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from atrium_server.moderation.features import BUCKETS, VERSION, bags
from atrium_server.moderation.fold import fold

TEXTS = (
    "Hello  World", "f u c k you", "f.u.c.k off", "fuuuuuck", "h3ll0 @ss a$$ sh!t wow!",
    "Привет, как дела?", "раypal сука", "fuсk уоu", "𝓯𝓾𝓬𝓴 ｆｕｃｋ", "F\u200bU\u200bC\u200bK",
    "don't 1 2 3 go4it gr8", "你好世界 傻逼", "\u202ereversed\u202c", "", "   ", "\ud800x",
    "é̶̶f̷u̸", "I am a b", "😀😀 ok 100%", "🅵🆄🅲🅺", "f*ck sh*t", "u.s.a. rocks", "ß ﬁne ﷺ",
    "สวัสดีครับ", "مَرْحَبًا", "नमस्ते दोस्त", "안녕하세요", "がんばって", "İstanbul ılık",
    "naïve café", "2 b or not 2 b", "AAAAAaaaa!!!! @@@",
)
FILE = Path(__file__).parent / "texts.json"


def build() -> dict[str, Any]:
    """What each text becomes, and its features: the first eight, how many, and their CRC-32."""
    folded = fold(TEXTS)
    made = bags(folded)
    return {"version": VERSION, "buckets": BUCKETS, "texts": [
        {
            "text": text.encode("utf-8", "surrogatepass").hex(),
            "soft": folded.soft_text(k), "hard": folded.hard_text(k),
            "first": made.row(k)[:8].tolist(), "count": len(made.row(k)),
            "crc": zlib.crc32(made.row(k).astype("<i8").tobytes()),
        }
        for k, text in enumerate(TEXTS)
    ]}


def written(vectors: dict[str, Any]) -> str:
    """As the file has it."""
    return json.dumps(vectors, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(build()), encoding="utf-8")

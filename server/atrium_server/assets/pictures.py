"""What a network sees of an upload, and what becomes of the upload by what it says.

Theory of operation
-------------------
Pictures of strangers are decoded in the process that checks them and nowhere else. So that process
also makes what a network looks at, in the way in which open_nsfw was taught: the picture as 256 x
256 pixels, through JPEG once, and its middle 224 x 224. It answers with these as plain pixels, of
which nothing can be executed and whose number and size are known. Who judges them stands behind
`ImageJudge`: this package knows no network.

A picture above BLOCK is refused, and its refusal remembered. One above HOLD is kept and shown to
nobody until a moderator has decided, and so is a file with pictures that the network could not be
shown (KTX2, or more of them than PICTURES_MAX): else it would be the way past it.
"""

from __future__ import annotations

import enum
import io
from collections.abc import Sequence
from typing import Final, Protocol

from PIL import Image, JpegImagePlugin

from atrium_server.assets.verdict import Verdict
from atrium_shared.limits import ASSET_ANSWER_BYTES_MAX, ASSET_PICTURES_BYTES_MAX, PICTURES_MAX

PICTURE_SIDE_PX: Final = 224
PICTURE_BYTES: Final = 3 * PICTURE_SIDE_PX * PICTURE_SIDE_PX
"""A picture as a network is shown it."""
BLOCK: Final = 0.8
HOLD: Final = 0.2
REFUSED_SENTENCE: Final = (
    "This picture, or one in this model, does not look safe to show to everybody here: choose"
    " another one. If that is wrong, tell a moderator."
)
HELD_SENTENCE: Final = (
    "A moderator looks at this file before others see it: it is kept, and need not be sent again."
)
_WHOLE_SIDE_PX: Final = 256
_EDGE_PX: Final = (_WHOLE_SIDE_PX - PICTURE_SIDE_PX) // 2
# As base64, with quotes and a comma, beside what an answer has without them.
assert ASSET_ANSWER_BYTES_MAX + PICTURES_MAX * (PICTURE_BYTES * 4 // 3 + 8) <= (
    ASSET_PICTURES_BYTES_MAX
)
Image.preinit()  # saving as JPEG imports modules, and the worker can open no files by then


class ImageJudge(Protocol):
    """Says how likely pictures are not safe to show."""

    async def judge(self, pictures: Sequence[bytes]) -> Sequence[float]:
        """Of each picture, which is PICTURE_BYTES of red, green, blue, 0 to 1. Raises Overload."""
        ...


class Showing(enum.Enum):
    """What becomes of an upload."""

    SHOW = "show"
    HOLD = "hold"
    BLOCK = "block"


class Album:
    """The pictures of one file, as a network is shown them; no more than PICTURES_MAX."""

    def __init__(self) -> None:
        self.pictures: list[bytes] = []

    def add(self, image: Image.Image) -> None:
        """Take a decoded picture."""
        if len(self.pictures) < PICTURES_MAX:
            self.pictures.append(prepared(image))


def prepared(image: Image.Image) -> bytes:
    """A picture as open_nsfw was taught to see it: PICTURE_BYTES of red, green, blue."""
    small = image.convert("RGB").resize(
        (_WHOLE_SIDE_PX, _WHOLE_SIDE_PX), Image.Resampling.BILINEAR
    )
    end = _WHOLE_SIDE_PX - _EDGE_PX
    written = io.BytesIO()
    small.crop((_EDGE_PX, _EDGE_PX, end, end)).save(written, format="JPEG")
    written.seek(0)
    with JpegImagePlugin.JpegImageFile(written) as read:
        return read.tobytes()


async def looked_at(verdict: Verdict, judge: ImageJudge) -> Showing:
    """What becomes of a file that has been found sound. Raises Overload."""
    assert verdict.facts is not None
    count = len(verdict.facts.images)
    if count == 0:
        return Showing.SHOW
    seen = [picture for picture in verdict.pictures if len(picture) == PICTURE_BYTES]
    scores: Sequence[float] = await judge.judge(seen) if seen else ()
    if any(score > BLOCK for score in scores):
        return Showing.BLOCK
    # Not below: what is no number is held as well.
    if len(scores) < count or not all(score < HOLD for score in scores):
        return Showing.HOLD
    return Showing.SHOW

"""What a network sees of an upload.

Theory of operation
-------------------
Pictures of strangers are decoded in the process that checks them and nowhere else. So that process
also makes what a network looks at, in the way in which open_nsfw was taught: the picture as 256 x
256 pixels, through JPEG once, and its middle 224 x 224. It answers with these as plain pixels, of
which nothing can be executed and whose number and size are known. What becomes of the upload is
said by `showing`; this package knows no network.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, JpegImagePlugin

from atrium_shared.limits import ASSET_ANSWER_BYTES_MAX, ASSET_PICTURES_BYTES_MAX, PICTURES_MAX

PICTURE_SIDE_PX: Final = 224
PICTURE_BYTES: Final = 3 * PICTURE_SIDE_PX * PICTURE_SIDE_PX
"""A picture as a network is shown it."""
_WHOLE_SIDE_PX: Final = 256
_EDGE_PX: Final = (_WHOLE_SIDE_PX - PICTURE_SIDE_PX) // 2
# As base64, with quotes and a comma, beside what an answer has without them.
assert ASSET_ANSWER_BYTES_MAX + PICTURES_MAX * (PICTURE_BYTES * 4 // 3 + 8) <= (
    ASSET_PICTURES_BYTES_MAX
)
Image.preinit()  # saving as JPEG imports modules, and the worker can open no files by then


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

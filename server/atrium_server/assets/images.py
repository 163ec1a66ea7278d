"""PNG and JPEG: size from the head, the structure to the last byte, then decoded.

Theory of operation
-------------------
A small file can unpack to an image that fills a memory. So width and height are read from the
head, by the few lines here, and nothing is decoded before they are found to be within the caps.
Then the walk over the chunks or segments makes sure that the file ends where the image does: what
follows could be another file that some program would find there. At last Pillow decodes every
pixel, which is what a client will do.

A photograph can carry where it was taken. Everybody who sees it in a world could read that, so
such an image is refused, with a sentence that says why.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from PIL import ImageFile, JpegImagePlugin, PngImagePlugin

from atrium_server.assets.verdict import JPEG, PNG, ImageFacts, Unfit
from atrium_shared.limits import (
    IMAGE_CHUNKS_MAX,
    IMAGE_PX_MAX,
    IMAGE_SCANS_MAX,
    IMAGE_SIDE_PX_MAX,
)

Look = Callable[[ImageFile.ImageFile], None] | None
"""What is shown a decoded picture, if anything is."""
_PNG_MAGIC_BYTES: Final = 8
_CHUNK: Final = struct.Struct(">I4s")
_IHDR: Final = struct.Struct(">II5B")
_FRAME: Final = struct.Struct(">BHHB")
_SIZED_FRAMES: Final = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive; browsers do not show the others."""
_OTHER_FRAMES: Final = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_GPS: Final = 0x8825
_DECODERS: Final = {PNG: PngImagePlugin.PngImageFile, JPEG: JpegImagePlugin.JpegImageFile}
_NAMES: Final = {PNG: "PNG", JPEG: "JPEG"}


def check_size(width_px: int, height_px: int) -> None:
    """Raise Unfit for an image that would cost too much to show."""
    if width_px < 1 or height_px < 1:
        raise Unfit("This image has no pixels.")
    if max(width_px, height_px) > IMAGE_SIDE_PX_MAX or width_px * height_px > IMAGE_PX_MAX:
        raise Unfit(
            f"This image has {width_px:,} x {height_px:,} pixels; a side may have"
            f" {IMAGE_SIDE_PX_MAX:,}, and all of it {IMAGE_PX_MAX:,}. Make it smaller."
        )


def image_facts(data: bytes, media_type: str) -> ImageFacts:
    """The size of an image whose structure is sound; no pixel is decoded. Raises Unfit."""
    try:
        width, height = _walk_png(data) if media_type == PNG else _walk_jpeg(data)
    except (struct.error, IndexError):
        raise Unfit(f"This {_NAMES[media_type]} ends too early: upload it again.") from None
    return ImageFacts(media_type, width, height)


def decode_image(data: bytes, facts: ImageFacts, look: Look = None) -> None:
    """Decode every pixel, and show `look` what came of it. Raises Unfit where that fails."""
    try:
        with _DECODERS[facts.media_type](io.BytesIO(data)) as image:
            fits = image.size == (facts.width_px, facts.height_px)
            image.load()
            has_place = _tells_its_place(image)
            if look is not None:
                look(image)
    except MemoryError:
        raise
    except Exception:
        # Pillow raises a dozen kinds of errors for images that are broken.
        name = _NAMES[facts.media_type]
        raise Unfit(f"This image cannot be decoded as {name}: save it again.") from None
    if not fits:
        raise Unfit("This image has another size than its head says: save it again.")
    if has_place:
        raise Unfit(
            "This image tells where it was taken, and everybody who sees it could read that:"
            " save it without its position (GPS)."
        )


def _tells_its_place(image: ImageFile.ImageFile) -> bool:
    return bool(image.getexif().get_ifd(_GPS))


# --- PNG ---------------------------------------------------------------------------------


def _walk_png(data: bytes) -> tuple[int, int]:
    view = memoryview(data)
    at, count = _PNG_MAGIC_BYTES, 0
    size = (0, 0)
    while at < len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        begin = at + _CHUNK.size
        at = begin + length + 4
        if at > len(data):
            raise Unfit("This PNG ends too early: upload it again.")
        if zlib.crc32(view[begin - 4 : at - 4]) != int.from_bytes(view[at - 4 : at], "big"):
            raise Unfit("A part of this PNG is damaged: save it again.")
        if (kind == b"IHDR") != (count == 0):
            raise Unfit("This PNG does not begin as one: save it again.")
        if count == 0:
            size = _IHDR.unpack(view[begin : at - 4])[:2]
            check_size(*size)
        if kind == b"acTL":
            raise Unfit("Images that move are not shown: save one frame of this PNG.")
        count += 1
        if count > IMAGE_CHUNKS_MAX:
            raise Unfit("This PNG is cut into too many parts: save it again.")
        if kind == b"IEND":
            _want_end(at, data, "PNG")
            return size
    raise Unfit("This PNG has no end: upload it again.")


def _want_end(at: int, data: bytes, name: str) -> None:
    if at != len(data):
        raise Unfit(
            f"This {name} has {len(data) - at:,} bytes behind its end: open it in a program for"
            " images and save it again."
        )


# --- JPEG --------------------------------------------------------------------------------


def _walk_jpeg(data: bytes) -> tuple[int, int]:
    at, scans = 2, 0
    size: tuple[int, int] | None = None
    while True:
        at, marker = _marker(data, at)
        if marker == _END:
            break
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or at + length > len(data):
            raise Unfit("This JPEG ends too early, or is damaged: save it again.")
        if marker in _OTHER_FRAMES or (marker in _SIZED_FRAMES and size is not None):
            raise Unfit("This is a rare kind of JPEG that browsers do not show: save it again.")
        if marker in _SIZED_FRAMES:
            _, height, width, _ = _FRAME.unpack_from(data, at + 2)
            check_size(width, height)
            size = (width, height)
        at += length
        if marker == _SCAN:
            scans += 1
            if size is None or scans > IMAGE_SCANS_MAX:
                raise Unfit("This JPEG has too many layers: save it again without them.")
            found = _AFTER_SCAN.search(data, at)
            if found is None:
                raise Unfit("This JPEG has no end: upload it again.")
            at = found.start()
    if size is None or not scans:
        raise Unfit("There is no image in this JPEG.")
    _want_end(at, data, "JPEG")
    return size


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Where the marker at `at` ends, and which it is; it may be padded with 0xFF."""
    if data[at] != 0xFF:
        raise Unfit(f"This JPEG is damaged at byte {at:,}: save it again.")
    while data[at] == 0xFF:
        at += 1
    marker = data[at]
    if marker < 0xC0 or 0xD0 <= marker <= 0xD8:
        raise Unfit(f"This JPEG is damaged at byte {at:,}: save it again.")
    return at + 1, marker

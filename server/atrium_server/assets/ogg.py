"""OGG as a row of pages with one sound in it, walked by their heads without decoding anything.

Pages must follow each other to the last byte, all of one stream, the first marked as the begin and
the last as the end. So the length in seconds is known before a decoder runs (a page says how many
samples there are up to its end), chained or mixed streams are refused, and no other file can hide
behind or between the pages. Checksums are the decoder's business: it leaves damaged pages out,
which shows in the number of samples that it finds.
"""

from __future__ import annotations

import struct
from typing import Final

from atrium_server.assets.mp3 import SoundShape
from atrium_server.assets.verdict import Unfit

_PAGE: Final = struct.Struct("<4sBBqIIIB")
_VORBIS: Final = struct.Struct("<7sIBIiiiBB")
_OPUS: Final = struct.Struct("<8sBBHIhB")
_BEGIN, _END = 2, 4
_NOTHING_ENDS_HERE: Final = -1
OPUS_RATE_HZ: Final = 48_000


def ogg_shape(data: bytes) -> SoundShape:
    """Walk all pages. Raises Unfit for whatever is not one Vorbis or Opus sound."""
    at = number = samples = flags = 0
    serial: int | None = None
    first_body = b""
    while at < len(data):
        body, flags, granule, of_stream, page_number, table = _page(data, at)
        if (flags & _BEGIN != 0) != (serial is None) or of_stream != (serial or of_stream):
            raise Unfit("This OGG file has more than one stream in it: save the sound alone.")
        if serial is None:
            first_body = data[body : body + sum(table)]
        serial = of_stream
        if page_number != number:
            raise Unfit("Pages are missing in this OGG file: upload it again.")
        if granule != _NOTHING_ENDS_HERE:
            if granule < samples:
                raise Unfit("The times in this OGG file run backwards: convert it again.")
            samples = granule
        number += 1
        at = body + sum(table)
        if flags & _END:
            break
    if at < len(data):
        raise Unfit("This OGG file has something behind its end: convert it again.")
    if at > len(data) or not flags & _END:
        raise Unfit("This OGG file has no end: upload it again, or convert it again.")
    return _identified(first_body, samples)


def _page(data: bytes, at: int) -> tuple[int, int, int, int, int, bytes]:
    """Where the body begins, flags, samples so far, stream, number, lengths of its segments."""
    try:
        magic, version, flags, granule, serial, number, _, segments = _PAGE.unpack_from(data, at)
    except struct.error:
        raise Unfit("This OGG file ends in the middle of a page: upload it again.") from None
    table = data[at + _PAGE.size : at + _PAGE.size + segments]
    if magic != b"OggS" or version != 0 or len(table) != segments:
        raise Unfit(f"This OGG file is damaged at byte {at:,}: convert it again.")
    return at + _PAGE.size + segments, flags, granule, serial, number, table


def _identified(body: bytes, samples: int) -> SoundShape:
    if body.startswith(b"\x01vorbis") and len(body) == _VORBIS.size:
        _, version, channels, rate_hz, *_ = _VORBIS.unpack(body)
        if version == 0 and rate_hz:
            return SoundShape(samples, rate_hz, channels)
    if body.startswith(b"OpusHead") and len(body) == _OPUS.size:
        _, version, channels, skipped, _, _, family = _OPUS.unpack(body)
        if version < 16 and family == 0:
            return SoundShape(max(0, samples - skipped), OPUS_RATE_HZ, channels)
    raise Unfit(
        "This OGG file holds something else than one Vorbis or Opus sound of one or two channels:"
        " convert it again."
    )

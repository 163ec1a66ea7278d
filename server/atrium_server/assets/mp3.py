"""MP3 as a row of frames, walked by their heads without decoding anything.

Theory of operation
-------------------
An MP3 file has no header of its own: it is frame after frame, each with four bytes that say how
long it is. The walk goes from head to head and wants every byte to belong to a frame, or to a tag
before (ID3v2) or after (ID3v1) them. So the length in seconds is known before a decoder runs,
and no other file can hide between the frames.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from atrium_server.assets.verdict import Unfit

ID3_MAGIC: Final = b"ID3"
_ID3_HEAD_BYTES: Final = 10
_ID3_FOOTER: Final = 0x10
_ID3V1_BYTES: Final = 128
_LAYER_3: Final = 1
_MPEG_1: Final = 3
_RATES_HZ: Final = {
    3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000),
}
"""By the two bits of the version: MPEG 1, 2 and 2.5."""
_KBITS_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


class SoundShape(NamedTuple):
    """What a sound is, before it is decoded."""

    frames: int
    rate_hz: int
    channels: int

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate_hz


class _Head(NamedTuple):
    version: int
    rate_hz: int
    channels: int
    size_bytes: int
    samples: int


def is_frame_head(head: bytes) -> bool:
    """Whether four bytes can begin a frame of MP3."""
    return _parsed(head) is not None


def _parsed(head: bytes) -> _Head | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate_index, bits_index = head[2] >> 2 & 3, head[2] >> 4
    if layer != _LAYER_3 or version not in _RATES_HZ or rate_index == 3:
        return None
    if not 0 < bits_index < 15:
        return None
    rate_hz = _RATES_HZ[version][rate_index]
    is_first = version == _MPEG_1
    kbits = (_KBITS_1 if is_first else _KBITS_2)[bits_index]
    samples = 1_152 if is_first else 576
    size_bytes = samples // 8 * kbits * 1_000 // rate_hz + (head[2] >> 1 & 1)
    return _Head(version, rate_hz, 1 if head[3] >> 6 == 3 else 2, size_bytes, samples)


def mp3_shape(data: bytes) -> SoundShape:
    """Walk all frames. Raises Unfit for whatever is not MP3 from the first byte to the last."""
    at, end = _after_id3(data), len(data)
    if data[-_ID3V1_BYTES:].startswith(b"TAG"):
        end = max(at, end - _ID3V1_BYTES)
    first: _Head | None = None
    frames = 0
    while at < end:
        head = _parsed(data[at : at + 4])
        if head is None:
            raise Unfit(
                f"This MP3 file has bytes that are no sound, from byte {at:,} on: convert it again."
            )
        first = first or head
        if (head.version, head.rate_hz, head.channels) != first[:3]:
            raise Unfit("This MP3 file changes its sample rate or channels: convert it again.")
        at += head.size_bytes
        frames += 1
    if first is None:
        raise Unfit("This MP3 file has no sound in it.")
    if at > end:
        raise Unfit("This MP3 file ends in the middle of its sound: upload it again.")
    return SoundShape(frames * first.samples, first.rate_hz, first.channels)


def _after_id3(data: bytes) -> int:
    if not data.startswith(ID3_MAGIC):
        return 0
    size = data[6:_ID3_HEAD_BYTES]
    if len(size) < 4 or any(byte & 0x80 for byte in size):
        raise Unfit("The tag at the begin of this MP3 file is damaged: convert it again.")
    length = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    footer = _ID3_HEAD_BYTES if data[5] & _ID3_FOOTER else 0
    return _ID3_HEAD_BYTES + length + footer

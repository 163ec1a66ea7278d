"""Sounds: length, rate and channels from the file's own structure, then decoded to the last sample.

The caps are looked at before the decoder (libsndfile) sees a byte. It reads from a descriptor and
opens nothing; what it decodes is counted and thrown away.
"""

from __future__ import annotations

import os
from typing import Final

import soundfile

from atrium_server.assets import verdict
from atrium_server.assets.mp3 import SoundShape, mp3_shape
from atrium_server.assets.ogg import ogg_shape
from atrium_server.assets.verdict import Facts, Unfit
from atrium_shared.limits import (
    SOUND_CHANNELS_MAX,
    SOUND_RATE_HZ_MAX,
    SOUND_RATE_HZ_MIN,
    SOUND_S_MAX,
)

_BLOCK_FRAMES: Final = 16_384
_SAMPLE_BYTES: Final = 2
_EDGE_S: Final = 0.25
"""Encoders put up to this much silence before and behind a sound, and decoders take it away."""
_OPUS: Final = ("OGG", "OPUS")
_FORMATS: Final = {
    verdict.OGG: {("OGG", "VORBIS"), _OPUS}, verdict.MP3: {("MP3", "MPEG_LAYER_III")}
}


def check_sound(data: bytes, media_type: str, fd: int) -> Facts:
    """The facts of a sound whose bytes are `data`, and which `fd` has open. Raises Unfit."""
    shape = ogg_shape(data) if media_type == verdict.OGG else mp3_shape(data)
    _check_shape(shape)
    if _decoded_s(media_type, shape, fd) < 0.99 * shape.duration_s - _EDGE_S:
        raise Unfit("Parts of this sound are damaged: convert it again.")
    return Facts(
        media_type=media_type, size_bytes=len(data), duration_s=round(shape.duration_s, 3),
        rate_hz=shape.rate_hz, channels=shape.channels,
    )


def _check_shape(shape: SoundShape) -> None:
    if not SOUND_RATE_HZ_MIN <= shape.rate_hz <= SOUND_RATE_HZ_MAX:
        raise Unfit(
            f"This sound has {shape.rate_hz:,} samples per second; it may have"
            f" {SOUND_RATE_HZ_MIN:,} to {SOUND_RATE_HZ_MAX:,}. Convert it."
        )
    if not 1 <= shape.channels <= SOUND_CHANNELS_MAX:
        raise Unfit(f"This sound has {shape.channels} channels: make it mono or stereo.")
    if shape.duration_s > SOUND_S_MAX:
        raise Unfit(
            f"This sound lasts {shape.duration_s:,.0f} s; it may last {SOUND_S_MAX:,.0f} s. Cut it."
        )
    if shape.frames == 0:
        raise Unfit("There is nothing to hear in this file.")


def _decoded_s(media_type: str, shape: SoundShape, fd: int) -> float:
    """How much the decoder finds. Opus may be decoded at another rate than it is counted in."""
    os.lseek(fd, 0, os.SEEK_SET)
    decoded = 0
    try:
        with soundfile.SoundFile(fd, closefd=False) as sound:
            rate_hz, kind = sound.samplerate, (sound.format, sound.subtype)
            is_same = sound.channels == shape.channels and kind in _FORMATS[media_type]
            if not is_same or (rate_hz != shape.rate_hz and kind != _OPUS):
                raise Unfit("This sound is not what its file says: convert it again.")
            block = bytearray(_BLOCK_FRAMES * sound.channels * _SAMPLE_BYTES)
            while decoded <= (shape.duration_s + 1) * rate_hz:
                count = sound.buffer_read_into(block, "int16")
                decoded += count
                if count < _BLOCK_FRAMES:
                    return decoded / rate_hz
    except soundfile.SoundFileError:
        raise Unfit("This sound cannot be decoded: convert it again.") from None
    raise Unfit("This sound is longer than its file says: convert it again.")

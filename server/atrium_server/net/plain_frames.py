"""Messages as clients usually send them: each one final, masked, binary frame. PURE.

`websockets`' protocol object reads all that RFC 6455 allows, in some ten calls for each frame. What
stands between two messages and is exactly a whole message needs none of that, and gets the same
result here in one. Anything else (a text or control frame, a fragment, an extension's bit, a length
that could have been said shorter or is too much, a frame without a mask, half a frame) is left to
the protocol object, with all that follows it.
"""

from __future__ import annotations

from typing import Final

from websockets.utils import apply_mask

from atrium_shared import limits

_FINAL_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125
_TWO_BYTES: Final = 126


def whole_messages(data: bytes) -> tuple[list[bytes], int]:
    """The payloads of the messages at the beginning of `data`, and how many bytes they took."""
    payloads: list[bytes] = []
    at, end = 0, len(data)
    while at + 6 <= end and data[at] == _FINAL_BINARY and data[at + 1] & _MASKED:
        length, mask_at = data[at + 1] & 127, at + 2
        if length > _SHORT_MAX:
            length, mask_at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if data[at + 1] & 127 != _TWO_BYTES or length <= _SHORT_MAX:
                break
        start = mask_at + 4
        if length > limits.MESSAGE_BYTES_MAX or start + length > end:
            break
        payloads.append(apply_mask(data[start : start + length], data[mask_at:start]))
        at = start + length
    return payloads, at

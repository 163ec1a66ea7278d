"""Messages as whole WebSocket frames. PURE.

The server sends most of its bytes past the protocol object: an unmasked, unfragmented binary frame
is two to ten bytes and a message (RFC 6455, section 5.2), made once and sent to many.
"""

from __future__ import annotations

import struct


def binary_frame(payload: bytes) -> bytes:
    """One final binary frame from a server."""
    length = len(payload)
    if length < 126:
        return bytes((0x82, length)) + payload
    if length < 65_536:
        return struct.pack(">BBH", 0x82, 126, length) + payload
    return struct.pack(">BBQ", 0x82, 127, length) + payload

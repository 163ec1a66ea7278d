"""Resume tokens: signed, used once, not bound to an address. PURE.

A token names a session and how many tokens it had before. The signature keeps strangers out, the
count makes each token good for one use (or until the client has acknowledged a snapshot that
followed the next one), and the seat's own deadline ends its time. Session numbers begin again with
each run of the server, so a token of another run is refused: it would name the session of a
stranger.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct

from atrium_shared.errors import ErrorCode, ProtocolError

_BODY = struct.Struct(">BII")
_VERSION = 1
_SIGNATURE_BYTES = 16


class TokenSigner:
    """Signs and checks tokens with one key."""

    def __init__(self, key: bytes, run: bytes) -> None:
        """`run` tells one run of the server from another: a token is good in its own run only."""
        self._key = hmac.digest(key, b"atrium resume token\0" + run, "sha256")

    def sign(self, session_id: int, rotation: int) -> str:
        """The token of a session that has been resumed or has travelled `rotation` times."""
        body = _BODY.pack(_VERSION, session_id, rotation)
        return base64.urlsafe_b64encode(body + self._signature(body)).decode()

    def read(self, token: str) -> tuple[int, int]:
        """(session id, rotation). Raises ProtocolError(RESUME_INVALID)."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise invalid() from None
        body, signature = raw[: _BODY.size], raw[_BODY.size :]
        if len(raw) != _BODY.size + _SIGNATURE_BYTES:
            raise invalid()
        if not hmac.compare_digest(signature, self._signature(body)):
            raise invalid()
        version, session_id, rotation = _BODY.unpack(body)
        if version != _VERSION:
            raise invalid()
        return session_id, rotation

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE_BYTES]


def invalid() -> ProtocolError:
    """The one answer to every token that is not good, whatever is wrong with it."""
    return ProtocolError(
        ErrorCode.RESUME_INVALID, "this session cannot be resumed any more: join anew"
    )

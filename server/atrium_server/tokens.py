"""Resume tokens: signed, used once, not bound to an address. PURE.

A token names a session, by the id that no other one ever has, and how many tokens it had before.
The signature keeps strangers out, the count makes each token good for one use (or until the client
has acknowledged a snapshot that followed the next one), and the seat's own deadline ends its time.
The key lasts as long as the data of the server, and so a token outlives a run of it: what the
server has saved of a session tells whether it may still come back. That may be some seconds old
after a crash, and the count in it, too: a token that is newer than it is good then.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct

from atrium_shared.errors import ErrorCode, ProtocolError

_BODY = struct.Struct(">B16sI")
_VERSION = 2
_SIGNATURE_BYTES = 18
"""With the body a multiple of three: there is one way only to write a token in base64."""


class TokenSigner:
    """Signs and checks tokens with one key."""

    def __init__(self, key: bytes) -> None:
        """`key` must be secret, and at least 16 bytes that nobody can guess."""
        self._key = hmac.digest(key, b"atrium resume token\0", "sha256")

    def sign(self, uuid: bytes, rotation: int) -> str:
        """The token of a session that has been resumed or has travelled `rotation` times."""
        body = _BODY.pack(_VERSION, uuid, rotation)
        return base64.urlsafe_b64encode(body + self._signature(body)).decode()

    def read(self, token: str) -> tuple[bytes, int]:
        """(id of the session, rotation). Raises ProtocolError(RESUME_INVALID)."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise invalid() from None
        body, signature = raw[: _BODY.size], raw[_BODY.size :]
        if len(raw) != _BODY.size + _SIGNATURE_BYTES:
            raise invalid()
        if not hmac.compare_digest(signature, self._signature(body)):
            raise invalid()
        version, uuid, rotation = _BODY.unpack(body)
        if version != _VERSION:
            raise invalid()
        return uuid, rotation

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE_BYTES]


def invalid() -> ProtocolError:
    """The one answer to every token that is not good, whatever is wrong with it."""
    return ProtocolError(
        ErrorCode.RESUME_INVALID, "this session cannot be resumed any more: join anew"
    )

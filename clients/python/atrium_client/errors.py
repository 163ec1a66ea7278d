"""What can go wrong for an application that uses the SDK.

::

    AtriumError
     +-- RequestRefused          the server denied one request; the session goes on
     |    +-- EditRefused        ... an edit: nothing of it was done
     +-- ProtocolError           the server said what `atrium.1` does not allow: a bug of it
     +-- ClientError
          +-- ConnectionFailed   nobody answered at that address, or it is no Atrium server
          +-- ConnectionRefused  the server answered and said no: version, full, name, ...
          +-- SessionEnded       the server ended the session and it cannot be resumed
          +-- ReconnectFailed    the link was lost and did not come back in time
          +-- RequestLost        no answer came; the request may or may not have been carried out
          +-- EditReverted       an edit that had been accepted could not be saved, and was undone
          +-- EditLost           the session is gone; the edit may or may not have been done

Each message is a sentence for the person at the screen.
"""

from __future__ import annotations

from atrium_shared.errors import AtriumError, ErrorCode, RequestRefused


class ClientError(AtriumError):
    """Base of the errors about our own connection."""


class ConnectionFailed(ClientError):
    """Nobody answered at that address, or what answered is no Atrium server."""


class ConnectionRefused(ClientError):
    """The server refused the session. `retry_ms` is 0 when trying again is of no use."""

    def __init__(self, code: int, sentence: str, retry_ms: int) -> None:
        super().__init__(f"The server refused the connection: {sentence} ({name_of(code)})")
        self.code = code
        self.sentence = sentence
        self.retry_ms = retry_ms


class SessionEnded(ClientError):
    """The server ended the session for good."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"The server ended the session: {sentence} ({name_of(code)})")
        self.code = code
        self.sentence = sentence


class ReconnectFailed(ClientError):
    """The link was lost and could not be resumed in time."""


class RequestLost(ClientError):
    """The link was lost, we went to another world, or the time was up, before an answer came."""


class EditRefused(RequestRefused):
    """The server denied an edit: it was not done."""


class EditReverted(ClientError):
    """The server had done an edit, could not save it, and has taken it back."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"The edit was taken back: {sentence} ({name_of(code)})")
        self.code = code
        self.sentence = sentence


class EditLost(ClientError):
    """Nobody can tell any more whether an edit was done: look for it in the scene."""


def known(code: int) -> ErrorCode | None:
    """The error code, or None when this version does not know it."""
    try:
        return ErrorCode(code)
    except ValueError:
        return None


def name_of(code: int) -> str:
    """The name of an error code, or its number when this version does not know it."""
    known_code = known(code)
    return f"code {code}" if known_code is None else known_code.name

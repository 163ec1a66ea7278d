"""Why something about an account cannot be done: each with a sentence for the person who asked."""

from __future__ import annotations


class AccountError(Exception):
    """The base; it speaks to the person and holds no secret."""

    @property
    def sentence(self) -> str:
        """What to do."""
        return str(self)


class NotAcceptable(AccountError):
    """A name, a password or another value that cannot be taken."""


class NotSignedIn(AccountError):
    """No token, or none that holds; or a handle and password that do not belong together."""


class NotPermitted(AccountError):
    """Signed in, but this is not allowed."""


class NotFound(AccountError):
    """There is no such account, role, world or sign-in."""


class Taken(AccountError):
    """Somebody else has it."""


class TooOften(AccountError):
    """Asked too often; `retry_s` is when it makes sense again."""

    def __init__(self, sentence: str, retry_s: float) -> None:
        super().__init__(sentence)
        self.retry_s = retry_s

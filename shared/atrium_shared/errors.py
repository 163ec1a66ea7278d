"""Errors by whose fault they are, and the codes that the wire gives them.

::

    AtriumError
     +-- ProtocolError    the peer broke the protocol: answer, then close that session
     +-- RequestRefused   the peer asked for something the rules deny: answer, carry on
     +-- Overload         we are out of room: shed, count, tell the peer when to retry

Anything else that escapes (AssertionError, IndexError, ...) is a bug of ours and must crash the
nursery it happened in. Codes are stable: a number is never given a second meaning.
"""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """Codes in the `error` and `result` messages. Below 100 the request failed, not the session."""

    OK = 0
    # A request was refused; the session lives.
    NOT_ALLOWED = 1
    RATE_LIMITED = 2
    OUT_OF_RANGE = 3
    BLOCKED = 4
    COOLDOWN = 5
    TAKEN = 6
    NOT_FOUND = 7
    TEXT_REJECTED = 8  # for a judge that rejects lines; the one that ships allows all
    WORLD_FULL = 9
    RESERVED = 10
    BAD_EDIT = 11
    CONFLICT = 12
    NOT_SAVED = 13
    # The session ends.
    MALFORMED = 100
    UNEXPECTED = 101
    VERSION = 102
    TOO_LARGE = 103
    TOO_FAST = 104
    BAD_NAME = 105
    RESUME_INVALID = 106
    REPLACED = 107
    TIMEOUT = 108
    SLOW = 109
    FULL = 110
    DRAINING = 111
    INTERNAL = 112


class CloseCode(enum.IntEnum):
    """WebSocket close codes; 4000 and up are ours (RFC 6455 section 7.4.2)."""

    GOING_AWAY = 1001
    PROTOCOL = 1002  # sent by the WebSocket library by itself
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_AGAIN_LATER = 1013
    MALFORMED = 4000
    UNEXPECTED = 4001
    VERSION = 4002
    TOO_FAST = 4003
    BAD_NAME = 4004
    RESUME_INVALID = 4005
    TIMEOUT = 4008
    REPLACED = 4009
    SLOW = 4010
    FULL = 4011


CLOSE_CODE_OF: dict[ErrorCode, CloseCode] = {
    ErrorCode.MALFORMED: CloseCode.MALFORMED,
    ErrorCode.UNEXPECTED: CloseCode.UNEXPECTED,
    ErrorCode.VERSION: CloseCode.VERSION,
    ErrorCode.TOO_LARGE: CloseCode.TOO_BIG,
    ErrorCode.TOO_FAST: CloseCode.TOO_FAST,
    ErrorCode.BAD_NAME: CloseCode.BAD_NAME,
    ErrorCode.RESUME_INVALID: CloseCode.RESUME_INVALID,
    ErrorCode.REPLACED: CloseCode.REPLACED,
    ErrorCode.TIMEOUT: CloseCode.TIMEOUT,
    ErrorCode.SLOW: CloseCode.SLOW,
    ErrorCode.FULL: CloseCode.FULL,
    ErrorCode.DRAINING: CloseCode.GOING_AWAY,
    ErrorCode.INTERNAL: CloseCode.INTERNAL,
}


class AtriumError(Exception):
    """Base of the errors that Atrium raises on purpose."""


class ProtocolError(AtriumError):
    """The peer sent what the protocol does not allow; its session ends with `code`."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class RequestRefused(AtriumError):
    """A well-formed request that the rules deny; the session goes on."""

    def __init__(self, code: ErrorCode, sentence: str, retry_ms: int = 0) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.retry_ms = retry_ms


class Overload(AtriumError):
    """We have no room for this now; the peer may try again after `retry_ms`."""

    def __init__(self, sentence: str, retry_ms: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_ms = retry_ms

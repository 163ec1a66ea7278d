"""Resume tokens: what was signed is read, everything else is one and the same refusal."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.tokens import TokenSigner, invalid
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import TOKEN_CHARS_MAX

u32 = st.integers(0, 2**32 - 1)
SIGNER = TokenSigner(b"a key of some length")
ids = st.binary(min_size=16, max_size=16)
ANN, BOB = b"a" * 16, b"b" * 16


def refused(token: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        SIGNER.read(token)
    assert caught.value.code is ErrorCode.RESUME_INVALID
    assert caught.value.sentence == invalid().sentence, "whatever is wrong, the answer is one"


@given(ids, u32)
def test_what_was_signed_is_read(session: bytes, rotation: int) -> None:
    token = SIGNER.sign(session, rotation)
    assert SIGNER.read(token) == (session, rotation)
    assert len(token) <= TOKEN_CHARS_MAX
    assert TokenSigner(b"a key of some length").read(token) == (session, rotation)


@given(ids, u32, st.integers(0, 38), st.integers(1, 255))
def test_every_byte_counts(session: bytes, rotation: int, at: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(SIGNER.sign(session, rotation)))
    raw[at] ^= change
    refused(base64.urlsafe_b64encode(raw).decode())


@given(st.text(max_size=60))
def test_any_other_text_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("change", [
    lambda token: token[:-1], lambda token: token + "A", lambda token: token + "\n",
    lambda token: " " + token, lambda token: token * 2, lambda token: token[:8] + "!" + token[8:],
])
def test_there_is_one_way_to_write_a_token(change: object) -> None:
    refused(change(SIGNER.sign(ANN, 2)))  # type: ignore[operator]


def test_another_key_signs_otherwise() -> None:
    refused(TokenSigner(b"another key of some length").sign(ANN, 0))
    assert SIGNER.sign(ANN, 0) != SIGNER.sign(ANN, 1) != SIGNER.sign(BOB, 1)

"""Each message survives the way there and back, and its bounds hold at the edge."""

from __future__ import annotations

import typing

import golden_cases as cases
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_shared import codec, limits, messages
from atrium_shared.errors import CLOSE_CODE_OF, CloseCode, ErrorCode, ProtocolError

ALL_KINDS = (*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES)


def strategy_for(info: msgspec.inspect.Type) -> st.SearchStrategy[object]:
    """Values of a field's type within its bounds, small where it has none."""
    i = msgspec.inspect
    if isinstance(info, i.IntType):
        return st.integers(info.ge or 0, info.le if info.le is not None else 2**32)
    if isinstance(info, i.FloatType):
        return st.floats(info.ge, info.le)
    if isinstance(info, i.BoolType):
        return st.booleans()
    if isinstance(info, i.StrType) and info.pattern is not None:
        return st.from_regex(info.pattern.replace("$", r"\Z"))
    if isinstance(info, i.StrType):
        length = min(info.max_length or 40, 600)
        letters = st.characters(exclude_categories=["Cs"])
        return st.text(letters, min_size=info.min_length or 0, max_size=length)
    if isinstance(info, i.BytesType):
        return st.binary(min_size=info.min_length or 0, max_size=min(info.max_length or 600, 600))
    if isinstance(info, i.EnumType):
        return st.sampled_from(list(info.cls))
    if isinstance(info, i.VarTupleType):
        return st.lists(
            strategy_for(info.item_type), min_size=info.min_length or 0, max_size=5
        ).map(tuple)
    if isinstance(info, i.TupleType):
        return st.tuples(*map(strategy_for, info.item_types))
    if isinstance(info, i.UnionType):
        return st.one_of([strategy_for(each) for each in info.types])
    assert isinstance(info, i.StructType)
    fields = {field.encode_name: strategy_for(field.type) for field in info.fields}
    return st.builds(info.cls, **fields)


@given(st.one_of([strategy_for(msgspec.inspect.type_info(k)) for k in messages.CLIENT_MESSAGES]))
def test_client_messages_come_back(message: messages.ClientMessage) -> None:
    assert codec.decode_client(codec.encode(message)) == message


@given(st.one_of([strategy_for(msgspec.inspect.type_info(k)) for k in messages.SERVER_MESSAGES]))
def test_server_messages_come_back(message: messages.ServerMessage) -> None:
    assert codec.decode_server(codec.encode(message)) == message


def test_ops_are_unique_and_each_side_has_its_range() -> None:
    ops = [messages.op_of(kind) for kind in ALL_KINDS]
    assert len(set(ops)) == len(ops)
    assert all(messages.op_of(kind) < 64 for kind in messages.CLIENT_MESSAGES)
    assert all(64 <= messages.op_of(kind) < 128 for kind in messages.SERVER_MESSAGES)


def test_the_tuples_and_the_unions_name_the_same_messages() -> None:
    assert set(typing.get_args(messages.ClientMessage)) == set(messages.CLIENT_MESSAGES)
    assert set(typing.get_args(messages.ServerMessage)) == set(messages.SERVER_MESSAGES)


def test_the_golden_cases_say_every_message() -> None:
    said = {type(m) for m in (*cases.client_messages().values(), *cases.server_messages().values())}
    assert said == set(ALL_KINDS)


def test_the_longest_chat_line_fits_and_one_letter_more_does_not() -> None:
    def line(text: str) -> bytes:
        return codec.encode(messages.ChatSubmit(1, messages.ChatChannel.WORLD, 0, text))

    widest = "🦊" * limits.CHAT_CHARS_MAX
    assert len(widest.encode()) <= limits.CHAT_BYTES_MAX
    assert codec.decode_client(line(widest)) == messages.ChatSubmit(
        1, messages.ChatChannel.WORLD, 0, widest
    )
    with pytest.raises(ProtocolError):
        codec.decode_client(line("a" * (limits.CHAT_CHARS_MAX + 1)))


def test_a_name_that_is_too_long_is_still_a_message() -> None:
    """So that the server can answer BAD_NAME with a sentence rather than MALFORMED."""
    hello = msgspec.structs.replace(cases.client_messages()["hello_guest"], name="x" * 10_000)
    assert codec.decode_client(codec.encode(hello)) == hello


def test_every_error_that_ends_a_session_has_a_close_code() -> None:
    assert set(CLOSE_CODE_OF) == {code for code in ErrorCode if code >= 100}
    assert all(code in CloseCode for code in CLOSE_CODE_OF.values())

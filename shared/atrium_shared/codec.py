"""Bytes to messages and back, and the hash that both sides compare at the handshake.

`decode_client` and `decode_server` have one invariant: any bytes either give a message or raise
ProtocolError. Messages are encoded by msgspec with the shortest integers; only poses and
snapshots are packed by hand with explicit 32-bit fields, so that all poses of one layout have
the same length and the same header bytes, and a pump can decode thousands of them as one matrix.
A peer that writes them with other valid integer forms is understood all the same.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from atrium_shared import messages, pose, snapshot
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import MESSAGE_BYTES_MAX
from atrium_shared.messages import ClientMessage, Message, ServerMessage

SUBPROTOCOL: Final = "atrium.1"

_Message = TypeVar("_Message")

POSE_HEAD: Final = struct.Struct(">BBBIBIBI")
"""fixarray 5, op, then three uint 32: seq, client_ms, ack_tick. Then bin 8 or bin 16."""
POSE_HEAD_BYTES: Final = POSE_HEAD.size
SNAPSHOT_HEAD: Final = struct.Struct(">BBBIBIBIBH")
"""fixarray 5, op, three uint 32: tick, server_ms, ack_seq; bin 16 and its length."""

_FIXARRAY_5, _UINT_32, _BIN_8, _BIN_16 = 0x95, 0xCE, 0xC4, 0xC5
_POSE_OP: Final = messages.op_of(messages.Pose)
_SNAPSHOT_OP: Final = messages.op_of(messages.Snapshot)

_encoder = msgspec.msgpack.Encoder()
_client_decoder = msgspec.msgpack.Decoder(ClientMessage)
_server_decoder = msgspec.msgpack.Decoder(ServerMessage)


def encode(message: Message) -> bytes:
    """The bytes of any message."""
    if isinstance(message, messages.Pose):
        return encode_pose(message.seq, message.client_ms, message.ack_tick, message.body)
    if isinstance(message, messages.Snapshot):
        return encode_snapshot(message.tick, message.server_ms, message.ack_seq, message.body)
    return _encoder.encode(message)


def encode_pose(seq: int, client_ms: int, ack_tick: int, body: bytes) -> bytes:
    """A pose with explicit types: the same length for every pose of one layout."""
    head = POSE_HEAD.pack(
        _FIXARRAY_5, _POSE_OP, _UINT_32, seq, _UINT_32, client_ms, _UINT_32, ack_tick
    )
    if len(body) < 256:
        return head + bytes((_BIN_8, len(body))) + body
    return head + struct.pack(">BH", _BIN_16, len(body)) + body


def encode_snapshot(tick: int, server_ms: int, ack_seq: int, body: bytes) -> bytes:
    """A snapshot with explicit types, its body always as bin 16."""
    head = SNAPSHOT_HEAD.pack(
        _FIXARRAY_5, _SNAPSHOT_OP, _UINT_32, tick, _UINT_32, server_ms, _UINT_32, ack_seq,
        _BIN_16, len(body),
    )
    return head + body


def decode_client(data: bytes) -> ClientMessage:
    """What a client said. Raises ProtocolError for anything that is not a client's message."""
    return _decode(_client_decoder, data)


def decode_server(data: bytes) -> ServerMessage:
    """What the server said. Raises ProtocolError for anything that is not a server's message."""
    return _decode(_server_decoder, data, bytes_max=1 << 20)


def _decode(
    decoder: msgspec.msgpack.Decoder[_Message], data: bytes, bytes_max: int = MESSAGE_BYTES_MAX
) -> _Message:
    if len(data) > bytes_max:
        raise ProtocolError(ErrorCode.TOO_LARGE, f"a message is larger than {bytes_max} bytes")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        sentence = f"not a message of {SUBPROTOCOL}: {error}"
        raise ProtocolError(ErrorCode.MALFORMED, sentence) from None


def canonical_table() -> str:
    """The wire as text: messages with all that they hold, layouts of poses and records."""
    lines = [SUBPROTOCOL, *table_of((*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES))]
    lines.append(f"yaw_steps={pose.YAW_STEPS} client_flags={pose.FLAGS_OF_CLIENT}")
    for parts in range(pose.PARTS_ALL + 1):
        lengths = [snapshot.record_length(form, parts) for form in snapshot.Form]
        lines.append(f"parts {parts}: body {pose.body_length(parts)} records {lengths}")
    return "\n".join(lines)


def table_of(kinds: Sequence[type[Message]]) -> list[str]:
    """One line for each message, and one for each structure that is found inside of them."""
    lines = [f"{messages.op_of(kind)} {kind.__name__}({_fields_of(kind)})" for kind in kinds]
    return [*lines, *(_line_of(kind) for kind in nested_of(kinds))]


def nested_of(kinds: Sequence[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """The structures that values of these types can hold, at any depth, in the order found."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting = [field.type for kind in kinds for field in info_of(kind).fields]
    while waiting:
        info = waiting.pop(0)
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls not in found:
                found[info.cls] = None
                waiting += [field.type for field in info.fields]
        elif isinstance(info, msgspec.inspect.UnionType):
            waiting += info.types
        elif isinstance(info, msgspec.inspect.TupleType):
            waiting += info.item_types
        elif isinstance(info, msgspec.inspect.VarTupleType):
            waiting.append(info.item_type)
    return list(found)


def info_of(kind: type[msgspec.Struct]) -> msgspec.inspect.StructType:
    """What msgspec knows of a structure: its tag and its fields, with types and bounds."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return info


def _line_of(kind: type[msgspec.Struct]) -> str:
    info = info_of(kind)
    form = "array" if info.array_like else f"map {info.tag_field}"
    return f"- {kind.__name__} {form} {info.tag}({_fields_of(kind)})"


def _fields_of(kind: type[msgspec.Struct]) -> str:
    return ", ".join(_field_of(field) for field in info_of(kind).fields)


def _field_of(field: msgspec.inspect.Field) -> str:
    """A field with its default, which stands for it where it is left out."""
    default = "" if field.required else f" = {msgspec.json.encode(field.default).decode()}"
    return f"{field.encode_name}: {_type_of(field.type)}{default}"


def _type_of(kind: msgspec.inspect.Type) -> str:
    """A stable name of a field's type: its kind and whatever bounds it has."""
    bounds = "".join(
        f" {name}={value}"
        for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
        if (value := getattr(kind, name, None)) is not None
    )
    if isinstance(kind, msgspec.inspect.StructType):
        return kind.cls.__name__
    if isinstance(kind, msgspec.inspect.EnumType):
        members = ",".join(f"{member.name}={member.value}" for member in kind.cls)
        return f"{kind.cls.__name__}<{members}>"
    if isinstance(kind, msgspec.inspect.UnionType):
        return "|".join(map(_type_of, kind.types))
    if isinstance(kind, msgspec.inspect.TupleType):
        return f"({', '.join(map(_type_of, kind.item_types))})"
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return f"[{_type_of(kind.item_type)}]{bounds}"
    return type(kind).__name__.removesuffix("Type").lower() + bounds


PROTOCOL_HASH: Final = hashlib.sha256(canonical_table().encode()).hexdigest()[:16]
"""What a client puts into its hello; the server accepts its own and those it still speaks."""

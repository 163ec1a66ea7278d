"""What the golden vectors say: one of each message, and bytes that must be refused."""

from __future__ import annotations

import math
import struct

import editing_cases as editing
import numpy as np
import social_cases as social
import wire_reference as reference

from atrium_shared import codec, messages, pose
from atrium_shared.errors import ErrorCode


def row_and_extra(seed: int) -> tuple[np.ndarray, bytes]:
    """A row with every column in use, and extra bytes, made from `seed`."""
    draw = np.random.default_rng(seed)
    row = np.zeros(pose.COLUMNS, np.int32)
    row[[pose.X, pose.Y, pose.Z]] = draw.integers(-30_000, 30_000, 3)
    row[pose.YAW] = draw.integers(0, pose.YAW_STEPS)
    row[pose.FLAGS] = pose.Flags.HAND_TRACKING
    for at in reference.points_of(pose.PARTS_ALL):
        row[at : at + 3] = draw.integers(-1_500, 1_500, 3)
        code = pose.encode_rotations(draw.normal(size=(1, 4)))
        row[at + 3] = code.view(np.int32)[0]
    return row, draw.integers(0, 256, pose.EXTRA_BYTES, np.uint8).tobytes()


def pose_body(seed: int, parts: int) -> bytes:
    """A pose body of the layout `parts`, written by the reference writer."""
    row, extra = row_and_extra(seed)
    record = reference.full_record(reference.Entity(row, extra, parts))
    return bytes((parts, record[0])) + record[1:]


def root_body(x: int, y: int, z: int, yaw: int, flags: int = 0) -> bytes:
    """A root-only pose body."""
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, [pose.X, pose.Y, pose.Z, pose.YAW, pose.FLAGS]] = [x, y, z, yaw, flags]
    return pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0).tobytes()


def client_messages() -> dict[str, messages.ClientMessage]:
    """At least one of each message that a client may send."""
    m = messages
    guest = m.Hello(
        codec.PROTOCOL_HASH, m.ClientKind.BOT, "Ada", "robot/blue", "", m.Capabilities(), "", "", 0
    )
    returning = m.Hello(
        codec.PROTOCOL_HASH, m.ClientKind.HEADSET, "Zoë 🦊", "", "plaza",
        m.Capabilities(255, 4_000_000, 63, ("rtc", "props")), "auth", "resume.token", 4_000_000_000,
    )
    teleport = m.TeleportTarget
    return {
        "hello_guest": guest,
        "hello_returning": returning,
        "clock_ping": m.ClockPing(123_456),
        "pose_root": m.Pose(1, 50, 0, root_body(1_000, 0, -2_000, 1_024)),
        "pose_three_points": m.Pose(2, 100, 7, pose_body(7, 3)),
        "pose_everything": m.Pose(2**32 - 1, 2**32 - 1, 2**32 - 1, pose_body(8, pose.PARTS_ALL)),
        "ack": m.Ack(900),
        "chat_world": m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "hello, world"),
        "chat_nearby": m.ChatSubmit(2, m.ChatChannel.NEARBY, 0, "grüß dich"),
        "chat_direct_longest": m.ChatSubmit(3, m.ChatChannel.DIRECT, 70_000, "é" * 500),
        "emote": m.EmoteSubmit(3),
        "teleport_point": m.Teleport(4, teleport.POINT, 0, 1.5, 0.0, -3.25, 0.5),
        "teleport_seat": m.Teleport(5, teleport.SEAT, 12, 0.0, 0.0, 0.0, 0.0),
        "teleport_spawn": m.Teleport(6, teleport.SPAWN, 0, 0.0, 0.0, 0.0, 0.0),
        "teleport_stand": m.Teleport(7, teleport.STAND, 0, 0.0, 0.0, 0.0, 0.0),
        "travel": m.Travel(8, "arena"),
        "bye": m.Bye(),
        **editing.client_messages(),
        **social.client_messages(),
    }


def server_messages() -> dict[str, messages.ServerMessage]:
    """At least one of each message that a server may send."""
    m = messages
    welcome = m.Welcome(
        42, "token.1", 70_000, "plaza", 900, 20, 45_000, 64, 1_000_000, 3, 1, False, 30,
        "/scenes/plaza@1", root_body(0, 0, 0, 0), 0, editing.ACCOUNT,
        m.Rights.BUILD | m.Rights.MODERATE,
    )
    travelled = m.Welcome(
        42, "token.2", 70_001, "tower", 12, 10, 46_000, 32, 1_000_000, 1, 2, True, 30,
        "/scenes/tower@3", root_body(-500, 30_000, 500, 2_048), 8, editing.GUEST, 0,
    )
    entries = (
        m.EnterEntry(0, 70_000, m.EntityKind.AVATAR, "Ada", "robot/blue"),
        m.EnterEntry(254, 2**32 - 1, m.EntityKind.NPC, "Wächter", ""),
        m.EnterEntry(7, 3, m.EntityKind.PROP, "", "props/ball"),
    )
    body = reference.section(0, 0, [(5, b"\x00" + root_body(1_000, 0, -2_000, 1_024)[2:])])
    return {
        "welcome": welcome,
        "welcome_travelled": travelled,
        "clock_pong": m.ClockPong(123_456, 45_010, 900),
        "snapshot_empty": m.Snapshot(901, 45_050, 2, b""),
        "snapshot_one": m.Snapshot(902, 45_100, 3, body),
        "enter": m.Enter(entries),
        "enter_nobody": m.Enter(()),
        "leave": m.Leave(b"\x00\x07\xfe"),
        "correction": m.Correction(3, 902, m.MoveReason.SPEED | m.MoveReason.COLLIDER,
                                   root_body(900, 0, -1_900, 1_024, 1)),
        "chat_status_pending": m.ChatStatus(1, m.ChatState.PENDING, 0, ""),
        "chat_status_published": m.ChatStatus(1, m.ChatState.PUBLISHED, 77, ""),
        "chat_status_rejected": m.ChatStatus(2, m.ChatState.REJECTED, 0, "not in this room"),
        "chat_status_retracted": m.ChatStatus(1, m.ChatState.RETRACTED, 77, "by a moderator"),
        "chat_published": m.ChatPublished(77, m.ChatChannel.WORLD, 70_000, "Ada", "hello, world",
                                          45_200),
        "chat_retract": m.ChatRetract(77),
        "emote": m.Emote(70_000, 3),
        "result_ok": m.Result(4, ErrorCode.OK, "", 0),
        "result_refused": m.Result(5, ErrorCode.TAKEN, "Somebody sits there.", 0),
        "result_retry": m.Result(6, ErrorCode.COOLDOWN, "Wait a moment.", 1_500),
        "error": m.Error(ErrorCode.VERSION, "This server speaks another version.", 0),
        "notice": m.Notice(ErrorCode.DRAINING, "The server restarts; you will be reconnected."),
        **editing.server_messages(),
        **social.server_messages(),
    }


def other_forms() -> dict[str, bytes]:
    """Valid MessagePack that is not the shortest: a decoder must take it as well."""
    body = root_body(1_000, 0, -2_000, 1_024)
    return {
        "clock_ping": b"\xdc\x00\x02\xcc\x02\xcf" + struct.pack(">Q", 123_456),
        "pose_root": b"\x95\x03\x01\x32\x00\xc4\x0c" + body,
        "ack": b"\xdd\x00\x00\x00\x02\x04\xd2" + struct.pack(">i", 900),
        "emote": b"\x92\xd0\x06\xd1\x00\x03",
        "travel": b"\x93\x08\x08\xdb\x00\x00\x00\x05arena",
        **editing.other_forms(),
    }


def malformed_client() -> dict[str, bytes]:
    """Bytes that are not a client's message."""
    hello = codec.encode(client_messages()["hello_guest"])
    teleport = b"\x98\x07\x01\x00\x00"
    return {
        "empty": b"",
        "not_msgpack": b"\xc1",
        "not_an_array": b"\x80",
        "array_without_op": b"\x90",
        "unknown_op": b"\x92\xcc\xc8\x01",
        "op_is_float": b"\x92\xca\x40\x00\x00\x00\x01",
        "op_of_a_server": codec.encode(messages.ClockPong(1, 2, 3)),
        "field_missing": b"\x91\x02",
        "field_too_many": b"\x93\x02\x01\x02",
        "trailing_byte": b"\x92\x02\x01\x00",
        "truncated": hello[:-1],
        "length_lies": b"\xdd\xff\xff\xff\xff\x02\x01",
        "number_negative": b"\x92\x04\xff",
        "number_too_large": b"\x92\x04\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        "bool_for_number": b"\x92\x04\xc3",
        "float_for_number": b"\x92\x04\xca\x3f\x80\x00\x00",
        "text_for_bytes": b"\x95\x03\x01\x02\x03\xac" + b"a" * 12,
        "body_too_short": b"\x95\x03\x01\x02\x03\xc4\x0b" + bytes(11),
        "body_too_long": b"\x95\x03\x01\x02\x03\xc5\x02\x01" + bytes(513),
        "text_empty": b"\x95\x05\x01\x00\x00\xa0",
        "text_too_long": b"\x95\x05\x01\x00\x00\xda\x01\xf5" + b"a" * 501,
        "text_not_utf8": b"\x95\x05\x01\x00\x00\xa2\xff\xfe",
        "channel_unknown": b"\x95\x05\x01\x03\x00\xa1a",
        "teleport_infinite": teleport + (b"\xcb" + struct.pack(">d", math.inf)) * 4,
        "teleport_not_a_number": teleport + (b"\xcb" + struct.pack(">d", math.nan)) * 4,
        "deep": b"\x91" * 4_000,
        **editing.malformed_client(),
    }


def malformed_server() -> dict[str, bytes]:
    """Bytes that are not a server's message."""
    return {
        "op_of_a_client": codec.encode(messages.ClockPing(1)),
        "snapshot_body_is_text": b"\x95\x42\x01\x02\x03\xa0",
        "enter_entry_short": b"\x92\x43\x91\x93\x00\x01\x00",
        "enter_kind_unknown": b"\x92\x43\x91\x95\x00\x01\x09\xa0\xa0",
        "index_too_large": b"\x92\x43\x91\x95\xcd\x01\x00\x01\x00\xa0\xa0",
        **editing.malformed_server(),
    }


def malformed_snapshots() -> dict[str, bytes]:
    """Bodies that a client must refuse, given that index 5 holds a FULL record with head only."""
    delta = reference.section(1, 1, [(5, bytes(10))])
    return {
        "section_head_cut": delta + b"\x00",
        "indexes_cut": b"\x00\x03\x05",
        "record_cut": delta[:-1],
        "form_3": b"\xc0\x00",
        "form_3_with_records": b"\xc0\x01\x05" + bytes(4),
        "index_255": reference.section(0, 0, [(255, bytes(11))]),
        "index_twice_in_a_section": reference.section(1, 0, [(5, bytes(4)), (5, bytes(4))]),
        "index_twice_in_two_sections": delta + reference.section(1, 0, [(5, bytes(4))]),
        "delta_before_full": reference.section(1, 0, [(6, bytes(4))]),
        "wide_before_full": reference.section(2, 0, [(6, bytes(8))]),
        "delta_with_parts_never_sent": reference.section(1, 3, [(5, bytes(22))]),
    }


def malformed_bodies() -> dict[str, bytes]:
    """Pose bodies that decode as bytes but whose length or parts are wrong."""
    good = root_body(0, 0, 0, 0)
    return {
        "parts_64": b"\x40" + good[1:],
        "one_byte_more": good + b"\x00",
        "head_promised": b"\x01" + good[1:],
    }

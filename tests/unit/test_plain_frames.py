"""Messages taken without the protocol object are those that it would have read."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.net.plain_frames import whole_messages
from atrium_server.net.walker import FrameWalker
from atrium_shared import limits

LENGTHS = [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 300, 4_096, limits.MESSAGE_BYTES_MAX]


def frame(payload: bytes, first: int = 0x82, mask: bytes = b"\x01\x20\x03\xff") -> bytes:
    """A frame in its shortest form, from `payload` before it is masked."""
    if len(payload) <= 125:
        head = struct.pack(">BB", first, 0x80 | len(payload))
    else:
        head = struct.pack(">BBH", first, 0x80 | 126, len(payload))
    return head + mask + bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))


@st.composite
def plain(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(payload, frame) of the usual form."""
    length = draw(st.sampled_from(LENGTHS))
    payload = draw(st.binary(min_size=min(length, 8), max_size=8)).ljust(length, b"x")[:length]
    return payload, frame(payload, mask=draw(st.binary(min_size=4, max_size=4)))


OTHERS = {
    "text": frame(b"hello", 0x81),
    "a fragment": frame(b"hello", 0x02),
    "the end of a message in fragments": frame(b"hello", 0x80),
    "a ping": frame(b"hello", 0x89),
    "a close": frame(b"\x03\xe8", 0x88),
    "an extension's bit": frame(b"hello", 0xC2),
    "no mask": b"\x82\x05hello",
    "a length that could be shorter": b"\x82\xfe\x00\x05\x00\x00\x00\x00hello",
    "a length in eight bytes": b"\x82\xff" + (5).to_bytes(8, "big") + b"\x00\x00\x00\x00hello",
    "too much": b"\x82\xfe" + (limits.MESSAGE_BYTES_MAX + 1).to_bytes(2, "big")
    + bytes(4 + limits.MESSAGE_BYTES_MAX + 1),
    "nothing": b"",
}


@given(
    st.lists(plain(), max_size=4), st.sampled_from(sorted(OTHERS)), st.lists(plain(), max_size=2)
)
def test_whole_messages_are_taken_up_to_the_first_that_is_not(
    usual: list[tuple[bytes, bytes]], other: str, more: list[tuple[bytes, bytes]]
) -> None:
    before = b"".join(data for _, data in usual)
    after = b"".join(data for _, data in more)
    payloads, used = whole_messages(before + OTHERS[other] + after)
    expected = [payload for payload, _ in usual]
    if other == "nothing":
        expected += [payload for payload, _ in more]
        before += after
    assert payloads == expected
    assert used == len(before)


@given(st.lists(plain(), min_size=1, max_size=3), st.data())
def test_half_a_frame_waits(usual: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    whole = b"".join(one for _, one in usual)
    last = len(usual[-1][1])
    missing = data.draw(st.integers(1, last))
    payloads, used = whole_messages(whole[:-missing])
    assert payloads == [payload for payload, _ in usual[:-1]]
    assert used == len(whole) - last


@given(st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(
        plain().map(lambda one: one[1]), st.sampled_from(sorted(OTHERS.values())),
        st.binary(max_size=3),
    ), max_size=5).map(b"".join),
))
@example(b"\x82\x80")
@example(b"\x82\xfe\xff\xff\x00\x00\x00\x00")
def test_the_protocol_object_reads_the_same(data: bytes) -> None:
    """Whatever comes: what was taken here is what it reads from these bytes, no more, no less."""
    payloads, used = whole_messages(data)
    assert 0 <= used <= len(data)
    protocol = ServerProtocol(state=State.OPEN, max_size=limits.MESSAGE_BYTES_MAX)
    walker = FrameWalker()
    protocol.receive_data(data[:used])
    walker.feed(data[:used])
    read = protocol.events_received()
    assert protocol.state is State.OPEN
    assert walker.at_boundary
    assert [bytes(one.data) for one in read if isinstance(one, Frame)] == payloads
    assert all(isinstance(one, Frame) and one.opcode is Opcode.BINARY and one.fin for one in read)
    # And nothing was left that is of this form.
    assert whole_messages(data[used:]) == ([], 0)

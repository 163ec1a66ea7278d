"""The frame walker against the protocol object it stands beside, at every split of the bytes."""

from __future__ import annotations

import random
import struct

from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.net.walker import FrameWalker


@st.composite
def frames(draw: st.DrawFn) -> tuple[int, bool, bytes]:
    """(opcode, fin, bytes) of one masked frame."""
    opcode = draw(st.sampled_from([0, 1, 2, 2, 8, 9, 10]))
    fin = draw(st.booleans()) or opcode >= 8
    length = draw(st.sampled_from([0, 1, 5, 125, 126, 127, 300, 65_535, 65_536]))
    if opcode >= 8:
        length = min(length, 125)
    if length < 126 and not draw(st.integers(0, 3)):
        head = struct.pack(">BBH", opcode | fin << 7, 0x80 | 126, length)
    elif length < 126:
        head = struct.pack(">BB", opcode | fin << 7, 0x80 | length)
    elif length < 65_536:
        head = struct.pack(">BBH", opcode | fin << 7, 0x80 | 126, length)
    else:
        head = struct.pack(">BBQ", opcode | fin << 7, 0x80 | 127, length)
    return opcode, fin, head + b"\x07\x08\x09\x0a" + bytes(length)


@given(st.lists(frames(), max_size=6), st.integers(0, 2**32))
def test_it_is_at_a_boundary_exactly_between_messages(
    sequence: list[tuple[int, bool, bytes]], seed: int
) -> None:
    rng = random.Random(seed)
    boundaries = {0}
    position, open_ = 0, False
    for opcode, fin, data in sequence:
        position += len(data)
        if opcode < 8:
            open_ = not fin
        if not open_:
            boundaries.add(position)
    stream = b"".join(data for _, _, data in sequence)
    walker, at = FrameWalker(), 0
    while at < len(stream):
        step = min(rng.choice((1, 2, 3, 7, 130, 70_000)), len(stream) - at)
        walker.feed(stream[at : at + step])
        at += step
        assert walker.at_boundary == (at in boundaries), at


@given(st.lists(frames(), min_size=1, max_size=4), st.data())
def test_where_it_says_boundary_the_protocol_holds_nothing_back(
    sequence: list[tuple[int, bool, bytes]], data: st.DataObject
) -> None:
    """The fast path may open there: a whole frame given to it is missed by nobody."""
    stream = b"".join(part for _, _, part in sequence)
    cut = data.draw(st.integers(0, len(stream)))
    walker, protocol = FrameWalker(), ServerProtocol(state=State.OPEN, max_size=2**20)
    for piece in (stream[:cut], stream[cut:]):
        walker.feed(piece)
        protocol.receive_data(piece)
        protocol.events_received()
        if protocol.state is not State.OPEN:
            return
        if walker.at_boundary:
            assert not protocol.reader.buffer
            assert protocol.current_size is None
            probe = ServerProtocol(state=State.OPEN, max_size=2**20)
            probe.receive_data(b"\x82\x81abcd\x00")
            protocol.receive_data(b"\x82\x81abcd\x00")
            assert protocol.events_received() == probe.events_received()
            walker.feed(b"\x82\x81abcd\x00")
            assert walker.at_boundary


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_walked_alike_in_any_pieces(pieces: list[bytes]) -> None:
    in_pieces, at_once = FrameWalker(), FrameWalker()
    for piece in pieces:
        in_pieces.feed(piece)
    at_once.feed(b"".join(pieces))
    assert in_pieces.at_boundary == at_once.at_boundary
    assert in_pieces.fragment_open == at_once.fragment_open

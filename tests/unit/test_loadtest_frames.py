"""Pose frames against the codec and the websockets library; pose matching against comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from atrium_loadtest import frames
from atrium_loadtest.fleet import BODY_BYTES, FRAME_BYTES, HISTORY, PARTS, make_fleet
from atrium_shared import codec, messages, pose
from atrium_shared.errors import ProtocolError


def random_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows with head and hands anywhere that the wire can say."""
    rows = np.zeros((count, pose.COLUMNS), np.int32)
    rows[:, [pose.X, pose.Z]] = rng.integers(-(2**23), 2**23, (count, 2))
    rows[:, pose.Y] = rng.integers(-(2**15), 2**15, count)
    rows[:, pose.YAW] = rng.integers(0, pose.YAW_STEPS, count)
    for point in range(3):
        at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        rows[:, at : at + 3] = rng.integers(-(2**15), 2**15, (count, 3))
        rows[:, at + 3] = rng.integers(-(2**31), 2**31, count)
    return rows


@given(st.integers(0, 2**32 - 1))
def test_frames_are_those_of_the_codec(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, 3)
    fleet = make_fleet(5, 16)
    chosen = np.array([4, 0, 2], np.int32)
    fleet.bots["seq"] = rng.integers(0, 2**32 - 1, 5)
    fleet.bots["ack_tick"] = rng.integers(0, 2**32, 5)
    client_ms = int(rng.integers(0, 2**32))
    matrix = np.zeros((3, FRAME_BYTES), np.uint8)
    keys = rng.integers(0, 2**32, 3, dtype=np.uint32)
    frames.encode_frames(rows, chosen, fleet.bots, client_ms, keys, fleet.hashes, matrix)
    bodies = pose.encode_bodies(rows, np.zeros((3, pose.EXTRA_BYTES), np.uint8), PARTS)
    for k, bot in enumerate(chosen):
        key = bytes(matrix[k, 2:6])
        assert int.from_bytes(key, "little") == keys[k]
        expected = codec.encode_pose(
            int(fleet.bots["seq"][bot]) + 1, client_ms, int(fleet.bots["ack_tick"][bot]),
            bodies[k].tobytes(),
        )
        assert matrix[k].tobytes() == frames.client_frame(frames.BINARY, expected, key)
        assert isinstance(codec.decode_client(expected), messages.Pose)
    assert bodies.shape[1] == BODY_BYTES


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_client_frames_are_read_by_a_standard_server(payload: bytes, key: bytes) -> None:
    standard = Frame(Opcode.BINARY, payload).serialize(mask=True)
    ours = frames.client_frame(frames.BINARY, payload, standard[-len(payload) - 4 :][:4])
    assert ours == standard if payload else ours[:2] == standard[:2]


@given(st.binary(max_size=70_000), st.binary(max_size=20), st.data())
def test_a_server_frame_is_read_when_it_is_whole(
    payload: bytes, rest: bytes, data: st.DataObject
) -> None:
    whole = Frame(Opcode.BINARY, payload).serialize(mask=False)
    assert frames.server_frame(whole + rest) == (frames.BINARY, payload, rest)
    assert len(whole) == len(payload) + frames.header_bytes(len(payload))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert frames.server_frame(whole[:cut]) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_frame_or_a_protocol_error(data: bytes) -> None:
    try:
        frames.server_frame(data)
    except ProtocolError:
        assert data[0] & 0xF0 != 0x80 or data[1] & 0x80


# --- pose age ------------------------------------------------------------------------------


def sent(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A history in which one bot sent `rows` at 1, 2, 3, ... ns."""
    fleet = make_fleet(1, 16)
    for number, row in enumerate(rows, start=1):
        frames.hash_row(row, fleet.hashes[0, number % HISTORY])
        fleet.stamps[0, number % HISTORY] = number
    return fleet.hashes, fleet.stamps


def match(rows: np.ndarray, parts: int, bot: int, history: tuple[np.ndarray, ...]) -> list[int]:
    found = np.full(len(rows), -7, np.int64)
    frames.match_rows(
        rows, np.full(len(rows), parts, np.uint8), np.full(len(rows), bot, np.int32), *history,
        found,
    )
    return found.tolist()


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_record_is_found_by_the_parts_it_carries(parts: int) -> None:
    rows = random_rows(np.random.default_rng(5), 40)
    history = sent(rows)
    seen = rows.copy()
    seen[:, [pose.Y, pose.FLAGS]] += 1
    if parts < 3:
        seen[:, pose.ROOT_COLUMNS + 4 :] += 1
    if parts < 1:
        seen[:, pose.ROOT_COLUMNS :] += 1
    assert match(seen, parts, 0, history) == list(range(1, 41))


def test_what_was_never_sent_or_is_forgotten_is_not_found() -> None:
    rows = random_rows(np.random.default_rng(6), HISTORY + 3)
    history = sent(rows)
    assert match(rows[:4], 3, 0, history) == [0, 0, 0, 4]
    assert match(rows[10:11], 3, -1, history) == [0]
    assert match(rows[10:11], 2, 0, history) == [0]
    changed = rows[10:11].copy()
    changed[0, pose.X] += 1
    assert match(changed, 3, 0, history) == [0]
    turned = rows[10:11].copy()
    turned[0, pose.ROOT_COLUMNS + 11] ^= 1
    assert match(turned, 3, 0, history) == [0]


def test_of_equal_poses_the_newest_counts() -> None:
    row = random_rows(np.random.default_rng(7), 1)
    assert match(row, 3, 0, sent(np.repeat(row, 9, axis=0))) == [9]

"""Recordings: lived again a run comes out the same, damage is called damage, memory is bounded."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.mailbox import Drained, Inbox
from atrium_server.recording import (
    Recorder,
    RecordingError,
    ReplaySummary,
    create_recording,
    replay_file,
    replay_summary,
)
from atrium_server.tick_records import encode_tick
from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared.messages import ChatChannel, TeleportTarget

MANIFEST = """
[world]
name = "test"
tick_rate_hz = 20
capacity = 12
[extent]
min = [-20.0, -1.0, -20.0]
max = [20.0, 9.0, 20.0]
[[seat]]
name = "a"
position = [0.0, 0.4, -3.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 4.0
"""


class Life:
    """A world with an inbox and a recorder, to which random things happen."""

    def __init__(self, recorder: Recorder, seed: int = 1, before: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.recorder, self.before = recorder, before
        self.world = World(parse_manifest(MANIFEST, "test"), seed)
        self.inbox = Inbox(12)
        self.inside: list[int] = []
        self.judging: list[int] = []
        self.next_session = 1
        recorder.begin(MANIFEST, "test", seed, self.world)

    def run(self, ticks: int) -> Life:
        for _ in range(ticks):
            self.happen()
            self.step(self.inbox.drain())
        return self

    def step(self, drained: Drained) -> c.TickOutput:
        server_ms = self.world.tick * 50
        if self.before:
            self.recorder.take(drained, server_ms, self.world)
        out = self.world.step(drained.commands, drained.poses, server_ms)
        if not self.before:
            self.recorder.take(drained, server_ms, self.world)
        self.judging += [request.line_id for request in out.judge]
        for line_id in [n for n in self.judging if self.rng.random() < 0.4]:
            self.judging.remove(line_id)
            self.inbox.must(c.Judged(line_id, bool(self.rng.random() < 0.8), f"{line_id}", "no"))
        return out

    def happen(self) -> None:
        rng, offer = self.rng, self.inbox.offer
        if len(self.inside) < 12 and rng.random() < 0.3:
            self.join()
        for session in list(self.inside):
            match int(rng.integers(40)):
                case 0:
                    offer(c.Leave(session))
                    self.inside.remove(session)
                    if rng.random() < 0.3:
                        self.join()  # when all slots are taken it waits for a tick
                case 1:
                    offer(c.Say(session, 3, ChatChannel(int(rng.integers(3))), 1, "hé 🙂"))
                case 2:
                    kind = TeleportTarget(int(rng.integers(4)))
                    offer(c.Jump(session, 4, kind, 0, *rng.uniform(-9, 9, 3).tolist(), 1.5))
                case 3:
                    offer(c.LinkChange(session, bool(rng.random() < 0.5)))
                case 4:
                    offer(c.Gesture(session, 7))
                case 5:
                    offer(c.Retract(1))
                case _:
                    pass
        self.inbox.offer_poses(self.poses())

    def join(self) -> None:
        self.inbox.offer(c.Join(self.next_session, "Zoë", "a.glb"))
        self.inside.append(self.next_session)
        self.next_session += 1

    def fail(self) -> None:
        """A tick with inputs that make a world fail: what should have been refused got in."""
        self.inbox.offer(c.Leave(self.inside.pop()))
        self.step(self.inbox.drain())
        self.inbox.offer(c.Join(self.next_session, "x" * 1000, "a.glb"))
        with pytest.raises(AssertionError, match="bounded where they come in"):
            self.step(self.inbox.drain())

    def poses(self) -> PoseBatch:
        rng, n = self.rng, 6
        rows = np.zeros((n, pose.COLUMNS), np.int32)
        rows[:, [pose.X, pose.Z]] = rng.integers(-(2**23), 2**23, (n, 2))
        rows[:, [pose.X, pose.Z]] //= int(rng.choice([1, 1_000]))
        rows[:, pose.Y] = rng.integers(-(2**15), 2**15, n)
        rows[:, pose.YAW] = rng.integers(0, 4096, n)
        rows[:, pose.FLAGS] = rng.integers(0, 256, n)
        parts = rng.choice([0, 1, 3, 3, 7, 8, 63] if rng.random() < 0.3 else [3, 0], n)
        for point, part in enumerate(pose.POINT_PART):
            at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
            has = parts & part != 0
            rows[has, at : at + 3] = rng.integers(-(2**15), 2**15, (int(has.sum()), 3))
            rows[has, at + 3] = rng.integers(-(2**31), 2**31, int(has.sum()))
        # What a pose does not have may hold anything: the pump does not clear it.
        extras = rng.integers(0, 256, (n, pose.EXTRA_BYTES)).astype(np.uint8)
        return PoseBatch(
            rng.integers(0, 12, n).astype(np.int32), rng.integers(1, 400, n).astype(np.uint32),
            rng.integers(1, 400, n).astype(np.uint32), rows, parts.astype(np.uint8), extras,
        )


class Kept(io.BytesIO):
    """A file whose bytes can be had after it was closed."""

    def close(self) -> None:
        pass


def recorded(path: Path, ticks: int, **life: bool) -> Life:
    file = Kept()
    recorder = Recorder(20, file)
    lived = Life(recorder, **life).run(ticks)
    recorder.close()
    path.write_bytes(file.getvalue())
    return lived


@pytest.mark.parametrize("before", [False, True])
def test_a_recording_replays_to_the_same_world(tmp_path: Path, before: bool) -> None:
    path = tmp_path / "x.ticks"
    life = recorded(path, 300, before=before)
    digests = [world.digest() for world in replay_file(path)]
    assert len(digests) == life.world.tick == 300
    assert digests[-1] == life.world.digest()
    assert len(set(digests)) == 300
    summary = replay_summary(path)
    assert (summary.ticks, summary.digest) == (300, digests[-1])
    assert life.next_session > 20, "people came and went"


def test_records_hold_digests_and_a_wrong_one_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.ticks"
    recorded(path, 60)
    parts = list(msgpack.Unpacker(io.BytesIO(path.read_bytes())))
    digests = [record[9] for record in parts[1:] if record[10]]
    assert digests == [20, 40, 60]
    joins = [tick for tick in range(21, 40) if b"join" in parts[tick][1]]
    parts[joins[0]][1] = msgpack.packb([])  # somebody never came
    path.write_bytes(b"".join(msgpack.packb(part) for part in parts))
    seen: list[int] = []
    with pytest.raises(RecordingError, match="tick 40 came out differently"):
        seen.extend(world.tick for world in replay_file(path))
    assert seen == list(range(1, 40))


def test_a_new_beginning_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "x.ticks"
    file = Kept()
    recorder = Recorder(20, file)
    Life(recorder, seed=1).run(30)
    second = Life(recorder, seed=2).run(45)
    recorder.close()
    path.write_bytes(file.getvalue())
    ticks = [world.tick for world in replay_file(path)]
    assert ticks == [*range(1, 31), *range(1, 46)]
    assert replay_summary(path).digest == second.world.digest()


@pytest.mark.parametrize("begins_again", [False, True])
def test_the_inputs_that_made_a_world_fail_are_in_it(tmp_path: Path, begins_again: bool) -> None:
    path = tmp_path / "x.ticks"
    file = Kept()
    recorder = Recorder(20, file)
    Life(recorder, before=True).run(9).fail()
    if begins_again:
        Life(recorder, seed=3, before=True).run(5)
    recorder.close()
    path.write_bytes(file.getvalue())
    if begins_again:
        assert [world.tick for world in replay_file(path)] == [*range(1, 11), *range(1, 6)]
        return
    seen: list[int] = []
    with pytest.raises(RecordingError, match="tick 11 fails"):
        seen.extend(world.tick for world in replay_file(path))
    assert seen == list(range(1, 11))


@pytest.mark.parametrize("before", [False, True])
def test_the_ring_is_bounded_by_time_and_replays(tmp_path: Path, before: bool) -> None:
    recorder = Recorder(1)
    life = Life(recorder, before=before)
    path = tmp_path / "x.ticks"
    for tick in range(1, 2 * int(limits.REPLAY_S_MAX) + 25):
        life.run(1)
        if tick % 7:
            continue
        path.write_bytes(recorder.recent())
        header, *records = msgpack.Unpacker(io.BytesIO(path.read_bytes()))
        assert min(tick, 45) <= len(records) <= limits.REPLAY_S_MAX
        assert header["tick"] == tick - len(records)
        assert records[-1][0] == 50 * (tick - 1)
        assert next(world.tick for world in replay_file(path)) == header["tick"] + 1
        assert replay_summary(path) == ReplaySummary(len(records), life.world.digest())


def test_the_ring_is_bounded_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REPLAY_BYTES_MAX", 130_000)
    recorder = Recorder(20)
    life = Life(recorder).run(400)
    data = recorder.recent()
    header, *records = msgpack.Unpacker(io.BytesIO(data))
    assert len(data) <= 131_000
    assert sum(map(len, recorder._ring)) == sum(len(msgpack.packb(one)) for one in records)
    assert 80 < len(records) < 400
    assert header["tick"] == 400 - len(records)
    path = tmp_path / "x.ticks"
    path.write_bytes(data)
    assert replay_summary(path) == ReplaySummary(len(records), life.world.digest())
    recorder.begin(MANIFEST, "test", 1, World(parse_manifest(MANIFEST, "test"), 1))
    assert len(list(msgpack.Unpacker(io.BytesIO(recorder.recent())))) == 1


def test_a_young_ring_is_a_whole_recording(tmp_path: Path) -> None:
    recorder = Recorder(20)
    life = Life(recorder).run(50)
    path = tmp_path / "x.ticks"
    path.write_bytes(recorder.recent())
    assert replay_summary(path).digest == life.world.digest()


def test_a_failure_after_the_first_minute_fails_again(tmp_path: Path) -> None:
    recorder = Recorder(1)
    Life(recorder, before=True).run(150).fail()
    path = tmp_path / "x.ticks"
    path.write_bytes(recorder.recent())
    seen: list[int] = []
    with pytest.raises(RecordingError, match="tick 152 fails: AssertionError"):
        seen.extend(world.tick for world in replay_file(path))
    assert len(seen) >= 45
    assert seen[-1] == 151


def test_a_ring_knows_its_digests(tmp_path: Path) -> None:
    recorder = Recorder(1)
    Life(recorder).run(150)
    parts = list(msgpack.Unpacker(io.BytesIO(recorder.recent())))
    ticks = [record[9] for record in parts[1:] if record[10]]
    assert ticks == [105, 120, 135, 150]
    parts[1][1] = msgpack.packb([["leave", session] for session in range(1000)])
    path = tmp_path / "x.ticks"
    path.write_bytes(b"".join(msgpack.packb(part) for part in parts))
    with pytest.raises(RecordingError, match="tick 105 came out differently"):
        replay_summary(path)


def test_a_full_disk_ends_the_recording_and_not_the_world(
    caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Kept):
        def write(self, data: object) -> int:
            if self.tell() > 2_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    recorder = Recorder(20, Full())
    assert Life(recorder).run(50).world.tick == 50
    recorder.close()
    assert [record.getMessage() for record in caplog.records] == [
        "recording ends here: No space left on device"
    ]


def test_a_tick_does_not_wait_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a write hangs ticks go on; what waits is bounded, and what was written is whole."""
    monkeypatch.setattr(limits, "REPLAY_BYTES_MAX", 30_000)
    hangs = threading.Event()

    class Slow(Kept):
        def write(self, data: object) -> int:
            hangs.wait()
            return super().write(data)  # type: ignore[arg-type]

    file = Slow()
    recorder = Recorder(20, file)
    life = Life(recorder).run(300)
    assert life.world.tick == 300
    assert file.getvalue() == b""
    assert [record.getMessage() for record in caplog.records] == [
        "recording ends here: the file is written too slowly"
    ]
    hangs.set()
    recorder.close()
    assert 20_000 < len(file.getvalue()) <= 30_000
    path = tmp_path / "x.ticks"
    path.write_bytes(file.getvalue())
    assert 20 < replay_summary(path).ticks < 300


def test_a_recorder_that_never_took_a_tick_has_no_thread() -> None:
    """A server that cannot start must end, not wait for a thread that nobody closes."""
    file = Kept()
    before = threading.active_count()
    recorder = Recorder(20, file)
    recorder.begin(MANIFEST, "test", 1, World(parse_manifest(MANIFEST, "test"), 1))
    assert threading.active_count() == before
    recorder.close()
    assert threading.active_count() == before
    assert len(list(msgpack.Unpacker(io.BytesIO(file.getvalue())))) == 1


def test_a_record_is_small() -> None:
    """It is what bounds the memory of a world: of head and hands at most 51 bytes a pose."""
    n = 500
    batch = PoseBatch(
        np.arange(n, dtype=np.int32), np.ones(n, np.uint32), np.ones(n, np.uint32),
        np.zeros((n, pose.COLUMNS), np.int32), np.full(n, 3, np.uint8),
        np.zeros((n, pose.EXTRA_BYTES), np.uint8),
    )
    assert len(encode_tick([], batch, 0)) <= 57 * n + 64


# --- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("recording") / "good.ticks"
    recorded(path, 40)
    return path.read_bytes()


def replayed(path: Path, data: bytes) -> int:
    """Ticks that could be lived; anything else than a RecordingError is a failure of the test."""
    path.write_bytes(data)
    ticks = 0
    try:
        for _ in replay_file(path):
            ticks += 1
    except RecordingError:
        pass
    return ticks


@given(st.binary(max_size=300))
def test_any_bytes_are_a_recording_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    assert replayed(tmp_path_factory.getbasetemp() / "any.ticks", data) == 0


@given(data=st.data())
def test_a_damaged_recording_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                damaged[at % max(1, len(damaged))] = data.draw(st.integers(0, 255))
            case 1:
                del damaged[at : at + data.draw(st.integers(1, 50))]
            case _:
                damaged[at:at] = data.draw(st.binary(max_size=20))
    assert replayed(tmp_path_factory.getbasetemp() / "damaged.ticks", bytes(damaged)) <= 41


@given(data=st.data())
def test_a_record_of_the_right_shape_with_wrong_contents_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    parts = list(msgpack.Unpacker(io.BytesIO(good)))
    record = data.draw(st.sampled_from(parts[1:]))
    field = data.draw(st.integers(0, 10))
    record[field] = data.draw(
        st.binary(max_size=64) | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9)
        | st.none() | st.just(b"\xff" * 4 * len(record[5]))
    )
    whole = b"".join(msgpack.packb(part) for part in parts)
    replayed(tmp_path_factory.getbasetemp() / "contents.ticks", whole)


@pytest.mark.parametrize("slot", [12, 13, 2**31, 2**32 - 1])
def test_a_slot_beyond_the_world_is_an_error(tmp_path: Path, good: bytes, slot: int) -> None:
    """Kernels do not check bounds: it must not get that far."""
    parts = list(msgpack.Unpacker(io.BytesIO(good)))
    parts[7][2] = slot.to_bytes(4, "little") + parts[7][2][4:]
    path = tmp_path / "slot.ticks"
    path.write_bytes(b"".join(msgpack.packb(part) for part in parts))
    with pytest.raises(RecordingError, match="tick 7 is damaged"):
        replay_summary(path)


@pytest.mark.parametrize("cut", [1, 2, 10, 500])
def test_a_recording_that_was_cut_off_is_an_error(
    tmp_path: Path, good: bytes, cut: int
) -> None:
    path = tmp_path / "cut.ticks"
    path.write_bytes(good[:-cut])
    with pytest.raises(RecordingError):
        replay_summary(path)


@pytest.mark.parametrize("changes", [
    {"format": 1}, {"format": "2"}, {"tick": -1}, {"tick": 5}, {"seed": -1}, {"seed": None},
    {"manifest": "[world"}, {"manifest": ""}, {"source": 4}, {"checkpoint": b"x"},
    {"tick": 5, "checkpoint": b"x"}, {"tick": 5, "checkpoint": 5},
])
def test_a_header_that_is_none_is_an_error(
    tmp_path: Path, good: bytes, changes: dict[str, object]
) -> None:
    header, *_ = msgpack.Unpacker(io.BytesIO(good))
    path = tmp_path / "header.ticks"
    path.write_bytes(msgpack.packb({**header, **changes}))
    with pytest.raises(RecordingError):
        replay_summary(path)


def test_a_recording_is_for_its_owner_also_where_a_file_was(tmp_path: Path) -> None:
    path = tmp_path / "run.rec"
    path.write_bytes(b"of another time")
    path.chmod(0o644)
    with create_recording(path) as file:
        assert path.stat().st_mode & 0o777 == 0o600
        file.write(b"new")
    assert path.read_bytes() == b"new"
    with create_recording(tmp_path / "other.rec"):
        assert (tmp_path / "other.rec").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("exists", [True, False])
def test_a_recording_does_not_follow_a_link(tmp_path: Path, exists: bool) -> None:
    precious, link = tmp_path / "precious", tmp_path / "run.rec"
    if exists:
        precious.write_bytes(b"keep me")
    link.symlink_to(precious)
    with pytest.raises(OSError, match="it is a link"):
        create_recording(link)
    assert precious.exists() == exists
    assert not exists or precious.read_bytes() == b"keep me"


def test_a_recording_is_an_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="no ordinary file"):
            create_recording(tmp_path / "pipe")
    finally:
        os.close(reader)
    with pytest.raises(IsADirectoryError):
        create_recording(tmp_path)

"""A recorded run of the whole server, lived again without it, comes to the same world."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from harness import House, open_house, write_world
from trio.testing import MockClock
from walkers import Ledger, Walker, crowd_of

from atrium_server.cli import app
from atrium_server.recording import RecordingError, replay_file, replay_summary
from atrium_server.world.commands import AnyCommand
from atrium_shared import limits
from atrium_shared import messages as m


async def busy_minute(house: House) -> None:
    """People come, walk, talk, jump, lose their links, come back and leave."""
    ledger = Ledger(house)
    walkers = await crowd_of(house, ledger, 4)
    for round_ in range(6):
        for number, walker in enumerate(walkers):
            peer = walker.peer
            assert peer is not None
            await peer.say(m.ChatSubmit(round_, m.ChatChannel(number % 2), 0, f"line {round_} é"))
            await peer.say(m.EmoteSubmit(number))
            await peer.say(m.MarkerSubmit((0.0, 0.0, 0.0), 0.0))
            await peer.say(m.Relate(round_, number % 4 + 1, "", (round_ + number) % 8))
            await peer.say(m.SafeZone(round_, is_on=(round_ + number) % 3 == 0))
            await peer.say(m.AvatarSubmit(round_, f"{round_}.glb"))
            await peer.say(m.Teleport(round_, m.TeleportTarget.SPAWN, 0, 0.0, 0.0, 0.0, 0.0))
            await trio.sleep(0.1)
        await trio.sleep(0.5)
        back = walkers[round_ % 4]
        assert back.peer is not None
        back.peer.stream.cut()  # type: ignore[attr-defined] -- a memory stream
        await trio.sleep(0.5)
        assert (await back.join(resume=True)).resumed
        back.start()
        guest = Walker(house, f"guest {round_}", ledger)
        await guest.join()
        guest.start()
        await trio.sleep(0.5)
        assert guest.peer is not None
        await guest.peer.say(m.Bye())


async def test_the_recording_of_a_run_replays_to_the_same_world(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "run.ticks"
    world = write_world(tmp_path, "hall")
    async with open_house(worlds=[world], record_file=path, seed=5) as house:
        await busy_minute(house)
        live = house.host().world
    assert live.tick > 150
    summary = replay_summary(path)
    assert summary.ticks == live.tick
    assert summary.digest == live.digest()


async def test_a_recording_goes_on_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "run.ticks"
    world = write_world(tmp_path, "hall")
    async with open_house(worlds=[world], record_file=path) as house:
        ledger = Ledger(house)
        host = house.host()
        # The real one would write into the folder for temporary files.
        object.__setattr__(host.parts, "dump", lambda name, data: None)
        await crowd_of(house, ledger, 2)
        await trio.sleep(1.0)
        first = host.world.tick
        fail_next_step(host)
        await trio.sleep(1.0)
        await crowd_of(house, Ledger(house), 2)
        await trio.sleep(1.0)
        live = host.world
        assert live.tick < first + 40
    worlds = [(w.tick, len(w._slot_of_session)) for w in replay_file(path)]
    ticks = [tick for tick, _ in worlds]
    restart = ticks.index(1, 1)
    # The tick whose inputs the patched step refused is no bug of the world that is lived again.
    assert restart in (first, first + 1, first + 2)
    assert ticks[restart:] == list(range(1, live.tick + 1))
    assert worlds[-1][1] == 2
    assert replay_summary(path).digest == live.digest()


async def test_what_is_kept_of_a_world_that_failed_late_replays(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(limits, "REPLAY_S_MAX", 4.0)
    monkeypatch.setattr(limits, "REPLAY_CHECKPOINT_S", 1.0)
    path = tmp_path / "dump.ticks"
    async with open_house(worlds=[write_world(tmp_path, "hall")], seed=3) as house:
        host = house.host()
        object.__setattr__(host.parts, "dump", lambda name, data: path.write_bytes(data))
        await crowd_of(house, Ledger(house), 3)
        await trio.sleep(7.0)
        failed = host.world
        fail_next_step(host)
        await trio.sleep(1.0)
        assert host.world is not failed
    digests = {world.tick: world.digest() for world in replay_file(path)}
    assert 60 <= len(digests) <= 81
    assert list(digests)[-2:] == [failed.tick, failed.tick + 1]
    assert digests[failed.tick] == failed.digest()
    with pytest.raises(SystemExit) as ended:
        app(["replay", str(path)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"{len(digests)} ticks, the same world again: ")


def fail_next_step(host: object) -> None:
    """The next tick of this host's present world has a bug."""
    def step(commands: list[AnyCommand], poses: object, server_ms: int) -> None:
        raise ZeroDivisionError("a bug")

    host.world.step = step  # type: ignore[attr-defined]


async def test_two_worlds_are_recorded_into_two_files(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    worlds = [write_world(tmp_path, "hall"), write_world(tmp_path, "yard")]
    async with open_house(worlds=worlds, record_file=tmp_path / "run.ticks") as house:
        await house.joined("Ann", world="yard")
        await trio.sleep(1.0)
        live = {host.name: host.world for host in house.server.hosts}
    for name, world in live.items():
        assert replay_summary(tmp_path / f"run-{name}.ticks").digest == world.digest()
    assert len(live["yard"]._slot_of_session) == 1


async def test_a_file_of_something_else_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(RecordingError):
        replay_summary(path)

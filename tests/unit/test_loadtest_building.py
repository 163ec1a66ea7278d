"""What builders send and how it is counted, who had the machine, and the file of a large world."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame

from atrium_loadtest import edit_load, fleet, machine, scene_load
from atrium_loadtest.build_report import (
    Measured,
    Side,
    figures_of,
    pooled,
    quantiles_ms,
    summarise,
)
from atrium_loadtest.edit_load import EditLoad, EditTally, Kind, Site, next_edit, plain_frame
from atrium_loadtest.evidence import Window
from atrium_loadtest.machine import Look
from atrium_loadtest.metrics import Histogram, Samples
from atrium_loadtest.server_process import atrium_command
from atrium_server.interchange.importing import ImportOptions, import_world
from atrium_shared import codec, edits, limits, messages
from atrium_shared.messages import EditState
from atrium_shared.props import encode_properties

SECOND_NS = 1_000_000_000
SITE = Site(builders=2, props_each=3)


class Crowd:
    """Builders on socket pairs, and no more of a generator than they need."""

    def __init__(self, load: EditLoad) -> None:
        self.load = load
        self.fleet = fleet.make_fleet(load.site.builders, 4_096)
        self.fleet.bots["state"] = fleet.ACTIVE
        self.pairs = [socket.socketpair() for _ in range(load.site.builders)]
        self.cut_bots: list[int] = []
        for bot, (near, far) in enumerate(self.pairs):
            near.setblocking(False)
            far.setblocking(False)
            joined: Any = SimpleNamespace(bot=bot, connection=near)
            generator: Any = self
            load.joined(generator, joined)

    def cut(self, bot: int) -> None:
        self.cut_bots.append(bot)

    def heard(self, bot: int) -> list[messages.EditSubmit]:
        """What the server has got from a builder."""
        try:
            data = self.pairs[bot][1].recv(1 << 20)
        except BlockingIOError:
            return []
        found: list[messages.EditSubmit] = []
        while data:
            length = data[1] & 127
            at = 6
            if length == 126:
                length, at = int.from_bytes(data[2:4], "big"), 8
            message = codec.decode_client(data[at : at + length])
            assert isinstance(message, messages.EditSubmit)
            found.append(message)
            data = data[at + length :]
        return found

    def close(self) -> None:
        for near, far in self.pairs:
            near.close()
            far.close()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd(EditLoad(SITE))
    yield made
    made.close()


def status(request_id: int, state: EditState, code: int = 0) -> messages.EditStatus:
    return messages.EditStatus(request_id, state, code, "", 0)


# --- what is sent ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_with_the_key_of_zeros_is_a_frame(size: int) -> None:
    payload = os.urandom(size)
    data = plain_frame(payload)
    parser = Frame.parse(_reader(data), mask=True)
    with pytest.raises(StopIteration) as done:
        next(parser)
    frame = done.value.value
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (2, True, payload)


def _reader(data: bytes) -> Any:
    left = [data]

    def read_exact(count: int) -> Any:
        taken, left[0] = left[0][:count], left[0][count:]
        assert len(taken) == count
        return taken
        yield  # a generator that never waits

    return read_exact


def test_no_edit_leaves_a_prop_where_it_was() -> None:
    stood: dict[bytes, object] = {}
    for count in range(500):
        edit = next_edit(SITE, 1, count)
        assert isinstance(edit, edits.Place)
        assert stood.get(edit.prop_id) != edit.transform
        stood[edit.prop_id] = edit.transform
    assert len(stood) == SITE.props_each


def test_a_group_is_filled_and_emptied_in_turn() -> None:
    site = Site(1, 4, Kind.ATTACH)
    group = edit_load.prop_id(site, 0, site.props_each)
    made = site.props_each + 1
    asked = [next_edit(site, 0, made + turn) for turn in range(3)]
    assert [edit.group for edit in asked if isinstance(edit, edits.Attach)] == [group, b"", group]
    assert {len(edit.prop_ids) for edit in asked if isinstance(edit, edits.Attach)} == {4}
    assert (site.rows_per_edit, SITE.rows_per_edit) == (4, 1)


def test_builders_make_their_props_first(crowd: Crowd) -> None:
    load = crowd.load
    load.make(0)
    load.pump(SECOND_NS)
    asked = [*crowd.heard(0), *crowd.heard(1)]
    assert load.to_make == len(asked) == 6
    assert all(isinstance(one.edit, edits.Create) for one in asked)
    assert [one.request_id for one in asked] == [1, 2, 3, 1, 2, 3]
    for bot in range(2):
        for request in (1, 2, 3):
            load.heard(bot, status(request, EditState.ACCEPTED), 2 * SECOND_NS)
            load.heard(bot, status(request, EditState.DURABLE), 2 * SECOND_NS)
    assert (load.made, load.under_way) == (6, 0)


def test_an_open_loop_keeps_its_rate_and_spreads_it(crowd: Crowd) -> None:
    crowd.load.open_loop(20.0, 0)
    for tenth in range(1, 11):
        crowd.load.pump(tenth * SECOND_NS // 10)
    assert (len(crowd.heard(0)), len(crowd.heard(1))) == (10, 10)
    crowd.load.open_loop(0.0, SECOND_NS)
    crowd.load.pump(5 * SECOND_NS)
    assert crowd.load.tally.sent == 20


def test_what_is_long_overdue_is_dropped_and_counted(crowd: Crowd) -> None:
    crowd.load.open_loop(20.0, 0)
    crowd.load.pump(10 * SECOND_NS)
    assert (crowd.load.tally.sent, crowd.load.tally.dropped) == (0, 200)


def test_a_closed_loop_has_one_edit_of_each_under_way(crowd: Crowd) -> None:
    load = crowd.load
    load.closed_loop()
    assert [len(crowd.heard(bot)) for bot in range(2)] == [1, 1]
    load.heard(0, status(1, EditState.ACCEPTED), SECOND_NS)
    assert not crowd.heard(0)
    load.heard(0, status(1, EditState.DURABLE), SECOND_NS)
    load.heard(1, status(1, EditState.REFUSED, 13), SECOND_NS)
    assert [one.request_id for one in crowd.heard(0)] == [2]
    assert load.under_way == 2
    assert load.tally.ended == {"refused 13": 1}
    load.open_loop(0.0, SECOND_NS)
    load.heard(0, status(2, EditState.DURABLE), SECOND_NS)
    assert not crowd.heard(0)


def test_times_run_from_the_send_to_each_answer(crowd: Crowd) -> None:
    load = crowd.load
    load.open_loop(2.0, 0)
    load.pump(SECOND_NS)
    load.heard(0, status(1, EditState.ACCEPTED), SECOND_NS + 7_000_000)
    load.heard(0, status(1, EditState.DURABLE), SECOND_NS + 9_000_000)
    load.heard(0, status(1, EditState.DURABLE), SECOND_NS + 10_000_000)
    load.heard(1, status(8, EditState.DURABLE), SECOND_NS)
    tally = load.take_tally()
    assert (tally.accepted_ns, tally.durable_ns) == ([7_000_000], [9_000_000])
    assert load.take_tally() == EditTally()


def test_nothing_is_sent_into_the_middle_of_a_pose(crowd: Crowd) -> None:
    crowd.fleet.bots["tail"][0] = 5
    crowd.load.open_loop(2.0, 0)
    crowd.load.pump(SECOND_NS)
    assert (crowd.load.tally.sent, crowd.load.tally.dropped) == (1, 1)
    assert not crowd.heard(0)


def test_a_full_socket_is_given_up(crowd: Crowd) -> None:
    near = crowd.pairs[0][0]
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with suppress(BlockingIOError):
        while near.send(bytes(65_536)):
            pass
    crowd.load.open_loop(2.0, 0)
    crowd.load.pump(SECOND_NS)
    assert crowd.cut_bots == [0]
    assert crowd.load.tally.ended == {"the socket was full": 1}


# --- who had the machine -----------------------------------------------------------------


def test_busy_and_stolen_time_are_read() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [10, 1, 5, 100, 7, 2, 3, 4, 99, 0]
    text = f"cpu  {' '.join(map(str, fields))}\ncpu0 1 2 3 4"
    assert machine.parse_busy(text) == pytest.approx((21 / ticks, 4 / ticks, 132 / ticks))


def test_all_that_a_process_has_started_is_found() -> None:
    parents = {2: 1, 3: 2, 4: 3, 5: 1, 6: 4}
    assert sorted(machine.descendants(2, parents)) == [3, 4, 6]
    assert machine.descendants(6, parents) == []
    assert machine.parse_parent("7 (a (b) c) S 3 7 7 0") == 3


def test_what_nobody_of_ours_had_is_foreign() -> None:
    before = Look(0.0, 1.0, 1.0, 1.0, 10.0, 0.0, 20.0)
    after = Look(2.0, 2.0, 1.5, 1.4, 13.0, 0.2, 24.0)
    had = machine.shares(before, after)
    assert (had.server, had.database, had.generator) == (0.5, 0.25, 0.2)
    assert had.foreign == pytest.approx(0.55)
    assert had.steal_ratio == pytest.approx(0.05)


def test_our_own_processes_are_seen() -> None:
    seen = machine.look(os.getpid())
    assert seen.server_s == seen.generator_s > 0.0
    assert machine.move_children(os.getpid(), None) == 0


# --- figures -----------------------------------------------------------------------------

LATE = "atrium_tick_late_seconds_bucket"


def scraped(late: tuple[int, int], rows: float) -> Samples:
    """A page of metrics: ticks up to 1 ms late, and up to 2 ms."""
    world = ("world", "x")
    return {
        (LATE, frozenset({world, ("le", "0.001")})): late[0],
        (LATE, frozenset({world, ("le", "0.002")})): sum(late),
        ("atrium_store_rows_total", frozenset({world})): rows,
    }


def measured(**changes: Any) -> Measured:
    crowd = Window(0, {}, waited_ns=7 * SECOND_NS, late_ns=[1_000_000], ended_ns=10 * SECOND_NS)
    done = EditTally(sent=100, accepted_ns=[1_000_000] * 100, durable_ns=[5_000_000] * 100)
    plain = Measured(
        "edits", 10.0, Side(Look(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), scraped((10, 0), 7.0)),
        Side(Look(10.0, 5.0, 1.0, 2.0, 8.1, 0.0, 20.0), scraped((109, 1), 107.0)), crowd, done,
    )
    return replace(plain, **changes)


def test_the_figures_of_a_window() -> None:
    found = figures_of(measured())
    assert found.doubts == []
    assert (found.edits_durable_per_s, found.rows_written_per_s) == (10.0, 10.0)
    assert (found.accepted_ms.p50, found.durable_ms.p99) == (1.0, 5.0)
    assert (found.server_cores, found.database_cores, found.generator_cores) == (0.5, 0.1, 0.2)
    assert (found.foreign_cores, found.generator_busy) == (0.01, 0.3)
    assert found.tick_late_ms.p99 == pytest.approx(1.0, abs=0.01)
    assert found.commit_ms.p50 is None


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"wanted_per_s": 11.0}, "10 edits became durable each second, where 11"),
        ({"lost": {"closed with 1011": 2}}, "2 clients were lost: closed with 1011"),
        ({"edits": EditTally(durable_ns=[1] * 100, dropped=3)}, "3 edits were due"),
        (
            {"after": Side(Look(10.0, 5.0, 1.0, 2.0, 9.5, 0.0, 20.0), {})},
            "other programs had 0.15 cores",
        ),
        (
            {"after": Side(Look(10.0, 5.0, 1.0, 2.0, 8.0, 1.0, 20.0), {})},
            "5.0% of the machine's time was stolen",
        ),
        (
            {"crowd": Window(0, {}, late_ns=[1], ended_ns=10 * SECOND_NS)},
            "the generator was busy 100%",
        ),
        (
            {"crowd": Window(
                0, {}, waited_ns=9 * SECOND_NS, late_ns=[20_000_000], ended_ns=10 * SECOND_NS
            )},
            "the generator sent late",
        ),
    ],
)
def test_what_makes_a_window_doubtful_is_said(changes: dict[str, Any], doubt: str) -> None:
    doubts = figures_of(measured(**changes)).doubts
    assert len(doubts) == 1
    assert doubts[0].startswith(doubt)


def test_an_edit_that_was_refused_is_a_doubt() -> None:
    tally = EditTally(durable_ns=[1] * 100)
    tally.ended["refused 13"] += 1
    assert figures_of(measured(edits=tally)).doubts == ["1 edits ended as refused 13"]


def test_windows_of_a_kind_are_put_together() -> None:
    both = [measured(), measured(kind="quiet"), measured()]
    summary = summarise("edits", [figures_of(one) for one in both], both)
    assert (summary.windows, summary.doubtful) == (2, 0)
    assert summary.rows_written_per_s == 10.0
    assert summary.pooled_late_ms.max == 2.0


def test_histograms_are_added_up() -> None:
    one = Histogram((1.0, 2.0), (3.0, 1.0))
    assert pooled([one, one]) == Histogram((1.0, 2.0), (6.0, 2.0))
    assert pooled([]).quantile(0.5) is None
    assert quantiles_ms([]).p50 is None


# --- a large world -----------------------------------------------------------------------


def test_the_file_of_a_world_has_the_props_that_were_made() -> None:
    made = scene_load.make_props(300)
    found = import_world(scene_load.to_gltf(made), ImportOptions("x"), lambda name: False)
    assert not found.warnings
    assert {
        name.bytes: (place, encode_properties(what)) for name, place, what in made
    } == {
        name: (prop.transform, encode_properties(prop.properties))
        for name, prop in found.props.items()
    }
    assert made == scene_load.make_props(300)


def test_the_size_of_a_scene_is_that_of_its_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    plain = msgspec.json.encode({"props": [1, 2, 3]})

    def served(base_url: str, path: str) -> bytes:
        return gzip.compress(plain)

    monkeypatch.setattr(scene_load, "fetch", served)
    size = scene_load.measure_scene("http://127.0.0.1:1", "/scene")
    assert (size.props, size.plain_bytes) == (3, len(plain))


def test_a_server_that_lasts_gets_a_folder_and_no_other_option() -> None:
    plain = atrium_command(Path("plaza.toml"), None)
    lasting = atrium_command(Path("plaza.toml"), None, data_dir=Path("data"))
    assert lasting[:4] == [sys.executable, "-m", "atrium_server", "serve"]
    assert lasting[4:6] == ["--data-dir", "data"]
    assert lasting[6:] == plain[5:]


def test_a_builder_never_asks_for_more_than_one_edit_may_change() -> None:
    assert Site(1, limits.EDIT_PROPS_MAX, Kind.ATTACH).rows_per_edit == limits.EDIT_PROPS_MAX

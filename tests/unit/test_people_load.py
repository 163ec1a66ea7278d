"""What people do about each other costs a tick little, however many do it at once.

Counted, not timed: how often something is looked at, told or gathered in one tick.
"""

from __future__ import annotations

import uuid

import pytest

from atrium_server.evidence import Evidence
from atrium_server.persistence.chat_store import MemoryChatStore
from atrium_server.persistence.conduct_rows import NewCase
from atrium_server.persistence.memory_conduct import MemoryConduct
from atrium_server.persistence.relations import WAITING_MAX, MemoryRelations, RelationRow
from atrium_server.persistence.relations import RelationWriter as Writer
from atrium_server.reports import WAITING_MAX as REPORTS_WAITING_MAX
from atrium_server.reports import Reports
from atrium_server.safety import Safety, SafetyLanes
from atrium_server.seats import Session
from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.relations import Regard, Relations
from atrium_server.world.world import World
from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.social import Relation

N = 60
MUTE, BLOCK = int(Relation.MUTE), int(Relation.BLOCK)
MANIFEST = parse_manifest(f"""
[world]
name = "hall"
tick_rate_hz = 20
capacity = {N}
[extent]
min = [-20.0, -1.0, -20.0]
max = [20.0, 9.0, 20.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 4.0
""", "test")


class Hall:
    """A world full of people; session k is entity `ids[k - 1]`."""

    def __init__(self) -> None:
        self.world = World(MANIFEST, 1)
        self.step(*(
            c.Join(k, f"P{k}", "", author=f"guest:{uuid.UUID(int=k)}") for k in range(1, N + 1)
        ))
        self.ids: list[int] = self.world.tables.entity_ids.tolist()

    def step(self, *commands: c.AnyCommand) -> c.TickOutput:
        return self.world.step(commands, None, 50 * (self.world.tick + 1))


def told(out: c.TickOutput, kind: type[m.Message]) -> dict[int, m.Message]:
    """What each session was told of a kind."""
    return {
        tell.sessions[0]: tell.message for tell in out.tells
        if isinstance(tell.message, kind) and tell.sessions is not None
    }


class Marks:
    """A table that counts what it looks through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table = Relations(N)
        self.marked = self.pairs = 0
        mark, veil = Relations._mark, Relations._veil

        def marking(table: Relations, slots: list[int]) -> None:
            self.marked += len(slots)
            mark(table, slots)

        def veiling(table: Relations, one: str, other: str) -> None:
            self.pairs += 1
            veil(table, one, other)

        monkeypatch.setattr(Relations, "_mark", marking)
        monkeypatch.setattr(Relations, "_veil", veiling)
        for slot in range(N):
            self.table.enter(slot, f"p{slot}", (), False)


def test_one_change_is_about_one_other_only(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(monkeypatch)
    for slot in range(1, N):
        marks.table.set("p0", Regard(f"p{slot}", "", BLOCK))
    marks.pairs = 0
    marks.table.set("p0", Regard("p7", "", MUTE))
    assert marks.pairs == 1
    assert [one.person for one in marks.table.regards["p0"].values()][-1] == "p7"


def test_who_leaves_is_looked_up_by_those_whom_it_concerned(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """A troll whom three block leaves: nobody else has to be looked at."""
    marks = Marks(monkeypatch)
    for slot in (3, 4, 5):
        marks.table.set(f"p{slot}", Regard("p9", "", BLOCK))
    marks.marked = 0
    marks.table.leave(9, 99, "P9")
    assert marks.marked == 4
    assert not marks.table.apart().state.any()


def test_what_changes_nothing_between_those_here_is_no_change() -> None:
    """Everything that looks at pairs looks again when the version is another one."""
    table = Relations(N)
    table.enter(0, "ann", (), False)
    table.enter(1, "ben", (), False)
    version = table.version
    table.set("ann", Regard("somebody who left", "", BLOCK))
    assert table.version == version
    table.set("ann", Regard("ben", "", BLOCK))
    assert table.version > version
    version = table.version
    table.set("ann", Regard("ben", "", BLOCK))
    assert table.version == version


def test_lists_of_relations_are_told_over_some_ticks() -> None:
    hall = Hall()
    out = hall.step(*(
        c.Relate(k, 5, hall.ids[k % N], "", MUTE) for k in range(1, N + 1)
    ))
    results = told(out, m.Result)
    assert len(results) == N, "each is answered at once"
    heard = told(out, m.Relations)
    most = limits.RELATIONS_ANSWERED_PER_TICK_MAX + limits.RELATIONS_TOLD_PER_TICK_MAX
    assert len(heard) == most < N
    for _ in range(20):
        more = told(hall.step(), m.Relations)
        assert len(more) <= limits.RELATIONS_TOLD_PER_TICK_MAX
        heard |= more
    assert {len(one.entries) for one in heard.values() if isinstance(one, m.Relations)} == {1}
    assert len(heard) == N, "and hears all that it does"


def test_a_tick_takes_few_reports_and_the_others_are_asked_to_wait() -> None:
    hall = Hall()
    out = hall.step(*(
        c.Report(k, 5, hall.ids[0], m.ReportReason.SPAM, "") for k in range(2, N)
    ))
    assert len(out.reports) == limits.REPORTS_PER_TICK_MAX
    refused = told(out, m.Result)
    assert len(refused) == N - 2 - limits.REPORTS_PER_TICK_MAX
    for one in refused.values():
        assert isinstance(one, m.Result)
        assert (one.code, one.retry_ms) == (ErrorCode.RATE_LIMITED, 1_000)
        assert one.reason
    assert len(hall.step(c.Report(9, 6, hall.ids[0], m.ReportReason.SPAM, "")).reports) == 1


def test_no_evidence_is_gathered_for_a_report_that_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    hall = Hall()
    session = Session(1, 1, m.Capabilities(), 8, uuid=bytes(16), name="P1", avatar="")
    session.slot = 0
    reports = Reports(MemoryConduct(MemoryChatStore(), lambda: 1e9), lambda: 1e9)
    answers: list[m.Message] = []
    safety = Safety(
        {1: session}, 1, SafetyLanes(None, reports), lambda _, answer: answers.append(answer),
        {session.author: [session]},
    )
    gathered: list[object] = []
    gather = Evidence.of

    def gathering(*arguments: object) -> bytes:
        gathered.append(arguments)
        return gather(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Evidence, "of", gathering)

    def report() -> None:
        out = hall.step(c.Report(1, 5, hall.ids[3], m.ReportReason.SPAM, ""))
        safety.take(out, hall.world)

    for _ in range(REPORTS_WAITING_MAX):
        report()
    assert (len(gathered), answers) == (REPORTS_WAITING_MAX, [])
    report()
    assert len(gathered) == REPORTS_WAITING_MAX
    assert [one.code for one in answers if isinstance(one, m.Result)] == [ErrorCode.RATE_LIMITED]
    assert isinstance(reports._waiting[0][0], NewCase)


def test_what_somebody_decides_is_looked_up_by_who_it_is(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every world hears of it, and each may hold thousands of sessions."""
    sessions = {
        k: Session(k, 1, m.Capabilities(), 8, uuid=uuid.UUID(int=k).bytes) for k in range(1, N)
    }
    by_author = {one.author: [one] for one in sessions.values()}
    safety = Safety(sessions, 1, SafetyLanes(), lambda _, answer: None, by_author)
    asked: list[int] = []
    author = Session.author.fget
    assert author is not None
    monkeypatch.setattr(Session, "author", property(
        lambda one: (asked.append(one.session_id), author(one))[1]  # type: ignore[func-returns-value]
    ))
    offered: list[c.AnyCommand] = []
    regards = (Regard("somebody", "S", BLOCK),)
    safety.hear(c.Related(f"guest:{uuid.UUID(int=7)}", regards, regards), offered.append, False)
    assert [one.regards for one in (sessions[7], sessions[8])] == [regards, ()]
    assert len(offered) == 1
    assert asked == []


async def test_what_one_account_changes_is_bounded_too() -> None:
    """While the store is away somebody may mute and unmute whoever comes by, for hours."""
    writer, account = Writer(MemoryRelations()), uuid.UUID(int=1)
    for k in range(WAITING_MAX - 1):
        writer.take(account, [RelationRow(f"guest:{k}", "", 0)])
    writer.take(account, [RelationRow("guest:0", "", 1)])
    assert writer.has_room
    writer.take(account, [RelationRow("guest:last", "", 0)])
    assert not writer.has_room
    await writer._save_all()
    assert writer.has_room
    assert writer._count == 0

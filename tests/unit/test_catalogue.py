"""The catalogue: what is published, decided, adopted and seen by servers that run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from model_samples import SIGNATURE, write_sample

from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.memory_models import MemoryModels
from atrium_server.persistence.model_rows import (
    Evaluation,
    ModelRow,
    NewChange,
    NewEvaluation,
    Op,
    Outdated,
    Stage,
)
from atrium_server.registry.builtins import Builtins, find_builtins, version_key
from atrium_server.registry.catalogue import AGAIN_S, POLL_S, Catalogue, Who
from atrium_server.registry.errors import ModelError
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.opening import adopt, open_catalogue
from atrium_server.registry.signature import Field, Signature
from atrium_server.registry.stages import Order, Standing
from atrium_server.registry.trials import scored_pair

ME = Who("me", "to see")


class Home:
    """A data directory, a store and what came with the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryModels(lambda: 1_900_000_000.0)

    def catalogue(self, store: Any = None, builtin: str = "builtin") -> Catalogue:
        came_with = find_builtins(self.folder / builtin)
        files = ObjectFiles(self.folder / "models", came_with.paths)
        return Catalogue(store or self.store, files, came_with, lambda: 1_900_000_000.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def stages(catalogue: Catalogue, name: str = "sample") -> dict[str, Stage]:
    return {row.model.version: row.stage for row in await catalogue.rows(name)}


def promote(version: str) -> Order:
    return Order(Op.PROMOTE, version, has_passed=True)


async def test_a_version_is_published_used_and_taken_back(home: Home, tmp_path: Path) -> None:
    catalogue = home.catalogue()
    for version in ("1.0", "1.1"):
        document = write_sample(tmp_path / version, version, seed=int(version[-1]))
        assert (await catalogue.publish(tmp_path / version, ME)).id == document.id
        await catalogue.order("sample", promote(version), Who("me", figures={"auc": 1}))
    package = await catalogue.load("sample", "1.1", SIGNATURE)
    assert package.document.content["seed"] == 1
    moves = await catalogue.order("sample", Order(Op.ROLLBACK), ME)
    assert [(move.version, move.after) for move in moves] == [
        ("1.1", Stage.RETIRED), ("1.0", Stage.LIVE)]
    history = await catalogue.history("sample", 10)
    assert [each.op for each in history] == [
        Op.ROLLBACK, Op.PROMOTE, Op.PUBLISH, Op.PROMOTE, Op.PUBLISH]
    assert (history[0].actor, history[0].why) == ("me", "to see")
    assert msgspec.json.decode(history[1].figures) == {"auc": 1}


async def test_to_publish_again_mends_and_changes_nothing_else(
    home: Home, tmp_path: Path
) -> None:
    catalogue = home.catalogue()
    write_sample(tmp_path / "a")
    document = await catalogue.publish(tmp_path / "a", ME)
    (tmp_path / "models" / "objects" / document.id).write_bytes(b"spoilt")
    with pytest.raises(ModelError, match="not what it was"):
        await catalogue.load("sample", "1.0")
    await catalogue.publish(tmp_path / "a", ME)
    await catalogue.load("sample", "1.0")
    assert len(await catalogue.history("sample", 10)) == 1
    write_sample(tmp_path / "b", seed=9)
    with pytest.raises(ModelError, match="known already, with other content"):
        await catalogue.publish(tmp_path / "b", ME)


async def test_what_does_not_fit_is_told(home: Home, tmp_path: Path) -> None:
    catalogue = home.catalogue()
    write_sample(tmp_path / "a")
    await catalogue.publish(tmp_path / "a", ME)
    other = Signature(SIGNATURE.inputs, (Field("scores", "float32", (9,)),))
    with pytest.raises(ModelError, match=r"gives scores: float32\[6\] and should be"):
        await catalogue.load("sample", "1.0", other)
    for name, version, said in (("sample", "2", "no version '2'"), ("other", "1", "no model")):
        with pytest.raises(ModelError, match=said):
            await catalogue.load(name, version)
        with pytest.raises(ModelError, match=r"no version|no model"):
            await catalogue.order(name, Order(Op.SHADOW, version), ME)


async def test_a_record_without_its_file_is_told(home: Home, tmp_path: Path) -> None:
    write_sample(tmp_path / "a")
    await home.catalogue().publish(tmp_path / "a", ME)
    elsewhere = Catalogue(home.store, ObjectFiles(tmp_path / "other"), Builtins(), lambda: 0.0)
    with pytest.raises(ModelError, match="missing: publish the model again on this server"):
        await elsewhere.load("sample", "1.0")


class Racing:
    """A store in which somebody else is faster, some times."""

    def __init__(self, store: MemoryModels, times: int, rival: Catalogue) -> None:
        self._store, self._rival, self.times = store, rival, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def change(self, change: NewChange) -> bool:
        if self.times:
            self.times -= 1
            op = Op.CANARY if self.times % 2 else Op.SHADOW
            await self._rival.order("sample", Order(op, "1.1"), ME)
        return await self._store.change(change)


@pytest.mark.parametrize(("times", "is_done"), [(1, True), (4, True), (5, False)])
async def test_who_was_overtaken_decides_again(
    home: Home, tmp_path: Path, times: int, is_done: bool
) -> None:
    rival = home.catalogue()
    for version in ("1.0", "1.1"):
        write_sample(tmp_path / version, version)
        await rival.publish(tmp_path / version, ME)
    await rival.order("sample", promote("1.0"), ME)
    mine = home.catalogue(Racing(home.store, times, rival))
    order = promote("1.1")
    if is_done:
        await mine.order("sample", order, ME)
        assert await stages(mine) == {"1.0": Stage.RETIRED, "1.1": Stage.LIVE}
    else:
        with pytest.raises(Outdated):
            await mine.order("sample", order, ME)
        assert (await stages(mine))["1.0"] is Stage.LIVE


# --- what comes with the program ---------------------------------------------------------


async def test_the_newest_that_came_with_the_program_is_live(home: Home, tmp_path: Path) -> None:
    for version in ("1.9", "1.10", "1.10rc1"):
        write_sample(tmp_path / "builtin", version)
    catalogue = home.catalogue()
    assert await catalogue.adopt("0.1") == []
    assert (await stages(catalogue))["1.10"] is Stage.LIVE
    before = await catalogue.history("sample", 10)
    assert await catalogue.adopt("0.1") == []
    assert await catalogue.history("sample", 10) == before
    assert before[0].why == "It came with Atrium 0.1."
    write_sample(tmp_path / "builtin", "2.0")
    catalogue = home.catalogue()
    await catalogue.adopt("0.2")
    assert (await catalogue.standing("sample")).live == "2.0"
    await catalogue.load("sample", "2.0")
    assert not (tmp_path / "models").exists()


async def test_what_an_operator_chose_stays(home: Home, tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_sample(tmp_path / "builtin", version)
    catalogue = home.catalogue()
    await catalogue.adopt("0.1")
    await catalogue.order("sample", Order(Op.SHADOW, "1"), ME)
    await catalogue.order("sample", promote("1"), ME)
    await catalogue.adopt("0.1")
    assert (await catalogue.standing("sample")).live == "1"
    write_sample(tmp_path / "own", "mine")
    await catalogue.publish(tmp_path / "own", ME)
    await catalogue.order("sample", promote("mine"), ME)
    write_sample(tmp_path / "builtin", "3")
    catalogue = home.catalogue()
    await catalogue.adopt("0.2")
    assert (await catalogue.standing("sample")).live == "mine"
    assert (await stages(catalogue))["3"] is Stage.CANDIDATE


async def test_an_older_program_takes_nothing_back(home: Home, tmp_path: Path) -> None:
    write_sample(tmp_path / "builtin", "2")
    await home.catalogue().adopt("0.2")
    write_sample(tmp_path / "older", "1")
    older = home.catalogue(builtin="older")
    assert await older.adopt("0.1") == []
    assert await stages(older) == {"1": Stage.CANDIDATE, "2": Stage.LIVE}


async def test_a_builtin_that_changed_without_a_new_version_is_told(
    home: Home, tmp_path: Path
) -> None:
    write_sample(tmp_path / "builtin", "1")
    await home.catalogue().adopt("0.1")
    write_sample(tmp_path / "builtin", "1", seed=5)
    (problem,) = await home.catalogue().adopt("0.1")
    assert "sample@1 is known already, with other content" in problem


async def test_without_a_database_what_came_with_atrium_is_in_use(tmp_path: Path) -> None:
    catalogue = await open_catalogue(tmp_path, None)
    await adopt(catalogue, "0.1")
    standing = await catalogue.standing("moderation")
    assert standing.live is not None
    await catalogue.load("moderation", standing.live)
    assert not (tmp_path / "models").exists()


def test_a_broken_installation_is_told(tmp_path: Path) -> None:
    (tmp_path / "x-1.json").write_bytes(b"{")
    with pytest.raises(ModelError, match=r"The built-in document x-1\.json"):
        find_builtins(tmp_path)
    assert find_builtins(tmp_path / "none").documents == []


def test_versions_are_put_into_order_as_people_do() -> None:
    found = sorted(["2", "1.10", "1.0", "1.0rc1", "0.9", "1.0.1", "1.9"], key=version_key)
    assert found == ["0.9", "1.0rc1", "1.0", "1.0.1", "1.9", "1.10", "2"]


# --- servers that run --------------------------------------------------------------------


async def test_a_server_sees_what_another_process_did(
    home: Home, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    write_sample(tmp_path / "builtin", "1")
    server, console = home.catalogue(), home.catalogue()
    await server.adopt("0.1")
    write_sample(tmp_path / "new", "2")
    new = await console.publish(tmp_path / "new", ME)  # threads and a virtual clock do not mix
    told: list[Standing] = []

    async def tell(standing: Standing) -> bool:
        await trio.lowlevel.checkpoint()
        told.append(standing)
        return True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run, tell)
        await trio.sleep(POLL_S / 2)
        assert [each.live for each in told] == ["1"]
        await console.order("sample", Order(Op.CANARY, new.version, 0.25), ME)
        await trio.sleep(POLL_S)
        assert told[1].at(Stage.CANARY) == "2"
        assert told[1].canary_share == 0.25
        await trio.sleep(10 * POLL_S)
        assert len(told) == 2, "nothing is told twice"
        nursery.cancel_scope.cancel()


class Failing:
    """A store that does not answer for a while."""

    def __init__(self, store: MemoryModels) -> None:
        self._store, self.is_up = store, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def sequences(self) -> dict[str, int]:
        if not self.is_up:
            raise Unavailable("gone")
        return await self._store.sequences()


async def test_a_store_that_does_not_answer_is_asked_again(
    home: Home, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    write_sample(tmp_path / "builtin", "1")
    await home.catalogue().adopt("0.1")
    store, told = Failing(home.store), list[Standing]()

    async def tell(standing: Standing) -> bool:
        await trio.lowlevel.checkpoint()
        told.append(standing)
        return True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(home.catalogue(store).run, tell)
        await trio.sleep(5.5 * POLL_S)
        assert not told
        store.is_up = True
        await trio.sleep(POLL_S)
        assert len(told) == 1
        nursery.cancel_scope.cancel()


async def test_what_could_not_be_put_to_use_is_told_again(
    home: Home, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    write_sample(tmp_path / "builtin", "1")
    catalogue, at = home.catalogue(), list[float]()
    await catalogue.adopt("0.1")
    began = trio.current_time()

    async def tell(standing: Standing) -> bool:
        await trio.lowlevel.checkpoint()
        at.append(trio.current_time() - began)
        return len(at) > 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(catalogue.run, tell)
        await trio.sleep(10 * AGAIN_S)
        nursery.cancel_scope.cancel()
    assert at == [0.0, AGAIN_S]


# --- which figures are compared ----------------------------------------------------------


def evaluation(row: ModelRow, subject: str, score: float, day: int = 1) -> Evaluation:
    figures = msgspec.json.encode({"score": score, "by": "us", "is_new": True})
    measured = NewEvaluation("sample", row.model.version, subject, subject * 2, figures)
    return Evaluation(measured, row.registered_at + timedelta(days=day))


async def test_figures_of_the_same_rows_are_compared(home: Home, tmp_path: Path) -> None:
    catalogue = home.catalogue()
    known: list[Any] = []
    rows: list[ModelRow] = []
    for version, seed, split in (("1", 0, "a"), ("2", 0, "a"), ("3", 0, "b")):
        write_sample(tmp_path / version, version, seed, data={"split": split},
                     metrics={"score": 0.5 + int(version) / 10})
        document = await catalogue.publish(tmp_path / version, ME)
        known.append((document, []))
        rows.append(await catalogue.row("sample", version))
    mine, theirs = scored_pair(known[1], known[0])
    assert mine is not None
    assert theirs is not None
    assert (mine.figures, theirs.figures) == ({"score": 0.7}, {"score": 0.6})
    assert mine.dataset_hash == theirs.dataset_hash
    mine, theirs = scored_pair(known[2], known[0])
    assert mine is not None
    assert theirs is not None
    assert mine.dataset_hash != theirs.dataset_hash
    measured = [
        (document, [evaluation(row, "x", 0.8), evaluation(row, "y", 0.9, day=2)])
        for (document, _), row in zip(known, rows, strict=True)
    ]
    mine, theirs = scored_pair(measured[2], measured[0])
    assert mine is not None
    assert theirs is not None
    assert mine.figures == theirs.figures == {"score": 0.9}
    assert scored_pair(known[0], None)[0] is not None
    write_sample(tmp_path / "4", "4")
    bare = await catalogue.publish(tmp_path / "4", ME)
    assert scored_pair((bare, []), None) == (None, None)

"""`atrium world`: out to a file and in again, back in time, and nothing half-written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from atrium_server import cli, cli_world, cli_world_files, world_history
from atrium_server.assets.store import AssetStore
from atrium_server.cli_moments import Mistake, moment_of
from atrium_server.interchange.errors import InterchangeError
from atrium_server.persistence import audit, migrate
from atrium_server.persistence.database import open_database
from atrium_server.persistence.history import WorldHistory
from atrium_server.persistence.store import Batch, EditRow
from atrium_server.persistence.world_store import SqlWorldStore
from atrium_server.prop_rows import history_of, row_of
from atrium_server.world.props import Change, Prop
from atrium_shared.props import Group, Light, Model, Shape, Sign, Transform

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import interchange_scenes as scenes

Answer = tuple[int, str, str]
ANN, EVE = uuid.UUID(int=0xA), uuid.UUID(int=0xE)
BOX = scenes.box_glb()
HASH = hashlib.sha256(BOX).hexdigest()
WORLD = {
    scenes.key(1): Prop(Transform((1.0, 2.0, 3.0)), Group(title="House"), owner=str(ANN)),
    scenes.key(2): Prop(Transform(), Shape(), scenes.key(1), str(ANN), True),
    scenes.key(3): Prop(Transform(), Sign(text="It's \\ \"ä\"; DROP TABLE"), pending="wait"),
    scenes.key(4): Prop(Transform(), Light(), owner="guest:abc"),
    scenes.key(5): Prop(Transform(), Model(asset=HASH), owner=str(ANN)),
}


class Files:
    """An asset store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {HASH: BOX}
        self.refuses = False

    async def get(self, asset: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.kept.get(asset)

    async def put(self, data: bytes, media_type: str) -> str:
        await trio.lowlevel.checkpoint()
        if self.refuses:
            raise InterchangeError("It has too many triangles.")
        assert media_type == "model/gltf-binary"
        asset = hashlib.sha256(data).hexdigest()
        self.kept[asset] = data
        return asset


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files()

    @asynccontextmanager
    async def open_files(_place: object) -> AsyncGenerator[Files]:
        yield made

    monkeypatch.setattr(cli_world_files, "open_files", open_files)
    return made


@pytest.fixture
def atrium_world(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`atrium world ARGUMENTS`: status, what it said, and what it complained about."""
    for name in [name for name in os.environ if name.startswith("ATRIUM_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as caught:
            cli_world.app([str(argument) for argument in arguments])
        status = caught.value.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


async def put(
    url: str, slug: str, changes: dict[bytes, Prop | None], actor: uuid.UUID | None = ANN,
) -> None:
    """Edit a world as a server would."""
    async with trio.open_nursery() as nursery, open_database(nursery, url) as database:
        store = SqlWorldStore(database)
        await store.create(slug, slug.title())
        claim = await store.claim(slug, "server")
        now = await props_in(url, slug)
        made = [Change(one, now.get(one), after) for one, after in changes.items()]
        row = EditRow(uuid.uuid4(), 1, "do", actor, uuid.UUID(bytes=made[0].prop_id),
                      *history_of(made))
        await store.commit(claim, Batch(
            claim.version + 1,
            tuple(row_of(c.prop_id, c.after, actor) for c in made if c.after),
            tuple(uuid.UUID(bytes=c.prop_id) for c in made if c.after is None), (row,),
        ))
        await store.release(claim)


async def props_in(url: str, slug: str) -> dict[bytes, Prop]:
    async with trio.open_nursery() as nursery, open_database(nursery, url) as database:
        history = WorldHistory(database)
        if slug not in [world.slug for world in await history.worlds()]:
            return {}
        return (await world_history.present_props(history, slug, lambda _part: None))[1]


def props(url: str, slug: str = "plaza") -> dict[bytes, Prop]:
    return trio.run(props_in, url, slug)


@pytest.fixture
def url(database_url: str, files: Files) -> str:
    """A database with the world `plaza`."""
    trio.run(put, database_url, "plaza", WORLD)
    return database_url


@pytest.fixture
def other_url(postgres: Any) -> Iterator[str]:
    """A second database, without worlds."""
    made = postgres.create()
    yield made
    postgres.drop(made)


def state_of(postgres: Any, url: str) -> list[Any]:
    """What must not change when something is refused."""
    tables = ("world", "entity", "entity_tombstone", "world_edit", "audit_log")
    asked = [
        f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
        for table in tables
    ]
    return [postgres.value(url, question) for question in asked[1:]] + [
        postgres.value(url, "SELECT string_agg(slug || version, ',' ORDER BY slug) FROM world")
    ]


# --- lists -------------------------------------------------------------------------------


def test_worlds_are_listed(url: str, atrium_world: Callable[..., Answer]) -> None:
    status, out, err = atrium_world("list", "--database-url", url)
    assert (status, err) == (0, "")
    assert "plaza" in out
    status, out, _ = atrium_world("list", "--json", "--database-url", url)
    (world,) = json.loads(out)
    assert (world["slug"], world["props"], world["version"]) == ("plaza", 5, 1)


def test_the_history_is_listed(url: str, atrium_world: Callable[..., Answer]) -> None:
    trio.run(put, url, "plaza", {scenes.key(2): None}, EVE)
    where = ("--database-url", url)
    _, out, _ = atrium_world("history", "plaza", "--json", *where)
    newest, first = json.loads(out)
    assert (newest["actor"], newest["props"], first["props"]) == (str(EVE), 1, 5)
    for asked, count in (
        (("--by", EVE), 1), (("--prop", uuid.UUID(int=2)), 2), (("--limit", 1), 1),
        (("--session", first["session"]), 1), (("--since", "1h"), 2), (("--until", "1h"), 0),
    ):
        out = atrium_world("history", "plaza", "--json", *asked, *where)[1]
        assert len(json.loads(out)) == count, asked
    status, out, _ = atrium_world("history", "plaza", *where)
    assert status == 0
    assert str(EVE) in out


def test_an_account_is_found_by_its_handle(
    postgres: Any, url: str, atrium_world: Callable[..., Answer]
) -> None:
    postgres.run(
        url, f"INSERT INTO account (id, handle, handle_key, password_hash)"
             f" VALUES ('{ANN}', 'Ann', 'ann', 'x')"
    )
    out = atrium_world("history", "plaza", "--by", "ANN", "--json", "--database-url", url)[1]
    assert len(json.loads(out)) == 1
    status, _, err = atrium_world("history", "plaza", "--by", "bob", "--database-url", url)
    assert (status, err) == (1, "atrium: There is no account 'bob'.\n")


# --- out and in --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plaza.glb", "plaza.gltf"])
def test_a_world_goes_to_another_database(
    postgres: Any, url: str, other_url: str, files: Files,
    atrium_world: Callable[..., Answer], tmp_path: Path, name: str,
) -> None:
    file = tmp_path / name
    status, out, err = atrium_world("export", "plaza", file, "--database-url", url)
    assert (status, err) == (0, "")
    assert "5 props of plaza" in out
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [name]
    files.kept.clear()
    status, out, err = atrium_world("import", file, "plaza", "--database-url", other_url)
    assert (status, err) == (0, ""), err
    assert "The world plaza was made." in out
    assert "5 props were added" in out
    assert props(other_url) == WORLD == props(url)
    assert files.kept == {HASH: BOX}
    assert postgres.value(other_url, "SELECT count(DISTINCT version) FROM world_edit") == 1
    assert postgres.value(other_url, "SELECT action FROM audit_log") == "world.import"
    asyncio.run(verified(other_url))
    status, out, _ = atrium_world("import", file, "plaza", "--database-url", other_url)
    assert "Nothing is to be changed" in out


async def verified(url: str) -> None:
    async with migrate.connected(url) as connection:
        await audit.verify(connection)


def test_an_export_replaces_no_file(
    url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file = tmp_path / "there.glb"
    file.write_text("precious")
    status, _, err = atrium_world("export", "plaza", file, "--database-url", url)
    assert (status, file.read_text()) == (1, "precious")
    assert "exists" in err
    status, _, err = atrium_world("export", "plaza", tmp_path / "x.obj", "--database-url", url)
    assert (status, "must end in .glb or .gltf." in err) == (2, True)
    status, _, err = atrium_world(
        "export", "plaza", tmp_path / "no" / "x.glb", "--database-url", url
    )
    assert status == 1
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.glb"]
    status, _, err = atrium_world("export", "attic", tmp_path / "x.glb", "--database-url", url)
    assert (status, err) == (1, "atrium: There is no world 'attic' in the database.\n")


def test_the_past_can_be_exported(
    postgres: Any, url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    postgres.run(url, "UPDATE world_edit SET at = at - interval '2 hours'")
    trio.run(put, url, "plaza", {scenes.key(9): Prop(Transform(), Shape())})
    file = tmp_path / "past.glb"
    status, out, _ = atrium_world(
        "export", "plaza", file, "--at", "1h", "--public", "--no-models", "--database-url", url
    )
    assert status == 0
    assert "5 props" in out
    assert b"wait" not in file.read_bytes()
    assert str(ANN).encode() not in file.read_bytes()


def test_an_import_adds_or_replaces(
    url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file, where = tmp_path / "a.glb", ("--database-url", url)
    atrium_world("export", "plaza", file, *where)
    mine = Prop(Transform(), Shape(), owner=str(EVE))
    changed = Prop(Transform((9.0, 9.0, 9.0)), Light())
    trio.run(put, url, "plaza", {scenes.key(9): mine, scenes.key(4): changed})
    _, out, _ = atrium_world("import", file, "plaza", "--dry-run", *where)
    assert "0 props would be added, 1 changed and 0 removed." in out
    assert props(url)[scenes.key(4)] == changed
    atrium_world("import", file, "plaza", *where)
    assert props(url) == {**WORLD, scenes.key(9): mine}
    _, out, _ = atrium_world("import", file, "plaza", "--replace", *where)
    assert "0 props were added, 0 changed and 1 removed." in out
    assert props(url) == WORLD


def test_copies_go_beside_the_originals(
    postgres: Any, url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file, where = tmp_path / "a.glb", ("--database-url", url)
    atrium_world("export", "plaza", file, *where)
    trio.run(put, url, "garden", {scenes.key(77): Prop(Transform(), Shape())})
    before = state_of(postgres, url)
    status, _, err = atrium_world("import", file, "garden", *where)
    assert status == 1
    assert "--new-ids" in err
    assert state_of(postgres, url) == before
    assert atrium_world("import", file, "garden", "--new-ids", *where)[0] == 0
    assert len(props(url, "garden")) == 6
    assert props(url) == WORLD


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_a_history_of_no_edits_is_refused(
    url: str, atrium_world: Callable[..., Answer], limit: str
) -> None:
    status, out, err = atrium_world("history", "plaza", "--limit", limit, "--database-url", url)
    assert status != 0
    assert "Must be >= 1" in out + err


def test_a_refused_import_leaves_no_world_behind(
    postgres: Any, url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file, where = tmp_path / "a.glb", ("--database-url", url)
    atrium_world("export", "plaza", file, *where)
    before = state_of(postgres, url)
    for more in ((), ("--dry-run",)):
        status, out, err = atrium_world("import", file, "park", *more, *where)
        assert (status, out) == (1, "")
        assert "--new-ids" in err
    assert state_of(postgres, url) == before
    assert "park" not in atrium_world("list", *where)[1]
    status, out, _ = atrium_world("import", file, "park", "--new-ids", "--title", "Park", *where)
    assert (status, "Note" in out) == (0, False)
    _, out, _ = atrium_world("import", file, "park", "--new-ids", "--title", "Wood", *where)
    assert "keeps its title" in out


def test_a_file_of_another_program_becomes_models(
    url: str, files: Files, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file = tmp_path / "house.glb"
    file.write_bytes(scenes.rich_glb())
    status, out, err = atrium_world("import", file, "plaza", "--database-url", url)
    assert (status, err) == (0, "")
    assert "Note: Materials lost the extension" in out
    (made,) = [prop for one, prop in props(url).items() if one not in WORLD]
    assert isinstance(made.properties, Model)
    assert made.properties.asset in files.kept


@pytest.mark.parametrize("content", [
    None, b"", b"glTF", b"{}", scenes.rich_glb()[:-100],
    scenes.foreign({"nodes": [{"children": [0]}]}), scenes.foreign({"nodes": []}),
    b'{"asset":{"version":"2.0"},"nodes":[{"translation":[NaN,0,0]}]}',
])
def test_a_broken_file_changes_nothing(
    postgres: Any, url: str, files: Files, atrium_world: Callable[..., Answer], tmp_path: Path,
    content: bytes | None,
) -> None:
    file = tmp_path / "broken.glb"
    if content is not None:
        file.write_bytes(content)
    before, kept = state_of(postgres, url), dict(files.kept)
    for world in ("plaza", "new-world"):
        status, _, err = atrium_world("import", file, world, "--replace", "--database-url", url)
        assert status == 1
        assert err.startswith("atrium: ")
        assert err.count("\n") == 1
    assert state_of(postgres, url) == before
    assert files.kept == kept


def test_a_model_that_is_not_taken_changes_nothing(
    postgres: Any, url: str, files: Files, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file = tmp_path / "house.glb"
    file.write_bytes(scenes.rich_glb())
    files.refuses = True
    before = state_of(postgres, url)
    status, _, err = atrium_world("import", file, "plaza", "--database-url", url)
    assert (status, "too many triangles" in err) == (1, True)
    assert state_of(postgres, url) == before


async def test_reading_a_file_can_be_interrupted(
    files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    ended: list[bool] = []

    def import_world(*_: object) -> None:
        begun.set()
        ended.append(go_on.wait(5))

    monkeypatch.setattr(cli_world_files, "import_world", import_world)
    file = tmp_path / "house.glb"
    file.write_bytes(b"")
    place: Any = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                cli_world_files.read_file, place, file, "plaza", cli_world_files.How()
            )
            await trio.to_thread.run_sync(begun.wait, 60)
            nursery.cancel_scope.cancel()
        assert ended == [], "it is not waited for"
    finally:
        go_on.set()


def test_models_of_a_file_are_checked_and_kept_beside_the_database(
    postgres: Any, database_url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file, back = tmp_path / "house.glb", tmp_path / "back.glb"
    file.write_bytes(scenes.rich_glb())
    where = ("--database-url", database_url, "--data-dir", tmp_path / "data")
    status, _, err = atrium_world("import", file, "plaza", *where)
    assert status == 0, err
    models = postgres.value(
        database_url, "SELECT count(DISTINCT model_hash) FROM entity WHERE kind = 'model'"
    )
    assert models > 0
    kept = [path for path in (tmp_path / "data" / "assets").rglob("*") if len(path.name) == 64]
    assert len(kept) == models == postgres.value(database_url, "SELECT count(*) FROM asset")
    assert atrium_world("export", "plaza", back, *where)[0] == 0
    assert all(path.read_bytes() in back.read_bytes() for path in kept)


def test_models_of_a_running_server_are_not_written(
    postgres: Any, database_url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    file = tmp_path / "house.glb"
    file.write_bytes(scenes.rich_glb())
    store = AssetStore(tmp_path / "data" / "assets")
    status, _, err = atrium_world(
        "import", file, "plaza", "--database-url", database_url, "--data-dir", tmp_path / "data"
    )
    store.close()
    assert (status, "Another server uses" in err) == (1, True)
    assert postgres.value(database_url, "SELECT count(*) FROM entity") == 0


@pytest.mark.parametrize("name", ["Plaza", "a b", "../x", "x" * 40, "-", "a'; DROP TABLE world"])
def test_what_no_world_is_called(
    url: str, atrium_world: Callable[..., Answer], tmp_path: Path, name: str
) -> None:
    (tmp_path / "a.glb").write_bytes(scenes.rich_glb())
    status, _, err = atrium_world(
        "import", "--database-url", url, "--", tmp_path / "a.glb", name
    )
    assert (status, "small letters" in err) == (1, True)


# --- back in time ------------------------------------------------------------------------


def test_vandalism_is_restored(
    postgres: Any, url: str, atrium_world: Callable[..., Answer]
) -> None:
    postgres.run(url, "UPDATE world_edit SET at = at - interval '2 hours'")
    ruined = Prop(Transform(), Shape(colour="#ff0000"), owner=str(EVE))
    trio.run(put, url, "plaza", {scenes.key(1): None, scenes.key(2): None,
                                 scenes.key(3): ruined, scenes.key(8): ruined}, EVE)
    arguments = ("restore", "plaza", "--at", "1h", "--database-url", url)
    status, out, _ = atrium_world(*arguments, "--dry-run")
    assert status == 0
    assert "2 props would be added, 1 changed and 1 removed." in out
    assert scenes.key(8) in props(url)
    status, out, err = atrium_world(*arguments)
    assert (status, err) == (0, ""), err
    assert "The world plaza has version 3." in out
    assert props(url) == WORLD
    assert postgres.value(url, "SELECT owner_node FROM world") is None
    assert postgres.value(url, "SELECT actor FROM audit_log") == "console"
    assert "Nothing is to be changed" in atrium_world(*arguments)[1]


def test_one_persons_edits_are_rolled_back(
    postgres: Any, url: str, atrium_world: Callable[..., Answer]
) -> None:
    trio.run(put, url, "plaza", {scenes.key(4): None, scenes.key(5): None}, EVE)
    mended = Prop(Transform(), Light(title="new"), owner=str(ANN))
    trio.run(put, url, "plaza", {scenes.key(4): mended}, ANN)
    arguments = ("roll-back", "plaza", "--by", EVE, "--since", "1d", "--database-url", url)
    _, out, _ = atrium_world(*arguments, "--dry-run")
    assert "1 props would be added" in out
    status, out, _ = atrium_world(*arguments)
    assert status == 0
    assert "left alone" in out
    assert str(uuid.UUID(int=4)) in out
    assert props(url) == {**WORLD, scenes.key(4): mended}
    assert postgres.value(url, "SELECT action FROM audit_log") == "world.roll_back"


def test_a_world_that_a_server_has_is_left_alone(
    postgres: Any, url: str, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    atrium_world("export", "plaza", tmp_path / "a.glb", "--database-url", url)
    postgres.run(url, "UPDATE world SET owner_node = 'the-server', owner_epoch = 7,"
                      " lease_until = now() + interval '1 minute'")
    before = state_of(postgres, url)
    for arguments in (("restore", "plaza", "--at", "1h"), ("import", tmp_path / "a.glb", "plaza"),
                      ("roll-back", "plaza", "--by", EVE, "--since", "1h")):
        status, _, err = atrium_world(*arguments, "--database-url", url)
        assert status == 1
        assert "'the-server': stop that one" in err
    assert state_of(postgres, url) == before
    assert postgres.value(url, "SELECT owner_epoch FROM world") == 7


@pytest.mark.parametrize(("arguments", "word"), [
    (("restore", "plaza", "--at", "yesterday"), "is no moment"),
    (("roll-back", "plaza", "--since", "1h"), "whose edits"),
    (("roll-back", "plaza", "--since", "1h", "--session", "x"), "is no id"),
    (("history", "plaza", "--since", "2026-13-01"), "is no moment"),
    (("history", "plaza", "--prop", "x"), "is no id"),
])
def test_mistakes_in_the_arguments(
    atrium_world: Callable[..., Answer], arguments: tuple[str, ...], word: str
) -> None:
    status, _, err = atrium_world(*arguments)
    assert status == 2
    assert word in err


@pytest.mark.parametrize(("arguments", "word"), [
    (("restore", "plaza", "--at", "40d"), "forgotten"),
    (("restore", "plaza", "--at", "2999-01-01"), "not come"),
    (("restore", "attic", "--at", "1h"), "no world 'attic'"),
])
def test_what_cannot_be_done(
    url: str, atrium_world: Callable[..., Answer], arguments: tuple[str, ...], word: str
) -> None:
    status, _, err = atrium_world(*arguments, "--database-url", url)
    assert status == 1
    assert word in err


def test_the_private_database_is_used_as_well(
    postgres: Any, files: Files, atrium_world: Callable[..., Answer], tmp_path: Path
) -> None:
    from atrium_server import cli_db

    made = Path(tempfile.mkdtemp(prefix="atrium-test-", dir="/tmp"))
    made.chmod(0o711)
    where = ("--data-dir", made / "data", "--pg-bin", postgres.binaries.folder)
    try:
        assert "There is no database" in atrium_world("list", *where)[2]
        with pytest.raises(SystemExit):
            cli_db.app(["upgrade", *map(str, where)])
        (tmp_path / "house.glb").write_bytes(scenes.rich_glb())
        status, _, err = atrium_world("import", tmp_path / "house.glb", "home", *where)
        assert (status, err) == (0, ""), err
        assert '"props": 1' in atrium_world("list", "--json", *where)[1]
    finally:
        shutil.rmtree(made)


def test_the_command_is_part_of_atrium(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        cli.app(["world", "--help"])
    out = capsys.readouterr().out
    for name in ("list", "export", "import", "history", "restore", "roll-back"):
        assert name in out


def test_moments_are_read_as_people_type_them() -> None:
    now = moment_of("2026-11-22T12:00+00:00").at
    assert now is not None
    assert moment_of("2h").on(now).isoformat() == "2026-11-22T10:00:00+00:00"
    assert moment_of("2026-11-20T12:00").on(now).isoformat() == "2026-11-20T12:00:00+00:00"
    assert moment_of("2026-11-20 12:00+01:00").on(now).hour == 11
    for text in ("", "now", "12", "1y", "2026-11-20T25:00", "-1h", "9" * 30 + "d"):
        with pytest.raises(Mistake):
            moment_of(text)

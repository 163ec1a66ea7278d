"""Uploads and downloads through the real HTTP service over memory streams.

Checks run in real processes where the clock is real, and are played where it jumps.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from test_http import ANYBODY, Answer, Browser, FakeStatus

from atrium_server.accounts.person import Person
from atrium_server.assets.store import AssetStore
from atrium_server.assets.uploads import Uploads
from atrium_server.assets.validate import Validator
from atrium_server.assets.verdict import PNG, Facts, Verdict
from atrium_server.http import asset_routes, assets, service
from atrium_server.persistence.assets import AssetRow, MemoryAssetRecords
from atrium_server.persistence.errors import Unavailable
from atrium_server.telemetry import Registry
from atrium_shared import limits

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import asset_samples as samples

ANN = Person(uuid.UUID(int=1), "Ann", frozenset({"upload"}))
BIG = 3 * limits.HTTP_BODY_BYTES_MAX + 12_345


class PlayedValidator:
    """Takes everything as a PNG."""

    async def check(self, path: Path, *, with_pictures: bool = False) -> Verdict:
        await trio.lowlevel.checkpoint()
        return Verdict(facts=Facts(media_type=PNG, size_bytes=0))


class House:
    """One HTTP service with assets, and the connections to it."""

    def __init__(self, store: AssetStore, serve: service.ServeStream, nursery: trio.Nursery):
        self.store, self.serve, self.nursery = store, serve, nursery
        self.records = MemoryAssetRecords()

    def browser(self) -> Browser:
        client, server = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, server)
        return Browser(client)

    async def begun(self) -> Browser:
        """A connection in the middle of an upload, whose first bytes have arrived."""
        before, browser = len(self.left()), self.browser()
        head = f"POST /api/assets HTTP/1.1\r\nhost: a\r\ncontent-length: {BIG}\r\n\r\n"
        await browser.stream.send_all(head.encode() + bytes(100_000))
        while len(self.left()) == before:
            await trio.lowlevel.checkpoint()
        return browser

    def left(self) -> list[str]:
        """What lies in the folder."""
        return [*self.store.hashes(), *(path.name for path in self.store.incoming.iterdir())]


@pytest.fixture(autouse=True)
def who(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Who asks; a test may put an error in here."""
    told: dict[str, Any] = {"person": ANN}

    async def person_of(request: Any, service: Any, needs: str = "") -> Person:
        assert needs == "upload"
        await trio.lowlevel.checkpoint()
        if isinstance(told["person"], Exception):
            raise told["person"]
        return told["person"]

    monkeypatch.setattr(asset_routes, "person_of", person_of)
    return told


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock) -> None:
    """The clock jumps whenever nothing runs; so what else runs in threads must run at once, or
    it would take hours on that clock.
    """

    async def run_sync(function: Any, *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@asynccontextmanager
async def opened(
    folder: Path, records: MemoryAssetRecords | None = None, *, is_played: bool = False
) -> AsyncGenerator[House]:
    store, registry = AssetStore(folder / "assets"), Registry()
    records = records or MemoryAssetRecords()
    validator: Any = PlayedValidator() if is_played else Validator(store.empty)
    uploads = Uploads(store, records, validator, registry)
    async with (
        service.open_http_service(
            FakeStatus(), registry, ANYBODY, page(folder), uploads=uploads
        ) as serve,
        trio.open_nursery() as nursery,
    ):
        house = House(store, serve, nursery)
        house.records = records
        yield house
        nursery.cancel_scope.cancel()
    store.close()


def page(folder: Path) -> assets.WebAssets:
    root = folder / "web"
    root.mkdir(exist_ok=True)
    (root / "index.html").write_text("")
    return assets.load_assets(root)


async def send(browser: Browser, data: bytes, media_type: str = "", **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if media_type:
        fields["content-type"] = media_type
    return await browser.ask("POST", "/api/assets", fields, data)


def code_of(answer: Answer) -> str:
    told = json.loads(answer.body)
    assert told.keys() == {"code", "sentence"}
    assert told["sentence"].endswith(".")
    return told["code"]


# --- up ----------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", samples.SAMPLES)
async def test_what_was_uploaded_can_be_fetched(tmp_path: Path, media_type: str) -> None:
    data = samples.SAMPLES[media_type]()
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path) as house:
        browser = house.browser()
        answer = await send(browser, data, media_type)
        told = json.loads(answer.body)
        assert answer.status == 201
        assert (told["hash"], told["media_type"], told["size_bytes"]) == (
            digest, media_type, len(data)
        )
        again = await send(browser, data, media_type)
        assert (again.status, json.loads(again.body)) == (200, told)
        fetched = await browser.get(told["url"])
        meta = await browser.get(told["url"] + "/meta")
    assert (fetched.status, fetched.body) == (200, data)
    assert json.loads(meta.body) == told
    headers = fetched.headers
    assert headers["content-type"] == media_type
    assert headers["content-length"] == str(len(data))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["content-disposition"].startswith(f'attachment; filename="{digest[:16]}.')
    assert "immutable" in headers["cache-control"]
    assert headers["etag"] == f'"{digest}"'


async def test_a_body_beyond_the_bound_of_others_is_taken_here_alone(tmp_path: Path) -> None:
    data = bytes(BIG)
    async with opened(tmp_path, is_played=True) as house:
        answer = await send(house.browser(), data)
        assert answer.status == 201
        for path in ("/api/worlds", "/api/assets/" + "a" * 64):
            other = await house.browser().ask("POST", path, {}, bytes(BIG))
            assert (other.status, code_of(other)) == (413, "too_large"), path


@pytest.mark.parametrize(
    ("data", "claimed", "status", "code"),
    [
        (samples.png(), "audio/ogg", 415, "wrong_type"),
        (samples.png(), "text/html", 415, "wrong_type"),
        (b"<script>alert(1)</script>", "image/png", 415, "wrong_type"),
        (b"<script>alert(1)</script>", "", 415, "wrong_type"),
        (samples.png()[:40], "image/png", 422, "bad_asset"),
        (samples.png_bomb(), "image/png", 422, "bad_asset"),
        (samples.glb(b"{" * 100), "model/gltf-binary", 422, "bad_asset"),
    ],
)
async def test_a_file_that_lies_or_is_broken_is_refused(
    tmp_path: Path, data: bytes, claimed: str, status: int, code: str
) -> None:
    async with opened(tmp_path) as house:
        for _ in range(2):
            answer = await send(house.browser(), data, claimed)
            assert (answer.status, code_of(answer)) == (status, code)
        digest = hashlib.sha256(data).hexdigest()
        assert (await house.browser().get(f"/api/assets/{digest}")).status == 404
        assert house.left() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotAuthorizedException("Sign in."), 401), (PermissionDeniedException("Ask for it."), 403)],
)
async def test_who_may_not_is_told_before_the_body_is_read(
    tmp_path: Path, who: dict[str, Any], error: Exception, status: int,
    autojump_clock: trio.testing.MockClock, jumping: None,
) -> None:
    who["person"] = error
    async with opened(tmp_path, is_played=True) as house:
        browser = house.browser()
        head = f"POST /api/assets HTTP/1.1\r\nhost: a\r\ncontent-length: {BIG}\r\n\r\n"
        await browser.stream.send_all(head.encode() + bytes(1_000))
        answer = await first_answer(browser)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"connection: close" in answer.lower()
        assert house.left() == []


async def first_answer(browser: Browser) -> bytes:
    """All bytes until the server ends the connection."""
    received = b""
    while piece := await browser.stream.receive_some(65_536):
        received += bytes(piece)
    return received


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (f"content-length: {limits.ASSET_BYTES_MAX + 1}", 413, b"too_large"),
        ("content-length: 0", 400, b"bad_request"),
        ("transfer-encoding: chunked", 411, b"no_length"),
        ("content-type: image/png", 411, b"no_length"),
    ],
)
async def test_the_length_is_asked_for_and_bounded(
    tmp_path: Path, head: str, status: int, code: bytes,
    autojump_clock: trio.testing.MockClock, jumping: None,
) -> None:
    """The peer gets its answer although it goes on sending."""
    async with opened(tmp_path, is_played=True) as house, trio.open_nursery() as nursery:
        browser = house.browser()
        start = f"POST /api/assets HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n"
        await browser.stream.send_all(start.encode())

        @nursery.start_soon
        async def go_on_sending() -> None:
            try:
                while "chunked" in head or "3355" in head:
                    await browser.stream.send_all(b"3e8\r\n" + bytes(1_000) + b"\r\n")
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                pass

        answer = await first_answer(browser)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b'"code":"' + code in answer
        nursery.cancel_scope.cancel()


async def test_a_silent_upload_ends(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, jumping: None
) -> None:
    async with opened(tmp_path, is_played=True) as house:
        browser = await house.begun()
        began = trio.current_time()
        answer = await first_answer(browser)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began < limits.UPLOAD_PIECE_S_MAX + 5
        assert house.left() == []


async def test_a_slow_upload_ends(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, jumping: None
) -> None:
    """It never falls silent for long, and would still take an hour."""
    async with opened(tmp_path, is_played=True) as house, trio.open_nursery() as nursery:
        browser = await house.begun()
        began = trio.current_time()

        @nursery.start_soon
        async def trickle() -> None:
            try:
                while True:
                    await browser.stream.send_all(b"x" * 100)
                    await trio.sleep(2)
            except trio.BrokenResourceError:
                pass

        answer = await first_answer(browser)
        assert answer.startswith(b"HTTP/1.1 408 ")
        allowed_s = limits.UPLOAD_PIECE_S_MAX + BIG / limits.UPLOAD_BYTES_PER_S_MIN
        assert trio.current_time() - began < allowed_s + 5
        nursery.cancel_scope.cancel()
    assert house.left() == []


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_an_upload_that_is_cut_leaves_nothing(
    tmp_path: Path, is_orderly: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, is_played=True) as house:
        async with trio.open_nursery() as house.nursery:
            client = (await house.begun()).stream
            assert isinstance(client, trio.abc.HalfCloseableStream)
            await (client.send_eof() if is_orderly else client.aclose())
        assert house.left() == []
    assert not caplog.records


async def test_a_shutdown_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, is_played=True) as house:
        await house.begun()
    assert house.left() == []


async def test_too_many_at_once_are_told_when_to_come_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, jumping: None
) -> None:
    async with opened(tmp_path, is_played=True) as house:
        for _ in range(limits.UPLOADS_PER_ACCOUNT_MAX):
            await house.begun()
        answer = await send(house.browser(), bytes(100))
        assert (answer.status, code_of(answer)) == (429, "too_many")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_database_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: MemoryAssetRecords, row: AssetRow) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(MemoryAssetRecords, "record", fail)
    async with opened(tmp_path, is_played=True) as house:
        answer = await send(house.browser(), bytes(100))
    assert answer.status == 503
    code_of(answer)


async def test_without_assets_the_routes_say_so(tmp_path: Path) -> None:
    client, server = trio.testing.memory_stream_pair()
    async with (
        service.open_http_service(FakeStatus(), Registry(), ANYBODY, page(tmp_path)) as serve,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve, server)
        browser = Browser(client)
        for answer in (
            await browser.get("/api/assets/" + "a" * 64),
            await send(browser, samples.png(), "image/png"),
        ):
            assert answer.status == 501
            assert "keeps no assets" in json.loads(answer.body)["sentence"]
        nursery.cancel_scope.cancel()


# --- down --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a" * 64, "a" * 63, "A" * 64, "..", "../lock", "..%2flock", "%2e%2e/%2e%2e/etc/passwd",
     "....//lock", "lock", "incoming", "%00", "a" * 64 + "%0a", "*", "a" * 5_000],
)
async def test_there_is_no_way_to_other_files(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path, is_played=True) as house:
        for path in (f"/api/assets/{name}", f"/api/assets/{name}/meta"):
            answer = await house.browser().get(path)
            assert answer.status == 404, path
            code_of(answer)


RANGES = [
    ("bytes=0-9", 206, slice(0, 10)),
    ("bytes=10-", 206, slice(10, None)),
    ("bytes=-7", 206, slice(-7, None)),
    ("bytes=5-99999999", 206, slice(5, None)),
    ("bytes=-99999999", 206, slice(0, None)),
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=9-5", 200, slice(0, None)),
    ("bytes=-", 200, slice(0, None)),
    ("bytes=0-1,5-6", 200, slice(0, None)),
    ("lines=0-1", 200, slice(0, None)),
    ("bytes=99999999-", 416, None),
    ("bytes=-0", 416, None),
]


@pytest.mark.parametrize(("asked", "status", "part"), RANGES)
async def test_a_part_of_a_file_can_be_fetched(
    tmp_path: Path, asked: str, status: int, part: slice | None
) -> None:
    data = bytes(range(256)) * 800
    async with opened(tmp_path, is_played=True) as house:
        browser = house.browser()
        url = json.loads((await send(browser, data)).body)["url"]
        answer = await browser.get(url, range=asked)
        assert answer.status == status
        if part is None:
            assert answer.headers["content-range"] == f"bytes */{len(data)}"
            return
        assert answer.body == data[part]
        if status == 206:
            first, last, _ = part.indices(len(data))
            assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(data)}"
        other = await browser.get(url, range=asked, if_range='"another"')
        assert (other.status, other.body) == (200, data)


async def test_head_and_a_known_tag_send_no_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(BIG)
    async with opened(tmp_path, is_played=True) as house:
        browser = house.browser()
        url = json.loads((await send(browser, data)).body)["url"]
        monkeypatch.setattr(Uploads, "read", None)
        await browser.stream.send_all(f"HEAD {url} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        head = bytes(await browser.stream.receive_some(65_536))
        assert head.startswith(b"HTTP/1.1 200 ")
        assert f"content-length: {len(data)}\r\n".encode() in head
        assert head.endswith(b"\r\n\r\n")
        tag = hashlib.sha256(data).hexdigest()
        known = await house.browser().get(url, if_none_match=f'"{tag}"')
        assert (known.status, known.body) == (304, b"")


async def test_a_file_that_was_lost_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, is_played=True) as house:
        browser = house.browser()
        told = json.loads((await send(browser, bytes(100))).body)
        house.store.remove(told["hash"])
        answer = await browser.get(told["url"])
    assert (answer.status, code_of(answer)) == (404, "not_found")


async def test_who_does_not_read_holds_nothing(tmp_path: Path) -> None:
    """No file is open, and no more of it in memory than a piece."""
    reads = 0
    data = bytes(40 * limits.ASSET_READ_BYTES_MAX)
    async with opened(tmp_path, is_played=True) as house:
        url = json.loads((await send(house.browser(), data)).body)["url"]
        read = house.store.read

        def counted(digest: str, at: int, size: int) -> bytes:
            nonlocal reads
            reads += 1
            assert size <= limits.ASSET_READ_BYTES_MAX
            return read(digest, at, size)

        house.store.read = counted  # type: ignore[method-assign]
        client, server = trio.testing.lockstep_stream_pair()
        house.nursery.start_soon(house.serve, server)
        await client.send_all(f"GET {url} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert await client.receive_some(100)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert reads <= 2
        await client.aclose()


async def test_pieces_of_many_transfers_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that is due comes in between, however many files are fetched."""
    handed: list[int] = []
    turn = 0
    data = bytes(4 * limits.ASSET_READ_BYTES_MAX)
    async with opened(tmp_path, is_played=True) as house:
        url = json.loads((await send(house.browser(), data)).body)["url"]
        read = Uploads.read

        async def seen(self: Uploads, digest: str, at: int, size: int) -> bytes:
            piece = await read(self, digest, at, size)
            handed.append(turn)
            return piece

        monkeypatch.setattr(Uploads, "read", seen)

        @house.nursery.start_soon
        async def count_turns() -> None:
            nonlocal turn
            while True:
                turn += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as fetching:
            for _ in range(20):
                fetching.start_soon(house.browser().get, url)
    assert len(handed) == 80
    assert max(handed.count(turn) for turn in handed) <= 2, "the count is off by one at the edges"


async def test_the_schema_tells_of_assets(tmp_path: Path) -> None:
    async with opened(tmp_path, is_played=True) as house:
        schema = json.loads((await house.browser().get("/api/openapi.json")).body)
    assert {"/api/assets", "/api/assets/{digest}", "/api/assets/{digest}/meta"} <= {
        *schema["paths"]
    }


@pytest.mark.parametrize("path", ["/api/assets/", "//api//assets"])
async def test_slashes_do_not_lead_round_the_bounds_of_uploads(tmp_path: Path, path: str) -> None:
    async with opened(tmp_path, is_played=True) as house:
        assert (await house.browser().ask("POST", path, {}, bytes(BIG))).status == 201
        browser = house.browser()
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        await browser.stream.send_all(head.encode() + b"3\r\nabc\r\n0\r\n\r\n")
        answer = await first_answer(browser)
        assert answer.startswith(b"HTTP/1.1 411 ")

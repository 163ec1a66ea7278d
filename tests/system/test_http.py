"""The HTTP service over memory streams: Hypercorn and Litestar are real, sockets are not."""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import h11
import pytest
import trio
import trio.testing
from hypercorn.protocol.h11 import H11Protocol
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atrium_server.config import AtriumStartError
from atrium_server.http import assets, guard, service, static_files
from atrium_server.http.guard import Admission
from atrium_server.http.status import WorldStatus
from atrium_server.net.addresses import Addresses, AddressRules
from atrium_server.net.forwarded import Forwarding
from atrium_server.net.host_names import HostNames
from atrium_server.telemetry import Registry
from atrium_shared import limits

PLAZA = WorldStatus(
    name="plaza", title="The plaza", tick=120, tick_rate_hz=20, alive=True,
    failed=False, last_tick_age_s=0.01, sessions=3, capacity=500, restarts=0,
)
SCENE = json.dumps({"walls": [{"x": metre} for metre in range(200)]}).encode()
ANYBODY = Admission(
    knows_host=lambda host: True, client_of=lambda peer, forwarded: peer,
    trusts=lambda client: True, take_request=lambda client, now, is_static: True,
    refused=lambda reason: None,
)
SCRIPT = b"export const answer = '" + b"a" * 600 + b"'; // that is"
SENT_SCRIPT = b"export const answer='" + b"a" * 600 + b"';"
"""What is sent of it: the program, without what only its readers need."""
SCRIPT_HEAD_BYTES_MAX = 256
"""Of an answer's headers; the world page asks for some 150 scripts and styles."""


@dataclass
class FakeStatus:
    """A server whose state a test sets."""

    all_worlds: list[WorldStatus] = field(default_factory=lambda: [PLAZA])
    is_ready: bool = True
    is_draining: bool = False

    def worlds(self) -> list[WorldStatus]:
        return self.all_worlds

    def ready(self) -> bool:
        return self.is_ready

    def draining(self) -> bool:
        return self.is_draining

    def scene(self, world: str, version: str) -> bytes | None:
        known = (world, version) == ("plaza", "7f")
        return gzip.compress(SCENE) if known else None

    def scene_version(self, world: str) -> str:
        return "7f" if world == "plaza" else ""


@dataclass
class Answer:
    """One response, parsed."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return json.loads(self.body)


class Browser:
    """One connection: h11 over a memory stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._protocol = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        fields = {"host": "localhost", **(headers or {})}
        if body:
            fields["content-length"] = str(len(body))
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        await self.stream.send_all(self._protocol.send(request))
        if body:
            await self.stream.send_all(self._protocol.send(h11.Data(data=body)))
        await self.stream.send_all(self._protocol.send(h11.EndOfMessage()))
        answer = await self.answer()
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", path, fields)

    async def answer(self) -> Answer:
        answer = Answer(0, {}, b"")
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                self._protocol.receive_data(bytes(await self.stream.receive_some(65_536)))
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                answer.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return answer
            else:
                raise AssertionError(f"unexpected {event!r}")


@pytest.fixture
def web(tmp_path: Path) -> assets.WebAssets:
    """A page of two files, beside files that must not be served."""
    root = tmp_path / "web"
    (root / "src").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / "index.html").write_text(
        '<script type="module" src="./src/main.js"></script><a href="https://example.org/">'
    )
    (root / "map.html").write_text('<script type="module" src="./src/main.js"></script>')
    (root / "src" / "main.js").write_bytes(SCRIPT)
    (root / "package.json").write_text("{}")
    (root / ".hidden.js").write_text("hidden")
    (root / "node_modules" / "dep.js").write_text("left out")
    (tmp_path / "secret.js").write_text("outside")
    return assets.load_assets(root)


@asynccontextmanager
async def opened(
    web: assets.WebAssets,
    status: FakeStatus | None = None,
    admission: Admission = ANYBODY,
    **options: object,
) -> AsyncGenerator[tuple[Browser, trio.Nursery]]:
    registry = Registry()
    registry.counter("atrium_poses_total", "Poses.").add(5)
    client, server = trio.testing.memory_stream_pair()
    async with (
        service.open_http_service(
            status or FakeStatus(), registry, admission, web, **options  # type: ignore[arg-type]
        ) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_stream, server)
        yield Browser(client), nursery
        nursery.cancel_scope.cancel()


async def test_health_follows_the_ticks(web: assets.WebAssets) -> None:
    status = FakeStatus()
    async with opened(web, status) as (browser, _):
        alive = await browser.get("/healthz")
        status.all_worlds = [PLAZA, replace(PLAZA, name="arena", alive=False)]
        half = await browser.get("/healthz")
        status.all_worlds = [replace(PLAZA, alive=False)]
        dead = await browser.get("/healthz")
        status.all_worlds = []
        empty = await browser.get("/healthz")
    assert [alive.status, half.status, dead.status, empty.status] == [200, 200, 503, 503]
    assert json.loads(dead.body)["alive"] is False
    told = json.loads(half.body)
    assert told["alive"] is True, "one world that is down must not cost the others their lives"
    assert [world["alive"] for world in told["worlds"]] == [True, False]


async def test_worlds_that_stay_down_are_named(web: assets.WebAssets) -> None:
    status = FakeStatus([PLAZA, replace(PLAZA, name="arena", alive=False, failed=True)])
    async with opened(web, status) as (browser, _):
        answer = await browser.get("/readyz")
    assert answer.status == 200
    assert json.loads(answer.body)["failed"] == ["arena"]


@pytest.mark.parametrize(
    ("ready", "draining", "expected"),
    [(True, False, 200), (False, False, 503), (True, True, 503)],
)
async def test_ready_means_that_clients_may_come(
    web: assets.WebAssets, ready: bool, draining: bool, expected: int
) -> None:
    status = FakeStatus(is_ready=ready, is_draining=draining)
    async with opened(web, status) as (browser, _):
        assert (await browser.get("/readyz")).status == expected


async def test_metrics_are_prometheus_text(web: assets.WebAssets) -> None:
    async with opened(web) as (browser, _):
        answer = await browser.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\natrium_poses_total 5\n" in answer.body


async def test_metrics_are_for_trusted_networks_only(web: assets.WebAssets) -> None:
    async with opened_for_many(web, ["127.0.0.1", "203.0.113.7", "::ffff:127.0.0.1"]) as browsers:
        answers = [await browser.get("/metrics") for browser in browsers]
    assert [answer.status for answer in answers] == [200, 403, 200]
    answer = answers[1]
    assert json.loads(answer.body)["code"] == "not_allowed"


async def test_a_scene_may_be_kept_forever(web: assets.WebAssets) -> None:
    async with opened(web) as (browser, _):
        worlds = json.loads((await browser.get("/api/worlds")).body)
        url = worlds[0]["scene_url"]
        assert url == "/api/worlds/plaza/scene@7f"
        plain = await browser.get(url)
        packed = await browser.get(url, accept_encoding="br, gzip")
        refused = await browser.get(url, accept_encoding="gzip;q=0")
        again = await browser.get(url, if_none_match=plain.headers["etag"])
    assert (plain.status, plain.body) == (200, SCENE)
    assert plain.headers["content-type"] == "application/json"
    assert "immutable" in plain.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == SCENE
    assert refused.body == SCENE
    assert (again.status, again.body) == (304, b"")


async def test_scenes_are_unpacked_for_a_few_at_a_time(
    web: assets.WebAssets, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "/api/worlds/plaza/scene@7f"
    monkeypatch.setattr(limits, "SCENES_UNPACKED_AT_ONCE_MAX", 0)
    async with opened(web) as (browser, _):
        refused = await browser.get(url)
        packed = await browser.get(url, accept_encoding="gzip")
        monkeypatch.setattr(limits, "SCENES_UNPACKED_AT_ONCE_MAX", 1)
        plain = [await browser.get(url) for _ in range(3)]  # there is room again after each
    told = json.loads(refused.body)
    assert (refused.status, told["code"]) == (503, "unavailable")
    assert "Accept-Encoding: gzip" in told["sentence"]
    assert refused.headers["retry-after"] == "5"
    assert packed.status == 200
    assert [one.body for one in plain] == [SCENE] * 3


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/worlds/plaza/scene@old", "scene@7f"),
        ("/api/worlds/moon/scene@7f", "no world called 'moon'"),
        ("/api/worlds/plaza/people", "only a scene"),
        ("/nothing/here", "nothing at this address"),
        ("/static/0000/src/main.js", "load it again"),
    ],
)
async def test_what_is_not_there_is_said_in_a_sentence(
    web: assets.WebAssets, path: str, words: str
) -> None:
    async with opened(web) as (browser, _):
        answer = await browser.get(path)
    told = json.loads(answer.body)
    assert (answer.status, told["code"]) == (404, "not_found")
    assert words in told["sentence"]


async def test_the_page_names_its_files_by_version(web: assets.WebAssets) -> None:
    script = f"/static/{web.version}/src/main.js"
    async with opened(web) as (browser, _):
        page, map_page = await browser.get("/"), await browser.get("/map")
        answer = await browser.get(script)
    assert map_page.body == f'<script type="module" src="{script}"></script>'.encode()
    assert f'src="{script}"'.encode() in page.body
    assert b'href="https://example.org/"' in page.body
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.body == SENT_SCRIPT


async def test_scripts_get_only_headers_that_mean_something_for_them(
    web: assets.WebAssets,
) -> None:
    url = f"/static/{web.version}/src/main.js"
    async with opened(web) as (browser, _):
        plain = await browser.get(url)
        packed = await browser.get(url, accept_encoding="br, gzip")
        refused = await browser.get(url, accept_encoding="gzip;q=0")
        missing = await browser.get(f"/static/{web.version}/src/none.js", accept_encoding="gzip")
        posted = await browser.ask("POST", url)
    assert plain.headers == refused.headers == {
        "content-type": "text/javascript; charset=utf-8",
        "content-length": str(len(plain.body)), "cache-control": static_files.IMMUTABLE,
        "vary": "accept-encoding", "x-content-type-options": "nosniff",
        "date": plain.headers["date"],
    }
    assert packed.headers["content-encoding"] == "gzip"
    head = sum(len(f"{name}: {value}\r\n") for name, value in packed.headers.items())
    assert head <= SCRIPT_HEAD_BYTES_MAX
    assert gzip.decompress(packed.body) == plain.body == refused.body == SENT_SCRIPT
    assert "content-security-policy" in missing.headers, "an error is a document"
    assert (missing.status, posted.status) == (404, 405)


async def test_a_picture_is_a_document_and_bound_by_the_policy(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<link rel="icon" href="icon.svg">')
    (tmp_path / "icon.svg").write_text("<svg/>")
    web = assets.load_assets(tmp_path)
    async with opened(web) as (browser, _):
        answer = await browser.get(f"/static/{web.version}/icon.svg")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.js", "..%2fsecret.js", "%2e%2e/secret.js", "src/../../secret.js",
        "/etc/passwd", "package.json", ".hidden.js", "node_modules/dep.js", "src", "",
    ],
)
async def test_nothing_else_is_served(web: assets.WebAssets, name: str) -> None:
    async with opened(web) as (browser, _):
        answer = await browser.get(f"/static/{web.version}/{name}")
    assert answer.status == 404


async def test_every_answer_has_the_security_headers(web: assets.WebAssets) -> None:
    async with opened(web) as (browser, _):
        answers = [
            await browser.get("/"),
            await browser.get("/api/worlds"),
            await browser.get("/nothing"),
            await browser.ask("DELETE", "/api/worlds"),
        ]
    for answer in answers:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["permissions-policy"] == guard.PERMISSIONS_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert answers[1].headers["cache-control"] == "no-store"
    assert answers[3].status == 405
    assert json.loads(answers[3].body)["sentence"] == "This address does not take DELETE requests."


def test_the_page_gets_what_it_uses_and_nothing_runs_that_is_not_ours() -> None:
    rules = {
        name: set(sources)
        for name, *sources in (
            rule.split() for rule in guard.CONTENT_SECURITY_POLICY.split("; ")
        )
    }
    assert {"blob:", "data:", "ws:", "wss:"} <= rules["connect-src"]
    assert rules["media-src"] == rules["worker-src"] == {"'self'", "blob:"}
    assert rules["default-src"] == {"'self'"}
    assert "script-src" not in rules, "scripts are under default-src"
    assert not re.search(r"unsafe|\*", guard.CONTENT_SECURITY_POLICY)
    permissions = dict(each.split("=") for each in guard.PERMISSIONS_POLICY.split(", "))
    assert permissions == {
        "microphone": "(self)", "xr-spatial-tracking": "(self)", "fullscreen": "(self)",
        "gamepad": "(self)", "camera": "()", "geolocation": "()",
    }


async def test_head_is_get_without_the_body(web: assets.WebAssets) -> None:
    async with opened(web) as (browser, _):
        await browser.stream.send_all(b"HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head = bytes(await browser.stream.receive_some(65_536))
        await browser.stream.send_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = await browser.answer()
    assert head.startswith(b"HTTP/1.1 200")
    assert head.endswith(b"\r\n\r\n")
    assert f"content-length: {len(answer.body)}".encode() in head


async def test_the_schema_needs_nothing_from_elsewhere(web: assets.WebAssets) -> None:
    async with opened(web) as (browser, _):
        schema = json.loads((await browser.get("/api/openapi.json")).body)
        pages = [await browser.get(path) for path in ("/api", "/api/redoc", "/schema")]
    assert "/api/worlds/{world}/{resource}" in schema["paths"]
    assert [page.status for page in pages] == [200, 404, 404]
    assert json.loads(pages[0].body) == schema
    assert not any(b"<script" in page.body for page in pages)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused(
    web: assets.WebAssets, announced: bool, autojump_clock: trio.testing.MockClock
) -> None:
    length = limits.HTTP_BODY_BYTES_MAX * 40
    head = f"content-length: {length}" if announced else "transfer-encoding: chunked"
    async with opened(web) as (browser, nursery):
        async def upload() -> None:
            chunk = b"x" * 1_000 if announced else b"3e8\r\n" + b"x" * 1_000 + b"\r\n"
            try:
                for _ in range(length // 1_000):
                    await browser.stream.send_all(chunk)
            except trio.BrokenResourceError:
                return  # the server has hung up, as it should

        request = f"POST /api/worlds HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n"
        await browser.stream.send_all(request.encode())
        nursery.start_soon(upload)
        received = bytearray()
        while chunk := await browser.stream.receive_some(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in received


async def test_a_body_that_does_not_come_is_given_up(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    async with opened(web) as (browser, _):
        began_s = trio.current_time()
        await browser.stream.send_all(
            b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nab"
        )
        answer = bytes(await browser.stream.receive_some(65_536))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began_s == limits.HTTP_BODY_S_MAX


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nhost: a\r\n"])
async def test_half_a_request_is_not_waited_for(
    web: assets.WebAssets, sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with opened(web) as (browser, _):
        began_s = trio.current_time()
        await browser.stream.send_all(sent)
        assert await browser.stream.receive_some(65_536) == b""
        assert trio.current_time() - began_s == limits.HTTP_IDLE_S_MAX


@pytest.mark.parametrize("half", [True, False])
async def test_a_connection_is_over_when_its_peer_ends_it(
    web: assets.WebAssets, half: bool, autojump_clock: trio.testing.MockClock
) -> None:
    client, server = trio.testing.memory_stream_pair()
    async with (
        service.open_http_service(FakeStatus(), Registry(), ANYBODY, web) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_stream, server)
        browser = Browser(client)
        assert (await browser.get("/healthz")).status == 200
        if half:
            await client.send_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await client.send_eof()
            assert (await browser.answer()).status == 200
        else:
            await client.aclose()
    assert trio.current_time() == 0


class StuckStream(trio.abc.HalfCloseableStream):
    """Delivers one request; then neither takes nor sends anything."""

    def __init__(self) -> None:
        self.closed = trio.Event()
        self.sending = trio.Event()
        self._requests = [b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._requests:
            return self._requests.pop()
        await self.closed.wait()
        raise trio.ClosedResourceError

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sending.set()
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.sleep_forever()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.closed.set()
        await trio.lowlevel.checkpoint()


async def test_a_reader_that_stopped_does_not_hold_up_a_shutdown(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    stream = StuckStream()
    async with (
        service.open_http_service(FakeStatus(), Registry(), ANYBODY, web) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_stream, stream)
        await stream.sending.wait()
        began_s = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == began_s
    assert stream.closed.is_set()


async def test_a_reader_that_stopped_is_given_up(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    stream = StuckStream()
    async with service.open_http_service(FakeStatus(), Registry(), ANYBODY, web) as serve_stream:
        began_s = trio.current_time()
        await serve_stream(stream)
    assert trio.current_time() - began_s == limits.HTTP_SEND_S_MAX
    assert stream.closed.is_set()


async def test_a_socket_whose_peer_left_is_no_error(web: assets.WebAssets) -> None:
    class LostSocket:
        family = 2

        def getpeername(self) -> object:
            raise OSError(107, "not connected")

    client, server = trio.testing.memory_stream_pair()
    server.socket = LostSocket()  # type: ignore[attr-defined]
    async with (
        service.open_http_service(FakeStatus(), Registry(), ANYBODY, web) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_stream, server)
        assert (await Browser(client).get("/healthz")).status == 200
        await client.aclose()


UPGRADES = {
    "a whole handshake": (
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
    "no key": b"upgrade: websocket\r\nconnection: upgrade\r\n",
    "other letters": b"Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n",
    "no connection header": b"upgrade: websocket\r\n",
    "one of two": b"upgrade: h2c, websocket\r\nconnection: upgrade\r\n",
    "two headers": b"upgrade: h2c\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
    "another version": b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 8\r\n",
    "a body": b"upgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 4\r\n",
}


@pytest.mark.parametrize("path", [b"/elsewhere", b"/healthz"])
@pytest.mark.parametrize("what", UPGRADES)
async def test_a_websocket_at_a_wrong_path_is_refused_and_closed(
    web: assets.WebAssets, what: str, path: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    asked: list[str] = []
    reasons: list[str] = []

    def take_request(client: str, now: float, is_static: bool) -> bool:
        asked.append(client)
        return True

    admission = replace(ANYBODY, take_request=take_request, refused=reasons.append)
    async with opened(web, admission=admission) as (browser, _):
        await browser.stream.send_all(
            b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n" + UPGRADES[what] + b"\r\n"
        )
        received = bytearray()
        while chunk := await browser.stream.receive_some(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1
    assert b"it is at /ws" in received
    assert trio.current_time() == 0, "at once, whatever its peer does"
    assert (len(asked), reasons) == (1, ["no_websocket"]), "it is counted like any request"


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET /x HTTP/1.1\r\nhost: localhost\r\nupgrade: tls/1.0\r\nconnection: upgrade\r\n\r\n",
        b"GET /x HTTP/1.0\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_no_kind_of_request_keeps_a_silent_connection(
    web: assets.WebAssets, head: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with opened(web) as (browser, _):
        await browser.stream.send_all(head)
        while await browser.stream.receive_some(65_536):
            pass
    assert trio.current_time() <= limits.HTTP_IDLE_S_MAX


async def test_handshakes_at_wrong_paths_have_a_rate(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    burst = limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
    async with opened_for_many(web, ["203.0.113.7"] * (burst + 1)) as browsers:
        statuses: list[bytes] = []
        for browser in browsers:
            await browser.stream.send_all(
                b"GET /x HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
                b"connection: upgrade\r\n\r\n"
            )
            statuses.append(bytes(await browser.stream.receive_some(65_536))[9:12])
    assert statuses == [b"400"] * burst + [b"429"]


# --- who may ask ---------------------------------------------------------------------------------


def our_admission(*allowed_origins: str, forwarded_by: tuple[str, ...] = ()) -> Admission:
    """What the server uses: names from the settings, and a rate per address; loopback trusted."""
    loopback = ipaddress.ip_network("127.0.0.0/8")
    forwarding = Forwarding([ipaddress.ip_network(each) for each in forwarded_by], [loopback])
    rules = AddressRules(
        connections_max=100, connections_per_address_max=10, handshakes_per_s_max=10.0,
        handshakes_burst_max=10, forwarding=forwarding,
    )
    names = HostNames("127.0.0.1", allowed_origins)
    return Admission(
        names.knows, forwarding.client_of, forwarding.trusts, Addresses(rules).take_request,
        refused=lambda reason: None,
    )


@pytest.mark.parametrize("path", ["/", "/api/worlds", "/metrics", "/nothing", "/healthz/"])
async def test_a_foreign_name_for_this_server_shows_nothing(
    web: assets.WebAssets, path: str
) -> None:
    async with opened(web, admission=our_admission("https://atrium.example")) as (browser, _):
        rebound = await browser.get(path, host="evil.example")
    assert rebound.status == 421
    told = json.loads(rebound.body)
    assert told["code"] == "wrong_host"
    assert "allowed_origins" in told["sentence"]
    async with opened(web, admission=our_admission("https://atrium.example")) as (browser, _):
        for host in ("localhost:8080", "192.0.2.1:8080", "[2001:db8::1]", "atrium.example"):
            assert (await browser.get(path, host=host)).status != 421


async def test_without_a_name_there_is_no_page(web: assets.WebAssets) -> None:
    async with opened(web, admission=our_admission()) as (browser, _):
        await browser.stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
        assert bytes(await browser.stream.receive_some(65_536)).startswith(b"HTTP/1.1 421 ")


async def test_probes_come_by_any_name_and_tell_it_no_names(web: assets.WebAssets) -> None:
    status = FakeStatus([PLAZA, replace(PLAZA, name="arena", alive=False, failed=True)])
    async with opened(web, status, our_admission()) as (browser, _):
        for path, key in (("/healthz", "worlds"), ("/readyz", "failed")):
            foreign = await browser.get(path, host="atrium-0.cluster")
            assert foreign.status == 200
            assert json.loads(foreign.body)[key] == []
            assert b"arena" not in foreign.body
            assert b"arena" in (await browser.get(path, host="127.0.0.1:8080")).body
        await browser.stream.send_all(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert bytes(await browser.stream.receive_some(65_536)).startswith(b"HTTP/1.1 200 ")


HTTP2 = {
    "the preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 400),
    "a version": (b"GET /healthz HTTP/2.0\r\nhost: localhost\r\n\r\n", 400),
    "an upgrade": (
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: h2c\r\n"
        b"connection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", 200
    ),
}


@pytest.mark.parametrize("what", HTTP2)
async def test_there_is_no_way_to_http_2(
    web: assets.WebAssets, what: str, autojump_clock: trio.testing.MockClock
) -> None:
    sent, status = HTTP2[what]
    async with opened(web) as (browser, _):
        await browser.stream.send_all(sent)
        received = bytearray()
        while chunk := await browser.stream.receive_some(65_536):
            received += chunk
            assert received.startswith(f"HTTP/1.1 {status} ".encode())
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    if status == 200:
        assert json.loads(body)["alive"] is True, "an answer as if nothing had been asked for"
    else:
        assert body == b"", "no frames"


class SocketAt:
    """A socket as far as it is asked for its addresses."""

    family = int(socket.AF_INET)

    def __init__(self, address: str) -> None:
        self._address = address

    def getpeername(self) -> object:
        return (self._address, 50_000)

    def getsockname(self) -> object:
        return ("127.0.0.1", 8080)


@asynccontextmanager
async def opened_for_many(
    web: assets.WebAssets, addresses: list[str], admission: Admission | None = None
) -> AsyncGenerator[list[Browser]]:
    """One service, and a connection from each of the addresses."""
    admission = admission or our_admission()
    async with (
        service.open_http_service(FakeStatus(), Registry(), admission, web) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        browsers: list[Browser] = []
        for address in addresses:
            client, server = trio.testing.memory_stream_pair()
            server.socket = SocketAt(address)  # type: ignore[attr-defined]
            nursery.start_soon(serve_stream, server)
            browsers.append(Browser(client))
        yield browsers
        nursery.cancel_scope.cancel()


FLOODERS = {
    "203.0.113.7": limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX,
    "127.0.0.1": limits.HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX,
}


@pytest.mark.parametrize("flooder", FLOODERS)
async def test_requests_have_a_rate_per_address(
    web: assets.WebAssets, flooder: str, autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "HTTP_REQUESTS_PER_CONNECTION_MAX", 1_000_000)
    async with opened_for_many(web, [flooder, "203.0.113.8", flooder]) as browsers:
        first, neighbour, again = browsers
        for _ in range(FLOODERS[flooder]):
            assert (await first.get("/readyz")).status == 200
        assert trio.current_time() == 0, "within the burst nobody waits"
        refused = await first.get("/readyz")
        assert trio.current_time() == limits.HTTP_REFUSAL_S, "the answer is held back"
        assert (await neighbour.get("/readyz")).status == 200
        assert (await again.get("/readyz")).status == 200, "the rate is per second"
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["connection"] == "close"
    assert json.loads(refused.body)["code"] == "too_many"


async def test_only_so_many_refusals_are_held(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    held = limits.HTTP_REFUSALS_HELD_MAX
    answered_s: list[float] = []
    async with opened_for_many(web, ["203.0.113.7"] * (held + 6)) as browsers:
        for _ in range(limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX):
            await browsers[0].get("/readyz")

        async def ask(browser: Browser) -> None:
            assert (await browser.get("/readyz")).status == 429
            answered_s.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for browser in browsers:
                nursery.start_soon(ask, browser)
    assert answered_s == [0.0] * 6 + [limits.HTTP_REFUSAL_S] * held


async def test_who_leaves_while_a_refusal_is_held_is_not_waited_for(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    admission = replace(ANYBODY, take_request=lambda client, now, is_static: False)
    client, server = trio.testing.memory_stream_pair()
    async with (
        service.open_http_service(FakeStatus(), Registry(), admission, web) as serve_stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_stream, server)
        await client.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
    assert trio.current_time() == 0


async def test_files_of_the_page_count_less(web: assets.WebAssets) -> None:
    counted: list[bool] = []

    def take_request(client: str, now: float, is_static: bool) -> bool:
        counted.append(is_static)
        return True

    file = f"/static/{web.version}/src/main.js"
    async with opened(web, admission=replace(ANYBODY, take_request=take_request)) as (browser, _):
        for path in (file, "/", "/api/worlds", file + "x", "/static/0/src/main.js"):
            await browser.get(path)
    assert counted == [True, False, False, False, False]


async def test_behind_a_proxy_each_visitor_has_a_rate(
    web: assets.WebAssets, autojump_clock: trio.testing.MockClock
) -> None:
    admission = our_admission(forwarded_by=("127.0.0.1/32",))
    async with opened_for_many(web, ["127.0.0.1"] * 3, admission) as (first, second, third):
        for k in range(limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX):
            claim = f"198.51.100.{k}, 203.0.113.7"
            assert (await first.get("/readyz", x_forwarded_for=claim)).status == 200
        assert (await first.get("/readyz", x_forwarded_for="9.9.9.9,203.0.113.7")).status == 429
        assert (await second.get("/readyz", x_forwarded_for="203.0.113.8")).status == 200
        direct = [await third.get("/readyz", x_forwarded_for=str(k)) for k in range(9)]
        assert {answer.status for answer in direct} == {200}


SPOOFED = {
    "no header": b"",
    "its visitor": b"x-forwarded-for: 203.0.113.7\r\n",
    "a claim": b"x-forwarded-for: 127.0.0.1, 203.0.113.7\r\n",
    "two headers": b"x-forwarded-for: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.7\r\n",
    "itself": b"x-forwarded-for: 127.0.0.2\r\n",
    "garbage": b"x-forwarded-for: \xff\xfe, ;=,\r\n",
    "other headers": b"forwarded: for=127.0.0.1\r\nx-real-ip: 127.0.0.1\r\n",
    "very long": b"x-forwarded-for: " + b"127.0.0.1," * 700 + b" 203.0.113.7\r\n",
}


@pytest.mark.parametrize("what", SPOOFED)
async def test_a_proxy_on_this_machine_opens_the_metrics_to_nobody(
    web: assets.WebAssets, what: str
) -> None:
    admission = our_admission(forwarded_by=("127.0.0.2/32",))
    async with opened_for_many(web, ["127.0.0.2", "203.0.113.7"], admission) as browsers:
        for browser in browsers:
            await browser.stream.send_all(
                b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n" + SPOOFED[what] + b"\r\n"
            )
            assert (await browser.answer()).status == 403


async def test_a_turn_of_the_loop_looks_at_one_request(
    web: assets.WebAssets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are ready at the same time: a tick that is due comes in between."""
    parsed: list[int] = []
    handle = H11Protocol.handle
    turn = 0

    async def counting(self: object, event: object) -> None:
        if type(event).__name__ == "RawData":
            parsed.append(turn)
        await handle(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(H11Protocol, "handle", counting)
    async with (
        opened_for_many(web, ["203.0.113.7"] * 20) as browsers,
        trio.open_nursery() as nursery,
    ):
        await trio.testing.wait_all_tasks_blocked()

        @nursery.start_soon
        async def count_turns() -> None:
            nonlocal turn
            while True:
                turn += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as asking:
            for browser in browsers:
                asking.start_soon(browser.get, "/readyz")
        nursery.cancel_scope.cancel()
    assert len(parsed) >= 20
    assert max(parsed.count(turn) for turn in parsed) <= 2, "the count is off by one at the edges"


async def test_a_bug_is_told_without_its_details(
    web: assets.WebAssets, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeStatus):
        def worlds(self) -> list[WorldStatus]:
            raise RuntimeError("the inner reason")

    async with opened(web, Broken()) as (browser, _):
        answer = await browser.get("/healthz")
    assert answer.status == 500
    assert json.loads(answer.body)["code"] == "internal"
    assert b"inner reason" not in answer.body
    assert "the inner reason" in caplog.text


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    garbage=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(lambda path: b"GET /" + path + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        st.binary(max_size=60).map(lambda value: b"GET / HTTP/1.1\r\nhost: " + value + b"\r\n\r\n"),
    )
)
def test_any_bytes_get_an_answer_or_a_close(
    web: assets.WebAssets, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()

    async def exchange() -> bytes:
        client, server = trio.testing.memory_stream_pair()
        received = b""
        async with (
            service.open_http_service(FakeStatus(), Registry(), ANYBODY, web) as serve_stream,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(serve_stream, server)
            await client.send_all(garbage)
            await client.send_eof()
            while chunk := await client.receive_some(65_536):
                received += chunk
        return received

    received = trio.run(exchange, clock=trio.testing.MockClock(autojump_threshold=0))
    assert received == b"" or received.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in received.split(b"\r\n", 1)[0]
    assert not caplog.records


def test_a_page_with_a_link_out_of_its_folder_is_not_loaded(tmp_path: Path) -> None:
    root = tmp_path / "web"
    root.mkdir()
    (root / "index.html").write_text("")
    (tmp_path / "secret.js").write_text("outside")
    (root / "link.js").symlink_to(tmp_path / "secret.js")
    with pytest.raises(AtriumStartError, match=r"link that leads out"):
        assets.load_assets(root)


async def test_without_a_map_the_world_is_served_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the world")
    async with opened(assets.load_assets(tmp_path)) as (browser, _):
        assert (await browser.get("/")).body == b"the world"
        assert (await browser.get("/map")).status == 404


def test_a_changed_file_changes_the_version(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("")
    (tmp_path / "main.js").write_text("1")
    before = assets.load_assets(tmp_path).version
    (tmp_path / "main.js").write_text("2")
    assert assets.load_assets(tmp_path).version != before

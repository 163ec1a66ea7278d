"""The world page when things are not as they should be: the network, the browser, the graphics,
files that are missing or broken, and what hostile people and servers send.

Whatever happens, the person reads a sentence that says what to do, and nothing throws. The network
is stood in for by routes: sockets go through `Relay`, which cuts, changes and adds messages of a
real server.
"""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from browsing import Server, Visits, chromium, drawn, frames, is_live, running, until
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocketRoute, expect

from atrium_shared.codec import decode_server, encode, encode_snapshot
from atrium_shared.enums import ChatChannel, EntityKind
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import (
    ChatPublished,
    Enter,
    EnterEntry,
    Error,
    Message,
    Notice,
    Welcome,
)

SCENE: Final = re.compile(r"/api/worlds/[^/]+/scene")
SOCKET: Final = re.compile(r"/ws$")
STILL: Final = """document.addEventListener("DOMContentLoaded", () => {
  const { style } = document.getElementById("world");
  style.width = "160px";
  style.height = "90px";
});
try { localStorage["atrium.settings"] ??= '{"quality":"low"}'; } catch { /* blocked */ }"""
"""The picture is drawn by the processor: a small one leaves it time for the rest."""
NETWORK: Final = ["Failed to load resource", "WebSocket connection to"]
"""What the browser itself says of a network that fails."""
NASTY: Final = (
    "\u202egnp.exe\u2066", "Z" + "\u0300\u0316\u0489" * 40, "a\u200b\u200d\ufeff\u2060b",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 8,
    "<img src=x onerror=document.title='owned'>", "W" * 64, "javascript:alert(1)",
    "(.*)+[$^\\", "{count}", "__proto__", "\u0645\u0631\u062d\u0628\u0627",
)
TEXT_MAX: Final = 500


class Relay:
    """All sockets of a context: passes on, or does what `serve` does instead."""

    def __init__(self) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.serve: Callable[[WebSocketRoute], None] | None = None
        self.heard: list[bytes] = []
        """What the server has said in sockets that were passed on."""

    def __call__(self, context: BrowserContext) -> None:
        context.route_web_socket(SOCKET, self._take)

    def _take(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        if self.serve:
            self.serve(socket)
            return
        server = socket.connect_to_server()

        def hear(message: bytes | str) -> None:
            assert isinstance(message, bytes)
            self.heard.append(message)
            socket.send(message)

        server.on_message(hear)

    def say(self, message: Message) -> None:
        """As if the server had said it, in the newest socket."""
        self.sockets[-1].send(encode(message))

    def cut(self, code: int = 1013) -> None:
        """The newest socket ends."""
        self.sockets[-1].close(code=code)


def refuse(socket: WebSocketRoute) -> None:
    """As where nobody listens."""
    socket.close(code=1013)


def answers(*messages: bytes) -> Callable[[WebSocketRoute], None]:
    """Says this to each hello, and nothing else."""
    def serve(socket: WebSocketRoute) -> None:
        told: list[bool] = []

        def hear(_: bytes | str) -> None:
            if told:
                return
            told.append(True)
            for message in messages:
                socket.send(message)

        socket.on_message(hear)

    return serve


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--ephemeral") as started:
        yield started


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def visits(browser: Browser, server: Server, relay: Relay) -> Iterator[Visits]:
    opened = Visits(browser, server.url, scripts=[STILL], prepare=relay)
    # The stand-in for the socket tells the page later than the browser that it is being closed.
    opened.forgiven = ["WebSocket is already in CLOSING"]
    yield opened
    opened.close()


def enter(page: Page, name: str) -> None:
    """Type a name and press Enter."""
    page.fill("#join-name", name)
    page.press("#join-name", "Enter")


def change_scene(context: BrowserContext, change: Callable[[Any], None]) -> None:
    """What the server tells of the place, changed."""
    def fulfil(route: Route) -> None:
        answer = route.fetch()
        scene = answer.json()
        change(scene)
        route.fulfill(response=answer, body=json.dumps(scene))

    context.route(SCENE, fulfil)


def can_walk(page: Page) -> None:
    """Hold a key until the avatar has moved; nothing else shows that a page is alive."""
    x, z = page.evaluate("() => [atriumTest.model.own.x, atriumTest.model.own.z]")
    page.focus("#world")
    page.keyboard.down("w")
    until(page, "([x, z]) => Math.hypot(atriumTest.model.own.x - x,"
                " atriumTest.model.own.z - z) > 0.3", [x, z])
    page.keyboard.up("w")


# --- the network -------------------------------------------------------------------------------


def test_a_server_that_is_away_is_counted_down_to_and_found_by_itself(
    visits: Visits, relay: Relay
) -> None:
    relay.serve = refuse
    page = visits.open()
    enter(page, "Ada")
    expect(page.locator("#join-error")).to_contain_text(re.compile(r"again in \d+ second"))
    relay.serve = None
    is_live(page)
    expect(page.locator("#join")).to_be_hidden()
    mine = page.evaluate("() => atriumTest.model.entityId")
    relay.serve = refuse
    relay.cut()
    expect(page.locator("#link-state")).to_have_text(re.compile(r"reconnecting in \d+ s"))
    relay.serve = None
    is_live(page)
    assert page.evaluate("() => atriumTest.model.entityId") == mine


def test_a_place_that_cannot_be_had_is_asked_for_again(visits: Visits) -> None:
    visits.forgiven = [*NETWORK]
    refusals = [503, 429]

    def prepare(context: BrowserContext) -> None:
        def fulfil(route: Route) -> None:
            if refusals:
                route.fulfill(status=refusals.pop(), headers={"retry-after": "1"}, body="{}")
            else:
                route.continue_()

        context.route(SCENE, fulfil)

    visits.prepare = prepare
    visits.join("Ann")
    assert not refusals


ENDINGS: Final = (
    (ErrorCode.VERSION, "x", "from another version", "Reload"),
    (ErrorCode.NOT_ALLOWED, "You are banned until Monday.", "may not come into this place. You",
     None),
    (ErrorCode.REPLACED, "x", "another tab or window", None),
    (ErrorCode.BAD_NAME, "Choose another name.", "Choose another name.", None),
    (ErrorCode.FULL, "x", "is full just now", "Try now"),
    (ErrorCode.WORLD_FULL, "x", "is full just now", None),
    (ErrorCode.DRAINING, "x", "about to restart", "Try now"),
)


def test_each_way_in_that_is_closed_has_a_sentence_and_another_way(
    visits: Visits, relay: Relay
) -> None:
    page = visits.open()
    for code, told, shown, way in ENDINGS:
        relay.serve = answers(encode(Error(code, told, 30_000 if way == "Try now" else 0)))
        enter(page, "Bea")
        if way == "Try now":
            until(page, "() => atriumTest.model.state === 'joining'")
            relay.cut()
        expect(page.locator("#join-error")).to_contain_text(shown)
        expect(page.locator("#join-enter")).to_be_enabled()
        expect(page.locator("#join-enter")).to_have_text("Enter")
        expect(page.locator("#join-name")).to_have_value("Bea")
        if way:
            expect(page.locator("#join-ways").get_by_role("button", name=way)).to_be_visible()
    relay.serve = None
    page.locator("#join-enter").click()
    is_live(page)
    relay.say(Error(ErrorCode.NOT_ALLOWED, "Be kinder.", 0))
    expect(page.locator("#join-error")).to_contain_text("sent out of this place. Be kinder.")


def test_a_sign_in_that_was_ended_is_asked_for_again_with_the_name_kept(visits: Visits) -> None:
    visits.forgiven = [*NETWORK]
    page = visits.open()
    page.fill("#join-name", "Cyd")
    page.click("#join-account summary")
    page.fill("#join-password", "correct horse battery")
    page.click("#join-sign-up")
    is_live(page)
    token = page.evaluate("() => atriumTest.page.account.token")
    answer = page.request.delete(
        f"{visits.url}/api/sign-ins/current", headers={"authorization": f"Bearer {token}"})
    assert answer.status == 204
    page.reload()
    # The page may have heard of it before the reload: then it comes back as a guest of that name.
    expect(page.locator("#join-error")).to_contain_text(
        re.compile("Sign in again; your name is kept|belongs to an account: sign in"))
    expect(page.locator("#join-name")).to_have_value("Cyd")
    expect(page.locator("#join-password")).to_be_visible()
    page.fill("#join-password", "correct horse battery")
    page.press("#join-password", "Enter")
    is_live(page)


# --- the browser -------------------------------------------------------------------------------


COLOURS: Final = """() => {
  const copy = document.createElement('canvas').getContext('2d');
  copy.drawImage(document.getElementById('world'), 0, 0, 64, 36);
  const { data } = copy.getImageData(0, 0, 64, 36);
  const seen = new Set();
  for (let k = 0; k < data.length; k += 4) seen.add(data[k] >> 4 << 8 | data[k + 1]);
  return seen.size;
}"""


def test_a_picture_that_was_taken_away_comes_back(visits: Visits) -> None:
    visits.forgiven = ["THREE.WebGLRenderer: Context Lost"]
    page = visits.join("Dan")
    page.evaluate("() => atriumTest.scenery")
    drawn(page)
    before = page.evaluate(COLOURS)
    assert before > 8
    page.evaluate("() => atriumTest.stage.renderer.forceContextLoss()")
    expect(page.locator("#notices")).to_contain_text("The picture is gone")
    page.evaluate("() => atriumTest.stage.renderer.forceContextRestore()")
    expect(page.locator("#notices")).to_contain_text("The picture is back")
    expect(page.locator("#notices")).not_to_contain_text("The picture is gone")
    drawn(page)
    assert page.evaluate(COLOURS) > before / 2
    can_walk(page)


def test_a_headset_that_refuses_is_told_and_the_page_goes_on(visits: Visits) -> None:
    visits.scripts = [STILL, """Object.defineProperty(navigator, "xr", { value: {
      isSessionSupported: async () => true, addEventListener() {}, removeEventListener() {},
      requestSession: async () => { throw new DOMException("busy", "InvalidStateError"); } } });
      """]
    page = visits.join("Eli")
    page.click("#enter-vr")
    expect(page.locator("#notices")).to_contain_text("You can go on without it")
    can_walk(page)


BLOCKED: Final = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
}"""


def test_without_storage_a_lost_link_still_gives_the_place_back(
    visits: Visits, relay: Relay
) -> None:
    visits.scripts = [BLOCKED, STILL]
    page = visits.join("Fay")
    mine = page.evaluate("() => atriumTest.model.entityId")
    relay.cut()
    until(page, "() => atriumTest.model.state === 'lost'")
    is_live(page)
    assert page.evaluate("() => atriumTest.model.entityId") == mine
    assert len(relay.sockets) == 2
    expect(page.locator("#notices li", has_text="keeps nothing")).to_have_count(1)


def test_without_the_scenery_the_plain_picture_is_told_and_walked_in(visits: Visits) -> None:
    visits.forgiven = [*NETWORK]

    def prepare(context: BrowserContext) -> None:
        modules = re.compile(r"render/(surroundings/surroundings|avatars/crowd)\.js")
        context.route(modules, lambda route: route.abort())

    visits.prepare = prepare
    page = visits.join("Gus")
    assert page.evaluate("() => atriumTest.scenery") is False
    expect(page.locator("#notices")).to_contain_text("it stays plain")
    expect(page.locator("#notices").get_by_role("button", name="Reload")).to_be_visible()
    can_walk(page)


# --- files and texts of others -----------------------------------------------------------------


def uuid(number: int) -> str:
    """A prop's id."""
    return f"00000000-0000-4000-8000-{number:012d}"


def prop(number: int, properties: Any, **more: Any) -> dict[str, Any]:
    """As in the JSON of a scene."""
    return {"id": uuid(number), "position_m": [number % 7 - 3, 1, -3], "rotation": [0, 0, 0, 1],
            "scale": [1, 1, 1], "owner": "", "properties": properties, **more}


GARBAGE: Final = "a" * 64
MISSING: Final = "b" * 64
HUGE: Final = "c" * 64


def glb(document: dict[str, Any], binary: bytes = b"") -> bytes:
    """A binary glTF."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        binary += b"\0" * (-len(binary) % 4)
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def broken_picture() -> bytes:
    """A triangle whose texture says that it is a PNG of 65,535 x 65,535 pixels and is none."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 65535, 65535,
                                             8, 6, 0, 0, 0, 0)
    points = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    return glb({
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [
            {"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}], "images": [{"bufferView": 1, "mimeType": "image/png"}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3",
                       "min": [0, 0, 0], "max": [1, 1, 0]}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(points)},
                        {"buffer": 0, "byteOffset": len(points), "byteLength": len(head)}],
        "buffers": [{"byteLength": len(points) + len(head)}],
    }, points + head)


def test_files_that_are_missing_or_broken_leave_a_plain_shape(
    visits: Visits, relay: Relay
) -> None:
    # The library itself says so where a picture within a file is broken.
    visits.forgiven = [*NETWORK, "THREE.GLTFLoader: Couldn't load texture"]

    def prepare(context: BrowserContext) -> None:
        relay(context)
        change_scene(context, lambda scene: scene.update(props=[
            prop(k, {"kind": "model", "asset": asset})
            for k, asset in enumerate((GARBAGE, MISSING, HUGE), 1)]))
        garbage, huge = b"<html>no</html>" * 50, broken_picture()
        context.route(f"**/api/assets/{GARBAGE}", lambda route: route.fulfill(body=garbage))
        context.route(f"**/api/assets/{HUGE}", lambda route: route.fulfill(body=huge))

    visits.prepare = prepare
    page = visits.join("Hal")
    page.evaluate("() => atriumTest.scenery")
    relay.say(Enter((EnterEntry(200, 9_001, EntityKind.AVATAR, "Vera", f"vrm:{MISSING}"),)))
    relay.sockets[-1].send(place_of(200, 0.0, -2.0))
    keys = "[1, 2].map((n) => `00000000000040008000${String(n).padStart(12, '0')}`)"
    until(page, f"() => {keys}.every((key) =>"
                " atriumTest.page.propScene.objectOf(key)?.children.length > 0)")
    until(page, "() => atriumTest.page.gathering.byId.has(9001)")
    until(page, "() => atriumTest.page.propScene.info().loading === 0")
    frames(page, 5)
    can_walk(page)


def place_of(index: int, x: float, z: float) -> bytes:
    """A snapshot in which only one stands somewhere."""
    root = struct.pack("<i", int(x * 1000))[:3] + struct.pack("<h", 0) \
        + struct.pack("<i", int(z * 1000))[:3] + struct.pack("<H", 0)
    body = bytes([0, 1, index, 0]) + root
    return encode_snapshot(4_000_000, 0, 0, body)


def test_hostile_names_and_lines_are_text_and_stay_in_their_place(
    visits: Visits, relay: Relay
) -> None:
    def spoil(scene: Any) -> None:
        scene["title"] = NASTY[0] + NASTY[4] * 30
        scene["props"] = [
            *(prop(k, {"kind": "sign", "text": text * 9, "title": text})
              for k, text in enumerate(NASTY, 1)),
            prop(50, {"kind": "portal", "world": "meeting", "title": NASTY[4]}),
        ]

    def prepare(context: BrowserContext) -> None:
        relay(context)
        change_scene(context, spoil)

    visits.prepare = prepare
    page = visits.join("Ivy")
    page.evaluate("() => atriumTest.scenery")
    relay.say(Enter(tuple(EnterEntry(180 + k, 8_000 + k, EntityKind.AVATAR, name, f"av{k}")
                          for k, name in enumerate(NASTY))))
    for k, name in enumerate(NASTY):
        relay.sockets[-1].send(place_of(180 + k, k - 5.0, -3.0))
        text = (name * TEXT_MAX)[:TEXT_MAX - 5] + " @Ivy"
        relay.say(ChatPublished(k + 1, ChatChannel.WORLD, 8_000 + k, name, text, 0))
        relay.say(Notice(0, name))
    until(page, "(count) => atriumTest.page.gathering.people.length >= count", len(NASTY))
    expect(page.locator("#chat-log li")).to_have_count(len(NASTY))
    page.click("#people-toggle")
    frames(page, 5)
    assert re.fullmatch("\u2068.+\u2069 – Atrium", page.title())
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    assert page.evaluate("() => document.querySelectorAll("
                         "'#chat-log img, #people img, #notices img, #place img').length") == 0
    row = page.locator("#people li, #people [role=listitem]").first
    assert (row.bounding_box() or {"height": 999})["height"] < 120
    page.evaluate("() => atriumTest.ui.personChosen({ id: 8001, x: 80, y: 60 })")
    expect(page.locator("#menu")).to_be_visible()
    assert page.evaluate(wide) <= 0
    page.keyboard.press("Escape")
    page.evaluate("(text) => void atriumTest.ui.travel.portal('meeting', text.repeat(9))", NASTY[4])
    expect(page.locator("dialog[open]")).to_be_visible()
    assert page.locator("dialog img").count() == 0
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def nonsense(scene: Any) -> None:
    """A scene in which everything is of a wrong kind or out of all bounds."""
    shape = {"kind": "shape", "form": "box", "colour": "#cccccc"}
    odd: list[Any] = [
        prop(1, shape, group=uuid(1)), prop(2, shape, group=uuid(3)),
        prop(3, {"kind": "group"}, group=uuid(2)), prop(4, shape, position_m=[1e308, "1", None]),
        prop(5, shape, position_m=[1e308] * 3, scale=[1e308] * 3), prop(6, {"kind": "constructor"}),
        prop(7, {"kind": "shape", "form": "toString", "colour": "red; drop"}),
        prop(8, {"kind": "sign", "text": 7, "background": ["#fff"]}),
        prop(9, {"kind": "sign", "text": "x" * 100_000}), prop(10, None), None, 7, "prop", [],
        prop(11, {"kind": "light", "form": "__proto__", "range_m": -1e308}),
        prop(12, {"kind": "portal", "world": {"toString": 1}}),
        prop(13, {"kind": "model", "asset": "../../secret", "tint": "url(x)"}),
        prop(14, shape, rotation=[0, 0, 0, 0]), prop(15, shape, scale=[0, 0, 0]),
    ]
    scene.update(
        props=odd, title={"a": 1}, floor_m="0", interest_radius_m=1e308, seats="none",
        spawns=[None, 5, {}], movement={"speed_m_per_s_max": "fast"},
    )
    scene["boxes"] = [*scene.get("boxes", []), {"center": ["1", 2, 3], "size": [1, 2, 3]},
                      {"center": [1e308, 1e308, 1e308], "size": [1e308, -1, 1e308]}, 5, None]
    scene["cylinders"] = [{"center": [0, 0, 5], "radius_m": "2", "height_m": []}]
    scene["zones"] = [{"center": {}, "size": 3}]


CROWDED: Final = """{
  const { json } = Response.prototype;
  Response.prototype.json = async function() {
    const found = await json.call(this);
    for (let k = 0; Array.isArray(found.props) && k < 120_000; k++) {
      found.props.push({ id: `00000000-0000-4000-9000-${String(k).padStart(12, "0")}`,
        position_m: [k % 50, 0.5, Math.floor(k / 50) % 900], scale: [0.1, 0.1, 0.1],
        properties: { kind: "shape", form: "box", colour: "#cccccc" } });
    }
    return found;
  };
}"""
"""More props in each scene than any world holds; made in the page, to spare the test the bytes."""


def test_a_place_that_is_nonsense_is_shown_as_far_as_it_goes(visits: Visits) -> None:
    visits.forgiven = [*NETWORK]
    visits.scripts = [STILL, CROWDED]
    visits.prepare = lambda context: change_scene(context, nonsense)
    page = visits.open()
    enter(page, "Jon")
    until(page, "() => atriumTest.model.props.props.size > 90_000")
    page.evaluate("() => atriumTest.scenery")
    frames(page, 3)
    assert page.evaluate("() => atriumTest.model.props.props.size") <= 100_000
    can_walk(page)


# --- messages ----------------------------------------------------------------------------------


def spoilt(message: bytes, chance: random.Random) -> bytes:
    """The message with something wrong in it."""
    raw = bytearray(message)
    match chance.randrange(4):
        case 0:
            return bytes(raw[:chance.randrange(len(raw))])
        case 1:
            return bytes([*raw, *chance.randbytes(chance.randrange(1, 9))])
        case 2:
            for _ in range(chance.randrange(1, 5)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            return bytes(raw)
        case _:
            return bytes([0x90 | chance.randrange(1, 9), 0xCC, chance.randrange(64, 256)]) \
                + bytes(raw[2:])


def test_what_no_server_says_ends_with_a_sentence_and_never_throws(
    visits: Visits, relay: Relay
) -> None:
    page = visits.join("Kim")
    until(page, "() => atriumTest.model.tick > 0")
    heard = relay.heard[:60]
    welcome = next(each for each in heard if isinstance(decode_server(each), Welcome))
    chance = random.Random(4)
    ended = 0
    for _ in range(14):
        bad = [spoilt(chance.choice(heard), chance) for _ in range(12)]
        relay.serve = answers(welcome, *bad)
        relay.cut(1000)
        if page.locator("#join").is_visible():
            page.click("#join-enter")
        else:
            page.evaluate("() => atriumTest.page.link.retry()")
        until(page, "() => ['live', 'ended', 'lost'].includes(atriumTest.model.state)")
        if page.evaluate("() => atriumTest.model.state") == "ended":
            ended += 1
            assert page.locator("#join-error").text_content()
    assert ended > 3
    expect(page.locator("#join-error")).to_contain_text("does not understand")
    expect(page.locator("#join-ways").get_by_role("button", name="Reload")).to_be_visible()


def heap(page: Page) -> float:
    """Bytes of JavaScript objects that are in use."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: Any = session.send("Runtime.getHeapUsage")
    session.detach()
    return float(used["usedSize"])


def test_a_flood_of_snapshots_does_not_grow_the_memory(visits: Visits, relay: Relay) -> None:
    page = visits.join("Lou")
    relay.say(Enter(tuple(EnterEntry(k, 7_000 + k, EntityKind.AVATAR, f"F{k}", "")
                          for k in range(150, 180))))
    tick = page.evaluate("() => atriumTest.model.tick") + 1_000

    def flood(count: int) -> None:
        nonlocal tick
        for _ in range(count):
            tick += 1
            body = bytes([0, 30, *range(150, 180)]) + bytes(11) * 30
            relay.sockets[-1].send(encode_snapshot(tick, tick * 5, 0, body))
        until(page, "(tick) => atriumTest.model.tick >= tick", tick)

    flood(100)
    before = heap(page)
    flood(400)
    assert heap(page) - before < 2_000_000


# --- the window --------------------------------------------------------------------------------


def test_a_tab_that_was_hidden_for_long_goes_on_where_things_are(
    visits: Visits, relay: Relay
) -> None:
    page = visits.join("Mia")
    page.evaluate("() => atriumTest.stage.stop()")
    x, z = page.evaluate("() => [atriumTest.model.own.x, atriumTest.model.own.z]")
    page.focus("#world")
    page.keyboard.down("w")
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
      window.dispatchEvent(new Event("blur"));
    }""")
    relay.say(Enter((EnterEntry(170, 6_000, EntityKind.AVATAR, "Far", ""),)))
    for k in range(300):
        body = bytes([0, 1, 170, 0]) + struct.pack("<i", k * 40)[:3] + bytes(2 + 3 + 2)
        relay.sockets[-1].send(encode_snapshot(5_000_000 + k, k * 50, 0, body))
    until(page, "() => atriumTest.model.tick >= 5000299")
    page.evaluate("""() => {
      delete document.hidden;
      document.dispatchEvent(new Event("visibilitychange"));
      atriumTest.stage.start();
    }""")
    frames(page, 4)
    assert page.evaluate("([x, z]) => Math.hypot(atriumTest.model.own.x - x,"
                         " atriumTest.model.own.z - z)", [x, z]) < 0.05
    page.keyboard.up("w")
    can_walk(page)


OUT_OF_REACH: Final = """() => [...document.querySelectorAll("#join button, #join input")]
  .filter((each) => each.checkVisibility()).filter((each) => {
    each.scrollIntoView({ block: "center" });
    const box = each.getBoundingClientRect();
    return box.left < -1 || box.right > innerWidth + 1 || box.top < -1
      || box.bottom > innerHeight + 1;
  }).map(({ id }) => id)"""


@pytest.mark.parametrize(("width", "height", "text"), [(200, 150, "100%"), (640, 360, "200%")])
def test_in_a_tiny_window_and_with_huge_letters_all_can_be_reached(
    visits: Visits, width: int, height: int, text: str
) -> None:
    visits.scripts = [STILL, "document.addEventListener('DOMContentLoaded', () => {"
                             f" document.documentElement.style.fontSize = '{text}'; }});"]
    page = visits.open(viewport={"width": width, "height": height}, reduced_motion="reduce")
    assert page.evaluate(OUT_OF_REACH) == []
    enter(page, f"Ned {width}")
    is_live(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    moving = "() => document.getAnimations().filter((each) => each.playState === 'running'" \
             " && each.effect.getComputedTiming().duration > 1).length"
    assert page.evaluate(moving) == 0
    page.focus("#world")
    page.keyboard.press("Enter")
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    said = page.locator("#chat-log li.own", has_text="hello")
    expect(said).to_have_class(re.compile("published"))
    page.focus("#menu-toggle")
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    leave = page.locator("#menu").get_by_role("menuitem", name="Leave")
    leave.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#join")).to_be_visible()

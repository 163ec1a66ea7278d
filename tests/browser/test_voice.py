"""Two pages hear each other through real WebRTC, as the real server pairs them.

The page is a small one of the test's own at the server's address, so that it may load the real
modules; Chromium's fake microphone beeps.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import pytest
from browsing import Visits, chromium, running, until
from playwright.sync_api import Page, Route

FLAGS = (
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)
PAGE = """<!doctype html><meta charset="utf-8"><title>voice</title>
<script type="module" src="/voice-test.js"></script>"""
SCRIPT = """
import { Link } from "/static/@/src/net/link.js";
import { ClientKind, Op, VoiceMode } from "/static/@/src/core/protocol.generated.js";
import { Voice } from "/static/@/src/voice/voice.js";
const places = new Map();
const outputs = new Map();
let requests = 1000;
const url = new URL("/ws", location.href);
url.protocol = "ws:";
const link = new Link(url, {
  message(message) {
    voice.receive(message);
    if (message.op === Op.Welcome) test.entityId = message.entity_id;
    if (message.op === Op.Snapshot) link.acknowledge(message.tick);
  },
  state(state) { test.state = state; },
}, { kind: ClientKind.WEB, parts: 0, features: ["voice"] });
const voice = new Voice({
  send: (message) => link.send(message), nextRequestId: () => ++requests,
  positionOf: (entityId) => places.get(entityId) ?? [0, 0, -1],
  onVoice(entityId, node) {
    const splitter = new ChannelSplitterNode(node.context, { numberOfOutputs: 2 });
    const sides = [0, 1].map((side) => {
      const analyser = new AnalyserNode(node.context, { fftSize: 8192 });
      splitter.connect(analyser, side);
      return analyser;
    });
    node.connect(splitter);
    outputs.set(entityId, sides);
  },
});
const pose = { position: [0, 0, 0], forward: [0, 0, -1], up: [0, 1, 0] };
setInterval(() => voice.update(pose, performance.now()), 20);
const samples = new Float32Array(8192);
const sums = new Map();
setInterval(() => {
  for (const [entityId, sides] of outputs) {
    const sum = sums.get(entityId) ?? [0, 0];
    sums.set(entityId, sides.map((side, k) => {
      side.getFloatTimeDomainData(samples);
      return sum[k] + samples.reduce((all, one) => all + one * one, 0);
    }));
  }
}, 60);
const test = window.test = {
  entityId: 0, state: "", VoiceMode, voice,
  join: (name) => link.open(name, ""), leave: () => link.close(),
  talk: (mode) => voice.setMode(mode),
  goTo: (x, z) => link.teleport(0, { x, z }),
  place: (entityId, at) => places.set(entityId, at),
  forget: () => sums.clear(),
  heard: (entityId) => sums.get(entityId) ?? [0, 0],
  connected: () => [...voice.peers].filter(([, one]) => one.state === "connected")
    .map(([entityId]) => entityId),
};
"""


@pytest.fixture(scope="module")
def visits() -> Iterator[Visits]:
    with running("--ephemeral") as server, chromium(*FLAGS) as browser:
        visits = Visits(browser, server.url, {"permissions": ["microphone"]})
        yield visits
        visits.close()


def voice_page(visits: Visits, name: str) -> tuple[Page, int]:
    """Somebody who is in the world and has voice off."""
    with urllib.request.urlopen(visits.url) as answer:
        found = re.search(r"/static/([^/]+)/", answer.read().decode())
    assert found is not None
    script = SCRIPT.replace("@", found[1])

    def answer_page(route: Route) -> None:
        route.fulfill(body=PAGE, content_type="text/html")

    def answer_script(route: Route) -> None:
        route.fulfill(body=script, content_type="text/javascript")

    page = visits.open("/healthz")
    page.route("**/voice-test.html", answer_page)
    page.route("**/voice-test.js", answer_script)
    page.goto(visits.url + "/voice-test.html")
    until(page, "() => !!window.test")
    page.evaluate("(name) => test.join(name)", name)
    return page, until(page, "() => test.state === 'live' && test.entityId")


def talk(page: Page, mode: str = "TALK") -> None:
    page.evaluate("(mode) => test.talk(test.VoiceMode[mode])", mode)


def is_connected(page: Page, entity_id: int) -> None:
    until(page, "(id) => test.connected().includes(id)", entity_id)


def sides(page: Page, entity_id: int) -> list[float]:
    """What comes from the left and the right of somebody, over some of the beeps."""
    page.evaluate("() => test.forget()")
    return until(
        page, "(id) => { const [l, r] = test.heard(id); return l + r > 5 && [l, r]; }", entity_id
    )


def test_two_hear_each_other_from_where_they_stand(visits: Visits) -> None:
    (ann, ann_id), (ben, ben_id), (cat, cat_id) = [
        voice_page(visits, name) for name in ("Ann", "Ben", "Cat")
    ]
    cat.evaluate("() => test.goTo(20, 20)")
    for page in (ann, ben, cat):
        talk(page)
    is_connected(ann, ben_id)
    is_connected(ben, ann_id)
    ben.evaluate("([id, at]) => test.place(id, at)", [ann_id, [3, 0, 0]])
    ann.evaluate("([id, at]) => test.place(id, at)", [ben_id, [-3, 0, 0]])
    left, right = sides(ben, ann_id)
    assert right > 1.3 * left
    left, right = sides(ann, ben_id)
    assert left > 1.3 * right
    until(ben, "(id) => test.voice.isHeard(id)", ann_id)
    until(ann, "() => test.voice.isSpeaking")
    assert cat.evaluate("() => test.voice.peers.size") == 0
    assert not ann.evaluate("(id) => test.voice.peers.has(id)", cat_id)

    talk(ann, "LISTEN")
    until(ben, "(id) => !test.voice.isHeard(id)", ann_id)
    is_connected(ben, ann_id)
    until(ann, "(id) => test.voice.isHeard(id)", ben_id)
    assert not ann.evaluate("() => test.voice.isSpeaking")

    talk(ann)
    until(ben, "(id) => test.voice.isHeard(id)", ann_id)
    ann.evaluate("() => test.leave()")
    until(ben, "() => test.voice.peers.size === 0")

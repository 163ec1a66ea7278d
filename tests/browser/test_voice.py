"""Two pages hear each other through real WebRTC, as the real server pairs them.

Chromium's fake microphone beeps once a second. What is heard is measured where it comes out, behind
the ear that it is heard with: sums of squares of the left and the right channel, over some beeps.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import Server, Visits, chromium, frames, running, until
from playwright.sync_api import Browser, Page

FLAGS = (
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)
LARGE = {"width": 700, "height": 500}
HEAR = """(id) => {
  const node = atriumTest.talking.voice.peers.get(id).output;
  const splitter = new ChannelSplitterNode(node.context, { numberOfOutputs: 2 });
  const sides = [0, 1].map((side) => {
    const analyser = new AnalyserNode(node.context, { fftSize: 8192 });
    splitter.connect(analyser, side);
    return analyser;
  });
  node.connect(splitter);
  const samples = new Float32Array(8192);
  window.heard = [0, 0];
  clearInterval(window.hearing);
  window.hearing = setInterval(() => {
    for (const k of [0, 1]) {
      sides[k].getFloatTimeDomainData(samples);
      heard[k] += samples.reduce((all, one) => all + one * one, 0);
    }
  }, 60);
}"""
HOP = """async ([x, z]) => {
  const { model } = atriumTest;
  const range = model.place.movement.teleportRange * 0.9;
  for (;;) {
    const [dx, dz] = [x - model.own.x, z - model.own.z];
    const away = Math.hypot(dx, dz);
    if (away < 0.5) return;
    const part = Math.min(1, range / away);
    const [tx, tz] = [model.own.x + dx * part, model.own.z + dz * part];
    const { code, retry_ms } = await model.teleport(tx, 0, tz, 0);
    if (code) await new Promise((wake) => setTimeout(wake, Math.max(retry_ms, 100)));
    else await new Promise((wake) => requestAnimationFrame(wake));
  }
}"""
"""Jumps there, as far at a time and as often as the server allows."""
ID = "() => atriumTest.model.entityId"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(*FLAGS) as launched:
        yield launched


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--ephemeral") as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    opened = Visits(browser, server.url, {"permissions": ["microphone"], "viewport": LARGE})
    yield opened
    opened.close()


def say_yes(page: Page) -> None:
    """Turn the microphone on as a person does: by the button, and by agreeing once."""
    page.click("#voice")
    page.click("dialog[open] button[value=yes]")
    until(page, "() => atriumTest.talking.mode === 'talk'")


def is_connected(page: Page, entity_id: int) -> None:
    until(page, "(id) => atriumTest.talking.voice?.peers.get(id)?.state === 'connected'", entity_id)


def stand_beside(page: Page, other: int, side: float) -> None:
    """Look so that somebody is right (1) or left (-1) of where one looks."""
    page.evaluate("""([other, side]) => {
      const { page, model } = atriumTest;
      const { pose } = page.gathering.byId.get(other).figure;
      const bearing = Math.atan2(model.own.x - pose[0], model.own.z - pose[2]);
      page.boom.isFirstPerson = true;
      page.boom.pitch = 0;
      page.boom.yaw = bearing + side * Math.PI / 2;
    }""", [other, side])
    frames(page)


def hears_from(page: Page, other: int, side: int) -> None:
    """Wait until somebody is clearly louder in one ear (0 left, 1 right), over some of the beeps.

    The ear turns with the pictures, which a busy machine draws late: sums that were begun before
    it had turned are thrown away, and the next beeps are weighed.
    """
    page.evaluate(HEAR, other)
    until(page, """(side) => {
      if (heard[0] + heard[1] < 0.5) return false;
      window.weighed = [...heard];
      window.heard = [0, 0];
      return weighed[side] > 1.3 * weighed[1 - side];
    }""", side, otherwise="() => window.weighed")


def test_two_hear_each_other_from_where_they_stand(visits: Visits) -> None:
    ann, ben = visits.join("Ann"), visits.join("Ben")
    ann_id, ben_id = ann.evaluate(ID), ben.evaluate(ID)
    until(ann, "(id) => atriumTest.page.gathering.byId.has(id)", ben_id)
    until(ben, "(id) => atriumTest.page.gathering.byId.has(id)", ann_id)
    say_yes(ann)
    say_yes(ben)
    is_connected(ann, ben_id)
    is_connected(ben, ann_id)
    stand_beside(ben, ann_id, 1)
    hears_from(ben, ann_id, 1)
    stand_beside(ben, ann_id, -1)
    hears_from(ben, ann_id, 0)
    # Both signs come and go with the beeps: whether they came at all is noted in each picture.
    ben.evaluate("""(id) => {
      window.signs = { heard: false, flag: false };
      atriumTest.page.parts.push(() => {
        const person = atriumTest.page.gathering.byId.get(id);
        signs.heard ||= person?.speaking > 0;
        signs.flag ||= ((person?.figure.flags ?? 0) & 4) !== 0;
      });
    }""", ann_id)
    until(ben, "() => signs.heard && signs.flag")

    # Muted for Ben: nothing of Ann's may flow to him, and she is told not to send.
    ben.evaluate("(id) => void atriumTest.model.relate(id, 1)", ann_id)
    until(ben, "() => atriumTest.model.relations.length === 1")
    until(ben, "(id) => !(atriumTest.page.gathering.byId.get(id).speaking > 0)", ann_id)
    ben.evaluate(HEAR, ann_id)
    ben.wait_for_timeout(1_500)
    assert ben.evaluate("() => heard[0] + heard[1]") < 0.01
    is_connected(ann, ben_id)

    # Blocked: the pair is ended.
    ben.evaluate("(id) => void atriumTest.model.relate(id, 4)", ann_id)
    until(ann, "() => atriumTest.talking.voice.peers.size === 0")
    until(ben, "() => atriumTest.talking.voice.peers.size === 0")


def test_who_leaves_or_is_far_away_is_not_heard(visits: Visits) -> None:
    cleo, dora = visits.join("Cleo"), visits.join("Dora")
    dora_id = dora.evaluate(ID)
    say_yes(cleo)
    say_yes(dora)
    is_connected(cleo, dora_id)
    dora.evaluate(HOP, [22, 22])
    until(cleo, "() => atriumTest.talking.voice.peers.size === 0")
    dora.evaluate(HOP, [0, 0])
    is_connected(cleo, dora_id)
    dora.evaluate("() => atriumTest.page.leave()")
    until(cleo, "() => atriumTest.talking.voice.peers.size === 0")


def test_a_refused_microphone_is_told_and_listening_goes_on(browser: Browser) -> None:
    with running("--ephemeral") as server:
        visits = Visits(browser, server.url, {"viewport": LARGE}, scripts=[
            "navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no', 'NotAllowedError'); };"
        ])
        page = visits.join("Ed")
        page.click("#voice")
        page.click("dialog[open] button[value=yes]")
        until(page, "() => document.querySelector('#notices').textContent.includes('microphone')")
        assert page.evaluate("() => atriumTest.talking.mode") == "off"
        visits.close()

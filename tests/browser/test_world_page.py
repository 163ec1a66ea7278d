"""The world page in a real browser against a real server: being there with others.

What one page shows of another is compared with what the server tells a third one, which is no page.
Each test has people of its own, for the server keeps the seats of those whose page was closed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from browsing import (
    MEETING,
    Server,
    Visits,
    chromium,
    is_live,
    running,
    settled,
    stand_at,
    until,
)
from others import Witness, crowd
from playwright.sync_api import Browser, Page

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><b>@Ada</b>'
CALLS_MAX = 120
BOTS = 100
SOAK_TICKS = int(os.environ.get("SOAK_S", "10")) * 20
"""How long the crowd is watched; two minutes are SOAK_S=120."""
HEAP_GROWTH_BYTES_MAX = 4_000_000
PAGE_GZIP_BYTES_MAX = 350_000
FETCHED = """() => {
  const named = [...document.querySelectorAll("link[href], script[src]")].map((each) => (
    each.href || each.src));
  const found = performance.getEntriesByType("resource").filter(({ name }) => (
    /[.](js|css)$/.test(new URL(name).pathname)));
  return { unnamed: found.map(({ name }) => name).filter((name) => !named.includes(name)),
    count: found.length, bytes: found.reduce((sum, each) => sum + each.encodedBodySize, 0) };
}"""
LANDSCAPE = "() => atriumTest.page.surroundings.group.getObjectByName('landscape')?.uuid"
TICK = "() => atriumTest.model.tick"
OWN = "() => { const { x, y, z, yaw } = atriumTest.model.own; return [x, y, z, yaw]; }"
SHOWN = """(name) => {
  const { page } = atriumTest;
  const person = [...page.gathering.byId.values()].find((each) => each.name === name);
  return person && Array.from(person.figure.pose.slice(0, 4));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--ephemeral") as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    opened = Visits(browser, server.url)
    yield opened
    opened.close()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the database's own user can pass through, which pytest's are not."""
    with TemporaryDirectory(prefix="atrium-page-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def walk(page: Page, key: str, away_m: float) -> None:
    """Hold a key until the avatar is `away_m` from where it was."""
    x, _, z, _ = page.evaluate(OWN)
    page.focus("#world")
    page.keyboard.down(key)
    until(page, "([x, z, away]) => { const { own } = atriumTest.model;"
                " return Math.hypot(own.x - x, own.z - z) > away; }", [x, z, away_m])
    page.keyboard.up(key)


def stands(page: Page) -> list[float]:
    """Where the avatar has come to stand: x, y, z, yaw."""
    until(page, "() => atriumTest.model.own.speed < 0.01")
    place: list[float] = page.evaluate(OWN)
    return place


def test_one_joins_walks_and_stands_where_the_server_says(server: Server, visits: Visits) -> None:
    page = visits.join("Ada")
    start = page.evaluate(OWN)
    walk(page, "w", 2.0)
    x, y, z, yaw = stands(page)
    assert math.hypot(x - start[0], z - start[2]) >= 2.0
    with Witness(server.url, "Eye of Ada") as eye:
        ada = eye.sees("Ada")
        assert math.dist(ada.position, (x, y, z)) < 0.002
        turned = (ada.yaw - yaw + math.pi) % math.tau - math.pi
        assert abs(turned) < 0.01


def test_the_budget_holds_for_all_that_is_fetched_until_one_stands_in_the_world(
    visits: Visits,
) -> None:
    page = visits.join("Una")
    assert page.evaluate("() => atriumTest.scenery")
    fetched = page.evaluate(FETCHED)
    print(f"\n{fetched['count']} scripts and styles, {fetched['bytes'] / 1000:.1f} kB")
    assert fetched["unnamed"] == [], "the page names all that will surely follow"
    assert 0 < fetched["bytes"] <= PAGE_GZIP_BYTES_MAX


def test_what_was_shown_while_one_typed_ones_name_is_not_built_again(visits: Visits) -> None:
    page = visits.open()
    until(page, "() => window.atriumTest")
    assert page.evaluate("() => atriumTest.scenery")
    until(page, LANDSCAPE)
    before = page.evaluate(LANDSCAPE)
    page.fill("#join-name", "Vera")
    page.press("#join-name", "Enter")
    is_live(page)
    assert page.evaluate("async () => { await atriumTest.page.surroundings.built; }") is None
    assert page.evaluate(LANDSCAPE) == before


def test_two_pages_see_each_other_move_as_the_server_tells(
    server: Server, visits: Visits
) -> None:
    bob, cleo = visits.join("Bob"), visits.join("Cleo")
    until(cleo, SHOWN, "Bob")
    until(bob, SHOWN, "Cleo")
    walk(bob, "w", 3.0)
    place = stands(bob)
    walk(cleo, "s", 2.0)
    back = stands(cleo)
    with Witness(server.url, "Eye of Bob") as eye:
        told = {name: eye.sees(name).position for name in ("Bob", "Cleo")}
    for page, name, there in ((cleo, "Bob", place), (bob, "Cleo", back)):
        until(page, f"([name, x, z]) => {{ const pose = ({SHOWN})(name);"
                    " return Math.hypot(pose[0] - x, pose[2] - z) < 0.005; }",
              [name, there[0], there[2]])
        assert math.dist(told[name], there[:3]) < 0.002


def test_others_are_shown_while_they_walk_and_never_jump(server: Server, visits: Visits) -> None:
    page = visits.join("Dora")
    with Witness(server.url, "Walker") as walker:
        until(page, SHOWN, "Walker")
        page.evaluate("""() => {
          window.steps = [];
          let before = null;
          atriumTest.stage.addFrame(() => {
            const all = [...atriumTest.page.gathering.byId.values()];
            const pose = all.find((each) => each.name === "Walker")?.figure.pose;
            if (!pose) return;
            const now = performance.now();
            const at = [pose[0], pose[2], now];
            if (before) {
              steps.push([Math.hypot(at[0] - before[0], at[1] - before[1]), now - before[2]]);
            }
            before = at;
          });
        }""")
        x, y, z = walker.ask(lambda me: me.position)
        walker.do(lambda me: me.walk((x + 4.0, y, z)))
        steps = page.evaluate("() => steps")
    # A picture that came late shows more of the way; how far it was is what counts, and not between
    # which pictures.
    fastest = max(metres / max(ms, 100.0) * 1000 for metres, ms in steps)
    assert sum(metres for metres, _ in steps) > 3.0
    assert fastest < 8.0, f"somebody who walks was shown at {fastest:.1f} m/s"


def test_chat_goes_both_ways_and_hostile_text_is_text(visits: Visits) -> None:
    large = {"width": 900, "height": 640}
    gil, hana = visits.join("Gil", viewport=large), visits.join("Hana", viewport=large)
    for author, listener, name, text in (
        (gil, hana, "Gil", HOSTILE), (hana, gil, "Hana", "晚上好 & welcome"),
    ):
        author.fill("#chat-text", text)
        author.press("#chat-text", "Enter")
        for page in (author, listener):
            until(page, "([name, text]) => atriumTest.model.chat.lines.some((line) =>"
                        " line.text === text && line.senderName === name"
                        " && line.state === 'published')", [name, text])
            until(page, "(text) => document.querySelector('#chat-log').textContent.includes(text)",
                  text)
        assert listener.title() != "owned"
        assert listener.locator("#chat-log img").count() == 0


def test_a_click_on_a_seat_sits_and_walking_stands_up(visits: Visits) -> None:
    page = visits.join("Ines")
    # From a place of its own and through one's own eyes: nothing lies over the seat in the picture.
    stand_at(page, 2.0, -0.5)
    page.evaluate("""() => {
      const { model, page } = atriumTest;
      const [seat] = model.place.seats;
      page.boom.isFirstPerson = true;
      page.boom.yaw = Math.atan2(model.own.x - seat.x, model.own.z - seat.z);
      page.boom.pitch = -0.35;
    }""")
    x, y = settled(page, """() => {
      const { model, stage } = atriumTest;
      const [seat] = model.place.seats;
      const at = stage.camera.position.clone().set(seat.x, seat.y, seat.z).project(stage.camera);
      return [(at.x + 1) / 2 * innerWidth, (1 - at.y) / 2 * innerHeight];
    }""")
    page.mouse.click(x, y)
    until(page, "() => atriumTest.model.own.seated")
    assert page.evaluate(OWN)[:3] == pytest.approx([4.0, 0.44, -3.0], abs=0.01)
    walk(page, "w", 0.5)
    assert not page.evaluate("() => atriumTest.model.own.seated")


def test_a_session_survives_a_crash_of_the_server(browser: Browser, data_dir: Path) -> None:
    with running("--data-dir", str(data_dir)) as server:
        visits = Visits(browser, server.url, forgiven=["WebSocket", "ERR_CONNECTION"])
        page = visits.join("Jun")
        walk(page, "w", 2.0)
        stands(page)
        page.evaluate("() => void atriumTest.model.say('before the crash')")
        until(page, "() => atriumTest.model.chat.lines.some((line) => line.state === 'published')")
        author = page.evaluate("() => atriumTest.model.author")
        before = stands(page)
        server.kill()
        until(page, "() => atriumTest.model.state === 'lost'")
        server.restart()
        is_live(page)
        after = page.evaluate(OWN)
        assert page.evaluate("() => atriumTest.model.author") == author
        # Where one stood is kept every few seconds: at worst one is where one came in.
        assert math.dist(before[:3], after[:3]) < 3.0
        assert page.evaluate("() => atriumTest.model.chat.lines.map(({ text }) => text)") == [
            "before the crash"
        ]
        walk(page, "w", 0.5)
        visits.close()


def held(page: Page) -> dict[str, float]:
    """What the page holds after a search for garbage: bytes, and things on the graphics card."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    info = page.evaluate("() => atriumTest.stage.info()")
    return {"bytes": used, "geometries": info["geometries"], "textures": info["textures"]}


def test_a_hundred_people_in_view_stay_within_the_budget_and_nothing_grows(
    browser: Browser
) -> None:
    with running("--ephemeral", world=MEETING) as server, crowd(server.url, BOTS):
        visits = Visits(browser, server.url)
        page = visits.join("Kim")
        page.evaluate("() => atriumTest.scenery")
        in_view = until(page, "() => atriumTest.page.gathering.people.length > 60"
                              " && atriumTest.page.gathering.people.length")
        until(page, f"() => atriumTest.model.tick > {page.evaluate(TICK)} + 40")
        info = page.evaluate("() => atriumTest.stage.info()")
        assert info["calls"] <= CALLS_MAX
        before = held(page)
        until(page, f"() => atriumTest.model.tick > {page.evaluate(TICK)} + {SOAK_TICKS}",
              s_max=SOAK_TICKS / 10)
        after = held(page)
        print(f"\n{in_view} people in view: {info}; before {before}, after {after}")
        assert after["geometries"] <= before["geometries"] + 2
        assert after["textures"] <= before["textures"] + 2
        assert after["bytes"] < before["bytes"] + HEAP_GROWTH_BYTES_MAX
        visits.close()


def test_over_a_certificate_of_its_own_the_page_is_a_secure_one(browser: Browser) -> None:
    with running("--ephemeral", "--tls-self-signed") as server:
        assert server.url.startswith("https://")
        visits = Visits(browser, server.url, {"ignore_https_errors": True})
        page = visits.join("Lea")
        assert page.evaluate("() => isSecureContext && location.protocol") == "https:"
        start = page.evaluate(OWN)
        walk(page, "w", 1.0)
        x, _, z, _ = stands(page)
        assert math.hypot(x - start[0], z - start[2]) >= 1.0
        visits.close()

"""Building with hands, by an emulated headset (IWER), from the wrist's menu to what others see.

Hands are put where a person would have them, and press what a person would press; what came of it
is what the server tells a witness, who is no page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import MEETING, Server, Visits, chromium, drawn, frames, running, stand_at, until
from headsets import (
    DEVICE,
    HELPERS,
    PACKAGES,
    PRESS,
    enter,
    looks_at_wrist,
    picture,
    press,
    trigger,
    without_emulator,
)
from others import Witness
from playwright.sync_api import Browser, Page, expect

pytestmark = without_emulator

PROPS = """() => [...atriumTest.model.props.props.values()].map((prop) => (
  { key: prop.key, at: prop.transform.position_m, scale: prop.transform.scale }))"""
SAVED = "() => atriumTest.model.edits.pendingCount === 0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = tmp_path_factory.mktemp("world") / "meeting.toml"
    text = MEETING.read_text(encoding="utf-8") + '\n[building]\nbuilders = "everyone"\n'
    world.write_text(text.replace("radius_m = 3.0", "radius_m = 0.0"), encoding="utf-8")
    with running("--ephemeral", world=world) as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    assert PACKAGES is not None
    scripts = [(PACKAGES / "iwer/build/iwer.min.js").read_text(encoding="utf-8"), DEVICE]
    opened = Visits(browser, server.url, {"viewport": {"width": 640, "height": 360}}, scripts)
    yield opened
    opened.close()


def builds(page: Page) -> None:
    """Into the headset, and the switch of the wrist's menu."""
    enter(page)
    page.evaluate(HELPERS)
    looks_at_wrist(page)
    press(page, "menu.panel", "Build")


def aim(page: Page, at: list[float]) -> None:
    """The right hand's ray at a point of the world."""
    page.evaluate("(at) => hands.put('right', [0.25, 1.3, -0.2], hands.room(at))", at)
    frames(page)


def test_what_is_put_up_moved_and_scaled_with_hands_is_there_for_others(
    server: Server, visits: Visits
) -> None:
    page = visits.join("Ada")
    stand_at(page, -4.0, 3.0)
    builds(page)
    until(page, "() => atriumTest.xr.visit.tools !== null")
    page.evaluate("() => hands.look(false)")
    until(page, "() => atriumTest.xr.visit.tools.panel.panel.mesh.visible")
    press(page, "tools.panel.panel", "Box")
    # Somewhere on the ground ahead, off the lines of the grid.
    spot = page.evaluate("""() => { const { x, z, yaw } = atriumTest.model.own;
      return [x - 2.6 * Math.sin(yaw), 0, z - 2.6 * Math.cos(yaw)]; }""")
    aim(page, spot)
    until(page, "() => atriumTest.xr.visit.tools.marks.group.children"
                ".some((each) => each.isMesh && each.visible)")
    drawn(page)
    picture(page, "hands-ghost")
    trigger(page)
    box = until(page, f"() => ({PROPS})()[0]")
    assert box["at"] == pytest.approx(
        [round(spot[0] * 4) / 4, 0.5, round(spot[2] * 4) / 4], abs=1e-4)
    press(page, "tools.panel.panel", "Box")  # nothing is armed any more

    # By the ray, a metre and a half to the side; one Undo takes it back.
    aim(page, box["at"])
    trigger(page, is_held=True)
    until(page, "(key) => atriumTest.xr.visit.tools.held === key", box["key"])
    picture(page, "hands-held")
    aim(page, [box["at"][0] + 1.5, box["at"][1], box["at"][2]])
    page.evaluate(PRESS, ["right", 0])
    moved = until(page, f"([x]) => ({PROPS})().find((prop) => Math.abs(prop.at[0] - x) > 1)",
                  box["at"])
    until(page, SAVED)
    with Witness(server.url, "Eye of Ada") as eye:
        eye.do(lambda me: me.load_scene())

        def where(me: Any) -> Any:
            there = me.where(bytes.fromhex(box["key"]))
            return there and list(there.position_m)

        eye.until(lambda me: where(me) == pytest.approx(moved["at"], abs=1e-3))
        press(page, "tools.panel.panel", "Tools …")
        press(page, "tools.panel.panel", "Undo")
        eye.until(lambda me: where(me) == pytest.approx(box["at"], abs=1e-3))
        _spread(page, box)
        eye.until(lambda me: me.where(bytes.fromhex(box["key"])).scale
                  == pytest.approx((2.0, 2.0, 2.0), rel=0.02))
    page.evaluate("() => hands.look(false)")
    press(page, "tools.panel.panel", "End building")
    until(page, "() => atriumTest.xr.visit.tools === null")


def _spread(page: Page, box: dict[str, Any]) -> None:
    """Both hands take it, and are spread to twice their distance."""
    page.evaluate("() => hands.put('left', [-0.15, 1.3, -0.2], [-0.15, 1.3, -2])")
    aim(page, box["at"])
    trigger(page, is_held=True)
    until(page, "(key) => atriumTest.xr.visit.tools.held === key", box["key"])
    trigger(page, "left", is_held=True)
    grips = """() => atriumTest.xr.visit.senses.hands.map(({ grip }) => [...grip.subarray(0, 3)])"""
    left, right = page.evaluate(grips)
    # The hands are moved apart along the line between them, and not turned.
    page.evaluate("""([left, right]) => {
      const { controllers } = xrDevice;
      const by = [0, 1, 2].map((k) => (right[k] - left[k]) / 2);
      for (const [hand, sign] of [["left", -1], ["right", 1]]) {
        const { position } = controllers[hand];
        position.set(position.x + sign * by[0], position.y + sign * by[1],
          position.z + sign * by[2]);
      }
    }""", [left, right])
    frames(page)
    page.evaluate(PRESS, ["left", 0])
    frames(page)
    page.evaluate(PRESS, ["right", 0])


def test_who_may_not_build_is_told_so_in_the_headset(visits: Visits) -> None:
    page = visits.join("Bo")
    page.evaluate("() => Object.defineProperty(atriumTest.model, 'rights', { value: 0 })")
    builds(page)
    until(page, "() => atriumTest.xr.visit.board.text.startsWith('You may not build here')")
    drawn(page)
    picture(page, "hands-refused")
    assert page.evaluate("() => atriumTest.xr.visit.tools") is None
    expect(page.locator("#notices")).to_contain_text("You may not build here")

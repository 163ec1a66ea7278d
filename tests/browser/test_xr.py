"""Headsets: the world page in virtual and augmented reality, by an emulated device (IWER).

The emulator is injected by the test, so that what is shipped holds none of it; it comes with the
development packages of clients/web. What the page sends is compared with what the server tells a
witness, who is no page. Frames and states are waited for, never time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import MEETING, Server, Visits, chromium, frames, running, stand_at, until
from headsets import (
    DEVICE,
    HELPERS,
    PACKAGES,
    enter,
    looks_at_wrist,
    picture,
    press,
    without_emulator,
)
from others import Witness
from playwright.sync_api import Browser

from atrium_shared.pose import Flags
from atrium_shared.props import Shape, Transform

POINT_M = 0.02
EYE = 1.6
OWN = "() => { const { x, y, z, yaw } = atriumTest.model.own; return [x, y, z, yaw]; }"

REACH = """(key) => {
  const { props } = atriumTest.model;
  const { grabbing, anchor } = atriumTest.xr.visit;
  const place = new Float64Array(10);
  if (props.held.has(key) || props.flights.has(key)) return false;
  if (!props.worldTransformOf(key, place)) return false;
  if (grabbing.nearest(1) === key) return true;
  const [dx, dy, dz] = [0, 1, 2].map((k) => place[k] - grabbing.hands[1][k]);
  const [sin, cos] = [Math.sin(anchor.yaw), Math.cos(anchor.yaw)];
  const { position } = xrDevice.controllers.right;
  position.set(position.x + dx * cos - dz * sin, position.y + dy, position.z + dx * sin + dz * cos);
  return false;
}"""
"""The right hand goes to where a prop has come to rest; whether it could take it."""

pytestmark = without_emulator


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = tmp_path_factory.mktemp("world") / "meeting.toml"
    world.write_text(MEETING.read_text(encoding="utf-8")
                     + '\n[building]\nbuilders = "everyone"\n', encoding="utf-8")
    with running("--ephemeral", world=world) as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    assert PACKAGES is not None
    scripts = [(PACKAGES / "iwer/build/iwer.min.js").read_text(encoding="utf-8"), DEVICE]
    opened = Visits(browser, server.url, {"viewport": {"width": 320, "height": 180}}, scripts)
    yield opened
    opened.close()


def relative(root: tuple[float, float, float], yaw: float, point: Any) -> list[float]:
    """A point of the root's frame in the world."""
    x, y, z = point.position
    return [root[0] + x * math.cos(yaw) + z * math.sin(yaw), root[1] + y,
            root[2] + z * math.cos(yaw) - x * math.sin(yaw)]


def test_head_and_hands_are_seen_where_they_are(server: Server, visits: Visits) -> None:
    page = visits.join("Vera")
    enter(page)
    page.evaluate("""() => {
      xrDevice.position.set(0.1, 1.7, -0.1);
      xrDevice.controllers.left.position.set(-0.2, 1.1, -0.4);
      xrDevice.controllers.right.position.set(0.35, 1.3, -0.5);
    }""")
    frames(page, 4)
    wanted = page.evaluate("""() => {
      const { anchor, senses } = atriumTest.xr.visit;
      const out = new Float64Array(7);
      return [senses.head, senses.left.grip, senses.right.grip].map((pose) => {
        anchor.toWorld(out, pose);
        return [...out.subarray(0, 3)];
      });
    }""")
    assert wanted[0][1] == pytest.approx(1.7, abs=0.005)
    picture(page, "vr")
    with Witness(server.url, "Eye of Vera") as eye:
        def seen(me: Any) -> Any:
            vera = next((each for each in me.others if each.name == "Vera"), None)
            if vera is None or vera.head is None:
                return None
            points = [relative(vera.position, vera.yaw, each)
                      for each in (vera.head, vera.left_hand, vera.right_hand)]
            near = all(math.dist(a, b) < POINT_M for a, b in zip(points, wanted, strict=True))
            return points if near else None

        assert eye.until(seen)


def test_bare_hands_send_their_joints_and_controllers_come_back(
    server: Server, visits: Visits
) -> None:
    page = visits.join("Hilde")
    enter(page)
    page.evaluate("() => { xrDevice.primaryInputMode = 'hand'; }")
    until(page, "() => atriumTest.xr.visit.senses.right.hasJoints")
    with Witness(server.url, "Eye of Hilde") as eye:
        eye.until(lambda me: any(
            each.name == "Hilde" and each.flags & Flags.HAND_TRACKING for each in me.others))
        page.evaluate("() => { xrDevice.primaryInputMode = 'controller'; }")
        until(page, "() => !atriumTest.xr.visit.senses.right.hasJoints"
                    " && atriumTest.xr.visit.senses.right.hasGrip")
        eye.until(lambda me: any(
            each.name == "Hilde" and not each.flags & Flags.HAND_TRACKING for each in me.others))


def test_sticks_walk_turn_and_jump(visits: Visits) -> None:
    page = visits.join("Wanda")
    page.evaluate("() => atriumTest.settings.set('move', 'smooth')")
    # From here nothing is in the way of what follows.
    stand_at(page, -4.0, 3.0)
    enter(page)
    x, _, z, yaw = page.evaluate(OWN)
    page.evaluate("() => xrDevice.controllers.left.updateAxes('thumbstick', 0, -1)")
    until(page, "([x, z]) => { const { own } = atriumTest.model;"
                " return Math.hypot(own.x - x, own.z - z) > 0.5; }", [x, z])
    assert page.evaluate("() => atriumTest.xr.visit.comfort.edge") > 0.02
    page.evaluate("() => xrDevice.controllers.left.updateAxes('thumbstick', 0, 0)")
    until(page, "() => atriumTest.model.own.speed < 0.01")
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 1, 0)")
    until(page, "(yaw) => Math.abs(atriumTest.model.own.yaw - yaw) > 0.7", yaw)
    frames(page, 5)
    turned = (page.evaluate(OWN)[3] - yaw + math.pi) % math.tau - math.pi
    assert turned == pytest.approx(-math.pi / 4, abs=0.05)
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 0, 0)")
    frames(page)
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 0, -1)")
    until(page, "() => atriumTest.xr.visit.motion.isAiming")
    frames(page)
    assert page.evaluate("() => atriumTest.xr.visit.motion.arc.isValid")
    landing = page.evaluate("() => atriumTest.xr.visit.motion.arc.landing")
    picture(page, "vr-arc")
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 0, 0)")
    until(page, "({ x, z }) => { const { own } = atriumTest.model;"
                " return Math.hypot(own.x - x, own.z - z) < 0.1; }", landing)


def test_a_prop_is_taken_by_one_and_thrown(server: Server, visits: Visits) -> None:
    page = visits.join("Gala")
    enter(page)
    frames(page, 4)
    x, y, z = page.evaluate("() => [...atriumTest.xr.visit.grabbing.hands[1].subarray(0, 3)]")
    press = "(v) => xrDevice.controllers.right.updateButtonValue('squeeze', v)"
    with Witness(server.url, "Eye of Gala") as eye:
        def make(me: Any) -> bytes:
            handle = me.create(Shape(portable=True, collides=False),
                               Transform((x, y, z), scale=(0.1, 0.1, 0.1)))
            return handle.prop_id

        eye.do(lambda me: me.teleport((x + 1.0, 0.0, z)))
        prop = eye.ask(make)
        until(page, "(key) => atriumTest.model.props.props.has(key)", prop.hex())
        eye.do(lambda me: me.grab(prop))
        page.evaluate("() => { atriumTest.xr.visit.grabbing.take(1); }")
        until(page, "() => document.querySelector('#notices').textContent !== ''")
        eye.ask(lambda me: me.release(prop, Transform((x, y, z))))
        until(page, REACH, prop.hex())
        page.evaluate(press, 1)
        until(page, "(key) => atriumTest.model.props.held.get(key)?.entityId"
                    " === atriumTest.model.entityId", prop.hex())
        page.evaluate(press, 0)
        until(page, "(key) => !atriumTest.model.props.held.has(key)", prop.hex())


def test_one_sits_down_stands_up_and_jumps_by_bare_hands(visits: Visits) -> None:
    page = visits.join("Sita")
    page.evaluate("() => atriumTest.settings.set('move', 'smooth')")
    stand_at(page, 4.0, -0.4)
    enter(page)
    page.evaluate(HELPERS)
    seat = [4.0, 0.44, -3.0]
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 0, -1)")
    until(page, "(at) => hands.seek('right', at, (motion) => motion.seat !== null)", seat)
    page.evaluate("() => xrDevice.controllers.right.updateAxes('thumbstick', 0, 0)")
    until(page, "() => atriumTest.model.own.seated")
    assert page.evaluate(OWN)[:3] == pytest.approx(seat, abs=0.01)
    page.evaluate("() => xrDevice.controllers.left.updateAxes('thumbstick', 0, -1)")
    until(page, "() => !atriumTest.model.own.seated")
    page.evaluate("() => xrDevice.controllers.left.updateAxes('thumbstick', 0, 0)")

    # A pinch that is held aims, and letting go jumps.
    stand_at(page, -4.0, 3.0)
    page.evaluate("() => { xrDevice.primaryInputMode = 'hand'; hands.pitch = 0.5; }")
    until(page, "() => atriumTest.xr.visit.senses.right.hasAim"
                " && atriumTest.xr.visit.senses.right.hasJoints")
    page.evaluate("() => xrDevice.hands.right.updatePinchValue(1)")
    until(page, "(at) => hands.seek(xrDevice.hands.right, at, ({ isAiming, arc }) => isAiming"
                " && arc.isValid && Math.hypot(arc.landing.x - at[0], arc.landing.z - at[2]) < 2)",
          [-4.0, 0.0, 0.0])
    landing = page.evaluate("() => atriumTest.xr.visit.motion.arc.landing")
    page.evaluate("() => xrDevice.hands.right.updatePinchValue(0)")
    until(page, "({ x, z }) => { const { own } = atriumTest.model;"
                " return Math.hypot(own.x - x, own.z - z) < 0.1; }", landing)


def test_walls_and_people_who_come_close_are_felt(server: Server, visits: Visits) -> None:
    page = visits.join("Nora")
    stand_at(page, 0.0, -5.6)
    enter(page)
    # Bent over the rim of the fountain: the head is in the stone, and the body before it.
    page.evaluate("() => xrDevice.position.set(0, 1.6, 0)")
    frames(page, 4)
    assert page.evaluate("() => atriumTest.xr.visit.comfort.fade") < 0.01
    page.evaluate("() => xrDevice.position.set(0, 0.6, -1.2)")
    until(page, "() => atriumTest.xr.visit.comfort.fade > 0.95")
    assert page.evaluate("() => Math.hypot(atriumTest.model.own.x, atriumTest.model.own.z + 8)") > 2
    page.evaluate("() => xrDevice.position.set(0, 1.6, 0)")
    until(page, "() => atriumTest.xr.visit.comfort.fade < 0.05")
    page.evaluate("""() => {
      window.pulses = 0;
      atriumTest.settings.set("boundary", true);
      atriumTest.xr.visit.senses.left.pulse = () => { window.pulses += 1; };
    }""")
    x, _, z, _ = page.evaluate(OWN)
    with Witness(server.url, "Too near") as eye:
        eye.do(lambda me: me.teleport((x, 0.0, z + 0.5)))
        until(page, "() => atriumTest.xr.visit.motion.isNear && window.pulses > 0")
    until(page, "() => !atriumTest.xr.visit.motion.isNear")


def test_the_menu_at_the_wrist_does_what_it_says(server: Server, visits: Visits) -> None:
    page = visits.join("Mina")
    stand_at(page, -4.0, 3.0)
    with Witness(server.url, "Guest") as eye:
        eye.do(lambda me: me.teleport((-4.0, 0.0, 5.0)))
        until(page, "() => [...atriumTest.model.people.values()].some((each) =>"
                    " each.name === 'Guest')")
        enter(page)
        page.evaluate(HELPERS)
        looks_at_wrist(page)
        picture(page, "wrist-menu")
        for text, name, value in (("Smooth turning", "turn", "smooth"),
                                  ("I am seated", "seated", True)):
            press(page, "menu.panel", text)
            until(page, "([name, value]) => atriumTest.settings.values[name] === value",
                  [name, value])
        press(page, "menu.panel", "Say …")
        press(page, "menu.panel", "Hello!")
        until(page, "() => atriumTest.model.chat.lines.some((line) =>"
                    " line.text === 'Hello!' && line.state === 'published')")
        press(page, "menu.panel", "Back")
        press(page, "menu.panel", "People nearby")
        related = """(bits) => atriumTest.model.relations.some(({ name, relation }) =>
          name === "Guest" && relation === bits)"""
        press(page, "menu.panel", "Mute Guest")
        until(page, related, 1)
        press(page, "menu.panel", "Block Guest")
        until(page, related, 5)
        with Witness(server.url, "Newcomer") as other:
            other.do(lambda me: me.teleport((-4.0, 0.0, 5.5)))
            # Those of earlier visits may have filled the page; it is turned until the end.
            until(page, """() => {
              const { choices } = atriumTest.xr.visit.menu.panel;
              if (choices.some(({ text }) => text === "Block Newcomer")) return true;
              choices.find(({ text }) => text === "Others")?.act();
              return false;
            }""")


def test_one_leaves_comes_again_and_the_desktop_is_as_it_was(visits: Visits) -> None:
    page = visits.join("Lea")
    before = page.evaluate("() => [atriumTest.stage.camera.fov, atriumTest.stage.camera.aspect]")
    for mode in ("immersive-vr", "immersive-ar", "immersive-vr"):
        enter(page, mode)
        page.evaluate("() => atriumTest.xr.leave()")
        until(page, "() => atriumTest.xr.mode === 'none' && !atriumTest.page.isImmersive")
        frames(page)
    after = page.evaluate("() => [atriumTest.stage.camera.fov, atriumTest.stage.camera.aspect]")
    assert after == pytest.approx(before)
    assert page.evaluate("() => atriumTest.stage.rig.position.length()") == 0


def test_a_refusal_is_a_sentence(visits: Visits) -> None:
    page = visits.join("Rita")
    for name, said in (("NotAllowedError", "Allow it"), ("NotSupportedError", "No headset"),
                       ("SecurityError", "embedded")):
        page.evaluate("(name) => { navigator.xr.requestSession ="
                      " () => Promise.reject(new DOMException('no', name)); }", name)
        assert said in page.evaluate("() => atriumTest.xr.enter('immersive-vr')")


def test_the_world_stands_on_the_real_floor_and_is_scaled(visits: Visits) -> None:
    assert PACKAGES is not None
    room = json.loads(
        (PACKAGES / "@iwer/sem/captures/office_small.json").read_text(encoding="utf-8"))
    sem = (PACKAGES / "@iwer/sem/build/iwer-sem.min.js").read_text(encoding="utf-8")
    visits.scripts = [visits.scripts[0], sem, visits.scripts[1]]
    page = visits.join("Arno")
    page.evaluate("(room) => xrDevice.sem.loadEnvironment(room)", room)
    enter(page, "immersive-ar")
    page.evaluate("() => { xrDevice.position.set(0, 1.6, 0);"
                  " xrDevice.quaternion.set(-0.3826834, 0, 0, 0.9238795); }")
    until(page, "() => atriumTest.xr.visit.placement.hasReticle")
    frames(page)
    press = "(v) => xrDevice.controllers.right.updateButtonValue('trigger', v)"
    page.evaluate(press, 1)
    until(page, "() => atriumTest.xr.visit.placement.isPlaced")
    page.evaluate(press, 0)
    frames(page)
    picture(page, "ar")
    assert page.evaluate("() => atriumTest.stage.rig.scale.x") == pytest.approx(10)
    page.evaluate("() => atriumTest.xr.visit.placement.setScale(50)")
    frames(page)
    assert page.evaluate("() => atriumTest.stage.rig.scale.x") == pytest.approx(50)
    assert not page.evaluate("() => atriumTest.xr.visit.isOnFoot")
    page.evaluate("""() => {
      const { placement } = atriumTest.xr.visit;
      atriumTest.model.marked.fire({ id: 12345, position_m: [3, 0, -2], yaw: 1 });
      placement.setScale(1);
      placement.begin("align");
    }""")
    frames(page)
    page.evaluate(press, 1)
    until(page, "() => atriumTest.xr.visit.placement.doing === 'keep'")
    page.evaluate(press, 0)
    frames(page)
    seen = page.evaluate("""() => {
      const { anchor, placement } = atriumTest.xr.visit;
      const out = new Float64Array(7);
      const { x, y, z } = placement.spot;
      anchor.toWorld(out, Float64Array.from([x, y, z, 0, 0, 0, 1]));
      return [...out.subarray(0, 3)];
    }""")
    assert math.dist(seen, (3, 0, -2)) < POINT_M

"""What the tests of headsets share: the emulator (IWER), the way in, and pictures to look at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browsing import ROOT, frames, until
from playwright.sync_api import Page

PACKAGES = next(
    (each for each in (ROOT / "clients/web/node_modules", ROOT / "node_modules")
     if (each / "iwer").is_dir()), None,
)
PICTURES = os.environ.get("TEST_PICTURES")
DEVICE = """
{ const device = new IWER.XRDevice(IWER.metaQuest3, { stereoEnabled: true });
  device.installRuntime({ forceInstall: true });
  if (window.IWER_SEM) device.installSEM(IWER_SEM.SyntheticEnvironmentModule);
  window.xrDevice = device; }
"""
HEAD = "() => { const { visit } = atriumTest.xr; return visit && visit.frames > 2; }"
HELPERS = """() => {
  const three = atriumTest.stage.camera.position.constructor;
  const turn = atriumTest.stage.camera.quaternion.constructor;
  const put = (hand, from, to) => {
    const ahead = new three(...to).sub(new three(...from)).normalize();
    const q = new turn().setFromUnitVectors(new three(0, 0, -1), ahead);
    const device = typeof hand === "string" ? xrDevice.controllers[hand] : hand;
    device.position.set(...from);
    device.quaternion.set(q.x, q.y, q.z, q.w);
  };
  window.hands = {
    put,
    // The palm of the left hand, held before the eyes, as one looks at a watch.
    look(isUp) {
      const [head, wrist] = [new three(0, 1.6, 0), new three(-0.1, 1.25, -0.35)];
      const gaze = new turn().setFromUnitVectors(new three(0, 0, -1),
        wrist.clone().sub(head).normalize());
      const palm = new turn().setFromUnitVectors(new three(1, 0, 0),
        head.clone().sub(wrist).normalize());
      const q = isUp ? palm : new turn();
      xrDevice.position.set(head.x, head.y, head.z);
      xrDevice.quaternion.set(gaze.x, gaze.y, gaze.z, gaze.w);
      xrDevice.controllers.left.position.set(wrist.x, wrist.y, wrist.z);
      xrDevice.controllers.left.quaternion.set(q.x, q.y, q.z, q.w);
    },
    // The ray of the right hand at the button with a text; whether it is there.
    point(panel, text) {
      const at = panel.choices.findIndex((each) => each.text === text);
      if (at < 0 || !panel.mesh.visible) return false;
      const spot = new three(((at % 2 + 0.5) / 2 - 0.5) * 0.2,
        (0.5 - (Math.floor(at / 2) + 0.5) / 7) * 0.25, 0);
      spot.applyQuaternion(panel.mesh.quaternion).add(panel.mesh.position);
      const before = new three(0.05, 0, 0.3).applyQuaternion(panel.mesh.quaternion).add(spot);
      put("right", [before.x, before.y, before.z], [spot.x, spot.y, spot.z]);
      return panel.hovered === at;
    },
    // Raises and lowers a hand's ray until its arc ends where `isThere`; true once it stays there.
    seek(device, at, isThere) {
      const { motion } = atriumTest.xr.visit;
      if (isThere(motion)) return (this.sure += 1) > 3;
      this.sure = 0;
      this.pitch = this.pitch < -1.2 ? 0.5 : this.pitch - 0.04;
      const [x, , z] = this.room(at);
      const away = Math.hypot(x - 0.2, z + 0.1);
      put(device, [0.2, 1.3, -0.1], [x, 1.3 + Math.tan(this.pitch) * away, z]);
      return false;
    },
    sure: 0,
    pitch: 0.5,
    // From the world into the room, where controllers are.
    room([x, y, z]) {
      const { frame } = atriumTest.xr.visit.anchor;
      const back = new turn(...frame.subarray(3, 7)).invert();
      const p = new three(x - frame[0], y - frame[1], z - frame[2]).applyQuaternion(back);
      return [p.x, p.y, p.z];
    },
  };
}"""
PRESS = "([hand, v]) => xrDevice.controllers[hand].updateButtonValue('trigger', v)"

without_emulator = pytest.mark.skipif(
    PACKAGES is None,
    reason="The emulated headset is not installed, so headsets were not tried: "
           "python clients/web/tools.py install",
)


def enter(page: Page, mode: str = "immersive-vr") -> None:
    """Into the headset, and wait until it is tracked."""
    assert page.evaluate("(mode) => atriumTest.xr.enter(mode)", mode) == ""
    until(page, HEAD)


def picture(page: Page, name: str) -> None:
    """Kept to be looked at, where the environment names a folder."""
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def looks_at_wrist(page: Page) -> None:
    """The palm of the left hand is held before the eyes, where the menu is."""
    page.evaluate("() => hands.look(true)")
    until(page, "() => atriumTest.xr.visit.menu.panel.mesh.visible")


def trigger(page: Page, hand: str = "right", *, is_held: bool = False) -> None:
    page.evaluate(PRESS, [hand, 1])
    frames(page)
    if not is_held:
        page.evaluate(PRESS, [hand, 0])
        frames(page)


def press(page: Page, panel: str, text: str) -> None:
    """The button of a panel, by the ray of the right hand."""
    until(page, f"(text) => hands.point(atriumTest.xr.visit.{panel}, text)", text,
          otherwise=f"() => atriumTest.xr.visit.{panel}.choices.map((each) => each.text)")
    trigger(page)

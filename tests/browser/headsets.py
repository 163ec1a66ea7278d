"""What the tests of headsets share: the emulator (IWER), the way in, and pictures to look at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browsing import ROOT, until
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

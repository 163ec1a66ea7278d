"""The surroundings of the plaza, drawn by a real browser: within the budget of a headset, without a
complaint of a shader, a picture and not a blank, and everything given back at the end.

Needs Chromium on the PATH; without it the tests are skipped with the reason. There is no server:
the files are handed to the page as it asks for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from atrium_server.world.manifest import parse_manifest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
PLAZA = ROOT / "server" / "atrium_server" / "worlds" / "plaza.toml"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
             "--no-sandbox"]
BUDGETS = {"low": (18, 40_000), "medium": (30, 120_000), "high": (30, 120_000)}
"""Draw calls and triangles of a frame, that of the shadow map included."""

PAGE = """<!doctype html><title>Surroundings</title><script type="module">
import * as THREE from "/vendor/three.js";
import { readScene } from "/src/core/scene.js";
import { Surroundings } from "/src/render/surroundings/surroundings.js";

const [WIDE, HIGH] = [160, 90];
const place = readScene(await (await fetch("/scene.json")).json());
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(WIDE, HIGH);
renderer.toneMapping = THREE.ACESFilmicToneMapping;
renderer.shadowMap.enabled = true;
renderer.info.autoReset = false;
const camera = new THREE.PerspectiveCamera(65, WIDE / HIGH, 0.1, 600);
camera.position.set(4, 9, 58);
camera.lookAt(-6, 2, 0);
camera.updateMatrixWorld();

window.picture = async (quality, hour) => {
  const scene = new THREE.Scene();
  renderer.render(scene, camera);
  const before = { ...renderer.info.memory };
  const surroundings = new Surroundings({ quality, reducedMotion: false });
  surroundings.attach(scene);
  scene.add(surroundings.group);
  await surroundings.show(place);
  surroundings.setHour(hour);
  surroundings.update(3, camera);
  renderer.info.reset();
  renderer.render(scene, camera);
  const { calls, triangles } = renderer.info.render;
  const gl = renderer.getContext();
  const pixels = new Uint8Array(WIDE * HIGH * 4);
  gl.readPixels(0, 0, WIDE, HIGH, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const shades = new Set();
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    shades.add((pixels[at] >> 4 << 8) | (pixels[at + 1] >> 4 << 4) | (pixels[at + 2] >> 4));
    sum += pixels[at] + pixels[at + 1] + pixels[at + 2];
  }
  surroundings.dispose();
  return { calls, triangles, shades: shades.size, light: sum / (WIDE * HIGH * 3),
    before, after: { ...renderer.info.memory }, children: scene.children.length };
};

// The second place is asked for while the first is built; a turn of the page is counted by itself.
window.twice = async () => {
  const scene = new THREE.Scene();
  const surroundings = new Surroundings({ quality: "medium", reducedMotion: false });
  const shown = () => surroundings.group.children.filter(({ name }) => name === "landscape");
  const compiled = [];
  surroundings.attach(scene, async (object) => {
    compiled.push([object.children.length > 5, shown().includes(object)]);
  });
  let turns = 0;
  const count = setInterval(() => { turns += 1; });
  await surroundings.show(place);
  const [first] = shown();
  const both = [surroundings.show(place), surroundings.show({ ...place, floor: place.floor + 1 })];
  const meanwhile = shown().includes(first);
  await both[0];
  const [last, ...more] = shown();
  await both[1];
  clearInterval(count);
  const isLast = last !== first && shown()[0] === last;
  surroundings.dispose();
  return { turns, compiled, meanwhile, isLast, more: more.length };
};
window.ready = true;
</script>"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip("There is no Chromium on the PATH, so the surroundings were not drawn: install "
                    "the package chromium of your system to have that checked, too.")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        opened = browser.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda said: complaints.append(said.text)
                  if said.type in {"error", "warning"} and "ReadPixels" not in said.text else None)
        opened.route("**/*", serve)
        opened.goto("http://surroundings.test/")
        opened.wait_for_function("window.ready")
        yield opened
        browser.close()
    assert not complaints, "\n".join(complaints)


def serve(route: Route) -> None:
    """What the page asks for, out of the folders of the page."""
    path = route.request.url.removeprefix("http://surroundings.test/")
    if not path:
        route.fulfill(body=PAGE, content_type="text/html")
    elif path == "scene.json":
        scene = parse_manifest(PLAZA.read_text(), PLAZA.name).scene_json()
        route.fulfill(body=scene, content_type="application/json")
    elif path == "favicon.ico":
        route.fulfill(status=204)
    else:
        route.fulfill(path=WEB / path, content_type="text/javascript")


@pytest.mark.parametrize(("quality", "hour"), [("low", 12.0), ("medium", 22.0), ("high", 16.5)])
def test_the_plaza_is_drawn_within_its_budget(page: Page, quality: str, hour: float) -> None:
    seen: dict[str, Any] = page.evaluate("([quality, hour]) => picture(quality, hour)",
                                         [quality, hour])
    calls, triangles = BUDGETS[quality]
    assert 5 <= seen["calls"] <= calls
    assert 10_000 <= seen["triangles"] <= triangles
    assert seen["shades"] > 40, "the picture is blank, or of few colours"
    assert 8 < seen["light"] < 225, "the picture is black, or white"
    assert seen["after"] == seen["before"], "something was not given back"
    assert seen["children"] == 0


def test_a_place_is_built_beside_the_picture_and_shown_when_it_is_whole(page: Page) -> None:
    seen: dict[str, Any] = page.evaluate("() => twice()")
    assert seen["turns"] >= 4, "the page had its turn while a place was built"
    assert seen["meanwhile"], "what was there stays until the newer place is whole"
    assert seen["isLast"], "of two places that are asked for the newer is shown, to both who asked"
    assert seen["more"] == 0
    assert seen["compiled"] == [[True, False]] * 2, "shaders are made before, and of what is shown"

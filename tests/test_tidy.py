"""The repository lints itself: house numbers, words that do not belong, text that must agree.

What a linter knows how to check is left to ruff and pyright. An exemption needs a reason here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from atrium_server.http.module_graph import code_only, static_imports

ROOT = Path(__file__).parents[1]
LINE_COLUMNS_MAX = 100
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
PARAMETERS_MAX = 5
RELEASING_KERNELS_MAX = 2

PACKAGES = {
    "atrium_server": ROOT / "server" / "atrium_server",
    "atrium_shared": ROOT / "shared" / "atrium_shared",
    "atrium_client": ROOT / "clients" / "python" / "atrium_client",
    "atrium_loadtest": ROOT / "loadtest" / "atrium_loadtest",
}

EXEMPT: dict[str, str] = {
    # "server/atrium_server/x.py" or "server/atrium_server/x.py::function": the reason
    "shared/atrium_shared/limits.py": "all limits are in one file, to be compared with each other",
    "server/atrium_server/jit.py::_unmask_16": "its parameters are those of what it compiles",
    "server/atrium_server/jit.py::_address": "the first four are how numba calls a builder",
}
"""Modules and functions that may be longer, with the reason."""

MAY_IMPORT = {
    "litestar": ("atrium_server.http",),
    "hypercorn": ("atrium_server.http",),
    "cyclopts": ("atrium_server.cli", "atrium_loadtest"),
    "asyncio": ("atrium_server.persistence",),
    "sqlalchemy": ("atrium_server.persistence",),
    "asyncpg": ("atrium_server.persistence",),
    "alembic": ("atrium_server.persistence",),
    "websockets": ("atrium_server.net", "atrium_client", "atrium_loadtest"),
}
"""Libraries that are known in one place only."""

BANNED = {
    "a path of somebody's machine": re.compile("/" + "(work|root|home)/" + r"\w"),
    "an open end": re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
}

SUFFIXES_READ = {".py", ".js", ".c", ".md", ".toml", ".html", ".css"}
FOLDERS = ("server", "shared", "clients", "loadtest", "migrations", "tests", "docs", ".ci")
LEFT_OUT = {"node_modules", "__pycache__", "vendor"}


def text_files() -> list[Path]:
    """All text of the repository, without what others wrote or a program made."""
    found = [path for path in ROOT.iterdir() if path.suffix in SUFFIXES_READ]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES_READ]
    return sorted(path for path in found if not LEFT_OUT.intersection(path.parts))


def modules(*packages: str) -> Iterator[tuple[str, Path, ast.Module]]:
    """Name, file and syntax tree of every module of the packages."""
    for package in packages or PACKAGES:
        for path in sorted(PACKAGES[package].rglob("*.py")):
            parts = path.relative_to(PACKAGES[package].parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            yield name, path, ast.parse(path.read_text())


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Compiled by numba, where calls between functions and objects are not free."""
    decorators = (ast.unparse(decorator) for decorator in function.decorator_list)
    return any(re.match(r"(\w+\.)?n?jit\b|kernel\b", decorator) for decorator in decorators)


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    docstring = 0
    if ast.get_docstring(function) is not None:
        first = function.body[0]
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


def test_the_files_are_found() -> None:
    names = {shown(path) for path in text_files()}
    assert {"README.md", "server/atrium_server/config.py", "tests/test_tidy.py"} <= names


def test_no_line_is_too_long() -> None:
    """In what ruff does not read; it has the same limit."""
    long = [
        f"{shown(path)}:{number}"
        for path in text_files()
        if path.suffix in {".js", ".c", ".toml", ".html", ".css"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LINE_COLUMNS_MAX and "<path d=" not in line  # drawings are not read
    ]
    assert not long, "\n".join(long)


def test_modules_and_functions_are_short() -> None:
    long: list[str] = []
    for _, path, tree in modules():
        lines = len(path.read_text().splitlines())
        if lines > MODULE_LINES_MAX and shown(path) not in EXEMPT:
            long.append(f"{shown(path)} has {lines} lines")
        long += [
            f"{shown(path)}::{function.name} has {own_lines(function)} lines"
            for function in functions(tree)
            if own_lines(function) > FUNCTION_LINES_MAX
            and not is_kernel(function)
            and f"{shown(path)}::{function.name}" not in EXEMPT
        ]
    assert not long, "\n".join(long)


def test_functions_have_few_parameters() -> None:
    wide: list[str] = []
    for _, path, tree in modules():
        for function in functions(tree):
            arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            count = sum(1 for argument in arguments if argument.arg not in {"self", "cls"})
            name = f"{shown(path)}::{function.name}"
            if count > PARAMETERS_MAX and not is_kernel(function) and name not in EXEMPT:
                wide.append(f"{name} has {count} parameters")
    assert not wide, "\n".join(wide)


def test_exemptions_are_still_needed() -> None:
    missing = [name for name in EXEMPT if not (ROOT / name.partition("::")[0]).is_file()]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("what", BANNED)
def test_nothing_is_left_in_the_text(what: str) -> None:
    found = [
        f"{shown(path)}:{number}"
        for path in [*text_files(), ROOT / "Makefile"]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNED[what].search(line)
    ]
    assert not found, f"{what} in {found}"


def test_every_module_says_what_it_is() -> None:
    silent = [shown(path) for _, path, tree in modules() if not ast.get_docstring(tree)]
    assert not silent, "\n".join(silent)


def test_libraries_stay_in_their_place() -> None:
    stray = [
        f"{name} imports {library} (line {line})"
        for name, _, tree in modules()
        for library, line in imported(tree)
        for root in [library.partition(".")[0]]
        if root in MAY_IMPORT and not name.startswith(MAY_IMPORT[root])
    ]
    assert not stray, "\n".join(stray)


MAY_READ_THE_ENVIRONMENT = {
    "atrium_server.config": "it resolves the settings",
    "atrium_server.kernel_cache": "numba takes the folder of its cache from a variable only",
}


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        name
        for name, path, _ in modules("atrium_server", "atrium_shared", "atrium_client")
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    assert set(readers) <= set(MAY_READ_THE_ENVIRONMENT)


def test_the_server_does_not_print() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, _, tree in modules("atrium_server", "atrium_shared")
        if name not in {"atrium_server.cli", "atrium_server.app"}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert not printing, "\n".join(printing)


def test_few_kernels_let_go_of_the_interpreter() -> None:
    """One for receiving and one for sending: each release can cost a switch interval. Those of
    moderation run in a thread that is to let go as often as it can.
    """
    releasing = [
        f"{name}.{function.name}"
        for name, _, tree in modules("atrium_server")
        if not name.startswith("atrium_server.moderation.")
        for function in functions(tree)
        if any("nogil=True" in ast.unparse(each) for each in function.decorator_list)
    ]
    assert len(releasing) <= RELEASING_KERNELS_MAX, releasing


def test_limits_say_their_unit() -> None:
    tree = ast.parse((PACKAGES["atrium_shared"] / "limits.py").read_text())
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert len(names) > 40
    odd = [name for name in names if not re.search(r"_(MAX|MIN|DEFAULT|S|TICKS|SHARE)$", name)]
    assert not odd, "\n".join(odd)


def test_tests_do_not_wait_for_the_clock() -> None:
    waiting = [
        f"{shown(path)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]
    assert not waiting, "\n".join(waiting)


MOCK_CLOCKS = {"autojump_clock", "mock_clock"}
SLEEPS = {"trio.sleep", "trio.sleep_until"}


def sleeps(function: ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(node, ast.Await)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in SLEEPS
        for node in ast.walk(function)
    )


def parameters(function: ast.AsyncFunctionDef) -> set[str]:
    return {argument.arg for argument in function.args.args + function.args.kwonlyargs}


def run_by_pytest(function: ast.AsyncFunctionDef) -> bool:
    """A test or a fixture; helpers sleep on the clock of who calls them."""
    fixture = any("fixture" in ast.unparse(each) for each in function.decorator_list)
    return fixture or function.name.startswith("test_")


def test_tests_sleep_on_a_mock_clock() -> None:
    sleeping = [
        (f"{shown(path)}::{function.name}", parameters(function))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for function in functions(ast.parse(path.read_text()))
        if isinstance(function, ast.AsyncFunctionDef)
        if run_by_pytest(function) and sleeps(function)
    ]
    assert len(sleeping) > 10, "the tests that sleep were not found"
    real = [name for name, arguments in sleeping if not arguments & MOCK_CLOCKS]
    assert not real, "\n".join(real)


def test_a_sleep_without_a_mock_clock_is_found() -> None:
    source = "async def test_x(house):\n  async def inner():\n    await trio.sleep(1)"
    (function, _) = functions(ast.parse(source))
    assert isinstance(function, ast.AsyncFunctionDef)
    assert run_by_pytest(function)
    assert sleeps(function)
    assert not parameters(function) & MOCK_CLOCKS


WEB = ROOT / "clients" / "web"
JS_HEADS_OF_BLOCKS = {"if", "for", "await", "while", "switch", "catch", "with"}
"""What stands before the bracket of a block that is no function (`for await (...)`)."""
JS_IMPURE = (
    "window", "document", "performance", "Date", "Math.random", "fetch", "WebSocket", "navigator",
    "localStorage", "sessionStorage", "indexedDB", "crypto", "globalThis", "self", "process",
    "console", "setTimeout", "setInterval", "requestAnimationFrame", "queueMicrotask", "eval",
    "Function", "Intl", "WeakRef", "FinalizationRegistry", "Atomics", "import.meta",
)
"""What the core may not name. The type checker denies it every other global (jsconfig.core.json);
clock and chance of the language itself are denied here alone."""
JS_IMPURE_NAME = re.compile(
    r"(?<![\w$.#])(?:" + "|".join(map(re.escape, JS_IMPURE)) + r")(?![\w$])|\bimport\s*\("
)


def js_modules() -> dict[str, str]:
    """The page's own modules, by path."""
    found = {shown(path): path.read_text() for path in sorted((WEB / "src").rglob("*.js"))}
    assert len(found) > 10, "the modules of the page were not found"
    return found


def js_functions(source: str) -> Iterator[tuple[int, int]]:
    """First line and number of lines of each function, told by its brackets: a body is a `{` after
    `=>`, or after a `(...)` that is the head of no other block."""
    code = code_only(source)
    opened: list[tuple[int, int | None]] = []
    partner: dict[int, int] = {}
    for match in re.finditer(r"[()\[\]{}]", code):
        at = match.start()
        if match[0] in "([{":
            opened.append((at, js_head(code, at, partner) if match[0] == "{" else None))
            continue
        partner[at], head = opened.pop()
        if head is not None:
            yield code.count("\n", 0, head) + 1, code.count("\n", head, at) + 1
    assert not opened, "brackets are not in pairs"


def js_head(code: str, brace: int, partner: dict[int, int]) -> int | None:
    """Where the head of the function begins whose body this brace opens; None for other braces."""
    before = code[:brace].rstrip()
    is_arrow = before.endswith("=>")
    before = before.removesuffix("=>").rstrip()
    if not before.endswith(")"):
        return len(before) - 1 if is_arrow else None
    start = partner[len(before) - 1]
    word = re.search(r"([\w$]*)\s*\Z", code[:start])
    is_block = not is_arrow and word is not None and word[1] in JS_HEADS_OF_BLOCKS
    return None if is_block else start


def test_functions_of_the_page_are_counted_right() -> None:
    source = """
function plain(a, { b, c }, d = [1, 2], ) {
  if (a) { return `}{${b}`; }
  for await (const x of c) { x(); }
}
class A {
  #held = { a: 1 };
  get b() { return /[{(]/; }
  async method(
    a, b = (c, d) => { c(d); },
  ) {
    while (a) { a(); }
  }
}
const arrow = x => {
  switch (x) { case 1: try { x(); } catch (error) { throw error; } }
};
"""
    assert sorted(js_functions(source)) == [(2, 4), (8, 1), (9, 5), (10, 1), (15, 3)]


def test_modules_and_functions_of_the_page_are_short() -> None:
    wrong: list[str] = []
    for name, source in js_modules().items():
        lines = len(source.splitlines())
        if lines > MODULE_LINES_MAX and not name.endswith(".generated.js"):
            wrong.append(f"{name} has {lines} lines")
        wrong += [
            f"{name}:{line}: a function of {count} lines"
            for line, count in js_functions(source)
            if count > FUNCTION_LINES_MAX
        ]
    assert not wrong, "\n".join(wrong)


def test_every_module_of_the_page_says_what_it_is() -> None:
    silent = [
        name
        for name, source in js_modules().items()
        if not re.match(r"/\*\*[\s*]+\w", source) and not name.endswith(".generated.js")
    ]
    assert not silent, "\n".join(silent)


def js_impurities(name: str, source: str) -> list[str]:
    """What a module of the core imports or names and may not; names in comments are none."""
    core = (WEB / "src" / "core").resolve()
    foreign = [
        f"imports {each}"
        for each in static_imports(source)
        if not each.startswith((".", "/"))
        or not ((ROOT / name).parent / each).resolve().is_relative_to(core)
    ]
    return foreign + [f"names {match[0]}" for match in JS_IMPURE_NAME.finditer(code_only(source))]


def test_the_core_of_the_page_is_pure() -> None:
    core = {name: text for name, text in js_modules().items() if "/src/core/" in name}
    assert len(core) > 5
    wrong = [f"{name} {what}" for name, text in core.items() for what in js_impurities(name, text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        *((f"const x = {name};", 1) for name in JS_IMPURE),
        ('import { a } from "../net/link.js";', 1),
        ('import { Mesh } from "three"; export * from "../../vendor/three.js";', 2),
        ('const { a } = await import("./view.js");', 1),
        ('import { a } from "./deep/view.js"; const at = b.window + dateOf(this.#self);', 0),
        ("// Date.now() and window\nconst text = 'fetch'; const documents = 1;", 0),
    ],
)
def test_what_is_impure_is_found(source: str, count: int) -> None:
    assert len(js_impurities("clients/web/src/core/x.js", source)) == count


def test_both_distributions_have_one_version_and_one_licence() -> None:
    from atrium_server.version import VERSION

    sdk = ROOT / "clients" / "python"
    project = tomllib.loads((sdk / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert project["license-files"] == ["LICENSE"]
    assert (sdk / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_what_the_sdist_takes_is_there() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    taken = [ROOT / name for name in build["targets"]["sdist"]["only-include"]]
    assert not [shown(path) for path in taken if not path.exists()]
    empty = [path for path in taken if path.is_dir() and not any(path.iterdir())]
    assert not empty, "git keeps no empty folder, so a clone would lack it"


def test_the_wheel_gets_the_files_that_the_server_serves() -> None:
    from atrium_server.http import assets

    tree = ast.parse((ROOT / "hatch_build.py").read_text())
    constants = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    assert constants["SUFFIXES"] == set(assets.MEDIA_TYPES)
    assert constants["FOLDERS_LEFT_OUT"] == assets.FOLDERS_LEFT_OUT
    assert constants["FILES_LEFT_OUT"] == assets.FILES_LEFT_OUT


def test_the_wheel_gets_the_lines_that_models_are_compared_on() -> None:
    from atrium_server.training.fixed_sets import AUTHORED

    hook = (ROOT / "hatch_build.py").read_text()
    assert '"tests" / "moderation" / "chat_lines.tsv"' in hook
    assert 'f"atrium_server/training/{lines.name}"' in hook
    assert ROOT / "tests" / "moderation" / "chat_lines.tsv" == AUTHORED


def test_the_first_commands_of_the_readme_are_run_and_test() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    commands = [line.split("#")[0].strip() for line in blocks[0].splitlines() if line.strip()]
    assert commands[:2] == ["make run", "make test"]


def without_code(text: str) -> str:
    """Markdown without its code blocks and code spans."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{shown(path)}: {target}"
        for path in text_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", without_code(path.read_text()))
        if not (path.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()

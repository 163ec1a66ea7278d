"""What a module imports, told from its text, and which modules a page will load in the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.http import assets
from atrium_server.http.module_graph import ModuleGraph, code_only, static_imports

WEB = Path(__file__).parents[2] / "clients" / "web"
MODULES = sorted([*(WEB / "src").rglob("*.js"), *(WEB / "vendor").glob("*.js")])


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('import { a } from "./x.js";', ["./x.js"]),
        ("import a, * as b from './x.js'", ["./x.js"]),
        ('import "./x.js"; import\n"./y.js"', ["./x.js", "./y.js"]),
        ('import{a as b}from"./x.js";import c from"./y.js";', ["./x.js", "./y.js"]),
        ('import {\n  a, // "./no.js"\n  b, /* from "./no.js" */\n} from "./x.js";', ["./x.js"]),
        ('export * from "./x.js"; export { a } from "./y.js";', ["./x.js", "./y.js"]),
        ('export * as all from "./x.js"', ["./x.js"]),
        ('import from from "./x.js"; import { from } from "./y.js"', ["./x.js", "./y.js"]),
        ('import { "a b" as c } from "./x.js"', ["./x.js"]),
        ('import { $ } from "./x.js"; import $from from "./y.js"', ["./x.js", "./y.js"]),
        ('import a from /* here */ "./x.js"; import// it\n"./y.js"', ["./x.js", "./y.js"]),
        ('import a from "./x.json" with { type: "json" };', ["./x.json"]),
    ],
)
def test_every_form_of_import_is_found(source: str, names: list[str]) -> None:
    assert list(static_imports(source)) == names


@pytest.mark.parametrize(
    "source",
    [
        'const later = import("./x.js"); const url = import.meta.url;',
        '// import "./x.js"\n/* import "./x.js" */ /** @import {A} from "./x.js" */',
        "const text = 'import \"./x.js\"';",
        'const text = "\\" import \'./x.js\'";',
        'const text = `import "./x.js" ${`export * from "./x.js"`} import "./x.js"`;',
        'const found = /import "[/]x"/.test(text);',
        'object.import = from; object.export = "./x.js"; const reimport = { import: "./x.js" };',
        'export const from = "./x.js"; export default "./x.js"; export function f() {}',
        'export { a }; const from = "./x.js";',
    ],
)
def test_what_only_looks_like_an_import_is_not_taken(source: str) -> None:
    assert list(static_imports(source)) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("a / b / c", "a / b / c"),
        ("a = /b{/g;", "a = 0    ;"),
        ("(a) / b; x[1] / 2 / 3", "(a) / b; x[1] / 2 / 3"),
        ("return /[/'\"]/.test(s)", "return 0      .test(s)"),
        ("i++ / 2 / 'a'", "i++ / 2 / ' '"),
        ("`a}` / 2 / 3", "     / 2 / 3"),
        ("`${{ a: `${b}` }.a}{`; '}'", "   { a:    b   }.a   ; ' '"),
        ("`\\` $ \\${ {`;", "            ;"),
        ("'\\'' + \"//\" // end", "'  ' + \"  \"       "),
        ("'open\n{", "'    \n{"),
    ],
)
def test_only_code_is_left(source: str, code: str) -> None:
    assert code_only(source) == code


@given(st.text(alphabet="ab \n\\'\"`$/*{}()[]+=;", max_size=60))
def test_any_text_keeps_its_lines_and_columns(source: str) -> None:
    code = code_only(source)
    assert [len(line) for line in code.split("\n")] == [len(line) for line in source.split("\n")]
    assert all(ours in (theirs, " ", "0") for ours, theirs in zip(code, source, strict=True))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_brackets_of_all_modules_are_in_pairs(path: Path) -> None:
    """One string, template or regular expression that is misread, and they are not."""
    stack: list[str] = []
    for bracket in re.findall(r"[()\[\]{}]", code_only(path.read_text("utf-8"))):
        if bracket in "([{":
            stack.append(bracket)
        else:
            assert stack.pop() + bracket in {"()", "[]", "{}"}
    assert not stack


def graph(**modules: str) -> ModuleGraph:
    return ModuleGraph({f"{name}.js": text.encode() for name, text in modules.items()})


def test_the_nearest_modules_come_first() -> None:
    found = graph(
        main='import "./b.js"; import "./a.js"; import "three"; import "https://x.test/y.js";',
        a='import "./deep.js";', b='import "./a.js"; import "./missing.js"; import("./late.js")',
        deep="", late="", other="",
    ).closure(["main.js"])
    assert found == ["b.js", "a.js", "deep.js"]


def test_a_cycle_ends() -> None:
    modules = graph(
        main='import "./a.js"', a='import "./b.js"', b='import "./main.js"; import "./b.js"'
    )
    assert modules.closure(["main.js"]) == ["a.js", "b.js"]
    assert modules.closure(["a.js", "main.js"]) == ["b.js"]
    assert modules.closure(["none.js"]) == []


def test_names_are_told_from_the_folder_of_who_imports() -> None:
    modules = ModuleGraph({
        "src/world/main.js": b'import "../core/a.js"; import "../../vendor/three.js";',
        "src/core/a.js": b'import "./b.js"; import "../../../outside.js";',
        "src/core/b.js": b"\xff", "vendor/three.js": b"", "outside.js": b"",
    })
    assert modules.closure(["src/world/main.js"]) == [
        "src/core/a.js", "vendor/three.js", "src/core/b.js"
    ]


def page(folder: Path, text: str) -> str:
    (folder / "index.html").write_text(text)
    return assets.load_assets(folder).pages["index.html"].body.decode()


def test_a_page_names_all_modules_that_it_will_load(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text('import "./a.js"; import "./style.js";')
    (tmp_path / "a.js").write_text('import "./b.js";')
    (tmp_path / "b.js").write_text("")
    (tmp_path / "style.js").write_text("")
    text = '<head><link rel="modulepreload" href="./style.js"><script src="main.js" type="module">'
    said = page(tmp_path, text)
    version = assets.load_assets(tmp_path).version
    links = re.findall(r'<link rel="modulepreload" href="/static/(\w+)/([^"]+)">', said)
    assert links == [(version, "style.js"), (version, "a.js"), (version, "b.js")]
    assert said.index("b.js") < said.index("<script")


def test_what_will_follow_is_named_after_the_script_and_once(tmp_path: Path) -> None:
    modules = {"main": 'import "./a.js"; import("./late.js"); import("./later.js");', "a": "",
               "late": 'import "./a.js"; import "./b.js";', "b": "", "c": "",
               "later": 'import "./late.js"; import "./c.js";'}
    for name, text in modules.items():
        (tmp_path / f"{name}.js").write_text(text)
    said = page(tmp_path, """<script type="module" src="main.js"></script>
        <link rel="modulepreload" href="late.js"><link href="later.js" rel="modulepreload">""")
    assert re.findall(r"/(\w+)\.js", said) == ["a", "main", "b", "late", "c", "later"]


def test_a_page_without_a_module_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text('import "./a.js";')
    (tmp_path / "a.js").write_text("")
    text = '<head><script src="https://x.test/" type="text/plain"></script></head>'
    assert page(tmp_path, text) == text


def test_what_tools_need_is_not_served(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", "jsconfig.json", "tools.py", "vendor.mjs",
                 "three.d.ts", "en.json", "three.LICENSE.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "index.html").write_text("")
    files = assets.load_assets(tmp_path).files
    assert {name: each.media_type for name, each in files.items()} == {
        "en.json": "application/json", "three.LICENSE.txt": "text/plain; charset=utf-8",
    }


def test_the_licence_of_each_vendored_module_is_served_with_it() -> None:
    modules = sorted((WEB / "vendor").glob("*.js"))
    assert modules
    served = assets.load_assets(WEB).files
    for path in modules:
        licence = served[f"vendor/{path.stem}.LICENSE.txt"].body.decode()
        assert re.match(r"\S+ \d+\.\d+\.\d+ \((MIT|Apache-2.0|BSD-3-Clause|ISC)\)\n", licence)
        assert "copyright" in licence.lower()

"""What is sent of a module is the program that was written, on the same lines, in fewer bytes."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.http import assets
from atrium_server.http.javascript import Unsure, pieces
from atrium_server.http.lean import lean_script, lean_style

WEB = Path(__file__).parents[2] / "clients" / "web"
OURS = sorted(path for path in WEB.rglob("*.js") if not {"vendor", "node_modules"} & {*path.parts})
TOOL_S_MAX = 120
FUZZ_COUNT = 1_500


def compared(pairs: list[tuple[str, str]]) -> list[str]:
    """What a parser says of each pair of texts (clients/web/same_program.mjs)."""
    spec = importlib.util.spec_from_file_location("tools", WEB / "tools.py")
    assert spec is not None
    assert spec.loader is not None
    tools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tools)
    done = subprocess.run(
        tools.command("same"), input=json.dumps(pairs), capture_output=True, text=True,
        timeout=TOOL_S_MAX, check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("source", "lean"),
    [
        ("a = 1; // one\n  b = 2;\n", "a=1;\nb=2;\n"),
        ("/** What\n *  it is. */\nf ( a , b ) ;", "\n\nf(a,b);"),
        ("a /* one */ b", "a b"),
        ("return/* c */value", "return value"),
        ("return  -1; case 'a' : typeof x", "return-1;case'a':typeof x"),
        ("a + +b - -c + ++d", "a+ +b- -c+ ++d"),
        ("1 .toFixed(); a ? .5 : 1; a ?. b", "1 .toFixed();a? .5:1;a?. b"),
        ("a / /b c/g ; d / e / f", "a/ /b c/g;d/e/f"),
        ("if (a) /b  \"/.test(c) ; f(a) / b / \"c  \"", 'if(a)/b  "/.test(c);f(a)/b/"c  "'),
        ("while (x (1)) /[/'] /.test(y) // '", "while(x(1))/[/'] /.test(y)"),
        ("a.if (b) / c / d  ; e", "a.if(b)/c/d;e"),
        ("for await (a of b) /c  /.test(a)", "for await(a of b)/c  /.test(a)"),
        ("x => /a  \\/ [/  ]/  in y", "x=> /a  \\/ [/  ]/ in y"),
        ("`a  ${ { b : `c  ${ d }` } . b }  // e\n  `", "`a  ${{b:`c  ${d}`}. b}  // e\n  `"),
        ("'//  ' + \"/*  \\\"\"", "'//  '+\"/*  \\\"\""),
        ("class A { #a = 1; get b ( ) { return #a  in this } }",
         "class A{#a=1;get b(){return #a in this}}"),
        ("a\n++\nb\n\n\n/c/g", "a\n++\nb\n\n\n/c/g"),
        ("/*! Copyright */ a // @license MIT\nb", "/*! Copyright */a// @license MIT\nb"),
    ],
)
def test_comments_and_blanks_go_and_lines_stay(source: str, lean: str) -> None:
    assert lean_script(source) == lean


@pytest.mark.parametrize(
    "source",
    [
        "a = {} / 2", "b++ / 2", "1. / 2", "of / 2", "'open", "`open", "`${open", "/* open",
        "= /open", "(", ")", "}", "{", "#!/bin/node", "a\r\nb", "a = \\u0061", "é = 1",
        "a\u2028b", "a\x01b", "a\x0bb",
    ],
)
def test_what_is_not_plain_beyond_doubt_is_refused(source: str) -> None:
    with pytest.raises(Unsure):
        lean_script(source)


def test_what_is_refused_is_sent_as_it_was_written(tmp_path: Path) -> None:
    files = {"index.html": "", "unsure.js": "é = {}  / 2 // that", "sure.js": "a = 1 // that",
             "style.css": "a  { b: c } /* that */", "open.css": "a { b: '  "}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "library.js").write_text("a  =  1")
    (tmp_path / "none.js").write_bytes(b"\xff  =  1")
    sent = {name: each.body for name, each in assets.load_assets(tmp_path).files.items()}
    assert sent == {
        "unsure.js": files["unsure.js"].encode(), "sure.js": b"a=1", "style.css": b"a{b: c}",
        "open.css": files["open.css"].encode(), "vendor/library.js": b"a  =  1",
        "none.js": b"\xff  =  1",
    }


def test_all_modules_are_the_same_programs_on_the_same_lines() -> None:
    texts = {path: path.read_text("utf-8") for path in OURS}
    lean = {path: lean_script(text) for path, text in texts.items()}
    found = compared([(text, lean[path]) for path, text in texts.items()])
    wrong = {path.name: said for path, said in zip(texts, found, strict=True) if said != "same"}
    assert not wrong
    assert len(lean) > 100
    assert sum(map(len, lean.values())) < 0.65 * sum(map(len, texts.values()))


WORDS = ["a", "b", "of", "$", "_c", "get", "async", "in_", "if_"]
UNARY = ["-", "+", "!", "~", "typeof", "void", "await", "- -", "+ +", "!-"]
BINARY = ["+", "-", "*", "/", "%", "**", "<", ">", "<<", ">>>", "==", "!==", "&&", "|", "??", "in",
          "instanceof"]
ASSIGN = ["=", "+=", "/=", "&&=", "**="]
PLAIN = ["0", "1.5", ".5", "1.", "0x1f", "5n", '"a  // b"', "'/* c'", "`d  // e`", "/f  g/",
         "/[/]  '/g", "/\\/\"/", "this", "null", "{}", "[]"]
GAPS = [" ", " ", " ", "  ", "\t", "", "", "", "\n", "\n  ", "/* a  b */", " /* ' \n */ ",
        " // c ` \"\n", "/**/"]


class Writer:
    """Writes programs by chance, as lists of tokens; most of them can be parsed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def program(self) -> str:
        """A program with chance between its tokens, too."""
        tokens = [each for _ in range(self._chance.randint(1, 3)) for each in self.statement(2)]
        out: list[str] = []
        for token in tokens:
            last = out[-1][-1:] if out else ""
            needs = bool(re.match(r"[\w$#]", token)) and bool(re.match(r"[\w$]", last))
            gap = self._chance.choice(GAPS) if self._chance.random() < 0.6 else ""
            out += [gap or (" " if needs else ""), token]
        return "".join(out)

    def statement(self, depth: int) -> list[str]:
        """A statement that holds others to a depth."""
        some = self.expression
        inner = self.statement(depth - 1) if depth else [";"]
        forms = [
            [*some(depth), ";"], ["const", "x", "=", *some(depth), ";"], ["{", *inner, "}"],
            ["if", "(", *some(1), ")", *inner], ["while", "(", *some(1), ")", *some(depth), ";"],
            ["for", "(", "const", "y", "of", *some(1), ")", *inner],
            ["for", "await", "(", "const", "y", "of", *some(1), ")", *inner],
            ["function", "f", "(", "z", ")", "{", "return", *some(depth), "}"],
            ["class", "C", "{", "#d", "=", *some(1), ";", "m", "(", ")", "{", *inner, "}", "}"],
            ["do", *inner, "while", "(", *some(1), ")", *some(1), ";"],
            ["switch", "(", *some(1), ")", "{", "case", *some(1), ":", *inner, "}"],
        ]
        return self._chance.choice(forms)

    def expression(self, depth: int) -> list[str]:
        """An expression that holds others to a depth."""
        pick = self._chance.choice
        if depth <= 0:
            return [pick(PLAIN if self._chance.random() < 0.5 else WORDS)]
        some = self.expression
        less = depth - 1
        forms = [
            [*some(less), pick(BINARY), *some(less)], [pick(UNARY), *some(less)],
            ["(", *some(less), ")"], [*some(less), "/", *some(less), "/", *some(less)],
            [*some(less), "(", *some(less), ")"], [*some(less), ".", pick(WORDS)],
            [*some(less), "?.", "[", *some(less), "]"],
            [pick(WORDS), pick(["++", "--"])], [pick(["++", "--"]), pick(WORDS)],
            ["(", pick(WORDS), pick(ASSIGN), *some(less), ")"], ["#d", "in", *some(less)],
            ["`a  ${", *some(less), "}  b`"], ["(", "x", "=>", *some(less), ")"],
            ["(", "{", "k", ":", *some(less), "}", "/", *some(less), ")"],
            [*some(less), "?", *some(less), ":", *some(less)], ["new", "A", "(", *some(less), ")"],
            [*some(less), "\n", "/e  /", ".", "test", "(", ")"],
            ["(", "async", "(", ")", "=>", "{", "await", "(", *some(less), ")", "/", "2", "}", ")"],
        ]
        return pick(forms)


def test_programs_written_by_chance_stay_the_same() -> None:
    writer = Writer(random.Random(4))
    programs = [writer.program() for _ in range(FUZZ_COUNT)]
    pairs: list[tuple[str, str]] = []
    for program in programs:
        try:
            pairs.append((program, lean_script(program)))
        except Unsure:
            continue
    said = compared(pairs)
    wrong = [(pair, each) for pair, each in zip(pairs, said, strict=True)
             if each not in {"same", "no program"}]
    assert not wrong, wrong[:5]
    assert said.count("same") > FUZZ_COUNT / 4, "most are programs, and most are not refused"


@given(st.text(alphabet="ab1. \n\\'\"`$/*{}()[]+-=;<!#", max_size=60))
def test_any_text_keeps_its_lines_or_is_refused(source: str) -> None:
    assert "".join(text for _, text in pieces(source)) == source
    try:
        lean = lean_script(source)
    except Unsure:
        return
    assert lean.count("\n") == source.count("\n")
    assert len(lean) <= len(source)
    assert lean_script(lean) == lean


@pytest.mark.parametrize(
    ("source", "lean"),
    [
        ("a , b {\n  c : d ;\n}", "a,b{\nc : d;\n}"),
        ("/* what\n it is */ .a .b::after { content: '  /* ' }",
         "\n.a .b::after{content: '  /* '}"),
        ("@media (width > 3px) { a { b: url(x//y.png) calc(1px + 2px) } }",
         "@media (width > 3px){a{b: url(x//y.png) calc(1px + 2px)}}"),
        ("/*! Licence */ a { }", "/*! Licence */ a{}"),
    ],
)
def test_styles_lose_the_same(source: str, lean: str) -> None:
    assert lean_style(source) == lean


@pytest.mark.parametrize(
    "source", ["a { b: '", "/* open", ".a/**/.b { }", "a { b: url(x'y) }", "a\\:b { }", "é { }"]
)
def test_a_style_that_is_not_plain_is_refused(source: str) -> None:
    with pytest.raises(Unsure):
        lean_style(source)


@pytest.mark.parametrize("path", sorted(WEB.glob("*.css")), ids=lambda path: path.name)
def test_all_styles_keep_their_words_and_lines(path: Path) -> None:
    source = path.read_text("utf-8")
    lean = lean_style(source)
    assert lean.count("\n") == source.count("\n")
    assert "/*" not in lean
    bare = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    assert re.split(r"\s*([{};,])\s*|\s+", bare.strip()) == re.split(
        r"\s*([{};,])\s*|\s+", lean.strip()
    )

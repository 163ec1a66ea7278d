"""The command line: exit status, sentences on stderr, and a start that imports little."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable

import pytest
import trio

from atrium_server import cli
from atrium_server.config import AtriumStartError, Config
from atrium_server.settings import SETTINGS
from atrium_server.version import VERSION


def run(*arguments: str) -> int:
    """The exit status of `atrium ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        cli.app(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


class FakeServer(types.ModuleType):
    """Stands in for `atrium_server.app`; remembers the Config, then does what it was told."""

    def __init__(self, failure: BaseException | None = None) -> None:
        super().__init__("atrium_server.app")
        self.config: Config | None = None
        self._failure = failure

    async def run(self, config: Config) -> None:
        self.config = config
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._work)

    async def _work(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._failure is not None:
            raise self._failure


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeServer]:
    """A function that puts a FakeServer in the place of the server."""
    def put(failure: BaseException | None = None) -> FakeServer:
        server = FakeServer(failure)
        monkeypatch.setitem(sys.modules, "atrium_server.app", server)
        monkeypatch.setattr("atrium_server.app", server, raising=False)
        return server

    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    return put


def test_serve_hands_the_resolved_settings_to_the_server(install, capsys) -> None:
    server = install()
    assert run("serve", "--port", "0", "--trusted-network", "10.0.0.0/8") == 0
    assert server.config is not None
    assert server.config.port == 0
    assert [str(network) for network in server.config.trusted_networks] == ["10.0.0.0/8"]
    assert server.config.sources["port"] == "flag --port"


def test_a_switch_needs_no_value(install) -> None:
    server = install()
    assert run("serve", "--ephemeral", "--port", "0") == 0
    assert server.config is not None
    assert server.config.ephemeral is True


def test_every_setting_with_a_flag_is_taken_and_explained(install, capsys) -> None:
    install()
    assert run("serve", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for setting in SETTINGS:
        if setting.flag:
            assert setting.flag[:20] in shown
            assert setting.variable in shown.replace(" ", "")
    assert "--secret-key" not in shown


def test_mistakes_are_sentences_and_status_2(install, capsys) -> None:
    server = install()
    assert run("serve", "--port", "x", "--io", "y") == 2
    out, err = capsys.readouterr()
    assert server.config is None
    assert out == ""
    assert err.splitlines() == [
        "atrium: flag --port: must be a whole number, but it is 'x'.",
        "atrium: flag --io: must be one of auto, kernel, portable, but it is 'y'.",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--prot", "1"], "Did you mean --port?"),
        (["sreve"], 'Unknown command "sreve"'),
        (["serve", "--port"], "--port"),
    ],
)
def test_wrong_arguments_are_status_2(install, capsys, arguments: list[str], words: str) -> None:
    install()
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("atrium: ")
    assert words in err


def test_a_server_that_cannot_start_says_why_and_nothing_else(install, capsys) -> None:
    sentence = "Port 8080 on 127.0.0.1 is in use; choose another with --port."
    install(AtriumStartError(sentence))
    assert run("serve") == 1
    assert capsys.readouterr() == ("", f"atrium: {sentence}\n")


def test_an_interrupt_is_quiet(install, capsys) -> None:
    install(KeyboardInterrupt())
    assert run("serve") == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_shows_itself(install) -> None:
    install(ZeroDivisionError("a bug"))
    with pytest.raises(ExceptionGroup) as caught:
        cli.app(["serve"])
    assert caught.value.split(ZeroDivisionError)[0] is not None


def test_config_tells_each_value_and_its_source(install, capsys, monkeypatch) -> None:
    install()
    monkeypatch.setenv("ATRIUM_SECRET_KEY", "correct horse battery")
    assert run("config", "--port", "9000") == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["port"] == ["port", "9000", "flag", "--port"]
    assert rows["secret_key"] == ["secret_key", "(set)", "environment", "ATRIUM_SECRET_KEY"]
    assert set(rows) == {"setting", *(setting.name for setting in SETTINGS)}


def test_version(capsys) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out == f"atrium {VERSION}\n"


def test_version_and_config_import_nothing_slow() -> None:
    code = (
        "import sys; from atrium_server.__main__ import main\n"
        "try: main()\n"
        "finally: print({'trio', 'numpy', 'numba', 'litestar', 'hypercorn'} & set(sys.modules))"
    )
    for command in ("version", "config"):
        done = subprocess.run(
            [sys.executable, "-c", code, command], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "set()"

"""The command `atrium`: arguments in, a Config out, and errors as sentences.

Theory of operation
-------------------
The flags of `serve` and `config` are made from `settings.SETTINGS`. All of them are taken as
plain text here and read by `config`, so that a wrong flag, a wrong variable and a wrong file are
told together and in the same words. What is slow to import (the server, the load test) is
imported by the command that needs it: `atrium version` answers at once.

Exit status: 0 done, 1 the server could not start (one sentence on stderr), 2 mistakes in the
arguments or settings (one sentence each), 130 interrupted. Anything else that escapes is a bug
and shows its traceback.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table

from atrium_server.config import AtriumStartError, Config, ConfigError, Flags, resolve_process
from atrium_server.kernel_cache import is_cold
from atrium_server.settings import SETTINGS, SWITCH, Setting, reference_markdown, shown
from atrium_server.version import VERSION

EXIT_NOT_STARTED: Final = 1
EXIT_MISTAKE: Final = 2
EXIT_INTERRUPTED: Final = 130
PIPE_COLUMNS: Final = 200
"""Width of tables that do not go to a terminal: wide enough that no line is broken."""

HELP = """A real-time multi-user metaverse server.

Start one and open the address that it prints in a browser:

  atrium serve

See how many people your machine can hold together:

  atrium loadtest plaza --clients 200 --seconds 20
"""

SERVE_HELP = """Run the server until it is interrupted.

For example:

  atrium serve                                (the built-in plaza)

  atrium serve --host 0.0.0.0 --port 9000     (open to the network)

  atrium serve --world a.toml --world b.toml  (your own worlds)

  ATRIUM_LOG_LEVEL=debug atrium serve         (a setting by variable)

  atrium serve --config atrium.toml           (settings from a file)

A flag wins over a variable, and a variable over the file.

SIGTERM and Ctrl-C tell all clients, close their connections and end the server.
"""

CONFIG_HELP = """Print the settings that are in force and where each value came from.

It takes the same flags, variables and file as serve, and reports the same mistakes.

For example:

  atrium config

  ATRIUM_PORT=9000 atrium config --config atrium.toml
"""


def _tell(error: CycloptsError) -> str:
    return f"atrium: {error}"


app = App(
    name="atrium",
    help=HELP,
    help_format="plaintext",
    version=VERSION,
    error_formatter=_tell,
)
app.command(
    "atrium_loadtest.cli:app",
    name="loadtest",
    help="Fill a server with bots and measure what people in it would notice.",
)
app.command("atrium_server.cli_account:app", name="account", help="Look after accounts.")
app.command("atrium_server.cli_db:app", name="db", help="Look after the database.")
app.command("atrium_server.cli_models:app", name="models", help="Look after models.")
app.command(
    "atrium_server.cli_world:app", name="world", help="Look after what is in the worlds."
)


def _flag(setting: Setting) -> inspect.Parameter:
    default = f"{shown(setting, setting.default)} {setting.unit}".rstrip()
    parameter = Parameter(
        name=setting.flag,
        help=f"{setting.help} [{setting.variable}; default {default}]",
        metavar=setting.metavar,
        negative=(),
        show_default=False,
    )
    one = bool if setting.kind is SWITCH else str
    kind = list[str] | None if setting.many else one | None
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, parameter],
    )


def _with_settings(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command`, which takes `**flags`, one flag for each setting."""
    signature = inspect.signature(command, eval_str=True)
    fixed = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    flags = [_flag(setting) for setting in SETTINGS if setting.flag]
    vars(command)["__signature__"] = signature.replace(parameters=[*fixed, *flags])
    return command


ConfigFile = Annotated[
    Path | None,
    Parameter(name="--config", help="TOML file with settings. [ATRIUM_CONFIG]", metavar="FILE"),
]


@app.command(name="serve", help=SERVE_HELP)
@_with_settings
def serve(*, config_file: ConfigFile = None, **flags: Any) -> int:
    """Resolve the settings and run the server; returns the exit status."""
    config = _resolved(flags, config_file)
    if config is None:
        return EXIT_MISTAKE
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # our own words say what was upgraded
    return _run(config)


@app.command(name="config", help=CONFIG_HELP)
@_with_settings
def show_config(
    *,
    config_file: ConfigFile = None,
    reference: Annotated[
        bool, Parameter(help="Print all settings as Markdown instead.", negative=())
    ] = False,
    **flags: Any,
) -> int:
    """Print the table of settings; returns the exit status."""
    if reference:
        sys.stdout.write(reference_markdown())
        return 0
    config = _resolved(flags, config_file)
    if config is None:
        return EXIT_MISTAKE
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for setting in SETTINGS:
        value = shown(setting, getattr(config, setting.name))
        unit = f" {setting.unit}" if setting.unit else ""
        table.add_row(setting.name, value + unit, config.sources[setting.name])
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False).print(table)
    return 0


REPLAY_HELP = """Live a recording again and check that it leads to the same world.

It takes what serve --record wrote, and what the server kept of a world that failed: its log names
that file, atrium-WORLD-*.ticks in the folder for temporary files.

For example:

  atrium serve --record today.ticks

  atrium replay today.ticks

Exit status 1 when the file is no recording, or when a tick comes out differently.
"""


@app.command(name="replay", help=REPLAY_HELP)
def replay(file: Annotated[Path, Parameter(help="The recording.")]) -> int:
    """Replay a recording; returns the exit status."""
    from atrium_server.recording import RecordingError, replay_summary

    try:
        summary = replay_summary(file)
    except OSError as error:
        _tell_all([f"{file} cannot be read: {error.strerror or error}."])
        return EXIT_NOT_STARTED
    except RecordingError as error:
        _tell_all([str(error)])
        return EXIT_NOT_STARTED
    sys.stdout.write(f"{summary.ticks} ticks, the same world again: {summary.digest}\n")
    return 0


@app.command(name="version", help="Print the version.")
def show_version() -> int:
    """Print the version; returns the exit status."""
    sys.stdout.write(f"atrium {VERSION}\n")
    return 0


def _resolved(flags: Flags, config_file: Path | None) -> Config | None:
    try:
        return resolve_process(flags, config_file)
    except ConfigError as error:
        _tell_all(error.mistakes)
        return None


def _run(config: Config) -> int:
    import trio

    if is_cold():
        sys.stderr.write(
            "Compiling kernels for this machine, once: this takes about half a minute ...\n"
        )
        sys.stderr.flush()
    from atrium_server import app as server

    sentences: list[str] = []
    interrupted = False
    try:
        trio.run(server.run, config)
    except* AtriumStartError as group:
        sentences = [error.sentence for error in _leaves(group)]
    except* KeyboardInterrupt:
        interrupted = True
    if sentences:
        _tell_all(sentences)
        return EXIT_NOT_STARTED
    return EXIT_INTERRUPTED if interrupted else 0


def _leaves(group: BaseExceptionGroup[AtriumStartError]) -> list[AtriumStartError]:
    found: list[AtriumStartError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.extend(_leaves(error))
        else:
            found.append(error)
    return found


def _tell_all(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        sys.stderr.write(f"atrium: {sentence}\n")

"""The configuration: one frozen object, resolved once, from four places.

Theory of operation
-------------------
For each row of `settings.SETTINGS` the first of these places that has a value wins::

    flag  >  environment variable ATRIUM_*  >  TOML file  >  default

`resolve` looks at all of it before it gives up, and raises one ConfigError that carries a
sentence per mistake: a person who made three mistakes should not have to start three times.
Mistakes in a value that is overridden are still told. This is the only module that looks at the
environment or reads the file, and nothing below `app` gets to see a whole Config: each part is
handed the few values that it needs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from atrium_server.certificates import CertificateError, read_pair
from atrium_server.settings import (
    BY_NAME,
    LIST_ITEMS_MAX,
    SETTINGS,
    TEXT_CHARS_MAX,
    Network,
    Refused,
    Setting,
)

CONFIG_FILE_BYTES_MAX: Final = 1_048_576
CONFIG_FILE_VARIABLE: Final = "ATRIUM_CONFIG"
_PREFIX: Final = "ATRIUM_"

Flags = Mapping[str, str | bool | Sequence[str] | None]


class AtriumStartError(Exception):
    """The server cannot start, through no bug of its own; the message is a sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class ConfigError(AtriumStartError):
    """The settings have mistakes in them; `mistakes` has one sentence for each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Config:
    """What is in force. The fields are the rows of `settings.SETTINGS`, which explains them."""

    host: str
    port: int
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    worlds: tuple[Path, ...]
    allowed_origins: tuple[str, ...]
    trusted_networks: tuple[Network, ...]
    forwarded_by: tuple[Network, ...]
    connections_max: int
    connections_per_address_max: int
    handshakes_per_address_per_s_max: float
    resume_s: float
    drain_s: float
    record_file: Path | None
    send_trace_file: Path | None
    io: str
    switch_interval_ms: float
    log_level: str
    secret_key: str = field(repr=False)
    ice_servers: tuple[str, ...]
    turn_secret: str = field(repr=False)
    brain: str
    device: str
    inference: str
    seed: int
    data_dir: Path
    database_url: str | None = field(repr=False)
    ephemeral: bool
    retention_chat_days: int
    retention_audit_days: int
    retention_session_days: int
    retention_sign_in_days: int
    retention_report_days: int
    retention_feedback_days: int
    pg_bin: Path | None
    pg_user: str | None
    sources: Mapping[str, str] = field(repr=False, compare=False)
    """Where each value came from, by setting: `flag --port`, `default`, ..."""


def resolve_process(
    flags: Flags, config_file: Path | None = None
) -> Config:
    """`resolve` with the environment of this process."""
    return resolve(flags, os.environ, config_file)


def resolve(
    flags: Flags,
    environ: Mapping[str, str],
    config_file: Path | None = None,
) -> Config:
    """The configuration in force.

    Args:
        flags: what was given on the command line, by setting name; None where nothing was given.
        environ: environment variables; only those that begin with ATRIUM_ are looked at.
        config_file: the TOML file; without it ATRIUM_CONFIG may name one.

    Raises:
        ConfigError: with a sentence for each mistake found.
    """
    mistakes: list[str] = []
    if config_file is None and environ.get(CONFIG_FILE_VARIABLE):
        config_file = Path(environ[CONFIG_FILE_VARIABLE])
    layers = [
        _from_file(config_file, mistakes),
        _from_environment(environ, mistakes),
        _from_flags(flags, mistakes),
    ]
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    sources = {setting.name: "default" for setting in SETTINGS}
    for layer in layers:
        for name, (value, source) in layer.items():
            values[name], sources[name] = value, source
    if values["data_dir"] is None:
        values["data_dir"] = default_data_dir(environ)
    mistakes.extend(_contradictions(values, sources))
    if not mistakes:  # a file that is not there has been told, and is not missing once more
        mistakes.extend(_tls_mistakes(values, sources))
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**values, sources=MappingProxyType(sources))


_Layer = dict[str, tuple[Any, str]]


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where data lies if nobody says where: below the user's home, but for root, whose home
    nobody else can enter, not even the Postgres that root runs as another user.
    """
    base = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(base):  # a relative one does not count, says the specification
        return Path(base) / "atrium"
    if os.geteuid() == 0:
        return Path("/var/lib/atrium")
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(home) / ".local" / "share" / "atrium"


def _contradictions(values: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """Settings that are right each by itself and cannot both be meant."""
    if values["ephemeral"] and values["database_url"] is not None:
        return [
            f"{sources['ephemeral']}: ephemeral keeps nothing, and database_url "
            f"({sources['database_url']}) says where to keep it: leave one of them out."
        ]
    return []


def _tls_mistakes(values: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What is wrong with the settings of TLS together, and in the files that they name."""
    certificate, key = values["tls_cert"], values["tls_key"]
    if values["tls_self_signed"]:
        return [
            f"{sources[name]}: {name} names a certificate, and tls_self_signed "
            f"({sources['tls_self_signed']}) asks for one to be made: leave one of them out."
            for name in ("tls_cert", "tls_key") if values[name] is not None
        ]
    if (certificate is None) != (key is None):
        given, missing = ("tls_cert", "tls_key") if key is None else ("tls_key", "tls_cert")
        return [
            f"{sources[given]}: {given} means nothing without {missing}:"
            f" give {BY_NAME[missing].flag} too."
        ]
    if certificate is None:
        return []
    try:
        read_pair(certificate, key)
    except CertificateError as error:
        return [f"{sources['tls_cert']}, {sources['tls_key']}: {error}"]
    return []


def _from_flags(flags: Flags, mistakes: list[str]) -> _Layer:
    layer: _Layer = {}
    for name, raw in flags.items():
        if raw is None:
            continue
        setting = BY_NAME[name]
        if isinstance(raw, bool):
            raw = str(raw)
        texts = [raw] if isinstance(raw, str) else list(raw)
        _read_texts(layer, setting, texts, f"flag {setting.flag}", mistakes)
    return layer


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> _Layer:
    layer: _Layer = {}
    variables = {setting.variable: setting for setting in SETTINGS}
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable == CONFIG_FILE_VARIABLE:
            continue
        setting = variables.get(variable)
        if setting is None:
            hint = _suggestion(variable, [*variables, CONFIG_FILE_VARIABLE])
            mistakes.append(f"environment {variable}: there is no such setting{hint}.")
            continue
        raw = environ[variable]
        texts = [part.strip() for part in raw.split(",") if part.strip()] if setting.many else [raw]
        _read_texts(layer, setting, texts, f"environment {variable}", mistakes)
    return layer


def _from_file(path: Path | None, mistakes: list[str]) -> _Layer:
    layer: _Layer = {}
    if path is None:
        return layer
    content: dict[str, Any] = _load_toml(path, mistakes)
    for key, raw in content.items():
        source = f"file {path}"
        setting = BY_NAME.get(key)
        if setting is None:
            mistakes.append(f"{source}: there is no setting {key!r}{_suggestion(key, BY_NAME)}.")
            continue
        label = f"{source}, {key}"
        if setting.many and not isinstance(raw, list):
            mistakes.append(f"{label}: must be a list, such as {key} = [...].")
            continue
        raws = cast("list[object]", raw if setting.many else [raw])
        wrong = [
            f"{label}: must be {setting.kind.noun}, but it is {_told(setting, item)}."
            for item in raws
            if not setting.kind.accepts(item)
        ]
        mistakes.extend(wrong)
        if not wrong:
            _convert(layer, setting, raws, (source, label, path.parent), mistakes)
    return layer


def _load_toml(path: Path, mistakes: list[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_FILE_BYTES_MAX + 1)
    except OSError as error:
        mistakes.append(f"file {path}: cannot be read ({error.strerror}).")
        return {}
    if len(content) > CONFIG_FILE_BYTES_MAX:
        mistakes.append(f"file {path}: is larger than {CONFIG_FILE_BYTES_MAX:,} bytes.")
        return {}
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        mistakes.append(f"file {path}: is not UTF-8 text.")
    except (ValueError, RecursionError) as error:
        mistakes.append(f"file {path}: is not valid TOML: {error}.")
    return {}


def _read_texts(
    layer: _Layer, setting: Setting, texts: list[str], source: str, mistakes: list[str]
) -> None:
    """Read the text of a flag or variable into `layer`."""
    values: list[object] = []
    for text in texts:
        try:
            values.append(setting.kind.from_text(text))
        except ValueError:
            mistakes.append(
                f"{source}: must be {setting.kind.noun}, but it is {_told(setting, text)}."
            )
    if len(values) == len(texts):
        _convert(layer, setting, values, (source, source, Path()), mistakes)


def _convert(
    layer: _Layer,
    setting: Setting,
    raws: list[object],
    where: tuple[str, str, Path],
    mistakes: list[str],
) -> None:
    """Convert and check; `where` is the source, its label in sentences, and its folder.

    A relative path is meant from the folder of the file that states it, so that a configuration
    works from whichever folder the server is started in.
    """
    source, label, folder = where
    values: list[Any] = []
    if len(raws) > LIST_ITEMS_MAX:
        mistakes.append(f"{label}: has {len(raws):,} items; the most is {LIST_ITEMS_MAX}.")
        return
    for raw in raws:
        try:
            if isinstance(raw, str) and len(raw) > TEXT_CHARS_MAX:
                raise Refused(f"must have at most {TEXT_CHARS_MAX:,} characters")
            value = setting.kind.convert(raw)
            if isinstance(value, Path):
                value = folder / value
            setting.check(value)
        except Refused as refused:
            mistakes.append(f"{label}: {refused}.")
        else:
            values.append(value)
    if len(values) == len(raws):
        layer[setting.name] = (tuple(values) if setting.many else values[0], source)


def _told(setting: Setting, value: object) -> str:
    """A refused value as it may be shown."""
    return "something else" if setting.secret else repr(value)[:100]


def _suggestion(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

"""The table of settings: one row per setting, and nothing about a setting anywhere else.

Theory of operation
-------------------
Each row says what a setting is called, how its value is read, which values are allowed, and what
it means. Flags, `ATRIUM_*` variables, TOML keys, `atrium config` and docs/SETTINGS.md are all
made from these rows, so that they cannot tell different stories. `config` resolves the rows.

A value passes three steps, each of which may refuse it with the rest of a sentence that begins
with where the value came from ("flag --port ..."):

1. *shape*: text (from a flag or a variable) is read by `Kind.from_text`; a TOML value must
   already have the right type, for a file that says `port = "8080"` has a mistake in it;
2. *meaning*: `Kind.convert` turns it into what the program uses (a path, a network);
3. *rule*: `Setting.check` compares it with the bounds of this setting.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from atrium_shared import limits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LIST_ITEMS_MAX: Final = 256
TEXT_CHARS_MAX: Final = 4_096
SECRET_CHARS_MIN: Final = 16
SEED_MAX: Final = 2**63 - 1
PACKAGED_WORLD: Final = Path(__file__).parent / "worlds" / "plaza.toml"


class Refused(Exception):
    """A value is not allowed; the message is the rest of a sentence ("must be ...")."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of one type are read. `noun` completes "must be ...". """

    noun: str
    from_text: Callable[[str], Any]
    accepts: Callable[[object], bool]
    convert: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Attributes:
        name: the field of `Config` and the key in TOML; `ATRIUM_` + upper case is the variable.
        many: the value is a list of `kind`; a flag may be repeated, a variable uses commas.
        unit: what a number counts, empty for other kinds.
        flag: the command-line flag; empty for what must not appear in a list of processes.
        check: raises Refused for a value outside of the rule of this setting.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    unit: str = ""
    flag: str = ""
    many: bool = False
    secret: bool = False
    metavar: str = ""
    check: Callable[[Any], None] = lambda value: None

    @property
    def variable(self) -> str:
        """The environment variable that sets this."""
        return f"ATRIUM_{self.name.upper()}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _to_path(value: str) -> Path:
    if not value or "\0" in value:
        raise Refused("must be a path, but it is empty or contains a null character")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise Refused(f"must be a path: {error}") from None


def _switch_from_text(text: str) -> bool:
    word = text.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError


def _to_number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Refused("must be a number of reasonable size") from None


def _to_network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise Refused(f"must be a network such as 10.0.0.0/8: {error}") from None


_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _to_origin(value: str) -> str:
    """`scheme://host[:port]` as a browser says it: lower case, no default port. Or `*`."""
    if value == "*":
        return value
    message = f"must be an origin such as https://example.org (or '*'), but it is {value!r}"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Refused(message) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise Refused(message)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise Refused(f"{message}: an origin has no path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_said = port is not None and port != _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if is_said else "")


WHOLE = Kind("a whole number", int, lambda value: type(value) is int)
NUMBER = Kind("a number", float, lambda value: type(value) in (int, float), _to_number)
TEXT = Kind("text", str, _is_text)
FILE = Kind("the path of a file", str, _is_text, _to_path)
FOLDER = Kind("the path of a folder", str, _is_text, _to_path)
SWITCH = Kind("true or false", _switch_from_text, lambda value: type(value) is bool)
NETWORK = Kind("a network", str, _is_text, _to_network)
ORIGIN = Kind("an origin", str, _is_text, _to_origin)


def between(lowest: float, highest: float) -> Callable[[Any], None]:
    """A check that a number lies in a closed range (and is not NaN)."""

    def check(value: float) -> None:
        if not lowest <= value <= highest:
            raise Refused(f"must be from {lowest:,} to {highest:,}, but it is {value:,}")

    return check


def one_of(*choices: str) -> Callable[[Any], None]:
    """A check that a text is one of a few words."""

    def check(value: str) -> None:
        if value not in choices:
            raise Refused(f"must be one of {', '.join(choices)}, but it is {value!r}")

    return check


def _file_exists(value: Path) -> None:
    try:
        found = value.is_file()
    except OSError as error:
        raise Refused(f"names a file that cannot be looked at ({error.strerror})") from None
    if not found:
        raise Refused(f"names {str(value)!r}, but there is no such file (or it is a folder)")


def _folder_exists(value: Path) -> None:
    try:
        folder_found, is_folder = value.parent.is_dir(), value.is_dir()
    except OSError as error:
        raise Refused(f"names a file that cannot be looked at ({error.strerror})") from None
    if not folder_found:
        raise Refused(f"names {str(value)!r}, but the folder {str(value.parent)!r} does not exist")
    if is_folder:
        raise Refused(f"names {str(value)!r}, but that is a folder and not a file")


def _is_no_file(value: Path) -> None:
    try:
        found = value.exists() and not value.is_dir()
    except OSError as error:
        raise Refused(f"names a folder that cannot be looked at ({error.strerror})") from None
    if found:
        raise Refused(f"names {str(value)!r}, but that is a file and not a folder")


def _has_postgres(value: Path) -> None:
    try:
        found = (value / "postgres").is_file()
    except OSError as error:
        raise Refused(f"names a folder that cannot be looked at ({error.strerror})") from None
    if not found:
        raise Refused(f"names {str(value)!r}, but there is no program 'postgres' in it")


def _is_postgres_url(value: str) -> None:
    """Never shows the value: there may be a password in it."""
    if not value.startswith("postgresql://"):
        raise Refused("must begin with postgresql://")
    if not value.isprintable() or " " in value:
        raise Refused("must have no spaces or control characters (write them as %20 and so on)")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise Refused("must be a URL such as postgresql://user@host:5432/database") from None
    if len(parts.path) < 2:
        raise Refused("must name a database, as postgresql://user@host/database does")
    if parts.fragment:
        raise Refused("must have no '#' (in a password, write it as %23)")


def _is_ordinary_user(value: str) -> None:
    if not value or value == "root" or not value.isprintable() or set(value) & set(" /:"):
        raise Refused(f"must be the name of an ordinary user of this system, but it is {value!r}")


def _secret_is_long(value: str) -> None:
    if len(value) < SECRET_CHARS_MIN:
        raise Refused(f"must have at least {SECRET_CHARS_MIN} characters")


def _host_is_plain(value: str) -> None:
    if not value or not value.isascii() or any(character in value for character in " /@\t\r\n"):
        raise Refused(f"must be an address or a host name without a port, but it is {value!r}")


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "host", TEXT, "127.0.0.1",
        "Address to listen on; 0.0.0.0 or :: opens the server to the network.",
        flag="--host", metavar="ADDRESS", check=_host_is_plain,
    ),
    Setting(
        "port", WHOLE, 8080,
        "TCP port for pages, API and WebSocket; 0 picks a free one.",
        flag="--port", metavar="PORT", check=between(0, 65_535),
    ),
    Setting(
        "worlds", FILE, (PACKAGED_WORLD,),
        "Manifest file of a world to run; repeat it for more worlds. The plaza is built in.",
        flag="--world", metavar="FILE", many=True, check=_file_exists,
    ),
    Setting(
        "allowed_origins", ORIGIN, (),
        "Web origin whose pages may connect, and by whose name we may be called; '*' allows all.",
        flag="--allowed-origin", metavar="ORIGIN", many=True,
    ),
    Setting(
        "trusted_networks", NETWORK,
        (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        "Network that may read /metrics, open any number of connections, and ask more often.",
        flag="--trusted-network", metavar="CIDR", many=True,
    ),
    Setting(
        "forwarded_by", NETWORK, (),
        "Network of reverse proxies whose X-Forwarded-For is believed; never trusted itself.",
        flag="--forwarded-by", metavar="CIDR", many=True,
    ),
    Setting(
        "connections_max", WHOLE, limits.CONNECTIONS_MAX,
        "Connections of all kinds that are open at once; more are turned away.",
        unit="connections", flag="--connections-max", metavar="N",
        check=between(1, limits.CONNECTIONS_MAX),
    ),
    Setting(
        "connections_per_address_max", WHOLE, limits.CONNECTIONS_PER_ADDRESS_MAX,
        "Connections from one untrusted address that are open at once.",
        unit="connections", flag="--connections-per-address-max", metavar="N",
        check=between(1, limits.CONNECTIONS_PER_ADDRESS_MAX),
    ),
    Setting(
        "handshakes_per_address_per_s_max", NUMBER, limits.HANDSHAKES_PER_ADDRESS_PER_S_MAX,
        "WebSocket handshakes per second from one untrusted address.",
        unit="per second", flag="--handshakes-per-address-per-s-max", metavar="RATE",
        check=between(0.1, limits.HANDSHAKES_PER_ADDRESS_PER_S_MAX),
    ),
    Setting(
        "resume_s", NUMBER, limits.RESUME_S_MAX,
        "Time for which the seat of a lost client is kept for its return.",
        unit="seconds", flag="--resume-s", metavar="SECONDS",
        check=between(0.0, limits.RESUME_S_MAX),
    ),
    Setting(
        "drain_s", NUMBER, limits.DRAIN_S_MAX,
        "Time from SIGTERM to the last connection closed.",
        unit="seconds", flag="--drain-s", metavar="SECONDS",
        check=between(0.1, limits.DRAIN_S_MAX),
    ),
    Setting(
        "record_file", FILE, None,
        "File that receives every input of every tick, for replay; off unless set.",
        flag="--record", metavar="FILE", check=_folder_exists,
    ),
    Setting(
        "send_trace_file", FILE, None,
        "File that receives time and size of every snapshot sent, for the benchmark's floor.",
        flag="--send-trace", metavar="FILE", check=_folder_exists,
    ),
    Setting(
        "io", TEXT, "auto",
        "How sockets are served: kernel (compiled, Linux), portable (plain Python) or auto.",
        flag="--io", metavar="WAY", check=one_of("auto", "kernel", "portable"),
    ),
    Setting(
        "switch_interval_ms", NUMBER, 1.0,
        "Longest time for which another thread keeps the interpreter from the tick.",
        unit="milliseconds", flag="--switch-interval-ms", metavar="MS",
        check=between(0.05, 100.0),
    ),
    Setting(
        "log_level", TEXT, "info",
        "Least severe messages that are logged: debug, info, warning or error.",
        flag="--log-level", metavar="LEVEL", check=one_of("debug", "info", "warning", "error"),
    ),
    Setting(
        "secret_key", TEXT, "",
        "Mixed into the key of resume tokens, which is random and ends with the run; not needed.",
        secret=True, check=_secret_is_long,
    ),
    Setting(
        "seed", WHOLE, 0,
        "Seed of every world's generator: the same seed and inputs give the same world.",
        flag="--seed", metavar="N", check=between(0, SEED_MAX),
    ),
    Setting(
        "data_dir", FOLDER, None,
        "Folder of all that must last; otherwise $XDG_DATA_HOME/atrium or ~/.local/share/atrium, "
        "for root /var/lib/atrium.",
        flag="--data-dir", metavar="FOLDER", check=_is_no_file,
    ),
    Setting(
        "database_url", TEXT, None,
        "Postgres to use instead of the private one: postgresql://user@host/database.",
        flag="--database-url", metavar="URL", secret=True, check=_is_postgres_url,
    ),
    Setting(
        "ephemeral", SWITCH, False,
        "Keep everything in memory: what was built is gone when the server ends.",
        flag="--ephemeral",
    ),
    Setting(
        "pg_bin", FOLDER, None,
        "Folder of the programs for the private Postgres; otherwise those that came with Atrium.",
        flag="--pg-bin", metavar="FOLDER", check=_has_postgres,
    ),
    Setting(
        "pg_user", TEXT, None,
        "Who the private Postgres runs as if the server is root; otherwise postgres or nobody.",
        flag="--pg-user", metavar="USER", check=_is_ordinary_user,
    ),
)

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def shown(setting: Setting, value: Any) -> str:
    """A value as people are shown it; a secret only as set or not."""
    if setting.secret:
        return "(set)" if value else "(not set)"
    if value is None:
        return "(not set)"
    if setting.many:
        return ", ".join(shown_item(item) for item in value) or "(none)"
    return shown_item(value)


def shown_item(value: Any) -> str:
    """One value of a list, or a value that is no list."""
    if value == PACKAGED_WORLD:
        return "plaza (built in)"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def reference_markdown() -> str:
    """The table of docs/SETTINGS.md."""
    lines = ["| setting | flag | variable | default | meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        unit = f" {setting.unit}" if setting.unit else ""
        flag = f"`{setting.flag} {setting.metavar}".rstrip() + "`" if setting.flag else "(none)"
        lines.append(
            f"| `{setting.name}` | {flag} | `{setting.variable}` "
            f"| {shown(setting, setting.default)}{unit} | {setting.help} |"
        )
    return "\n".join(lines) + "\n"

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

from atrium_server.setting_kinds import (
    FILE,
    FOLDER,
    ICE_SERVER,
    NETWORK,
    NUMBER,
    ORIGIN,
    SWITCH,
    TEXT,
    WHOLE,
    Kind,
    between,
    file_exists,
    folder_exists,
    has_postgres,
    host_is_plain,
    is_device,
    is_no_file,
    is_ordinary_user,
    is_postgres_url,
    one_of,
    secret_is_long,
)
from atrium_server.setting_kinds import Network as Network
from atrium_server.setting_kinds import Refused as Refused
from atrium_shared import limits

LIST_ITEMS_MAX: Final = 256
TEXT_CHARS_MAX: Final = 4_096
SEED_MAX: Final = 2**63 - 1
PACKAGED_WORLD: Final = Path(__file__).parent / "worlds" / "plaza.toml"


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


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "host", TEXT, "127.0.0.1",
        "Address to listen on; 0.0.0.0 or :: opens the server to the network.",
        flag="--host", metavar="ADDRESS", check=host_is_plain,
    ),
    Setting(
        "port", WHOLE, 8080,
        "TCP port for pages, API and WebSocket; 0 picks a free one.",
        flag="--port", metavar="PORT", check=between(0, 65_535),
    ),
    Setting(
        "tls_cert", FILE, None,
        "Certificate (PEM, with those that vouch for it) for HTTPS instead of HTTP on the port.",
        flag="--tls-cert", metavar="FILE", check=file_exists,
    ),
    Setting(
        "tls_key", FILE, None,
        "Private key (PEM, unencrypted) of that certificate; both are read again when they change.",
        flag="--tls-key", metavar="FILE", check=file_exists,
    ),
    Setting(
        "tls_self_signed", SWITCH, False,
        "HTTPS with a certificate of the server's own making, for headsets in the same network.",
        flag="--tls-self-signed",
    ),
    Setting(
        "worlds", FILE, (PACKAGED_WORLD,),
        "Manifest file of a world to run; repeat it for more worlds. The plaza is built in.",
        flag="--world", metavar="FILE", many=True, check=file_exists,
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
        flag="--record", metavar="FILE", check=folder_exists,
    ),
    Setting(
        "send_trace_file", FILE, None,
        "File that receives time and size of every snapshot sent, for the benchmark's floor.",
        flag="--send-trace", metavar="FILE", check=folder_exists,
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
        "Key of resume tokens; otherwise made once and kept in the data directory.",
        secret=True, check=secret_is_long,
    ),
    Setting(
        "ice_servers", ICE_SERVER, (),
        "STUN or TURN server for voice, as stun:host:port or turn:host:port; repeat it for more.",
        flag="--ice-server", metavar="URL", many=True,
    ),
    Setting(
        "turn_secret", TEXT, "",
        "Secret of the TURN servers, from which credentials are made that run out.",
        secret=True,
    ),
    Setting(
        "brain", TEXT, "auto",
        "Whether models run: on, off (rules moderate alone), or auto (on if torch is installed).",
        flag="--brain", metavar="WHEN", check=one_of("auto", "on", "off"),
    ),
    Setting(
        "device", TEXT, "auto",
        "Where models run: cpu, cuda, cuda:N, or auto (a graphics card if there is one).",
        flag="--device", metavar="DEVICE", check=is_device,
    ),
    Setting(
        "inference", TEXT, "eager",
        "How models run: eager; compiled (needs a C++ compiler); graphs (graphics cards only).",
        flag="--inference", metavar="HOW", check=one_of("eager", "compiled", "graphs"),
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
        flag="--data-dir", metavar="FOLDER", check=is_no_file,
    ),
    Setting(
        "database_url", TEXT, None,
        "Postgres to use instead of the private one: postgresql://user@host/database.",
        flag="--database-url", metavar="URL", secret=True, check=is_postgres_url,
    ),
    Setting(
        "ephemeral", SWITCH, False,
        "Keep everything in memory: what was built is gone when the server ends.",
        flag="--ephemeral",
    ),
    *(
        Setting(
            f"retention_{word}_days", WHOLE, days, f"Time for which {what} kept.",
            unit="days", flag=f"--retention-{word.replace('_', '-')}-days", metavar="DAYS",
            check=between(1, 3_650),
        )
        for word, days, what in (
            ("chat", 30, "lines of chat are"), ("audit", 400, "the audit log is"),
            ("session", 7, "sessions that are over are"), ("sign_in", 30, "old sign-ins are"),
            ("report", 180, "reports with their evidence are"),
            ("feedback", 365, "what people say of verdicts is"),
        )
    ),
    Setting(
        "pg_bin", FOLDER, None,
        "Folder of the programs for the private Postgres; otherwise those that came with Atrium.",
        flag="--pg-bin", metavar="FOLDER", check=has_postgres,
    ),
    Setting(
        "pg_user", TEXT, None,
        "Who the private Postgres runs as if the server is root; otherwise postgres or nobody.",
        flag="--pg-user", metavar="USER", check=is_ordinary_user,
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

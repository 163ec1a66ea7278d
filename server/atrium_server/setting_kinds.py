"""How the values of settings are read, and the rules that some of them have.

A kind turns text, or a TOML value of the right type, into what the program uses. A check refuses
what is outside of the rule of one setting. Both raise `Refused` with the rest of a sentence that
begins with where the value came from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_ICE_SERVER: Final = re.compile(
    r"(stun|stuns|turn|turns):([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(:[0-9]{1,5})?"
    r"(\?transport=(udp|tcp))?"
)
SECRET_CHARS_MIN: Final = 16


class Refused(Exception):
    """A value is not allowed; the message is the rest of a sentence ("must be ...")."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of one type are read. `noun` completes "must be ...". """

    noun: str
    from_text: Callable[[str], Any]
    accepts: Callable[[object], bool]
    convert: Callable[[Any], Any] = lambda value: value


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
def _to_ice_server(text: str) -> str:
    if not _ICE_SERVER.fullmatch(text):
        raise Refused("must be like stun:host:3478, turn:host:3478 or turns:host?transport=tcp")
    return text


FILE = Kind("the path of a file", str, _is_text, _to_path)
FOLDER = Kind("the path of a folder", str, _is_text, _to_path)
SWITCH = Kind("true or false", _switch_from_text, lambda value: type(value) is bool)
NETWORK = Kind("a network", str, _is_text, _to_network)
ORIGIN = Kind("an origin", str, _is_text, _to_origin)
ICE_SERVER = Kind("a STUN or TURN address", str, _is_text, _to_ice_server)


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


def file_exists(value: Path) -> None:
    try:
        found = value.is_file()
    except OSError as error:
        raise Refused(f"names a file that cannot be looked at ({error.strerror})") from None
    if not found:
        raise Refused(f"names {str(value)!r}, but there is no such file (or it is a folder)")


def folder_exists(value: Path) -> None:
    try:
        folder_found, is_folder = value.parent.is_dir(), value.is_dir()
    except OSError as error:
        raise Refused(f"names a file that cannot be looked at ({error.strerror})") from None
    if not folder_found:
        raise Refused(f"names {str(value)!r}, but the folder {str(value.parent)!r} does not exist")
    if is_folder:
        raise Refused(f"names {str(value)!r}, but that is a folder and not a file")


def is_no_file(value: Path) -> None:
    try:
        found = value.exists() and not value.is_dir()
    except OSError as error:
        raise Refused(f"names a folder that cannot be looked at ({error.strerror})") from None
    if found:
        raise Refused(f"names {str(value)!r}, but that is a file and not a folder")


def has_postgres(value: Path) -> None:
    try:
        found = (value / "postgres").is_file()
    except OSError as error:
        raise Refused(f"names a folder that cannot be looked at ({error.strerror})") from None
    if not found:
        raise Refused(f"names {str(value)!r}, but there is no program 'postgres' in it")


def is_postgres_url(value: str) -> None:
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


def is_ordinary_user(value: str) -> None:
    if not value or value == "root" or not value.isprintable() or set(value) & set(" /:"):
        raise Refused(f"must be the name of an ordinary user of this system, but it is {value!r}")


def is_device(value: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,2})?", value):
        raise Refused(f"must be auto, cpu, cuda or cuda:N, but it is {value!r}")


def secret_is_long(value: str) -> None:
    if len(value) < SECRET_CHARS_MIN:
        raise Refused(f"must have at least {SECRET_CHARS_MIN} characters")


def host_is_plain(value: str) -> None:
    if not value or not value.isascii() or any(character in value for character in " /@\t\r\n"):
        raise Refused(f"must be an address or a host name without a port, but it is {value!r}")

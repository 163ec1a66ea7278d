"""The names that this server goes by. PURE.

A page of evil.example can have its own name resolve to the address of a server that only its
visitor can reach (DNS rebinding). Its browser then takes server and page for one origin, and
Origin equals Host: so that alone proves nothing, and the name itself must be one of ours. Nobody
can make an address resolve to something else, nor `localhost` in a browser: these are always
ours. Other names are those in the settings: the host listened on, and the hosts of the origins
that may connect. Where '*' lets every page connect there is nothing left to protect.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")


class HostNames:
    """What a Host header may say."""

    def __init__(self, host: str, allowed_origins: Collection[str]) -> None:
        """
        Args:
            host: the configured host, a name or an address.
            allowed_origins: `scheme://host[:port]` each, or '*'.
        """
        self._takes_all = "*" in allowed_origins
        origins = {urlsplit(origin).hostname or "" for origin in allowed_origins}
        self._names = {"localhost", host.lower()} | origins

    def knows(self, host: str) -> bool:
        """Whether `host`, the value of a Host header with or without a port, means this server."""
        if self._takes_all:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    """Whether `name` is an IPv4 address, or an IPv6 address in brackets."""
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True

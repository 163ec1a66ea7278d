"""Whose request it is that a reverse proxy brings. PURE.

Behind a proxy every visitor comes from the proxy's address, and the limits per address would be
limits for all visitors together. A proxy writes the address that it was called from at the end of
`X-Forwarded-For`; what stands before that was written by whoever called it, and can be anything.
So the list is read from its end, and only as long as the one who wrote an entry is a proxy of
ours, in a network of the setting `forwarded_by`::

    X-Forwarded-For: 127.0.0.1, 203.0.113.7, 10.0.0.2      connection from 10.0.0.1
                     anybody's  the visitor  written by 10.0.0.1, which is a proxy of ours
                     words      (by 10.0.0.2, a proxy of ours, too)

From anybody else the header means nothing. An entry that is no address makes the whole request
one of an unknown address: those are all counted together, and never trusted.

A proxy itself is never trusted, whatever networks are: what it brings without a header, because it
was not told to write one, may be anybody's request. It is easily in a trusted network, for
loopback is one by default.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from atrium_shared.limits import FORWARDED_HOPS_MAX

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = ""
"""The address of those who have none that we know."""
ENTRY_CHARS_MAX = 64


def parsed(address: str) -> Address | None:
    """The address of a peer as the system tells it; None when it is none."""
    try:
        return _plain(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


def lies_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether `address` is one, and in one of the networks."""
    ip = parsed(address)
    return ip is not None and any(
        ip.version == network.version and ip in network for network in networks
    )


class Forwarding:
    """The proxies that may say whose request they bring, and who is trusted besides."""

    def __init__(self, forwarded_by: Sequence[Network], trusted: Sequence[Network]) -> None:
        self._proxies, self._trusted = forwarded_by, trusted

    def is_proxy(self, address: str) -> bool:
        """Whether `address` speaks for others."""
        return bool(self._proxies) and lies_in(address, self._proxies)

    def trusts(self, address: str) -> bool:
        """Whether `address`, of a peer or as `client_of` returned it, is in a trusted network."""
        return lies_in(address, self._trusted) and not self.is_proxy(address)

    def client_of(self, peer: str, values: Sequence[str]) -> str:
        """The address of who asks.

        Args:
            peer: where the connection comes from.
            values: of all X-Forwarded-For headers, in their order.
        """
        if not self.is_proxy(peer):
            return peer
        client = peer
        for hop, entry in enumerate(_backwards(values)):
            ip = _entry(entry)
            if ip is None or hop >= FORWARDED_HOPS_MAX:
                return UNKNOWN
            client = str(ip)
            if not self.is_proxy(client):
                break
        return client


def _backwards(values: Sequence[str]) -> Iterator[str]:
    for value in reversed(values):
        for entry in reversed(value.split(",")):
            if stripped := entry.strip(" \t"):
                yield stripped


def _entry(text: str) -> Address | None:
    """An entry: an address, perhaps with a port, IPv6 then in brackets."""
    if len(text) > ENTRY_CHARS_MAX or "%" in text:
        return None
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in text or (port and not _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _is_port(colon + port):
            return None
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text.startswith(":") and digits.isascii() and digits.isdigit() and len(digits) <= 5


def _plain(ip: Address) -> Address:
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip

"""How many connections one address may have, how fast it may open them, and ask. PURE.

Addresses in trusted networks (a load test, a school behind one router) may have as many
connections as they like; the limit on all connections together still holds. The rate of HTTP
requests is limited for everybody, because it is ticks that pay for it: a browser on the machine
itself is trusted and can flood as well as any other. IPv6 addresses count by their /64, which one
person has whole.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from atrium_server.net.session_state import Bucket
from atrium_shared.errors import Overload
from atrium_shared.limits import (
    ADDRESSES_TRACKED_MAX,
    HTTP_REQUESTS_PER_ADDRESS_BURST_MAX,
    HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class _Address:
    open: int
    handshakes: Bucket


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Limits for those who are not trusted."""

    connections_max: int
    connections_per_address_max: int
    handshakes_per_s_max: float
    handshakes_burst_max: int
    trusted: Sequence[Network]


class Addresses:
    """Open connections by address, and the rate of HTTP requests."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._known: OrderedDict[str, _Address] = OrderedDict()
        self._asking: OrderedDict[str, Bucket] = OrderedDict()
        self.open = 0

    def enter(self, address: str, now: float) -> None:
        """Count a new connection. Raises Overload when there is no room for it."""
        if self.open >= self._rules.connections_max:
            raise Overload("The server has no room for more connections: try again later.", 10_000)
        key = self._key(address)
        if key is not None:
            entry = self._known.get(key)
            if entry is None:
                self._forget_idle()
                rules = self._rules
                bucket = Bucket(rules.handshakes_per_s_max, rules.handshakes_burst_max, now)
                entry = self._known[key] = _Address(0, bucket)
            self._known.move_to_end(key)
            if entry.open >= self._rules.connections_per_address_max:
                raise Overload("Too many connections from your address.", 10_000)
            if not entry.handshakes.take(now):
                raise Overload("Too many new connections from your address.", 2_000)
            entry.open += 1
        self.open += 1

    def leave(self, address: str) -> None:
        """A counted connection has ended."""
        self.open -= 1
        key = self._key(address)
        entry = None if key is None else self._known.get(key)
        if entry is not None:
            entry.open -= 1

    def take_request(self, address: str, now: float) -> bool:
        """Count an HTTP request, of a trusted address too; False when there are too many."""
        key = _counted_as(_parsed(address))
        bucket = self._asking.get(key)
        if bucket is None:
            if len(self._asking) >= ADDRESSES_TRACKED_MAX:
                self._asking.popitem(last=False)
            bucket = self._asking[key] = Bucket(
                HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX, HTTP_REQUESTS_PER_ADDRESS_BURST_MAX, now
            )
        self._asking.move_to_end(key)
        return bucket.take(now)

    def _forget_idle(self) -> None:
        """Make room: drop the entry unused for longest that has nothing open."""
        if len(self._known) < ADDRESSES_TRACKED_MAX:
            return
        for key, entry in self._known.items():
            if not entry.open:
                del self._known[key]
                return
        raise Overload("The server has no room for more addresses: try again later.", 10_000)

    def _key(self, address: str) -> str | None:
        """What the address counts as; None when it is trusted."""
        ip = _parsed(address)
        if ip is not None and any(
            ip.version == network.version and ip in network for network in self._rules.trusted
        ):
            return None
        return _counted_as(ip)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _counted_as(ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> str:
    if ip is None:
        return ""  # no address, or none that we know: all of these together are one
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)

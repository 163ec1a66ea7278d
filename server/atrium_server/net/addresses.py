"""How many connections one address may have, how fast it may open them, and ask. PURE.

Addresses in trusted networks (a load test, a school behind one router) may have as many
connections as they like; the limit on all connections together still holds. Their rates are
limited too, only far higher, because it is ticks that pay for them: a browser on the machine
itself is trusted and can flood as well as any other. IPv6 addresses count by their /64, which one
person has whole.

A connection from a reverse proxy (`forwarded` says what that is) enters as VIA_PROXY and counts
against no address: a proxy has many, and uses each for many visitors. It is `claim`ed for the
visitor when it becomes a WebSocket. HTTP requests count for their visitor one by one.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from atrium_server.net.forwarded import Forwarding, parsed
from atrium_server.net.session_state import Bucket
from atrium_shared.errors import Overload
from atrium_shared.limits import (
    ADDRESSES_TRACKED_MAX,
    HANDSHAKES_PER_TRUSTED_ADDRESS_BURST_MAX,
    HANDSHAKES_PER_TRUSTED_ADDRESS_PER_S_MAX,
    HTTP_REQUESTS_PER_ADDRESS_BURST_MAX,
    HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX,
    HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX,
    HTTP_REQUESTS_PER_TRUSTED_ADDRESS_PER_S_MAX,
    HTTP_STATIC_SHARE,
)

VIA_PROXY = "via proxy"
"""Stands for the address of a connection that a proxy opened, until it is claimed."""

_PARTS = round(1 / HTTP_STATIC_SHARE)
"""Requests are counted in parts: a file of the page is one, any other request all of them."""


@dataclass(slots=True)
class _Address:
    open: int
    handshakes: Bucket


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Limits for those who are not trusted, and who is."""

    connections_max: int
    connections_per_address_max: int
    handshakes_per_s_max: float
    handshakes_burst_max: int
    forwarding: Forwarding


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
        if address != VIA_PROXY:
            self._enter_known(address, now)
        self.open += 1

    def _enter_known(self, address: str, now: float) -> None:
        is_trusted = self._rules.forwarding.trusts(address)
        key = _key(address, is_trusted)
        entry = self._known.get(key)
        if entry is None:
            self._forget_idle()
            entry = self._known[key] = _Address(0, self._handshakes(is_trusted, now))
        self._known.move_to_end(key)
        if not is_trusted and entry.open >= self._rules.connections_per_address_max:
            raise Overload("Too many connections from your address.", 10_000)
        if not entry.handshakes.take(now):
            raise Overload("Too many new connections from your address.", 2_000)
        entry.open += 1

    def _handshakes(self, is_trusted: bool, now: float) -> Bucket:
        if is_trusted:
            rate = HANDSHAKES_PER_TRUSTED_ADDRESS_PER_S_MAX
            return Bucket(rate, HANDSHAKES_PER_TRUSTED_ADDRESS_BURST_MAX, now)
        return Bucket(self._rules.handshakes_per_s_max, self._rules.handshakes_burst_max, now)

    def claim(self, address: str, now: float) -> None:
        """A connection that entered as VIA_PROXY is one of `address`, as which it will leave.

        Raises Overload when there is no room for it; then it still is VIA_PROXY.
        """
        self._enter_known(address, now)

    def leave(self, address: str) -> None:
        """A counted connection has ended."""
        self.open -= 1
        entry = self._known.get(_key(address, self._rules.forwarding.trusts(address)))
        if entry is not None and address != VIA_PROXY:
            entry.open -= 1

    def take_request(self, address: str, now: float, is_static: bool = False) -> bool:
        """Count an HTTP request, of a trusted address too; False when there are too many."""
        is_trusted = self._rules.forwarding.trusts(address)
        key = _key(address, is_trusted)
        bucket = self._asking.get(key)
        if bucket is None:
            if len(self._asking) >= ADDRESSES_TRACKED_MAX:
                self._asking.popitem(last=False)
            bucket = self._asking[key] = _requests(is_trusted, now)
        self._asking.move_to_end(key)
        return all(bucket.take(now) for _ in range(1 if is_static else _PARTS))

    def _forget_idle(self) -> None:
        """Make room: drop the entry unused for longest that has nothing open."""
        if len(self._known) < ADDRESSES_TRACKED_MAX:
            return
        for key, entry in self._known.items():
            if not entry.open:
                del self._known[key]
                return
        raise Overload("The server has no room for more addresses: try again later.", 10_000)


def _requests(is_trusted: bool, now: float) -> Bucket:
    if is_trusted:
        rate = HTTP_REQUESTS_PER_TRUSTED_ADDRESS_PER_S_MAX
        burst = HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX
    else:
        rate = HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX
        burst = HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
    return Bucket(_PARTS * rate, _PARTS * burst, now)


def _key(address: str, is_trusted: bool) -> str:
    """What the address counts as; a trusted part of a /64 is not counted with the rest of it."""
    ip = parsed(address)
    if ip is None:
        return ""  # no address, or none that we know: all of these together are one
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ipaddress.IPv6Network((ip, 64), strict=False)
    return f"trusted {ip}" if is_trusted else str(ip)

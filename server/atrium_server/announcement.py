"""What a person is told when the server has started: where it is, and how a headset gets there.

The line `ready URL` is for programs and comes first. What follows is for people, and only where TLS
is by a certificate of our own or nobody else could know the addresses: an address for each network,
what the browser's warning means, the fingerprint to compare, and in a terminal a QR code, since
nobody likes to type an address with a headset on.
"""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Sequence

import segno

from atrium_server.certificates import Pair
from atrium_server.self_signed import Address

ADDRESSES_SHOWN_MAX = 8


def url_of(scheme: str, host: str, port: int) -> str:
    """`scheme://host:port`, an IPv6 address in brackets."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback_only(host: str) -> bool:
    """Whether a server that listens there is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def reachable(host: str, own: Sequence[Address]) -> list[str]:
    """Addresses that others may type for a server that listens on `host`."""
    if is_loopback_only(host):
        return []
    try:
        bound = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not bound.is_unspecified:
        return [host]
    # `::` takes IPv6 alone: that is how trio opens it.
    fit = [str(address) for address in own if address.version == bound.version]
    return fit[:ADDRESSES_SHOWN_MAX]


def self_signed_lines(host: str, port: int, own: Sequence[Address], pair: Pair) -> list[str]:
    """What is said about a certificate of our own making, without the QR code."""
    hosts = reachable(host, own)
    if hosts:
        lines = ["Open in a headset or any browser of the same network:"]
        lines += [f"  {url_of('https', each, port)}" for each in hosts]
    elif is_loopback_only(host):
        lines = [
            f"A headset cannot reach this server: it listens on {host}, which is this machine only."
            " Give --host 0.0.0.0 to listen on all its networks."
        ]
    else:
        lines = [f"This machine has no address on {host} that others could reach."]
    return [
        *lines,
        "The browser will warn once, because this server vouches for itself: the link is encrypted,"
        " and that it is this server you see by the certificate's SHA-256 fingerprint:",
        f"  {pair.fingerprint}",
    ]


def qr_code(url: str) -> str:
    """The URL as a QR code of half blocks."""
    out = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=out, compact=True, border=2)
    return out.getvalue()

"""Names of the server: what a Host header may say, and what may not be taken for a name of ours."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.net.host_names import HostNames

NAMES = HostNames("World.Example", ["https://pages.example:8443", "http://[2001:db8::7]:80"])

OURS = [
    "localhost", "LOCALHOST:8080", "localhost:", "127.0.0.1", "192.0.2.1:80", "[::1]", "[::1]:8080",
    "[2001:DB8::7]", "world.example", "WORLD.example:1", "pages.example", "pages.example:8443",
    "pages.example:9",
]
FOREIGN = [
    "", ":80", "evil.example", "localhost.evil.example", "evil.localhost", "127.0.0.1.evil.example",
    "1.2.3", "1.2.3.4.5", "256.1.1.1", "0x7f.0.0.1", "::1", "[::1", "[evil.example]", "[]",
    "[::1%eth0]", "world.example@evil.example", "evil.example/world.example", "world.example.",
    "world.example:80:80", "world.example:port", "world.example evil.example", "localhost\n", "*",
]


@pytest.mark.parametrize("host", OURS)
def test_ours(host: str) -> None:
    assert NAMES.knows(host)


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign(host: str) -> None:
    assert not NAMES.knows(host)
    assert HostNames("127.0.0.1", ["https://a.example", "*"]).knows(host), "'*' lets everybody in"


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", ""])
def test_listening_everywhere_is_no_name_for_everything(listening: str) -> None:
    assert not HostNames(listening, []).knows("evil.example")
    assert not HostNames(listening, []).knows("")


@given(st.ip_addresses(), st.none() | st.integers(0, 65_535))
def test_every_address_is_ours(address: object, port: int | None) -> None:
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    assert HostNames("127.0.0.1", []).knows(host if port is None else f"{host}:{port}")


@given(st.text(max_size=30))
def test_any_other_text_is_not(host: str) -> None:
    name = host.rpartition(":")[0] or host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        if name.lower() not in {"localhost", "world.example", "pages.example"}:
            assert not NAMES.knows(host)

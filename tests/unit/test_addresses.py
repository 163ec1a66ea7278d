"""Limits per address: who counts as one, what is limited, and that the books always balance."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from atrium_server.net import addresses as module
from atrium_server.net.addresses import VIA_PROXY, Addresses, AddressRules
from atrium_server.net.forwarded import Forwarding
from atrium_shared import limits
from atrium_shared.errors import Overload

A = "203.0.113.7"
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def make(**changes: Any) -> Addresses:
    rules: dict[str, Any] = {
        "connections_max": 100, "connections_per_address_max": 3, "handshakes_per_s_max": 2.0,
        "handshakes_burst_max": 5,
        "forwarding": Forwarding(
            [ipaddress.ip_network("10.0.0.0/8")],
            [ipaddress.ip_network(each) for each in ("127.0.0.0/8", "::1/128")],
        ),
    }
    return Addresses(AddressRules(**{**rules, **changes}))


def enter_until_full(addresses: Addresses, address: str, most: int = 50) -> int:
    """How many get in, one right after the other."""
    for count in range(most):
        try:
            addresses.enter(address, 0.0)
        except Overload:
            return count
    return most


def test_one_address_has_so_many_and_no_more() -> None:
    addresses = make()
    assert enter_until_full(addresses, A) == 3
    assert addresses.open == 3, "who was refused does not count"
    assert enter_until_full(addresses, "203.0.113.8") == 3
    addresses.leave(A)
    addresses.enter(A, 10.0)


def test_handshakes_have_a_rate_even_one_at_a_time() -> None:
    addresses = make()
    for _ in range(5):
        addresses.enter(A, 0.0)
        addresses.leave(A)
    with pytest.raises(Overload) as caught:
        addresses.enter(A, 0.0)
    assert caught.value.retry_ms > 0
    addresses.enter(A, 0.6)


def test_trusted_networks_are_only_limited_in_all() -> None:
    assert enter_until_full(make(), "127.0.0.1", 200) == 100
    assert enter_until_full(make(), "::ffff:127.0.0.1", 200) == 100


def test_trusted_networks_may_fill_the_server_but_not_reconnect_for_ever() -> None:
    addresses = make(connections_max=limits.CONNECTIONS_MAX)
    most = limits.HANDSHAKES_PER_TRUSTED_ADDRESS_BURST_MAX
    assert enter_until_full(addresses, "127.0.0.1", 2 * most) == limits.CONNECTIONS_MAX
    for _ in range(limits.CONNECTIONS_MAX):
        addresses.leave("127.0.0.1")
    with pytest.raises(Overload, match="new connections"):
        addresses.enter("127.0.0.1", 0.0)
    addresses.enter("127.0.0.2", 0.0)
    for _ in range(int(limits.HANDSHAKES_PER_TRUSTED_ADDRESS_PER_S_MAX)):
        addresses.enter("127.0.0.1", 1.0)
    with pytest.raises(Overload):
        addresses.enter("127.0.0.1", 1.0)


def test_a_stranger_in_the_same_64_is_not_trusted() -> None:
    addresses = make()
    assert enter_until_full(addresses, "::2") == 3
    assert enter_until_full(addresses, "::1") == 50
    assert ask_until_refused(addresses, "::2", 0.0) == limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX


def test_what_a_proxy_brings_counts_for_the_visitor() -> None:
    addresses = make()
    assert enter_until_full(addresses, VIA_PROXY, 10) == 10
    for _ in range(3):
        addresses.claim(A, 0.0)
    with pytest.raises(Overload):
        addresses.claim(A, 0.0)
    addresses.claim("203.0.113.8", 0.0)
    assert addresses.open == 10
    addresses.leave(A)
    addresses.claim(A, 0.0)
    for address in (A, A, A, "203.0.113.8", *[VIA_PROXY] * 5):
        addresses.leave(address)
    assert addresses.open == 0
    assert enter_until_full(addresses, A) == 1, "of its burst of five handshakes four are gone"


def test_a_proxy_itself_is_limited_like_a_stranger() -> None:
    addresses = make(forwarding=Forwarding([LOOPBACK], [LOOPBACK]))
    assert enter_until_full(addresses, VIA_PROXY, 10) == 10
    for _ in range(3):
        addresses.claim("127.0.0.1", 0.0)
    with pytest.raises(Overload):
        addresses.claim("127.0.0.1", 0.0)
    burst = limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
    assert ask_until_refused(addresses, "127.0.0.1", 0.0) == burst


def test_everything_may_be_full_of_proxied_connections() -> None:
    assert enter_until_full(make(), VIA_PROXY, 200) == 100


SAME = {
    "one /64": ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
    "a zone": ("fe80::1%eth0", "fe80::1%eth1"),
    "IPv4 in IPv6": (A, f"::ffff:{A}"),
    "no address at all": ("", "a unix socket"),
}
OTHER = {"two /64": ("2001:db8:1:2::1", "2001:db8:1:3::1"), "two IPv4": (A, "203.0.113.8")}


@pytest.mark.parametrize("what", SAME)
def test_these_count_as_one(what: str) -> None:
    one, other = SAME[what]
    addresses = make()
    addresses.enter(one, 0.0)
    addresses.enter(other, 0.0)
    addresses.enter(one, 0.0)
    with pytest.raises(Overload):
        addresses.enter(other, 0.0)


@pytest.mark.parametrize("what", OTHER)
def test_these_do_not(what: str) -> None:
    one, other = OTHER[what]
    addresses = make()
    assert enter_until_full(addresses, one) == enter_until_full(addresses, other) == 3


def test_the_table_is_bounded_and_forgets_who_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES_TRACKED_MAX", 4)
    addresses = make()
    for k in range(4):
        addresses.enter(f"203.0.113.{k}", 0.0)
    with pytest.raises(Overload):
        addresses.enter("198.51.100.1", 0.0)
    addresses.leave("203.0.113.2")
    addresses.enter("198.51.100.1", 0.0)
    addresses.leave("203.0.113.0")
    assert addresses.open == 3


def ask_until_refused(addresses: Addresses, address: str, now: float) -> int:
    """How many requests are taken at one moment."""
    for count in range(10_000):
        if not addresses.take_request(address, now):
            return count
    raise AssertionError("nothing is ever refused")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_whole_class_in_a_trusted_network_gets_its_page(address: str) -> None:
    addresses = make()
    for _ in range(30):
        for is_static in [False] * 6 + [True] * 20:
            assert addresses.take_request(address, 0.0, is_static)
    left = ask_until_refused(addresses, address, 0.0)
    assert left == limits.HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX - 30 * (6 + 2)
    later = ask_until_refused(addresses, address, 1.0)
    assert later == limits.HTTP_REQUESTS_PER_TRUSTED_ADDRESS_PER_S_MAX


def test_files_of_the_page_count_a_tenth() -> None:
    addresses = make()
    files = 0
    while addresses.take_request(A, 0.0, True):
        files += 1
    assert files == 10 * limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
    assert not addresses.take_request(A, 0.0)


@pytest.mark.parametrize("address", [A, "", "2001:db8::1", "10.0.0.1"])
def test_requests_have_a_rate_for_everybody(address: str) -> None:
    addresses = make()
    assert ask_until_refused(addresses, address, 5.0) == limits.HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
    assert ask_until_refused(addresses, address, 5.5) == 50
    assert ask_until_refused(addresses, address, 99.0) == 200
    assert ask_until_refused(addresses, "203.0.113.8", 5.0) == 200, "the neighbour has its own"


@pytest.mark.parametrize("what", SAME)
def test_what_counts_as_one_shares_its_requests(what: str) -> None:
    one, other = SAME[what]
    addresses = make()
    ask_until_refused(addresses, one, 0.0)
    assert not addresses.take_request(other, 0.0)


def test_the_table_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES_TRACKED_MAX", 4)
    addresses = make()
    for k in range(4):
        ask_until_refused(addresses, f"203.0.113.{k}", 0.0)
    addresses.take_request("203.0.113.0", 0.0)
    assert addresses.take_request("198.51.100.1", 0.0)
    assert not addresses.take_request("203.0.113.0", 0.0), "who asks is remembered"
    assert addresses.take_request("203.0.113.1", 0.0), "who was quiet for longest is forgotten"


@given(st.text(max_size=40))
def test_any_text_is_some_address(address: str) -> None:
    addresses = make()
    addresses.enter(address, 0.0)
    addresses.leave(address)
    assert addresses.open == 0


class Books(RuleBasedStateMachine):
    """Whoever is let in leaves once: the counts are those of a plain list."""

    inside = Bundle("inside")

    def __init__(self) -> None:
        super().__init__()
        self.addresses = make(handshakes_per_s_max=1e9)
        self.open: list[str] = []
        self.now = 0.0

    @rule(target=inside, k=st.integers(0, 5))
    def enter(self, k: int) -> str | None:
        address = f"203.0.113.{k}"
        self.now += 1.0
        try:
            self.addresses.enter(address, self.now)
        except Overload:
            assert self.open.count(address) >= 3
            return None
        self.open.append(address)
        assert self.open.count(address) <= 3
        return address

    @rule(address=consumes(inside))
    def leave(self, address: str | None) -> None:
        if address is not None:
            self.addresses.leave(address)
            self.open.remove(address)

    @invariant()
    def balanced(self) -> None:
        assert self.addresses.open == len(self.open)


TestBooks = Books.TestCase

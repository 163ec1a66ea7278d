"""Whose request a proxy brings: what a header may say, and what it may not make us believe."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.net.forwarded import UNKNOWN, Forwarding
from atrium_shared import limits

PROXY, VISITOR = "10.0.0.1", "203.0.113.7"


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in texts]


OURS = Forwarding(networks("10.0.0.0/8", "fd00::/8"), networks("127.0.0.0/8", "192.168.0.0/16"))
HERE = Forwarding(networks("127.0.0.0/8"), networks("127.0.0.0/8", "::1/128"))
"""A proxy on the same machine, whose addresses are trusted by default."""

TOLD: dict[str, tuple[list[str], str]] = {
    "one entry": ([VISITOR], VISITOR),
    "IPv6": (["2001:db8::7"], "2001:db8::7"),
    "IPv6 in brackets": (["[2001:db8::7]"], "2001:db8::7"),
    "with ports": (["[2001:db8::7]:4711"], "2001:db8::7"),
    "IPv4 with a port": ([f"{VISITOR}:4711"], VISITOR),
    "IPv4 in IPv6": ([f"::ffff:{VISITOR}"], VISITOR),
    "spaces and empty entries": ([f" \t{VISITOR} , ,\t"], VISITOR),
    "through two proxies": ([f"{VISITOR}, 10.9.9.9"], VISITOR),
    "through proxies of both kinds": ([f"{VISITOR}, 10.9.9.9, fd00::1"], VISITOR),
    "in two headers": ([VISITOR, "10.9.9.9"], VISITOR),
    "the visitor claims another": ([f"198.51.100.1, {VISITOR}"], VISITOR),
    "the visitor claims to be here": ([f"127.0.0.1, {VISITOR}"], VISITOR),
    "the visitor claims a proxy": ([f"198.51.100.1, 10.1.1.1, {VISITOR}"], VISITOR),
    "the claim in a header of its own": (["127.0.0.1", VISITOR], VISITOR),
    "a claim of words": ([f"<script>, {VISITOR}"], VISITOR),
    "a long claim": (["127.0.0.1, " * 600 + VISITOR], VISITOR),
    "a claim of many proxies": (["10.1.1.1, " * 600 + VISITOR], VISITOR),
    "nothing": ([], PROXY),
    "an empty header": (["", " , "], PROXY),
    "only proxies": (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
    "words": (["unknown"], UNKNOWN),
    "a name": (["localhost"], UNKNOWN),
    "words of a proxy of ours": ([f"{VISITOR}, _hidden, 10.2.2.2"], UNKNOWN),
    "an entry without end": (["1" * 8_000], UNKNOWN),
    "a zone": (["fe80::1%127.0.0.1"], UNKNOWN),
    "a network": (["203.0.113.0/24"], UNKNOWN),
    "a number": (["2130706433"], UNKNOWN),
    "leading zeros": (["127.0.0.01"], UNKNOWN),
    "another kind of digits": (["١٢٧.0.0.1"], UNKNOWN),
    "half a bracket": (["[2001:db8::7"], UNKNOWN),
    "IPv4 in brackets": ([f"[{VISITOR}]"], UNKNOWN),
    "a port of words": ([f"{VISITOR}:http"], UNKNOWN),
    "a port beyond ports": ([f"{VISITOR}:123456"], UNKNOWN),
    "two ports": ([f"{VISITOR}:1:2"], UNKNOWN),
    "more proxies than there can be": (
        [", ".join([VISITOR, *["10.1.1.1"] * limits.FORWARDED_HOPS_MAX])], UNKNOWN
    ),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_a_proxy_tells(what: str) -> None:
    values, client = TOLD[what]
    assert OURS.client_of(PROXY, values) == client
    assert OURS.client_of("fd00::5", values) == (client if client != PROXY else "fd00::5")
    assert not OURS.trusts(OURS.client_of(PROXY, values))


@pytest.mark.parametrize("what", TOLD)
@pytest.mark.parametrize("peer", [VISITOR, "127.0.0.1", "192.168.1.1", "2001:db8::7", ""])
def test_nobody_else_is_believed(what: str, peer: str) -> None:
    assert OURS.client_of(peer, TOLD[what][0]) == peer
    assert Forwarding([], networks("127.0.0.0/8")).client_of(peer, TOLD[what][0]) == peer


@pytest.mark.parametrize(
    "values", [[], [""], [VISITOR], [f"127.0.0.1, {VISITOR}"], ["127.0.0.1"], ["words"]]
)
def test_behind_a_proxy_on_this_machine_nobody_is_trusted(values: list[str]) -> None:
    assert not HERE.trusts(HERE.client_of("127.0.0.1", values))
    assert HERE.trusts("::1"), "who is not a proxy and trusted still is"


def test_a_visitor_is_trusted_who_is_in_a_trusted_network() -> None:
    assert OURS.trusts(OURS.client_of(PROXY, ["192.168.1.9"]))
    assert OURS.trusts("127.0.0.1"), "beside the proxy"
    narrow = Forwarding(networks("127.0.0.2/32"), networks("127.0.0.0/8"))
    assert narrow.trusts("127.0.0.1")
    assert not narrow.trusts(narrow.client_of("127.0.0.2", [VISITOR]))
    assert not narrow.trusts(narrow.client_of("127.0.0.2", []))


@given(st.lists(st.text(max_size=60), max_size=4), st.ip_addresses(v=4))
def test_whatever_stands_before_the_last_word_changes_nothing(
    claims: list[str], visitor: ipaddress.IPv4Address
) -> None:
    told = HERE.client_of("127.0.0.1", [*claims, str(visitor)])
    if not visitor.is_loopback:
        assert told == str(visitor)


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_words_are_an_address_or_nobody(values: list[str]) -> None:
    told = OURS.client_of(PROXY, values)
    assert told == UNKNOWN or ipaddress.ip_address(told)

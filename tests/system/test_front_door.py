"""Who gets in: handshakes, origins, limits per address, and what those hear who do not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from harness import House, Peer, Witness, frame, hello, open_house, said
from trio.testing import MockClock

from atrium_server.net import addresses, front_door
from atrium_shared import limits
from atrium_shared import messages as m

STRANGER = "203.0.113.7"


@pytest.fixture
async def house(autojump_clock: MockClock) -> AsyncGenerator[House]:
    """A server that goes by the name that the peers of these tests use."""
    async with open_house(host="atrium.test") as opened:
        yield opened


@pytest.fixture
async def witness(house: House) -> Witness:
    return await house.witness()


HANDSHAKES: dict[str, tuple[dict[str, str | None], int]] = {
    "as it should be": ({}, 101),
    "no sub-protocol": ({"Sec_WebSocket_Protocol": None}, 400),
    "another sub-protocol": ({"Sec_WebSocket_Protocol": "atrium.0"}, 400),
    "ours among others": ({"Sec_WebSocket_Protocol": "soap, atrium.1"}, 101),
    "no upgrade": ({"Upgrade": None, "Connection": None}, 426),
    "version 8": ({"Sec_WebSocket_Version": "8"}, 400),
    "no key": ({"Sec_WebSocket_Key": None}, 400),
    "a key of the wrong length": ({"Sec_WebSocket_Key": "AAAA"}, 400),
    "no host": ({"Host": None}, 400),
    "compression offered": ({"Sec_WebSocket_Extensions": "permessage-deflate"}, 101),
    "a program: no origin": ({}, 101),
    "our own page": ({"Origin": "http://atrium.test"}, 101),
    "our own page in other letters": ({"Origin": "HTTP://ATRIUM.TEST"}, 101),
    "our own page by TLS": ({"Origin": "https://atrium.test"}, 101),
    "a foreign page": ({"Origin": "https://evil.example"}, 403),
    "our name on another port": ({"Origin": "http://atrium.test:8081"}, 403),
    "our name as a part": ({"Origin": "http://atrium.test.evil.example"}, 403),
    "our name as a user": ({"Origin": "http://atrium.test@evil.example"}, 403),
    "a sandboxed frame": ({"Origin": "null"}, 403),
    "an empty origin": ({"Origin": ""}, 403),
    "a rebound name": ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),
    "a rebound name with a port": (
        {"Origin": "http://evil.example:8080", "Host": "evil.example:8080"}, 403
    ),
    "a program by another name": ({"Host": "evil.example"}, 101),
    "our page by address": ({"Origin": "http://192.0.2.1:80", "Host": "192.0.2.1:80"}, 101),
    "our page by IPv6": ({"Origin": "http://[::1]:8080", "Host": "[::1]:8080"}, 101),
    "our page on localhost": ({"Origin": "http://localhost", "Host": "localhost"}, 101),
    "an origin that is no address": ({"Origin": "http://[::1"}, 403),
}


@pytest.mark.parametrize("what", HANDSHAKES)
async def test_handshakes(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    headers, status = HANDSHAKES[what]
    peer = house.peer()
    assert await peer.upgrade(**headers) == status
    if status == 101:
        assert "atrium.1" in peer.head
        assert "deflate" not in peer.head
        await peer.say(hello())
        assert await peer.expect(m.Welcome)
    else:
        assert (await peer.rest()).endswith(b"\n"), "a sentence says what is wrong"
        assert house.connections == 1
    await witness.still_served()


async def test_the_allow_list_lets_foreign_pages_in(autojump_clock: MockClock) -> None:
    async with open_house(allowed_origins=["https://friend.example"]) as house:
        assert await house.peer().upgrade(Origin="https://friend.example") == 101
        assert await house.peer().upgrade(Origin="http://friend.example") == 403
        assert await house.peer().upgrade(Origin="https://evil.example") == 403
        own = {"Origin": "https://friend.example:8443", "Host": "friend.example:8443"}
        assert await house.peer().upgrade(**own) == 101, "an allowed origin is a name of ours"
    async with open_house(allowed_origins=["*"]) as house:
        assert await house.peer().upgrade(Origin="https://evil.example") == 101
        own = {"Origin": "https://evil.example", "Host": "evil.example"}
        assert await house.peer().upgrade(**own) == 101


TWICE = {
    "two origins": b"Origin: http://atrium.test\r\nOrigin: https://evil.example\r\n",
    "two hosts": b"Host: evil.example\r\n",
}


@pytest.mark.parametrize("what", TWICE)
async def test_a_header_that_may_be_there_once(
    what: str, house: House, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.write(
        b"GET /ws HTTP/1.1\r\nHost: atrium.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: atrium.1\r\n" + TWICE[what] + b"\r\n"
    )
    assert await peer.answer() == 400


NO_HANDSHAKES = {
    "another method": b"POST /ws HTTP/1.1\r\nHost: a\r\n\r\n",
    "another version": b"GET /ws HTTP/3.0\r\nHost: a\r\n\r\n",
    "no header name": b"GET /ws HTTP/1.1\r\n: x\r\n\r\n",
    "a header over two lines": b"GET /ws HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "bytes beyond ASCII": b"GET /ws HTTP/1.1\r\nH\xffst: a\r\n\r\n",
    "a body": b"GET /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("what", NO_HANDSHAKES)
async def test_what_is_no_handshake_gets_a_status(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.write(NO_HANDSHAKES[what])
    assert 400 <= await peer.answer() < 500
    await witness.still_served()


async def test_other_paths_are_led_to_the_pages(house: House, autojump_clock: MockClock) -> None:
    await trio.sleep(0.2)  # the first tick, without which it is not healthy
    for path in ("/healthz", "/wsx", "/x?/ws"):
        peer = house.peer()
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await peer.write(head.encode())
        assert await peer.answer() == (200 if path == "/healthz" else 404)


async def test_pages_are_not_shown_to_a_rebound_name(
    house: House, autojump_clock: MockClock
) -> None:
    for host, status in (("atrium.test", 200), ("evil.example", 421)):
        peer = house.peer()
        await peer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert await peer.answer() == status


async def test_a_flood_of_requests_is_slowed_even_where_trusted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX", 250)
    async with open_house(trusted_networks=["203.0.113.0/24"]) as house:
        witness = await house.witness()
        peer = house.peer(STRANGER)
        one = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await peer.write(one * 500 + last)
        answers = await peer.rest()
        assert answers.count(b"HTTP/1.1 429 ") == 1, "the connection ends with the refusal"
        assert 250 <= answers.count(b"HTTP/1.1 200 ") < 500
        await witness.still_served()


async def test_refusals_are_counted(autojump_clock: MockClock) -> None:
    async with open_house(connections_max=3, trusted_networks=["127.0.0.0/8"]) as house:
        rebound = house.peer()
        await rebound.write(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert await rebound.answer() == 421
        await rebound.rest()
        assert await house.peer().upgrade(Origin="https://evil.example") == 403
        assert await house.peer().upgrade(Sec_WebSocket_Key=None) == 400
        await trio.sleep(front_door.LINGER_S + 0.1)
        waiting = [house.peer() for _ in range(3)]
        await trio.sleep(0.1)
        assert await house.peer().upgrade() == 429
        for peer in waiting:
            await peer.gone()
        await trio.sleep(0.1)
        reader = house.peer()
        await reader.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.rest()).decode()
    for reason in ("wrong_host", "origin", "handshake", "address"):
        assert f'atrium_refused_total{{reason="{reason}"}} 1\n' in text
    assert 'atrium_world_failed{world="plaza"} 0' in text


# --- proxies -------------------------------------------------------------------------------------

PROXY = "127.0.0.1"
BEHIND: dict[str, Any] = {"forwarded_by": ["127.0.0.0/8"]}
"""The proxy is on the same machine, in a network that is trusted by default."""


async def asked(house: House, path: str, forwarded: str | None, address: str = PROXY) -> int:
    peer = house.peer(address)
    header = "" if forwarded is None else f"X-Forwarded-For: {forwarded}\r\n"
    await peer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
    status = await peer.answer()
    await peer.gone()
    return status


async def test_visitors_behind_a_proxy_are_counted_one_by_one(autojump_clock: MockClock) -> None:
    most = 4
    async with open_house(connections_per_address_max=most, **BEHIND) as house:
        first = [house.peer(PROXY) for _ in range(most + 1)]
        statuses = [
            await peer.upgrade(X_Forwarded_For=f"127.0.0.1, 198.51.100.{k}, {STRANGER}")
            for k, peer in enumerate(first)
        ]
        assert statuses == [101] * most + [429], "what the visitor claims is not looked at"
        assert await house.peer(PROXY).upgrade(X_Forwarded_For="2001:db8::7") == 101
        direct = house.peer(STRANGER)
        assert await direct.upgrade(X_Forwarded_For="198.51.100.9") == 429, "he is no proxy"
        for peer in first:
            await peer.gone()
        await trio.sleep(3)
        assert await house.peer(PROXY).upgrade(X_Forwarded_For=STRANGER) == 101
        await trio.sleep(20)
    assert house.gateway._parts.addresses.open == 0


@pytest.mark.parametrize("forwarded", [None, "", "127.0.0.1", "unknown", "1" * 7_000])
async def test_a_proxy_that_does_not_say_for_whom_is_not_trusted(
    forwarded: str | None, autojump_clock: MockClock
) -> None:
    async with open_house(connections_per_address_max=4, **BEHIND) as house:
        statuses = [await house.peer(PROXY).upgrade(X_Forwarded_For=forwarded) for _ in range(5)]
        assert statuses == [101] * 4 + [429]
        assert await asked(house, "/metrics", forwarded) == 403


async def test_metrics_are_not_shown_through_a_proxy(autojump_clock: MockClock) -> None:
    async with open_house(trusted_networks=["127.0.0.0/8", "192.168.0.0/16"], **BEHIND) as house:
        assert await asked(house, "/metrics", STRANGER) == 403
        assert await asked(house, "/metrics", f"192.168.0.1, {STRANGER}") == 403
        assert await asked(house, "/metrics", "192.168.0.1", STRANGER) == 403
        assert await asked(house, "/metrics", f"{STRANGER}, 192.168.0.1") == 200
    async with open_house() as house:
        assert await asked(house, "/metrics", STRANGER) == 200, "nobody speaks for others"


async def test_requests_through_a_proxy_do_not_use_up_its_connections(
    autojump_clock: MockClock,
) -> None:
    async with open_house(
        connections_per_address_max=2, handshakes_per_address_per_s_max=0.1, **BEHIND
    ) as house:
        for _ in range(limits.HANDSHAKES_PER_ADDRESS_BURST_MAX + 20):
            assert await asked(house, "/", STRANGER) == 200


async def test_a_turn_of_the_loop_answers_one_handshake(
    house: House, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []
    check, turn = front_door.FrontDoor._check, 0

    def counting(*args: object) -> None:
        answered.append(turn)
        check(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(front_door.FrontDoor, "_check", counting)
    async with trio.open_nursery() as nursery:
        @nursery.start_soon
        async def count_turns() -> None:
            nonlocal turn
            while True:
                turn += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as asking:
            for _ in range(30):
                asking.start_soon(house.peer().upgrade)
        nursery.cancel_scope.cancel()
    assert len(answered) == 30
    assert max(answered.count(turn) for turn in answered) <= 2, "the tasks of a turn have no order"


async def test_a_handshake_in_scraps_and_with_all_that_follows(
    house: House, autojump_clock: MockClock
) -> None:
    """Byte by byte; and in one piece with the hello, as impatient clients send it."""
    head = (
        b"GET /ws?room=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: atrium.1\r\n\r\n"
    )
    slow, quick = house.peer(), house.peer()
    for byte in head:
        await slow.write(bytes([byte]))
        await trio.sleep(0.01)
    assert await slow.answer() == 101
    await quick.write(head + said(hello("Quick")) + said(m.ClockPing(9)))
    assert await quick.answer() == 101
    assert (await quick.expect(m.ClockPong)).client_ms == 9
    assert await quick.expect(m.Welcome)


# --- too much, too slow --------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"X: " + b"x" * 100 + b"\r\n", b"X: " + b"x" * 9_000])
async def test_a_head_above_the_limit_is_refused(
    line: bytes, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\n")
    for _ in range(1 + limits.HTTP_HEAD_BYTES_MAX // len(line)):
        await peer.write(line)
    assert await peer.answer() == 431
    await witness.still_served()


@pytest.mark.parametrize("begun", [b"", b"GET /w", b"GET /ws HTTP/1.1\r\nHost: a\r\n"])
async def test_half_a_handshake_is_not_waited_for_longer_than_said(
    begun: bytes, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    began = trio.current_time()
    await peer.write(begun)
    assert await peer.answer() == (408 if begun else 0)
    assert trio.current_time() - began == pytest.approx(limits.HANDSHAKE_S_MAX, abs=0.1)
    await peer.rest()
    await witness.still_served(2)
    assert house.gateway._parts.addresses.open == 1


async def test_a_trickle_of_headers_does_not_move_the_deadline(
    house: House, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.write(b"GET /ws HTTP/1.1\r\n")
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        @nursery.start_soon
        async def trickle() -> None:
            while True:
                await peer.write(b"X: y\r\n")
                await trio.sleep(0.5)

        assert await peer.answer() == 408
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(limits.HANDSHAKE_S_MAX, abs=0.1)


async def test_who_leaves_in_the_middle_of_a_handshake_leaves_nothing(
    house: House, autojump_clock: MockClock
) -> None:
    for begun in (b"", b"GET /ws HT", b"GET /ws HTTP/1.1\r\nHost: a\r\n"):
        gone, cut = house.peer(), house.peer()
        await gone.write(begun)
        await gone.gone()
        await cut.write(begun)
        cut.stream.cut()  # type: ignore[attr-defined] -- a memory link
    await trio.sleep(0.1)
    assert house.gateway._parts.addresses.open == 0


# --- addresses -----------------------------------------------------------------------------------


async def statuses(house: House, address: str, count: int) -> list[tuple[Peer, int]]:
    """Handshakes one after the other from one address, and how each was answered."""
    peers = [house.peer(address) for _ in range(count)]
    return [(peer, await peer.upgrade()) for peer in peers]


async def test_a_thousand_connections_from_one_stranger(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    answers = await statuses(house, STRANGER, 1_000)
    welcome = [peer for peer, status in answers if status == 101]
    refused = [status for _, status in answers if status != 101]
    assert len(welcome) == limits.CONNECTIONS_PER_ADDRESS_MAX
    assert set(refused) == {429, 0}
    assert refused.count(429) == front_door.LINGERING_MAX, "the others are closed without a word"
    await witness.still_served()
    assert await house.peer("203.0.113.8").upgrade() == 101, "the neighbour is not concerned"
    for peer in welcome:
        await peer.gone()
    await trio.sleep(5)
    assert await house.peer(STRANGER).upgrade() == 101, "who has left does not count"


async def test_trusted_networks_are_exempt(autojump_clock: MockClock) -> None:
    async with open_house(trusted_networks=["203.0.113.0/24"]) as house:
        witness = await house.witness()
        answers = await statuses(house, STRANGER, 300)
        assert {status for _, status in answers} == {101}
        await witness.still_served()


async def test_a_stranger_may_not_shake_hands_all_the_time(
    house: House, autojump_clock: MockClock
) -> None:
    """One at a time, each gone before the next: the rate counts, not how many are open."""
    answers: list[int] = []
    for _ in range(limits.HANDSHAKES_PER_ADDRESS_BURST_MAX + 10):
        peer = house.peer(STRANGER)
        answers.append(await peer.upgrade())
        await peer.gone()
    refused = answers.count(429)
    assert 5 <= refused <= 10
    await trio.sleep(1)
    assert await house.peer(STRANGER).upgrade() == 101


async def test_a_full_server_says_so_before_the_upgrade(autojump_clock: MockClock) -> None:
    async with open_house(connections_max=2) as house:
        witness = await house.witness()
        peer = house.peer()
        await peer.join()
        assert await house.peer().upgrade() == 429
        await peer.write(frame(b"\x03\xe8", opcode=8))
        await peer.ending()
        assert await house.peer().upgrade() == 101, "room is there again at once"
        await witness.still_served()


async def test_who_loses_the_race_for_the_last_number_is_told(
    autojump_clock: MockClock
) -> None:
    """The answer to the handshake is on its way when the server begins to stop."""
    async with open_house() as house:
        peer = house.peer()
        peer.stream.incoming.conditions.buffer_bytes = 10  # type: ignore[attr-defined]
        peer.stream.incoming.stall(True)  # type: ignore[attr-defined]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.upgrade)
            await trio.sleep(0.5)
            nursery.start_soon(house.server.drain, 3)
            await trio.sleep(0.1)
            peer.stream.incoming.stall(False)  # type: ignore[attr-defined]
        assert peer.status == 101
        ended = await peer.ending()
        assert ended.code == 1013

"""Voice through a whole server: who is told of whom, what is passed on, and what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio
from harness import House, Witness, open_house, write_world
from trio.testing import MockClock

from atrium_server.net.memory_io import Conditions
from atrium_server.voice_relay import TURN_S, IceSettings
from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode

VOICE = m.Capabilities(features=("voice",))
OFF, LISTEN, TALK = m.VoiceMode
_requests = itertools.count(1)


@pytest.fixture
async def house(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[House]:
    """Two small worlds at 10 Hz, and a STUN server that nobody asks."""
    paths = [write_world(tmp_path, name, tick_rate_hz=10) for name in ("hall", "garden")]
    async with open_house(worlds=paths, ice_servers=["stun:stun.example:3478"]) as house:
        yield house


async def person(house: House, name: str, **changes: Any) -> Witness:
    return await house.witness(name, **{"capabilities": VOICE, **changes})


async def set_mode(one: Witness, mode: m.VoiceMode) -> m.Result:
    request_id = next(_requests)
    await one.peer.say(m.VoiceSet(request_id, mode))
    await trio.sleep(1)
    return next(each for each in one.heard_of(m.Result) if each.request_id == request_id)


def peers(one: Witness) -> list[int]:
    told = one.heard_of(m.RtcPeers)
    return [each.entity_id for each in told[-1].peers] if told else []


def dropped(house: House) -> float:
    return house.host().parts.metrics.signals_dropped.value


async def pair(house: House) -> tuple[Witness, Witness]:
    ann, ben = await person(house, "Ann"), await person(house, "Ben")
    for one in (ann, ben):
        assert (await set_mode(one, TALK)).code == ErrorCode.OK
    assert peers(ann) == [ben.welcome.entity_id]
    return ann, ben


async def test_result_then_servers_then_peers_and_signals_pass(
    house: House, autojump_clock: MockClock
) -> None:
    ann, ben = await pair(house)
    kinds = [type(each) for each in ann.heard if isinstance(
        each, m.Result | m.RtcServers | m.RtcPeers
    )]
    assert kinds == [m.Result, m.RtcServers, m.RtcPeers]
    assert ann.heard_of(m.RtcServers)[0].servers == (
        m.IceServer("stun:stun.example:3478", "", ""),
    )
    await ann.peer.say(m.RtcSignal(ben.welcome.entity_id, m.SignalKind.OFFER, b"sdp"))
    await trio.sleep(0.5)
    assert ben.heard_of(m.RtcSignalled) == [
        m.RtcSignalled(ann.welcome.entity_id, m.SignalKind.OFFER, b"sdp")
    ]
    assert dropped(house) == 0


async def test_signals_to_the_unpaired_are_dropped_and_counted(
    house: House, autojump_clock: MockClock
) -> None:
    ann, ben = await pair(house)
    cat = await person(house, "Cat")
    for sender, target in ((cat, ann), (ann, cat), (ann, ann)):
        await sender.peer.say(m.RtcSignal(target.welcome.entity_id, m.SignalKind.OFFER, b"x"))
    await ann.peer.say(m.RtcSignal(999_999, m.SignalKind.OFFER, b"x"))
    await trio.sleep(0.5)
    assert not any(one.heard_of(m.RtcSignalled) for one in (ann, ben, cat))
    assert dropped(house) == 4
    assert ann.ended is cat.ended is None


async def test_a_flood_of_large_signals_is_cut_at_what_one_may_be_sent(
    house: House, autojump_clock: MockClock
) -> None:
    ann, ben = await pair(house)
    for _ in range(60):
        await ann.peer.say(m.RtcSignal(
            ben.welcome.entity_id, m.SignalKind.CANDIDATE, bytes(limits.SIGNAL_BYTES_MAX)
        ))
    await trio.sleep(0.5)
    relayed = (60 - dropped(house)) * (limits.SIGNAL_BYTES_MAX + limits.SIGNAL_COST_BYTES_MIN)
    assert relayed >= limits.SIGNAL_BYTES_BURST_MAX - limits.SIGNAL_BYTES_MAX
    assert relayed <= limits.SIGNAL_BYTES_BURST_MAX + 0.5 * limits.SIGNAL_BYTES_PER_S_MAX
    await trio.sleep(5)
    await ann.peer.say(m.RtcSignal(ben.welcome.entity_id, m.SignalKind.ANSWER, b"late"))
    await trio.sleep(0.5)
    assert ben.heard_of(m.RtcSignalled)[-1].data == b"late"
    assert ann.ended is ben.ended is None


async def test_peers_cannot_end_the_link_of_somebody_slow(
    house: House, autojump_clock: MockClock
) -> None:
    """What is put behind too much ends a connection: signals are no way to bring that about."""
    ann = await person(house, "Ann")
    slow = house.peer(down=Conditions(bytes_per_s=6_000))
    welcome = await slow.join("Slow", capabilities=m.Capabilities(8, 6_000, 0, ("voice",)))
    ben = Witness(slow, welcome)
    house.nursery.start_soon(ben.listen)
    await slow.say(m.VoiceSet(next(_requests), TALK))
    assert (await set_mode(ann, TALK)).code == ErrorCode.OK
    await trio.sleep(1)
    assert peers(ann) == [welcome.entity_id]
    for _ in range(20):
        for _ in range(30):
            await ann.peer.say(m.RtcSignal(
                welcome.entity_id, m.SignalKind.CANDIDATE, bytes(limits.SIGNAL_BYTES_MAX // 2)
            ))
        await trio.sleep(1)
    assert ann.ended is ben.ended is None
    assert dropped(house) > 0
    signals = ben.heard_of(m.RtcSignalled)
    assert len(signals) > 5, "as many as the link takes come through"


async def test_who_did_not_announce_voice_is_refused(
    house: House, autojump_clock: MockClock
) -> None:
    old = await house.witness("Old")
    assert (await set_mode(old, TALK)).code == ErrorCode.NOT_ALLOWED
    assert old.heard_of(m.RtcServers) == []


async def test_a_lost_link_ends_the_pair_and_a_resume_asks_anew(
    house: House, autojump_clock: MockClock
) -> None:
    ann, ben = await pair(house)
    ann.peer.stream.cut()  # type: ignore[attr-defined] -- a memory link
    await trio.sleep(1)
    assert peers(ben) == []
    back = await person(house, "Ann", resume_token=ann.welcome.resume_token)
    await trio.sleep(1)
    assert peers(ben) == []
    await set_mode(back, LISTEN)
    assert peers(ben) == [ann.welcome.entity_id]
    assert [(one.sends, one.hears) for one in ben.heard_of(m.RtcPeers)[-1].peers] == [
        (False, True)
    ]


async def test_travel_ends_the_pair(
    house: House, autojump_clock: MockClock
) -> None:
    ann, ben = await pair(house)
    await ann.peer.say(m.Travel(next(_requests), "garden"))
    await trio.sleep(1)
    assert peers(ben) == []
    await ann.peer.say(m.RtcSignal(ben.welcome.entity_id, m.SignalKind.OFFER, b"x"))
    await trio.sleep(0.5)
    assert ben.heard_of(m.RtcSignalled) == []


async def test_signals_are_in_no_recording(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "record"
    async with open_house(
        worlds=[write_world(tmp_path, "hall", tick_rate_hz=10)], record_file=path
    ) as house:
        ann, ben = await pair(house)
        await ann.peer.say(m.RtcSignal(ben.welcome.entity_id, m.SignalKind.OFFER, b"192.0.2.77"))
        await trio.sleep(0.5)
        assert len(ben.heard_of(m.RtcSignalled)) == 1
    assert b"voice" in path.read_bytes()
    assert b"192.0.2.77" not in path.read_bytes()


def test_turn_credentials_run_out_and_the_secret_is_in_none() -> None:
    ice = IceSettings(("stun:a.example", "turn:b.example"), "hush-hush", lambda: 1000.5)
    stun, turn = ice.servers_for(7).servers
    assert stun == m.IceServer("stun:a.example", "", "")
    assert turn.username == f"{1000 + TURN_S}:7"
    digest = hmac.new(b"hush-hush", turn.username.encode(), hashlib.sha1).digest()
    assert turn.credential == base64.b64encode(digest).decode()
    assert "hush-hush" not in f"{ice!r} {turn!r}"

"""Keys of apps: what they look like, and how much they may ask."""

from __future__ import annotations

import string
import uuid
from datetime import datetime

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from atrium_server.ai import keys as ai_keys
from atrium_server.ai.keys import KNOWN_S, USED_S, AiKeys
from atrium_server.ai.quotas import DAY_S, Quota
from atrium_server.ai.tokens import BEGINNING, hash_of, key_of
from atrium_server.persistence.ai_keys import KeyRow, MemoryKeys, NewKey
from atrium_server.persistence.errors import Unavailable

OWNER = uuid.UUID(int=7)


# --- what a key looks like -------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_each_secret_has_its_own_key_and_hash(one: bytes, other: bytes) -> None:
    keys = key_of(one), key_of(other)
    hashes = [hash_of(key) for key in keys]
    assert all(key.startswith(BEGINNING) and key.isascii() for key in keys)
    assert all(found is not None and len(found) == 32 for found in hashes)
    assert (hashes[0] == hashes[1]) == (one == other)


@given(
    st.binary(min_size=32, max_size=32), st.integers(0, 60),
    st.sampled_from(string.ascii_letters + string.digits + "-_ \n\0é"),
)
def test_a_mistyped_key_is_none_before_anybody_is_asked(
    secret: bytes, place: int, letter: str
) -> None:
    key = key_of(secret)
    place = min(place, len(key) - 1)
    changed = key[:place] + letter + key[place + 1 :]
    assert (hash_of(changed) is not None) == (changed == key)
    assert hash_of(key[:-1]) is None
    assert hash_of(key + letter) is None
    assert hash_of("") is None


def test_a_key_of_another_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="32"):
        key_of(b"short")


# --- how much it may ask ---------------------------------------------------------------------


def test_a_minute_fills_evenly_and_a_day_is_a_day() -> None:
    quota = Quota.full(60, 100, 0.0)
    assert quota.take(60, 0.0) == 0
    assert quota.take(1, 0.0) == pytest.approx(1.0)
    assert quota.take(1, 0.5) == pytest.approx(0.5)
    assert quota.take(1, 1.0) == 0
    assert quota.take(61, 1e6) == float("inf")
    quota = Quota.full(60, 100, 0.0)
    assert quota.take(60, 0.0) == 0
    assert quota.take(40, 60.0) == 0
    assert quota.take(1, 120.0) == pytest.approx(DAY_S - 120)
    assert quota.take(1, DAY_S) == 0


def test_rows_that_were_not_answered_do_not_count() -> None:
    quota = Quota.full(10, 10, 0.0)
    assert quota.take(10, 0.0) == 0
    quota.give_back(10)
    assert quota.take(10, 0.0) == 0
    quota.give_back(1_000)
    assert quota.left == 10
    assert quota.day_rows == 0


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 200)), max_size=60))
def test_never_more_than_a_minute_and_what_has_filled(asked: list[tuple[int, float]]) -> None:
    quota, now_s, taken = Quota.full(40, 500, 0.0), 0.0, 0
    for rows, later_s in asked:
        now_s += later_s
        wait_s = quota.take(rows, now_s)
        taken += rows if wait_s == 0 else 0
        assert taken <= min(40 + now_s * 40 / 60 + 1e-6, 500 * (1 + now_s // DAY_S))
        if 0 < wait_s < 60:
            assert quota.take(rows, now_s + wait_s + 1e-6) == 0
            quota.give_back(rows)
            now_s += wait_s + 1e-6


# --- as a running server knows them ----------------------------------------------------------


class Asked(MemoryKeys):
    """Counts what it is asked."""

    asked = 0
    is_away = False

    async def find(self, key_hash: bytes) -> KeyRow | None:
        self.asked += 1
        return await super().find(key_hash)

    async def used(self, at: dict[uuid.UUID, datetime]) -> None:  # type: ignore[override]
        if self.is_away:
            raise Unavailable("away")
        await super().used(at)


async def made(store: MemoryKeys, number: int = 1, per_minute: int = 60) -> str:
    key = key_of(bytes([number]) * 32)
    key_hash = hash_of(key)
    assert key_hash is not None
    await store.create(NewKey(uuid.UUID(int=number), key_hash, OWNER, "bot", per_minute, 1_000))
    return key


async def test_what_the_store_says_is_believed_for_a_while(autojump_clock: MockClock) -> None:
    store = Asked(lambda: 1e9)
    keys, key = AiKeys(store, lambda: 1e9), await made(store)
    for _ in range(10):
        found = await keys.find(key)
        assert found is not None
    assert store.asked == 1
    assert await store.revoke(found.id, OWNER, "Ada")
    assert await keys.find(key) is not None
    await trio.sleep(KNOWN_S + 0.1)
    assert await keys.find(key) is None
    unknown = key_of(b"?" * 32)
    for _ in range(10):
        assert await keys.find(unknown) is None
    assert store.asked == 3
    assert await keys.find("nothing like a key") is None
    assert store.asked == 3


async def test_what_is_known_is_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ai_keys, "AI_KEYS_KNOWN_MAX", 3)
    store = Asked(lambda: 1e9)
    keys = AiKeys(store, lambda: 1e9)
    shown = [await made(store, number) for number in range(1, 6)]
    for key in shown:
        found = await keys.find(key)
        assert found is not None
        assert keys.take(found, 60) == 0
    assert keys.take(found, 1) > 0, "the last one is known"
    first = await keys.find(shown[0])
    assert first is not None
    assert store.asked == 6
    assert keys.take(first, 60) == 0, "the first one has been forgotten"


async def test_when_keys_were_used_is_written_now_and_then(autojump_clock: MockClock) -> None:
    store = Asked(lambda: 1e9)
    keys, key = AiKeys(store, lambda: 1e9), await made(store)
    found = await keys.find(key)
    assert found is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        keys.take(found, 1)
        store.is_away = True
        await trio.sleep(USED_S + 1)
        assert (await store.of(OWNER))[0].last_used_at is None
        store.is_away = False
        await trio.sleep(USED_S)
        assert (await store.of(OWNER))[0].last_used_at is not None
        nursery.cancel_scope.cancel()

"""Passwords: which may be chosen, how they are kept, and how fast they may be guessed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.accounts.common_passwords import is_common
from atrium_server.accounts.errors import NotAcceptable, TooOften
from atrium_server.accounts.passwords import Cost, Passwords, check_new, normal
from atrium_server.accounts.rates import FORGIVEN_S, Buckets, Guess, Guesses, place_of
from atrium_shared import limits

CHEAP = Cost(1, 8, 1)
GOOD = "seven herons at dusk"


@pytest.mark.parametrize(
    "password",
    ["password", "P4ssw0rd!", "12345678", "qwertyuiop", "dragon2024", "ada_lovelace1",
     "AdaLovelace!!", "aaaaaaaa", "abcabcabc", "iloveyou", "qwer1234", "monkeydragon",
     "87654321", "19841984", "1q2w3e4r", "letmein123", "Summer2025!", "atrium123", "!!!!!!!!!"],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    handle = "ada_lovelace" if "_" in password else "AdaLovelace"
    with pytest.raises(NotAcceptable, match="first that are guessed"):
        check_new(password, handle)


@pytest.mark.parametrize(
    "password",
    [GOOD, "gartenzwerg", "tr0ub4dor&3", "пароль-не-простой", "x" * 4 + "qzvw" + "y" * 100,
     "hedgehog", "8471630295718264", "コレクト馬電池針", "     a b c d     "],
)
def test_there_is_no_demand_for_kinds_of_characters(password: str) -> None:
    check_new(password, "Ada")


@pytest.mark.parametrize("password", ["", "seven h", "x7" * 64 + "y", "\u0301" * 7])
def test_length_is_what_counts(password: str) -> None:
    with pytest.raises(NotAcceptable, match="8 to 128"):
        check_new(password, "Ada")


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_taken_or_refused(password: str) -> None:
    is_common(password, "Ada")
    assert normal(normal(password)) == normal(password)
    normal(password).encode()
    with suppress(NotAcceptable):
        check_new(password, "Ada")


async def test_a_password_matches_its_hash_alone() -> None:
    passwords = Passwords(CHEAP)
    kept = await passwords.hash(GOOD)
    assert kept.startswith("$argon2id$")
    assert GOOD not in kept
    assert await passwords.hash(GOOD) != kept, "salted"
    assert await passwords.matches(kept, GOOD)
    assert not await passwords.matches(kept, GOOD + " ")
    assert await passwords.matches(await passwords.hash("Zo\u00eb's keys"), "Zoe\u0308's keys")
    for nothing in (None, "", "no hash at all"):
        assert not await passwords.matches(nothing, GOOD)


async def test_a_hash_of_other_parameters_is_outdated_and_still_matches() -> None:
    old, new = Passwords(CHEAP), Passwords(Cost(2, 8, 1))
    kept = await old.hash(GOOD)
    assert new.is_outdated(kept)
    assert not old.is_outdated(kept)
    assert await new.matches(kept, GOOD)


def test_the_cost_is_that_of_the_rfc() -> None:
    cost = Cost()
    assert (cost.passes, cost.memory_kib) == (3, 64 * 1024)


async def test_an_unknown_handle_costs_as_much(monkeypatch) -> None:
    passwords = Passwords(CHEAP)
    await passwords.prepare()
    kept = await passwords.hash(GOOD)
    verified: list[str] = []
    verify = passwords._verify  # type: ignore[attr-defined]

    def counting(password_hash: str, password: str) -> bool:
        verified.append(password_hash)
        return verify(password_hash, password)

    monkeypatch.setattr(passwords, "_verify", counting)
    for password_hash in (kept, None, ""):
        await passwords.matches(password_hash, "wrong")
    assert len(verified) == 3
    assert {each.rsplit("$", 2)[0] for each in verified} == {kept.rsplit("$", 2)[0]}


async def test_few_are_computed_at_once_and_few_wait(monkeypatch) -> None:
    passwords = Passwords(CHEAP, at_once=1)
    running = most = 0
    gate = trio.Event()

    async def held_up(work: object, limiter: trio.CapacityLimiter) -> object:
        nonlocal running, most
        async with limiter:
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return work()  # type: ignore[operator]

    monkeypatch.setattr(trio.to_thread, "run_sync", held_up)
    async with trio.open_nursery() as nursery:
        for _ in range(limits.PASSWORDS_WAITING_MAX + 1):
            nursery.start_soon(passwords.hash, GOOD)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TooOften) as caught:
            await passwords.hash(GOOD)
        assert caught.value.retry_s > 0
        gate.set()
    assert most == 1


# --- rates -------------------------------------------------------------------------------


def wait_s(guesses: Guesses, guess: Guess, now_s: float) -> float:
    try:
        guesses.begin(guess, now_s)
    except TooOften as error:
        return error.retry_s
    return 0.0


def test_waits_double_up_to_a_most() -> None:
    guesses, guess, now_s = Guesses(), Guess("ada", "192.0.2.7", True), 0.0
    waits: list[float] = []
    for _ in range(limits.PASSWORD_GUESSES_FREE_MAX + 14):
        left_s = wait_s(guesses, guess, now_s)
        waits.append(left_s)
        now_s += left_s
        if left_s:
            assert wait_s(guesses, guess, now_s - 0.01) > 0, "not even a little early"
            assert wait_s(guesses, guess, now_s) == 0
    free = limits.PASSWORD_GUESSES_FREE_MAX
    assert waits[:free] == [0.0] * free
    assert waits[free:free + 4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == limits.PASSWORD_WAIT_S_MAX
    assert wait_s(guesses, guess, now_s + FORGIVEN_S + 1) == 0


def test_a_right_one_forgives() -> None:
    guesses, guess = Guesses(), Guess("ada", "192.0.2.7", False)
    for _ in range(10 * limits.PASSWORD_STRANGERS_BURST_MAX):
        assert wait_s(guesses, guess, 0.0) == 0
        guesses.was_right(guess, 0.0)
    assert len(guesses) == 0


def test_nobody_can_lock_the_owner_out() -> None:
    """However many addresses guess, who signed in from somewhere before still can."""
    guesses = Guesses()
    refused = [
        number for number in range(3 * limits.PASSWORD_STRANGERS_BURST_MAX)
        if wait_s(guesses, Guess("ada", f"198.51.100.{number}", False), float(number))
    ]
    assert len(refused) > limits.PASSWORD_STRANGERS_BURST_MAX, "strangers are slowed down together"
    assert wait_s(guesses, Guess("ada", "192.0.2.7", True), 300.0) == 0
    assert wait_s(guesses, Guess("grace", "198.51.100.1", False), 300.0) == 0


def test_guesses_that_were_not_checked_do_not_count() -> None:
    guesses, guess = Guesses(), Guess("ada", "192.0.2.7", False)
    for _ in range(1_000):
        assert wait_s(guesses, guess, 0.0) == 0
        guesses.was_not_checked(guess, 0.0)
    assert len(guesses) == 0


def test_memory_is_bounded() -> None:
    buckets, guesses = Buckets(1.0, 2.0, kept_max=10), Guesses(kept_max=10)
    for number in range(1_000):
        assert buckets.take(str(number), float(number)) == 0
        guesses.begin(Guess(str(number), "", True), float(number))
    assert len(buckets) == len(guesses) == 10


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_a_bucket_grants_no_more_than_its_rate(times: list[float]) -> None:
    buckets = Buckets(2.0, 5.0)
    granted = sum(buckets.take("key", now_s) == 0 for now_s in sorted(times))
    assert granted <= 5 + 2.0 * (max(times) - min(times)) + 1e-6
    assert 0 < buckets.take("key", max(times)) <= 0.5 or granted < len(times) + 1


@pytest.mark.parametrize(
    ("address", "place"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
     ("::ffff:192.0.2.7", "192.0.2.7"), ("", ""), ("via proxy", ""), ("192.0.2.7:80", "")],
)
def test_a_place_is_an_address_or_a_64th(address: str, place: str) -> None:
    assert place_of(address) == place

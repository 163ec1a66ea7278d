"""Which servers may be loaded, and what scenarios make of messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from atrium_loadtest import runner
from atrium_loadtest.fleet import ACTIVE, AWAY, LOST, make_fleet
from atrium_loadtest.runner import RunError, target_of
from atrium_loadtest.scenarios import Chat, make_scenario
from atrium_loadtest.server_process import atrium_command, pinned
from atrium_shared import messages
from atrium_shared.messages import ChatChannel, ChatState


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://localhost:81/", ("127.0.0.1", 81)),
        ("ws://127.0.0.2:9", ("127.0.0.2", 9)),
        ("http://127.0.0.1", ("127.0.0.1", 80)),
    ],
)
def test_loopback_is_accepted(url: str, address: tuple[str, int]) -> None:
    assert target_of(url, allow_remote=False).address == address


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:8080", "http://example.invalid", "http://127.0.0.1.example.invalid"]
)
def test_others_are_refused_before_a_name_is_even_looked_up(url: str) -> None:
    with pytest.raises(RunError, match="--allow-remote"):
        target_of(url, allow_remote=False)


def test_another_machine_is_accepted_when_asked_for() -> None:
    assert target_of("http://192.0.2.7:8080", allow_remote=True).address == ("192.0.2.7", 8080)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RunError, match="like http"):
        target_of(url, allow_remote=True)


def test_chat_latency_is_counted_at_the_author_and_at_others() -> None:
    chat = Chat(seed=1)
    chat._said_ns[4, 17] = 1_000_000_000

    def status(request: int, state: ChatState) -> messages.ChatStatus:
        return messages.ChatStatus(request, state, 0, "")

    def line(text: str) -> messages.ChatPublished:
        return messages.ChatPublished(1, ChatChannel.WORLD, 2, "", text, 0)

    chat.heard(4, status(17, ChatState.PENDING), 1_005_000_000)
    chat.heard(4, status(17, ChatState.PUBLISHED), 1_020_000_000)
    chat.heard(0, line("4 17 hello"), 1_030_000_000)
    chat.heard(4, line("4 17 hello"), 1_030_000_000)
    chat.heard(0, line("4 99 hello"), 1_030_000_000)
    chat.heard(0, line("hello from a stranger"), 1_030_000_000)
    chat.heard(4, status(18, ChatState.REJECTED), 1_030_000_000)
    chat.heard(4, messages.Result(19, 2, "slower", 500), 1_030_000_000)
    summary = chat.summary()
    assert summary["published_ms_p50"] == 20.0
    assert summary["delivered_ms_p99"] == 30.0
    assert (summary["published"], summary["refused"]) == (1, 2)
    assert summary["delivered_to_probes"] == 1


def test_walking_has_no_figures_of_its_own() -> None:
    assert make_scenario("plaza", 1).summary() == {}


def test_only_bots_that_were_never_answered_are_still_joining() -> None:
    fleet = make_fleet(5, 16)
    fleet.bots["state"] = np.array([ACTIVE, AWAY, LOST, AWAY, LOST])
    welcomed = [True, True, True, False, False]
    welcomes = [object() if was_in else None for was_in in welcomed]
    crowd = SimpleNamespace(fleet=fleet, welcomes=welcomes)
    assert runner._unanswered(crowd) == 1  # type: ignore[arg-type]


def test_the_busy_thread_is_all_that_its_option_changes() -> None:
    plain = atrium_command(Path("plaza.toml"), Path("sends.trace"))
    busy = atrium_command(Path("plaza.toml"), Path("sends.trace"), busy_thread=True)
    assert plain[:3] == [sys.executable, "-m", "atrium_server"]
    assert busy[:2] == [sys.executable, "-c"]
    assert "threading.Thread(target=spin, daemon=True).start()" in busy[2]
    assert busy[3:] == plain[3:]
    assert plain[3:] == [
        "serve", "--ephemeral", "--host", "127.0.0.1", "--port", "0", "--world", "plaza.toml",
        "--send-trace", "sends.trace",
    ]


def test_a_server_beside_a_busy_thread_reads_its_arguments_as_another_does() -> None:
    def version(command: list[str]) -> str:
        done = subprocess.run(
            [*command[:3], "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    busy = version(atrium_command(Path("x"), None, busy_thread=True))
    assert busy.strip()
    assert busy == version(atrium_command(Path("x"), None))


def _fail_on(cpu: int) -> None:
    with pinned(cpu):
        assert os.sched_getaffinity(0) == {cpu}
        raise RunError("something else")


def test_who_was_pinned_is_free_again() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(RunError, match="something else"):
        _fail_on(min(before))
    assert os.sched_getaffinity(0) == before
    with pinned(None):
        assert os.sched_getaffinity(0) == before

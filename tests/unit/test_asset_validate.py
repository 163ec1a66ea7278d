"""The process that checks a file: what it can reach, and that it ends, whatever is in the file.

The processes are real; the clock is not, so what must take long takes no time.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from atrium_server.assets import validate
from atrium_server.assets.validate import Validator
from atrium_server.assets.verdict import Verdict
from atrium_shared.errors import Overload
from atrium_shared.limits import ASSET_ANSWER_BYTES_MAX, ASSET_CHECKS_MAX, ASSET_CHECKS_WAITING_MAX

sys.path.insert(0, str(Path(__file__).parent))
import asset_samples as samples

SPIN = "import os; os.write(1, b'x'); os.close(1)\nwhile True: pass"
PROBE = """
import json, os, signal, socket, sys
from atrium_server.assets import worker
worker._give_up_rights()
worker._give_up_files()
done = []
def attempt(name, what):
    try:
        what()
        done.append(name)
    except (OSError, ValueError, MemoryError):
        pass
attempt("open a file", lambda: os.open(sys.executable, os.O_RDONLY))
attempt("write a file", lambda: os.open("left", os.O_WRONLY | os.O_CREAT))
attempt("make a socket", lambda: socket.socket())
attempt("make a pipe", lambda: os.pipe())
attempt("fork", lambda: os.fork() or os._exit(0))
attempt("take much memory", lambda: bytearray(2_000_000_000))
attempt("raise a limit", lambda: __import__("resource").setrlimit(7, (100, 100)))
os.close(2)
attempt("open a file in the place of another", lambda: os.open(sys.executable, os.O_RDONLY))
attempt("make a socket in the place of another", lambda: socket.socket())
attempt("copy a descriptor", lambda: os.dup(0))
if os.geteuid() == 0:
    done.append("be root")
secrets = sorted(set(os.environ) - {"LC_ALL", "OPENBLAS_NUM_THREADS", "NUMBA_CACHE_DIR"})
held = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")]
told = json.dumps([done, secrets, held, os.getcwd(), os.getsid(0) == os.getpid()])
os.write(1, json.dumps({"refusal": told}).encode())
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[trio.Process]:
    """The processes that were started."""
    processes: list[trio.Process] = []
    opened = trio.lowlevel.open_process

    async def open_process(*arguments: object, **options: object) -> trio.Process:
        process = await opened(*arguments, **options)  # type: ignore[arg-type]
        processes.append(process)
        return process

    monkeypatch.setattr(trio.lowlevel, "open_process", open_process)
    return processes


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-B", "-c", program]


def written(folder: Path, data: bytes) -> Path:
    path = folder / "asset"
    path.write_bytes(data)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, samples.png())


@asynccontextmanager
async def checking(validator: Validator, file: Path) -> AsyncGenerator[list[Verdict]]:
    """Check in the background; the verdict is in the list at the end of the block."""
    verdicts: list[Verdict] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def check() -> None:
            verdicts.append(await validator.check(file))

        yield verdicts


@pytest.mark.parametrize("media_type", samples.SAMPLES)
async def test_a_file_is_checked_in_a_process(tmp_path: Path, media_type: str) -> None:
    data = samples.SAMPLES[media_type]()
    path = written(tmp_path, data)
    folder = tmp_path / "empty"
    folder.mkdir()
    verdict = await Validator(folder).check(path)
    assert verdict.facts is not None, verdict
    assert (verdict.facts.media_type, verdict.facts.size_bytes) == (media_type, len(data))
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize(
    ("data", "words", "is_of_wrong_type"),
    [(samples.png_bomb(), "Make it smaller", False), (b"<script>", "a web page", True)],
)
async def test_what_is_unfit_is_refused_for_certain(
    tmp_path: Path, data: bytes, words: str, is_of_wrong_type: bool
) -> None:
    verdict = await Validator(tmp_path).check(written(tmp_path, data))
    assert words in verdict.refusal
    assert verdict.is_certain
    assert verdict.is_of_wrong_type == is_of_wrong_type


async def test_the_process_can_do_next_to_nothing(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    verdict = await Validator(folder, python(PROBE)).check(file)
    done, secrets, held, where, is_leader = json.loads(verdict.refusal)
    assert done == []
    assert secrets == []
    assert held == []
    assert where == str(folder)
    assert is_leader
    assert [*folder.iterdir()] == []


async def test_a_check_that_takes_too_long_is_killed(
    file: Path, started: list[trio.Process], mock_clock: trio.testing.MockClock
) -> None:
    async with checking(Validator(file.parent, python(SPIN)), file) as verdicts:
        while not started:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(100.0)
    assert "takes too long" in verdicts[0].refusal
    assert not verdicts[0].is_certain
    assert started[0].returncode == -9


async def test_a_check_that_nobody_waits_for_is_killed(
    file: Path, started: list[trio.Process]
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Validator(file.parent, python(SPIN)).check, file)
        while not started:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert started[0].returncode == -9


async def test_a_file_that_needs_too_much_memory_is_refused(file: Path) -> None:
    """The bound is on the whole process, so it holds for what C code takes, too."""
    program = (
        "from atrium_server.assets import worker\n"
        "worker.check = lambda *file: bytearray(2_000_000_000)\n"
        "worker.main()"
    )
    verdict = await Validator(file.parent, python(program)).check(file)
    assert "too much memory" in verdict.refusal
    assert not verdict.is_certain


async def test_a_check_that_computes_for_ever_ends_by_itself(
    file: Path, started: list[trio.Process]
) -> None:
    """Should the server have died, nobody else would end it."""
    program = (
        "import resource\n"
        "from atrium_server.assets import worker\n"
        "worker.ASSET_CHECK_CPU_S_MAX = 1\n"
        "worker._give_up_rights()\n"
        "while True: pass"
    )
    verdict = await Validator(file.parent, python(program)).check(file)
    assert "could not be checked" in verdict.refusal
    assert started[0].returncode == -9


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.kill(os.getpid(), 11)",
        "raise SystemExit(1)",
        "",
        "import os; os.write(1, b'{}')",
        "import os; os.write(1, b'not json')",
        "import os; os.write(1, b'{\"facts\": 5}')",
        "import os; os.write(1, b'{\"facts\": {\"media_type\": \"text/html\","
        "\"size_bytes\": 5}}')",
        f"import os\nwhile True: os.write(1, b'a' * {ASSET_ANSWER_BYTES_MAX})",
    ],
)
async def test_a_process_that_dies_or_talks_nonsense_refuses_its_file(
    file: Path, program: str, started: list[trio.Process]
) -> None:
    verdict = await Validator(file.parent, python(program)).check(file)
    assert verdict.facts is None
    assert "could not be checked" in verdict.refusal
    assert not verdict.is_certain
    assert started[0].returncode is not None


async def test_a_bug_in_a_check_is_logged_and_refuses_the_file(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = json.dumps({"refusal": "A sentence.", "bug": "KeyError at place:5", "is_certain": True})
    program = f"import os; os.write(1, {told.encode()!r})"
    verdict = await Validator(file.parent, python(program)).check(file)
    assert verdict.refusal == "A sentence."
    assert not verdict.is_certain, "the next version may know better"
    assert "KeyError at place:5" in caplog.text


async def test_a_program_that_is_not_there_is_an_overload(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Overload, match="cannot be checked now"):
        await Validator(file.parent, ["/nowhere/python"]).check(file)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_few_run_and_few_wait(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0
    go_on = trio.Event()

    async def run(self: Validator, fd: int, with_pictures: bool) -> Verdict:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        return Verdict(refusal="A sentence.")

    monkeypatch.setattr(Validator, "_run", run)
    validator = Validator(file.parent)
    before = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        for _ in range(ASSET_CHECKS_MAX + ASSET_CHECKS_WAITING_MAX):
            nursery.start_soon(validator.check, file)
        await trio.testing.wait_all_tasks_blocked()
        assert (running, validator.waiting) == (ASSET_CHECKS_MAX, ASSET_CHECKS_WAITING_MAX)
        with pytest.raises(Overload, match="try again soon"):
            await validator.check(file)
        go_on.set()
    assert most == ASSET_CHECKS_MAX
    assert len(os.listdir("/proc/self/fd")) == before


def test_mutated_sounds_end_in_a_verdict(tmp_path: Path) -> None:
    """Their decoder is C code: whatever it does, there is an answer or the process has ended."""
    chance = random.Random(7)
    path = tmp_path / "asset"
    for make in (samples.ogg, samples.opus, samples.mp3) * 4:
        data = bytearray(make())
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        with path.open("rb") as file:
            done = subprocess.run(
                validate.COMMAND, stdin=file, capture_output=True, timeout=60, check=False,
                env={"NUMBA_CACHE_DIR": str(tmp_path)}, cwd=tmp_path,
            )
        if done.returncode == 0:
            verdict = json.loads(done.stdout)
            assert "bug" not in verdict, verdict
            assert verdict.get("facts") or verdict["refusal"]

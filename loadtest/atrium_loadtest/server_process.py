"""The server under test as a process of its own: started, pinned, awaited, stopped.

A server says `ready http://HOST:PORT` on standard output. Everything else it prints is kept (the
last lines) so that a failed start explains itself. It is stopped with SIGTERM and must then leave
with status 0: an unclean end makes the run invalid.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import Final

READY_S_MAX: Final = 120.0
"""From start to `ready`; the very first start compiles kernels."""
STOP_S_MAX: Final = 20.0
_LINES_KEPT: Final = 40
_READY: Final = "ready "


class ServerError(RuntimeError):
    """The server did not start or did not stop as it should."""


class ServerProcess:
    """A child that serves. Use as a context manager: leaving it stops the child."""

    def __init__(
        self, command: list[str], pinned_cpu: int | None = None, stdin: int | None = None
    ) -> None:
        self.command = command
        self.url = ""
        self.exit_status: int | None = None
        self._pinned_cpu = pinned_cpu
        self._stdin = stdin
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, name="server output", daemon=True)

    def __enter__(self) -> ServerProcess:
        self._process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=environment(), stdin=self._stdin,
        )
        if self._pinned_cpu is not None:
            os.sched_setaffinity(self._process.pid, {self._pinned_cpu})
        self._reader.start()
        if not self._ready.wait(READY_S_MAX) or not self.url:
            self.stop()
            raise ServerError(
                f"the server did not say that it is ready ({' '.join(self.command)});"
                f" its last words were:\n{self.last_words}"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last lines that the child printed."""
        return "\n".join(self._lines)

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit status (negative: killed by that signal)."""
        process = self._process
        assert process is not None
        if self.exit_status is None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                self.exit_status = process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                self.exit_status = process.wait()
            self._reader.join(timeout=1.0)  # the pipe may outlive the child in a child of its own
        return self.exit_status

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line.rstrip())
                if line.startswith(_READY) and not self.url:
                    self.url = line.removeprefix(_READY).strip()
                    self._ready.set()
        self._ready.set()


_WITH_BUSY_THREAD = """
import sys, threading
def spin():
    n = 0
    while True:
        n = (n * 31 + 7) % 1000003
threading.Thread(target=spin, daemon=True).start()
from atrium_server.__main__ import main
sys.exit(main())
"""
"""A server whose interpreter also runs busy pure Python, as a careless extension would."""


def atrium_command(
    world: Path, trace: Path | None, busy_thread: bool = False, data_dir: Path | None = None
) -> list[str]:
    """How to start Atrium for a run: a free port of loopback and one world.

    With `data_dir` it has a database there; without, everything is in memory.
    """
    program = ["-c", _WITH_BUSY_THREAD] if busy_thread else ["-m", "atrium_server"]
    lasting = ["--ephemeral"] if data_dir is None else ["--data-dir", str(data_dir)]
    command = [
        sys.executable, *program, "serve", *lasting, "--host", "127.0.0.1", "--port", "0",
        "--world", str(world),
    ]
    return command if trace is None else [*command, "--send-trace", str(trace)]


@contextlib.contextmanager
def pinned(cpu: int | None) -> Generator[None]:
    """Keep this thread, and what it starts, on one CPU for a while; None leaves it free.

    Given back at the end: a server that is started later must not inherit the generator's CPU.
    """
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def default_pins() -> tuple[int | None, int | None]:
    """(server, generator): the first two CPUs that we may use, or none when there is but one."""
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[1]) if len(cpus) >= 2 else (None, None)


def environment() -> dict[str, str]:
    """Ours, with our module paths made absolute: what we can import, the server can import."""
    paths = [str(Path(path).resolve()) for path in sys.path if path and Path(path).is_dir()]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}

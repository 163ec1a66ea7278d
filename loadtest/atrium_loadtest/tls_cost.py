"""What TLS costs the server, per client: the same crowd with and without it.

Theory of operation
-------------------
::

    load test ─► tunnel (a process of its own) ─► server, plain or TLS

The generator's kernels speak plain TCP, and its health is known. So it is left as it is, and a
tunnel beside it speaks what the server speaks; both are pinned to the second CPU and the server has
the first. In the steady state of each run the CPU time of the server's process is read twice, and
beside it how many snapshots it sent (so that one sees that the work was the same) and how much of
the machine was stolen. Plain and TLS take turns, and the median of the rounds is told.

    python -m atrium_loadtest.tls_cost --clients 200 --clients 500
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import App, Parameter

from atrium_loadtest.runner import WORLDS
from atrium_loadtest.server_process import (
    ServerProcess,
    atrium_command,
    default_pins,
    environment,
)

SETTLE_S: Final = 5.0
JOINED_S_MAX: Final = 90.0
PIECE_BYTES: Final = 65_536
SEND_S_MAX: Final = 10.0

app = App(help=__doc__, help_format="plaintext")


@dataclass(frozen=True)
class Cost:
    """One run."""

    cpu_ms_per_client_s: float
    snapshots_per_client_s: float
    steal_ratio: float


@app.default
def main(
    *,
    clients: Annotated[list[int] | None, Parameter(help="Sizes of the crowd.")] = None,
    rounds: Annotated[int, Parameter(help="Runs of each kind.")] = 3,
    seconds: Annotated[float, Parameter(help="Length of what is measured.")] = 15.0,
) -> None:
    """Measure and print a table in Markdown."""
    print("| clients | | server's CPU, ms per client and s | snapshots per client and s | steal |")
    print("|---|---|---|---|---|")
    for n in clients or [200, 500]:
        costs: dict[bool, list[Cost]] = {False: [], True: []}
        for _ in range(rounds):
            for is_tls in (False, True):
                costs[is_tls].append(_run(n, seconds, is_tls))
        for is_tls, found in costs.items():
            cpu = sorted(cost.cpu_ms_per_client_s for cost in found)
            print(
                f"| {n} | {'TLS' if is_tls else 'plain'} | {statistics.median(cpu):.3f}"
                f" ({cpu[0]:.3f} to {cpu[-1]:.3f})"
                f" | {statistics.median(cost.snapshots_per_client_s for cost in found):.2f}"
                f" | {max(cost.steal_ratio for cost in found):.1%} |", flush=True,
            )


def _run(clients: int, seconds: float, is_tls: bool) -> Cost:
    first, second = default_pins()
    command = atrium_command(WORLDS / "plaza_bench.toml", None)
    if is_tls:
        command.append("--tls-self-signed")
    with ServerProcess(command, first) as server:
        port = int(server.url.rpartition(":")[2])
        tunnel = [sys.executable, "-m", __spec__.name, "tunnel", str(port)]
        with _child([*tunnel, *(["--tls"] if is_tls else [])], second) as pipe:
            assert pipe.stdout is not None
            url = f"http://127.0.0.1:{int(pipe.stdout.readline())}"
            length = str(SETTLE_S + seconds + 5.0)
            crowd = [
                sys.executable, "-m", "atrium_server", "loadtest", "plaza", "--url", url,
                "--clients", str(clients), "--seconds", length, "--joins-per-s", "100",
            ]
            with _child(crowd, second):
                _wait_for(server.url, clients)
                time.sleep(SETTLE_S)
                return _measured(server, clients, seconds)


def _measured(server: ServerProcess, clients: int, seconds: float) -> Cost:
    before = _sample(server)
    time.sleep(seconds)
    passed_s, cpu_s, snapshots, host, steal = (
        b - a for a, b in zip(before, _sample(server), strict=True)
    )
    return Cost(1000 * cpu_s / clients / passed_s, snapshots / clients / passed_s, steal / host)


def _sample(server: ServerProcess) -> tuple[float, float, float, float, float]:
    """Time, CPU seconds of the server, its snapshots, ticks of the machine and stolen ones."""
    snapshots = _metric(server.url, r"atrium_snapshots_total(?:\{[^}]*\})?")
    with open(f"/proc/{server.pid}/stat", "rb") as file:
        words = file.read().rpartition(b")")[2].split()
    with open("/proc/stat", "rb") as file:
        cpu = [int(word) for word in file.readline().split()[1:9]]
    spent = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), spent, snapshots, sum(cpu), cpu[7]


def _metric(url: str, pattern: str) -> float:
    """The sum of a metric, from the server itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"{url}/metrics", timeout=SEND_S_MAX, context=context) as answer:
        text = answer.read().decode()
    return sum(float(found) for found in re.findall(rf"(?m)^{pattern} (\S+)$", text))


def _wait_for(url: str, clients: int) -> None:
    ends_at = time.monotonic() + JOINED_S_MAX
    while _metric(url, r'atrium_sessions\{[^}]*state="active"[^}]*\}') < clients:
        if time.monotonic() > ends_at:
            raise SystemExit("the crowd did not come in; look at `atrium loadtest` by itself")
        time.sleep(0.5)


@contextlib.contextmanager
def _child(command: list[str], cpu: int | None) -> Generator[subprocess.Popen[str]]:
    """A process beside the server, ended with the block."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        try:
            yield process
        finally:
            process.kill()


@app.command
def tunnel(port: int, *, tls: bool = False) -> None:
    """Listen on a free port, print it, and pass on what comes to `port` of this machine."""
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                _join_ends(selector, listener.accept()[0], port, context)
            elif not _pass_on(key.fileobj, key.data):  # type: ignore[arg-type]
                for end in (key.fileobj, key.data):
                    with contextlib.suppress(KeyError, ValueError):
                        selector.unregister(end)
                    end.close()  # type: ignore[union-attr]


def _join_ends(
    selector: selectors.BaseSelector, near: socket.socket, port: int,
    context: ssl.SSLContext | None,
) -> None:
    far = socket.create_connection(("127.0.0.1", port), timeout=SEND_S_MAX)
    if context is not None:
        far = context.wrap_socket(far)
    for one, other in ((near, far), (far, near)):
        one.settimeout(SEND_S_MAX)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one, selectors.EVENT_READ, other)


def _pass_on(source: socket.socket, target: socket.socket) -> bool:
    """Whether both ends are still there."""
    try:
        data = source.recv(PIECE_BYTES)
        while data and isinstance(source, ssl.SSLSocket) and source.pending():
            data += source.recv(PIECE_BYTES)
        target.sendall(data)
    except OSError:
        return False
    return bool(data)


if __name__ == "__main__":
    app()

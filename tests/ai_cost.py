"""What asking the models over HTTP costs, beside asking the same server whether it is alive.

    python tests/ai_cost.py [--requests 400] [--threads 4]

A server with a database and the built-in models is started; a key is made as an operator makes one.
Requests are sent one after the other, and then from a few threads at once, each on a connection
that is kept. Told are milliseconds at the median and the 95th percentile, requests and texts a
second; the answer of /healthz is the floor, which no request can be faster than.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from atrium_loadtest.runner import WORLDS, target_of
from atrium_loadtest.server_process import ServerProcess, atrium_command, environment
from atrium_loadtest.yard import data_folder
from atrium_server.training import generated

Ask = Callable[[http.client.HTTPConnection, int], None]


def command(*arguments: str, line: str = "") -> str:
    """What `atrium ARGUMENTS` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "atrium_server", *arguments], input=line, text=True, check=True,
        capture_output=True, env=environment(),
    )
    return done.stdout.strip()


def asking(path: str, key: str, texts: int) -> Ask:
    """Sends one request with so many texts, different ones each time."""
    lines = generated.lines("benign", 4_000, 1)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def ask(connection: http.client.HTTPConnection, number: int) -> None:
        chosen = [f"{lines[(number * texts + k) % len(lines)]} {number}" for k in range(texts)]
        body = json.dumps({"texts": chosen, "deadline_ms": 10_000})
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told

    return ask


def alive(connection: http.client.HTTPConnection, number: int) -> None:
    """The floor."""
    connection.request("GET", "/healthz")
    connection.getresponse().read()


def measured(address: tuple[str, int], ask: Ask, requests: int, threads: int) -> list[float]:
    """Milliseconds of each request, and (first) how long all took, in seconds."""
    took: list[float] = []
    began = time.perf_counter()

    def run(own: int) -> None:
        connection = http.client.HTTPConnection(*address)
        for number in range(own, requests, threads):
            start = time.perf_counter()
            ask(connection, number)
            took.append(1_000 * (time.perf_counter() - start))
            if number % 900 == 899:  # a connection serves a thousand requests
                connection.close()
        connection.close()

    workers = [threading.Thread(target=run, args=(own,)) for own in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [time.perf_counter() - began, *took]


def main(requests: int, threads: int) -> None:
    """Measure and print."""
    with data_folder() as folder:
        place = ["--data-dir", str(folder)]
        serve = atrium_command(WORLDS / "plaza_bench.toml", None, data_dir=folder)
        with ServerProcess([*serve, "--brain", "on", "--device", "cpu"]) as server:
            command("account", "create", "ada", *place, line="seven herons at dusk\n")
            key = command(
                "account", "key", "create", "ada", "bench", "--per-minute", "1000000",
                "--per-day", "10000000", *place,
            )
            address = target_of(server.url, allow_remote=False).address
            cases = [("/healthz", 0, alive)] + [
                (path, texts, asking(path, key, texts))
                for path in ("/api/ai/moderate", "/api/ai/emotion") for texts in (1, 64)
            ]
            for path, texts, ask in cases:
                measured(address, ask, 50, 1)
                for many in (1, threads):
                    whole_s, *took = measured(address, ask, requests, many)
                    p50, p95 = np.percentile(took, [50, 95])
                    print(f"{path:<18} {texts:>3} texts, {many} at once: p50 {p50:6.2f}  p95"
                          f" {p95:6.2f} ms  {requests / whole_s:7,.0f} requests/s"
                          f" {texts * requests / whole_s:9,.0f} texts/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.requests, arguments.threads)

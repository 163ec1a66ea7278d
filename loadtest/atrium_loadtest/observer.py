"""Watches the server and the machine while the crowd walks: CPU, memory, steal, metrics.

Theory of operation
-------------------
A thread of its own takes a sample about once a second, so that a slow answer of /metrics never
delays the crowd. `mark` asks for a sample now: the runner marks both ends of the window and the
figures are differences between the samples at those ends. The server's own process is read
through /proc when it is a child of ours, and through its metrics otherwise. Steal (time in which
the hypervisor ran somebody else) comes from /proc/stat: with more than 2 % of it no figure holds.
"""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from atrium_loadtest.evidence import Sample
from atrium_loadtest.metrics import TEXT_BYTES_MAX, Samples, parse_prometheus, total

PERIOD_S: Final = 1.0
_HTTP_S_MAX: Final = 3.0


def parse_host_cpu(text: str) -> tuple[int, int]:
    """(all jiffies, stolen jiffies) of the first line of /proc/stat."""
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1:9]]
    return sum(fields), fields[7] if len(fields) > 7 else 0


def parse_process_cpu(text: str, ticks_per_s: int) -> float:
    """Seconds in user and system mode, of /proc/PID/stat (whose second field may hold spaces)."""
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_s


def parse_delay(text: str) -> float:
    """Seconds of waiting for a CPU, of /proc/PID/schedstat: its second field, in ns."""
    return int(text.split()[1]) / 1e9


def parse_rss(text: str) -> int | None:
    """Resident bytes, of /proc/PID/status."""
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


class Observer:
    """Samples of one run. Start it with `start`, and `stop` it."""

    def __init__(
        self, metrics_url: str | None, pid: int | None, received_bytes: Callable[[], int]
    ) -> None:
        self.samples: list[Sample] = []
        self._received_bytes = received_bytes
        self._metrics_url = metrics_url
        self._pid = pid
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def mark(self) -> None:
        """Take a sample as soon as possible."""
        self._wake.set()

    def stop(self) -> None:
        """No more samples."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=2 * _HTTP_S_MAX)

    def between(self, start_s: float, end_s: float) -> list[Sample]:
        """The samples taken from `start_s` to `end_s`, in order."""
        return [sample for sample in list(self.samples) if start_s <= sample.at_s <= end_s]

    def _run(self) -> None:
        while not self._stopping:
            self.samples.append(self._sample())
            self._wake.wait(PERIOD_S)
            self._wake.clear()

    def _sample(self) -> Sample:
        at_s = time.monotonic()
        cpu_s, rss = self._of_child()
        host_ticks, steal_ticks = parse_host_cpu(_read("/proc/stat") or "cpu 0 0 0 0 0 0 0 0")
        generator_cpu_s = time.process_time()
        generator_delayed_s = _delay("self")
        delayed_s = None if self._pid is None else _delay(str(self._pid))
        received_bytes = self._received_bytes()
        metrics = self._scrape()
        if self._pid is None:
            cpu_s = total(metrics, "process_cpu_seconds_total")
            resident = total(metrics, "process_resident_memory_bytes")
            rss = None if resident is None else int(resident)
        return Sample(
            at_s, generator_cpu_s, generator_delayed_s or 0.0, cpu_s, delayed_s, rss,
            host_ticks, steal_ticks, received_bytes, metrics,
        )

    def _of_child(self) -> tuple[float | None, int | None]:
        if self._pid is None:
            return None, None
        stat, status = _read(f"/proc/{self._pid}/stat"), _read(f"/proc/{self._pid}/status")
        if not stat or not status:
            return None, None
        return parse_process_cpu(stat, os.sysconf("SC_CLK_TCK")), parse_rss(status)

    def _scrape(self) -> Samples:
        if self._metrics_url is None:
            return {}
        try:
            with urllib.request.urlopen(self._metrics_url, timeout=_HTTP_S_MAX) as answer:
                return parse_prometheus(answer.read(TEXT_BYTES_MAX).decode())
        except (OSError, ValueError):
            return {}


def _delay(process: str) -> float | None:
    """None where the kernel keeps no such figure."""
    text = _read(f"/proc/{process}/schedstat")
    return parse_delay(text) if text else None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None

"""Who had the machine: the server, its database, the generator, and others that should not have.

Theory of operation
-------------------
`look` reads, at one moment, the CPU time of three groups of processes (the server; all that
descend from it, which is its private Postgres; ourselves) and of the whole machine. The difference
of two looks says what each group had, what the hypervisor gave to others (*steal*), and what is
left: *foreign* load. Threads of the kernel count as foreign; without anybody else they are a few
thousandths of a core.

The server's children inherit the CPU that it is pinned to. `move_children` puts them on another
one: whatever they start later is there as well.
"""

from __future__ import annotations

import contextlib
import os
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atrium_loadtest.metrics import TEXT_BYTES_MAX, Samples, parse_prometheus
from atrium_loadtest.observer import parse_process_cpu

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_IDLE, _IOWAIT, _STEAL, _FIELDS = 3, 4, 7, 8
_HTTP_S_MAX: Final = 10.0


@dataclass(frozen=True)
class Look:
    """CPU seconds up to one moment. Those of processes that ended meanwhile are missing."""

    at_s: float
    """CLOCK_MONOTONIC."""
    server_s: float
    database_s: float
    generator_s: float
    busy_s: float
    """All CPUs, in user and system mode and for interrupts."""
    steal_s: float
    all_s: float
    """All CPUs in all states."""


@dataclass(frozen=True)
class Shares:
    """What everybody had between two looks, in cores; `steal_ratio` is of the whole machine."""

    server: float
    database: float
    generator: float
    foreign: float
    steal_ratio: float


def parse_busy(text: str) -> tuple[float, float, float]:
    """(busy, stolen, all) seconds of all CPUs, of /proc/stat."""
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1 : 1 + _FIELDS]]
    steal = fields[_STEAL] if len(fields) > _STEAL else 0
    everything = sum(fields)
    busy = everything - fields[_IDLE] - fields[_IOWAIT] - steal
    return busy / _TICKS_PER_S, steal / _TICKS_PER_S, everything / _TICKS_PER_S


def parse_parent(text: str) -> int:
    """The parent of a process, of /proc/PID/stat (whose second field may hold spaces)."""
    return int(text.rpartition(")")[2].split()[1])


def descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    """All processes that `pid` has started, and those that they have, in no order."""
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, ()))
    for one in found:  # grows while it is walked
        found.extend(children.get(one, ()))
    return found


def children_of(pid: int) -> list[int]:
    """All processes below `pid` that run now."""
    return descendants(pid, {one: parse_parent(text) for one, text in _stats()})


def move_children(pid: int, cpu: int | None) -> int:
    """Put all that `pid` has started on one CPU; how many processes that are."""
    moved = 0
    for child in children_of(pid) if cpu is not None else ():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(child, {cpu} if cpu is not None else ())
            moved += 1
    return moved


def look(pid: int) -> Look:
    """Now; `pid` is the server."""
    texts = dict(_stats())
    below = descendants(pid, {one: parse_parent(text) for one, text in texts.items()})
    busy_s, steal_s, all_s = parse_busy(Path("/proc/stat").read_text())
    return Look(
        time.monotonic(), _cpu_s([pid], texts), _cpu_s(below, texts),
        _cpu_s([os.getpid()], texts), busy_s, steal_s, all_s,
    )


def shares(before: Look, after: Look) -> Shares:
    """What happened between two looks."""
    passed_s = max(1e-9, after.at_s - before.at_s)

    def cores(name: str) -> float:
        return (getattr(after, name) - getattr(before, name)) / passed_s

    own = [cores(name) for name in ("server_s", "database_s", "generator_s")]
    foreign = max(0.0, cores("busy_s") - sum(own))
    steal = (after.steal_s - before.steal_s) / max(1e-9, after.all_s - before.all_s)
    server, database, generator = (round(one, 4) for one in own)
    return Shares(server, database, generator, round(foreign, 4), round(steal, 5))


def scrape(base_url: str) -> Samples:
    """The server's metrics. Raises OSError or ValueError."""
    with urllib.request.urlopen(f"{base_url}/metrics", timeout=_HTTP_S_MAX) as answer:
        return parse_prometheus(answer.read(TEXT_BYTES_MAX).decode())


def _cpu_s(pids: Iterable[int], texts: Mapping[int, str]) -> float:
    return sum(parse_process_cpu(texts[pid], _TICKS_PER_S) for pid in pids if pid in texts)


def _stats() -> list[tuple[int, str]]:
    """/proc/PID/stat of all processes."""
    found: list[tuple[int, str]] = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                found.append((int(name), Path("/proc", name, "stat").read_text()))
    return found

"""What the process tells of itself: CPU time, memory, and pauses of the garbage collector.

Apart from `telemetry`, because these read clocks and the system, and `telemetry` stays pure. CPU
time and memory are read when somebody looks; only the collector is watched all the time.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from atrium_server.telemetry import GC_PAUSE_SECONDS, Registry


def resident_bytes() -> int:
    """Memory of this process that is in RAM, in bytes.

    Without /proc it is the peak so far, and 0 where the system does not tell that either.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def add_process_metrics(registry: Registry) -> None:
    """CPU time and memory of this process, under the names that Prometheus clients share."""
    registry.counter_read(
        "process_cpu_seconds_total", "User and system CPU time, in seconds.", time.process_time
    )
    registry.gauge_read(
        "process_resident_memory_bytes", "Memory in RAM, in bytes.", resident_bytes
    )


@contextmanager
def observe_gc(registry: Registry) -> Generator[None]:
    """Measure every pause of the garbage collector while the block runs."""
    pauses = [
        registry.histogram(
            GC_PAUSE_SECONDS, "Pauses of the garbage collector.", generation=str(generation)
        )
        for generation in range(len(gc.get_count()))
    ]
    began_s = 0.0

    def on_gc(phase: str, info: dict[str, int]) -> None:
        nonlocal began_s
        if phase == "start":
            began_s = time.perf_counter()
        elif began_s:
            pauses[info["generation"]].observe(time.perf_counter() - began_s)

    gc.callbacks.append(on_gc)
    try:
        yield
    finally:
        gc.callbacks.remove(on_gc)

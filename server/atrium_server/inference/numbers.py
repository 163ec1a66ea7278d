"""What the lane tells its metrics."""

from __future__ import annotations

from typing import Final

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import Status
from atrium_server.inference.worker import Ended
from atrium_server.telemetry import Counter, Histogram, Registry

JOBS_TOTAL: Final = "atrium_lane_jobs_total"
"""Counter {class, outcome}: jobs that ended, and how."""
WAIT_SECONDS: Final = "atrium_lane_wait_seconds"
"""Histogram {class}: from being submitted to running."""
RUN_SECONDS: Final = "atrium_lane_run_seconds"
"""Histogram {class}: time that a batch took, by its most urgent class."""
BATCH_ROWS_TOTAL: Final = "atrium_lane_batch_rows_total"
"""Counter {class}: rows that ran; over atrium_lane_run_seconds_count it is the mean batch."""
FAILURES_TOTAL: Final = "atrium_lane_batch_failures_total"
QUEUE_ROWS: Final = "atrium_lane_queue_rows"
"""Gauge {class}: rows that are under way."""


class LaneNumbers:
    """Counts what every turn of the worker has to tell. In trio's thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._jobs: dict[tuple[WorkClass, Status], Counter] = {}
        self._wait = [self._histogram(WAIT_SECONDS, "Time from being submitted to running.", each)
                      for each in WorkClass]
        self._run = [self._histogram(RUN_SECONDS, "Time that a batch took.", each)
                     for each in WorkClass]
        self._rows = [
            registry.counter(BATCH_ROWS_TOTAL, "Rows that ran.", **{"class": each.label})
            for each in WorkClass
        ]
        self._failures = registry.counter(FAILURES_TOTAL, "Batches that failed.")

    def read(self, lane: Lane) -> None:
        """What is read from the lane when somebody asks."""
        for each in WorkClass:
            self._registry.gauge_read(
                QUEUE_ROWS, "Rows that are under way.",
                lambda each=each: lane.waiting[each], **{"class": each.label},
            )
        self._registry.gauge_read(
            "atrium_lane_up", "1 while models can run.", lambda: float(lane.is_up)
        )
        self._registry.counter_read(
            "atrium_lane_restarts_total", "Threads that were left behind or replaced.",
            lambda: lane.restarts,
        )

    def __call__(self, ended: Ended) -> None:
        """A turn of the worker came to this."""
        for work, outcome in ended.outcomes:
            self._job(work.job.work, outcome.status).add()
            if outcome.is_done:
                self._wait[work.job.work].observe(outcome.waited_s)
        batch = ended.batch
        if batch is None:
            return
        self._run[batch.work].observe(batch.took_s)
        self._rows[batch.work].add(batch.rows)
        if batch.is_failed:
            self._failures.add()

    def _job(self, work: WorkClass, status: Status) -> Counter:
        counter = self._jobs.get((work, status))
        if counter is None:
            counter = self._jobs[work, status] = self._registry.counter(
                JOBS_TOTAL, "Jobs that ended, by how.",
                **{"class": work.label, "outcome": status.value},
            )
        return counter

    def _histogram(self, name: str, help: str, work: WorkClass) -> Histogram:
        return self._registry.histogram(name, help, **{"class": work.label})

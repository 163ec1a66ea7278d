"""What a report is judged by: the last minute of the two whom it concerns, and nothing else.

Lines come from the history that a world keeps anyway: what the two said to all or to those nearby,
and what they said to each other. Where people stood is noted once a second for all, and forgotten
after a minute; of that, a report takes the ways of the two.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.world.chat import Published
from atrium_server.world.commands import Reported
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared.messages import ChatChannel

_encoder = msgspec.json.Encoder()


class _Line(msgspec.Struct, frozen=True):
    """A line of the evidence; `ago_s` counts back from the report."""

    ago_s: float
    channel: str
    by: str
    text: str
    chat_seq: int


class _Party(msgspec.Struct, frozen=True):
    """One of the two, and its way: (seconds ago, x, y, z in metres, yaw in radians)."""

    person: str
    name: str
    entity_id: int
    way: list[tuple[float, float, float, float, float]]


class _Evidence(msgspec.Struct, frozen=True):
    world: str
    tick: int
    reporter: _Party
    reported: _Party
    lines: list[_Line]


class Evidence:
    """The last minute of one world."""

    def __init__(self) -> None:
        self._places: deque[
            tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.int32]]
        ] = deque(maxlen=int(limits.REPORT_EVIDENCE_S))
        """(time, entity ids, roots) of each second."""

    def note(self, world: World) -> None:
        """Called after each tick; once a second it notes where everybody is."""
        if world.tick % world.manifest.tick_rate_hz:
            return
        t = world.tables
        ids = np.where(t.alive[: t.high] == 1, t.entity_ids[: t.high], 0).astype(np.uint32)
        roots = t.poses.rows[: t.high, : pose.ROOT_COLUMNS].copy()
        self._places.append((world.server_ms, ids, roots))

    def of(self, world: World, report: Reported, reporter: tuple[str, str, int]) -> bytes:
        """The evidence of a report as JSON; `reporter` is (person, name, entity id).

        When it is too much the oldest lines are left out.
        """
        person, name, entity_id = reporter
        parties = (
            _Party(person, name, entity_id, self._way(world, entity_id)),
            _Party(
                report.person, report.name, report.entity_id, self._way(world, report.entity_id)
            ),
        )
        lines = self._lines(world, person, report)
        while True:
            data = _encoder.encode(_Evidence(
                world.manifest.name, world.tick, *parties, lines
            ))
            if len(data) <= limits.CASE_EVIDENCE_BYTES_MAX or not lines:
                return data
            del lines[: max(1, len(lines) // 8)]

    def _way(
        self, world: World, entity_id: int
    ) -> list[tuple[float, float, float, float, float]]:
        way: list[tuple[float, float, float, float, float]] = []
        y_m = world.manifest.y_unit_mm / 1000
        for server_ms, ids, roots in self._places:
            for slot in np.flatnonzero(ids == entity_id).tolist() if entity_id else ():
                row = roots[slot].tolist()
                way.append((
                    _ago_s(world, server_ms), row[pose.X] / 1000, row[pose.Y] * y_m,
                    row[pose.Z] / 1000, round(pose.yaw_of(row[pose.YAW]), 3),
                ))
        return way

    def _lines(self, world: World, person: str, report: Reported) -> list[_Line]:
        span_ms = limits.REPORT_EVIDENCE_S * 1000
        two = {person: "reporter", report.person: "reported"}
        return [
            _Line(
                _ago_s(world, line.message.server_ms), line.message.channel.name.lower(),
                two[line.person], line.message.text, line.message.chat_seq,
            )
            for line in world.chat.lately(world.server_ms, span_ms)
            if line.person in two and _is_between(line, set(two))
        ]


def _is_between(line: Published, two: set[str]) -> bool:
    """Whether a line of one of the two was for the other one's ears, or for all."""
    return line.message.channel is not ChatChannel.DIRECT or line.target in two


def _ago_s(world: World, server_ms: int) -> float:
    return round((world.server_ms - server_ms) % 2**32 / 1000, 1)

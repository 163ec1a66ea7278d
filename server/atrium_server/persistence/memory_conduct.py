"""Moderation in memory: for --ephemeral, and for tests of what stands on it.

It keeps the promises of `conduct` but for two: nothing outlives the process, and there is no audit
log. What is kept is bounded; the oldest is forgotten first.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import trio

from atrium_server.persistence.chat_log import LineState
from atrium_server.persistence.chat_store import MemoryChatStore
from atrium_server.persistence.conduct_rows import (
    ROWS_ASKED_MAX,
    Action,
    ActionKind,
    Ban,
    Case,
    CaseState,
    NewAction,
    NewCase,
    check_action,
    check_case,
    subjects_to_look_for,
)
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.schema import uuid7

KEPT_MAX: Final = 10_000
"""Cases, actions and bans, of each."""
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Opened:
    report: NewCase
    opened_at: datetime
    state: CaseState = CaseState.OPEN
    assigned_to: uuid.UUID | None = None
    closed_at: datetime | None = None


class MemoryConduct:
    """A `conduct_rows.ConductStore` in memory. `clock` gives seconds since 1970."""

    def __init__(self, chat: MemoryChatStore, clock: Callable[[], float]) -> None:
        self._chat = chat
        self._clock = clock
        self._cases: dict[uuid.UUID, _Opened] = {}
        self._actions: dict[uuid.UUID, Action] = {}
        self._bans: dict[uuid.UUID, Ban] = {}

    async def open_case(self, case: NewCase) -> bool:
        check_case(case)
        await trio.lowlevel.checkpoint()
        if case.id in self._cases:
            return False
        self._cases[case.id] = _Opened(case, self._now())
        _shorten(self._cases)
        return True

    async def set_case(
        self, case_id: uuid.UUID, state: CaseState, assigned_to: uuid.UUID | None, actor: uuid.UUID
    ) -> bool:
        await trio.lowlevel.checkpoint()
        case = self._cases.get(case_id)
        if case is None:
            raise Refused("There is no such case.")
        if (case.state, case.assigned_to) == (state, assigned_to):
            return False
        case.state, case.assigned_to = state, assigned_to
        case.closed_at = (case.closed_at or self._now()) if state is CaseState.CLOSED else None
        return True

    async def act(self, action: NewAction) -> bool:
        check_action(action)
        await trio.lowlevel.checkpoint()
        done = self._actions.get(action.id)
        if done is not None:
            if (done.kind, done.reason) != (action.kind, action.reason):
                raise Refused("Something else was done under this id: ask again with a new one.")
            return False
        now = self._now()
        until = None if action.lasts_s is None else now + timedelta(seconds=action.lasts_s)
        self._take_effect(action, now, until)
        self._actions[action.id] = Action(
            action.id, action.kind, action.reason, action.actor, action.case_id,
            action.subject_account, action.world_id, now, until,
        )
        _shorten(self._actions)
        return True

    def _take_effect(self, action: NewAction, now: datetime, until: datetime | None) -> None:
        world = action.world_id
        if action.kind is ActionKind.BAN:
            for subject in sorted(set(action.bans)):
                id = uuid7(self._clock())
                self._bans[id] = Ban(id, subject, world, action.reason, now, until)
            _shorten(self._bans)
        elif action.kind is ActionKind.LIFT:
            for id in action.lifts:
                ban = self._bans.get(id)
                if ban is None or world not in (None, ban.world_id):
                    raise Refused("One of these bans is not in force here (any more): look again.")
            for id in set(action.lifts):
                del self._bans[id]
        elif action.line is not None:
            line = self._chat.line(action.line)
            if line is None or line.state is LineState.REJECTED or world not in (
                None, line.world_id
            ):
                raise Refused("There is no such line here: it is too old, or was never published.")
            self._chat.mark(action.line, LineState.RETRACTED)

    async def active_ban(
        self, account: uuid.UUID | None, address: str, world_id: int
    ) -> Ban | None:
        await trio.lowlevel.checkpoint()
        subjects = {*subjects_to_look_for(account, address)}
        found = [
            ban for ban in self._in_force()
            if ban.subject in subjects and ban.world_id in (None, world_id)
        ]
        return max(found, key=lambda ban: ban.ends_at or _FOR_EVER, default=None)

    async def cases(self, state: CaseState, rows_max: int) -> list[Case]:
        await trio.lowlevel.checkpoint()
        found = [
            Case(each.report, each.state, each.assigned_to, each.opened_at, each.closed_at)
            for each in self._cases.values() if each.state is state
        ]
        return found[: min(rows_max, ROWS_ASKED_MAX)]

    async def actions(self, account: uuid.UUID, rows_max: int) -> list[Action]:
        await trio.lowlevel.checkpoint()
        found = [each for each in self._actions.values() if each.subject_account == account]
        return found[::-1][: min(rows_max, ROWS_ASKED_MAX)]

    async def bans(self, world_id: int | None, rows_max: int) -> list[Ban]:
        await trio.lowlevel.checkpoint()
        found = [ban for ban in self._in_force() if ban.world_id == world_id]
        return found[::-1][: min(rows_max, ROWS_ASKED_MAX)]

    def _in_force(self) -> list[Ban]:
        now = self._now()
        return [ban for ban in self._bans.values() if ban.ends_at is None or ban.ends_at > now]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _shorten(kept: dict[uuid.UUID, Any]) -> None:
    while len(kept) > KEPT_MAX:
        del kept[next(iter(kept))]

"""Carries a session over one link after another, and keeps its promises in time.

Theory of operation
-------------------
Three tasks run while the application is inside `async with connect(...)`:

* `run` dials, says hello and takes messages. When the link is lost it waits as ReconnectPolicy
  says and dials again with the resume token, until the policy gives up or the server says no;
* `keep_time` wakes `pose_rate_hz` times a second, sends our pose, clock pings and acknowledgements,
  and ends requests whose time is up;
* `carry_edits` sends edits, one after the other as the session says, and again after each resume.

A pose is sent only when the one before has left, so that a slow link gets fewer poses and never a
queue of old ones. Requests wait for their answers by request id, across a resume; so do edits,
also across a restart of the server. When the session ends for good, every handle of an edit whose
fate is not known is told so. What the application should know goes into bounded feeds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import trio

from atrium_client import events
from atrium_client.backoff import ReconnectPolicy
from atrium_client.body import Body, root_of
from atrium_client.errors import (
    ConnectionFailed,
    ConnectionRefused,
    ReconnectFailed,
    RequestLost,
    SessionEnded,
    known,
)
from atrium_client.events import ChatLine, Event, PropEvent
from atrium_client.feed import Feed
from atrium_client.handles import EditHandle
from atrium_client.link import Address, Link, open_link
from atrium_client.playout import Playout
from atrium_client.props import PropsView
from atrium_client.reconcile import OwnRoots
from atrium_client.session import ClientSession, State
from atrium_client.view import Interpolator
from atrium_shared import pose
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import ChatStatus, MoveReason, Result, Welcome

_JUMP = MoveReason.TELEPORT | MoveReason.SEATED
LINES_MAX = 256
EVENTS_MAX = 256
_NO_ANSWER = "The connection ended before the server had answered: look whether it was done."

Answer = Result | ChatStatus | Welcome


def granted(answer: Answer) -> Answer:
    """The answer, unless it is a refusal. Raises RequestRefused."""
    if isinstance(answer, Result) and answer.code != ErrorCode.OK:
        code = known(answer.code)
        known_code = ErrorCode.NOT_ALLOWED if code is None else code
        raise RequestRefused(known_code, answer.reason, answer.retry_ms)
    return answer


class _Slot:
    """Where the answer to one request is put."""

    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.answer: Answer | events.RequestExpired | None = None


class Driver:
    """The moving part behind `Me`, at rest until `run`, `keep_time` and `carry_edits` are started.
    """

    def __init__(
        self, session: ClientSession, address: Address, policy: ReconnectPolicy, pose_rate_hz: float
    ) -> None:
        self.session = session
        self.body = Body()
        self.lines: Feed[ChatLine] = Feed(LINES_MAX)
        self.happenings: Feed[Event] = Feed(EVENTS_MAX)
        self.prop_events: Feed[PropEvent] = Feed(EVENTS_MAX)
        self.props = PropsView()
        self.interpolator = Interpolator(1, 1)
        self.playout = Playout(1.0)
        self.changed = trio.Event()
        """Set and renewed after each message: something may be different now."""
        self.jumps = 0
        """Corrections that were teleports."""
        self.snapshots = 0
        """Snapshots taken, in all epochs."""
        self._roots = OwnRoots()
        self.address = address
        self._policy = policy
        self._draw = random.Random(policy.seed)
        self._pose_s = 1.0 / pose_rate_hz
        self._link: Link | None = None
        self._slots: dict[int, _Slot] = {}
        self._handles: dict[int, EditHandle] = {}
        """Edits whose fate is not known."""
        self._edits_due = trio.Event()
        """Set when there may be an edit to send."""
        self._ended: events.Ended | None = None
        self._leaving = False
        self._retry_s = 0.0
        self._sentence = ""
        """What the server said, in this link, about its end."""

    # --- the tasks -----------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Join, and stay in until `leave`. Raises what ended the session otherwise."""
        try:
            sentence = await self._one_link(task_status)
            if self.session.welcome is None:
                raise self._refusal(sentence)
            while not self._leaving:
                sentence = await self._come_back(sentence)
        finally:
            self.lines.close()
            self.happenings.close()
            self.prop_events.close()

    async def _come_back(self, sentence: str) -> str:
        """Dial until a link has been resumed and lost again; returns why it was lost."""
        lost_s = trio.current_time()
        welcome = self.session.welcome
        assert welcome is not None
        patience_s = self._policy.patience_s(welcome.resume_s)
        for delay_s in self._policy.delays_s(self._draw):
            self._raise_if_ended()
            wait_s = max(delay_s, self._retry_s)
            if trio.current_time() + wait_s - lost_s > patience_s:
                break
            await trio.sleep(wait_s)
            try:
                sentence = await self._one_link(None)
            except ConnectionFailed as error:
                sentence = str(error)
            if self.session.welcome is not welcome:
                return sentence
        self._raise_if_ended()
        raise ReconnectFailed(
            f"The connection could not be resumed within {patience_s:g} s: {sentence}"
        )

    async def _one_link(self, task_status: trio.TaskStatus[None] | None) -> str:
        """One connection from dialling to its end; returns why it ended, as a sentence."""
        self._retry_s, self._sentence = 0.0, ""
        async with open_link(self.address) as link:
            await link.send(self.session.hello())
            try:
                await self._converse(link, task_status)
            finally:
                self._link = None
            if not self._leaving:
                for event in self.session.link_lost(link.close_sentence, link.close_code):
                    self._take(event)
            return self._sentence or link.close_sentence

    async def _converse(self, link: Link, task_status: trio.TaskStatus[None] | None) -> None:
        """Take messages until the link is gone or the session over."""
        while not self._leaving and (data := await link.receive()) is not None:
            for event in self.session.receive(data, trio.current_time()):
                self._take(event)
            if self.session.state in (State.LOST, State.ENDED):
                return
            if self._link is None and self.session.state is State.ACTIVE:
                self._link = link
                if task_status is not None:
                    task_status.started()
            self._announce()

    async def keep_time(self) -> None:
        """Send poses at their rate and whatever else is due, for as long as the session lives."""
        due_s = trio.current_time()
        while True:
            due_s = max(due_s + self._pose_s, trio.current_time())
            await trio.sleep_until(due_s)
            now_s = trio.current_time()
            for event in self.session.expire(now_s):
                self._take(event)
            if self._link is not None and self.session.state is State.ACTIVE:
                said = [self.session.pose(self.body.encode(), now_s), *self.session.due(now_s)]
                self._roots.sent(self.session.seq, self.body.root())
                for data in said:
                    await self.send(data)

    async def carry_edits(self) -> None:
        """Send edits as soon as they may be sent, for as long as the session lives.

        One after the other, and each is asked of the session only when the one before has left: a
        resume in between begins again with the first.
        """
        while True:
            self._edits_due = trio.Event()
            now_s = trio.current_time()
            wait_s: float | None = None
            if self._link is not None:
                data = self.session.next_edit(now_s)
                if data is not None:
                    await self.send(data)
                    continue
                if not self.session.is_travelling:
                    wait_s = self.session.edits.wait_s(now_s)
            with trio.move_on_after(math.inf if wait_s is None else wait_s):
                await self._edits_due.wait()

    # --- for Me --------------------------------------------------------------------------

    @property
    def render_s(self) -> float:
        """The moment to show now, in server seconds."""
        return self.playout.render_s(self.session.clock.now(trio.current_time()))

    def watch(self, request_id: int, prop_id: bytes) -> EditHandle:
        """The handle of an edit that the session has just taken."""
        handle = self._handles[request_id] = EditHandle(request_id, prop_id)
        self._edits_due.set()
        return handle

    async def send(self, data: bytes) -> None:
        """Send when there is a link; what is lost with a link is not sent again."""
        link = self._link
        if link is not None:
            await link.send(data)

    async def until_active(self) -> None:
        """Wait until requests can be sent: not while we are between two links or two worlds."""
        session = self.session
        while session.state is not State.ACTIVE or self._link is None or session.is_travelling:
            await self.changed.wait()

    async def request(self, ask: Callable[[float], tuple[int, bytes]]) -> Answer:
        """Send what `ask(now)` returns and wait for its answer.

        Raises RequestLost when none came, RequestRefused when too many wait already.
        """
        await self.until_active()
        request_id, data = ask(trio.current_time())
        slot = self._slots[request_id] = _Slot()
        try:
            await self.send(data)
            await slot.arrived.wait()
        finally:
            del self._slots[request_id]
        if isinstance(slot.answer, events.RequestExpired):
            raise RequestLost(slot.answer.sentence)
        assert slot.answer is not None
        return slot.answer

    async def leave(self) -> None:
        """Say goodbye, so that the seat is free at once."""
        link = self._link
        self._leaving = True
        if link is not None and self.session.state is State.ACTIVE:
            await link.send(self.session.bye())
            await link.aclose()

    def end_edits(self) -> None:
        """No answer comes any more: whoever still waits is told. Only when the application's block
        is over, so that the reason of the end is what it ends with.
        """
        for request_id in list(self._handles):
            self._end_edit(request_id, _NO_ANSWER)

    def _end_edit(self, request_id: int, sentence: str) -> None:
        handle = self._handles.pop(request_id, None)
        if handle is not None:
            handle.lost(sentence)

    # --- events --------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        match event:
            case events.SnapshotTaken():
                now_s = self.session.clock.now(trio.current_time())
                self.interpolator.take(
                    self.session.view, event.touched, event.tick, event.server_s
                )
                self.playout.take(event.server_s, now_s)
                self.snapshots += 1
                return
            case events.ChatLine():
                self.lines.put(event)
                return
            case events.RequestAnswered():
                self._deliver(event.request_id, event.answer)
                return
            case events.RequestExpired():
                self._deliver(event.request_id, event)
                return
            case (
                events.PropsUpdated() | events.PropTaken() | events.PropsFlew()
                | events.PropsMoved()
            ):
                self._take_props(event)
                return
            case events.EditAnswered():
                handle = self._handles.get(event.status.request_id)
                if handle is not None and handle.told(event.status):
                    del self._handles[event.status.request_id]
            case events.EditUnresolved():
                if self.session.state is not State.ENDED:  # else `end_edits` is still to come
                    self._end_edit(event.request_id, event.sentence)
            case events.Joined() | events.Resumed() | events.Travelled():
                self._new_epoch(event.welcome)
            case events.Entered():
                self.interpolator.entered(event.entity)
            case events.Left():
                self.interpolator.left(event.entity.index)
            case events.LooksChanged():
                self.interpolator.dressed(event.entity_id, event.avatar)
            case events.Corrected():
                self._correct(event)
            case events.LinkLost():
                self._retry_s, self._sentence = event.retry_ms / 1000, event.sentence
            case events.Ended():
                self._ended, self._sentence = event, event.sentence
            case _:
                pass
        self.happenings.put(event)

    def _take_props(self, event: PropEvent) -> None:
        match event:
            case events.PropsUpdated():
                self.props.update(event.changed)
            case events.PropTaken():
                self.props.hold(event.held)
            case events.PropsFlew():
                self.props.fly(event.server_s, event.flights)
            case events.PropsMoved():
                self.props.drag(event.server_s, event.entity_id, event.drags)
        self.prop_events.put(event)

    def _deliver(self, request_id: int, answer: Answer | events.RequestExpired) -> None:
        slot = self._slots.get(request_id)
        if slot is not None:  # else whoever asked was cancelled
            slot.answer = answer
            slot.arrived.set()

    def _correct(self, event: events.Corrected) -> None:
        if event.reasons & _JUMP:
            self.body.place(event.position, event.yaw)
            self._roots.jumped(event.position)
            self.jumps += bool(event.reasons & MoveReason.TELEPORT)
        elif event.reasons != MoveReason.REACH:
            wanted = self.body.root()
            self.body.place(self._roots.reconcile(event.seq, event.position, wanted))

    def _new_epoch(self, welcome: Welcome) -> None:
        self.interpolator = Interpolator(welcome.tick_rate_hz, welcome.y_unit_mm)
        self.playout = Playout(1.0 / welcome.tick_rate_hz)
        row = root_of(welcome.body)
        self.body.y_unit_mm = welcome.y_unit_mm
        y_m = int(row[pose.Y]) * welcome.y_unit_mm / 1000
        place = (int(row[pose.X]) / 1000, y_m, int(row[pose.Z]) / 1000)
        self.body.place(place, pose.yaw_of(int(row[pose.YAW])))
        self._roots.forget()
        self.props.welcomed(welcome.scene_url)

    def _announce(self) -> None:
        self.changed.set()
        self.changed = trio.Event()
        if self.session.edits.is_asking:
            self._edits_due.set()

    # --- ends ----------------------------------------------------------------------------

    def _refusal(self, sentence: str) -> Exception:
        if self._ended is None:
            return ConnectionFailed(f"{self.address.url} closed before we were in: {sentence}")
        return ConnectionRefused(self._ended.code, self._ended.sentence, self._ended.retry_ms)

    def _raise_if_ended(self) -> None:
        if self.session.state is State.ENDED:
            assert self._ended is not None
            raise SessionEnded(self._ended.code, self._ended.sentence)

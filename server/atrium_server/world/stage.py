"""Who may speak and gesture, when, and who hears it. PURE.

Nobody can be drowned. What a world publishes is bounded in bytes delivered per second, with a
budget of its own for each channel and for emotes, so that none of them holds up another; what one
reader hears is bounded as well (the values and their reasons are in `limits`):

* WORLD lines have one budget for the whole hall, because everybody hears the same.
* NEARBY lines are published when the place of their speaker has room, and charge the places of all
  who hear them. Six speakers at most can be near a person and none of them near another one, so
  nobody hears more than six such budgets, and in one crowd all hear one.
* DIRECT lines are published when their target has room.

The last two count in a number per slot each, as a `Budget` does. DIRECT lines go first, WORLD lines
last. What has no room waits in its `Queue`, where the longest silent is first; it is refused when
its turn has not come in time. An emote that has no room is not seen.

Whom somebody may reach at all is for `relations` to say. A line to everybody leaves some out, one
to a single person may be read by its author alone, who is told nothing else of it: nobody learns
from an answer whether they are muted.

What a line costs before anybody hears it is bounded, too: whether there is room for it is asked
before it is cleaned, and one tick cleans so many lines. All refusals are the same answer.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.chat import ChatRules, Line, Turn, size_of
from atrium_server.world.manifest import Manifest
from atrium_server.world.relations import Relations
from atrium_server.world.tables import Tables
from atrium_server.world.text import clean_line
from atrium_shared import limits, pose
from atrium_shared.messages import ChatChannel, ChatState, ChatStatus, Emote, Message

_CROWDED = "Too many people are talking at once: try again in a moment."
_ALONE = "Nobody is there to read it any more."
LATE_MARK = "\N{HOURGLASS WITH FLOWING SAND}"
"""Stands before a line that is told long after it was said, in every language."""
SHELTERED = "You are in your safe zone: leave it, then others hear and see you again."


class Stage:
    """The talking in one world."""

    def __init__(
        self, manifest: Manifest, tables: Tables, relations: Relations,
        slot_of_session: dict[int, int], chat: ChatRules,
    ) -> None:
        self.tick = 0
        self._relations = relations
        self._manifest = manifest
        self._tables = tables
        self._slot_of_session = slot_of_session
        self._chat = chat
        rate_hz = self._rate_hz = manifest.tick_rate_hz
        self.budgets = {
            ChatChannel.DIRECT: Budget(limits.DIRECT_LINES_BYTES_PER_S_MAX, rate_hz),
            ChatChannel.NEARBY: Budget(limits.NEARBY_LINES_BYTES_PER_S_MAX, rate_hz),
            ChatChannel.WORLD: Budget(limits.WORLD_LINES_BYTES_PER_S_MAX, rate_hz),
        }
        """What all readers together are told, in the order in which channels have their turn."""
        self.emotes = Budget(limits.EMOTES_BYTES_PER_S_MAX, rate_hz)
        self.hall = Budget(limits.READER_BYTES_PER_S_MAX, rate_hz)
        """What one reader hears of WORLD lines."""
        self.heard_to = {
            ChatChannel.DIRECT: np.zeros(manifest.capacity, np.int64),
            ChatChannel.NEARBY: np.zeros(manifest.capacity, np.int64),
        }
        """What one reader hears of other lines, by slot: as `Budget.paid_to`."""
        self._quiet_ticks = math.ceil(limits.CHAT_QUIET_S * rate_hz)

    def enter(self, session_id: int, slot: int) -> None:
        """A session has an avatar in this slot; what its last owner heard is no concern of it."""
        for heard_to in self.heard_to.values():
            heard_to[slot] = 0
        self._chat.enter(session_id, self.tick)

    # --- submit --------------------------------------------------------------------------

    def say(self, command: c.Say, slot: int, out: c.TickOutput) -> None:
        """Hold a line for its verdict or refuse it; either way its author is told."""
        session_id, channel = command.session_id, command.channel
        if self._relations.safe[slot]:
            self._refuse(session_id, command.request_id, SHELTERED, out)
            return
        turn = self._chat.ask(session_id, channel, self.tick, self._quiet_ticks)
        if out.lines * self._rate_hz >= limits.LINES_PER_S_MAX:
            self._refuse(session_id, command.request_id, _CROWDED, out)
            return
        bytes_max = self._waiting_bytes_max(channel)
        in_the_way = self._chat.in_the_way(channel, turn, bytes_max)
        if in_the_way is None:
            self._refuse(session_id, command.request_id, _CROWDED, out)
            return
        out.lines += 1
        line = Line(
            0, session_id, command.request_id, channel, command.target,
            int(self._tables.entity_ids[slot]), self._tables.names[slot],
            clean_line(command.text), turn, person := self._relations.people[slot],
            self._relations.blocked_by(person),
        )
        refusal = self._submit(line)
        if refusal:
            self._refuse(session_id, command.request_id, refusal, out)
            return
        for other in in_the_way:
            self._chat.give_up(other)
            self._refuse(other.session_id, other.request_id, _CROWDED, out)
        pending = ChatStatus(command.request_id, ChatState.PENDING, 0, "")
        out.tells.append(c.Tell((session_id,), pending))
        out.judge.append(c.JudgeRequest(
            line.line_id, line.sender_id, channel, line.text, line.person, session_id,
            line.request_id, line.target, line.sender_name, line.blocked,
        ))

    def tell_late(self, command: c.LateLine) -> None:
        """A moderator lets pass what was held: it is said now, to those who may hear it now, with
        a mark that it is late. It comes behind all that is ready, so it overtakes nobody, and is
        told by the rules for any other line: not where nobody is there to hear it.
        """
        line = Line(
            0, command.session_id, command.request_id, command.channel, command.target,
            command.sender_id, command.sender_name,
            f"{LATE_MARK} {command.text}"[: limits.CHAT_CHARS_MAX],
            Turn(True, self.tick), command.person, command.blocked, verdict=True,
        )
        if line.channel == ChatChannel.DIRECT:
            place = self.slot_of(line.target)
            if place is None:
                return
            line.place, line.reader = place, self._relations.people[place]
        self._chat.admit(line, self.tick)

    def _submit(self, line: Line) -> str:
        """Returns why not, or nothing."""
        if not line.text:
            return "The line has nothing in it that others could read."
        if line.channel == ChatChannel.DIRECT:
            place = self.slot_of(line.target)
            if place is None or self._relations.safe[place]:
                return "That person is not here."
            line.place, line.reader = place, self._relations.people[place]
        if not self._chat.submit(line, self.tick):
            return "Too many of your lines are still waiting: try again in a moment."
        return ""

    def _waiting_bytes_max(self, channel: ChatChannel) -> int:
        """How much of a channel may be on its way."""
        if channel != ChatChannel.WORLD:
            return limits.CLOSE_CHAT_WAITING_BYTES_MAX
        people = len(self._slot_of_session)
        bytes_per_s = min(
            limits.READER_BYTES_PER_S_MAX, limits.WORLD_LINES_BYTES_PER_S_MAX // (1 + people)
        )
        return int(limits.CHAT_WAITING_S_MAX * bytes_per_s)

    def _refuse(self, session_id: int, request_id: int, reason: str, out: c.TickOutput) -> None:
        status = ChatStatus(request_id, ChatState.REJECTED, 0, reason)
        out.tells.append(c.Tell((session_id,), status))

    def gesture(self, command: c.Gesture, slot: int, out: c.TickOutput) -> None:
        """Tell those who are near, if there is room: an emote too many is an emote unseen."""
        if out.emotes >= limits.EMOTES_PER_TICK_MAX or not self.emotes.has_room(self.tick):
            return
        out.emotes += 1
        emote = Emote(int(self._tables.entity_ids[slot]), command.emote)
        self.show(slot, emote, self.emotes, out)

    def show(self, slot: int, message: Message, budget: Budget, out: c.TickOutput) -> None:
        """Tell those who are near and may know, at the expense of a budget."""
        if self._relations.safe[slot]:
            return
        near = self._hearers(slot, self._relations.deaf_to(self._relations.people[slot]))
        sessions = tuple(self._tables.sessions[near].tolist())
        budget.take(self.tick, self._scan_bytes() + (1 + len(near)) * limits.LINE_BYTES_MIN)
        out.tells.append(c.Tell(sessions, message))

    # --- publish -------------------------------------------------------------------------

    def publish(self, out: c.TickOutput, server_ms: int) -> None:
        """Tell lines that are ready, as many as there is room for; the others wait."""
        for channel in self.budgets:
            if self._chat.queues[channel].ready:
                self._publish_queue(channel, out, server_ms)

    def _publish_queue(self, channel: ChatChannel, out: c.TickOutput, server_ms: int) -> None:
        queue = self._chat.queues[channel]
        turn_ticks_max = limits.CHAT_TURN_S_MAX * self._rate_hz
        waiting: set[int] = set()
        """Sessions whose further lines wait for the one before."""
        for line in [line for line in queue.lines if line.ready_tick >= 0]:
            if line.session_id in waiting:
                continue
            place = self._place_of(line)
            if not line.verdict or place is None:
                refusal = line.reason or _ALONE
            elif self._is_sheltered(line):
                refusal = SHELTERED
            elif self._has_room(channel, place):
                refusal = ""
            elif self.tick - line.ready_tick >= turn_ticks_max:
                refusal = _CROWDED
            else:
                waiting.add(line.session_id)
                continue
            queue.remove(line)
            if refusal or place is None:
                self._refuse(line.session_id, line.request_id, refusal, out)
            else:
                self._tell(line, place, out, server_ms)

    def _place_of(self, line: Line) -> int | None:
        """The slot whose hearing counts; None when nobody is there to hear the line."""
        match line.channel:
            case ChatChannel.WORLD:
                return line.place
            case ChatChannel.NEARBY:
                return self._slot_of_session.get(line.session_id)
            case ChatChannel.DIRECT:
                t, slot = self._tables, line.place
                there = t.alive[slot] and t.entity_ids[slot] == line.target
                return slot if there and not self._relations.safe[slot] else None

    def _is_sheltered(self, line: Line) -> bool:
        """Whether the author went into the safe zone while the line was on its way."""
        slot = self._slot_of_session.get(line.session_id)
        return slot is not None and bool(self._relations.safe[slot])

    def _has_room(self, channel: ChatChannel, place: int) -> bool:
        if not self.budgets[channel].has_room(self.tick):
            return False
        if channel == ChatChannel.WORLD:
            return self.hall.has_room(self.tick)
        heard_to = int(self.heard_to[channel][place])
        return heard_to < (self.tick + 1) * limits.READER_BYTES_PER_S_MAX

    def _tell(self, line: Line, place: int, out: c.TickOutput, server_ms: int) -> None:
        """Publish a line and charge it to all who hear it."""
        size_bytes, scan_bytes, sessions = size_of(line.text), 0, None
        without: tuple[int, ...] = ()
        deaf = self._relations.deaf_to(line.person, line.blocked)
        match line.channel:
            case ChatChannel.WORLD:
                readers = len(self._slot_of_session) - len(deaf)
                without = tuple(self._tables.sessions[deaf].tolist()) if deaf else ()
                self.hall.take(self.tick, size_bytes)
            case ChatChannel.NEARBY:
                near = self._hearers(place, deaf)
                readers, scan_bytes = len(near), self._scan_bytes()
                sessions = tuple(self._tables.sessions[near].tolist())
                self._hear(line.channel, near, size_bytes)
            case ChatChannel.DIRECT:
                target = int(self._tables.sessions[place])
                is_heard = place not in deaf
                sessions = tuple({target: 0, line.session_id: 0} if is_heard else {
                    line.session_id: 0
                })
                readers = len(sessions)
                if is_heard:
                    self._hear(line.channel, np.array([place]), size_bytes)
        self.budgets[line.channel].take(self.tick, scan_bytes + (1 + readers) * size_bytes)
        message, status = self._chat.publish(line, sessions, server_ms, without)
        out.tells.append(c.Tell(sessions, message, without))
        out.tells.append(c.Tell((line.session_id,), status))

    def _hear(
        self, channel: ChatChannel, slots: npt.NDArray[np.intp], size_bytes: int
    ) -> None:
        """Charge a line to those who hear it, as `Budget.take` does."""
        now = self.tick * limits.READER_BYTES_PER_S_MAX
        heard_to = self.heard_to[channel]
        heard_to[slots] = np.maximum(heard_to[slots], now) + size_bytes * self._rate_hz

    def _hearers(self, slot: int, deaf: list[int]) -> npt.NDArray[np.intp]:
        """Those within earshot of `slot`, but for the deaf."""
        near = self._near(slot)
        return near[~np.isin(near, deaf)] if deaf else near

    def _near(self, slot: int) -> npt.NDArray[np.intp]:
        """Slots of the avatars within earshot of `slot`, its own included."""
        t = self._tables
        x = t.poses.rows[: t.high, pose.X].astype(np.float64)
        z = t.poses.rows[: t.high, pose.Z].astype(np.float64)
        x -= x[slot]
        z -= z[slot]
        near_mm = self._manifest.nearby_m * 1000
        return np.flatnonzero((x * x + z * z <= near_mm * near_mm) & (t.alive[: t.high] == 1))

    def _scan_bytes(self) -> int:
        return limits.SCAN_BYTES_MIN * self._tables.high

    def slot_of(self, entity_id: int) -> int | None:
        """The slot of an entity that is here."""
        t = self._tables
        found = np.flatnonzero((t.entity_ids[: t.high] == entity_id) & (t.alive[: t.high] == 1))
        return int(found[0]) if len(found) else None

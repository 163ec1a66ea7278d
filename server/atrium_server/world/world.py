"""A world: tables, rules, and the one function that moves it on. PURE.

`step` takes what the host drained from the inbox, applies it in a fixed order (time passes,
commands in their order, poses in theirs) and says what is to be told. It reads no clock and draws
chance only from its own seeded generator, so the same inputs leave the same tables: `digest` is
what a replay is compared by.

A join may find all slots taken although it has a reserved seat, because a slot that was freed in
this tick rests until the next one: it then waits for that tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from atrium_server.frame import PublishedFrame
from atrium_server.world import commands as c
from atrium_server.world import movement
from atrium_server.world.building import Building
from atrium_server.world.carrying import Carrying
from atrium_server.world.chat import ChatRules, Published
from atrium_server.world.colliders import build_colliders
from atrium_server.world.dragging import Dragging
from atrium_server.world.flight import Flights
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import MoveRules, PoseBatch
from atrium_server.world.places import LONG_AGO, Places
from atrium_server.world.relations import Relations
from atrium_server.world.society import Society, SocietyParts
from atrium_server.world.stage import Stage
from atrium_server.world.tables import Tables
from atrium_shared import limits, pose
from atrium_shared.messages import (
    ChatPublished,
    ChatRetract,
    Message,
    MoveReason,
)

_CORRECTION_TICKS = 2
"""One who pushes against a wall is told so at most every second tick."""
_LINK_LOST, _SEATED = int(pose.Flags.LINK_LOST), int(pose.Flags.SEATED)


class World:
    """One authoritative world. Only its host may call it."""

    def __init__(self, manifest: Manifest, seed: int) -> None:
        self.manifest = manifest
        self.tick = 0
        self.server_ms = 0
        self.tables = Tables(manifest.capacity)
        self.rules = MoveRules.of(manifest)
        self.relations = Relations(manifest.capacity)
        self.chat = ChatRules()
        self.building = Building(manifest.tick_rate_hz)
        self._colliders = build_colliders(manifest)
        self.places = Places(
            manifest, self.tables, self.rules, self._colliders, self.building
        )
        self.places.random = np.random.default_rng([seed, manifest.seed])
        flights = Flights(self._colliders, manifest)
        self.carrying = Carrying(
            self.building, self.tables, flights, manifest.y_unit_mm, manifest.tick_rate_hz
        )
        self.dragging = Dragging(self.building, manifest.tick_rate_hz)
        self._slot_of_session: dict[int, int] = {}
        self._stage = Stage(
            manifest, self.tables, self.relations, self._slot_of_session, self.chat
        )
        self.society = Society(SocietyParts(
            manifest, self.tables, self.relations, self._stage, self.places
        ))
        self._seq_at_join: dict[int, int] = {}
        self._waiting: list[c.Join] = []
        self._returned: set[int] = set()
        """Slots whose owner came back on a new link in this tick."""
        self._told_tick = np.full(manifest.capacity, LONG_AGO, np.int64)

    @property
    def was_loaded(self) -> bool:
        """Whether it began with more than manifest and seed tell."""
        return self.building.run != bytes(16)

    def step(
        self, commands: Sequence[c.AnyCommand], poses: PoseBatch | None, server_ms: int
    ) -> c.TickOutput:
        """One tick: `commands` in order, then `poses` (slots whose entity is gone are skipped).

        `server_ms` is the time of this tick on the wire's clock.
        """
        self.tick += 1
        self.server_ms = server_ms
        self._stage.tick = self.tick
        self.building.telling.tick = self.tick
        out = c.TickOutput()
        movement.accrue(
            self.tables.moves, self.rules, 1.0 / self.manifest.tick_rate_hz, self.tables.high
        )
        self.society.voices.step(self.tick, out)
        waiting, self._waiting = self._waiting, []
        for command in (*waiting, *commands):
            self._apply(command, out)
        self._stage.publish(out, server_ms)
        if self.tick == 1:
            self.building.ask_judge(out)
        self.building.rechecks.ask(self.building.props, out)
        self.carrying.step(self.tick, server_ms, out)
        self.places.clear_seats(self.tick, out)
        self.society.step(out)
        told = self.building.telling.next()
        if told is not None:
            out.tells.append(c.Tell(None, told))
        if poses is not None and len(poses.slots):
            self._move(poses, out)
        for slot in self._returned:
            self.tables.moves.forget_seq(slot)
        self._returned.clear()
        self.tables.end_tick()
        return out

    def slot_of(self, session_id: int) -> int | None:
        """Where the avatar of a session is in the tables."""
        return self._slot_of_session.get(session_id)

    def publish(self) -> PublishedFrame:
        """The frame of the present tick."""
        return self.tables.frame(self.tick, self.relations.apart(), self.relations.safe)

    def digest(self) -> str:
        """A hash of the quantised tables by slot, the generator's state and the tick."""
        t = self.tables
        digest = hashlib.sha256(f"{self.tick} {self.places.random.bit_generator.state}".encode())
        digest.update(self.building.chain)
        for array in (t.alive, t.entity_ids, t.poses.rows, t.poses.extras, t.poses.parts):
            digest.update(array[: t.high].tobytes())
        return digest.hexdigest()

    # --- commands ------------------------------------------------------------------------

    def _apply(self, command: c.AnyCommand, out: c.TickOutput) -> None:
        if isinstance(command, c.Join):
            self._join(command, out)
            return
        if isinstance(command, c.Signal):
            return  # no matter of the world; its host has relayed it
        if not isinstance(command, c.SESSION_COMMANDS):
            self._apply_of_house(command, out)
            return
        slot = self._slot_of_session.get(command.session_id)
        if slot is None:
            self._apply_to_waiting(command)
            return
        match command:
            case c.Leave():
                self._leave(command.session_id, slot, out)
            case c.LinkChange():
                self.places.set_flag(slot, _LINK_LOST, command.lost)
                self.society.voices.end(slot, out)  # the new link asks for it anew
                if not command.lost:
                    self._returned.add(slot)
            case c.Say():
                self._stage.say(command, slot, out)
            case c.Gesture():
                self._stage.gesture(command, slot, out)
            case c.Jump() | c.SitOn():
                self.places.jump(command, slot, self.tick, out)
            case c.Entitle():
                self.building.entitle(command.session_id, command.rights)
            case c.Build():
                self.building.build(command, out)
            case c.Take():
                self.carrying.take(command, slot, out)
            case c.LetGo():
                self.carrying.let_go(command, slot, out)
            case c.Drag():
                entity_id = int(self.tables.entity_ids[slot])
                self.dragging.drag(command, entity_id, self.server_ms, out)
            case _:
                self.society.apply(command, slot, out)

    def _apply_to_waiting(self, command: c.SessionCommand) -> None:
        """What concerns somebody who has left in the meantime, or has no slot yet."""
        for place, join in enumerate(self._waiting):
            if join.session_id == command.session_id:
                if isinstance(command, c.Leave):
                    del self._waiting[place]
                elif isinstance(command, c.Entitle):
                    self._waiting[place] = msgspec.structs.replace(join, rights=command.rights)
                return

    def _apply_of_house(self, command: c.HouseCommand, out: c.TickOutput) -> None:
        """What no session asks for."""
        match command:
            case c.Judged():
                self.chat.judge(command, self.tick)
            case c.Withdraw():
                self._take_back(self.chat.withdraw(command.line_id, command.reason), out)
            case c.LateLine():
                self._stage.tell_late(command)
            case c.Retract():
                self._take_back(self.chat.retract(command.chat_seq), out)
            case c.SignJudged():
                self.building.judged(command, out)
            case c.Store():
                self.building.stored(command, out)
            case c.EditsSaved():
                self.building.saved(command, out)
            case c.Reread():
                self.building.reread(command, out)
            case c.Forget():
                self.building.editor.pasts.forget(command.author)
            case c.Amend():
                self.building.amend(command, out)
            case c.Regards():
                self._waiting = [
                    msgspec.structs.replace(join, regards=command.regards)
                    if join.person == command.person else join for join in self._waiting
                ]
                self.society.regard(command, out)

    def _take_back(self, published: Published | None, out: c.TickOutput) -> None:
        """Those who were told a line are told that it is none any more."""
        if published is not None:
            retract = ChatRetract(published.message.chat_seq)
            out.tells.append(c.Tell(published.sessions, retract, published.without))

    def _join(self, command: c.Join, out: c.TickOutput) -> None:
        if not self.tables.has_room:
            self._waiting.append(command)
            return
        slot = self.tables.add(command.session_id, command.name, command.avatar)
        self._slot_of_session[command.session_id] = slot
        # What the slot's last owner did is no concern of this one.
        self.places.jump_tick[slot] = self._told_tick[slot] = LONG_AGO
        self._seq_at_join[command.session_id] = self.chat.last_seq
        self.society.enter(slot, command)
        self._stage.enter(command.session_id, slot)
        self.building.enter(command)
        self.places.arrive(slot, command.back)
        out.joined.append(
            c.Joined(command.session_id, slot, int(self.tables.entity_ids[slot]))
        )

    def _leave(self, session_id: int, slot: int, out: c.TickOutput) -> None:
        self.society.voices.end(slot, out)
        self.places.stand(slot)
        self.carrying.leave(slot, out)
        del self._slot_of_session[session_id], self._seq_at_join[session_id]
        self._returned.discard(slot)
        self.chat.leave(session_id)
        self.building.leave(session_id)
        self.society.leave(slot)
        self.tables.remove(slot)

    def news_for(self, session_id: int) -> list[Message]:
        """What a newcomer is to know besides the scene and the changes since."""
        news = self.building.news_for(session_id)
        told = self.society.relations_of(self._slot_of_session[session_id])
        return [told, *news, *self.carrying.news(self.tick, self.server_ms)]

    def chat_since(self, session_id: int, chat_seq: int) -> list[ChatPublished]:
        """What a resuming session has missed; nothing that was said before it joined."""
        joined_at = self._seq_at_join.get(session_id, self.chat.last_seq)
        return self.chat.since(session_id, max(chat_seq, joined_at), self._reader(session_id))

    def chat_before(self, session_id: int) -> list[ChatPublished]:
        """The last lines that everybody heard, for one who has just joined."""
        return self.chat.newest(limits.HISTORY_LINES_MAX, self._reader(session_id))

    def _reader(self, session_id: int) -> Callable[[Published], bool]:
        """Which lines a session may read now, whatever it might have read when they were said."""
        slot = self._slot_of_session.get(session_id)
        person = "" if slot is None else self.relations.people[slot]

        def may_read(line: Published) -> bool:
            return line.person == person or (
                person not in line.blocked and self.relations.is_open_to(person, line.person)
            )

        return may_read

    # --- poses ---------------------------------------------------------------------------

    def _move(self, poses: PoseBatch, out: c.TickOutput) -> None:
        alive = self.tables.alive[poses.slots]
        if self._returned or not alive.all():
            counts = alive == 1
            for slot in self._returned:
                # These were sent on the old link; the new one's counting begins after its welcome.
                counts &= poses.slots != slot
            poses = PoseBatch(
                poses.slots[counts], poses.seqs[counts], poses.acks[counts], poses.rows[counts],
                poses.parts[counts], poses.extras[counts],
            )
        result = movement.apply_poses(
            self.tables.moves, self.rules, self._colliders, poses, self.tables.poses
        )
        self.society.voices.mask(poses.slots)
        out.poses_taken = result.taken_count
        if not result.broken_count:
            return
        for k in np.flatnonzero(result.reasons).tolist():
            slot, reasons = int(poses.slots[k]), int(result.reasons[k])
            for reason in MoveReason(reasons):
                name = reason.name or ""
                out.corrections[name] = out.corrections.get(name, 0) + 1
            if self.tick - self._told_tick[slot] >= _CORRECTION_TICKS:
                self._told_tick[slot] = self.tick
                session = (int(self.tables.sessions[slot]),)
                out.tells.append(c.Tell(session, self.places.correction(slot, reasons, self.tick)))

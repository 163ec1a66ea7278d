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
import math
from collections.abc import Sequence

import numpy as np

from atrium_server.frame import PublishedFrame
from atrium_server.world import commands as c
from atrium_server.world import movement
from atrium_server.world.chat import ChatRules
from atrium_server.world.colliders import build_colliders
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import MoveRules, PoseBatch, Spot
from atrium_server.world.stage import Stage
from atrium_server.world.tables import Tables
from atrium_shared import pose
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import (
    ChatPublished,
    ChatRetract,
    Correction,
    Message,
    MoveReason,
    Result,
    TeleportTarget,
)

_CORRECTION_TICKS = 2
"""One who pushes against a wall is told so at most every second tick."""
_LONG_AGO = -(10**9)
_LINK_LOST, _SEATED = int(pose.Flags.LINK_LOST), int(pose.Flags.SEATED)


class World:
    """One authoritative world. Only its host may call it."""

    def __init__(self, manifest: Manifest, seed: int) -> None:
        self.manifest = manifest
        self.tick = 0
        self.server_ms = 0
        self.tables = Tables(manifest.capacity)
        self.rules = MoveRules.of(manifest)
        self.chat = ChatRules()
        self._colliders = build_colliders(manifest)
        self._random = np.random.default_rng([seed, manifest.seed])
        self._slot_of_session: dict[int, int] = {}
        self._stage = Stage(manifest, self.tables, self._slot_of_session, self.chat)
        self._seq_at_join: dict[int, int] = {}
        self._waiting: list[c.Join] = []
        self._returned: set[int] = set()
        """Slots whose owner came back on a new link in this tick."""
        self._seat_of_slot = np.full(manifest.capacity, -1, np.int32)
        self._slot_of_seat = np.full(len(manifest.seats), -1, np.int32)
        self._jump_tick = np.full(manifest.capacity, _LONG_AGO, np.int64)
        self._told_tick = np.full(manifest.capacity, _LONG_AGO, np.int64)

    def step(
        self, commands: Sequence[c.AnyCommand], poses: PoseBatch | None, server_ms: int
    ) -> c.TickOutput:
        """One tick: `commands` in order, then `poses` (slots whose entity is gone are skipped).

        `server_ms` is the time of this tick on the wire's clock.
        """
        self.tick += 1
        self.server_ms = server_ms
        self._stage.tick = self.tick
        out = c.TickOutput()
        movement.accrue(
            self.tables.moves, self.rules, 1.0 / self.manifest.tick_rate_hz, self.tables.high
        )
        waiting, self._waiting = self._waiting, []
        for command in (*waiting, *commands):
            self._apply(command, out)
        self._stage.publish(out, server_ms)
        if poses is not None and len(poses.slots):
            self._move(poses, out)
        for slot in self._returned:
            self.tables.moves.forget_seq(slot)
        self._returned.clear()
        self.tables.end_tick()
        return out

    def publish(self) -> PublishedFrame:
        """The frame of the present tick."""
        return self.tables.frame(self.tick)

    def digest(self) -> str:
        """A hash of the quantised tables by slot, the generator's state and the tick."""
        t = self.tables
        digest = hashlib.sha256(f"{self.tick} {self._random.bit_generator.state}".encode())
        for array in (t.alive, t.entity_ids, t.poses.rows, t.poses.extras, t.poses.parts):
            digest.update(array[: t.high].tobytes())
        return digest.hexdigest()

    def root_body(self, slot: int) -> bytes:
        """Where an entity stands, as a root-only pose body."""
        row = self.tables.poses.rows[slot : slot + 1]
        return pose.encode_bodies(row, self.tables.poses.extras[slot : slot + 1], 0).tobytes()

    # --- commands ------------------------------------------------------------------------

    def _apply(self, command: c.AnyCommand, out: c.TickOutput) -> None:
        if isinstance(command, c.Join):
            self._join(command, out)
            return
        if isinstance(command, c.Judged):
            self.chat.judge(command, self.tick)
            return
        if isinstance(command, c.Retract):
            published = self.chat.retract(command.chat_seq)
            if published is not None:
                out.tells.append(c.Tell(published.sessions, ChatRetract(command.chat_seq)))
            return
        slot = self._slot_of_session.get(command.session_id)
        if slot is None:
            # It left in the meantime, or does so before it has got a slot.
            self._waiting = [j for j in self._waiting if j.session_id != command.session_id]
            return
        match command:
            case c.Leave():
                self._leave(command.session_id, slot)
            case c.LinkChange():
                self._set_flag(slot, _LINK_LOST, command.lost)
                if not command.lost:
                    self._returned.add(slot)
            case c.Say():
                self._stage.say(command, slot, out)
            case c.Gesture():
                self._stage.gesture(command, slot, out)
            case c.Jump():
                self._jump(command, slot, out)

    def _join(self, command: c.Join, out: c.TickOutput) -> None:
        if not self.tables.has_room:
            self._waiting.append(command)
            return
        slot = self.tables.add(command.session_id, command.name, command.avatar)
        self._slot_of_session[command.session_id] = slot
        # What the slot's last owner did is no concern of this one.
        self._jump_tick[slot] = self._told_tick[slot] = _LONG_AGO
        self._seq_at_join[command.session_id] = self.chat.last_seq
        self._stage.enter(command.session_id, slot)
        self._place(slot, self._spawn())
        out.joined.append(
            c.Joined(command.session_id, slot, int(self.tables.entity_ids[slot]))
        )

    def _leave(self, session_id: int, slot: int) -> None:
        self._stand(slot)
        del self._slot_of_session[session_id], self._seq_at_join[session_id]
        self._returned.discard(slot)
        self.chat.leave(session_id)
        self.tables.remove(slot)

    def _spawn(self) -> Spot:
        """A free place on one of the spawn points, by chance."""
        spawn = self.manifest.spawns[int(self._random.integers(len(self.manifest.spawns)))]
        x, y, z = spawn.position
        yaw = math.radians(spawn.yaw_deg)
        for _ in range(16):
            # The square root spreads evenly over the disc.
            radius = spawn.radius_m * math.sqrt(self._random.random())
            angle = self._random.random() * math.tau
            at = (x + radius * math.cos(angle), z + radius * math.sin(angle))
            free, ground = movement.walkable(self._colliders, self.rules, at[0], y, at[1])
            if free:
                return Spot(at[0], ground, at[1], yaw)
        return Spot(x, y, z, yaw)

    def _place(self, slot: int, spot: Spot) -> None:
        movement.place(self.tables.moves, self.rules, self.tables.poses, slot, spot)

    def _set_flag(self, slot: int, flag: int, on: bool) -> None:
        flags = int(self.tables.poses.rows[slot, pose.FLAGS])
        self.tables.poses.rows[slot, pose.FLAGS] = flags | flag if on else flags & ~flag

    def chat_since(self, session_id: int, chat_seq: int) -> list[ChatPublished]:
        """What a resuming session has missed; nothing that was said before it joined."""
        joined_at = self._seq_at_join.get(session_id, self.chat.last_seq)
        return self.chat.since(session_id, max(chat_seq, joined_at))

    # --- jumps ---------------------------------------------------------------------------

    def _jump(self, command: c.Jump, slot: int, out: c.TickOutput) -> None:
        cooldown = self.manifest.movement.teleport_cooldown_s * self.manifest.tick_rate_hz
        waited = self.tick - int(self._jump_tick[slot])
        code, reason, spot = ErrorCode.COOLDOWN, "Wait a moment before you jump again.", None
        if waited >= cooldown:
            code, reason, spot = self._destination(command, slot)
        retry_ms = 0
        if code == ErrorCode.COOLDOWN:
            retry_ms = math.ceil((cooldown - waited) * 1000 / self.manifest.tick_rate_hz)
        if spot is not None:
            self._jump_tick[slot] = self.tick
            self._place(slot, spot)
        result = Result(command.request_id, code, reason, retry_ms)
        session = (command.session_id,)
        out.tells.append(c.Tell(session, result))
        if spot is not None:
            out.tells.append(c.Tell(session, self._correction(slot, MoveReason.TELEPORT)))

    def _destination(self, command: c.Jump, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        match command.kind:
            case TeleportTarget.SEAT:
                return self._sit(command.target, slot)
            case TeleportTarget.SPAWN:
                self._stand(slot)
                return ErrorCode.OK, "", self._spawn()
            case TeleportTarget.STAND:
                return self._rise(slot)
            case TeleportTarget.POINT:
                return self._point(command, slot)

    def _point(self, command: c.Jump, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        if not all(math.isfinite(n) for n in (command.x, command.y, command.z, command.yaw)):
            return ErrorCode.OUT_OF_RANGE, "That is no place.", None
        x, _, z = self._metres(slot)
        if math.hypot(command.x - x, command.z - z) > self.manifest.movement.teleport_range_m_max:
            return ErrorCode.OUT_OF_RANGE, "That is too far to jump.", None
        free, ground = movement.walkable(
            self._colliders, self.rules, command.x, command.y, command.z
        )
        if not free:
            return ErrorCode.BLOCKED, "There is no room to stand.", None
        self._stand(slot)
        return ErrorCode.OK, "", Spot(command.x, ground, command.z, command.yaw)

    def _sit(self, seat: int, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        if seat >= len(self.manifest.seats):
            return ErrorCode.NOT_FOUND, "There is no such seat.", None
        if self._slot_of_seat[seat] not in (-1, slot):
            return ErrorCode.TAKEN, "Somebody sits there.", None
        x, y, z = self.manifest.seats[seat].position
        here = self._metres(slot)
        if math.hypot(x - here[0], z - here[2]) > self.manifest.movement.teleport_range_m_max:
            return ErrorCode.OUT_OF_RANGE, "That seat is too far away.", None
        self._stand(slot)
        self._slot_of_seat[seat] = slot
        self._seat_of_slot[slot] = seat
        self._set_flag(slot, _SEATED, True)
        return ErrorCode.OK, "", Spot(x, y, z, math.radians(self.manifest.seats[seat].yaw_deg))

    def _rise(self, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        """Stand up to the nearest free place around the seat, trying the front first."""
        if self._seat_of_slot[slot] < 0:
            return ErrorCode.NOT_FOUND, "You do not sit.", None
        x, y, z = self._metres(slot)
        yaw = pose.yaw_of(int(self.tables.poses.rows[slot, pose.YAW]))
        for distance in (0.6, 0.9, 1.2):
            for turn in (0.0, 1.0, -1.0, 2.0, -2.0, 3.0):
                at = (x - distance * math.sin(yaw + turn), z - distance * math.cos(yaw + turn))
                free, ground = movement.walkable(
                    self._colliders, self.rules, at[0], y + 0.5, at[1]
                )
                if free:
                    self._stand(slot)
                    return ErrorCode.OK, "", Spot(at[0], ground, at[1], yaw)
        self._stand(slot)
        return ErrorCode.OK, "", self._spawn()

    def _stand(self, slot: int) -> None:
        """Free the seat of `slot`, if it has one."""
        seat = int(self._seat_of_slot[slot])
        if seat >= 0:
            self._seat_of_slot[slot] = -1
            self._slot_of_seat[seat] = -1
            self._set_flag(slot, _SEATED, False)

    def _metres(self, slot: int) -> tuple[float, float, float]:
        row = self.tables.poses.rows[slot]
        y = int(row[pose.Y]) * self.manifest.y_unit_mm / 1000
        return int(row[pose.X]) / 1000, y, int(row[pose.Z]) / 1000

    # --- poses ---------------------------------------------------------------------------

    def _move(self, poses: PoseBatch, out: c.TickOutput) -> None:
        alive = self.tables.alive[poses.slots]
        if self._returned or not alive.all():
            counts = alive == 1
            for slot in self._returned:
                # These were sent on the old link; the new one's counting begins after its welcome.
                counts &= poses.slots != slot
            poses = PoseBatch(
                poses.slots[counts], poses.seqs[counts], poses.rows[counts], poses.parts[counts],
                poses.extras[counts],
            )
        result = movement.apply_poses(
            self.tables.moves, self.rules, self._colliders, poses, self.tables.poses
        )
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
                out.tells.append(c.Tell(session, self._correction(slot, reasons)))

    def _correction(self, slot: int, reasons: int) -> Message:
        seq = int(self.tables.moves.seq[slot])
        return Correction(seq, self.tick, int(reasons), self.root_body(slot))

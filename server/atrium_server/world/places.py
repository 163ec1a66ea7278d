"""Where an avatar may be put by the world: spawn points, seats, and jumps to a point. PURE.

Everything here ends in `movement.place`, which also tells the movement rules that the way between
was no walk. A seat, of the manifest or a prop, has one owner; who stands up comes to stand beside
it.
"""

from __future__ import annotations

import math

import numpy as np

from atrium_server.world import commands as c
from atrium_server.world import movement
from atrium_server.world.building import Building
from atrium_server.world.colliders import Colliders
from atrium_server.world.manifest import Manifest
from atrium_server.world.movement import MoveRules, Spot
from atrium_server.world.prop_seats import PropSeats
from atrium_server.world.props import Vector, yaw_of
from atrium_server.world.tables import Tables
from atrium_shared import pose
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Correction, Message, MoveReason, Result, TeleportTarget
from atrium_shared.props import Spawn

LONG_AGO = -(10**9)
PEOPLE_PER_SPAWN = 8
"""A spawn point of the manifest more is opened for each so many people."""
_SEATED = int(pose.Flags.SEATED)


class Places:
    """Seats, spawn points and jumps of one world."""

    def __init__(
        self, manifest: Manifest, tables: Tables, rules: MoveRules, colliders: Colliders,
        building: Building,
    ) -> None:
        self.random = np.random.default_rng(0)
        self.seat_of_slot = np.full(manifest.capacity, -1, np.int32)
        self.slot_of_seat = np.full(len(manifest.seats), -1, np.int32)
        self.jump_tick = np.full(manifest.capacity, LONG_AGO, np.int64)
        self._manifest = manifest
        self._tables = tables
        self._rules = rules
        self._colliders = colliders
        self._building = building
        self.prop_seats = PropSeats(building.props)

    def arrive(self, slot: int, back: c.Back | None) -> None:
        """To where somebody was before the server began again, else to a spawn point."""
        if back is not None:
            seat = back.seat
            if 0 <= seat < len(self._manifest.seats) and self.slot_of_seat[seat] == -1:
                self._take_seat(seat, slot)
                self._place(slot, Spot(back.x, back.y, back.z, back.yaw))
                return
            spot = self.prop_seats.spot(back.prop) if back.prop else None
            if spot is not None and back.prop not in self.prop_seats.slot_of:
                self._take_prop(back.prop, slot)
                self._place(slot, spot)
                return
            free, ground = movement.walkable(
                self._colliders, self._rules, back.x, back.y, back.z
            )
            if free:
                self._place(slot, Spot(back.x, ground, back.z, back.yaw))
                return
        self._place(slot, self._spawn())

    def _spawn(self) -> Spot:
        """A free place on one of the spawn points, by chance."""
        (x, y, z), yaw, radius_m = self._spawn_point()
        for _ in range(16):
            # The square root spreads evenly over the disc.
            radius = radius_m * math.sqrt(self.random.random())
            angle = self.random.random() * math.tau
            at = (x + radius * math.cos(angle), z + radius * math.sin(angle))
            free, ground = movement.walkable(self._colliders, self._rules, at[0], y, at[1])
            if free:
                return Spot(at[0], ground, at[1], yaw)
        return Spot(x, y, z, yaw)

    def _spawn_point(self) -> tuple[Vector, float, float]:
        """(position, yaw in radians, radius in metres) of one of those of the manifest and of the
        props that are within the world.

        Those of the manifest are opened one after the other as people come, so the first few meet
        and a crowd spreads.
        """
        people = int(np.count_nonzero(self._tables.alive))
        own = self._manifest.spawns[: 1 + people // PEOPLE_PER_SPAWN]
        built = list(self._building.spawns)
        number = int(self.random.integers(len(own) + len(built)))
        if number >= len(own):
            prop_id = built[number - len(own)]
            prop = self._building.props.get(prop_id)
            assert prop is not None
            assert isinstance(prop.properties, Spawn)
            seen = self._building.props.seen_at(prop_id)
            at = seen.position_m
            if self.is_within(at):
                return at, yaw_of(seen.rotation), prop.properties.radius_m
            number = number % len(own)
        spawn = own[number]
        return spawn.position, math.radians(spawn.yaw_deg), spawn.radius_m

    def is_within(self, at: Vector) -> bool:
        """Whether a point is in the extent."""
        low, high = self._manifest.extent.min_m, self._manifest.extent.max_m
        return all(a <= one <= b for a, one, b in zip(low, at, high, strict=True))

    # --- jumps ---------------------------------------------------------------------------

    def jump(self, command: c.Jump | c.SitOn, slot: int, tick: int, out: c.TickOutput) -> None:
        """To a place of one's own choice, or the reason why not."""
        cooldown = self._manifest.movement.teleport_cooldown_s * self._manifest.tick_rate_hz
        waited = tick - int(self.jump_tick[slot])
        code, reason, spot = ErrorCode.COOLDOWN, "Wait a moment before you jump again.", None
        if waited >= cooldown:
            code, reason, spot = self._destination(command, slot)
        retry_ms = 0
        if code == ErrorCode.COOLDOWN:
            retry_ms = math.ceil((cooldown - waited) * 1000 / self._manifest.tick_rate_hz)
        if spot is not None:
            self.jump_tick[slot] = tick
            self._move_to(slot, spot, tick)
        result = Result(command.request_id, code, reason, retry_ms)
        session = (command.session_id,)
        out.tells.append(c.Tell(session, result))
        if spot is not None:
            out.tells.append(c.Tell(session, self.correction(slot, MoveReason.TELEPORT, tick)))

    def _destination(
        self, command: c.Jump | c.SitOn, slot: int
    ) -> tuple[ErrorCode, str, Spot | None]:
        if isinstance(command, c.SitOn):
            return self._sit_on(command.prop_id, slot)
        match command.kind:
            case TeleportTarget.SEAT:
                return self._sit(command.target, slot)
            case TeleportTarget.SPAWN:
                self.stand(slot)
                return ErrorCode.OK, "", self._spawn()
            case TeleportTarget.STAND:
                return self._rise(slot)
            case TeleportTarget.POINT:
                return self._point(command, slot)

    def _point(self, command: c.Jump, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        if not all(math.isfinite(n) for n in (command.x, command.y, command.z, command.yaw)):
            return ErrorCode.OUT_OF_RANGE, "That is no place.", None
        x, _, z = self.metres(slot)
        if math.hypot(command.x - x, command.z - z) > self._manifest.movement.teleport_range_m_max:
            return ErrorCode.OUT_OF_RANGE, "That is too far to jump.", None
        free, ground = movement.walkable(
            self._colliders, self._rules, command.x, command.y, command.z
        )
        if not free:
            return ErrorCode.BLOCKED, "There is no room to stand.", None
        self.stand(slot)
        return ErrorCode.OK, "", Spot(command.x, ground, command.z, command.yaw)

    def _sit(self, seat: int, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        if seat >= len(self._manifest.seats):
            return ErrorCode.NOT_FOUND, "There is no such seat.", None
        if self.slot_of_seat[seat] not in (-1, slot):
            return ErrorCode.TAKEN, "Somebody sits there.", None
        x, y, z = self._manifest.seats[seat].position
        here = self.metres(slot)
        if math.hypot(x - here[0], z - here[2]) > self._manifest.movement.teleport_range_m_max:
            return ErrorCode.OUT_OF_RANGE, "That seat is too far away.", None
        self.stand(slot)
        self._take_seat(seat, slot)
        return ErrorCode.OK, "", Spot(x, y, z, math.radians(self._manifest.seats[seat].yaw_deg))

    def _sit_on(self, prop_id: bytes, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        spot = self.prop_seats.spot(prop_id)
        if spot is None:
            return ErrorCode.NOT_FOUND, "There is no such seat (any more).", None
        if self.prop_seats.slot_of.get(prop_id, slot) != slot:
            return ErrorCode.TAKEN, "Somebody sits there.", None
        here = self.metres(slot)
        distance = math.hypot(spot.x_m - here[0], spot.z_m - here[2])
        if distance > self._manifest.movement.teleport_range_m_max or not self.is_within(
            (spot.x_m, spot.y_m, spot.z_m)
        ):
            return ErrorCode.OUT_OF_RANGE, "That seat is too far away.", None
        self.stand(slot)
        self._take_prop(prop_id, slot)
        return ErrorCode.OK, "", spot

    def _take_prop(self, prop_id: bytes, slot: int) -> None:
        self.prop_seats.take(slot, prop_id)
        self.set_flag(slot, _SEATED, True)

    def clear_seats(self, tick: int, out: c.TickOutput) -> None:
        """Whose seat has been moved or deleted stands up."""
        for slot in self.prop_seats.lost():
            _, _, spot = self._rise(slot)
            assert spot is not None, "who sits can stand up"
            self._move_to(slot, spot, tick)
            session = (int(self._tables.sessions[slot]),)
            out.tells.append(c.Tell(session, self.correction(slot, MoveReason.TELEPORT, tick)))

    def _take_seat(self, seat: int, slot: int) -> None:
        self.slot_of_seat[seat] = slot
        self.seat_of_slot[slot] = seat
        self.set_flag(slot, _SEATED, True)

    def seat_of(self, slot: int) -> int:
        """The seat of the manifest on which an avatar sits; -1 for none."""
        return int(self.seat_of_slot[slot])

    def prop_of(self, slot: int) -> bytes:
        """The prop on which an avatar sits; empty for none."""
        return self.prop_seats.prop_of.get(slot, b"")

    def _rise(self, slot: int) -> tuple[ErrorCode, str, Spot | None]:
        """Stand up to the nearest free place around the seat, trying the front first."""
        if self.seat_of_slot[slot] < 0 and not self.prop_of(slot):
            return ErrorCode.NOT_FOUND, "You do not sit.", None
        x, y, z = self.metres(slot)
        yaw = pose.yaw_of(int(self._tables.poses.rows[slot, pose.YAW]))
        for distance in (0.6, 0.9, 1.2):
            for turn in (0.0, 1.0, -1.0, 2.0, -2.0, 3.0):
                at = (x - distance * math.sin(yaw + turn), z - distance * math.cos(yaw + turn))
                free, ground = movement.walkable(
                    self._colliders, self._rules, at[0], y + 0.5, at[1]
                )
                if free:
                    self.stand(slot)
                    return ErrorCode.OK, "", Spot(at[0], ground, at[1], yaw)
        self.stand(slot)
        return ErrorCode.OK, "", self._spawn()

    def stand(self, slot: int) -> None:
        """Free the seat of `slot`, if it has one."""
        seat = int(self.seat_of_slot[slot])
        if seat >= 0:
            self.seat_of_slot[slot] = -1
            self.slot_of_seat[seat] = -1
        if seat >= 0 or self.prop_of(slot):
            self.prop_seats.free(slot)
            self.set_flag(slot, _SEATED, False)

    def metres(self, slot: int) -> Vector:
        """Where an avatar stands."""
        row = self._tables.poses.rows[slot]
        y = int(row[pose.Y]) * self._manifest.y_unit_mm / 1000
        return int(row[pose.X]) / 1000, y, int(row[pose.Z]) / 1000

    def _place(self, slot: int, spot: Spot) -> None:
        movement.place(self._tables.moves, self._rules, self._tables.poses, slot, spot)

    def _move_to(self, slot: int, spot: Spot, tick: int) -> None:
        """To another place than its client knows: what that had sent before it hears is void."""
        self._place(slot, spot)
        self._tables.moves.unheard_tick[slot] = tick

    def set_flag(self, slot: int, flag: int, on: bool) -> None:
        flags = int(self._tables.poses.rows[slot, pose.FLAGS])
        self._tables.poses.rows[slot, pose.FLAGS] = flags | flag if on else flags & ~flag

    def correction(self, slot: int, reasons: int, tick: int) -> Message:
        """The message that an avatar was moved by the world."""
        seq = int(self._tables.moves.seq[slot])
        return Correction(seq, tick, int(reasons), root_body(self._tables, slot))


def root_body(tables: Tables, slot: int) -> bytes:
    """Where an entity stands, as a root-only pose body."""
    row = tables.poses.rows[slot : slot + 1]
    return pose.encode_bodies(row, tables.poses.extras[slot : slot + 1], 0).tobytes()

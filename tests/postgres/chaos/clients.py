"""People who build, and remember every word that they were told about it.

Theory of operation
-------------------
Each `Builder` keeps to docs/PROTOCOL.md: it comes back with its resume token whenever its link is
gone, and then asks again, with the same request ids and in their order, for every edit whose fate
it does not know. What it was told is kept by session and request id, for the audit. A server
that contradicts itself (DURABLE and later REFUSED, say) is noted at once, in `contradictions`.

A session that could not be resumed leaves edits behind whose fate nobody can tell; they stay in
its memory as they are, and the audit takes either end of them for good.
"""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator

import trio

from atrium_client.body import Body, root_of
from atrium_shared import codec, edits, limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import EditState, SaveState
from atrium_shared.props import Shape, Transform
from chaos.memory import Asked, Bell, Habits, Memory, Whereabouts
from chaos.wire import LinkLost, Wire

JOIN_S_MAX = 12.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 0.5
"""Before a client comes back."""
ASKED_AGAIN_PER_S = 25.0
ASKED_MAX = 10
"""How often the same edit is asked for, when each time it comes too fast."""
OPEN_MAX = 200
"""Edits of one builder whose fate is not known; the server takes EDITS_UNANSWERED_MAX."""
OWN_MAX = 40
"""Props of one builder, about."""
PATIENCE_S = 0.5
"""Who was told that nothing can be saved waits for about this long."""
POSES_PER_S = 5.0
WALK_M_PER_S = 1.5
TRACK_S = 10.0
"""How much of its own way a walker remembers."""
WALK_M_MAX = 12.0
"""Walkers turn around at this distance from the middle."""

assert ASKED_AGAIN_PER_S < limits.EDIT_PER_S_MAX
assert OPEN_MAX < limits.EDITS_UNANSWERED_MAX

_OP_PLACE = {0xDC: 3}
"""Where the op of a message is: behind the head of a long array, or of a short one."""
_NOT_READ = {
    m.op_of(kind)
    for kind in (m.PropsChanged, m.PropsFlown, m.PropHeld, m.Leave, m.ChatPublished, m.Emote)
}


class Builder:
    """One person: a session that is resumed whenever it can be."""

    def __init__(self, name: str, chance: random.Random, crowd: Crowd) -> None:
        self.name, self.chance, self.crowd = name, chance, crowd
        self.where = crowd.where
        self.memories: list[Memory] = []
        self.welcome: m.Welcome | None = None
        self.wire: Wire | None = None
        """The link, while we are in."""
        self.saving = SaveState.RW
        self.last_words = ""
        """How the last link ended."""
        self.sits = False
        self.resumes = 0
        self.body = Body()
        self.track: deque[tuple[float, float, float]] = deque()
        """(time, x, z) of the poses of the last TRACK_S."""
        self.seen: dict[int, str] = {}
        """Names of those who came into view since the last welcome, by entity."""
        self.results: dict[int, int] = {}
        """Codes of answers to requests that are no edits."""
        self._token = ""
        self._props: list[bytes] = []
        self._pose_seq = 0
        self._heading = chance.uniform(0, math.tau)

    @property
    def memory(self) -> Memory:
        return self.memories[-1]

    @property
    def has_open(self) -> bool:
        return bool(self.memories) and bool(self.memory.open)

    # --- the link ------------------------------------------------------------------------

    async def live(self) -> None:
        """Be there for ever: come in, build, come back."""
        while True:
            host, port = await self.where.find()
            try:
                wire = await Wire.open(host, port)
                try:
                    await self._stay(wire)
                finally:
                    self.wire = None
                    await wire.aclose()
            except LinkLost as lost:
                self.last_words = str(lost)
                self.crowd.bell.ring()
            await trio.sleep(self.chance.uniform(PAUSE_S_MIN, PAUSE_S_MAX))

    async def _stay(self, wire: Wire) -> None:
        """One link, from the hello to its end. Raises LinkLost."""
        self._take_welcome(await self._join(wire))
        self.wire = wire
        self.crowd.bell.ring()
        lost: list[LinkLost] = []

        async def until_lost(task: Callable[[Wire], object]) -> None:
            try:
                await task(wire)  # type: ignore[misc]
            except LinkLost as error:
                lost.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            self._on_this_link = nursery
            nursery.start_soon(until_lost, self._hear)
            nursery.start_soon(until_lost, self._build)
            if self.crowd.habits.walks:
                nursery.start_soon(until_lost, self._walk)
        raise lost[0]

    async def _join(self, wire: Wire) -> m.Welcome:
        wants = m.Capabilities(avatars_max=self.crowd.habits.avatars_max, parts=0)
        hello = m.Hello(
            codec.PROTOCOL_HASH, m.ClientKind.BOT, self.name, "", "", wants, "", self._token, 0
        )
        await wire.send(codec.encode(hello))
        while True:
            said = codec.decode_server(await wire.receive(JOIN_S_MAX))
            if isinstance(said, m.Welcome):
                return said
            if isinstance(said, m.Error):
                if said.code == ErrorCode.RESUME_INVALID:
                    self._token = ""
                    self.crowd.unresumed += 1
                raise LinkLost(f"refused: {said.sentence}")

    def _take_welcome(self, welcome: m.Welcome) -> None:
        self._token, self.welcome = welcome.resume_token, welcome
        self.saving, self.seen = SaveState.RW, {}
        who = uuid.UUID(welcome.author.removeprefix("guest:"))
        if welcome.resumed:
            self.resumes += 1
            if not self.memories or self.memory.uuid != who:
                self.crowd.contradictions.append(f"{self.name} came back as somebody else")
        else:
            self.memories.append(Memory(who))
            self._props.clear()
        self._stand(welcome.body)

    def _stand(self, body: bytes) -> None:
        row = root_of(body)
        assert self.welcome is not None
        y_m = int(row[pose.Y]) * self.welcome.y_unit_mm / 1000
        self.body.place((int(row[pose.X]) / 1000, y_m, int(row[pose.Z]) / 1000))

    # --- what is heard -------------------------------------------------------------------

    async def _hear(self, wire: Wire) -> None:
        while True:
            data = await wire.receive(self.crowd.habits.silence_s)
            if data[_OP_PLACE.get(data[0], 1)] in _NOT_READ:
                continue
            said = codec.decode_server(data)
            match said:
                case m.Snapshot():
                    await wire.send(codec.encode(m.Ack(said.tick)))
                case m.EditStatus():
                    self._answered(said)
                case m.Saving():
                    self.saving = said.state
                    self.crowd.savings.add(said.state)
                    self.crowd.bell.ring()
                case m.Enter():
                    self.seen |= {one.entity_id: one.name for one in said.entries}
                case m.Correction():
                    self._stand(said.body)
                case m.Result():
                    self.results[said.request_id] = said.code
                    self.crowd.bell.ring()
                case m.Error():
                    raise LinkLost(said.sentence)
                case _:
                    pass

    def _answered(self, status: m.EditStatus) -> None:
        asked = self.memory.asked.get(status.request_id)
        if asked is None:
            self.crowd.contradictions.append(f"{self.name} was told of {status}, never asked for")
            return
        too_fast = status.state is EditState.REFUSED and status.code == ErrorCode.RATE_LIMITED
        if too_fast and asked.times > 1 and asked.is_open:  # tells nothing of its fate
            if asked.times < ASKED_MAX:
                self._on_this_link.start_soon(self._ask_again, status.request_id, status.retry_ms)
            else:  # nobody will know
                self.memory.open.pop(status.request_id, None)
                self.crowd.bell.ring()
            return
        if not asked.is_open:
            if asked.state is not status.state:
                self.crowd.contradictions.append(
                    f"{self.name} was told {asked.state} of {status.request_id}, then {status}"
                )
            return
        asked.state, asked.code, asked.reason = status.state, status.code, status.reason
        self.crowd.heard[status.state] += 1
        if not asked.is_open:
            self.memory.open.pop(status.request_id, None)
            if status.code == ErrorCode.NOT_FOUND and isinstance(
                asked.edit, edits.Place | edits.Delete
            ):
                self._forget(asked.edit.prop_id)
            self.crowd.bell.ring()

    async def _ask_again(self, request_id: int, retry_ms: int) -> None:
        await trio.sleep(retry_ms / 1000)
        if request_id in self.memory.open:
            await self._say(request_id)

    # --- what is said --------------------------------------------------------------------

    async def ask(self, edit: edits.Edit) -> Asked:
        """Ask for an edit now. Raises LinkLost."""
        memory = self.memory
        memory.newest += 1
        asked = memory.asked[memory.newest] = memory.open[memory.newest] = Asked(edit)
        await self._say(memory.newest)
        return asked

    async def _say(self, request_id: int) -> None:
        asked = self.memory.asked[request_id]
        asked.times += 1
        if self.wire is None:
            raise LinkLost("there is no link to ask on")
        await self.wire.send(codec.encode(m.EditSubmit(request_id, asked.edit)))

    async def _build(self, wire: Wire) -> None:
        """Ask again for what is open, then build while the crowd does."""
        for request_id in sorted(self.memory.open):
            if request_id in self.memory.open:
                await self._say(request_id)
                await trio.sleep(1 / ASKED_AGAIN_PER_S)
        while True:
            await self.crowd.building.wait()
            await trio.sleep(self.chance.expovariate(self.crowd.habits.edits_per_s))
            if self.saving in (SaveState.READ_ONLY, SaveState.FENCED):
                await trio.sleep(self.chance.uniform(0, 2 * PATIENCE_S))
            if self.crowd.building.is_set() and len(self.memory.open) < OPEN_MAX:
                await self.ask(self._next_edit())

    def _next_edit(self) -> edits.Edit:
        chance, own = self.chance, self._props
        roll = chance.random()
        if not own or (roll < 0.35 and len(own) < OWN_MAX):
            prop_id = chance.randbytes(16)
            own.append(prop_id)
            self.crowd.created.append(prop_id)
            return edits.Create(prop_id, b"", self._somewhere(), Shape(collides=False))
        if roll < 0.75:
            return edits.Place(chance.choice(own), self._somewhere())
        if roll < 0.85:
            prop_id = chance.choice(own)
            self._forget(prop_id)
            return edits.Delete(prop_id)
        if roll < 0.93:
            return edits.Undo()
        if roll < 0.96:
            return edits.Redo()
        if roll < 0.98:  # what is somebody else's, as a rule: it must not be done
            return edits.Place(chance.choice(self.crowd.created), self._somewhere())
        return edits.Duplicate(chance.choice(own), chance.randbytes(16), self._somewhere())

    def _forget(self, prop_id: bytes) -> None:
        if prop_id in self._props:
            self._props.remove(prop_id)

    def _somewhere(self) -> Transform:
        x, y, z = (self.chance.uniform(-50, 50) for _ in range(3))
        return Transform((x, y, z), scale=(self.chance.uniform(0.1, 2.0), 1.0, 1.0))

    async def sit(self, seat: int) -> None:
        """Ask for a seat. Its answer comes into `results`, by the number of the seat + 1."""
        assert self.wire is not None
        jump = m.Teleport(seat + 1, m.TeleportTarget.SEAT, seat, 0.0, 0.0, 0.0, 0.0)
        await self.wire.send(codec.encode(jump))

    async def _walk(self, wire: Wire) -> None:
        while True:
            await trio.sleep(1 / POSES_PER_S)
            if self.sits:
                continue
            x, y, z = self.body.position
            if math.hypot(x, z) > WALK_M_MAX:
                self._heading = math.atan2(-z, -x) + self.chance.uniform(-1, 1)
            step = WALK_M_PER_S / POSES_PER_S
            x, z = x + step * math.cos(self._heading), z + step * math.sin(self._heading)
            self.body.place((x, y, z))
            now = trio.current_time()
            self.track.append((now, x, z))
            while self.track[0][0] < now - TRACK_S:
                self.track.popleft()
            self._pose_seq += 1
            await wire.send(codec.encode_pose(
                self._pose_seq, int(now * 1000) & 0xFFFFFFFF, 0, self.body.encode()
            ))


class Crowd:
    """Many builders of one world, and what they all were told."""

    def __init__(
        self, nursery: trio.Nursery, chance: random.Random, habits: Habits | None = None
    ) -> None:
        self.nursery, self.chance = nursery, chance
        self.habits = habits or Habits()
        self.where = Whereabouts()
        self.bell = Bell()
        self.building = trio.Event()
        """Set while they build."""
        self.builders: list[Builder] = []
        self.created: list[bytes] = []
        self.contradictions: list[str] = []
        self.heard: Counter[EditState] = Counter()
        self.savings: set[SaveState] = set()
        """What they were told of the saving."""
        self.unresumed = 0
        """Tokens that were refused."""

    def add(self, count: int, name: str = "Builder") -> list[Builder]:
        """More people come in."""
        seeds = [self.chance.getrandbits(64) for _ in range(count)]
        some = [Builder(f"{name} {k}", random.Random(s), self) for k, s in enumerate(seeds)]
        self.builders += some
        for one in some:
            self.nursery.start_soon(one.live)
        return some

    async def all_in(self, seconds: float) -> None:
        """Wait until everybody has a welcome. Raises trio.TooSlowError."""
        await self.bell.until(lambda: all(one.wire for one in self.builders), seconds)

    def build(self) -> None:
        """Let them build from now on."""
        self.building.set()

    def pause(self) -> None:
        """Let them ask for nothing new."""
        if self.building.is_set():
            self.building = trio.Event()

    async def rest(self, seconds: float) -> None:
        """Wait until they know the fate of all that they asked for. Raises trio.TooSlowError."""
        self.pause()
        await self.bell.until(
            lambda: all(one.wire and not one.has_open for one in self.builders), seconds
        )

    async def more_durable(self, count: int, seconds: float) -> None:
        """Wait until that many more edits are durable. Raises trio.TooSlowError."""
        goal = self.heard[EditState.DURABLE] + count
        await self.bell.until(lambda: self.heard[EditState.DURABLE] >= goal, seconds)

    async def all_hear(self, state: SaveState, seconds: float) -> None:
        """Wait until everybody who is in was told that of the saving. Raises trio.TooSlowError."""
        await self.bell.until(
            lambda: all(one.saving is state for one in self.builders if one.wire), seconds
        )

    def memories(self) -> Iterator[Memory]:
        """All sessions of all builders."""
        for one in self.builders:
            yield from one.memories

    @property
    def resumes(self) -> int:
        return sum(one.resumes for one in self.builders)

"""`connect` and `Me`: what an application uses.

::

    async with connect("ws://127.0.0.1:8080", name="Ada") as me:
        await me.walk((3.0, 0.0, -4.0))
        await me.say("hello")
        for other in me.others: ...

What runs in the background (`driver`) lives exactly as long as the `async with` block, and so do
tasks that the application starts in `me.nursery`. When the session ends for good, the block is
cancelled and `connect` raises the reason.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import trio

from atrium_client import body
from atrium_client.backoff import ReconnectPolicy
from atrium_client.body import Vector, yaw_towards
from atrium_client.driver import Driver, granted
from atrium_client.errors import ReconnectFailed
from atrium_client.events import ChatLine, Event
from atrium_client.feed import Feed
from atrium_client.link import CLOSE_S_MAX, Address, Dialer, websocket_url
from atrium_client.session import ClientSession, Identity
from atrium_client.social import FEATURES, Social
from atrium_client.view import Avatar, Transform
from atrium_shared import limits
from atrium_shared.messages import (
    Capabilities,
    ChatChannel,
    ChatState,
    ChatStatus,
    ClientKind,
    TeleportTarget,
)
from atrium_shared.pose import Flags

WALK_M_PER_S = 1.4
NO_PROGRESS_S = 1.0
ARRIVED_M = 0.002
LANDING_S_MAX = 1.0
SETTLING_TICKS = 2
"""The server tells a correction at most every second tick."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is seldom changed. The defaults suit a bot."""

    avatar: str = ""
    kind: ClientKind = ClientKind.BOT
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(features=FEATURES))
    auth_token: str = ""
    pose_rate_hz: float = 20.0
    """Poses sent per second, 1 to 60."""
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    ssl: ssl.SSLContext | None = None
    """For wss://; None trusts whom this system trusts. For a certificate of the server's own:
    `ssl.create_default_context(cafile="certificate.pem")`."""

    def __post_init__(self) -> None:
        if not 1 <= self.pose_rate_hz <= 60:
            raise ValueError("pose_rate_hz must lie between 1 and 60")


@dataclass(frozen=True, slots=True)
class ChatOutcome:
    """What became of a line: PUBLISHED with its `chat_seq`, or REJECTED with a reason."""

    state: ChatState
    chat_seq: int
    reason: str

    @property
    def published(self) -> bool:
        """Whether others have seen it."""
        return self.state is ChatState.PUBLISHED


@asynccontextmanager
async def connect(
    url: str,
    *,
    name: str,
    world: str = "",
    options: Options | None = None,
    stream: trio.abc.Stream | Dialer | None = None,
) -> AsyncGenerator[Me]:
    """Join a world and stay in it for the length of the block.

    `stream` replaces the TCP connection to the host in `url`: a stream that is connected already
    (a lost link then ends the session), or a function that opens one each time it is called.

    Raises ConnectionFailed when no Atrium server answers and ConnectionRefused when it says no.
    Later, out of the block: SessionEnded or ReconnectFailed.
    """
    chosen = options if options is not None else Options()
    identity = Identity(
        name, chosen.avatar, world, chosen.kind, chosen.capabilities, chosen.auth_token,
        chosen.reconnect.rejoin,
    )
    dial = _only_once(stream) if isinstance(stream, trio.abc.Stream) else stream
    address = Address(websocket_url(url), dial, chosen.ssl)
    driver = Driver(ClientSession(identity), address, chosen.reconnect, chosen.pose_rate_hz)
    try:
        async with trio.open_nursery() as background:
            await background.start(driver.run)
            background.start_soon(driver.keep_time)
            background.start_soon(driver.carry_edits)
            try:
                async with trio.open_nursery() as nursery:
                    yield Me(driver, nursery)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.move_on_after(2 * CLOSE_S_MAX, shield=True):
                    await driver.leave()
                background.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        alone = _alone(group)
        if isinstance(alone, BaseExceptionGroup):
            raise
        # The nursery is our own affair: one error leaves the block as what it is.
        raise alone from alone.__cause__
    finally:
        driver.end_edits()


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in nested groups of one; a group of several as it is."""
    while len(group.exceptions) == 1:
        inner = group.exceptions[0]
        if not isinstance(inner, BaseExceptionGroup):
            return inner
        group = cast("BaseExceptionGroup[BaseException]", inner)
    return group


def _only_once(stream: trio.abc.Stream) -> Dialer:
    streams = [stream]

    async def dial() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if not streams:
            raise ReconnectFailed(
                "The connection was lost, and the stream that was given cannot be opened again."
            )
        return streams.pop()

    return dial


class Me(Social):
    """Our presence in a world. Made by `connect`."""

    def __init__(self, driver: Driver, nursery: trio.Nursery) -> None:
        super().__init__(driver)
        self.nursery = nursery
        """Cancelled when the block ends: for tasks that make sense only inside the session."""

    # --- who and where we are ------------------------------------------------------------

    @property
    def session(self) -> ClientSession:
        """The protocol's state, to be read: welcome, roster, view, clock, ..."""
        return self._driver.session

    @property
    def entity_id(self) -> int:
        """Our number in this world."""
        welcome = self.session.welcome
        assert welcome is not None
        return welcome.entity_id

    @property
    def world(self) -> str:
        """The name of the world we are in."""
        welcome = self.session.welcome
        assert welcome is not None
        return welcome.world

    @property
    def position(self) -> Vector:
        """Where we stand, in metres, corrections of the server included."""
        return self._driver.body.position

    @property
    def yaw(self) -> float:
        """Where we face, in radians; 0 looks along -Z, positive turns left."""
        return self._driver.body.yaw

    @property
    def rtt_s(self) -> float | None:
        """Shortest recent round trip to the server; None before the first was measured."""
        return self.session.clock.rtt_s

    # --- moving --------------------------------------------------------------------------

    def move_to(self, position: Vector, yaw: float | None = None) -> None:
        """Be at `position` (metres) from the next pose on; the server corrects what is too far.

        Raises ValueError for numbers that are not finite or that no world can hold.
        """
        self._driver.body.place(position, yaw)

    async def move(self, position: Vector, yaw: float | None = None) -> Vector:
        """Like `move_to`, and wait until the server has taken it; returns where it put us."""
        self.move_to(position, yaw)
        driver, session = self._driver, self.session
        wanted = session.seq + 1
        while session.ack_seq < wanted:
            await driver.changed.wait()
        settled = driver.snapshots + SETTLING_TICKS
        while driver.snapshots < settled:
            await driver.changed.wait()
        return self.position

    async def walk(self, target: Vector, speed_m_per_s: float = WALK_M_PER_S) -> Vector:
        """Walk in a straight line and face the way; returns where the server says we stopped.

        That is `target`, or the place from which no way was made for NO_PROGRESS_S: a wall.
        """
        if not 0 < speed_m_per_s < float("inf"):
            raise ValueError("a speed must be positive")
        best_m, best_s = _distance_m(self.position, target), trio.current_time()
        then_s = best_s
        while (left_m := _distance_m(self.position, target)) > ARRIVED_M:
            now_s = trio.current_time()
            if left_m < best_m - ARRIVED_M:
                best_m, best_s = left_m, now_s
            elif now_s - best_s > NO_PROGRESS_S:
                return await self.move(self.position)
            share = min(1.0, speed_m_per_s * (now_s - then_s) / left_m)
            x, y, z = (a + (b - a) * share for a, b in zip(self.position, target, strict=True))
            self.move_to((x, y, z), yaw_towards(self.position, target))
            then_s = now_s
            await trio.sleep(1.0 / limits.TICK_RATE_HZ_DEFAULT)
        return await self.move(target)

    def look(self, yaw: float | None = None, pitch: float = 0.0) -> None:
        """Face `yaw` (None keeps it) and tilt the head by `pitch`; radians, up is positive."""
        self._driver.body.look(yaw, pitch)

    def set_head(self, head: Transform) -> None:
        """The tracked head, in the frame of the root."""
        self._driver.body.set_points({body.HEAD: head})

    def set_hands(self, left: Transform | None, right: Transform | None) -> None:
        """Both tracked hands, in the frame of the root; None for either stops tracking them."""
        if left is None or right is None:
            self._driver.body.drop_points((body.LEFT_HAND, body.RIGHT_HAND))
        else:
            self._driver.body.set_points({body.LEFT_HAND: left, body.RIGHT_HAND: right})

    def set_typing(self, typing: bool) -> None:
        """Show others that we are writing a line."""
        flags = self._driver.body.flags
        self._driver.body.flags = flags | Flags.TYPING if typing else flags & ~Flags.TYPING

    async def teleport(self, position: Vector, yaw: float | None = None) -> Vector:
        """Jump to `position`; returns where the server put us. Raises RequestRefused."""
        place = (*position, self.yaw if yaw is None else yaw)
        return await self._jump(TeleportTarget.POINT, place)

    async def sit(self, seat: int) -> Vector:
        """Sit down on a seat of the world. Raises RequestRefused, for instance when it is TAKEN."""
        return await self._jump(TeleportTarget.SEAT, seat)

    async def stand(self) -> Vector:
        """Leave the seat. Raises RequestRefused."""
        return await self._jump(TeleportTarget.STAND, 0)

    async def respawn(self) -> Vector:
        """Go to a spawn point of the server's choice. Raises RequestRefused."""
        return await self._jump(TeleportTarget.SPAWN, 0)

    async def _jump(
        self, kind: TeleportTarget, place: tuple[float, float, float, float] | int
    ) -> Vector:
        driver, session = self._driver, self.session
        jumps = driver.jumps
        granted(await driver.request(lambda now_s: session.teleport(kind, place, now_s)))
        # The correction that says where we landed comes in the same tick as the result, in either
        # order; should it be missing, we are where we were.
        with trio.move_on_after(LANDING_S_MAX):
            while driver.jumps == jumps:
                await driver.changed.wait()
        return self.position

    async def travel(self, world: str) -> None:
        """Go to another world of this server. Raises RequestRefused and stays where we are."""
        session = self.session
        granted(await self._driver.request(lambda now_s: session.travel(world, now_s)))

    # --- others --------------------------------------------------------------------------

    @property
    def server_s(self) -> float:
        """The server's time now, in seconds."""
        return self.session.clock.now(trio.current_time())

    @property
    def render_s(self) -> float:
        """The moment to show now, in server seconds: a little in the past, so that it is known."""
        return self._driver.render_s

    @property
    def others(self) -> list[Avatar]:
        """Everybody else in view at `render_s`, interpolated."""
        return self.at(self.render_s)

    def at(self, render_s: float) -> list[Avatar]:
        """Everybody else in view at a moment of the server's time, in seconds."""
        mine = self.entity_id
        everybody = self._driver.interpolator.avatars(render_s)
        return [avatar for avatar in everybody if avatar.entity_id != mine]

    # --- talking -------------------------------------------------------------------------

    async def say(
        self, text: str, *, channel: ChatChannel = ChatChannel.WORLD, to: int | None = None
    ) -> ChatOutcome:
        """Say a line, to one entity if `to` is given; returns once its fate is known.

        Look at `published`: a line that the server denies, for whatever reason, comes back as
        REJECTED with a sentence and raises nothing. Raises RequestRefused when too many requests
        of ours wait already, RequestLost when no answer came, and ValueError for an empty line or
        one that is too long.
        """
        session, target = self.session, 0
        if to is not None:
            channel, target = ChatChannel.DIRECT, to
        answer = await self._driver.request(
            lambda now_s: session.chat(text, channel, target, now_s)
        )
        assert isinstance(answer, ChatStatus)
        return ChatOutcome(answer.state, answer.chat_seq, answer.reason)

    async def emote(self, emote: int) -> None:
        """Show an emote, 0 to 255; what they mean is agreed between clients.

        There is no answer when it worked. A refusal comes as the event `Refused`.
        """
        await self._driver.until_active()
        await self._driver.send(self.session.emote(emote))

    def listen(self) -> Feed[ChatLine]:
        """Lines that were said, ours included: `async for line in me.listen()`.

        There is one feed; two readers share its lines. It holds the newest `driver.LINES_MAX`.
        """
        return self._driver.lines

    def events(self) -> Feed[Event]:
        """What else happens: Entered, Left, LinkLost, Resumed, Corrected, Emoted, Refused, ..."""
        return self._driver.happenings


def _distance_m(one: Vector, other: Vector) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5

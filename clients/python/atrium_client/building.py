"""What one does to props: the half of `Me` that builds, and takes things in the hand.

An edit is asked for by a call that does not wait, and returns an `EditHandle`: several can be under
way at once, and are done in the order of the calls. Between two links they wait for the next one.
Ids of props are made here, so that a prop can be named before the server has heard of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from atrium_client import body, scene, view
from atrium_client.driver import Driver, granted
from atrium_client.events import PropEvent
from atrium_client.feed import Feed
from atrium_client.handles import EditHandle
from atrium_client.props import PropsView, decode_scene, hand_in_world
from atrium_shared import codec, edits
from atrium_shared.messages import Drag, Grab, Rights
from atrium_shared.props import Properties, Transform

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
LEFT, RIGHT = 0, 1
_POINTS = (body.LEFT_HAND, body.RIGHT_HAND)
_SCENE_TRIES = 3


class Builder:
    """Base of `Me`: everything about props."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    # --- who may -------------------------------------------------------------------------

    @property
    def author(self) -> str:
        """Who we are as the owner of props."""
        welcome = self._driver.session.welcome
        assert welcome is not None
        return welcome.author

    @property
    def rights(self) -> Rights:
        """What we may do in this world."""
        welcome = self._driver.session.welcome
        assert welcome is not None
        return Rights(welcome.rights)

    # --- seeing --------------------------------------------------------------------------

    @property
    def props(self) -> PropsView:
        """The props of this world. Whole only after `load_scene`; see `PropsView.needs_scene`."""
        return self._driver.props

    def prop_events(self) -> Feed[PropEvent]:
        """What is told of props: PropsUpdated, PropTaken, PropsFlew, PropsMoved. `props` has it
        already.
        """
        return self._driver.prop_events

    async def load_scene(self) -> dict[str, Any]:
        """Fetch the scene over HTTP, take the props in it into `props`, and return all of it.

        To be called once after a join or a travel, and after a resume when `props.needs_scene`.
        Raises ConnectionFailed and ProtocolError.
        """
        address, props = self._driver.address, self._driver.props
        path = props.scene_url
        for _ in range(_SCENE_TRIES):
            named = props.scene_url
            try:
                data = await scene.fetch(address, path)
            except scene.NotThere:
                path = await self._newest()
                continue
            found = await trio.to_thread.run_sync(decode_scene, data)
            if named == props.scene_url and props.load(found):
                return await trio.to_thread.run_sync(msgspec.json.decode, data)
            path = props.scene_url if named != props.scene_url else await self._newest()
        raise scene.NotThere("The scene changes faster than it can be fetched.")

    async def _newest(self) -> str:
        welcome = self._driver.session.welcome
        assert welcome is not None
        return await scene.newest_path(self._driver.address, welcome.world)

    def where(self, prop_id: bytes) -> Transform | None:
        """Where a prop is seen now, in the world; None when it is not to be seen.

        That is the moment at which `others` are shown, so what they carry is in their hands.
        """
        return self._driver.props.where(prop_id, self._driver.render_s, self._hand)

    def _hand(self, entity_id: int, hand: int) -> view.Transform | None:
        """A hand in the world, as it is shown."""
        driver = self._driver
        welcome = driver.session.welcome
        if welcome is not None and entity_id == welcome.entity_id:
            point = driver.body.point(_POINTS[hand & 1])
            root, yaw = driver.body.position, driver.body.yaw
        else:
            shown = driver.interpolator.avatars(driver.render_s)
            avatar = next((one for one in shown if one.entity_id == entity_id), None)
            if avatar is None:
                return None
            point = avatar.right_hand if hand == RIGHT else avatar.left_hand
            root, yaw = avatar.position, avatar.yaw
        return None if point is None else hand_in_world(root, yaw, point)

    # --- editing -------------------------------------------------------------------------

    def create(
        self, properties: Properties, transform: Transform | None = None, group: bytes = b""
    ) -> EditHandle:
        """Make a prop, in a group of ours if one is given; its id is that of the handle.

        This and the calls below raise PropError for what no server takes, and RequestRefused when
        too many edits wait to be saved or we are on the way to another world.
        """
        prop_id = uuid.uuid4().bytes
        at = Transform() if transform is None else transform
        return self._edit(edits.Create(prop_id, group, at, properties), prop_id)

    def place(self, prop_id: bytes, transform: Transform) -> EditHandle:
        """Move, turn or scale a prop, within its group if it is in one."""
        return self._edit(edits.Place(prop_id, transform), prop_id)

    async def drag(self, *moves: tuple[bytes, Transform]) -> None:
        """Show others where props are while we move them; nothing more when called without any.

        To be called some ten times a second, with all that is dragged: the server drops what is
        beyond DRAG_PER_S_MAX. It is no edit, is never saved, and needs no undo: `place` ends it.
        """
        await self._driver.until_active()
        drags = tuple(edits.PropMove(prop_id, transform) for prop_id, transform in moves)
        await self._driver.send(codec.encode(Drag(drags)))

    def describe(self, prop_id: bytes, properties: Properties) -> EditHandle:
        """Give a prop other properties of the same kind."""
        return self._edit(edits.Describe(prop_id, properties), prop_id)

    def duplicate(self, prop_id: bytes, transform: Transform) -> EditHandle:
        """A copy of a prop, with all that is in it; the id of the handle is that of the copy."""
        copy_id = uuid.uuid4().bytes
        return self._edit(edits.Duplicate(prop_id, copy_id, transform), copy_id)

    def delete(self, prop_id: bytes) -> EditHandle:
        """Remove a prop, with all that is in it."""
        return self._edit(edits.Delete(prop_id), prop_id)

    def attach(self, prop_ids: Iterable[bytes], group: bytes = b"") -> EditHandle:
        """Put props into a group, or out of theirs; they stay where they are seen."""
        return self._edit(edits.Attach(tuple(prop_ids), group), b"")

    def lock(self, prop_id: bytes, is_locked: bool = True) -> EditHandle:
        """Nobody changes a locked prop before it is unlocked."""
        return self._edit(edits.Lock(prop_id, is_locked), prop_id)

    def undo(self) -> EditHandle:
        """Take back our newest edit, where what it wrote still stands."""
        return self._edit(edits.Undo(), b"")

    def redo(self) -> EditHandle:
        """Do again what we took back last."""
        return self._edit(edits.Redo(), b"")

    def _edit(self, edit: edits.Edit, prop_id: bytes) -> EditHandle:
        return self._driver.watch(self._driver.session.edit(edit), prop_id)

    # --- in the hand ---------------------------------------------------------------------

    async def grab(
        self, prop_id: bytes, hand: int = RIGHT, position_m: Vector = (0.0, 0.0, 0.0),
        rotation: Quaternion = (0.0, 0.0, 0.0, 1.0),
    ) -> None:
        """Take a prop in the hand, where the grip is: the prop in the frame of the hand.

        Raises RequestRefused, for instance when somebody else was first, and RequestLost.
        """
        session = self._driver.session
        grab = Grab(0, prop_id, hand, position_m, rotation)
        granted(await self._driver.request(lambda now_s: session.grab(grab, now_s)))

    def release(
        self, prop_id: bytes, transform: Transform, velocity_m_per_s: Vector = (0.0, 0.0, 0.0)
    ) -> EditHandle:
        """Let go of a prop at a place in the world: it falls, or flies. DURABLE is told when it has
        come to rest.
        """
        request_id = self._driver.session.release(prop_id, transform, velocity_m_per_s)
        return self._driver.watch(request_id, prop_id)

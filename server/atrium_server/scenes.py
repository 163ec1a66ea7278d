"""The scene of a world as a file: all that stands in it, under an address that never changes.

Theory of operation
-------------------
Whoever comes into a world gets the scene over HTTP, compressed once for all, and on the socket the
changes that were told since it was made. Its version names the manifest, the run of the world
(drawn anew each time it begins) and the revision of `telling`: no two scenes ever share an address,
not even when an old backup of the database is restored. When the changes since become many a newer
scene is made, in a thread and in slices, because the tick needs the interpreter as well: it is made
of what the world held between two ticks. Older ones are served for a while to those who were told
of them.
"""

from __future__ import annotations

import itertools
import json
import math
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from atrium_server.tick_gate import GATE
from atrium_server.world.manifest import Manifest
from atrium_server.world.props import Prop
from atrium_server.world.world import World
from atrium_shared import limits
from atrium_shared.props import Properties

PROPS_AT_ONCE: Final = 100
RUN_BYTES: Final = 6
YIELD_S: Final = 0.0002
"""Between two slices the other threads get the interpreter for at least this long."""
PROPS_AT_START_MAX: Final = 200
"""So many are written at once, without a thread."""
GZIP_LEVEL: Final = 6
GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
"""How zlib is told that gzip is meant."""


class _SceneProp(msgspec.Struct, frozen=True, omit_defaults=True):
    """A prop in the JSON of a scene."""

    id: str
    position_m: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    scale: tuple[float, float, float]
    properties: Properties
    group: str = ""
    owner: str = ""
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One version, ready to send."""

    version: str
    revision: int
    compressed: bytes
    """JSON by gzip: a quarter of it, and next to nobody asks for anything else."""


@dataclass(frozen=True, slots=True)
class _Frame:
    revision: int
    data: bytes


_encoder = msgspec.json.Encoder()


class Scenes:
    """The scenes of one world, and what has changed since the newest."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._begun = 0
        self._kept: deque[tuple[float, Scene]] = deque()
        """(until when, scene), the newest last and for ever."""
        self._since: deque[_Frame] = deque()
        self._since_bytes = 0
        self._due = trio.Event()

    async def begin(self, world: World) -> None:
        """A world begins (again): make its first scene."""
        self._begun += 1
        self._since.clear()
        self._since_bytes = 0
        self._keep(await self._make(world))

    @property
    def newest(self) -> Scene:
        return self._kept[-1][1]

    def get(self, version: str) -> Scene | None:
        """The scene of a version that is still served."""
        for _, scene in self._kept:
            if scene.version == version:
                return scene
        return None

    def note(self, revision: int, frame: bytes) -> None:
        """Changes were told to all, in this frame."""
        self._since.append(_Frame(revision, frame))
        self._since_bytes += len(frame)
        if (
            len(self._since) > limits.SCENE_CHANGES_MAX
            or self._since_bytes > limits.SCENE_CHANGES_BYTES_MAX // 2
        ):
            self._due.set()

    def since(self) -> list[bytes]:
        """The frames that make the present of the newest scene."""
        return [frame.data for frame in self._since]

    async def run(self, world: Callable[[], World]) -> None:
        """Make newer scenes of the present world, when they are due, for ever."""
        while True:
            with trio.move_on_after(limits.SCENE_AGE_S_MAX):
                await self._due.wait()
            if not self._since:
                continue
            self._due = trio.Event()
            begun = self._begun
            scene = await self._make(world())
            if begun == self._begun:  # else it is of a world that is no more
                self._keep(scene)
            await trio.sleep(limits.SCENE_S_MIN)

    async def _make(self, world: World) -> Scene:
        revision = world.building.telling.revision
        run = world.building.run[:RUN_BYTES].hex()
        version = f"{self._manifest.scene_version}-{run}-{revision}"
        props = world.building.props.save()
        if len(props) <= PROPS_AT_START_MAX:
            return make_scene(self._manifest, version, revision, props)
        return await trio.to_thread.run_sync(
            make_scene, self._manifest, version, revision, props
        )

    def _keep(self, scene: Scene) -> None:
        now = trio.current_time()
        while self._since and self._since[0].revision <= scene.revision:
            self._since_bytes -= len(self._since.popleft().data)
        if self._kept:
            _, before = self._kept.pop()
            if before.version != scene.version:
                self._kept.append((now + limits.SCENES_KEPT_S, before))
        while self._kept and self._kept[0][0] < now:
            self._kept.popleft()
        self._kept.append((math.inf, scene))


def make_scene(
    manifest: Manifest, version: str, revision: int, props: dict[bytes, Prop]
) -> Scene:
    """The file of a scene. In a thread: it leaves the interpreter to others now and then, and keeps
    out of the way of ticks.
    """
    head: dict[str, Any] = json.loads(manifest.scene_json())
    head |= {"version": version, "revision": revision}
    begin = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()[:-1]
    # It lets others have the interpreter while it works, and writes no time into the head.
    deflate = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
    parts = [deflate.compress(begin + b',"props":[')]
    items = iter(props.items())
    for start in range(0, len(props), PROPS_AT_ONCE):
        some = [_scene_prop(*one) for one in itertools.islice(items, PROPS_AT_ONCE)]
        between = b"," if start else b""
        parts.append(deflate.compress(between + b",".join(map(_encoder.encode, some))))
        if len(props) > PROPS_AT_START_MAX:
            time.sleep(YIELD_S)
            GATE.wait()
    parts += [deflate.compress(b"]}"), deflate.flush()]
    return Scene(version, revision, b"".join(parts))


def _scene_prop(prop_id: bytes, prop: Prop) -> _SceneProp:
    transform = prop.transform
    return _SceneProp(
        str(uuid.UUID(bytes=prop_id)), transform.position_m, transform.rotation, transform.scale,
        prop.properties, str(uuid.UUID(bytes=prop.group)) if prop.group else "", prop.owner,
        prop.is_locked,
    )

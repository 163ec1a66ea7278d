"""A large world: the file that it is imported from, its start, and newcomers who fetch its scene.

The file is a glTF of nodes that are props and nothing else (`extras.atrium` of each says which), so
that `atrium world import` brings in exactly so many. Kinds and titles differ from prop to prop, as
in a world that people have built: a scene of equal props would compress better than any real one.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import random
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from atrium_loadtest.build_report import Fetch
from atrium_loadtest.generator import Generator
from atrium_loadtest.joiner import Joined
from atrium_loadtest.scenarios import Walk
from atrium_loadtest.server_process import ServerError, environment
from atrium_shared import props

IMPORT_S_MAX: Final = 300.0
FETCH_S_MAX: Final = 60.0
EXTENT_M: Final = 190.0
_WORDS: Final = (
    "bench", "lamp", "fern", "stone", "wall", "roof", "door", "table", "crate", "tower", "bridge",
    "tree", "arch", "step", "pot", "fence", "window", "statue", "tent", "boat",
)


def make_props(count: int, seed: int = 1) -> list[tuple[uuid.UUID, props.Transform, Any]]:
    """So many props, the same for the same seed."""
    chance = random.Random(seed)
    made: list[tuple[uuid.UUID, props.Transform, Any]] = []
    for number in range(count):
        name = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).digest()
        made.append((uuid.UUID(bytes=name), _place(chance), _properties(chance, number)))
    return made


def _place(chance: random.Random) -> props.Transform:
    x, z = (round(chance.uniform(-EXTENT_M, EXTENT_M), 3) for _ in range(2))
    size = round(chance.uniform(0.2, 2.0), 2)
    turn = props.checked_transform(props.Transform(
        (x, round(chance.uniform(0.0, 8.0), 3), z),
        (0.0, chance.uniform(-1.0, 1.0), 0.0, chance.uniform(0.1, 1.0)), (size, size, size),
    ))
    return turn


def _properties(chance: random.Random, number: int) -> Any:
    title = f"{chance.choice(_WORDS)} {number}"
    colour = f"#{chance.randrange(1 << 24):06x}"
    draw = chance.random()
    if draw < 0.05:
        return props.Light(title, colour=colour, range_m=round(chance.uniform(2.0, 20.0), 1))
    if draw < 0.08:
        return props.Sign(title, text=" ".join(chance.choices(_WORDS, k=6)))
    if draw < 0.10:
        return props.Seat(title)
    form = chance.choice(list(props.ShapeForm))
    return props.Shape(title, form, colour, roughness=round(chance.random(), 2))


def to_gltf(some: list[tuple[uuid.UUID, props.Transform, Any]]) -> bytes:
    """The props as a glTF file that shows nothing in other programs."""
    nodes = [
        {
            "translation": place.position_m, "rotation": place.rotation, "scale": place.scale,
            "extras": {"atrium": {"id": str(name), "properties": what}},
        }
        for name, place, what in some
    ]
    return msgspec.json.encode({
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": nodes, "extras": {"atrium": {"format": 1}},
    })


def import_file(file: Path, world: str, data_dir: Path) -> float:
    """Bring a file into a world of a database that nobody serves; the seconds that it took.

    Raises ServerError when it fails.
    """
    began_s = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "atrium_server", "world", "import", str(file), world,
            "--data-dir", str(data_dir),
        ],
        capture_output=True, text=True, env=environment(), timeout=IMPORT_S_MAX, check=False,
    )
    if done.returncode:
        raise ServerError(f"the world could not be imported: {done.stderr or done.stdout}")
    return time.monotonic() - began_s


@dataclass(frozen=True)
class SceneSize:
    """The scene of a world as it is served."""

    props: int
    plain_bytes: int
    compressed_bytes: int


def measure_scene(base_url: str, scene_url: str) -> SceneSize:
    """Fetch a scene and look at its size. Raises OSError or ValueError."""
    data = fetch(base_url, scene_url)
    plain = gzip.decompress(data)
    found = msgspec.json.decode(plain)
    return SceneSize(len(found["props"]), len(plain), len(data))


def fetch(base_url: str, path: str) -> bytes:
    """The compressed body at `path`. Raises OSError."""
    parts = urllib.parse.urlsplit(base_url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=FETCH_S_MAX
    )
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise OSError(f"{path} was answered with {answer.status}")
        return data
    except http.client.HTTPException as error:
        raise OSError(f"{path} was not answered well: {error!r}") from None
    finally:
        connection.close()


@dataclass
class Newcomers(Walk):
    """A scenario: who joins while `is_open` fetches the scene at once, as a browser does."""

    base_url: str
    pool: ThreadPoolExecutor
    is_open: bool = False
    failed: int = 0
    scene_url: str = ""
    _fetched: list[Fetch] = field(default_factory=list[Fetch])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def joined(self, generator: Generator, joined: Joined) -> None:
        """Somebody is in."""
        self.scene_url = joined.welcome.scene_url
        if self.is_open:
            self.pool.submit(self._fetch, self.scene_url)

    def take(self) -> list[Fetch]:
        """What was fetched since the last call."""
        with self._lock:
            taken, self._fetched = self._fetched, []
        return taken

    @property
    def fetched(self) -> int:
        """Scenes fetched since the last `take`."""
        with self._lock:
            return len(self._fetched)

    def _fetch(self, path: str) -> None:
        began_s = time.monotonic()
        try:
            data = fetch(self.base_url, path)
        except OSError:
            self.failed += 1
            return
        with self._lock:
            self._fetched.append(Fetch(time.monotonic() - began_s, len(data)))

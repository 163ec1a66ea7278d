"""Our own body, delays between attempts, bounded feeds, addresses, and what the SDK exports."""

from __future__ import annotations

import math
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import trio

import atrium_client
from atrium_client import ConnectionFailed, ReconnectPolicy, Transform
from atrium_client.body import HEAD, LEFT_HAND, RIGHT_HAND, Body, yaw_towards
from atrium_client.feed import Feed
from atrium_client.link import websocket_url
from atrium_shared import pose

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def decoded(body: Body) -> tuple[np.ndarray, int]:
    """(row, parts) of the body as the server sees it."""
    raw = np.frombuffer(body.encode(), np.uint8)[None]
    return pose.decode_bodies(raw)[0][0], int(raw[0, 0])


def test_a_body_is_quantised_to_the_nearest_unit() -> None:
    body = Body()
    body.place((1.2344, -0.5, 7.0006), math.pi / 2)
    row, parts = decoded(body)
    assert row[:4].tolist() == [1_234, -500, 7_001, 1_024]
    assert parts == pose.Parts.HEAD


def test_y_is_told_in_the_unit_of_the_world() -> None:
    body = Body()
    body.y_unit_mm = 2
    body.place((0.0, 60.0, 0.0))
    assert decoded(body)[0][pose.Y] == 30_000


@pytest.mark.parametrize(
    "place", [(math.nan, 0.0, 0.0), (0.0, math.inf, 0.0), (8_400.0, 0.0, 0.0), (0.0, 33.0, 0.0)]
)
def test_places_that_cannot_be_told_are_refused_and_change_nothing(
    place: tuple[float, float, float]
) -> None:
    body = Body()
    body.place((1.0, 0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="position"):
        body.place(place, 0.0)
    assert (body.position, body.yaw) == ((1.0, 0.0, 0.0), 1.0)


def test_hands_are_a_part_only_together() -> None:
    body = Body()
    hand = Transform((0.25, 1.0, -0.5), UPRIGHT)
    body.set_points({LEFT_HAND: hand})
    assert decoded(body)[1] == pose.Parts.HEAD
    body.set_points({RIGHT_HAND: hand})
    row, parts = decoded(body)
    assert parts == pose.Parts.HEAD | pose.Parts.HANDS
    at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * RIGHT_HAND
    assert row[at : at + 3].tolist() == [250, 1_000, -500]
    body.drop_points((LEFT_HAND,))
    assert decoded(body)[1] == pose.Parts.HEAD


@pytest.mark.parametrize(
    "point",
    [Transform((0.0, 33.0, 0.0), UPRIGHT), Transform((math.nan, 0.0, 0.0), UPRIGHT),
     Transform((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))],
)
def test_points_that_cannot_be_told_are_refused(point: Transform) -> None:
    body = Body()
    before = body.encode()
    with pytest.raises(ValueError, match="must"):
        body.set_points({HEAD: point})
    assert body.encode() == before


def test_looking_up_tilts_the_head_and_keeps_its_place() -> None:
    body = Body()
    body.look(0.0, math.pi / 4)
    row, _ = decoded(body)
    code = row[pose.ROOT_COLUMNS + 3 : pose.ROOT_COLUMNS + 4].view(np.uint32)
    x, _, _, w = pose.decode_rotations(code)[0]
    assert 2 * math.atan2(x, w) == pytest.approx(math.pi / 4, abs=math.radians(0.2))
    assert row[pose.ROOT_COLUMNS + 1] == 1_600


def test_only_flags_of_clients_are_told() -> None:
    body = Body()
    body.flags = pose.Flags(255)
    assert decoded(body)[0][pose.FLAGS] == pose.FLAGS_OF_CLIENT


def test_yaw_towards_follows_the_axes() -> None:
    here = (1.0, 0.0, 1.0)
    assert yaw_towards(here, (1.0, 0.0, 0.0)) == pytest.approx(0.0)
    assert yaw_towards(here, (0.0, 0.0, 1.0)) == pytest.approx(math.pi / 2)
    assert yaw_towards(here, (2.0, 0.0, 1.0)) == pytest.approx(-math.pi / 2)
    assert yaw_towards(here, (1.0, 5.0, 1.0)) is None


def test_delays_double_to_their_cap_and_are_repeatable() -> None:
    policy = ReconnectPolicy(first_s=0.2, cap_s=2.0, jitter=0.5, seed=3)
    delays = list(islice(policy.delays_s(random.Random(3)), 8))
    assert delays == list(islice(policy.delays_s(random.Random(3)), 8))
    for delay, whole in zip(delays, [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0], strict=True):
        assert whole / 2 < delay <= whole
    assert len(set(delays[4:])) == 4


@pytest.mark.parametrize("bad", [{"first_s": 0.0}, {"first_s": 9.0}, {"jitter": 2.0},
                                 {"give_up_s": -1.0}])
def test_policies_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        ReconnectPolicy(**bad)


@pytest.mark.parametrize(
    ("given", "opened"),
    [("ws://host:8080", "ws://host:8080/ws"), ("http://host:8080/", "ws://host:8080/ws"),
     ("https://host", "wss://host/ws"), ("host:80", "ws://host:80/ws"),
     ("wss://host/at/ws?x=1#y", "wss://host/at/ws?x=1")],
)
def test_addresses(given: str, opened: str) -> None:
    assert websocket_url(given) == opened


@pytest.mark.parametrize("url", ["ftp://host", "ws://", "http:///ws", "mailto://x"])
def test_an_address_that_is_none_says_what_one_looks_like(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="ws://host:8080"):
        websocket_url(url)


async def test_a_full_feed_drops_its_oldest_and_counts() -> None:
    feed: Feed[int] = Feed(3)
    for number in range(5):
        feed.put(number)
    feed.close()
    assert [number async for number in feed] == [2, 3, 4]
    assert feed.dropped == 2


async def test_a_reader_waits_and_ends_with_the_feed(
    autojump_clock: trio.testing.MockClock
) -> None:
    feed: Feed[int] = Feed(3)
    heard: list[int] = []

    async def read() -> None:
        heard.append(await anext(feed))
        assert [number async for number in feed] == []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.sleep(1)
        feed.put(1)
        await trio.sleep(1)
        assert heard == [1]
        feed.close()


def test_everything_exported_is_there_and_nothing_else_is_public() -> None:
    assert atrium_client.__all__ == sorted(atrium_client.__all__)
    public = {name for name, value in vars(atrium_client).items()
              if not name.startswith("_") and not isinstance(value, type(atrium_client))}
    assert public == set(atrium_client.__all__)


def test_the_readme_shows_the_example_as_it_is() -> None:
    folder = Path(__file__).parents[2] / "clients" / "python"
    example = (folder / "examples" / "walk.py").read_text("utf-8")
    code = example.split('"""\n\n', 1)[1]
    assert f"```python\n{code}```" in (folder / "README.md").read_text("utf-8")

"""What is held is served to nobody; moderators see a preview of it and decide, uploaders hear."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import trio
import trio.testing
from litestar.exceptions import PermissionDeniedException
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import asset_samples as samples
from test_http import ANYBODY, Browser, FakeStatus
from test_http_assets import page, send

from atrium_server.accounts.person import Person
from atrium_server.assets.showing import Judging, rules_for
from atrium_server.assets.store import AssetStore
from atrium_server.assets.uploads import Uploads
from atrium_server.assets.validate import Validator
from atrium_server.http import asset_routes, held_routes, service
from atrium_server.persistence.assets import MemoryAssetRecords
from atrium_server.telemetry import Registry

ANN, MO = UUID(int=1), UUID(int=2)


class Unsure:
    """A judge who is sure of nothing."""

    is_there = True

    async def judge(self, pictures: Sequence[bytes]) -> Sequence[float]:
        await trio.lowlevel.checkpoint()
        return [0.7] * len(pictures)


class House:
    """A server that holds all pictures, and who asks it."""

    def __init__(self, serve: Any, nursery: trio.Nursery) -> None:
        self._serve, self._nursery = serve, nursery
        self.asks = Person(ANN, "ann", frozenset({"upload"}))

    def browser(self) -> Browser:
        client, server = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, server)
        return Browser(client)

    async def person_of(
        self, request: Any, service: Any, needs: str = "", world: str = ""
    ) -> Person:
        await trio.lowlevel.checkpoint()
        assert not world, "assets belong to the server"
        if needs and needs not in self.asks.permissions:
            raise PermissionDeniedException("No.")
        return self.asks

    def moderator_asks(self) -> None:
        self.asks = Person(MO, "mo", frozenset({"moderate"}))


@asynccontextmanager
async def opened(folder: Path, patch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    store, registry = AssetStore(folder / "assets"), Registry()
    judging = Judging(Unsure(), rules_for(["standard"]))
    uploads = Uploads(store, MemoryAssetRecords(), Validator(store.empty), registry, judging)
    async with (
        service.open_http_service(
            FakeStatus(), registry, ANYBODY, page(folder), uploads=uploads
        ) as serve,
        trio.open_nursery() as nursery,
    ):
        house = House(serve, nursery)
        for routes in (asset_routes, held_routes):
            patch.setattr(routes, "person_of", house.person_of)
        yield house
        nursery.cancel_scope.cancel()
    store.close()


def picture() -> bytes:
    """Noise, in which a preview that tells too much shows."""
    pixels = np.random.default_rng(3).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


async def decide(browser: Browser, digest: str, may_show: bool, reason: str = "") -> Any:
    body = json.dumps({"may_show": may_show, "reason": reason}).encode()
    return await browser.ask(
        "POST", f"/api/held-assets/{digest}/decide", {"content-type": "application/json"}, body
    )


async def test_what_is_held_is_served_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture()
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path, monkeypatch) as house:
        browser = house.browser()
        answer = await send(browser, data, "image/png")
        assert (answer.status, json.loads(answer.body)["code"]) == (409, "held")
        for address in ("", "/meta"):
            assert (await browser.get(f"/api/assets/{digest}{address}")).status == 404
        for address in ("/api/held-assets", f"/api/held-assets/{digest}/preview"):
            assert (await browser.get(address)).status == 403, "who uploads is no moderator"
        assert (await decide(browser, digest, True)).status == 403
        own, = json.loads((await browser.get("/api/accounts/me/assets")).body)
        assert (own["hash"], own["state"]) == (digest, "pending")
        assert "moderator" in own["sentence"]
        house.moderator_asks()
        assert (await browser.get(f"/api/assets/{digest}")).status == 404


async def test_a_moderator_sees_little_of_it_and_lets_it_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture()
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path, monkeypatch) as house:
        browser = house.browser()
        await send(browser, data, "image/png")
        house.moderator_asks()
        entry, = json.loads((await browser.get("/api/held-assets")).body)
        assert (entry["hash"], entry["why"], entry["score"]) == (digest, "score", 0.7)
        assert (entry["uploader"], entry["pictures"]) == (str(ANN), 1)
        seen: list[float] = []
        for ending in ("", "?sharp=true"):
            answer = await browser.get(entry["preview_url"] + ending)
            assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
            assert answer.headers["cache-control"] == "no-store"
            seen.append(float(np.asarray(Image.open(io.BytesIO(answer.body))).std()))
        assert seen[0] < seen[1] / 4, "what is coarse shows no detail"
        for ending in ("?picture=1", "?picture=-1"):
            assert (await browser.get(entry["preview_url"] + ending)).status == 404
        assert (await decide(browser, digest, True)).status == 200
        assert (await browser.get(f"/api/assets/{digest}")).body == data
        assert "held_by" not in (await browser.get(f"/api/assets/{digest}/meta")).body.decode()
        assert json.loads((await browser.get("/api/held-assets")).body) == []
        assert (await decide(browser, digest, False)).status == 404, "it is decided"
        assert (await browser.get(entry["preview_url"])).status == 404


async def test_a_moderator_refuses_it_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture()
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path, monkeypatch) as house:
        browser, uploader = house.browser(), house.asks
        await send(browser, data, "image/png")
        house.moderator_asks()
        assert (await decide(browser, digest, False, "x" * 161)).status == 400
        assert (await decide(browser, digest, False, "Not in this house.")).status == 200
        house.asks = uploader
        own, = json.loads((await browser.get("/api/accounts/me/assets")).body)
        assert own["state"] == "refused"
        assert own["sentence"].endswith("Not in this house.")
        again = await send(browser, data, "image/png")
        assert again.status == 422
        assert json.loads(again.body)["sentence"] == own["sentence"]


@pytest.mark.parametrize("digest", ["..", "%2e%2e", "0" * 64, "x" * 64])
async def test_of_what_is_not_there_nothing_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    async with opened(tmp_path, monkeypatch) as house:
        house.moderator_asks()
        browser = house.browser()
        assert (await browser.get(f"/api/held-assets/{digest}/preview")).status == 404
        assert (await decide(browser, digest, True)).status == 404


async def test_pictures_that_cannot_be_seen_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = samples.SAMPLES["image/ktx2"]()
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path, monkeypatch) as house:
        browser = house.browser()
        await send(browser, data, "image/ktx2")
        house.moderator_asks()
        entry, = json.loads((await browser.get("/api/held-assets")).body)
        assert (entry["why"], entry["score"]) == ("unseen", None)
        answer = await browser.get(entry["preview_url"])
        assert answer.status == 404
        assert "KTX2" in json.loads(answer.body)["sentence"]
        assert (await decide(browser, digest, True)).status == 200

"""A network sees pictures as it was taught to, before others do; and what it says is done."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import trio
from PIL import Image

from atrium_server.assets.admission import Reason, UploadRefused
from atrium_server.assets.held import Decision
from atrium_server.assets.pictures import (
    PICTURE_BYTES,
    PICTURE_SIDE_PX,
    Album,
    prepared,
)
from atrium_server.assets.showing import (
    PICTURE_RULES,
    Judging,
    Look,
    NotJudged,
    Showing,
    Why,
    looked_at,
    rules_for,
)
from atrium_server.assets.store import AssetStore
from atrium_server.assets.uploads import Asset, Offer, Uploads, open_uploads
from atrium_server.assets.validate import Validator
from atrium_server.assets.verdict import PNG, Facts, ImageFacts, Verdict
from atrium_server.moderation.policy import PolicyName
from atrium_server.persistence.assets import HELD, REFUSED, MemoryAssetRecords
from atrium_server.telemetry import Registry
from atrium_shared.limits import PICTURES_MAX

sys.path.insert(0, str(Path(__file__).parent))
import asset_samples as samples

ANN, MO = UUID(int=1), UUID(int=2)
SHOW, REFUSE = Decision(True, MO), Decision(False, MO, "Not here.")


class FakeJudge:
    """Says what a test wants of each picture, and keeps what it was shown."""

    def __init__(self, score: float = 0.0) -> None:
        self.score = score
        self.scores: list[float] = []
        self.shown: list[bytes] = []
        self.is_busy = False
        self.is_there = True

    async def judge(self, pictures: Sequence[bytes]) -> Sequence[float]:
        await trio.lowlevel.checkpoint()
        if self.is_busy:
            raise NotJudged("shed")
        self.shown += pictures
        return self.scores or [self.score] * len(pictures)


class House:
    """Uploads with a judge and the real check."""

    def __init__(self, folder: Path, policy: PolicyName = PolicyName.STANDARD) -> None:
        self.store, self.records, self.judge = AssetStore(folder), MemoryAssetRecords(), FakeJudge()
        self.registry = Registry()
        self.uploads = Uploads(
            self.store, self.records, Validator(self.store.empty), self.registry,
            Judging(self.judge, PICTURE_RULES[policy]),
        )

    async def put(self, data: bytes, who: UUID | None = ANN) -> tuple[Asset, bool]:
        return await self.uploads.receive(Offer(len(data), uploader=who), pieces(data))

    async def refusal(self, data: bytes) -> UploadRefused:
        with pytest.raises(UploadRefused) as refused:
            await self.put(data)
        assert refused.value.sentence.endswith(".")
        return refused.value


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    await trio.lowlevel.checkpoint()
    yield data


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "assets")
    yield made
    made.store.close()


def photo(seed: int = 1) -> bytes:
    """A smooth picture of 90 x 60 pixels, with transparency."""
    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(0, 256, (4, 6, 4)).astype(np.uint8), "RGBA")
    written = io.BytesIO()
    small.resize((90, 60), Image.Resampling.BICUBIC).save(written, "PNG")
    return written.getvalue()


def sound_file(pictures: int, images: int) -> Verdict:
    facts = Facts(media_type=PNG, size_bytes=1, images=(ImageFacts(PNG, 1, 1),) * images)
    return Verdict(facts=facts, pictures=(bytes(PICTURE_BYTES),) * pictures)


# --- what is seen ------------------------------------------------------------------------


def test_a_picture_is_seen_as_the_network_was_taught() -> None:
    image = Image.open(io.BytesIO(photo()))
    small = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    written = io.BytesIO()
    small.crop((16, 16, 240, 240)).save(written, "JPEG")
    expected = np.asarray(Image.open(written))
    found = np.frombuffer(prepared(image), np.uint8).reshape(PICTURE_SIDE_PX, PICTURE_SIDE_PX, 3)
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(found) > 100


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_a_picture_is_seen(mode: str) -> None:
    assert len(prepared(Image.new(mode, (3, 5)))) == PICTURE_BYTES


def test_an_album_has_an_end() -> None:
    album = Album()
    for _ in range(PICTURES_MAX + 2):
        album.add(Image.new("RGB", (2, 2)))
    assert len(album.pictures) == PICTURES_MAX


async def test_what_the_process_sees_reaches_the_judge(house: House) -> None:
    data = photo()
    await house.put(data)
    assert house.judge.shown == [prepared(Image.open(io.BytesIO(data)))]


async def test_pictures_inside_a_model_are_seen(house: House) -> None:
    data = photo()
    await house.put(samples.textured(data, "image/png"))
    assert house.judge.shown == [prepared(Image.open(io.BytesIO(data)))]


async def test_nothing_is_seen_where_nobody_looks(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets")
    path = tmp_path / "picture"
    path.write_bytes(photo())
    assert (await Validator(store.empty).check(path)).pictures == ()
    assert len((await Validator(store.empty).check(path, with_pictures=True)).pictures) == 1
    store.close()


# --- what becomes of it ------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "score", "expected"), [
    ("open", 0.9, Showing.SHOW), ("open", 0.91, Showing.HOLD), ("open", 1.0, Showing.HOLD),
    ("standard", 0.6, Showing.SHOW), ("standard", 0.61, Showing.HOLD),
    ("standard", 0.95, Showing.HOLD), ("standard", 0.96, Showing.BLOCK),
    ("strict", 0.3, Showing.SHOW), ("strict", 0.31, Showing.HOLD),
    ("strict", 0.8, Showing.HOLD), ("strict", 0.81, Showing.BLOCK),
    *((policy, float("nan"), Showing.HOLD) for policy in PolicyName),
])
async def test_the_scores_decide(policy: str, score: float, expected: Showing) -> None:
    judging = Judging(FakeJudge(score), rules_for([policy]))
    for images in (1, 3):
        look = await looked_at(sound_file(images, images), judging)
        assert (look.showing, look.why) == (expected, Why.SCORE)


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
async def test_the_worst_picture_decides_wherever_it_is(places: tuple[int, ...]) -> None:
    judge = FakeJudge()
    for scores, expected in (
        ([0.1, 0.7, 0.2], Showing.HOLD), ([0.1, 0.97, 0.7], Showing.BLOCK),
        ([0.1, float("nan"), 0.2], Showing.HOLD), ([0.1, 0.2, 0.3], Showing.SHOW),
    ):
        judge.scores = [scores[place] for place in places]
        look = await looked_at(sound_file(3, 3), Judging(judge, rules_for([])))
        assert look.showing is expected


@pytest.mark.parametrize("policy", PolicyName)
async def test_each_policy_says_what_becomes_of_pictures_without_a_score(
    policy: PolicyName
) -> None:
    judge = FakeJudge()
    judging = Judging(judge, PICTURE_RULES[policy])
    is_open, is_strict = policy is PolicyName.OPEN, policy is PolicyName.STRICT
    unless_open = Showing.SHOW if is_open else Showing.HOLD
    for pictures in (0, 1):
        look = await looked_at(sound_file(pictures, 2), judging)
        assert (look.showing, look.why) == (unless_open, Why.UNSEEN)
    judge.is_busy = True
    assert await looked_at(sound_file(1, 1), judging) == Look(unless_open, Why.FAILED)
    judge.is_there = False
    look = await looked_at(sound_file(0, 1), judging)
    assert look == Look(Showing.HOLD if is_strict else Showing.SHOW, Why.ABSENT)
    assert (await looked_at(sound_file(0, 0), judging)).showing is Showing.SHOW


async def test_a_bad_picture_is_blocked_though_others_were_not_seen() -> None:
    look = await looked_at(sound_file(1, 2), Judging(FakeJudge(0.96), rules_for([])))
    assert look == Look(Showing.BLOCK, Why.SCORE, 0.96)


def test_the_strictest_world_of_a_server_decides() -> None:
    assert rules_for([]) is PICTURE_RULES[PolicyName.STANDARD]
    assert rules_for(["open"]) is PICTURE_RULES[PolicyName.OPEN]
    assert rules_for(["open", "strict", "standard"]) is PICTURE_RULES[PolicyName.STRICT]


async def test_a_picture_of_another_size_is_not_seen() -> None:
    odd = Verdict(facts=sound_file(0, 1).facts, pictures=(b"short",))
    judge = FakeJudge()
    assert (await looked_at(odd, Judging(judge, rules_for([])))).showing is Showing.HOLD
    assert judge.shown == []


async def test_what_is_blocked_leaves_nothing_and_is_remembered(house: House) -> None:
    data = photo()
    house.judge.score = 0.96
    assert (await house.refusal(data)).reason is Reason.BAD_ASSET
    assert [*house.store.hashes()] == []
    house.judge.score = 0.0
    assert (await house.refusal(data)).reason is Reason.BAD_ASSET
    assert len(house.judge.shown) == 1


async def test_what_is_held_nobody_can_fetch_or_use(house: House) -> None:
    data = photo()
    digest = hashlib.sha256(data).hexdigest()
    house.judge.score = 0.7
    for _ in range(2):
        assert (await house.refusal(data)).reason is Reason.HELD
    assert len(house.judge.shown) == 1, "the same bytes are not judged again"
    assert await house.uploads.find(digest) is None
    assert not await house.uploads.touch(digest)
    assert await house.records.bytes_of_account(ANN) == len(data), "it is charged"
    await house.uploads.sweep()
    row = await house.records.find(digest)
    assert row is not None
    assert row.state == HELD
    assert [*house.store.hashes()] == [digest]


async def test_a_moderator_lets_it_be_seen(house: House) -> None:
    data = photo()
    digest = hashlib.sha256(data).hexdigest()
    house.judge.score = 0.7
    await house.refusal(data)
    assert await house.uploads.decide(digest, SHOW)
    found = await house.uploads.find(digest)
    assert found is not None
    assert await house.put(data) == (found, False)
    assert not await house.uploads.decide(digest, REFUSE), "it is decided"


async def test_a_moderator_has_it_removed(house: House) -> None:
    data = photo()
    digest = hashlib.sha256(data).hexdigest()
    house.judge.score = 0.7
    await house.refusal(data)
    assert await house.uploads.decide(digest, REFUSE)
    assert [*house.store.hashes()] == []
    row = await house.records.find(digest)
    assert row is not None
    assert row.state == REFUSED
    assert (await house.refusal(data)).reason is Reason.BAD_ASSET


@pytest.mark.parametrize("digest", ["", "../etc/passwd", "0" * 64])
async def test_only_what_is_held_is_decided(house: House, digest: str) -> None:
    assert not await house.uploads.decide(digest, SHOW)


async def test_a_judge_who_has_no_time_lets_nothing_through(house: House) -> None:
    data = photo()
    house.judge.is_busy = True
    assert (await house.refusal(data)).reason is Reason.HELD
    assert await house.uploads.find(hashlib.sha256(data).hexdigest()) is None
    assert 'atrium_asset_pictures_total{showing="hold",why="failed"} 1' in house.registry.render()


async def test_a_model_can_come_and_go(house: House) -> None:
    house.judge.is_there = False
    assert (await house.put(photo()))[1]
    assert house.judge.shown == []
    house.judge.is_there = True
    await house.put(photo(2))
    assert len(house.judge.shown) == 1


async def test_where_children_are_nothing_passes_that_nobody_looks_at(tmp_path: Path) -> None:
    house = House(tmp_path / "assets", PolicyName.STRICT)
    house.judge.is_there = False
    assert (await house.refusal(photo())).reason is Reason.HELD
    house.store.close()


async def test_why_it_was_held_is_known_until_it_is_decided(house: House) -> None:
    data = photo()
    digest = hashlib.sha256(data).hexdigest()
    house.judge.score = 0.7
    await house.refusal(data)
    row = await house.records.find(digest)
    assert row is not None
    assert row.meta["held_by"] == {"why": "score", "score": 0.7}
    assert await house.uploads.decide(digest, SHOW)
    found = await house.uploads.find(digest)
    assert found is not None
    assert "held_by" not in found.meta, "it is nobody else's business"


async def test_the_server_s_own_are_not_judged(house: House) -> None:
    house.judge.score = 0.9
    await house.put(photo(), who=None)
    assert house.judge.shown == []


async def test_uploads_are_opened_with_a_judge(tmp_path: Path) -> None:
    judge = FakeJudge(0.96)
    data = photo()
    async with open_uploads(
        tmp_path / "assets", MemoryAssetRecords(), Registry(), judging=Judging(judge, rules_for([]))
    ) as uploads:
        with pytest.raises(UploadRefused):
            await uploads.receive(Offer(len(data), uploader=ANN), pieces(data))
    assert len(judge.shown) == 1

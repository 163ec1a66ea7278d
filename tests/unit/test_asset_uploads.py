"""From received bytes to an asset, step by step, and what is left when a step is the last one."""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from atrium_server.assets import uploads as uploads_module
from atrium_server.assets.admission import Admission, Reason, UploadRefused
from atrium_server.assets.store import AssetStore, StorageError, StorageFull
from atrium_server.assets.uploads import Asset, Offer, Uploads, open_uploads
from atrium_server.assets.verdict import PNG, Facts, ImageFacts, Verdict
from atrium_server.persistence.assets import READY, REFUSED, AssetRow, MemoryAssetRecords
from atrium_server.persistence.errors import Unavailable
from atrium_server.telemetry import Registry
from atrium_shared import limits
from atrium_shared.errors import Overload

sys.path.insert(0, str(Path(__file__).parent))
import asset_samples as samples

ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)
DATA = b"an image" * 50_000
DIGEST = hashlib.sha256(DATA).hexdigest()


class FakeValidator:
    """Says what a test wants."""

    def __init__(self) -> None:
        self.checked = 0
        self.verdict: Verdict | None = None
        self.error: Exception | None = None

    async def check(self, path: Path, *, with_pictures: bool = False) -> Verdict:
        self.checked += 1
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        size = (await trio.Path(path).stat()).st_size
        images = (ImageFacts(PNG, 8, 4),)
        return self.verdict or Verdict(
            facts=Facts(media_type=PNG, size_bytes=size, images=images)
        )


class House:
    """Uploads with a fake validator and records in memory."""

    def __init__(self, store: AssetStore) -> None:
        self.store, self.validator, self.records = store, FakeValidator(), MemoryAssetRecords()
        self.registry = Registry()
        self.uploads = Uploads(
            store, self.records, self.validator, self.registry  # type: ignore[arg-type]
        )

    async def put(
        self, data: bytes = DATA, claimed: str = "", who: uuid.UUID | None = ANN
    ) -> tuple[Asset, bool]:
        return await self.uploads.receive(Offer(len(data), claimed, who), pieces(data))

    async def refusal(self, data: bytes = DATA, claimed: str = "") -> UploadRefused:
        with pytest.raises(UploadRefused) as refused:
            await self.put(data, claimed)
        assert refused.value.sentence.endswith(".")
        return refused.value

    def left(self) -> list[str]:
        """What lies in the folder."""
        return [*self.store.hashes(), *(path.name for path in self.store.incoming.iterdir())]


async def pieces(data: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await trio.lowlevel.checkpoint()
        yield data[start : start + size]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = AssetStore(tmp_path / "assets")
    yield House(store)
    store.close()


async def test_a_file_becomes_an_asset(house: House) -> None:
    asset, is_new = await house.put(claimed=PNG)
    assert is_new
    assert (asset.digest, asset.media_type, asset.size_bytes) == (DIGEST, PNG, len(DATA))
    assert asset.meta == {"images": [{"media_type": PNG, "width_px": 8, "height_px": 4}]}
    assert asset.file_name == DIGEST[:16] + ".png"
    assert await house.uploads.find(DIGEST) == asset
    assert await house.uploads.read(DIGEST, 100, 50) == DATA[100:150]
    assert house.left() == [DIGEST]
    row = await house.records.find(DIGEST)
    assert row is not None
    assert (row.state, row.uploader) == (READY, ANN)


async def test_the_real_check_stands_behind_it(tmp_path: Path) -> None:
    data = samples.glb()
    async with open_uploads(tmp_path / "assets", MemoryAssetRecords(), Registry()) as uploads:
        asset, _ = await uploads.receive(Offer(len(data)), pieces(data))
        with pytest.raises(UploadRefused, match="PNG ends too early") as refused:
            await uploads.receive(Offer(20), pieces(samples.png()[:20]))
    assert refused.value.reason is Reason.BAD_ASSET
    assert asset.meta["triangles"] == 1
    assert asset.meta["bounds"] == [[0, 0, 0], [1, 2, 0]]


async def test_what_is_there_is_not_checked_again(house: House) -> None:
    first, _ = await house.put()
    second, is_new = await house.put(who=BOB)
    assert (second, is_new) == (first, False)
    assert house.validator.checked == 1
    assert await house.records.bytes_of_account(BOB) == 0, "it is charged to the first"
    assert house.left() == [DIGEST]


async def test_a_file_that_lies_about_its_type_is_refused(house: House) -> None:
    refused = await house.refusal(claimed="audio/ogg")
    assert refused.reason is Reason.WRONG_TYPE
    assert "says that it is audio/ogg, and is image/png" in refused.sentence
    assert house.left() == []
    await house.put(claimed=PNG)
    assert (await house.refusal(claimed="audio/ogg")).reason is Reason.WRONG_TYPE


async def test_a_refusal_that_is_certain_is_remembered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.validator.verdict = Verdict(refusal="This is bad.", is_certain=True)
    assert (await house.refusal()).reason is Reason.BAD_ASSET
    assert (await house.refusal()).sentence == "This is bad."
    assert house.validator.checked == 1
    assert house.left() == []
    monkeypatch.setattr(uploads_module, "CHECK_VERSION", 99)
    await house.refusal()
    assert house.validator.checked == 2, "a newer check may take it"
    house.validator.verdict = None
    monkeypatch.setattr(uploads_module, "CHECK_VERSION", 100)
    assert (await house.put())[1]


async def test_a_refusal_for_the_type_is_remembered_as_one(house: House) -> None:
    house.validator.verdict = Verdict(
        refusal="This is a web page.", is_certain=True, is_of_wrong_type=True
    )
    for _ in range(2):
        assert (await house.refusal()).reason is Reason.WRONG_TYPE


async def test_a_refusal_by_bad_luck_is_forgotten(house: House) -> None:
    house.validator.verdict = Verdict(refusal="It took too long.")
    await house.refusal()
    house.validator.verdict = None
    assert (await house.put())[1]


@pytest.mark.parametrize("sent", [0, 1, len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)])
async def test_another_length_than_announced_is_refused(house: House, sent: int) -> None:
    data = (2 * DATA)[:sent]
    with pytest.raises(UploadRefused) as refused:
        await house.uploads.receive(Offer(len(DATA), "", ANN), pieces(data))
    assert refused.value.reason is Reason.BROKEN_OFF
    assert house.left() == []
    assert house.validator.checked == 0


@pytest.mark.parametrize("size", [0, -1, limits.ASSET_BYTES_MAX + 1])
async def test_a_size_beyond_the_bounds_is_refused_before_a_byte_is_read(
    house: House, size: int
) -> None:
    with pytest.raises(UploadRefused) as refused:
        await house.uploads.receive(Offer(size, "", ANN), pieces(b"unread"))
    assert refused.value.reason is Reason.TOO_LARGE


async def test_who_leaves_in_the_middle_leaves_nothing(house: House) -> None:
    reached = trio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield DATA[:300_000]
        reached.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.uploads.receive, Offer(len(DATA), "", ANN), half())
        await reached.wait()
        assert len(house.left()) == 1
        nursery.cancel_scope.cancel()
    assert house.left() == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StorageFull("There is no room."), Reason.NO_ROOM),
        (StorageError("The disk does not work."), Reason.NOT_NOW),
    ],
)
async def test_what_the_disk_cannot_do_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, error: StorageError, reason: Reason,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(house.store, "keep", fail)
    assert (await house.refusal()).reason is reason
    assert house.left() == []
    assert "assets" in caplog.text, "the operator must hear of it"


async def test_a_crowd_at_the_checks_is_told_to_come_back(house: House) -> None:
    house.validator.error = Overload("Many files are being checked.", 5_000)
    refused = await house.refusal()
    assert (refused.reason, refused.retry_s) == (Reason.NOT_NOW, 5.0)


async def test_without_a_row_a_file_is_a_stray_and_goes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(row: AssetRow) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(house.records, "record", fail)
        with pytest.raises(Unavailable):
            await house.put()
    assert await house.uploads.find(DIGEST) is None, "nothing is to be seen without its row"
    assert house.left() == [DIGEST]
    assert await house.uploads.sweep() == 1
    assert house.left() == []
    await house.put()
    assert await house.uploads.sweep() == 0
    assert house.left() == [DIGEST]


async def test_a_file_that_was_lost_can_be_uploaded_again(house: House) -> None:
    await house.put()
    house.store.remove(DIGEST)
    await house.put()
    assert await house.uploads.read(DIGEST, 0, 8) == DATA[:8]


async def test_what_is_forgotten_goes_with_its_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.put()
    assert await house.uploads.find(DIGEST) is not None
    answers: list[Sequence[str]] = [[DIGEST], []]

    async def forget(unused_s: float) -> Sequence[str]:
        assert unused_s == limits.ASSET_UNUSED_S_MAX
        return answers.pop(0)

    monkeypatch.setattr(house.records, "forget", forget)
    assert await house.uploads.sweep() == 1
    assert house.left() == []


async def test_an_upload_and_a_sweep_exclude_each_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep between file and row would take the file away."""
    record = house.records.record
    reached, go_on = trio.Event(), trio.Event()

    async def slow(row: AssetRow) -> None:
        reached.set()
        await go_on.wait()
        await record(row)

    monkeypatch.setattr(house.records, "record", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.put)
        await reached.wait()
        nursery.start_soon(house.uploads.sweep)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert house.left() == [DIGEST]


@pytest.mark.parametrize("name", ["", "..", "../../lock", "A" * 64, DIGEST[:-1], DIGEST + "/"])
async def test_what_is_no_hash_is_not_there(house: House, name: str) -> None:
    assert await house.uploads.find(name) is None
    assert not await house.uploads.touch(name)


async def test_the_server_has_no_quota(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module.Admission, "upload", None)
    asset, _ = await house.put(who=None)
    row = await house.records.find(asset.digest)
    assert row is not None
    assert row.uploader is None


async def test_the_quota_counts_what_is_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atrium_server.assets.admission.ASSETS_PER_ACCOUNT_BYTES_MAX", 1_000)
    await house.put(b"a" * 600)
    refused = await house.refusal(b"b" * 600)
    assert refused.reason is Reason.QUOTA
    await house.put(b"c" * 600, who=BOB)
    await house.put(b"d" * 400)


async def test_metrics_count_how_uploads_end(house: House) -> None:
    await house.put()
    await house.put()
    await house.refusal(claimed="audio/ogg")
    text = house.registry.render()
    for outcome in ("stored", "known", "wrong_type"):
        assert f'atrium_asset_uploads_total{{outcome="{outcome}"}} 1\n' in text
    assert f"atrium_asset_bytes {len(DATA)}\n" in text


async def test_refused_rows_are_forgotten_in_memory(autojump_clock: trio.testing.MockClock) -> None:
    records = MemoryAssetRecords()
    for digest, state in ((DIGEST, READY), ("0" * 64, REFUSED)):
        await records.record(AssetRow(
            digest=digest, media_type=PNG, size_bytes=5, uploader=ANN, state=state,
        ))
    await trio.sleep(100)
    assert await records.forget(50.0) == ["0" * 64]
    assert [row.digest for row in await records.of_account(ANN)] == [DIGEST]


# --- admission ---------------------------------------------------------------------------


def test_an_account_uploads_few_files_at_once() -> None:
    admission = Admission()
    with admission.upload(ANN, 1, 0.0), admission.upload(ANN, 1, 0.0):
        with pytest.raises(UploadRefused, match="at the same time"), admission.upload(ANN, 1, 0.0):
            pass
        with admission.upload(BOB, 1, 0.0):
            pass
    with admission.upload(ANN, 1, 0.0):
        pass


def test_everybody_together_uploads_few_files_at_once() -> None:
    from contextlib import ExitStack

    admission = Admission()
    with ExitStack() as stack:
        for number in range(limits.UPLOADS_MAX):
            stack.enter_context(admission.upload(uuid.UUID(int=number), 1, 0.0))
        with pytest.raises(UploadRefused, match="Many people") as refused:
            stack.enter_context(admission.upload(BOB, 1, 0.0))
    assert refused.value.reason is Reason.TOO_MANY


def test_an_account_uploads_so_often_and_no_more() -> None:
    admission = Admission()

    def taken(now: float) -> bool:
        try:
            with admission.upload(ANN, 1, now):
                return True
        except UploadRefused as refused:
            assert refused.reason is Reason.TOO_MANY  # noqa: PT017
            assert refused.retry_s > 0  # noqa: PT017
            return False

    assert sum(taken(0.0) for _ in range(100)) == limits.UPLOADS_PER_ACCOUNT_BURST_MAX
    period_s = 1 / limits.UPLOADS_PER_ACCOUNT_PER_S_MAX
    assert not taken(0.9 * period_s)
    assert taken(1.1 * period_s)
    with admission.upload(BOB, 1, 0.0):
        pass


def test_accounts_that_are_rested_are_not_remembered() -> None:
    admission = Admission()
    for number in range(5_000):
        with admission.upload(uuid.UUID(int=number), 1, 100.0 * number):
            pass
    assert len(admission._saved) <= 2


def test_the_quota_counts_what_is_under_way() -> None:
    admission = Admission()
    most = limits.ASSETS_PER_ACCOUNT_BYTES_MAX
    with admission.upload(ANN, most // 2, 0.0), admission.upload(ANN, most // 4, 0.0):
        admission.check_quota(ANN, most // 4)
        with pytest.raises(UploadRefused) as refused:
            admission.check_quota(ANN, most // 4 + 10)
    assert refused.value.reason is Reason.QUOTA

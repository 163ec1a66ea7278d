"""Versions of models, keys of apps and feedback: in memory and in a real Postgres."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))

from records import (
    NASTY,
    NOW_S,
    audited,
    execute,
    fetch,
    line_id,
    make_account,
    open_clone,
    open_proxy,
)

from atrium_server.persistence.accounts import ExportKind
from atrium_server.persistence.ai_keys import KeyStore, MemoryKeys, NewKey, SqlKeys
from atrium_server.persistence.audit_rows import AuditRow, read_audit
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.feedback import (
    FeedbackSource,
    FeedbackStore,
    MemoryFeedback,
    NewFeedback,
    SqlFeedback,
)
from atrium_server.persistence.memory_models import MemoryModels
from atrium_server.persistence.model_rows import (
    ModelStore,
    Move,
    NewChange,
    NewEvaluation,
    NewModel,
    Op,
    Outdated,
    Stage,
)
from atrium_server.persistence.retention_chores import Chores, Days
from atrium_server.persistence.sql_accounts import SqlAccounts
from atrium_server.persistence.sql_models import SqlModels
from atrium_shared.limits import AI_KEYS_MAX, MODEL_FIGURES_BYTES_MAX


def person(number: int) -> uuid.UUID:
    return uuid.UUID(int=(1 << 100) + number)


ADA, BOB = person(1), person(2)


@dataclass
class Stores:
    """Those of one kind, and how to make time pass."""

    models: ModelStore
    keys: KeyStore
    feedback: FeedbackStore
    database: Database | None = None
    days_passed: int = 0

    async def pass_days(self, days: int) -> None:
        """As far as rows of this test are concerned."""
        if self.database is None:
            self.days_passed += days
            return
        await execute(
            self.database, "UPDATE ai_key SET revoked_at = revoked_at - make_interval(days => :d)",
            d=days,
        )
        await execute(
            self.database,
            "UPDATE feedback SET created_at = created_at - make_interval(days => :d),"
            " expires_at = expires_at - make_interval(days => :d)", d=days,
        )


@pytest.fixture(params=["postgres", "memory"])
async def stores(
    request: pytest.FixtureRequest, postgres: Any, nursery: trio.Nursery
) -> AsyncGenerator[Stores]:
    if request.param == "postgres":
        async with open_clone(postgres, nursery) as opened:
            for number in (1, 2):
                await make_account(opened, number)
            yield Stores(SqlModels(opened), SqlKeys(opened), SqlFeedback(opened), opened)
        return

    def clock() -> float:
        return NOW_S + made.days_passed * 86_400

    def is_account(account: uuid.UUID) -> bool:
        return account in {ADA, BOB}

    made = Stores(
        MemoryModels(clock), MemoryKeys(clock, is_account), MemoryFeedback(clock, is_account)
    )
    yield made


@pytest.fixture
async def database(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_clone(postgres, nursery) as opened:
        await make_account(opened, 1)
        await make_account(opened, 2)
        yield opened


# --- versions ----------------------------------------------------------------------------


def new_model(version: str, name: str = "sample") -> NewModel:
    id = uuid.uuid5(ADA, f"{name} {version}")
    return NewModel(id, name, version, "bag", bytes(32), 1_000, "Apache-2.0", "published")


def publish(sequence: int, version: str, name: str = "sample") -> NewChange:
    return NewChange(
        line_id(sequence), name, sequence, Op.PUBLISH, version, "cli", "a try",
        (Move(version, None, Stage.CANDIDATE),), model=new_model(version, name),
    )


def change(sequence: int, op: Op, *moves: Move, **values: Any) -> NewChange:
    given: dict[str, Any] = {"actor": "cli", "why": "so", **values}
    return NewChange(
        line_id(sequence), "sample", sequence, op, moves[-1].version, moves=moves, **given
    )


async def test_what_is_changed_is_there_with_its_history(stores: Stores) -> None:
    models = stores.models
    assert await models.models() == []
    assert await models.sequences() == {}
    assert await models.change(publish(1, "1"))
    assert await models.change(publish(2, "2"))
    live = change(3, Op.PROMOTE, Move("1", Stage.CANDIDATE, Stage.LIVE, live_rank=3),
                  figures=b'{"roc_auc": 0.97}')
    assert await models.change(live)
    assert await models.change(change(
        4, Op.CANARY, Move("2", Stage.CANDIDATE, Stage.CANARY, 0.05)))
    found = {row.model.version: row for row in await models.models("sample")}
    assert [found[v].stage for v in "12"] == [Stage.LIVE, Stage.CANARY]
    assert (found["1"].live_rank, found["2"].canary_share) == (3, 0.05)
    assert found["1"].model == new_model("1")
    swap = change(
        5, Op.PROMOTE, Move("1", Stage.LIVE, Stage.RETIRED, live_rank=3),
        Move("2", Stage.CANARY, Stage.LIVE, live_rank=5),
    )
    assert await models.change(swap)
    back = change(6, Op.ROLLBACK, Move("2", Stage.LIVE, Stage.RETIRED),
                  Move("1", Stage.RETIRED, Stage.LIVE, live_rank=3))
    assert await models.change(back)
    history = await models.history("sample", 100)
    assert [each.sequence for each in history] == [6, 5, 4, 3, 2, 1]
    assert json.loads(history[3].figures) == {"roc_auc": 0.97}
    assert (history[1].moves, history[1].actor, history[1].why) == (swap.moves, "cli", "so")
    assert [each.sequence for each in await models.history("sample", 2)] == [6, 5]
    assert await models.history("other", 2) == []
    assert await models.sequences() == {"sample": 6}
    if stores.database is not None:
        told = await audited(stores.database)
        assert told[-2:] == ["model.promote", "model.rollback"]


async def test_a_change_is_made_once_and_by_one(stores: Stores) -> None:
    models = stores.models
    assert await models.change(publish(1, "1"))
    assert not await models.change(publish(1, "1"))
    other = msgspec.structs.replace(publish(1, "9"), id=line_id(99))
    with pytest.raises(Outdated, match="look at them, and ask again"):
        await models.change(other)
    assert [row.model.version for row in await models.models()] == ["1"]
    assert await models.sequences() == {"sample": 1}


async def test_of_many_who_decide_at_once_one_writes(stores: Stores) -> None:
    models, outdated = stores.models, list[int]()

    async def one(number: int) -> None:
        try:
            await models.change(
                msgspec.structs.replace(publish(1, str(number)), id=line_id(number)))
        except Outdated:
            outdated.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(1, 9):
            nursery.start_soon(one, number)
    assert len(outdated) == 7
    assert len(await models.models()) == 1
    assert len(await models.history("sample", 10)) == 1


async def test_figures_are_kept_by_subject(stores: Stores) -> None:
    models = stores.models
    await models.change(publish(1, "1"))
    for figure in (0.9, 0.95):
        await models.keep_evaluation(
            NewEvaluation("sample", "1", "fixed", "aa", b'{"score": %.2f}' % figure))
    await models.keep_evaluation(NewEvaluation("sample", "1", "cpu", "", b'{"run_ms": 1}'))
    found = await models.evaluations("sample", "1")
    assert [each.measured.subject for each in found] == ["cpu", "fixed"]
    assert json.loads(found[1].measured.figures) == {"score": 0.95}
    assert await models.evaluations("sample", "2") == []
    with pytest.raises(Refused, match="no version 2 of sample"):
        await models.keep_evaluation(NewEvaluation("sample", "2", "fixed", "aa", b"{}"))


async def test_what_is_too_large_is_refused(stores: Stores) -> None:
    large = b'"' + b"x" * MODEL_FIGURES_BYTES_MAX + b'"'
    for wrong in (
        {"why": "x" * 501}, {"actor": ""}, {"actor": "x" * 129}, {"figures": large},
    ):
        with pytest.raises(Refused):
            await stores.models.change(msgspec.structs.replace(publish(1, "1"), **wrong))
    assert await stores.models.sequences() == {}


async def test_the_history_cannot_be_changed_and_nasty_words_are_words(database: Database) -> None:
    models = SqlModels(database)
    for number, words in enumerate(NASTY, 1):
        await models.change(msgspec.structs.replace(publish(number, str(number)), why=words))
    assert [each.why for each in await models.history("sample", 100)] == [*NASTY][::-1]
    for statement in ("DELETE FROM model_change", "UPDATE model_change SET why = ''",
                      "TRUNCATE model_change"):
        with pytest.raises(Refused):
            await execute(database, statement)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_is_asked_for_again(
    database_url: str, nursery: trio.Nursery, when: str
) -> None:
    async with open_proxy(database_url) as (proxy, url), open_database(nursery, url) as opened:
        models = SqlModels(opened)
        await models.sequences()
        proxy.drop = when
        done = await models.change(publish(1, "1"))
        assert proxy.dropped == 1
        assert done == (when == "before")  # else the second attempt finds what the first did
        assert [each.sequence for each in await models.history("sample", 10)] == [1]
        assert await audited(opened) == ["model.publish"]


# --- keys --------------------------------------------------------------------------------


def key(number: int, owner: uuid.UUID = ADA, **values: Any) -> NewKey:
    given: dict[str, Any] = {"name": "my app", "rows_per_minute": 60, "rows_per_day": 1_000,
                             **values}
    return NewKey(line_id(number), bytes([number]) * 32, owner, **given)


async def test_a_key_is_found_by_its_hash_until_it_is_revoked(stores: Stores) -> None:
    keys = stores.keys
    assert await keys.create(key(1))
    assert not await keys.create(key(1))
    assert await keys.create(key(2, BOB))
    found = await keys.find(bytes([1]) * 32)
    assert found is not None
    assert found.key == key(1)
    assert await keys.find(bytes(32)) is None
    assert not await keys.revoke(key(1).id, BOB, str(BOB))
    assert await keys.revoke(key(1).id, ADA, str(ADA))
    assert not await keys.revoke(key(1).id, ADA, str(ADA))
    assert await keys.find(bytes([1]) * 32) is None
    (row,) = await keys.of(ADA)
    assert row.revoked_at is not None
    assert await keys.revoke(key(2).id, None, "server")
    if stores.database is not None:
        assert await audited(stores.database) == [
            "ai_key.create", "ai_key.create", "ai_key.revoke", "ai_key.revoke"]


async def test_use_is_noted_and_never_goes_back(stores: Stores) -> None:
    await stores.keys.create(key(1))
    late = datetime(2031, 1, 2, tzinfo=UTC)
    await stores.keys.used({key(1).id: late, uuid.uuid4(): late})
    await stores.keys.used({key(1).id: late - timedelta(days=1)})
    (row,) = await stores.keys.of(ADA)
    assert row.last_used_at == late
    await stores.keys.used({})


async def test_keys_are_bounded_and_belong_to_somebody(stores: Stores) -> None:
    for number in range(AI_KEYS_MAX):
        await stores.keys.create(key(number))
    with pytest.raises(Refused, match="revoke one first"):
        await stores.keys.create(key(200))
    await stores.keys.revoke(key(0).id, ADA, str(ADA))
    assert await stores.keys.create(key(200))
    for wrong in (key(201, person(9)), key(201, name=""), key(201, name="x" * 65),
                  key(201, rows_per_minute=0), key(201, rows_per_minute=1_001),
                  key(201, rows_per_day=2**40)):
        with pytest.raises(Refused):
            await stores.keys.create(wrong)


async def test_revoked_keys_are_forgotten_later(stores: Stores) -> None:
    await stores.keys.create(key(1))
    await stores.keys.create(key(2))
    await stores.keys.revoke(key(1).id, ADA, str(ADA))
    assert await stores.keys.forget(30 * 86_400.0, 10) == 0
    await stores.pass_days(31)
    assert await stores.keys.forget(30 * 86_400.0, 10) == 1
    assert [row.key.id for row in await stores.keys.of(ADA)] == [key(2).id]


# --- feedback ----------------------------------------------------------------------------


def said(number: int, **values: Any) -> NewFeedback:
    given: dict[str, Any] = {
        "source": FeedbackSource.CORRECTION, "task": "moderation", "body": "you are a hoe (a tool)",
        "labels": {"toxic": 0.0}, "decision": "block", "model_version": "moderation@1",
        "account": ADA, "has_consent": True, "days": 30, **values,
    }
    return NewFeedback(line_id(number), **given)


async def test_rows_with_consent_are_learnt_from_in_order(stores: Stores) -> None:
    feedback = stores.feedback
    for number in (3, 1, 2):
        assert await feedback.add(said(number))
    assert not await feedback.add(said(1))
    assert await feedback.add(said(4, has_consent=False))
    assert await feedback.add(said(5, task="emotion", account=None))
    found = await feedback.to_learn("moderation", None, 10)
    assert [each.row for each in found] == [said(1), said(2), said(3)]
    assert [each.row.id for each in await feedback.to_learn("moderation", line_id(1), 1)] == [
        line_id(2)]
    assert len(await feedback.to_learn("emotion", None, 10)) == 1


async def test_only_what_moderators_say_is_learnt_from(stores: Stores) -> None:
    for number, source in enumerate(FeedbackSource):
        await stores.feedback.add(said(number, source=source))
    found = await stores.feedback.to_learn("moderation", None, 10)
    assert [each.row.source for each in found] == [
        FeedbackSource.VERDICT, FeedbackSource.CORRECTION]


def deed(number: int = 1) -> AuditRow:
    return AuditRow(str(BOB), "verdict.correct", "verdict", f"v{number}", f"correct v{number}")


async def test_a_deed_and_its_row_are_kept_together_and_once(stores: Stores) -> None:
    feedback = stores.feedback
    assert await feedback.decide(deed(), said(1))
    assert not await feedback.decide(deed(), said(1))
    assert not await feedback.decide(deed(2))
    with pytest.raises(Refused):
        await feedback.decide(deed(3), said(2, account=person(9)))
    assert len(await feedback.to_learn("moderation", None, 10)) == 1
    if stores.database is not None:
        for number, count in ((1, 1), (2, 1), (3, 0)):
            found = await stores.database.tx(read_audit, "verdict", f"v{number}", 10)
            assert [each.row for each in found] == [deed(number)] * count


async def test_somebody_takes_back_what_may_be_learnt(stores: Stores) -> None:
    for number, account in ((1, ADA), (2, BOB), (3, ADA)):
        await stores.feedback.add(said(number, account=account))
    assert await stores.feedback.withdraw(ADA) == 2
    assert [each.row.account for each in await stores.feedback.to_learn("moderation", None, 9)] == [
        BOB]


async def test_rows_expire(stores: Stores) -> None:
    await stores.feedback.add(said(1, days=10))
    await stores.feedback.add(said(2, days=40))
    await stores.pass_days(11)
    assert [each.row.id for each in await stores.feedback.to_learn("moderation", None, 10)] == [
        line_id(2)]
    assert await stores.feedback.forget(10) == 1
    assert await stores.feedback.forget(10) == 0


async def test_rows_that_make_no_sense_are_refused(stores: Stores) -> None:
    for wrong in ({"body": ""}, {"body": "x" * 4_001}, {"body": "a\0b"}, {"body": "\ud800"},
                  {"labels": {}}, {"labels": {"a": 1.5}}, {"labels": {"a": float("nan")}},
                  {"labels": {"\0": 1.0}}, {"labels": {str(n): 1.0 for n in range(33)}},
                  {"days": 0}, {"days": 4_000}, {"task": ""}, {"account": person(9)}):
        with pytest.raises(Refused):
            await stores.feedback.add(said(1, **wrong))
    assert await stores.feedback.to_learn("moderation", None, 10) == []
    for number, words in enumerate(NASTY):
        await stores.feedback.add(said(number, body=words, labels={words: 1.0}))
    assert [each.row.body for each in await stores.feedback.to_learn("moderation", None, 99)] == [
        *NASTY]


# --- accounts and time -------------------------------------------------------------------


async def test_keys_and_feedback_go_with_the_account_and_are_exported(database: Database) -> None:
    keys, feedback, accounts = SqlKeys(database), SqlFeedback(database), SqlAccounts(database)
    for number, owner in ((1, ADA), (2, BOB)):
        await keys.create(key(number, owner))
        await feedback.add(said(number, account=owner))
    page = await accounts.export_page(ADA, ExportKind.KEYS, None)
    (told,) = [json.loads(row) for row in page.rows]
    assert (told["name"], told["rows_per_day"]) == ("my app", 1_000)
    assert not any("hash" in name for name in told)
    page = await accounts.export_page(ADA, ExportKind.FEEDBACK, None)
    assert [json.loads(row)["body"] for row in page.rows] == [said(1).body]
    await accounts.begin_deletion(ADA, str(ADA))
    assert await keys.find(bytes([1]) * 32) is None
    while await accounts.erase_some(ADA):
        pass
    assert await fetch(database, "SELECT account_id FROM feedback") == [(BOB,)]
    await accounts.finish_deletion(ADA)
    assert await fetch(database, "SELECT owner_account FROM ai_key") == [(BOB,)]


async def test_the_chores_forget_what_is_over(database: Database) -> None:
    keys, feedback = SqlKeys(database), SqlFeedback(database)
    for number in (1, 2):
        await keys.create(key(number))
        await feedback.add(said(number))
    await keys.revoke(key(1).id, ADA, str(ADA))
    await execute(database, "UPDATE ai_key SET revoked_at = now() - interval '40 days'"
                            " WHERE revoked_at IS NOT NULL")
    await execute(database, "UPDATE feedback SET created_at = now() - interval '40 days',"
                            " expires_at = now() - interval '1 day' WHERE id = :id", id=line_id(1))
    chores = Chores(database, Days(), lambda: NOW_S).all(SqlAccounts(database))
    named = {chore.name: chore for chore in chores}
    assert [await named[name].slice() for name in ("feedback", "ai_keys")] == [1, 1]
    assert [await named[name].slice() for name in ("feedback", "ai_keys")] == [0, 0]

"""What works beside the worlds: accounts, assets, what is said, and forgetting in time.

Each of them waits for the database by itself and never holds up a tick. With a database all of it
lasts; without one (--ephemeral) accounts and assets live as long as the process, and lines are not
kept.
"""

from __future__ import annotations

import random
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from atrium_server.accounts.person import News
from atrium_server.accounts.service import Accounts
from atrium_server.ai.keys import AiKeys
from atrium_server.assets.showing import Judging, rules_for
from atrium_server.assets.store import ASSETS_FOLDER
from atrium_server.assets.uploads import Uploads, open_uploads
from atrium_server.brain import Brain
from atrium_server.config import Config
from atrium_server.hosts import Hosts
from atrium_server.image_judge import LaneImageJudge
from atrium_server.people import People
from atrium_server.persistence.accounts import AccountStore
from atrium_server.persistence.ai_keys import KeyStore, MemoryKeys, SqlKeys
from atrium_server.persistence.assets import MemoryAssetRecords, SqlAssetRecords
from atrium_server.persistence.chat_log import ChatLog
from atrium_server.persistence.chat_store import MemoryChatStore, SqlChatStore
from atrium_server.persistence.chat_writer import ChatNumbers, ChatWriter
from atrium_server.persistence.conduct import SqlConduct
from atrium_server.persistence.conduct_rows import ConductStore
from atrium_server.persistence.database import Database
from atrium_server.persistence.feedback import FeedbackStore, MemoryFeedback, SqlFeedback
from atrium_server.persistence.history import WorldHistory
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.persistence.memory_conduct import MemoryConduct
from atrium_server.persistence.open import Stores
from atrium_server.persistence.relations import (
    MemoryRelations,
    RelationWriter,
    SqlRelations,
)
from atrium_server.persistence.retention import (
    Chore,
    Retention,
    RetentionNumbers,
    always,
    database_turn,
)
from atrium_server.persistence.retention_chores import Chores, Days, model_chores
from atrium_server.persistence.sql_accounts import SqlAccounts
from atrium_server.reports import Reports
from atrium_server.safety import SafetyLanes
from atrium_server.scribe import Scribe
from atrium_server.telemetry import Registry
from atrium_server.world.manifest import Manifest


@dataclass(slots=True)
class Lanes:
    """Those of one server."""

    accounts: Accounts
    people: People
    uploads: Uploads
    conduct: ConductStore
    safety: SafetyLanes
    ai_keys: AiKeys
    feedback: FeedbackStore
    history: WorldHistory | None = None
    scribe: Scribe | None = None
    writer: ChatWriter | None = None
    retention: Retention | None = None

    async def run(self, hosts: Hosts) -> None:
        """All that they do by themselves, for ever; at the end what was said is saved."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.accounts.run)
            nursery.start_soon(self.people.run, hosts)
            nursery.start_soon(self.ai_keys.run)
            for lane in (self.safety.relations, self.safety.reports):
                if lane is not None:
                    nursery.start_soon(lane.run)
            if self.writer is not None:
                nursery.start_soon(self.writer.run, random.Random(secrets.randbits(64)))
            if self.retention is not None:
                nursery.start_soon(self.retention.run)


@asynccontextmanager
async def open_lanes(
    config: Config, stores: Stores, registry: Registry, worlds: Sequence[Manifest],
    brain: Brain,
) -> AsyncGenerator[Lanes]:
    """Open them; `worlds` are all that there are.

    Raises AtriumStartError and StoreError.
    """
    database = stores.database
    async with AsyncExitStack() as stack:
        folder = config.data_dir / ASSETS_FOLDER
        if database is None:
            passing = stack.enter_context(tempfile.TemporaryDirectory(prefix="atrium-"))
            folder = Path(passing) / ASSETS_FOLDER
        records = MemoryAssetRecords() if database is None else SqlAssetRecords(database)
        uploads = await stack.enter_async_context(
            open_uploads(folder, records, registry, judging=_judging(brain, worlds, registry))
        )
        store, feedback, keys = _people_of(database, [world.name for world in worlds])
        conduct = (
            MemoryConduct(MemoryChatStore(), time.time) if database is None
            else SqlConduct(database)
        )
        news: list[People] = []

        def told(what: News) -> None:
            news[0].hear(what)

        accounts = Accounts(store, told=told, refusal=brain.refusal_of_name)
        relations = RelationWriter(
            MemoryRelations() if database is None else SqlRelations(database)
        )
        news.append(People(accounts, conduct, relations, brain.forget))
        await accounts.open()
        safety = SafetyLanes(relations, Reports(conduct, time.time))
        lanes = Lanes(
            accounts, news[0], uploads, conduct, safety, AiKeys(keys, time.time), feedback
        )
        if database is not None:
            _keep(lanes, config, database, registry)
        else:
            chores = model_chores(feedback, keys, config.retention_sign_in_days)
            lanes.retention = Retention(
                chores, always, time.time, RetentionNumbers.of(registry)
            )
        yield lanes


def _judging(
    brain: Brain, worlds: Sequence[Manifest], registry: Registry
) -> Judging | None:
    """Who looks at pictures; nobody where no models run, which no strict world allows."""
    if brain.lane is None:
        return None
    rules = rules_for(world.moderation for world in worlds)
    return Judging(LaneImageJudge(brain.lane, registry), rules)


def _people_of(
    database: Database | None, worlds: list[str]
) -> tuple[AccountStore, FeedbackStore, KeyStore]:
    if database is not None:
        return SqlAccounts(database), SqlFeedback(database), SqlKeys(database)
    accounts = MemoryAccounts(worlds)
    feedback = MemoryFeedback(time.time, accounts.knows)
    accounts.feedback_of = feedback.of_account
    return accounts, feedback, MemoryKeys(time.time, accounts.knows)


def _keep(lanes: Lanes, config: Config, database: Database, registry: Registry) -> None:
    """What only a database can do."""
    log = ChatLog(trio.current_time())
    lanes.scribe = Scribe(log, time.time)
    lanes.writer = ChatWriter(
        log, SqlChatStore(database), lanes.scribe.told, ChatNumbers.of(registry)
    )
    days = Days(
        config.retention_chat_days, config.retention_audit_days, config.retention_session_days,
        config.retention_sign_in_days, config.retention_report_days,
    )
    lanes.history = history = WorldHistory(database)

    async def prune() -> int:
        pruned = await history.prune()
        return pruned.edits + pruned.tombstones

    chores = Chores(database, days, time.time).all(
        SqlAccounts(database), [Chore("history", prune), Chore("assets", lanes.uploads.sweep)]
    )
    lanes.retention = Retention(
        chores, partial(database_turn, database), time.time, RetentionNumbers.of(registry)
    )

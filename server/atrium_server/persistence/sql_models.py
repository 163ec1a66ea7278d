"""Versions of models in Postgres: each change with its history and audit row in one transaction.

Theory of operation
-------------------
The row of the history goes in first, and only if neither its id nor its number is taken. Who asks a
second time waits there for the first attempt, should that still be under way on a lost connection,
and then finds its own id; who finds somebody else's is outdated. So the number is the lock: of two
who decided on the same state one writes, and nothing of the other.

Versions that leave a stage are moved before those that come there, because the index that allows
one version in each of SHADOW, CANARY and LIVE looks at every row by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.model_rows import (
    ALONE,
    NO_VERSION,
    ROWS_ASKED_MAX,
    Change,
    Evaluation,
    ModelRow,
    Move,
    NewChange,
    NewEvaluation,
    NewModel,
    Op,
    Outdated,
    Stage,
    check_change,
    check_evaluation,
)
from atrium_server.persistence.settled import settled
from atrium_server.persistence.sql_deeds import plain

FORMAT: Final = "safetensors"
_VERSIONS_ASKED_MAX: Final = 64_000

_MODELS: Final = text("""
    SELECT id, name, revision, task, hash, size_bytes, licence, source, state, canary_share,
        live_rank, registered_at
    FROM model WHERE CAST(:name AS text) IS NULL OR name = :name
    ORDER BY name, registered_at, id LIMIT :most
""")
_SEQUENCES: Final = text("SELECT name, max(sequence) FROM model_change GROUP BY name")
_CHANGE: Final = text("""
    INSERT INTO model_change (name, sequence, id, op, revision, actor, why, moves, figures)
    VALUES (:name, :sequence, :id, :op, :version, :actor, :why, CAST(:moves AS jsonb),
        CAST(:figures AS jsonb))
    ON CONFLICT DO NOTHING RETURNING 1
""")
_CHANGED: Final = text("SELECT 1 FROM model_change WHERE id = :id")
_NEW: Final = text("""
    INSERT INTO model (id, name, revision, task, format, hash, size_bytes, licence, source)
    VALUES (:id, :name, :version, :kind, :format, :document, :size_bytes, :licence, :source)
""")
_MOVE: Final = text("""
    UPDATE model SET state = :after, canary_share = :share, live_rank = :rank
    WHERE name = :name AND revision = :version RETURNING 1
""")
_HISTORY: Final = text("""
    SELECT name, sequence, at, op, revision, actor, why, moves::text, figures::text
    FROM model_change WHERE name = :name ORDER BY sequence DESC LIMIT :most
""")
_EVALUATE: Final = text("""
    INSERT INTO model_evaluation (model_id, subject, subject_hash, figures)
    SELECT id, :subject, :hash, CAST(:figures AS jsonb) FROM model
    WHERE name = :name AND revision = :version
    ON CONFLICT (model_id, subject) DO UPDATE SET subject_hash = excluded.subject_hash,
        figures = excluded.figures, at = now()
    RETURNING 1
""")
_EVALUATIONS: Final = text("""
    SELECT m.name, m.revision, e.subject, e.subject_hash, e.figures::text, e.at
    FROM model_evaluation e JOIN model m ON m.id = e.model_id
    WHERE m.name = :name AND m.revision = :version ORDER BY e.subject LIMIT :most
""")


class _Moves(msgspec.Struct):
    moves: tuple[Move, ...] = ()


class SqlModels:
    """A `model_rows.ModelStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def models(self, name: str | None = None) -> list[ModelRow]:
        found = await self._ask(_MODELS, name=name, most=_VERSIONS_ASKED_MAX)
        return [_row(each) for each in found]

    async def sequences(self) -> dict[str, int]:
        return dict(await self._ask(_SEQUENCES))

    async def change(self, change: NewChange) -> bool:
        check_change(change)
        return await settled(self._database, _change, change)

    async def history(self, name: str, rows_max: int) -> list[Change]:
        found = await self._ask(_HISTORY, name=name, most=min(rows_max, ROWS_ASKED_MAX))
        return [_done(each) for each in found]

    async def keep_evaluation(self, measured: NewEvaluation) -> None:
        check_evaluation(measured)
        await settled(self._database, _evaluate, measured)

    async def evaluations(self, name: str, version: str) -> list[Evaluation]:
        found = await self._ask(_EVALUATIONS, name=name, version=version, most=ROWS_ASKED_MAX)
        return [_evaluation(each) for each in found]

    async def _ask(self, question: TextClause, **values: object) -> list[Any]:
        return await self._database.tx(_answer, question, values)


async def _answer(
    connection: AsyncConnection, question: TextClause, values: Mapping[str, object]
) -> list[Any]:
    return list((await connection.execute(question, values)).all())


async def _change(connection: AsyncConnection, change: NewChange) -> bool:
    is_new = await _answer(connection, _CHANGE, {
        "name": change.name, "sequence": change.sequence, "id": change.id, "op": change.op.value,
        "version": change.version, "actor": change.actor, "why": change.why,
        "moves": msgspec.json.encode(_Moves(change.moves)).decode(),
        "figures": change.figures.decode(),
    })
    if not is_new:
        if await _answer(connection, _CHANGED, {"id": change.id}):
            return False
        raise Outdated
    if change.model is not None:
        new = change.model
        await connection.execute(_NEW, {
            "id": new.id, "name": new.name, "version": new.version, "kind": new.kind,
            "format": FORMAT, "document": new.document, "size_bytes": new.size_bytes,
            "licence": new.licence, "source": new.source,
        })
    for move in sorted(change.moves, key=lambda move: move.after in ALONE):
        moved = await _answer(connection, _MOVE, {
            "name": change.name, "version": move.version, "after": move.after.value,
            "share": move.canary_share, "rank": move.live_rank,
        })
        if not moved:
            raise Refused(NO_VERSION.format(name=change.name, version=move.version))
    row = AuditRow(
        change.actor, f"model.{change.op.value}", "model", change.name, str(change.id),
        {"version": change.version, "sequence": change.sequence},
    )
    await write_audit(connection, row)
    return True


async def _evaluate(connection: AsyncConnection, measured: NewEvaluation) -> None:
    kept = await _answer(connection, _EVALUATE, {
        "name": measured.name, "version": measured.version, "subject": measured.subject,
        "hash": measured.subject_hash, "figures": measured.figures.decode(),
    })
    if not kept:
        raise Refused(NO_VERSION.format(name=measured.name, version=measured.version))


def _row(found: Any) -> ModelRow:
    (id, name, version, kind, document, size, licence, source, stage, share, rank, at) = found
    model = NewModel(plain(id), name, version, kind, bytes(document), size, licence, source)
    return ModelRow(model, Stage(stage), share, rank, at)


def _done(found: Any) -> Change:
    name, sequence, at, op, version, actor, why, moves, figures = found
    return Change(
        name, sequence, at, Op(op), version, actor, why,
        msgspec.json.decode(moves, type=_Moves).moves, figures.encode(),
    )


def _evaluation(found: Any) -> Evaluation:
    name, version, subject, subject_hash, figures, at = found
    return Evaluation(NewEvaluation(name, version, subject, subject_hash, figures.encode()), at)

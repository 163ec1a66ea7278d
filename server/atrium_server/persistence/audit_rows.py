"""Rows of the audit log: how one is written within the transaction of what it tells of, and read.

A row names things by ids and words, and holds nothing that a person wrote, no name and no address:
it can never be changed, and stays when the person is gone. Write it last in a transaction: all
writers of the log wait for each other from here to the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ROWS_ASKED_MAX: Final = 1_000

_WRITE: Final = text("""
    INSERT INTO audit_log (actor, action, object_kind, object_id, request_id, data)
    VALUES (:actor, :action, :kind, :object, :request, CAST(:data AS jsonb))
""")
_READ: Final = text("""
    SELECT sequence, at, actor, action, object_kind, object_id, request_id, data::text
    FROM audit_log WHERE object_kind = :kind AND object_id = :object
    ORDER BY sequence DESC LIMIT :most
""")


class AuditRow(msgspec.Struct, frozen=True):
    """What is told: who did what to what."""

    actor: str
    """The id of an account, or `server`."""
    action: str
    kind: str
    """Of what it was done to."""
    object: str
    request: str | None = None
    data: Mapping[str, object] = {}


class AuditRead(msgspec.Struct, frozen=True):
    """A row as it is in the log."""

    sequence: int
    at: datetime
    row: AuditRow


async def write_audit(connection: AsyncConnection, row: AuditRow) -> None:
    """Put a row at the end of the log, in the caller's transaction."""
    await connection.execute(_WRITE, {
        "actor": row.actor, "action": row.action, "kind": row.kind, "object": row.object,
        "request": row.request, "data": msgspec.json.encode(row.data).decode(),
    })


async def read_audit(
    connection: AsyncConnection, kind: str, object: str, rows_max: int
) -> list[AuditRead]:
    """The last rows about a thing, newest first."""
    values = {"kind": kind, "object": object, "most": min(rows_max, ROWS_ASKED_MAX)}
    return [_read(found) for found in (await connection.execute(_READ, values)).all()]


def _read(found: Any) -> AuditRead:
    sequence, at, actor, action, kind, object, request, data = found
    return AuditRead(
        sequence, at, AuditRow(actor, action, kind, object, request, msgspec.json.decode(data))
    )

"""A commit to a world and the line of the audit log that tells of it, in one transaction.

Either both are there or none. The outcome of an attempt whose answer was lost is found out by
trying again: the commit then finds its own version, and the line is written only if no line of
this request is there.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Ambiguous
from atrium_server.persistence.store import Batch, Claim
from atrium_server.persistence.world_store import commit_in

TRIES_MAX: Final = 5

_IS_THERE: Final = text("""
    SELECT EXISTS (SELECT 1 FROM audit_log
        WHERE object_kind = :kind AND object_id = :object AND request_id = :request)
""")


async def commit_audited(
    database: Database, claim: Claim, batch: Batch, row: AuditRow
) -> None:
    """Write all of the batch and the line, or nothing. The line's `request` names this commit and
    no other. Raises Fenced, Refused or Unavailable.
    """
    for number in range(TRIES_MAX):
        try:
            await database.tx(_commit, claim, batch, row)
            return
        except Ambiguous:
            if number + 1 == TRIES_MAX:
                raise


async def _commit(
    connection: AsyncConnection, claim: Claim, batch: Batch, row: AuditRow
) -> None:
    await commit_in(connection, claim, batch)
    values = {"kind": row.kind, "object": row.object, "request": row.request}
    if not (await connection.execute(_IS_THERE, values)).scalar_one():
        await write_audit(connection, row)

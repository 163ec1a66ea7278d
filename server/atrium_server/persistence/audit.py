"""Verifies the audit log: that no row was changed, left out, put in or cut off.

Theory of operation
-------------------
`schema.ddl` says how rows are chained; the triggers there write the chain. Here each hash is
computed again in this process from what the database holds, row by row in order, without those
triggers and functions. The first row that is there may follow others that were dropped with
their month, so the hash before it is taken on trust. The last one must be the one that `audit_head`
names.

Who can write to the database as its owner can compute a whole new chain. Against that the number
and hash of the head can be kept elsewhere from time to time: `verify` returns them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.schema.ddl import AUDIT_PAYLOAD

ROWS_AT_ONCE: Final = 1_000

_ROWS: Final = text(f"""
    SELECT sequence, prev_hash, hash, {AUDIT_PAYLOAD.format(row="audit_log")} FROM audit_log
    WHERE sequence > :after ORDER BY sequence LIMIT {ROWS_AT_ONCE}
""")
_HEAD: Final = text("SELECT sequence, hash FROM audit_head")


class AuditBroken(Exception):
    """The log is not what was written; the sentence says where that shows first."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that holds: how many rows were seen, and the newest."""

    rows: int
    sequence: int
    hash: bytes


async def verify(connection: AsyncConnection) -> Chain:
    """Read all of it, in one snapshot if the transaction has one. Raises AuditBroken."""
    head: Any = (await connection.execute(_HEAD)).first()
    rows, sequence = 0, 0
    last: bytes | None = None
    while found := (await connection.execute(_ROWS, {"after": sequence})).all():
        for number, previous, claimed, payload in found:
            if head is not None and number > head[0]:
                break  # written since we began
            if rows and number != sequence + 1:
                raise AuditBroken(
                    f"In the audit log row {number} follows row {sequence}: rows were removed."
                )
            if last is not None and previous != last:
                raise AuditBroken(f"Row {number} of the audit log does not follow the one before.")
            if hashlib.sha256(previous + payload.encode()).digest() != claimed:
                raise AuditBroken(f"Row {number} of the audit log was changed.")
            rows, sequence, last = rows + 1, number, claimed
        else:
            continue
        break
    if head is None and not rows:
        return Chain(0, 0, b"")
    if head is None or (rows and (sequence, last) != (head[0], head[1])):
        raise AuditBroken(f"The audit log ends at row {sequence}, which is not its newest.")
    return Chain(rows, head[0], head[1])

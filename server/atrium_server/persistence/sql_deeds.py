"""Changes to accounts, each with the row of the audit log that tells of it."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit


def about(actor: str, action: str, account: uuid.UUID | None, **data: object) -> AuditRow:
    """What was done to an account, or (None) to a guest's sign-in."""
    kind, named = ("account", str(account)) if account else ("guest", str(data.get("sign_in")))
    return AuditRow(actor, action, kind, named, data=data)


async def count(connection: AsyncConnection, statement: Any, values: dict[str, Any]) -> int:
    """Run a statement and count the rows that it returns."""
    return len((await connection.execute(statement, values)).all())


async def change(
    connection: AsyncConnection, statement: Any, values: dict[str, Any], row: AuditRow
) -> int:
    """Run a statement that returns what it changed, and tell of it if it was anything."""
    changed = await count(connection, statement, values)
    if changed:
        await write_audit(connection, row)
    return changed


def plain(value: uuid.UUID) -> uuid.UUID:
    """The driver has a UUID class of its own, which equals ours and is not quite like it."""
    return uuid.UUID(int=value.int)


def plain_or_none(value: uuid.UUID | None) -> uuid.UUID | None:
    """The same for what may be missing."""
    return None if value is None else plain(value)

"""Leaving: what is told to a person of what is kept about them, and how an account ends.

Both go page by page (`persistence.account_erasure` says why, and what stays of whom). A deletion
that was begun is finished by whoever comes by: the request that began it, or `finish_begun` at
some later time, even of another process.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from atrium_server.persistence.accounts import AccountRow, AccountStore, ExportKind

BEGUN_AT_ONCE_MAX: Final = 100


async def export(store: AccountStore, row: AccountRow) -> AsyncGenerator[bytes]:
    """All that is kept about somebody, as pieces of one JSON object. Raises StoreError."""
    about = {
        "id": str(row.id),
        "handle": row.handle,
        "status": row.status,
        "created_at": row.created_at,
        "password_changed_at": row.password_changed_at,
        "last_seen_at": row.last_seen_at,
        "prefs": msgspec.Raw(row.prefs),
    }
    yield b'{"account": ' + msgspec.json.encode(about)
    for kind in ExportKind:
        yield b',\n"' + kind.value.encode() + b'": ['
        after: str | None = None
        is_first = True
        while True:
            page = await store.export_page(row.id, kind, after)
            if page.rows:
                yield (b"\n" if is_first else b",\n") + b",\n".join(page.rows)
                is_first = False
            after = page.after
            if after is None:
                break
        yield b"]"
    yield b"}\n"


async def finish(store: AccountStore, account: uuid.UUID) -> None:
    """Bring a deletion that was begun to its end. Raises StoreError."""
    while await store.erase_some(account):
        pass
    await store.finish_deletion(account)


async def finish_begun(store: AccountStore) -> int:
    """Finish deletions that somebody left in the middle; returns how many. Raises StoreError."""
    begun = await store.deleting(BEGUN_AT_ONCE_MAX)
    for account in begun:
        await finish(store, account)
    return len(begun)

"""Sign-ins in Postgres: the statements behind that half of `sql_accounts.SqlAccounts`.

A token names its sign-in. Any other than the present one of a sign-in that holds was copied,
however often it was exchanged since. Two exchanges of one token meet in the row of the sign-in: the
second waits for the first, then finds another token there, which ends the sign-in. Had both asked
the same question first, both would have won.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.accounts import (
    ACTOR_GUEST,
    ACTOR_SERVER,
    Ask,
    Exchange,
    Held,
    NewSignIn,
    Rotated,
    SignInRow,
)
from atrium_server.persistence.audit_rows import write_audit
from atrium_server.persistence.sql_deeds import about, count, plain, plain_or_none

_SEEN: Final = text("""
    UPDATE account SET last_seen_at = now()
    WHERE id = :id AND status = 'active' AND password_hash = :hash RETURNING id
""")
_SIGN_IN: Final = text("""
    INSERT INTO sign_in (id, account_id, guest_name, token_hash, expires_at, address, device)
    VALUES (:id, CAST(:account AS uuid), :guest, :hash, now() + make_interval(secs => :lasts_s),
        CAST(:address AS inet), :device)
""")
_END_OLDEST: Final = text("""
    UPDATE sign_in SET revoked_at = now() WHERE id IN (
        SELECT id FROM sign_in
        WHERE account_id = :account AND revoked_at IS NULL AND expires_at > now()
        ORDER BY last_seen_at DESC, id DESC OFFSET :most)
""")
_HELD: Final = """
    SELECT asked.n, s.id, s.account_id, coalesce(a.handle, s.guest_name),
        coalesce(a.status, 'active'), extract(epoch FROM s.expires_at - now())::float8,
        asked.hash IS NOT NULL AND asked.hash <> s.token_hash, ARRAY(
            SELECT DISTINCT word FROM role_grant g JOIN role r ON r.id = g.role_id
                CROSS JOIN unnest(r.permissions) word
            WHERE g.account_id = s.account_id AND (g.world_id IS NULL OR g.world_id =
                (SELECT w.id FROM world w WHERE w.slug = asked.world)))
    FROM unnest($1::uuid[], $2::bytea[], $3::text[]) WITH ORDINALITY
        asked(sign_in, hash, world, n)
    JOIN sign_in s ON s.id = asked.sign_in
    LEFT JOIN account a ON a.id = s.account_id
    WHERE s.revoked_at IS NULL AND s.expires_at > now()
"""
_ROTATE: Final = text("""
    UPDATE sign_in SET spent_token_hash = token_hash, token_hash = :new, rotation = rotation + 1,
        last_seen_at = now(),
        expires_at = least(now() + make_interval(secs => :lasts_s),
            created_at + make_interval(secs => :lasts_s_max))
    WHERE id = :sign_in AND token_hash = :old AND revoked_at IS NULL AND expires_at > now()
        AND created_at + make_interval(secs => :lasts_s_max) > now()
    RETURNING id, account_id, extract(epoch FROM expires_at - now())::float8
""")
_END_COPIED: Final = text("""
    UPDATE sign_in SET revoked_at = now()
    WHERE id = :sign_in AND token_hash <> :old AND revoked_at IS NULL AND expires_at > now()
    RETURNING id, account_id
""")
END: Final = text("""
    UPDATE sign_in SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL RETURNING id
""")
END_ALL: Final = text("""
    UPDATE sign_in SET revoked_at = now()
    WHERE account_id = :account AND revoked_at IS NULL AND id IS DISTINCT FROM CAST(:but AS uuid)
    RETURNING id
""")
_SIGN_INS: Final = text("""
    SELECT id, created_at, expires_at, last_seen_at, coalesce(host(address), ''),
        coalesce(device, '') FROM sign_in
    WHERE account_id = :account AND revoked_at IS NULL AND expires_at > now()
    ORDER BY last_seen_at DESC, id DESC
""")
PURGE: Final = text("""
    DELETE FROM sign_in WHERE id IN (
        SELECT id FROM sign_in WHERE expires_at < now() - make_interval(secs => :kept_s)
            OR revoked_at < now() - make_interval(secs => :kept_s)
        LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id
""")


async def sign_in(connection: AsyncConnection, new: NewSignIn, newest_max: int) -> bool:
    if new.account is not None:
        # It also waits for who is just changing the password, and ends all that were made before.
        owner = {"id": new.account, "hash": new.password_hash}
        if not await count(connection, _SEEN, owner):
            return False
    await connection.execute(_SIGN_IN, {
        "id": new.id, "account": new.account, "guest": new.guest_name, "hash": new.token_hash,
        "lasts_s": new.lasts_s, "address": new.address, "device": new.device,
    })
    if new.account is not None:
        await connection.execute(_END_OLDEST, {"account": new.account, "most": newest_max})
    actor = ACTOR_GUEST if new.account is None else str(new.account)
    await write_audit(connection, about(actor, "sign_in", new.account, sign_in=str(new.id)))
    return True


async def held(connection: AsyncConnection, asks: list[Ask]) -> list[Held | None]:
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    answers: list[Held | None] = [None] * len(asks)
    columns = [[ask[at] for ask in asks] for at in range(3)]
    for row in await driver.fetch(_HELD, *columns):
        known: tuple[Any, ...] = (
            plain(row[1]), plain_or_none(row[2]), *row[3:7], frozenset(row[7])
        )
        answers[row[0] - 1] = Held(*known)
    return answers


async def rotate(connection: AsyncConnection, exchange: Exchange) -> Rotated | None:
    values = {
        "sign_in": exchange.sign_in, "old": exchange.old_hash, "new": exchange.new_hash,
        "lasts_s": exchange.lasts_s, "lasts_s_max": exchange.lasts_s_max,
    }
    row = (await connection.execute(_ROTATE, values)).first()
    if row is not None:
        done = Rotated(plain(row[0]), plain_or_none(row[1]), False, row[2])
    else:
        # A new statement sees what the winner of a race has written.
        row = (await connection.execute(_END_COPIED, values)).first()
        if row is None:
            return None
        done = Rotated(plain(row[0]), plain_or_none(row[1]), True)
    action = "sign_in.copied" if done.is_copied else "sign_in.refresh"
    deed = about(ACTOR_SERVER, action, done.account, sign_in=str(done.sign_in))
    await write_audit(connection, deed)
    return done


async def sign_ins(connection: AsyncConnection, account: uuid.UUID) -> list[SignInRow]:
    found = await connection.execute(_SIGN_INS, {"account": account})
    return [SignInRow(plain(row[0]), *row[1:]) for row in found]

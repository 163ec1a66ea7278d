"""What metadata cannot say, as SQL: functions, triggers and default partitions.

Theory of operation
-------------------
The statements are listed by the revision that brings them. The migration of that revision runs
them, and `create_all` runs all of them in order, so there is one place for both. What was released
is never changed here: a later revision lists its own CREATE OR REPLACE.

*Append-only.* Rows of such tables cannot be updated, deleted or truncated by anybody but the
owner of the database, who would have to remove the triggers first. Partitions inherit triggers
for rows but not the one for TRUNCATE, so who makes a partition adds it (`no_truncate`). To drop a
whole partition is allowed: that is how old times are forgotten.

*The chain.* Each row of the audit log is numbered and holds the hash of the one before::

    hash = SHA-256(prev_hash + UTF-8 of the JSON array [sequence, microseconds, actor, action,
                   object_kind, object_id, request_id, data])

`audit_head` holds the number and hash of the newest row. Its row lock, which is held until
the end of the transaction, puts writers into an order; so an audit row is best the last that a
transaction writes. `persistence.audit` verifies the chain without these functions.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import DDL, MetaData, event

AUDIT_PAYLOAD: Final = """jsonb_build_array(
    {row}.sequence, (extract(epoch FROM {row}.at) * 1000000)::bigint, {row}.actor, {row}.action,
    {row}.object_kind, {row}.object_id, {row}.request_id, {row}.data)::text"""
"""What is hashed of a row, after the hash of the row before."""

_REFUSE_CHANGE: Final = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed nor removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""

_CHAIN: Final = f"""
CREATE FUNCTION chain_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_head AS head (sequence, hash)
    VALUES (1, decode(repeat('00', 32), 'hex'))
    ON CONFLICT (is_head) DO UPDATE SET sequence = head.sequence + 1
    RETURNING head.sequence, head.hash INTO NEW.sequence, NEW.prev_hash;
    NEW.hash := sha256(NEW.prev_hash || convert_to({AUDIT_PAYLOAD.format(row="NEW")}, 'UTF8'));
    UPDATE audit_head SET hash = NEW.hash;
    RETURN NEW;
END $$
"""


def no_truncate(table: str) -> str:
    """The trigger that keeps a table, or one partition, from being emptied."""
    return (
        f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _append_only(table: str) -> list[str]:
    return [
        f"CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        no_truncate(table),
    ]


_BY_REVISION: Final[dict[str, tuple[str, ...]]] = {
    "0001": (
        _REFUSE_CHANGE,
        _CHAIN,
        "CREATE TRIGGER chain BEFORE INSERT ON audit_log"
        " FOR EACH ROW EXECUTE FUNCTION chain_audit_log()",
        *_append_only("audit_log"),
        *_append_only("item_ledger"),
        "CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT",
        "CREATE TABLE chat_default PARTITION OF chat DEFAULT",
        no_truncate("audit_log_default"),
    ),
    "0003": tuple(_append_only("model_change")),
}


def statements_of(revision: str) -> tuple[str, ...]:
    """What the migration of this revision runs after it has made its tables."""
    return _BY_REVISION[revision]


def attach(metadata: MetaData) -> None:
    """Let `create_all` run the statements of all revisions, too."""
    for revision in sorted(_BY_REVISION):
        for statement in _BY_REVISION[revision]:
            listener: Any = DDL(statement.replace("%", "%%"))
            event.listen(metadata, "after_create", listener)

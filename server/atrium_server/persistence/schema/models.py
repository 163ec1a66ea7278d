"""What models there are and how far each has come, who may ask them, what people say of them."""

from __future__ import annotations

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from atrium_server.persistence.schema.base import (
    chars,
    hash_column,
    is_hash,
    is_object,
    metadata,
    moment,
    one_of,
    open_object,
    own_id,
    plain_text,
    stamped,
)

model = Table(
    "model",
    metadata,
    own_id(),
    plain_text("name"),
    plain_text("revision"),
    plain_text("task"),
    plain_text("format"),
    hash_column("hash"),
    Column("size_bytes", BigInteger, nullable=False),
    plain_text("licence"),
    plain_text("source"),
    Column("state", Text, nullable=False, server_default="candidate"),
    open_object("settings"),
    open_object("scores"),
    stamped("registered_at"),
    Column("canary_share", Double, nullable=False, server_default=text("0")),
    Column("live_rank", BigInteger, nullable=False, server_default=text("0")),
    is_hash("hash"),
    chars("name", 1, 128),
    chars("revision", 1, 64),
    chars("task", 1, 64),
    chars("format", 1, 64),
    one_of("state", ("candidate", "shadow", "canary", "live", "retired")),
    is_object("settings"),
    is_object("scores"),
    CheckConstraint("size_bytes >= 0", "size_bytes_counts"),
    CheckConstraint("canary_share BETWEEN 0 AND 0.5", "canary_share_in_bounds"),
    CheckConstraint("(state = 'canary') = (canary_share > 0)", "canary_has_share"),
    CheckConstraint("live_rank >= 0", "live_rank_counts"),
    UniqueConstraint("name", "revision"),
    Index("ix_model_task_state", "task", "state"),
    Index(
        "uq_model_name_state", "name", "state", unique=True,
        postgresql_where=text("state IN ('shadow', 'canary', 'live')"),
    ),
)
"""Versions (`revision`) of models by the hash of their documents, which lie beside the database.
`task` is the kind of network, `live_rank` says which of those that were live was so last."""

model_change = Table(
    "model_change",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Uuid, nullable=False),
    stamped("at"),
    plain_text("op"),
    plain_text("revision"),
    plain_text("actor"),
    plain_text("why"),
    open_object("moves"),
    open_object("figures"),
    chars("name", 1, 128),
    chars("revision", 1, 64),
    chars("actor", 1, 128),
    chars("why", 0, 500),
    one_of("op", (
        "publish", "adopt", "shadow", "canary", "promote", "rollback", "retire", "demote",
    )),
    is_object("moves"),
    is_object("figures"),
    CheckConstraint("sequence > 0", "sequence_counts"),
    UniqueConstraint("id"),
)
"""What was done to the stages of a model, numbered, so that two cannot decide on the same state.
`figures` is what the gate was passed by. Append-only."""

model_evaluation = Table(
    "model_evaluation",
    metadata,
    Column("model_id", Uuid, ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", Text, primary_key=True),
    plain_text("subject_hash"),
    open_object("figures"),
    stamped("at"),
    chars("subject", 1, 128),
    chars("subject_hash", 0, 64),
    is_object("figures"),
)
"""What was measured of a version: on one set of rows, or of its speed on one device."""

ai_key = Table(
    "ai_key",
    metadata,
    own_id(),
    hash_column("key_hash"),
    Column(
        "owner_account", Uuid, ForeignKey("account.id", ondelete="CASCADE"), nullable=False,
        index=True,
    ),
    plain_text("name"),
    Column("rows_per_minute", Integer, nullable=False),
    Column("rows_per_day", Integer, nullable=False),
    stamped("created_at"),
    moment("last_used_at"),
    moment("revoked_at"),
    is_hash("key_hash"),
    chars("name", 1, 64),
    CheckConstraint("rows_per_minute > 0 AND rows_per_day > 0", "quotas_count"),
    UniqueConstraint("key_hash"),
)
"""What an app of somebody shows to have its texts judged. Keys are known by their hash alone."""

feedback = Table(
    "feedback",
    metadata,
    own_id(),
    plain_text("source"),
    plain_text("task"),
    plain_text("body"),
    open_object("labels"),
    plain_text("decision"),
    plain_text("model_version"),
    Column("account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), index=True),
    Column("has_consent", Boolean, nullable=False, server_default=text("false")),
    stamped("created_at"),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False, index=True),
    one_of("source", ("verdict", "appeal", "thumb", "correction")),
    chars("task", 1, 64),
    chars("body", 1, 4_000),
    is_object("labels"),
    chars("decision", 0, 64),
    chars("model_version", 0, 128),
    CheckConstraint("expires_at > created_at", "expires_later"),
    Index("ix_feedback_task_id", "task", "id"),
)
"""What people said a model got wrong or right, as rows to learn from, with the text that it was
about. Only rows with consent are learnt from, and all go with the account."""

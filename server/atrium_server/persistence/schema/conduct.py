"""What was said and what was done about it: chat, moderation, bans and the audit log."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
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

REASON_CHARS_MAX = 2_000

chat = Table(
    "chat",
    metadata,
    stamped("at"),
    Column("id", Uuid, nullable=False),
    Column("world_id", BigInteger, nullable=False),
    plain_text("channel"),
    Column("session", Uuid, nullable=False),
    Column("sender_account", Uuid),
    plain_text("sender_name"),
    Column("sender_number", BigInteger, nullable=False, server_default=text("0")),
    Column("seq", BigInteger),
    Column("recipient_account", Uuid),
    Column("recipient_session", Uuid),
    plain_text("body"),
    Column("state", Text, nullable=False, server_default="published"),
    Column("flags", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("at", "id"),
    one_of("channel", ("world", "nearby", "direct")),
    one_of("state", ("published", "rejected", "retracted")),
    chars("sender_name", 1, 64),
    chars("body", 0, 2_000),
    Index("ix_chat_world_id_channel_at", "world_id", "channel", text("at DESC")),
    Index("ix_chat_sender_account_at", "sender_account", "at"),
    Index("ix_chat_recipient_account_at", "recipient_account", "at"),
    postgresql_partition_by="RANGE (at)",
)
"""What was said. `at` is the time within `id`, so the id alone finds a line and its partition;
`seq` is the number that readers know it by, `sender_number` the entity they saw speak."""

moderation_case = Table(
    "moderation_case",
    metadata,
    own_id(),
    Column("world_id", BigInteger, ForeignKey("world.id", ondelete="SET NULL"), index=True),
    Column(
        "subject_account", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True
    ),
    Column("subject_session", Uuid),
    plain_text("subject_name"),
    Column(
        "reporter_account", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True
    ),
    Column("assigned_to", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    plain_text("category"),
    plain_text("summary"),
    Column("state", Text, nullable=False, server_default="open"),
    stamped("opened_at"),
    moment("closed_at"),
    open_object("evidence"),
    chars("subject_name", 0, 64),
    chars("category", 1, 64),
    chars("summary", 0, REASON_CHARS_MAX),
    one_of("state", ("open", "reviewing", "closed")),
    is_object("evidence"),
    CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", "closed_when_closed"),
    Index("ix_moderation_case_state_opened_at", "state", "opened_at"),
)

moderation_action = Table(
    "moderation_action",
    metadata,
    own_id(),
    Column(
        "case_id", Uuid, ForeignKey("moderation_case.id", ondelete="SET NULL"), index=True
    ),
    Column("actor", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    Column(
        "subject_account", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True
    ),
    Column("subject_session", Uuid),
    Column("world_id", BigInteger, ForeignKey("world.id", ondelete="SET NULL"), index=True),
    plain_text("kind"),
    plain_text("reason"),
    stamped("at"),
    moment("expires_at"),
    open_object("data"),
    one_of("kind", ("note", "warn", "mute", "kick", "ban", "lift", "retract", "roll_back")),
    chars("reason", 0, REASON_CHARS_MAX),
    is_object("data"),
    CheckConstraint("expires_at > at", "expires_later"),
)
"""What was done, by a moderator or (actor null) by the server itself."""

ban = Table(
    "ban",
    metadata,
    own_id(),
    plain_text("subject_kind"),
    plain_text("subject"),
    Column("world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), index=True),
    Column(
        "action_id", Uuid, ForeignKey("moderation_action.id", ondelete="SET NULL"), index=True
    ),
    plain_text("reason"),
    stamped("starts_at"),
    moment("ends_at"),
    Column("lifted_by", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    moment("lifted_at"),
    one_of("subject_kind", ("account", "address", "network")),
    chars("subject", 1, 128),
    chars("reason", 0, REASON_CHARS_MAX),
    CheckConstraint("ends_at > starts_at", "ends_later"),
    Index(
        "ix_ban_subject_kind_subject", "subject_kind", "subject",
        postgresql_where=text("lifted_at IS NULL"),
    ),
)
"""From one world or (world_id null) from all; for ever when it has no end."""

audit_log = Table(
    "audit_log",
    metadata,
    stamped("at"),
    Column("sequence", BigInteger, nullable=False),
    plain_text("actor", nullable=True),
    plain_text("action"),
    plain_text("object_kind", nullable=True),
    plain_text("object_id", nullable=True),
    plain_text("request_id", nullable=True),
    open_object("data"),
    hash_column("prev_hash"),
    hash_column("hash"),
    PrimaryKeyConstraint("at", "sequence"),
    chars("action", 1, 64),
    chars("actor", 1, 128),
    chars("object_kind", 1, 64),
    chars("object_id", 1, 128),
    chars("request_id", 1, 128),
    is_object("data"),
    is_hash("prev_hash"),
    is_hash("hash"),
    Index("ix_audit_log_sequence", "sequence"),
    Index("ix_audit_log_object_kind_object_id_at", "object_kind", "object_id", "at"),
    Index("ix_audit_log_actor_at", "actor", "at"),
    postgresql_partition_by="RANGE (at)",
)
"""Each row holds the hash of the one before: see `schema.ddl`, which also numbers them."""

audit_head = Table(
    "audit_head",
    metadata,
    Column("is_head", Boolean, primary_key=True, server_default=text("true")),
    Column("sequence", BigInteger, nullable=False),
    hash_column("hash"),
    CheckConstraint("is_head", "single_row"),
    is_hash("hash"),
    postgresql_with={"fillfactor": 10},
)
"""The newest row of the audit log, so that a missing end is noticed. One row."""

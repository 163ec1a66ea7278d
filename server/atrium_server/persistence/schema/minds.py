"""The people that are programs: what they are, what they remember, the models they think with."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
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
    one_of,
    open_object,
    own_id,
    plain_text,
    stamped,
)

npc = Table(
    "npc",
    metadata,
    own_id(),
    Column(
        "world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), nullable=False
    ),
    Column("entity_id", Uuid),
    plain_text("name"),
    open_object("definition"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    stamped("created_at"),
    stamped("updated_at"),
    chars("name", 1, 64),
    is_object("definition"),
    CheckConstraint("version > 0", "version_counts"),
    UniqueConstraint("world_id", "name"),
)
"""`entity_id` is the post where it stands, if that is a prop."""

npc_memory = Table(
    "npc_memory",
    metadata,
    own_id(),
    Column("npc_id", Uuid, ForeignKey("npc.id", ondelete="CASCADE"), nullable=False),
    stamped("at"),
    plain_text("kind"),
    Column("importance", REAL, nullable=False, server_default=text("0")),
    plain_text("body"),
    Column("about_account", Uuid, ForeignKey("account.id", ondelete="CASCADE"), index=True),
    open_object("data"),
    Column("embedding", LargeBinary),
    chars("kind", 1, 64),
    chars("body", 0, 8_000),
    is_object("data"),
    CheckConstraint("importance BETWEEN 0 AND 1", "importance_in_bounds"),
    CheckConstraint("octet_length(embedding) <= 16384", "embedding_size"),
    Index("ix_npc_memory_npc_id_at", "npc_id", text("at DESC")),
)
"""What it remembers. What is about somebody goes when the account is deleted.

An embedding is a row of little-endian float32: not every server has a vector type.
"""

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
    is_hash("hash"),
    chars("name", 1, 128),
    chars("revision", 1, 64),
    chars("task", 1, 64),
    chars("format", 1, 64),
    one_of("state", ("candidate", "active", "retired")),
    is_object("settings"),
    is_object("scores"),
    CheckConstraint("size_bytes >= 0", "size_bytes_counts"),
    UniqueConstraint("name", "revision"),
    Index("ix_model_task_state", "task", "state"),
)
"""Models that may be used, by the hash of their files; the files lie beside the database."""

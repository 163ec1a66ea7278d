"""The people that are programs: what they are and what they remember."""

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
    UniqueConstraint,
    Uuid,
    text,
)

from atrium_server.persistence.schema.base import (
    chars,
    is_object,
    metadata,
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

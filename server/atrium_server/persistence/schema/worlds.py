"""Worlds, what stands in them, what was done to it, and where people were last.

`entity` is written up to thousands of times a second: it has room in its pages for new versions of
rows (fillfactor) and no index on anything that changes, so that an update touches no index.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

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
    pose_checks,
    pose_columns,
    scale_check,
    scale_columns,
    stamped,
)

WORD_CHARS_MAX = 64

world = Table(
    "world",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    plain_text("slug"),
    plain_text("title"),
    Column("owner_account", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    open_object("settings"),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("owner_epoch", BigInteger, nullable=False, server_default=text("0")),
    plain_text("owner_node", nullable=True),
    moment("lease_until"),
    moment("saved_at"),
    stamped("created_at"),
    chars("slug", 1, WORD_CHARS_MAX),
    chars("title", 0, 200),
    is_object("settings"),
    CheckConstraint("version >= 0", "version_counts"),
    CheckConstraint("owner_epoch >= 0", "owner_epoch_counts"),
    UniqueConstraint("slug"),
    postgresql_with={"fillfactor": 50},
)
"""`owner_epoch` and `version` are the fence: see `persistence.world_store`."""

entity = Table(
    "entity",
    metadata,
    own_id(),
    Column(
        "world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), nullable=False,
        index=True,
    ),
    Column("parent_id", Uuid),
    plain_text("kind"),
    Column("owner_account", Uuid),
    *pose_columns(),
    *scale_columns(),
    hash_column("model_hash", nullable=True),
    open_object("props"),
    Column("changed_in", BigInteger, nullable=False),
    Column("changed_by", Uuid),
    chars("kind", 1, WORD_CHARS_MAX),
    is_object("props"),
    is_hash("model_hash"),
    *pose_checks(),
    scale_check(),
    postgresql_with={"fillfactor": 80},
)

entity_tombstone = Table(
    "entity_tombstone",
    metadata,
    Column(
        "world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("version", BigInteger, primary_key=True),
    Column("entity_id", Uuid, primary_key=True),
)
"""What was removed, and in which version: for who knew the world before it."""

world_edit = Table(
    "world_edit",
    metadata,
    Column("world_id", BigInteger, nullable=False),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("version", BigInteger, nullable=False),
    stamped("at"),
    Column("session", Uuid, nullable=False),
    Column("request_id", BigInteger, nullable=False),
    Column("actor", Uuid),
    plain_text("op"),
    Column("entity_id", Uuid),
    Column("before", JSONB),
    Column("after", JSONB),
    chars("op", 1, WORD_CHARS_MAX),
    UniqueConstraint("session", "request_id"),
    Index("ix_world_edit_world_id_entity_id_version", "world_id", "entity_id", "version"),
    Index("ix_world_edit_world_id_at", "world_id", "at"),
    Index("ix_world_edit_world_id_actor_at", "world_id", "actor", "at"),
)
"""One row for each edit: history, undo, roll-back of a person, and exactly-once."""

avatar_pose = Table(
    "avatar_pose",
    metadata,
    Column(
        "account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    ),
    Column(
        "world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), primary_key=True,
        index=True,
    ),
    *pose_columns(),
    stamped("at"),
    *pose_checks(),
    postgresql_with={"fillfactor": 50},
)
"""Where somebody was last in a world. It may be 10 s old."""

asset = Table(
    "asset",
    metadata,
    hash_column("hash", primary_key=True),
    plain_text("media_type"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("uploader", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    Column("state", Text, nullable=False, server_default="pending"),
    plain_text("sentence", nullable=True),
    open_object("meta"),
    stamped("created_at"),
    stamped("last_used_at"),
    is_hash("hash"),
    chars("media_type", 1, 100),
    chars("sentence", 0, 300),
    one_of("state", ("pending", "ready", "refused")),
    is_object("meta"),
    CheckConstraint("size_bytes >= 0", "size_bytes_counts"),
    Index("ix_asset_state_created_at", "state", "created_at"),
)
"""What is known of a file of the content-addressed store; its bytes lie there and not here."""

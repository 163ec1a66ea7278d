"""Accounts, how they are signed in, who is in which world, what they may do and what they have."""

from __future__ import annotations

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET

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
    stamped,
)

NAME_CHARS_MAX = 64

account = Table(
    "account",
    metadata,
    own_id(),
    plain_text("handle"),
    plain_text("handle_key"),
    plain_text("password_hash"),  # argon2id, with its parameters and salt
    Column("status", Text, nullable=False, server_default="active"),
    stamped("created_at"),
    stamped("password_changed_at"),
    moment("last_seen_at"),
    open_object("prefs"),
    chars("handle", 1, NAME_CHARS_MAX),
    chars("handle_key", 1, 4 * NAME_CHARS_MAX),
    one_of("status", ("active", "suspended", "deleting")),
    is_object("prefs"),
    UniqueConstraint("handle_key"),
)
"""`handle_key` is the handle folded by us, so that two that look alike are one: what the database
takes for lower case depends on its locale."""

sign_in = Table(
    "sign_in",
    metadata,
    own_id(),
    Column("account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), index=True),
    plain_text("guest_name", nullable=True),
    hash_column("token_hash"),
    # The token before it: who shows that one has copied it, and the whole sign-in ends.
    hash_column("spent_token_hash", nullable=True),
    Column("rotation", Integer, nullable=False, server_default=text("0")),
    stamped("created_at"),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False, index=True),
    stamped("last_seen_at"),
    moment("revoked_at"),
    Column("address", INET),
    plain_text("device", nullable=True),
    is_hash("token_hash"),
    is_hash("spent_token_hash"),
    chars("guest_name", 1, NAME_CHARS_MAX),
    chars("device", 0, 200),
    CheckConstraint("num_nonnulls(account_id, guest_name) = 1", "one_owner"),
    CheckConstraint("expires_at > created_at", "expires_later"),
    UniqueConstraint("token_hash"),
    UniqueConstraint("spent_token_hash"),
)
"""Who is signed in, in the page or a program. Tokens are known by their hash alone."""

session = Table(
    "session",
    metadata,
    own_id(),
    Column("account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), index=True),
    plain_text("guest_name", nullable=True),
    Column("sign_in_id", Uuid, ForeignKey("sign_in.id", ondelete="SET NULL"), index=True),
    Column(
        "world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), nullable=False
    ),
    Column("number", BigInteger, nullable=False),
    Column("slot", Integer),
    Column("rotation", Integer, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default="active"),
    Column("last_request_id", BigInteger, nullable=False, server_default=text("0")),
    Column("last_chat_seq", BigInteger, nullable=False, server_default=text("0")),
    open_object("client"),
    Column("seat_id", Uuid),
    Column("chair", Integer),
    *pose_columns(nullable=True),
    moment("posed_at"),
    stamped("started_at"),
    stamped("saved_at"),
    moment("resumable_until"),
    moment("ended_at"),
    chars("guest_name", 1, NAME_CHARS_MAX),
    is_object("client"),
    one_of("state", ("active", "resumable", "over")),
    *pose_checks(),
    CheckConstraint("num_nonnulls(account_id, guest_name) = 1", "one_owner"),
    CheckConstraint("number BETWEEN 0 AND 4294967295", "number_in_bounds"),
    CheckConstraint("slot >= 0", "slot_in_bounds"),
    CheckConstraint("chair >= 0", "chair_in_bounds"),
    CheckConstraint("rotation >= 0", "rotation_counts"),
    CheckConstraint("state <> 'resumable' OR resumable_until IS NOT NULL", "resumable_ends"),
    Index(
        "uq_session_world_id_number", "world_id", "number", unique=True,
        postgresql_where=text("state <> 'over'"),
    ),
    Index("ix_session_ended_at", "ended_at", postgresql_where=text("state = 'over'")),
    postgresql_with={"fillfactor": 70},
)
"""A seat in a world, with what the server must know to let its owner resume after a restart.

`number` is the session on the wire, `rotation` that of its resume token, `client` what it told us
of itself (name, avatar, capabilities), `seat_id` the prop that it sits on, `chair` the seat of the
manifest. Edits name `id`. The root's yaw is a turn about +Y in the quaternion.
"""

role = Table(
    "role",
    metadata,
    own_id(),
    plain_text("name"),
    Column("permissions", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    stamped("created_at"),
    chars("name", 1, NAME_CHARS_MAX),
    UniqueConstraint("name"),
)

role_grant = Table(
    "role_grant",
    metadata,
    own_id(),
    Column(
        "account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), nullable=False
    ),
    Column(
        "role_id", Uuid, ForeignKey("role.id", ondelete="RESTRICT"), nullable=False, index=True
    ),
    Column("world_id", BigInteger, ForeignKey("world.id", ondelete="CASCADE"), index=True),
    Column("granted_by", Uuid, ForeignKey("account.id", ondelete="SET NULL"), index=True),
    stamped("granted_at"),
    UniqueConstraint("account_id", "role_id", "world_id", postgresql_nulls_not_distinct=True),
)
"""A role that somebody has in one world, or (world_id null) in all."""

relation = Table(
    "relation",
    metadata,
    Column(
        "account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("person", Text, primary_key=True),
    plain_text("name"),
    Column("relation", SmallInteger, nullable=False),
    stamped("at"),
    chars("person", 1, 48),
    chars("name", 0, NAME_CHARS_MAX),
    CheckConstraint("relation BETWEEN 1 AND 7", "relation_known"),
    Index("ix_relation_person", "person"),
)
"""What somebody does about another person: `person` is the id of an account, or `guest:` and the id
of a session; `relation` has the bits of the wire."""

inventory = Table(
    "inventory",
    metadata,
    own_id(),
    Column("account_id", Uuid, ForeignKey("account.id", ondelete="CASCADE")),
    Column("npc_id", Uuid, ForeignKey("npc.id", ondelete="CASCADE")),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    stamped("created_at"),
    CheckConstraint("num_nonnulls(account_id, npc_id) = 1", "one_owner"),
    UniqueConstraint("account_id"),
    UniqueConstraint("npc_id"),
)

inventory_item = Table(
    "inventory_item",
    metadata,
    own_id(),
    Column(
        "inventory_id", Uuid, ForeignKey("inventory.id", ondelete="CASCADE"), nullable=False
    ),
    plain_text("item_kind"),
    Column("quantity", BigInteger, nullable=False, server_default=text("1")),
    Column("slot", SmallInteger),
    open_object("props"),
    chars("item_kind", 1, NAME_CHARS_MAX),
    is_object("props"),
    CheckConstraint("quantity >= 0", "quantity_counts"),
    CheckConstraint("slot >= 0", "slot_in_bounds"),
    UniqueConstraint("inventory_id", "slot"),
    postgresql_with={"fillfactor": 80},
)

item_ledger = Table(
    "item_ledger",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    stamped("at"),
    Column("request_id", Uuid, nullable=False),
    Column("op", Text, nullable=False, server_default="move"),
    Column("from_inventory", Uuid),
    Column("to_inventory", Uuid),
    Column("item_id", Uuid),
    Column("into_id", Uuid),
    plain_text("item_kind"),
    Column("quantity", BigInteger, nullable=False),
    Column("actor", Uuid),
    plain_text("reason"),
    chars("item_kind", 1, NAME_CHARS_MAX),
    chars("reason", 0, 200),
    one_of("op", ("give", "move", "split", "stack", "consume")),
    CheckConstraint("quantity > 0", "quantity_counts"),
    CheckConstraint("num_nonnulls(from_inventory, to_inventory) > 0", "somewhere"),
    UniqueConstraint("request_id"),
    Index("ix_item_ledger_from_inventory_at", "from_inventory", "at"),
    Index("ix_item_ledger_to_inventory_at", "to_inventory", "at"),
)
"""Each transfer once: a request that is asked again finds its row, with the stack that was taken
from (`item_id`) and the one that it came to (`into_id`). Append-only, without keys to what it
names, which it outlives."""

"""The tables, as SQLAlchemy Core metadata: what a database of this program must look like.

Theory of operation
-------------------
`metadata` is the truth; `migrations/` leads there step by step, and a test holds that both give the
same database. What SQLAlchemy cannot say (functions, triggers, partitions) is SQL in `ddl`, which
`create_all` and the migrations both run.

Rules that hold for all tables: ids are UUIDv7 made by us (they sort by time, so an index grows
at its end), but for worlds and logs, which count; times are `timestamptz`; words of a fixed set
are text with a CHECK, because such a set is easier to change than an enum; what is queried,
bounded or hot has a column, and open properties are JSONB, which code bounds before it writes.
Foreign keys stand everywhere but on what is hot (`entity`, `chat`) and on what must outlive that
which it names (`world_edit`, `item_ledger`, `audit_log`).

When an account is deleted, what is only its own goes with it (CASCADE), and what others did
or made stays without the name (SET NULL).
"""

from __future__ import annotations

from atrium_server.persistence.schema.base import (
    APPEND_ONLY,
    PARTITION_NAME,
    PARTITIONED,
    metadata,
    uuid7,
)
from atrium_server.persistence.schema.conduct import (
    audit_head,
    audit_log,
    ban,
    chat,
    moderation_action,
    moderation_case,
)
from atrium_server.persistence.schema.ddl import attach, statements_of
from atrium_server.persistence.schema.minds import npc, npc_memory
from atrium_server.persistence.schema.models import (
    ai_key,
    feedback,
    model,
    model_change,
    model_evaluation,
)
from atrium_server.persistence.schema.people import (
    account,
    inventory,
    inventory_item,
    item_ledger,
    relation,
    role,
    role_grant,
    session,
    sign_in,
)
from atrium_server.persistence.schema.worlds import (
    asset,
    avatar_pose,
    entity,
    entity_tombstone,
    world,
    world_edit,
)

attach(metadata)

__all__ = [
    "APPEND_ONLY",
    "PARTITIONED",
    "PARTITION_NAME",
    "account",
    "ai_key",
    "asset",
    "audit_head",
    "audit_log",
    "avatar_pose",
    "ban",
    "chat",
    "entity",
    "entity_tombstone",
    "feedback",
    "inventory",
    "inventory_item",
    "item_ledger",
    "metadata",
    "model",
    "model_change",
    "model_evaluation",
    "moderation_action",
    "moderation_case",
    "npc",
    "npc_memory",
    "relation",
    "role",
    "role_grant",
    "session",
    "sign_in",
    "statements_of",
    "uuid7",
    "world",
    "world_edit",
]

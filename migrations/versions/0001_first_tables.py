"""The first tables.

Revises: nothing: the database is empty before it
"""

from __future__ import annotations

from alembic import op

from atrium_server.persistence.schema import statements_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PEOPLE = (
    """
CREATE TABLE account (
    id UUID NOT NULL,
    handle TEXT NOT NULL,
    handle_key TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    password_changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE,
    prefs JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (id),
    CONSTRAINT ck_account_handle_length CHECK (char_length(handle) BETWEEN 1 AND 64),
    CONSTRAINT ck_account_handle_key_length CHECK (char_length(handle_key) BETWEEN 1 AND 256),
    CONSTRAINT ck_account_status_known CHECK (status IN ('active', 'suspended', 'deleting')),
    CONSTRAINT ck_account_prefs_is_object CHECK (jsonb_typeof(prefs) = 'object'),
    CONSTRAINT uq_account_handle_key UNIQUE (handle_key)
)
""",
    """
CREATE TABLE sign_in (
    id UUID NOT NULL,
    account_id UUID,
    guest_name TEXT,
    token_hash BYTEA NOT NULL,
    spent_token_hash BYTEA,
    rotation INTEGER DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    address INET,
    device TEXT,
    CONSTRAINT pk_sign_in PRIMARY KEY (id),
    CONSTRAINT ck_sign_in_token_hash_length CHECK (octet_length(token_hash) = 32),
    CONSTRAINT ck_sign_in_spent_token_hash_length CHECK (octet_length(spent_token_hash) = 32),
    CONSTRAINT ck_sign_in_guest_name_length CHECK (char_length(guest_name) BETWEEN 1 AND 64),
    CONSTRAINT ck_sign_in_device_length CHECK (char_length(device) BETWEEN 0 AND 200),
    CONSTRAINT ck_sign_in_one_owner CHECK (num_nonnulls(account_id, guest_name) = 1),
    CONSTRAINT ck_sign_in_expires_later CHECK (expires_at > created_at),
    CONSTRAINT uq_sign_in_token_hash UNIQUE (token_hash),
    CONSTRAINT uq_sign_in_spent_token_hash UNIQUE (spent_token_hash),
    CONSTRAINT fk_sign_in_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE
)
""",
    """CREATE INDEX ix_sign_in_account_id ON sign_in (account_id)""",
    """CREATE INDEX ix_sign_in_expires_at ON sign_in (expires_at)""",
    """
CREATE TABLE role (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    permissions TEXT[] DEFAULT '{}'::text[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_role PRIMARY KEY (id),
    CONSTRAINT ck_role_name_length CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT uq_role_name UNIQUE (name)
)
""",
)
"""Accounts, how they are signed in and what they may do; sessions come with worlds."""

WORLDS = (
    """
CREATE TABLE world (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    slug TEXT NOT NULL,
    title TEXT NOT NULL,
    owner_account UUID,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    version BIGINT DEFAULT 0 NOT NULL,
    owner_epoch BIGINT DEFAULT 0 NOT NULL,
    owner_node TEXT,
    lease_until TIMESTAMP WITH TIME ZONE,
    saved_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_world PRIMARY KEY (id),
    CONSTRAINT ck_world_slug_length CHECK (char_length(slug) BETWEEN 1 AND 64),
    CONSTRAINT ck_world_title_length CHECK (char_length(title) BETWEEN 0 AND 200),
    CONSTRAINT ck_world_settings_is_object CHECK (jsonb_typeof(settings) = 'object'),
    CONSTRAINT ck_world_version_counts CHECK (version >= 0),
    CONSTRAINT ck_world_owner_epoch_counts CHECK (owner_epoch >= 0),
    CONSTRAINT uq_world_slug UNIQUE (slug),
    CONSTRAINT fk_world_owner_account FOREIGN KEY(owner_account) REFERENCES account (id)
        ON DELETE SET NULL
) WITH (fillfactor = 50)
""",
    """CREATE INDEX ix_world_owner_account ON world (owner_account)""",
    """
CREATE TABLE entity (
    id UUID NOT NULL,
    world_id BIGINT NOT NULL,
    parent_id UUID,
    kind TEXT NOT NULL,
    owner_account UUID,
    px DOUBLE PRECISION NOT NULL,
    py DOUBLE PRECISION NOT NULL,
    pz DOUBLE PRECISION NOT NULL,
    qx REAL NOT NULL,
    qy REAL NOT NULL,
    qz REAL NOT NULL,
    qw REAL NOT NULL,
    sx REAL NOT NULL,
    sy REAL NOT NULL,
    sz REAL NOT NULL,
    model_hash BYTEA,
    props JSONB DEFAULT '{}'::jsonb NOT NULL,
    changed_in BIGINT NOT NULL,
    changed_by UUID,
    CONSTRAINT pk_entity PRIMARY KEY (id),
    CONSTRAINT ck_entity_kind_length CHECK (char_length(kind) BETWEEN 1 AND 64),
    CONSTRAINT ck_entity_props_is_object CHECK (jsonb_typeof(props) = 'object'),
    CONSTRAINT ck_entity_model_hash_length CHECK (octet_length(model_hash) = 32),
    CONSTRAINT ck_entity_position_in_bounds CHECK (px BETWEEN -1000000 AND 1000000
        AND py BETWEEN -1000000 AND 1000000 AND pz BETWEEN -1000000 AND 1000000),
    CONSTRAINT ck_entity_rotation_in_bounds CHECK (qx BETWEEN -1.001 AND 1.001
        AND qy BETWEEN -1.001 AND 1.001 AND qz BETWEEN -1.001 AND 1.001
        AND qw BETWEEN -1.001 AND 1.001),
    CONSTRAINT ck_entity_scale_in_bounds CHECK (sx BETWEEN 1e-06 AND 1000000
        AND sy BETWEEN 1e-06 AND 1000000 AND sz BETWEEN 1e-06 AND 1000000),
    CONSTRAINT fk_entity_world_id FOREIGN KEY(world_id) REFERENCES world (id) ON DELETE CASCADE
) WITH (fillfactor = 80)
""",
    """CREATE INDEX ix_entity_world_id ON entity (world_id)""",
    """
CREATE TABLE entity_tombstone (
    world_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    entity_id UUID NOT NULL,
    CONSTRAINT pk_entity_tombstone PRIMARY KEY (world_id, version, entity_id),
    CONSTRAINT fk_entity_tombstone_world_id FOREIGN KEY(world_id) REFERENCES world (id)
        ON DELETE CASCADE
)
""",
    """
CREATE TABLE world_edit (
    world_id BIGINT NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    version BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    session UUID NOT NULL,
    request_id BIGINT NOT NULL,
    actor UUID,
    op TEXT NOT NULL,
    entity_id UUID,
    before JSONB,
    after JSONB,
    CONSTRAINT pk_world_edit PRIMARY KEY (id),
    CONSTRAINT ck_world_edit_op_length CHECK (char_length(op) BETWEEN 1 AND 64),
    CONSTRAINT uq_world_edit_session_request_id UNIQUE (session, request_id)
)
""",
    """CREATE INDEX ix_world_edit_world_id_actor_at ON world_edit (world_id, actor, at)""",
    """CREATE INDEX ix_world_edit_world_id_at ON world_edit (world_id, at)""",
    """
CREATE INDEX ix_world_edit_world_id_entity_id_version
    ON world_edit (world_id, entity_id, version)
""",
    """
CREATE TABLE avatar_pose (
    account_id UUID NOT NULL,
    world_id BIGINT NOT NULL,
    px DOUBLE PRECISION NOT NULL,
    py DOUBLE PRECISION NOT NULL,
    pz DOUBLE PRECISION NOT NULL,
    qx REAL NOT NULL,
    qy REAL NOT NULL,
    qz REAL NOT NULL,
    qw REAL NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_avatar_pose PRIMARY KEY (account_id, world_id),
    CONSTRAINT ck_avatar_pose_position_in_bounds CHECK (px BETWEEN -1000000 AND 1000000
        AND py BETWEEN -1000000 AND 1000000 AND pz BETWEEN -1000000 AND 1000000),
    CONSTRAINT ck_avatar_pose_rotation_in_bounds CHECK (qx BETWEEN -1.001 AND 1.001
        AND qy BETWEEN -1.001 AND 1.001 AND qz BETWEEN -1.001 AND 1.001
        AND qw BETWEEN -1.001 AND 1.001),
    CONSTRAINT fk_avatar_pose_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE,
    CONSTRAINT fk_avatar_pose_world_id FOREIGN KEY(world_id) REFERENCES world (id)
        ON DELETE CASCADE
) WITH (fillfactor = 50)
""",
    """CREATE INDEX ix_avatar_pose_world_id ON avatar_pose (world_id)""",
    """
CREATE TABLE session (
    id UUID NOT NULL,
    account_id UUID,
    guest_name TEXT,
    sign_in_id UUID,
    world_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    slot INTEGER,
    rotation INTEGER DEFAULT 0 NOT NULL,
    state TEXT DEFAULT 'active' NOT NULL,
    last_request_id BIGINT DEFAULT 0 NOT NULL,
    last_chat_seq BIGINT DEFAULT 0 NOT NULL,
    client JSONB DEFAULT '{}'::jsonb NOT NULL,
    seat_id UUID,
    chair INTEGER,
    px DOUBLE PRECISION,
    py DOUBLE PRECISION,
    pz DOUBLE PRECISION,
    qx REAL,
    qy REAL,
    qz REAL,
    qw REAL,
    posed_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    saved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resumable_until TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_session PRIMARY KEY (id),
    CONSTRAINT ck_session_guest_name_length CHECK (char_length(guest_name) BETWEEN 1 AND 64),
    CONSTRAINT ck_session_client_is_object CHECK (jsonb_typeof(client) = 'object'),
    CONSTRAINT ck_session_state_known CHECK (state IN ('active', 'resumable', 'over')),
    CONSTRAINT ck_session_position_in_bounds CHECK (px BETWEEN -1000000 AND 1000000
        AND py BETWEEN -1000000 AND 1000000 AND pz BETWEEN -1000000 AND 1000000),
    CONSTRAINT ck_session_rotation_in_bounds CHECK (qx BETWEEN -1.001 AND 1.001
        AND qy BETWEEN -1.001 AND 1.001 AND qz BETWEEN -1.001 AND 1.001
        AND qw BETWEEN -1.001 AND 1.001),
    CONSTRAINT ck_session_one_owner CHECK (num_nonnulls(account_id, guest_name) = 1),
    CONSTRAINT ck_session_number_in_bounds CHECK (number BETWEEN 0 AND 4294967295),
    CONSTRAINT ck_session_slot_in_bounds CHECK (slot >= 0),
    CONSTRAINT ck_session_chair_in_bounds CHECK (chair >= 0),
    CONSTRAINT ck_session_rotation_counts CHECK (rotation >= 0),
    CONSTRAINT ck_session_resumable_ends
        CHECK (state <> 'resumable' OR resumable_until IS NOT NULL),
    CONSTRAINT fk_session_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE,
    CONSTRAINT fk_session_sign_in_id FOREIGN KEY(sign_in_id) REFERENCES sign_in (id)
        ON DELETE SET NULL,
    CONSTRAINT fk_session_world_id FOREIGN KEY(world_id) REFERENCES world (id) ON DELETE CASCADE
) WITH (fillfactor = 70)
""",
    """CREATE INDEX ix_session_account_id ON session (account_id)""",
    """CREATE INDEX ix_session_ended_at ON session (ended_at) WHERE state = 'over'""",
    """CREATE INDEX ix_session_sign_in_id ON session (sign_in_id)""",
    """
CREATE UNIQUE INDEX uq_session_world_id_number
    ON session (world_id, number) WHERE state <> 'over'
""",
    """
CREATE TABLE role_grant (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    role_id UUID NOT NULL,
    world_id BIGINT,
    granted_by UUID,
    granted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_role_grant PRIMARY KEY (id),
    CONSTRAINT uq_role_grant_account_id_role_id_world_id
        UNIQUE NULLS NOT DISTINCT (account_id, role_id, world_id),
    CONSTRAINT fk_role_grant_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE,
    CONSTRAINT fk_role_grant_role_id FOREIGN KEY(role_id) REFERENCES role (id) ON DELETE RESTRICT,
    CONSTRAINT fk_role_grant_world_id FOREIGN KEY(world_id) REFERENCES world (id)
        ON DELETE CASCADE,
    CONSTRAINT fk_role_grant_granted_by FOREIGN KEY(granted_by) REFERENCES account (id)
        ON DELETE SET NULL
)
""",
    """CREATE INDEX ix_role_grant_granted_by ON role_grant (granted_by)""",
    """CREATE INDEX ix_role_grant_role_id ON role_grant (role_id)""",
    """CREATE INDEX ix_role_grant_world_id ON role_grant (world_id)""",
    """
CREATE TABLE asset (
    hash BYTEA NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    uploader UUID,
    state TEXT DEFAULT 'pending' NOT NULL,
    sentence TEXT,
    meta JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_asset PRIMARY KEY (hash),
    CONSTRAINT ck_asset_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT ck_asset_media_type_length CHECK (char_length(media_type) BETWEEN 1 AND 100),
    CONSTRAINT ck_asset_sentence_length CHECK (char_length(sentence) BETWEEN 0 AND 300),
    CONSTRAINT ck_asset_state_known CHECK (state IN ('pending', 'ready', 'refused')),
    CONSTRAINT ck_asset_meta_is_object CHECK (jsonb_typeof(meta) = 'object'),
    CONSTRAINT ck_asset_size_bytes_counts CHECK (size_bytes >= 0),
    CONSTRAINT fk_asset_uploader FOREIGN KEY(uploader) REFERENCES account (id) ON DELETE SET NULL
)
""",
    """CREATE INDEX ix_asset_state_created_at ON asset (state, created_at)""",
    """CREATE INDEX ix_asset_uploader ON asset (uploader)""",
)
"""Worlds, what stands in them, what was done to it, and who is there."""

MINDS = (
    """
CREATE TABLE npc (
    id UUID NOT NULL,
    world_id BIGINT NOT NULL,
    entity_id UUID,
    name TEXT NOT NULL,
    definition JSONB DEFAULT '{}'::jsonb NOT NULL,
    version INTEGER DEFAULT 1 NOT NULL,
    is_active BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_npc PRIMARY KEY (id),
    CONSTRAINT ck_npc_name_length CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT ck_npc_definition_is_object CHECK (jsonb_typeof(definition) = 'object'),
    CONSTRAINT ck_npc_version_counts CHECK (version > 0),
    CONSTRAINT uq_npc_world_id_name UNIQUE (world_id, name),
    CONSTRAINT fk_npc_world_id FOREIGN KEY(world_id) REFERENCES world (id) ON DELETE CASCADE
)
""",
    """
CREATE TABLE npc_memory (
    id UUID NOT NULL,
    npc_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    kind TEXT NOT NULL,
    importance REAL DEFAULT 0 NOT NULL,
    body TEXT NOT NULL,
    about_account UUID,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    embedding BYTEA,
    CONSTRAINT pk_npc_memory PRIMARY KEY (id),
    CONSTRAINT ck_npc_memory_kind_length CHECK (char_length(kind) BETWEEN 1 AND 64),
    CONSTRAINT ck_npc_memory_body_length CHECK (char_length(body) BETWEEN 0 AND 8000),
    CONSTRAINT ck_npc_memory_data_is_object CHECK (jsonb_typeof(data) = 'object'),
    CONSTRAINT ck_npc_memory_importance_in_bounds CHECK (importance BETWEEN 0 AND 1),
    CONSTRAINT ck_npc_memory_embedding_size CHECK (octet_length(embedding) <= 16384),
    CONSTRAINT fk_npc_memory_npc_id FOREIGN KEY(npc_id) REFERENCES npc (id) ON DELETE CASCADE,
    CONSTRAINT fk_npc_memory_about_account FOREIGN KEY(about_account) REFERENCES account (id)
        ON DELETE CASCADE
)
""",
    """CREATE INDEX ix_npc_memory_about_account ON npc_memory (about_account)""",
    """CREATE INDEX ix_npc_memory_npc_id_at ON npc_memory (npc_id, at DESC)""",
    """
CREATE TABLE model (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    task TEXT NOT NULL,
    format TEXT NOT NULL,
    hash BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    licence TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT DEFAULT 'candidate' NOT NULL,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    scores JSONB DEFAULT '{}'::jsonb NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_model PRIMARY KEY (id),
    CONSTRAINT ck_model_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT ck_model_name_length CHECK (char_length(name) BETWEEN 1 AND 128),
    CONSTRAINT ck_model_revision_length CHECK (char_length(revision) BETWEEN 1 AND 64),
    CONSTRAINT ck_model_task_length CHECK (char_length(task) BETWEEN 1 AND 64),
    CONSTRAINT ck_model_format_length CHECK (char_length(format) BETWEEN 1 AND 64),
    CONSTRAINT ck_model_state_known CHECK (state IN ('candidate', 'active', 'retired')),
    CONSTRAINT ck_model_settings_is_object CHECK (jsonb_typeof(settings) = 'object'),
    CONSTRAINT ck_model_scores_is_object CHECK (jsonb_typeof(scores) = 'object'),
    CONSTRAINT ck_model_size_bytes_counts CHECK (size_bytes >= 0),
    CONSTRAINT uq_model_name_revision UNIQUE (name, revision)
)
""",
    """CREATE INDEX ix_model_task_state ON model (task, state)""",
)
"""The people that are programs, and the models they think with."""

THINGS = (
    """
CREATE TABLE inventory (
    id UUID NOT NULL,
    account_id UUID,
    npc_id UUID,
    version BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_inventory PRIMARY KEY (id),
    CONSTRAINT ck_inventory_one_owner CHECK (num_nonnulls(account_id, npc_id) = 1),
    CONSTRAINT uq_inventory_account_id UNIQUE (account_id),
    CONSTRAINT uq_inventory_npc_id UNIQUE (npc_id),
    CONSTRAINT fk_inventory_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE,
    CONSTRAINT fk_inventory_npc_id FOREIGN KEY(npc_id) REFERENCES npc (id) ON DELETE CASCADE
)
""",
    """
CREATE TABLE inventory_item (
    id UUID NOT NULL,
    inventory_id UUID NOT NULL,
    item_kind TEXT NOT NULL,
    quantity BIGINT DEFAULT 1 NOT NULL,
    slot SMALLINT,
    props JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_inventory_item PRIMARY KEY (id),
    CONSTRAINT ck_inventory_item_item_kind_length CHECK (char_length(item_kind) BETWEEN 1 AND 64),
    CONSTRAINT ck_inventory_item_props_is_object CHECK (jsonb_typeof(props) = 'object'),
    CONSTRAINT ck_inventory_item_quantity_counts CHECK (quantity >= 0),
    CONSTRAINT ck_inventory_item_slot_in_bounds CHECK (slot >= 0),
    CONSTRAINT uq_inventory_item_inventory_id_slot UNIQUE (inventory_id, slot),
    CONSTRAINT fk_inventory_item_inventory_id FOREIGN KEY(inventory_id) REFERENCES inventory (id)
        ON DELETE CASCADE
) WITH (fillfactor = 80)
""",
    """
CREATE TABLE item_ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    request_id UUID NOT NULL,
    op TEXT DEFAULT 'move' NOT NULL,
    from_inventory UUID,
    to_inventory UUID,
    item_id UUID,
    into_id UUID,
    item_kind TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    actor UUID,
    reason TEXT NOT NULL,
    CONSTRAINT pk_item_ledger PRIMARY KEY (id),
    CONSTRAINT ck_item_ledger_item_kind_length CHECK (char_length(item_kind) BETWEEN 1 AND 64),
    CONSTRAINT ck_item_ledger_reason_length CHECK (char_length(reason) BETWEEN 0 AND 200),
    CONSTRAINT ck_item_ledger_op_known
        CHECK (op IN ('give', 'move', 'split', 'stack', 'consume')),
    CONSTRAINT ck_item_ledger_quantity_counts CHECK (quantity > 0),
    CONSTRAINT ck_item_ledger_somewhere CHECK (num_nonnulls(from_inventory, to_inventory) > 0),
    CONSTRAINT uq_item_ledger_request_id UNIQUE (request_id)
)
""",
    """CREATE INDEX ix_item_ledger_from_inventory_at ON item_ledger (from_inventory, at)""",
    """CREATE INDEX ix_item_ledger_to_inventory_at ON item_ledger (to_inventory, at)""",
)
"""What accounts and programs have."""

CONDUCT = (
    """
CREATE TABLE chat (
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    id UUID NOT NULL,
    world_id BIGINT NOT NULL,
    channel TEXT NOT NULL,
    session UUID NOT NULL,
    sender_account UUID,
    sender_name TEXT NOT NULL,
    sender_number BIGINT DEFAULT 0 NOT NULL,
    seq BIGINT,
    recipient_account UUID,
    recipient_session UUID,
    body TEXT NOT NULL,
    state TEXT DEFAULT 'published' NOT NULL,
    flags INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_chat PRIMARY KEY (at, id),
    CONSTRAINT ck_chat_channel_known CHECK (channel IN ('world', 'nearby', 'direct')),
    CONSTRAINT ck_chat_state_known CHECK (state IN ('published', 'rejected', 'retracted')),
    CONSTRAINT ck_chat_sender_name_length CHECK (char_length(sender_name) BETWEEN 1 AND 64),
    CONSTRAINT ck_chat_body_length CHECK (char_length(body) BETWEEN 0 AND 2000)
) PARTITION BY RANGE (at)
""",
    """CREATE INDEX ix_chat_recipient_account_at ON chat (recipient_account, at)""",
    """CREATE INDEX ix_chat_sender_account_at ON chat (sender_account, at)""",
    """CREATE INDEX ix_chat_world_id_channel_at ON chat (world_id, channel, at DESC)""",
    """
CREATE TABLE moderation_case (
    id UUID NOT NULL,
    world_id BIGINT,
    subject_account UUID,
    subject_session UUID,
    subject_name TEXT NOT NULL,
    reporter_account UUID,
    assigned_to UUID,
    category TEXT NOT NULL,
    summary TEXT NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    evidence JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_moderation_case PRIMARY KEY (id),
    CONSTRAINT ck_moderation_case_subject_name_length
        CHECK (char_length(subject_name) BETWEEN 0 AND 64),
    CONSTRAINT ck_moderation_case_category_length CHECK (char_length(category) BETWEEN 1 AND 64),
    CONSTRAINT ck_moderation_case_summary_length CHECK (char_length(summary) BETWEEN 0 AND 2000),
    CONSTRAINT ck_moderation_case_state_known CHECK (state IN ('open', 'reviewing', 'closed')),
    CONSTRAINT ck_moderation_case_evidence_is_object CHECK (jsonb_typeof(evidence) = 'object'),
    CONSTRAINT ck_moderation_case_closed_when_closed
        CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT fk_moderation_case_world_id FOREIGN KEY(world_id) REFERENCES world (id)
        ON DELETE SET NULL,
    CONSTRAINT fk_moderation_case_subject_account FOREIGN KEY(subject_account)
        REFERENCES account (id) ON DELETE SET NULL,
    CONSTRAINT fk_moderation_case_reporter_account FOREIGN KEY(reporter_account)
        REFERENCES account (id) ON DELETE SET NULL,
    CONSTRAINT fk_moderation_case_assigned_to FOREIGN KEY(assigned_to) REFERENCES account (id)
        ON DELETE SET NULL
)
""",
    """CREATE INDEX ix_moderation_case_assigned_to ON moderation_case (assigned_to)""",
    """CREATE INDEX ix_moderation_case_reporter_account ON moderation_case (reporter_account)""",
    """CREATE INDEX ix_moderation_case_state_opened_at ON moderation_case (state, opened_at)""",
    """CREATE INDEX ix_moderation_case_subject_account ON moderation_case (subject_account)""",
    """CREATE INDEX ix_moderation_case_world_id ON moderation_case (world_id)""",
    """
CREATE TABLE moderation_action (
    id UUID NOT NULL,
    case_id UUID,
    actor UUID,
    subject_account UUID,
    subject_session UUID,
    world_id BIGINT,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_moderation_action PRIMARY KEY (id),
    CONSTRAINT ck_moderation_action_kind_known
        CHECK (kind IN ('note', 'warn', 'mute', 'kick', 'ban', 'lift', 'retract', 'roll_back')),
    CONSTRAINT ck_moderation_action_reason_length CHECK (char_length(reason) BETWEEN 0 AND 2000),
    CONSTRAINT ck_moderation_action_data_is_object CHECK (jsonb_typeof(data) = 'object'),
    CONSTRAINT ck_moderation_action_expires_later CHECK (expires_at > at),
    CONSTRAINT fk_moderation_action_case_id FOREIGN KEY(case_id) REFERENCES moderation_case (id)
        ON DELETE SET NULL,
    CONSTRAINT fk_moderation_action_actor FOREIGN KEY(actor) REFERENCES account (id)
        ON DELETE SET NULL,
    CONSTRAINT fk_moderation_action_subject_account FOREIGN KEY(subject_account)
        REFERENCES account (id) ON DELETE SET NULL,
    CONSTRAINT fk_moderation_action_world_id FOREIGN KEY(world_id) REFERENCES world (id)
        ON DELETE SET NULL
)
""",
    """CREATE INDEX ix_moderation_action_actor ON moderation_action (actor)""",
    """CREATE INDEX ix_moderation_action_case_id ON moderation_action (case_id)""",
    """CREATE INDEX ix_moderation_action_subject_account ON moderation_action (subject_account)""",
    """CREATE INDEX ix_moderation_action_world_id ON moderation_action (world_id)""",
    """
CREATE TABLE ban (
    id UUID NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    world_id BIGINT,
    action_id UUID,
    reason TEXT NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE,
    lifted_by UUID,
    lifted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_ban PRIMARY KEY (id),
    CONSTRAINT ck_ban_subject_kind_known
        CHECK (subject_kind IN ('account', 'address', 'network')),
    CONSTRAINT ck_ban_subject_length CHECK (char_length(subject) BETWEEN 1 AND 128),
    CONSTRAINT ck_ban_reason_length CHECK (char_length(reason) BETWEEN 0 AND 2000),
    CONSTRAINT ck_ban_ends_later CHECK (ends_at > starts_at),
    CONSTRAINT fk_ban_world_id FOREIGN KEY(world_id) REFERENCES world (id) ON DELETE CASCADE,
    CONSTRAINT fk_ban_action_id FOREIGN KEY(action_id) REFERENCES moderation_action (id)
        ON DELETE SET NULL,
    CONSTRAINT fk_ban_lifted_by FOREIGN KEY(lifted_by) REFERENCES account (id) ON DELETE SET NULL
)
""",
    """CREATE INDEX ix_ban_action_id ON ban (action_id)""",
    """CREATE INDEX ix_ban_lifted_by ON ban (lifted_by)""",
    """
CREATE INDEX ix_ban_subject_kind_subject
    ON ban (subject_kind, subject) WHERE lifted_at IS NULL
""",
    """CREATE INDEX ix_ban_world_id ON ban (world_id)""",
    """
CREATE TABLE audit_log (
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sequence BIGINT NOT NULL,
    actor TEXT,
    action TEXT NOT NULL,
    object_kind TEXT,
    object_id TEXT,
    request_id TEXT,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    prev_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (at, sequence),
    CONSTRAINT ck_audit_log_action_length CHECK (char_length(action) BETWEEN 1 AND 64),
    CONSTRAINT ck_audit_log_actor_length CHECK (char_length(actor) BETWEEN 1 AND 128),
    CONSTRAINT ck_audit_log_object_kind_length CHECK (char_length(object_kind) BETWEEN 1 AND 64),
    CONSTRAINT ck_audit_log_object_id_length CHECK (char_length(object_id) BETWEEN 1 AND 128),
    CONSTRAINT ck_audit_log_request_id_length CHECK (char_length(request_id) BETWEEN 1 AND 128),
    CONSTRAINT ck_audit_log_data_is_object CHECK (jsonb_typeof(data) = 'object'),
    CONSTRAINT ck_audit_log_prev_hash_length CHECK (octet_length(prev_hash) = 32),
    CONSTRAINT ck_audit_log_hash_length CHECK (octet_length(hash) = 32)
) PARTITION BY RANGE (at)
""",
    """CREATE INDEX ix_audit_log_actor_at ON audit_log (actor, at)""",
    """
CREATE INDEX ix_audit_log_object_kind_object_id_at
    ON audit_log (object_kind, object_id, at)
""",
    """CREATE INDEX ix_audit_log_sequence ON audit_log (sequence)""",
    """
CREATE TABLE audit_head (
    is_head BOOLEAN DEFAULT true NOT NULL,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_audit_head PRIMARY KEY (is_head),
    CONSTRAINT ck_audit_head_single_row CHECK (is_head),
    CONSTRAINT ck_audit_head_hash_length CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 10)
""",
)
"""What was said and what was done about it."""


def upgrade() -> None:
    for statement in (*PEOPLE, *WORLDS, *MINDS, *THINGS, *CONDUCT, *statements_of(revision)):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("There is no way back: restore the backup from before the upgrade.")

"""Stages of models with their history and figures, keys of apps, and what people say of verdicts.

Revises: 0002
"""

from __future__ import annotations

from alembic import op

from atrium_server.persistence.schema import statements_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MODEL = (
    """
ALTER TABLE model
    DROP CONSTRAINT ck_model_state_known,
    ADD COLUMN canary_share DOUBLE PRECISION DEFAULT 0 NOT NULL,
    ADD COLUMN live_rank BIGINT DEFAULT 0 NOT NULL
""",
    # Several could be active before; the newest one stays in use.
    """
UPDATE model SET state = CASE WHEN id IN (
        SELECT DISTINCT ON (name) id FROM model WHERE state = 'active'
        ORDER BY name, registered_at DESC, id DESC)
    THEN 'live' ELSE 'retired' END
WHERE state = 'active'
""",
    """
ALTER TABLE model
    ADD CONSTRAINT ck_model_state_known CHECK (
        state IN ('candidate', 'shadow', 'canary', 'live', 'retired')),
    ADD CONSTRAINT ck_model_canary_share_in_bounds CHECK (canary_share BETWEEN 0 AND 0.5),
    ADD CONSTRAINT ck_model_canary_has_share CHECK ((state = 'canary') = (canary_share > 0)),
    ADD CONSTRAINT ck_model_live_rank_counts CHECK (live_rank >= 0)
""",
    """
CREATE UNIQUE INDEX uq_model_name_state ON model (name, state)
    WHERE state IN ('shadow', 'canary', 'live')
""",
    """
CREATE TABLE model_change (
    name TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    op TEXT NOT NULL,
    revision TEXT NOT NULL,
    actor TEXT NOT NULL,
    why TEXT NOT NULL,
    moves JSONB DEFAULT '{}'::jsonb NOT NULL,
    figures JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_model_change PRIMARY KEY (name, sequence),
    CONSTRAINT ck_model_change_name_length CHECK (char_length(name) BETWEEN 1 AND 128),
    CONSTRAINT ck_model_change_revision_length CHECK (char_length(revision) BETWEEN 1 AND 64),
    CONSTRAINT ck_model_change_actor_length CHECK (char_length(actor) BETWEEN 1 AND 128),
    CONSTRAINT ck_model_change_why_length CHECK (char_length(why) BETWEEN 0 AND 500),
    CONSTRAINT ck_model_change_op_known CHECK (op IN (
        'publish', 'adopt', 'shadow', 'canary', 'promote', 'rollback', 'retire', 'demote')),
    CONSTRAINT ck_model_change_moves_is_object CHECK (jsonb_typeof(moves) = 'object'),
    CONSTRAINT ck_model_change_figures_is_object CHECK (jsonb_typeof(figures) = 'object'),
    CONSTRAINT ck_model_change_sequence_counts CHECK (sequence > 0),
    CONSTRAINT uq_model_change_id UNIQUE (id)
)
""",
    """
CREATE TABLE model_evaluation (
    model_id UUID NOT NULL,
    subject TEXT NOT NULL,
    subject_hash TEXT NOT NULL,
    figures JSONB DEFAULT '{}'::jsonb NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_model_evaluation PRIMARY KEY (model_id, subject),
    CONSTRAINT ck_model_evaluation_subject_length CHECK (char_length(subject) BETWEEN 1 AND 128),
    CONSTRAINT ck_model_evaluation_subject_hash_length CHECK (
        char_length(subject_hash) BETWEEN 0 AND 64),
    CONSTRAINT ck_model_evaluation_figures_is_object CHECK (jsonb_typeof(figures) = 'object'),
    CONSTRAINT fk_model_evaluation_model_id FOREIGN KEY(model_id) REFERENCES model (id)
        ON DELETE CASCADE
)
""",
)
"""Which versions there are, what was done to them and what was measured of them."""

PEOPLE = (
    """
CREATE TABLE ai_key (
    id UUID NOT NULL,
    key_hash BYTEA NOT NULL,
    owner_account UUID NOT NULL,
    name TEXT NOT NULL,
    rows_per_minute INTEGER NOT NULL,
    rows_per_day INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_ai_key PRIMARY KEY (id),
    CONSTRAINT ck_ai_key_key_hash_length CHECK (octet_length(key_hash) = 32),
    CONSTRAINT ck_ai_key_name_length CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT ck_ai_key_quotas_count CHECK (rows_per_minute > 0 AND rows_per_day > 0),
    CONSTRAINT uq_ai_key_key_hash UNIQUE (key_hash),
    CONSTRAINT fk_ai_key_owner_account FOREIGN KEY(owner_account) REFERENCES account (id)
        ON DELETE CASCADE
)
""",
    "CREATE INDEX ix_ai_key_owner_account ON ai_key (owner_account)",
    """
CREATE TABLE feedback (
    id UUID NOT NULL,
    source TEXT NOT NULL,
    task TEXT NOT NULL,
    body TEXT NOT NULL,
    labels JSONB DEFAULT '{}'::jsonb NOT NULL,
    decision TEXT NOT NULL,
    model_version TEXT NOT NULL,
    account_id UUID,
    has_consent BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_feedback PRIMARY KEY (id),
    CONSTRAINT ck_feedback_source_known CHECK (source IN (
        'verdict', 'appeal', 'thumb', 'correction')),
    CONSTRAINT ck_feedback_task_length CHECK (char_length(task) BETWEEN 1 AND 64),
    CONSTRAINT ck_feedback_body_length CHECK (char_length(body) BETWEEN 1 AND 4000),
    CONSTRAINT ck_feedback_labels_is_object CHECK (jsonb_typeof(labels) = 'object'),
    CONSTRAINT ck_feedback_decision_length CHECK (char_length(decision) BETWEEN 0 AND 64),
    CONSTRAINT ck_feedback_model_version_length CHECK (
        char_length(model_version) BETWEEN 0 AND 128),
    CONSTRAINT ck_feedback_expires_later CHECK (expires_at > created_at),
    CONSTRAINT fk_feedback_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE
)
""",
    "CREATE INDEX ix_feedback_account_id ON feedback (account_id)",
    "CREATE INDEX ix_feedback_expires_at ON feedback (expires_at)",
    "CREATE INDEX ix_feedback_task_id ON feedback (task, id)",
)
"""Who may ask models, and what people said of what those said."""


def upgrade() -> None:
    for statement in (*MODEL, *PEOPLE, *statements_of(revision)):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("There is no way back: restore the backup from before the upgrade.")

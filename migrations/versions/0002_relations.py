"""What people do about each other.

Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE TABLE relation (
    account_id UUID NOT NULL,
    person TEXT NOT NULL,
    name TEXT NOT NULL,
    relation SMALLINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_relation PRIMARY KEY (account_id, person),
    CONSTRAINT ck_relation_person_length CHECK (char_length(person) BETWEEN 1 AND 48),
    CONSTRAINT ck_relation_name_length CHECK (char_length(name) BETWEEN 0 AND 64),
    CONSTRAINT ck_relation_relation_known CHECK (relation BETWEEN 1 AND 7),
    CONSTRAINT fk_relation_account_id FOREIGN KEY(account_id) REFERENCES account (id)
        ON DELETE CASCADE
)
""")
    op.execute("CREATE INDEX ix_relation_person ON relation (person)")


def downgrade() -> None:
    raise NotImplementedError("There is no way back: restore the backup from before the upgrade.")

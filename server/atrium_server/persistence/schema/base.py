"""What all tables share: the names of their constraints, kinds of columns, and ids."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    REAL,
    TIMESTAMP,
    CheckConstraint,
    Column,
    Double,
    LargeBinary,
    MetaData,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

PARTITIONED: Final = ("audit_log", "chat")
"""One partition a month, by the column `at`, and a default one for all other times."""
APPEND_ONLY: Final = ("audit_log", "item_ledger", "model_change")
"""Rows of these are never changed nor removed, but for whole partitions."""
PARTITION_NAME: Final = re.compile(rf"({'|'.join(PARTITIONED)})_(p\d{{6}}|default)")
"""Partitions are made at run time and are no part of the metadata."""

HASH_BYTES: Final = 32
"""Of SHA-256."""
POSITION_M_MAX: Final = 1_000_000
SCALE_MIN, SCALE_MAX = 0.000_001, 1_000_000


def uuid7(unix_s: float, chance: bytes | None = None) -> uuid.UUID:
    """An id that sorts by the time it was made at (RFC 9562); `chance` is 10 bytes, for tests."""
    drawn = int.from_bytes(os.urandom(10) if chance is None else chance, "big")
    value = (int(unix_s * 1000) & (1 << 48) - 1) << 80 | 0x7 << 76 | 0b10 << 62
    return uuid.UUID(int=value | (drawn >> 62 & 0xFFF) << 64 | drawn & (1 << 62) - 1)


def own_id() -> Column[Any]:
    """The id of a row that is known by nothing else."""
    return Column("id", Uuid, primary_key=True)


def moment(name: str) -> Column[Any]:
    """A time that may be missing."""
    return Column(name, TIMESTAMP(timezone=True))


def stamped(name: str) -> Column[Any]:
    """A time that is set when the row is written."""
    return Column(name, TIMESTAMP(timezone=True), nullable=False, server_default=text("now()"))


def open_object(name: str) -> Column[Any]:
    """A JSON object, empty at first; see `is_object`."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


def is_object(column: str) -> CheckConstraint:
    """JSON that is an object."""
    return CheckConstraint(f"jsonb_typeof({column}) = 'object'", f"{column}_is_object")


def one_of(column: str, words: Sequence[str]) -> CheckConstraint:
    """Text of a fixed set."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", f"{column}_known")


def chars(column: str, least: int, most: int) -> CheckConstraint:
    """Text of a length."""
    return CheckConstraint(f"char_length({column}) BETWEEN {least} AND {most}", f"{column}_length")


def hash_column(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    """A SHA-256; see `is_hash`."""
    return Column(name, LargeBinary, nullable=nullable, primary_key=primary_key)


def is_hash(column: str) -> CheckConstraint:
    """A hash has its length."""
    return CheckConstraint(f"octet_length({column}) = {HASH_BYTES}", f"{column}_length")


def pose_columns(*, nullable: bool = False) -> list[Column[Any]]:
    """A position in metres and a quaternion."""
    return [
        *(Column(name, Double, nullable=nullable) for name in ("px", "py", "pz")),
        *(Column(name, REAL, nullable=nullable) for name in ("qx", "qy", "qz", "qw")),
    ]


def pose_checks() -> list[CheckConstraint]:
    """Numbers of a place that there can be: NaN is greater than all others, and infinity, too."""
    return [
        _between("position_in_bounds", ("px", "py", "pz"), -POSITION_M_MAX, POSITION_M_MAX),
        _between("rotation_in_bounds", ("qx", "qy", "qz", "qw"), -1.001, 1.001),
    ]


def scale_columns() -> list[Column[Any]]:
    """Factors along the axes."""
    return [Column(name, REAL, nullable=False) for name in ("sx", "sy", "sz")]


def scale_check() -> CheckConstraint:
    """Factors that leave something to see."""
    return _between("scale_in_bounds", ("sx", "sy", "sz"), SCALE_MIN, SCALE_MAX)


def _between(name: str, columns: Sequence[str], least: float, most: float) -> CheckConstraint:
    return CheckConstraint(
        " AND ".join(f"{column} BETWEEN {least} AND {most}" for column in columns), name
    )


def plain_text(name: str, *, nullable: bool = False) -> Column[Any]:
    """Text whose length is bounded by code or by a CHECK beside it."""
    return Column(name, Text, nullable=nullable)

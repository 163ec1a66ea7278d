"""The roles that each server has, and the permissions that code asks for.

A permission is a word that code asks for; a role is a set of such words with a name, and a grant
gives a role to an account in one world or in all. What no grant allows is denied. The roles
below are written to the database at each start; others can stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

GRANT: Final = "grant"
"""Give and take roles."""
MODERATE: Final = "moderate"
"""Mute, kick, ban, and look into cases."""
BUILD: Final = "build"
"""Make and change props, those of others included where the world says so."""
UPLOAD: Final = "upload"
"""Bring assets to the server."""
SPEAK: Final = "speak"
"""Write lines that others read."""
OPERATE: Final = "operate"
"""Look after worlds: create, export, import, restore, drain."""

ADMIN: Final = "admin"
MODERATOR: Final = "moderator"
BUILDER: Final = "builder"
MEMBER: Final = "member"

BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    ADMIN: frozenset({GRANT, MODERATE, BUILD, UPLOAD, SPEAK, OPERATE}),
    MODERATOR: frozenset({MODERATE, BUILD, UPLOAD, SPEAK}),
    BUILDER: frozenset({BUILD, UPLOAD, SPEAK}),
    MEMBER: frozenset({SPEAK}),
}

OF_GUESTS: Final = frozenset({SPEAK})
"""What somebody without an account may do."""

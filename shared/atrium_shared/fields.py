"""What messages are made of: the base of all of them, and the types of their fields.

Here and not in `messages`, so that the groups of messages (`social`) can be modules of their own.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atrium_shared import limits

U8 = Annotated[int, Meta(ge=0, le=255)]
U16 = Annotated[int, Meta(ge=0, le=65_535)]
U32 = Annotated[int, Meta(ge=0, le=4_294_967_295)]
Metres = Annotated[float, Meta(ge=-limits.WORLD_EXTENT_M_MAX, le=limits.WORLD_EXTENT_M_MAX)]
Radians = Annotated[float, Meta(ge=-64.0, le=64.0)]
Name = Annotated[str, Meta(max_length=limits.NAME_CHARS_MAX)]
Avatar = Annotated[str, Meta(max_length=limits.AVATAR_CHARS_MAX)]


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base: an array whose first element is the op. Messages are trees: the garbage collector need
    not look at the hundreds of thousands that may be remembered."""

"""What one does about other people, and how one shows oneself: a part of `Me`.

The server enforces all of it. What is refused raises RequestRefused with a sentence.
"""

from __future__ import annotations

from typing import Final

import trio

from atrium_client.building import Builder, Vector
from atrium_client.driver import granted
from atrium_shared import codec, messages
from atrium_shared.edits import FEATURE_DRAGS
from atrium_shared.messages import Relation, RelationEntry, ReportReason, Result
from atrium_shared.social import FEATURE_AVATARS, FEATURE_MARKERS, FEATURE_RELATIONS

FEATURES: Final = (FEATURE_AVATARS, FEATURE_RELATIONS, FEATURE_MARKERS, FEATURE_DRAGS)
"""What the SDK understands and asks for by itself. `history` (the last lines of a world, as if they
were said now) is for those who show lines to a person."""
LANDING_S_MAX: Final = 1.0


class Social(Builder):
    """Base of `Me`: everything about other people."""

    @property
    def relations(self) -> tuple[RelationEntry, ...]:
        """All that we do about others, as far as the server has told."""
        return self._driver.session.relations

    async def relate(self, who: int | str, relation: Relation | int) -> None:
        """Mute, hide or block somebody (0 takes all back): an entity that is here or was lately, or
        a `person` of `relations`.
        """
        entity_id, person = (who, "") if isinstance(who, int) else (0, who)
        await self._request(messages.Relate(0, entity_id, person, int(relation)))

    async def report(self, entity_id: int, reason: ReportReason, text: str = "") -> str:
        """Report somebody; returns the sentence that says what happens now."""
        return (await self._request(messages.Report(0, entity_id, reason, text))).reason

    async def safe_zone(self, is_on: bool = True) -> None:
        """See nobody and be seen by nobody, until it is off."""
        await self._request(messages.SafeZone(0, is_on))

    async def set_avatar(self, avatar: str) -> None:
        """Look like this from now on."""
        await self._request(messages.AvatarSubmit(0, avatar))

    async def sit_on(self, prop_id: bytes) -> Vector:
        """Sit down on a prop that is a seat; returns where that is."""
        jumps = self._driver.jumps
        await self._request(messages.Sit(0, prop_id))
        with trio.move_on_after(LANDING_S_MAX):
            while self._driver.jumps == jumps:
                await self._driver.changed.wait()
        return self._driver.body.position

    async def marker(self, position: Vector, yaw: float = 0.0) -> None:
        """Show a place and a direction to those nearby. A refusal comes as the event `Refused`."""
        await self._driver.until_active()
        await self._driver.send(codec.encode(messages.MarkerSubmit(position, yaw)))

    async def _request(self, message: messages.Message) -> Result:
        session = self._driver.session
        answer = await self._driver.request(lambda now_s: session.social(message, now_s))
        granted(answer)
        assert isinstance(answer, Result)
        return answer

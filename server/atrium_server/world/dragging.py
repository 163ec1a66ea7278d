"""What people drag and have not edited yet: shown to others, and forgotten. PURE.

To move a prop is one edit, made when it is let go. Until then its builder tells some ten times a
second where it is, and others see it there. Nothing of that is kept: a drag changes no prop, is in
no scene, journal, history or undo, and is over when its edit is told, when an empty one says so, or
when nothing more is heard of it (DRAG_S_MAX), as when its builder has left.

Each place is checked as the edit would be, so nobody sees what may not come to be. What may not be
dragged is left out without a word: the edit that follows is refused with one. Drags have budgets of
their own, and what goes beyond them is dropped, since the next one says it all again.
"""

from __future__ import annotations

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.builders import Person
from atrium_server.world.building import Building
from atrium_server.world.telling import size_of
from atrium_shared import limits
from atrium_shared.edits import Place, PropMove, PropsDragged
from atrium_shared.errors import RequestRefused


class Dragging:
    """What is shown of the drags of one world."""

    def __init__(self, building: Building, tick_rate_hz: int) -> None:
        self.reader = Budget(limits.DRAGS_BYTES_PER_S_MAX, tick_rate_hz)
        """What one reader is told."""
        self.all = Budget(limits.DRAGS_DELIVERED_BYTES_PER_S_MAX, tick_rate_hz)
        """What all readers together are told."""
        self._building = building

    def drag(self, command: c.Drag, entity_id: int, server_ms: int, out: c.TickOutput) -> None:
        """Show others what somebody drags, as far as it may be moved there."""
        building = self._building
        tick = building.telling.tick
        if not (self.reader.has_room(tick) and self.all.has_room(tick)):
            return
        person = building.people[command.session_id]
        try:
            building.needs_store(person)
        except RequestRefused:
            return
        room = limits.DRAGS_PER_TICK_MAX - out.drags
        looked_at = command.drags[:room] if room > 0 else ()
        out.drags += len(looked_at)
        shown = tuple(self._allowed(person, looked_at))
        if command.drags and not shown:
            return
        message = PropsDragged(entity_id, server_ms, shown)
        size_bytes = size_of(message)
        self.reader.take(tick, size_bytes)
        self.all.take(tick, size_bytes * len(building.people))
        out.tells.append(c.Tell(None, message, (command.session_id,)))

    def _allowed(self, person: Person, drags: tuple[PropMove, ...]) -> list[PropMove]:
        """Those that could be made now, with the places that they would come to have."""
        allowed: list[PropMove] = []
        building = self._building
        for one in drags:
            if one.prop_id in building.busy:
                continue
            try:
                plan = building.editor.plan(person.author, Place(one.prop_id, one.transform))
            except RequestRefused:
                continue
            # No change: it is dragged to where it stands.
            after = plan.changes[0].after if plan.changes else building.props.get(one.prop_id)
            assert after is not None, "what was placed is there"
            allowed.append(PropMove(one.prop_id, after.transform))
        return allowed

"""Signs that were published before, judged once more when their world is loaded. PURE.

What may be read here can have changed since: the policy of the world, the lists, the model. So a
few signs each tick, in the order in which they were loaded, are asked about again. What no longer
passes is taken off the sign, and who owns it is told as ever; what passes, or could not be judged
just then, stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from atrium_server.world import commands as c
from atrium_server.world.props import Prop, Props
from atrium_shared.props import Sign

PER_TICK: Final = 16


class Rechecks:
    """The signs of one world that have not been asked about yet."""

    def __init__(self) -> None:
        self._left: deque[bytes] = deque()

    def load(self, props: Mapping[bytes, Prop]) -> None:
        """Begin with what the store has."""
        self._left = deque(
            prop_id for prop_id, prop in props.items()
            if isinstance(prop.properties, Sign) and prop.properties.text
        )

    def ask(self, props: Props, out: c.TickOutput) -> None:
        """Ask about the next few."""
        for _ in range(min(PER_TICK, len(self._left))):
            prop_id = self._left.popleft()
            prop = props.get(prop_id)
            if prop is not None and isinstance(prop.properties, Sign) and prop.properties.text:
                out.signs.append(c.SignRequest(prop_id, prop.properties.text, is_published=True))

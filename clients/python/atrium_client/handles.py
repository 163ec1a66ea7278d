"""What an application holds of an edit that it has asked for: its fate, as far as it is known."""

from __future__ import annotations

import trio

from atrium_client.errors import EditLost, EditRefused, EditReverted, known
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import EditState, EditStatus


class EditHandle:
    """An edit of ours. Nothing needs to be done with it; what became of it is also an event."""

    def __init__(self, request_id: int, prop_id: bytes) -> None:
        self.request_id = request_id
        self.prop_id = prop_id
        """Of the prop that it makes or changes; empty for undo and redo, and for several."""
        self.state: EditState | None = None
        """The newest that was told; None before that."""
        self.reason = ""
        """A sentence: why not, or how much of an undo was left as others made it."""
        self._status: EditStatus | None = None
        self._lost: str | None = None
        self._changed = trio.Event()

    async def accepted(self) -> None:
        """Wait until the edit is done, for all to see. Raises EditRefused, EditReverted, EditLost.
        """
        await self._reached(EditState.ACCEPTED, EditState.DURABLE)

    async def durable(self) -> None:
        """Wait until the edit is saved: from then on it survives any crash. Raises EditRefused,
        EditReverted when it could not be saved and was taken back, and EditLost.
        """
        await self._reached(EditState.DURABLE)

    async def _reached(self, *wanted: EditState) -> None:
        await trio.lowlevel.checkpoint()
        while self.state not in wanted:
            self._raise_if_over()
            await self._changed.wait()

    def _raise_if_over(self) -> None:
        if self._lost is not None:
            raise EditLost(self._lost)
        status = self._status
        if status is None:
            return
        if status.state is EditState.REFUSED:
            code = known(status.code)
            raise EditRefused(
                ErrorCode.NOT_ALLOWED if code is None else code, status.reason, status.retry_ms
            )
        if status.state is EditState.REVERTED:
            raise EditReverted(status.code, status.reason)

    # --- for the driver ------------------------------------------------------------------

    def told(self, status: EditStatus) -> bool:
        """There is news; True when it is the last."""
        self._status, self.state, self.reason = status, status.state, status.reason
        self._wake()
        return status.state is not EditState.ACCEPTED

    def lost(self, sentence: str) -> None:
        """There will be no news any more."""
        self._lost, self.reason = sentence, sentence
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

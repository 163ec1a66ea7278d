"""A bounded queue from the session's task to the application. The oldest gives way.

A reader that is too slow must not stop the task that answers the server, so a full feed drops
its oldest item and counts it. Each item goes to one reader.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

Item = TypeVar("Item")


class Feed(Generic[Item]):
    """`async for item in feed` until the session is over."""

    def __init__(self, items_max: int) -> None:
        self._items: deque[Item] = deque(maxlen=items_max)
        self._arrived = trio.Event()
        self._closed = False
        self.dropped = 0
        """Items that no reader has taken in time."""

    def put(self, item: Item) -> None:
        """Add an item; never waits."""
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        self._wake()

    def close(self) -> None:
        """No more items: readers take what is left and end."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = trio.Event()

    def __aiter__(self) -> Feed[Item]:
        return self

    async def __anext__(self) -> Item:
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            await self._arrived.wait()
        return self._items.popleft()

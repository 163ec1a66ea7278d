"""When memory is searched for garbage: between two ticks, never in one.

Theory of operation
-------------------
CPython frees what nobody refers to at once; what refers to itself in a ring it has to search for,
among all objects that could be part of one. It begins when enough of them were made, which is in
the middle of whatever makes many: a busy tick. So the search is switched off, and the door is
opened for a moment right after a tick (`look`), when there is the most time until the next one.
The interpreter then decides by its own rules whether something is due, and how much of it: the
youngest objects often, all of them seldom, and only when they have become a quarter more.

What was made before clients are let in lives as long as the process and is never looked at. And
what there is most of (messages, props, edits) is declared `gc=False`: frozen trees, which can be
part of no ring. Both keep a search short.

Where no tick comes by, a task looks, LOOK_S apart; while ticks come it keeps out of their way.
"""

from __future__ import annotations

import gc

import trio

YOUNG_OBJECTS = 5_000
"""So many more made than freed are looked through."""
MIDDLE_EVERY = 10
"""After so many looks at the youngest those that were left are looked through once more."""
ALL_EVERY = 2
"""After so many of the second kind all are looked through, if there is a quarter more of them than
the last time."""
LOOK_S = 0.25


class _Looks:
    """How often it was looked so far, and how many servers of this process want it so."""

    count = 0
    servers = 0
    usual = gc.get_threshold()


def look() -> None:
    """Search now if it is time to; nothing where the interpreter searches by itself."""
    _Looks.count += 1
    if gc.isenabled() or gc.get_count()[0] <= gc.get_threshold()[0]:
        return
    gc.enable()
    try:
        _make_objects()
    finally:
        gc.disable()


def _make_objects() -> set[object]:
    """The interpreter looks whether a search is due when memory is taken for an object: lists,
    dicts and tuples often get that of a dead one instead, sets do not.
    """
    return set()


async def search_between_ticks(
    *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Search for garbage only in `look`, until cancelled. Has started when all that is there now
    has been searched and set aside.
    """
    if not _Looks.servers:
        _Looks.usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE_EVERY, ALL_EVERY)
    gc.disable()
    _Looks.servers += 1
    try:
        task_status.started()
        while True:
            before = _Looks.count
            await trio.sleep(LOOK_S)
            if _Looks.count == before:
                look()
    finally:
        _Looks.servers -= 1
        if not _Looks.servers:
            gc.set_threshold(*_Looks.usual)
            gc.unfreeze()
            gc.enable()

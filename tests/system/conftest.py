"""Shared by the tests of the whole server: the harness, and a server for each test that asks.

Property tests are derandomised, so that a run says the same everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import settings

# A module of helpers, not an installed package.
sys.path.insert(0, str(Path(__file__).parent))

from harness import House, open_house

settings.register_profile("atrium", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("atrium")


@pytest.fixture
async def house(autojump_clock: trio.testing.MockClock) -> AsyncGenerator[House]:
    """The server as it is shipped (one plaza), over memory links, on a clock that jumps.

    pytest-trio takes the clock from the test's own arguments: ask for `autojump_clock` as well.
    """
    clock = trio.lowlevel.current_clock()
    assert clock is autojump_clock, "the test itself must ask for autojump_clock, too"
    async with open_house() as opened:
        yield opened

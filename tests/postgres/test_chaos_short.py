"""The scenarios of `make chaos` in short: real processes are killed, and the audit finds nothing.

The long form, with all scenarios, is a command of its own, because it takes minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))

from chaos import breaking
from chaos.stage import Stage

PATIENCE_S = 240.0
"""Also for a machine that must compile the kernels first; usually it takes some 10 s."""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("run", "rounds"),
    [(breaking.kill_server, 2), (breaking.kill_postgres, 2), (breaking.cut, 4)],
    ids=["kill-server", "kill-postgres", "cut"],
)
async def test_no_acknowledgement_is_broken(
    run: Callable[[Stage], Awaitable[None]], rounds: int
) -> None:
    stage = Stage(run.__name__, seed=5, builders=16, rounds=rounds)
    with trio.fail_after(PATIENCE_S):
        await run(stage)
    assert stage.verdict.is_good, "\n".join([*stage.verdict.differences(), *stage.notes])
    assert stage.kills == rounds
    assert stage.verdict.durable > 10

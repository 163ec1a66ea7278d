"""Asks the model `pictures` on the lane what it says of the pictures of an upload.

Theory of operation
-------------------
The pictures come decoded and small from the process that checked the file (`assets.pictures`), so
nothing of a stranger's file is parsed here: bytes of a known number become rows of the network.

They are work of a class of its own, below all that somebody waits for in a conversation. A picture
takes about 20 ms of one core and cannot be taken back once it has begun, and a line of chat waits
for that. So pictures go to the lane one by one, one file after the other whoever uploads, and after
each the lane is left alone for as long as it took: it has at least half of its time for everything
else. Batches of several would take as many times longer, and gain nothing on a processor.

Whether there is a model is asked each time: a version can go live, and be retired, while the server
runs. What then becomes of pictures is said in `assets.showing` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import trio

from atrium_server.assets.pictures import PICTURE_SIDE_PX
from atrium_server.assets.showing import NotJudged
from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError
from atrium_server.inference.slots import Loaded
from atrium_server.registry.signature import Field, Signature
from atrium_server.telemetry import Registry
from atrium_shared.limits import PICTURES_JUDGED_S_MAX, PICTURES_MAX

PICTURES_MODEL: Final = "pictures"
_INPUT, _OUTPUT = "pixels", "scores"
_SHAPE: Final = (PICTURE_SIDE_PX, PICTURE_SIDE_PX, 3)
PICTURES_SIGNATURE: Final = Signature(
    (Field(_INPUT, "uint8", _SHAPE),), (Field(_OUTPUT, "float32", (1,)),)
)
JUDGE_SECONDS: Final = "atrium_pictures_judge_seconds"
"""Histogram: from the pictures of a file being handed over to their scores, waiting included."""


class LaneImageJudge:
    """An `assets.showing.ImageJudge`."""

    def __init__(self, lane: Lane, registry: Registry) -> None:
        self._lane = lane
        self._one_file = trio.Lock()
        self._took = registry.histogram(
            JUDGE_SECONDS, "From the pictures of a file being handed over to their scores."
        )

    @property
    def is_there(self) -> bool:
        return self._live is not None

    @property
    def _live(self) -> Loaded | None:
        """The live version; a canary would judge the same person's pictures in two ways."""
        return self._lane.slots.of(PICTURES_MODEL).live

    async def judge(self, pictures: Sequence[bytes]) -> Sequence[float]:
        assert len(pictures) <= PICTURES_MAX
        began = trio.current_time()
        try:
            with trio.fail_after(PICTURES_JUDGED_S_MAX):
                async with self._one_file:
                    scores = [await self._score(picture) for picture in pictures]
        except trio.TooSlowError:
            raise NotJudged("no time") from None
        except LaneError as error:
            raise NotJudged(error.status.value) from None
        self._took.observe(trio.current_time() - began)
        return scores

    async def _score(self, picture: bytes) -> float:
        row = np.frombuffer(picture, np.uint8).reshape(1, *_SHAPE)
        outcome = await self._lane.ask(
            self._live, {_INPUT: row}, work=WorkClass.PICTURES, deadline_s=PICTURES_JUDGED_S_MAX
        )
        await trio.sleep(outcome.ran_s)
        return float(outcome.outputs[_OUTPUT][0, 0])

"""Pictures without anything in them are the same each time, and the network lets them pass."""

from __future__ import annotations

import numpy as np
import pytest

from atrium_server.assets.showing import PICTURE_RULES
from atrium_server.inference.models import picture_net
from atrium_server.moderation.policy import PolicyName
from atrium_server.registry.gate import Measured, Scored, Timed, judge, rules_of
from atrium_server.training import open_nsfw, plain_pictures
from atrium_server.training.sources import DataAbsentError


def test_they_are_the_same_each_time() -> None:
    made, again = plain_pictures.plain_pictures(), plain_pictures.plain_pictures()
    np.testing.assert_array_equal(made, again)
    assert made.shape[1:] == (plain_pictures.SIDE_PX, plain_pictures.SIDE_PX, 3)
    other = plain_pictures.plain_pictures(2)
    assert plain_pictures.hash_of(made) != plain_pictures.hash_of(other)


def test_they_are_measured_where_policies_decide() -> None:
    assert PICTURE_RULES[PolicyName.STRICT].block == plain_pictures.BLOCKED_FROM
    assert PICTURE_RULES[PolicyName.STANDARD].hold == plain_pictures.HELD_FROM


@pytest.mark.parametrize(("scores", "may_go_live"), [
    ([0.1] * 100, True), ([0.1] * 99 + [0.81], False), ([0.1] * 90 + [0.7] * 10, False),
])
def test_a_version_that_refuses_them_does_not_go_live(
    scores: list[float], may_go_live: bool
) -> None:
    rules = rules_of("pictures")
    figures = plain_pictures.figures_of(np.array(scores))
    measured = Measured("pictures@2", Scored("plain", "x", figures), Timed("cpu", rules.rows, 20.0))
    assert judge(measured, None, rules).has_passed is may_go_live


def test_the_network_lets_them_pass() -> None:
    try:
        data = open_nsfw.original()
    except DataAbsentError as error:
        pytest.skip(str(error))
    model = picture_net.from_tensors(open_nsfw.tensors_of(data), {})
    scores = open_nsfw.scores_of(model, plain_pictures.plain_pictures()[::3])
    assert scores.max() < PICTURE_RULES[PolicyName.STANDARD].hold
    assert (scores > PICTURE_RULES[PolicyName.STRICT].hold).mean() < 0.03

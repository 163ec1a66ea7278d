"""What a world lets pass: from findings to a decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation.findings import Action, Category, Finding
from atrium_server.moderation.policy import POLICIES, PolicyName, decide, masked_text

STANDARD = POLICIES[PolicyName.STANDARD]


def found(category: Category, severity: float, start: int = 0, end: int = 4) -> Finding:
    return Finding(category, severity, start, end, "list:en")


def scored(category: Category, severity: float, end: int = 4) -> Finding:
    return Finding(category, severity, 0, end, "model:moderation", is_certain=False)


def test_nothing_found_is_allowed_as_it_is() -> None:
    decision = decide("hello", [], STANDARD, "m1")
    assert (decision.action, decision.text, decision.model) == (Action.ALLOW, "hello", "m1")


def test_every_masked_stretch_is_covered_and_spaces_stay() -> None:
    findings = [found(Category.PROFANITY, 0.5, 0, 4), found(Category.PII, 0.9, 9, 14)]
    decision = decide("darn you a@b c", findings, STANDARD)
    assert decision.action is Action.MASK
    assert decision.text == "•••• you ••• •"
    assert decision.category is Category.PII


def test_the_gravest_finding_decides_and_masks_nothing() -> None:
    findings = [found(Category.PROFANITY, 0.9), found(Category.HATE, 0.9)]
    decision = decide("text", findings, STANDARD)
    assert (decision.action, decision.category) == (Action.BLOCK, Category.HATE)
    assert decision.text == "text"


def test_a_score_cannot_be_masked() -> None:
    assert decide("text", [scored(Category.PROFANITY, 0.99)], STANDARD).action is Action.ALLOW
    assert decide("text", [scored(Category.TOXIC, 0.51)], STANDARD).action is Action.BLOCK


@pytest.mark.parametrize("name", list(PolicyName))
def test_who_speaks_of_hurting_themselves_is_never_blocked(name: PolicyName) -> None:
    finding = found(Category.SELF_HARM, 1.0)
    assert decide("text", [finding], POLICIES[name]).action is Action.HOLD


@given(st.sampled_from(Category), st.floats(0, 1), st.booleans())
def test_a_stricter_world_never_lets_more_pass(
    category: Category, severity: float, is_certain: bool
) -> None:
    finding = Finding(category, severity, 0, 4, "x", is_certain)
    actions = [
        decide("text", [finding], POLICIES[name]).action
        for name in (PolicyName.OPEN, PolicyName.STANDARD, PolicyName.STRICT)
    ]
    assert actions == sorted(actions)


@given(st.text(max_size=40), st.integers(-5, 50), st.integers(-5, 50))
def test_masking_keeps_the_length_and_what_is_outside(text: str, start: int, end: int) -> None:
    shown = masked_text(text, [found(Category.PII, 1.0, start, end)])
    assert len(shown) == len(text)
    for k, (before, after) in enumerate(zip(text, shown, strict=True)):
        if not start <= k < end:
            assert before == after
        else:
            assert after == "•" or before.isspace()

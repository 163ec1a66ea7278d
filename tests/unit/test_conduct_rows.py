"""What moderators may ask for, and the one way in which those who are banned are written."""

from __future__ import annotations

import ipaddress
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.persistence.conduct_rows import (
    ActionKind,
    NewAction,
    NewCase,
    SubjectKind,
    check_action,
    check_case,
    subject_of,
    subjects_to_look_for,
)
from atrium_server.persistence.errors import Refused
from atrium_shared.limits import NETWORK_4_BITS_MIN, NETWORK_6_BITS_MIN

ID = uuid.UUID(int=1)
ADDRESS = subject_of(SubjectKind.ADDRESS, "192.0.2.7")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": ActionKind.BAN}, "must name whom"),
        ({"bans": (ADDRESS,)}, "must name whom"),
        ({"kind": ActionKind.LIFT}, "must name the bans"),
        ({"lifts": (ID,)}, "must name the bans"),
        ({"kind": ActionKind.RETRACT}, "must name the line"),
        ({"line": ID}, "must name the line"),
        ({"kind": ActionKind.BAN, "bans": (ADDRESS,) * 9}, "At most 8"),
        ({"reason": "x" * 2_001}, "too long"),
        ({"lasts_s": 0.0}, "longer than no time"),
        ({"lasts_s": float("nan")}, "longer than no time"),
        ({"lasts_s": float("inf")}, "longer than no time"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    values: dict[str, object], sentence: str
) -> None:
    given: dict[str, object] = {"id": ID, "kind": ActionKind.NOTE, "reason": "", **values}
    with pytest.raises(Refused, match=sentence):
        check_action(NewAction(**given))  # type: ignore[arg-type]


def test_what_makes_sense_is_let_through() -> None:
    check_action(NewAction(ID, ActionKind.BAN, "", bans=(ADDRESS,) * 8, lasts_s=1.0))
    check_action(NewAction(ID, ActionKind.LIFT, "x" * 2_000, lifts=(ID,)))
    check_action(NewAction(ID, ActionKind.RETRACT, "", line=ID))
    check_action(NewAction(ID, ActionKind.MUTE, "", lasts_s=60.0))
    check_case(NewCase(ID, "spam", "", evidence=b"{}"))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (NewCase(ID, "", ""), "needs a category"),
        (NewCase(ID, "x" * 65, ""), "needs a category"),
        (NewCase(ID, "spam", "x" * 2_001), "too long"),
        (NewCase(ID, "spam", "", "x" * 65), "too long"),
        (NewCase(ID, "spam", "", evidence=b" " * 300_000), "too large"),
    ],
)
def test_reports_that_are_too_large_are_refused(report: NewCase, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        check_case(report)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (SubjectKind.ACCOUNT, "Ada"), (SubjectKind.ADDRESS, "192.0.2.7/24"),
        (SubjectKind.ADDRESS, ""), (SubjectKind.NETWORK, "192.0.2"),
        (SubjectKind.ADDRESS, "'; DROP TABLE ban; --"), (SubjectKind.NETWORK, "0.0.0.0/x"),
        (SubjectKind.ADDRESS, "192.0.2.07"), (SubjectKind.NETWORK, "\u0661.0.0.0/8"),
    ],
)
def test_what_is_no_subject_is_refused_with_an_example(kind: SubjectKind, said: str) -> None:
    with pytest.raises(Refused, match=r"This is no .*: it must"):
        subject_of(kind, said)


@pytest.mark.parametrize("said", ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/15"])
def test_nobody_bans_half_the_world_by_a_slip(said: str) -> None:
    with pytest.raises(Refused, match="too large"):
        subject_of(SubjectKind.NETWORK, said)


@given(st.text())
def test_any_text_is_a_subject_or_is_refused(said: str) -> None:
    for kind in SubjectKind:
        try:
            subject = subject_of(kind, said)
        except Refused:
            continue
        assert subject_of(kind, subject.text) == subject
        assert len(subject.text) <= 128


@given(st.ip_addresses(), st.data())
def test_whoever_is_in_a_banned_network_is_found(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
) -> None:
    least = NETWORK_4_BITS_MIN if address.version == 4 else NETWORK_6_BITS_MIN
    bits = data.draw(st.integers(least, address.max_prefixlen))
    looked_for = subjects_to_look_for(ID, str(address))
    assert subject_of(SubjectKind.ACCOUNT, str(ID)) in looked_for
    assert subject_of(SubjectKind.ADDRESS, str(address)) in looked_for
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is None:
        assert subject_of(SubjectKind.NETWORK, f"{address}/{bits}") in looked_for
    assert len(looked_for) <= 2 + 129


def test_who_has_neither_account_nor_address_is_looked_for_by_nothing() -> None:
    assert subjects_to_look_for(None, "") == []

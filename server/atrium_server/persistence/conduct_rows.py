"""What moderators do, as rows: cases, actions and bans, and what is asked of a store. PURE.

Two things keep a `ConductStore`: `conduct.SqlConduct` (Postgres) and `memory_conduct.MemoryConduct`
(for --ephemeral). Every change is asked for with an id that its author made (a UUIDv7): who is not
sure whether it was done asks again with the same id, and it is done once.

A ban is of an account, of one address, or of a network. Subjects are written in one way only
(`subject_of`), so that to look for one is to compare text: whoever knocks is looked for by the
account, by the address and by each network that the address is in (`subjects_to_look_for`), all of
them in one index. Networks have a least length, so that nobody bans half the world by a slip.
"""

from __future__ import annotations

import enum
import ipaddress
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from atrium_server.persistence.errors import Refused
from atrium_shared.limits import (
    BANS_PER_ACTION_MAX,
    CASE_EVIDENCE_BYTES_MAX,
    NETWORK_4_BITS_MIN,
    NETWORK_6_BITS_MIN,
    REASON_CHARS_MAX,
    SANCTION_S_MAX,
)

ROWS_ASKED_MAX: Final = 1_000
CATEGORY_CHARS_MAX: Final = 64
SUBJECT_NAME_CHARS_MAX: Final = 64

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SubjectKind(enum.StrEnum):
    """Whom a ban is of."""

    ACCOUNT = "account"
    ADDRESS = "address"
    NETWORK = "network"


class CaseState(enum.StrEnum):
    """How far a case is."""

    OPEN = "open"
    REVIEWING = "reviewing"
    CLOSED = "closed"


class ActionKind(enum.StrEnum):
    """What was done. WARN, MUTE, KICK and ROLL_BACK take effect elsewhere, and are kept here."""

    NOTE = "note"
    WARN = "warn"
    MUTE = "mute"
    KICK = "kick"
    BAN = "ban"
    LIFT = "lift"
    RETRACT = "retract"
    ROLL_BACK = "roll_back"


class Subject(msgspec.Struct, frozen=True, order=True):
    """Whom a ban is of, in the one form that is kept; made by `subject_of`."""

    kind: SubjectKind
    text: str


class NewCase(msgspec.Struct, frozen=True):
    """A report. Its evidence is frozen with it."""

    id: uuid.UUID
    category: str
    summary: str
    subject_name: str = ""
    world_id: int | None = None
    subject_account: uuid.UUID | None = None
    subject_session: uuid.UUID | None = None
    reporter: uuid.UUID | None = None
    evidence: bytes = b"{}"
    """A JSON object."""


class Case(msgspec.Struct, frozen=True):
    """A report, and what became of it."""

    report: NewCase
    state: CaseState
    assigned_to: uuid.UUID | None
    opened_at: datetime
    closed_at: datetime | None


class NewAction(msgspec.Struct, frozen=True):
    """What a moderator, or (actor None) the server itself, does."""

    id: uuid.UUID
    kind: ActionKind
    reason: str
    actor: uuid.UUID | None = None
    case_id: uuid.UUID | None = None
    subject_account: uuid.UUID | None = None
    subject_session: uuid.UUID | None = None
    world_id: int | None = None
    """Where it holds; None is everywhere, and what is to be lifted or retracted may be anywhere."""
    lasts_s: float | None = None
    """None is for ever, where it is something that lasts."""
    bans: tuple[Subject, ...] = ()
    """Of a BAN: of whom."""
    lifts: tuple[uuid.UUID, ...] = ()
    """Of a LIFT: the bans that end."""
    line: uuid.UUID | None = None
    """Of a RETRACT: the line that is taken back."""


class Action(msgspec.Struct, frozen=True):
    """What was done, as it is kept."""

    id: uuid.UUID
    kind: ActionKind
    reason: str
    actor: uuid.UUID | None
    case_id: uuid.UUID | None
    subject_account: uuid.UUID | None
    world_id: int | None
    at: datetime
    expires_at: datetime | None


class Ban(msgspec.Struct, frozen=True):
    """A ban that is in force."""

    id: uuid.UUID
    subject: Subject
    world_id: int | None
    reason: str
    starts_at: datetime
    ends_at: datetime | None
    """None: never."""


class ConductStore(Protocol):
    """What is asked of a store. What changes something returns when it is on disk, with its row of
    the audit log, and raises Refused (a person must put it right) or Unavailable (nothing was
    done, or nobody can tell: ask again with the same id)."""

    async def open_case(self, case: NewCase) -> bool:
        """Keep a report; False when it was kept before."""
        ...

    async def set_case(
        self, case_id: uuid.UUID, state: CaseState, assigned_to: uuid.UUID | None, actor: uuid.UUID
    ) -> bool:
        """Move a case on; False when it was so already."""
        ...

    async def act(self, action: NewAction) -> bool:
        """Do it, with its effect on bans and lines; False when it was done before."""
        ...

    async def active_ban(
        self, account: uuid.UUID | None, address: str, world_id: int
    ) -> Ban | None:
        """The ban that keeps somebody out of a world; of several the one that lasts longest.

        `address` may be empty where it is not known.
        """
        ...

    async def cases(self, state: CaseState, rows_max: int) -> list[Case]:
        """Those that have been in this state for the longest, oldest first."""
        ...

    async def actions(self, account: uuid.UUID, rows_max: int) -> list[Action]:
        """What was done about an account, newest first."""
        ...

    async def bans(self, world_id: int | None, rows_max: int) -> list[Ban]:
        """Bans in force of one world, or (None) of all worlds at once; newest first."""
        ...


# --- subjects ----------------------------------------------------------------------------


def subject_of(kind: SubjectKind, said: str) -> Subject:
    """What somebody typed, in the one form that is kept. Raises Refused."""
    try:
        if kind is SubjectKind.ACCOUNT:
            return Subject(kind, str(uuid.UUID(said)))
        if kind is SubjectKind.ADDRESS:
            return Subject(kind, str(_address(said)))
        network = ipaddress.ip_network(said.strip(), strict=False)
    except ValueError:
        raise Refused(f"This is no {kind.value}: {_EXAMPLES[kind]}.") from None
    least = NETWORK_4_BITS_MIN if network.version == 4 else NETWORK_6_BITS_MIN
    if network.prefixlen < least:
        raise Refused(f"The network is too large: it must be /{least} or smaller.")
    return Subject(kind, str(network))


_EXAMPLES: Final = {
    SubjectKind.ACCOUNT: "it must be the id of one",
    SubjectKind.ADDRESS: "it must look like 192.0.2.7 or 2001:db8::7",
    SubjectKind.NETWORK: "it must look like 192.0.2.0/24 or 2001:db8::/48",
}


def _address(said: str) -> _Address:
    """An address without its zone; one of version 4 in the clothes of version 6 is of version 4."""
    address = ipaddress.ip_address(said.strip().partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def subjects_to_look_for(account: uuid.UUID | None, address: str) -> list[Subject]:
    """Whoever of these is banned, this person is. An address that is none is a bug of ours."""
    found: list[Subject] = []
    if account is not None:
        found.append(Subject(SubjectKind.ACCOUNT, str(account)))
    if address:
        parsed = _address(address)
        found.append(Subject(SubjectKind.ADDRESS, str(parsed)))
        least = NETWORK_4_BITS_MIN if parsed.version == 4 else NETWORK_6_BITS_MIN
        for bits in range(least, parsed.max_prefixlen + 1):
            network = ipaddress.ip_network(f"{parsed}/{bits}", strict=False)
            found.append(Subject(SubjectKind.NETWORK, str(network)))
    return found


# --- what is refused before anything is asked ----------------------------------------------


def check_case(case: NewCase) -> None:
    """Raise Refused with a sentence when this cannot be kept."""
    if not 1 <= len(case.category) <= CATEGORY_CHARS_MAX:
        raise Refused("A report needs a category.")
    if len(case.summary) > REASON_CHARS_MAX:
        raise Refused(f"The summary is too long: at most {REASON_CHARS_MAX} characters.")
    if len(case.subject_name) > SUBJECT_NAME_CHARS_MAX:
        raise Refused("The name of who is reported is too long.")
    if len(case.evidence) > CASE_EVIDENCE_BYTES_MAX:
        raise Refused("The evidence is too large: shorten the time that it covers.")


def check_action(action: NewAction) -> None:
    """Raise Refused with a sentence when this makes no sense."""
    if len(action.reason) > REASON_CHARS_MAX:
        raise Refused(f"The reason is too long: at most {REASON_CHARS_MAX} characters.")
    if action.lasts_s is not None and not 0 < action.lasts_s <= SANCTION_S_MAX:
        raise Refused("It must last longer than no time and at most ten years, or for ever.")
    needs: dict[ActionKind, Sequence[object]] = {
        ActionKind.BAN: action.bans,
        ActionKind.LIFT: action.lifts,
        ActionKind.RETRACT: [action.line] if action.line else [],
    }
    for kind, given in needs.items():
        if (kind is action.kind) != bool(given):
            raise Refused(_NEEDS[kind])
        if len(given) > BANS_PER_ACTION_MAX:
            raise Refused(f"At most {BANS_PER_ACTION_MAX} bans can be set or lifted at once.")


_NEEDS: Final = {
    ActionKind.BAN: "A ban, and nothing else, must name whom it is of.",
    ActionKind.LIFT: "To lift, and nothing else, must name the bans that end.",
    ActionKind.RETRACT: "To retract, and nothing else, must name the line that is taken back.",
}

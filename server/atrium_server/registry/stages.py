"""How the versions of one model come into use and out of it again. PURE.

Theory of operation
-------------------
::

    publish              shadow               canary              promote
    ------> CANDIDATE -------> SHADOW ---------> CANARY ----------> LIVE
                ^                 |                 |               |  ^
                +---- demote -----+----- demote ----+               |  |
                                                                    v  | roll back
            RETIRED <---- retire (all but LIVE), promote another ---+--+

A version may skip a step, and what was retired may be a shadow or a canary again; `_FROM` has all
that is allowed, and what is not in it is refused with a sentence. In each of SHADOW, CANARY and
LIVE is at most one version: whoever comes there displaces the other, a live one to RETIRED and the
others to CANDIDATE. Once a version is live there is always one that is.

*Going live* needs a passed gate (`gate`), except for what came with the program, which was measured
before it was released (ADOPT).

*Roll back* is one order without arguments: the live version is retired, and the one that was live
before it is live again. Each version that goes live gets a rank, and the predecessor is the one of
the highest rank that is not live. A version that was rolled back loses its rank, so two roll-backs
go two versions back and not to and fro.

*Demote* is the server's own order when a version breaks its budget (`watch`): a shadow or a canary
becomes a candidate, a live one is rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from atrium_server.persistence.model_rows import ALONE, ModelRow, Move, Op, Stage
from atrium_server.registry.errors import ModelError
from atrium_shared import limits

_ANYWHERE: Final = frozenset({Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.RETIRED})
_FROM: Final[Mapping[Op, frozenset[Stage | None]]] = {
    Op.PUBLISH: frozenset({None}),
    Op.ADOPT: frozenset({None, *_ANYWHERE}),
    Op.SHADOW: _ANYWHERE - {Stage.SHADOW},
    Op.CANARY: _ANYWHERE,
    Op.PROMOTE: frozenset({Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY}),
    Op.RETIRE: frozenset({Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY}),
    Op.DEMOTE: frozenset({Stage.SHADOW, Stage.CANARY, Stage.LIVE}),
    Op.ROLLBACK: frozenset({Stage.LIVE}),
}
"""In which stages an order finds the version that it names; None for one that is not known."""
_TO: Final[Mapping[Op, Stage]] = {
    Op.PUBLISH: Stage.CANDIDATE, Op.ADOPT: Stage.LIVE, Op.SHADOW: Stage.SHADOW,
    Op.CANARY: Stage.CANARY, Op.PROMOTE: Stage.LIVE, Op.RETIRE: Stage.RETIRED,
    Op.DEMOTE: Stage.CANDIDATE, Op.ROLLBACK: Stage.RETIRED,
}
_DISPLACED: Final[Mapping[Stage, Stage]] = {
    Stage.LIVE: Stage.RETIRED, Stage.CANARY: Stage.CANDIDATE, Stage.SHADOW: Stage.CANDIDATE,
}
CANARY_SHARE_DEFAULT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version stands."""

    stage: Stage
    live_rank: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where all versions of one model stand."""

    name: str
    places: Mapping[str, Place] = field(default_factory=dict[str, Place])
    canary_share: float = 0.0
    sequence: int = 0
    """The number of the change that led here."""

    def at(self, stage: Stage) -> str | None:
        """The version in a stage that has at most one."""
        assert stage in ALONE
        return next((v for v, place in self.places.items() if place.stage is stage), None)

    @property
    def live(self) -> str | None:
        """The version that answers."""
        return self.at(Stage.LIVE)

    @property
    def predecessor(self) -> str | None:
        """The version that a roll-back leads to."""
        ranked = [
            (place.live_rank, version) for version, place in self.places.items()
            if place.stage is not Stage.LIVE and place.live_rank
        ]
        return max(ranked)[1] if ranked else None

    def after(self, moves: Sequence[Move]) -> Standing:
        """Where they stand after a change."""
        places = dict(self.places)
        for move in moves:
            places[move.version] = Place(move.after, move.live_rank)
        shares = [move.canary_share for move in moves if move.after is Stage.CANARY]
        has_canary = any(place.stage is Stage.CANARY for place in places.values())
        share = (shares or [self.canary_share])[-1] if has_canary else 0.0
        return Standing(self.name, places, share, self.sequence + 1)


def standing_of(name: str, rows: Sequence[ModelRow], sequence: int) -> Standing:
    """Where the versions stand that a store has."""
    places = {row.model.version: Place(row.stage, row.live_rank) for row in rows}
    return Standing(name, places, max((row.canary_share for row in rows), default=0.0), sequence)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants."""

    op: Op
    version: str = ""
    """A roll-back needs none."""
    share: float = CANARY_SHARE_DEFAULT
    """Of a canary: of those who ask, above 0 and at most a half."""
    has_passed: bool = False
    """Whether the gate was passed."""


def decide(standing: Standing, order: Order) -> tuple[Move, ...]:
    """What an order changes. Raises ModelError with a sentence when it is not allowed."""
    version = order.version or (standing.live or "" if order.op is Op.ROLLBACK else "")
    place = standing.places.get(version)
    _check(standing, order, version, place)
    if order.op is Op.ROLLBACK or (order.op is Op.DEMOTE and standing.live == version):
        return _roll_back(standing, version)
    target = _TO[order.op]
    rank = place.live_rank if place is not None else 0
    if target is Stage.LIVE:
        rank = standing.sequence + 1
    elif order.op in {Op.RETIRE, Op.DEMOTE}:
        rank = 0  # no roll-back should lead to it
    moves: list[Move] = []
    other = standing.at(target) if target in ALONE else None
    if other is not None and other != version:
        moves.append(Move(other, target, _DISPLACED[target],
                          live_rank=standing.places[other].live_rank))
    before = place.stage if place is not None else None
    share = order.share if target is Stage.CANARY else 0.0
    moves.append(Move(version, before, target, share, rank))
    return tuple(moves)


def _roll_back(standing: Standing, live: str) -> tuple[Move, ...]:
    before = standing.predecessor
    if before is None:
        raise ModelError(
            f"No version of {standing.name} was live before {live}: promote another one."
        )
    place = standing.places[before]
    return (
        Move(live, Stage.LIVE, Stage.RETIRED),
        Move(before, place.stage, Stage.LIVE, live_rank=place.live_rank),
    )


def _check(standing: Standing, order: Order, version: str, place: Place | None) -> None:
    name = standing.name
    if order.op is Op.ROLLBACK and standing.live is None:
        raise ModelError(f"No version of {name} is live: there is nothing to roll back.")
    stage = place.stage if place is not None else None
    if stage not in _FROM[order.op]:
        raise ModelError(_why_not(name, order.op, version, stage))
    if stage is None and len(standing.places) >= limits.MODEL_VERSIONS_MAX:
        raise ModelError(f"{name} has {limits.MODEL_VERSIONS_MAX:,} versions already: publish it"
                         " under another name.")
    if order.op is Op.PROMOTE and not order.has_passed:
        raise ModelError(f"{name}@{version} did not pass the gate, and so does not go live.")
    if order.op is Op.CANARY:
        if standing.live is None:
            raise ModelError(f"No version of {name} is live yet, so there is nothing to compare a"
                             f" canary with: `atrium models promote {name} {version}`.")
        if not 0 < order.share <= 0.5:
            raise ModelError("A canary answers a share above 0 and at most 0.5 of those who ask.")


def _why_not(name: str, op: Op, version: str, stage: Stage | None) -> str:
    if stage is None:
        return f"There is no version {version or 'without a name'} of {name}: see `atrium models" \
               f" show {name}`."
    if op is Op.PUBLISH:
        return f"{name}@{version} is known already, with other content: give the new one a" \
               " version of its own."
    if op is Op.RETIRE:
        return f"{name}@{version} is {stage} and cannot be retired: promote another one or roll" \
               " back, and it is."
    if op is Op.PROMOTE and stage is Stage.RETIRED:
        return f"{name}@{version} is retired: let it be a shadow or a canary first, or roll back."
    return f"{name}@{version} is {stage}, so there is nothing to do."

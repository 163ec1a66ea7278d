"""The routes by which the apps of a world ask the models of its server, and the keys for that.

An app shows its key as `Authorization: Bearer KEY`; a key is made by somebody who may operate the
server, here or with `atrium account key create`, and may ask no more than its quotas. A request
brings up to 64 texts and the time that it allows (`deadline_ms`). What is not done by then, or is
shed because the worlds need the models themselves, is answered with 503 and a Retry-After; what is
beyond the quota with 429 and the time until it is not.

What the server could not do does not count against the quota. What has been worked on does, for who
allowed too little time, or left before the answer: else a key could have any amount of work done.
"""

from __future__ import annotations

import math
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
import trio
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, SkipValidation

from atrium_server.accounts.roles import OPERATE
from atrium_server.accounts.service import Accounts
from atrium_server.ai.keys import AiKeys
from atrium_server.ai.service import RETRY_S, AbsentError, AiService, BusyError
from atrium_server.ai.tokens import SECRET_BYTES, hash_of, key_of
from atrium_server.http.account_routes import BEARER, HasAdmission, as_json, from_our_pages
from atrium_server.http.auth import person_of, token_of
from atrium_server.moderation.policy import POLICIES, PolicyName
from atrium_server.moderation.sentences import reason_of
from atrium_server.persistence.ai_keys import KeyRow, NewKey
from atrium_server.telemetry import Registry
from atrium_shared.limits import (
    AI_DEADLINE_MS_MAX,
    AI_KEY_NAME_CHARS_MAX,
    AI_ROWS_PER_DAY_MAX,
    AI_TEXT_CHARS_MAX,
    AI_TEXTS_MAX,
)

NO_KEY: Final = (
    "This key may not be used: show one that holds as `Authorization: Bearer KEY`. Who runs the"
    " server makes them with `atrium account key create`."
)
NOT_HERE: Final = "This server has no models to ask."
TEXTS_TOTAL: Final = "atrium_ai_texts_total"
"""Counter {what, outcome}: texts that apps asked about."""

AnyRequest = Request[Any, Any, Any]
Texts = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=AI_TEXT_CHARS_MAX)]],
    msgspec.Meta(min_length=1, max_length=AI_TEXTS_MAX),
]
DeadlineMs = Annotated[int, msgspec.Meta(ge=1, le=AI_DEADLINE_MS_MAX)]
RowsADay = Annotated[int, msgspec.Meta(ge=1, le=AI_ROWS_PER_DAY_MAX)]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts, and how long the answer may take."""

    texts: Texts
    deadline_ms: DeadlineMs = 1_000


class ModerationQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts, the policy by which they are judged, and how long the answer may take."""

    texts: Texts
    policy: Literal["open", "standard", "strict"] = "standard"
    deadline_ms: DeadlineMs = 1_000


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one text. `text` is what others may read, with what was found covered when
    the action is `mask`; `category` and `reason` say why, and are empty for `allow`. `scores` are
    what the model says, by category; none where rules alone decided."""

    action: Literal["allow", "mask", "hold", "block"]
    text: str
    category: str
    reason: str
    scores: dict[str, float]


class Verdicts(msgspec.Struct, frozen=True):
    """One for each text, in their order. `model` is empty where rules alone decided."""

    model: str
    verdicts: list[Verdict]


class Emotion(msgspec.Struct, frozen=True):
    """What one text feels like: by emotion a score, which from 0.5 on says that it is there, and
    from -1 (bad) to 1 (good) how it feels in all."""

    scores: dict[str, float]
    valence: float


class Emotions(msgspec.Struct, frozen=True):
    """One for each text, in their order."""

    model: str
    emotions: list[Emotion]


class Vectors(msgspec.Struct, frozen=True):
    """One of length 1 for each text, in their order: the nearer two texts are in what they are
    about, the larger is the product of their vectors."""

    model: str
    vectors: list[list[float]]


class KeyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=AI_KEY_NAME_CHARS_MAX)]
    rows_per_minute: RowsADay = 600
    rows_per_day: RowsADay = 100_000


class KeyEntry(msgspec.Struct, frozen=True):
    """A key, without what it is shown by."""

    id: uuid.UUID
    name: str
    rows_per_minute: int
    rows_per_day: int
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class MadeKey(msgspec.Struct, frozen=True):
    """A key that was made; `key` is told this once and never again."""

    id: uuid.UUID
    key: str


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, for a program and for a person."""

    code: str
    sentence: str


class HasAi(HasAdmission, Protocol):
    """As much of `routes.Service` as is needed here."""

    @property
    def accounts(self) -> Accounts | None: ...

    @property
    def ai(self) -> AiService | None: ...

    @property
    def ai_keys(self) -> AiKeys | None: ...

    @property
    def registry(self) -> Registry: ...


ServiceParameter = NamedDependency[SkipValidation[HasAi]]
_PROBLEMS: Final[dict[int, str]] = {
    400: "The body is not as it should be", 401: "There is no key, or it may not be used",
    403: "The page that asks is of an origin that is not allowed",
    413: "The body is too large", 415: "The body is not JSON",
    429: "The key has asked as much as it may; Retry-After says when it may again",
    501: "This server has no such model",
    503: "It was not done in time, or there is too much to do; see Retry-After",
}
ANSWERS: Final = {
    status: ResponseSpec(Problem, generate_examples=False, description=description)
    for status, description in _PROBLEMS.items()
}


@dataclass(frozen=True, slots=True)
class _Asker:
    """Whose request this is."""

    ai: AiService
    who: str
    """For the share of a canary."""


@asynccontextmanager
async def _asking(
    request: AnyRequest, service: HasAi, texts: Sequence[str]
) -> AsyncGenerator[_Asker]:
    """The texts count against the key of the request, but for those that the server could not do
    when the block ends in an error, which is told as a status.
    """
    if service.ai is None or service.ai_keys is None:
        raise HTTPException(status_code=501, detail=NOT_HERE)
    what = request.scope["path"].rpartition("/")[2]

    def count(outcome: str) -> None:
        service.registry.counter(
            TEXTS_TOTAL, "Texts that apps asked about.", what=what, outcome=outcome
        ).add(len(texts))

    key = await _key_of(request, service.ai_keys)
    _take(service.ai_keys, key, len(texts), count)
    outcome, spent = "failed", 0
    try:
        yield _Asker(service.ai, str(key.id))
        outcome = "done"
    except AbsentError as error:
        outcome = "absent"
        raise HTTPException(status_code=501, detail=str(error)) from None
    except BusyError as error:
        outcome, spent = "busy", error.spent
        raise HTTPException(
            status_code=503, detail=str(error), headers={"retry-after": str(RETRY_S)}
        ) from None
    except trio.Cancelled:
        outcome, spent = "left", len(texts)
        raise
    finally:
        count(outcome)
        if outcome != "done":
            service.ai_keys.give_back(key, len(texts) - spent)


async def _key_of(request: AnyRequest, keys: AiKeys) -> NewKey:
    try:
        key = await keys.find(token_of(request))
    except NotAuthorizedException:
        key = None
    if key is None:
        raise NotAuthorizedException(NO_KEY, headers={"www-authenticate": "Bearer"})
    return key


def _take(keys: AiKeys, key: NewKey, rows: int, count: Callable[[str], None]) -> None:
    wait_s = keys.take(key, rows)
    if math.isinf(wait_s):
        raise HTTPException(
            status_code=400,
            detail=f"This key may ask {key.rows_per_minute} texts a minute: send fewer at once.",
        )
    if wait_s:
        count("quota")
        raise HTTPException(
            status_code=429, detail="This key has asked as much as it may for now.",
            headers={"retry-after": str(math.ceil(wait_s))},
        )


# --- the models ---------------------------------------------------------------------------


@post(
    "/api/ai/moderate", summary="May others read these texts?", status_code=200,
    guards=[from_our_pages, as_json], security=BEARER, responses=ANSWERS,
)
async def moderate(
    data: JSONBody[ModerationQuestion], request: AnyRequest, service: ServiceParameter
) -> Verdicts:
    """Judged as a line of chat would be in a world of that policy, each by itself: there is no
    sender whose other lines are known, and nothing is remembered.
    """
    async with _asking(request, service, data.texts) as asked:
        model, judged = await asked.ai.moderate(
            data.texts, POLICIES[PolicyName(data.policy)],
            deadline_s=data.deadline_ms / 1000, who=asked.who,
        )
    return Verdicts(model, [
        Verdict(
            _action(one.decision.action.name), one.decision.text,
            str(one.decision.category or ""), reason_of(one.decision), one.scores,
        )
        for one in judged
    ])


@post(
    "/api/ai/emotion", summary="What do these texts feel like?", status_code=200,
    guards=[from_our_pages, as_json], security=BEARER, responses=ANSWERS,
)
async def emotion(
    data: JSONBody[Question], request: AnyRequest, service: ServiceParameter
) -> Emotions:
    """Seven classes, and valence. English only; see the model's card for how often it is right."""
    async with _asking(request, service, data.texts) as asked:
        model, feelings = await asked.ai.emotion(
            data.texts, deadline_s=data.deadline_ms / 1000, who=asked.who
        )
    return Emotions(model, [Emotion(one.scores, one.valence) for one in feelings])


@post(
    "/api/ai/embed", summary="What are these texts about?", status_code=200,
    guards=[from_our_pages, as_json], security=BEARER, responses=ANSWERS,
)
async def embed(
    data: JSONBody[Question], request: AnyRequest, service: ServiceParameter
) -> Vectors:
    """Vectors to compare texts by. The weights are not part of Atrium: without them 501."""
    async with _asking(request, service, data.texts) as asked:
        model, vectors = await asked.ai.embed(
            data.texts, deadline_s=data.deadline_ms / 1000, who=asked.who
        )
    return Vectors(model, vectors.tolist())


def _action(name: str) -> Any:
    return name.lower()


# --- keys ---------------------------------------------------------------------------------


@post("/api/ai/keys", summary="Make a key", guards=[from_our_pages, as_json], security=BEARER)
async def make_key(
    data: JSONBody[KeyOrder], request: AnyRequest, service: ServiceParameter
) -> MadeKey:
    """For who may operate the server. The key belongs to their account, and goes with it."""
    keys = _keys_of(service)
    who = await person_of(request, service, OPERATE)
    key = key_of(secrets.token_bytes(SECRET_BYTES))
    key_hash = hash_of(key)
    assert key_hash is not None
    made = NewKey(
        uuid.uuid4(), key_hash, who.account, data.name, data.rows_per_minute, data.rows_per_day
    )
    await keys.store.create(made)
    return MadeKey(made.id, key)


@get("/api/ai/keys", summary="One's keys", security=BEARER)
async def list_keys(request: AnyRequest, service: ServiceParameter) -> list[KeyEntry]:
    """All keys of one's account, those that were revoked for a while, too."""
    keys = _keys_of(service)
    who = await person_of(request, service)
    return [_entry(row) for row in await keys.store.of(who.account)]


@delete(
    "/api/ai/keys/{key:uuid}", summary="Revoke a key", guards=[from_our_pages], security=BEARER
)
async def revoke_key(
    key: Annotated[uuid.UUID, PathParameter()], request: AnyRequest, service: ServiceParameter
) -> None:
    """One's own. A server may go on taking it for some seconds."""
    keys = _keys_of(service)
    who = await person_of(request, service)
    if not await keys.store.revoke(key, who.account, str(who.account)):
        raise NotFoundException("You have no such key, or it was revoked before.")


def _keys_of(service: HasAi) -> AiKeys:
    if service.ai_keys is None:
        raise HTTPException(status_code=501, detail=NOT_HERE)
    return service.ai_keys


def _entry(row: KeyRow) -> KeyEntry:
    key = row.key
    return KeyEntry(
        key.id, key.name, key.rows_per_minute, key.rows_per_day, row.created_at,
        row.last_used_at, row.revoked_at,
    )


HANDLERS: Final = (moderate, emotion, embed, make_key, list_keys, revoke_key)

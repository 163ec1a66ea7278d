"""The models over HTTP: keys, quotas, answers, and what is said when there is none."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from harness import open_house, write_world
from test_account_routes import PASSWORD, Caller, NoStatus, references

from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.service import Accounts
from atrium_server.ai.keys import AiKeys
from atrium_server.ai.service import (
    EMOTION_MODEL,
    EMOTION_SIGNATURE,
    EMOTIONS,
    AiService,
)
from atrium_server.ai.tokens import hash_of, key_of
from atrium_server.http import assets, service
from atrium_server.http.guard import Admission
from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError, Status
from atrium_server.inference.rows import Array
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Device
from atrium_server.moderation.rules import TextRules
from atrium_server.moderator import LABELS, MODEL, SIGNATURE
from atrium_server.persistence.ai_keys import MemoryKeys, NewKey
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.reader import Reader
from atrium_server.telemetry import Registry
from atrium_shared import limits

ROUTES = ("/api/ai/moderate", "/api/ai/emotion", "/api/ai/embed")
OWNER = uuid.UUID(int=1)


class Says:
    """A model that says the same of every text, and may be slow or out of order."""

    def __init__(self, signature: Any, columns: Sequence[float]) -> None:
        self.signature = signature
        self.columns = columns
        self.rows: list[int] = []
        self.error: Exception | None = None

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if self.error is not None:
            raise self.error
        count = len(inputs["ids_offsets"]) - 1
        self.rows.append(count)
        return {"scores": np.tile(np.array(self.columns, np.float32), (count, 1))}


class Vectors:
    """Stands in for the encoder."""

    is_there = True
    status = Status.DONE

    def label_for(self, who: str) -> str:
        return "embed@1"

    async def embed(
        self, texts: Sequence[str], *, deadline_s: float, who: str = "",
        work: WorkClass = WorkClass.LANGUAGE,
    ) -> Array:
        await trio.lowlevel.checkpoint()
        if self.status is Status.LATE:
            await trio.sleep(deadline_s + 1)
        if self.status is not Status.DONE:
            raise LaneError(self.status)
        return np.full((len(texts), 4), 0.5, np.float32)


class Server:
    """The service with stand-ins for models, and one key."""

    def __init__(self, caller: Caller, lane: Lane | None) -> None:
        self.caller, self.lane = caller, lane
        self.toxic = Says(SIGNATURE, [0.9, *[0.01] * (len(LABELS) - 1)])
        self.feels = Says(EMOTION_SIGNATURE, [0.1, 0, 0, 0.8, 0, 0, 0.2, 0.75])
        self.vectors = Vectors()
        self.keys = AiKeys(MemoryKeys(lambda: 1e9), lambda: 1e9)
        self.key = key_of(b"k" * 32)
        self.registry = Registry()

    async def ask(self, path: str, *texts: str, **more: Any) -> Any:
        return await self.caller.ask("POST", path, {"texts": list(texts), **more})


@pytest.fixture
def web(tmp_path: Path) -> assets.WebAssets:
    (tmp_path / "index.html").write_text("")
    return assets.load_assets(tmp_path)


@asynccontextmanager
async def opened(
    web: assets.WebAssets, *, has_models: bool = True, per_minute: int = 10_000
) -> AsyncGenerator[Server]:
    accounts = Accounts(MemoryAccounts(["plaza"]), Passwords(Cost(1, 8, 1)))
    await accounts.open()
    admission = Admission(
        knows_host=lambda host: True, client_of=lambda peer, forwarded: "192.0.2.7",
        trusts=lambda client: True, take_request=lambda client, now, is_static: True,
        refused=lambda reason: None,
    )
    reader, lane = Reader(TextRules()), Lane(Device()) if has_models else None
    client, stream = trio.testing.memory_stream_pair()
    server = Server(Caller(client), lane)
    key_hash = hash_of(server.key)
    assert key_hash is not None
    await server.keys.store.create(
        NewKey(uuid.uuid4(), key_hash, OWNER, "bot", per_minute, 20_000)
    )
    server.caller.token = server.key
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        if lane is not None:
            await nursery.start(lane.run)
            lane.slots.of(MODEL).live = Loaded(MODEL, "1", server.toxic)
            lane.slots.of(EMOTION_MODEL).live = Loaded(EMOTION_MODEL, "1", server.feels)
        ai = AiService(reader, lane, server.vectors if has_models else None)
        async with service.open_http_service(
            NoStatus(), server.registry, admission, web, accounts=accounts, ai=ai,
            ai_keys=server.keys,
        ) as serve:
            nursery.start_soon(serve, stream)
            yield server
            nursery.cancel_scope.cancel()


# --- answers ---------------------------------------------------------------------------------


async def test_texts_are_judged(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        answer = await server.ask("/api/ai/moderate", "hello", "write to ann@example.org")
        assert (answer.status, answer.json["model"]) == (200, "moderation@1")
        first, second = answer.json["verdicts"]
        assert (first["action"], first["category"]) == ("block", "toxic")
        assert first["reason"]
        assert first["scores"]["toxic"] == 0.9
        server.toxic.columns = [0.01] * len(LABELS)
        answer = await server.ask("/api/ai/moderate", "hello", "write to ann@example.org")
        first, second = answer.json["verdicts"]
        assert (first["action"], first["text"], first["reason"]) == ("allow", "hello", "")
        assert (second["action"], second["category"]) == ("mask", "pii")
        assert "ann@" not in second["text"]
        strict = await server.ask(
            "/api/ai/moderate", "write to ann@example.org", policy="strict"
        )
        assert strict.json["verdicts"][0]["action"] == "block"


async def test_what_texts_feel_like_and_are_about(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        answer = await server.ask("/api/ai/emotion", "what a day", "so be it")
        assert answer.json["model"] == "emotion@1"
        assert len(answer.json["emotions"]) == 2
        found = answer.json["emotions"][0]
        assert list(found["scores"]) == list(EMOTIONS)
        assert (found["scores"]["joy"], found["valence"]) == (0.8, 0.5)
        answer = await server.ask("/api/ai/embed", "a", "b", "c")
        assert answer.json == {"model": "embed@1", "vectors": [[0.5] * 4] * 3}


async def test_one_request_is_one_batch(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        answer = await server.ask("/api/ai/emotion", *[f"text {k}" for k in range(64)])
        assert len(answer.json["emotions"]) == 64
        assert server.feels.rows == [64]


# --- without models, or without enough of them -----------------------------------------------


async def test_without_models_the_rules_judge_and_the_rest_is_not_here(
    web: assets.WebAssets,
) -> None:
    async with opened(web, has_models=False) as server:
        answer = await server.ask("/api/ai/moderate", "fuck this")
        assert (answer.status, answer.json["model"]) == (200, "")
        assert answer.json["verdicts"][0]["action"] == "mask"
        assert answer.json["verdicts"][0]["scores"] == {}
        for path in ("/api/ai/emotion", "/api/ai/embed"):
            answer = await server.ask(path, "hello")
            assert (answer.status, answer.json["code"]) == (501, "not_here")
            assert answer.json["sentence"].startswith("This server has no model")


async def test_weights_that_are_not_there_are_told(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        server.vectors.is_there = False
        answer = await server.ask("/api/ai/embed", "hello")
        assert (answer.status, answer.json["code"]) == (501, "not_here")
        assert "OPERATING" in answer.json["sentence"]


@pytest.mark.parametrize("status", [Status.LATE, Status.SHED, Status.FAILED, Status.ABSENT])
async def test_what_is_not_done_is_told_with_when_to_come_again(
    web: assets.WebAssets, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(web, per_minute=4) as server:
        lane = server.lane
        assert lane is not None

        async def ask(*args: Any, **more: Any) -> Any:
            await trio.lowlevel.checkpoint()
            raise LaneError(status)

        monkeypatch.setattr(lane, "ask", ask)
        tries = 2 if status is Status.LATE else 5  # what was worked on counts
        for _ in range(tries):
            answer = await server.ask("/api/ai/moderate", "one", "two")
            assert (answer.status, answer.json["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
            assert answer.json["sentence"]
        answer = await server.ask("/api/ai/moderate", "one")
        assert answer.status == (429 if status is Status.LATE else 503)


@pytest.mark.parametrize("status", [Status.LATE, Status.SHED, Status.FAILED, Status.ABSENT])
async def test_vectors_that_are_not_made_are_told(web: assets.WebAssets, status: Status) -> None:
    async with opened(web) as server:
        server.vectors.status = status
        answer = await server.ask("/api/ai/embed", "one", deadline_ms=1)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_who_leaves_before_the_answer_has_asked(
    web: assets.WebAssets, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(web, per_minute=4) as server:
        begun, over = trio.Event(), trio.Event()

        async def ask(*args: Any, **more: Any) -> Any:
            begun.set()
            try:
                await trio.sleep_forever()
            finally:
                over.set()

        assert server.lane is not None
        monkeypatch.setattr(server.lane, "ask", ask)
        key = await server.keys.find(server.key)
        assert key is not None
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.ask, "/api/ai/moderate", "a", "b", "c", "d")
                await begun.wait()
                nursery.cancel_scope.cancel()
            await server.caller.close()
            await over.wait()
            await trio.testing.wait_all_tasks_blocked()
        assert server.keys.take(key, 1) > 0


async def test_nothing_is_said_by_a_strict_policy_without_a_model(web: assets.WebAssets) -> None:
    async with opened(web, has_models=False) as server:
        answer = await server.ask("/api/ai/moderate", "hello", policy="strict")
        assert (answer.status, answer.json["code"]) == (501, "not_here")
        assert "standard" in answer.json["sentence"]


async def test_a_model_that_fails_is_the_servers_fault(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        server.feels.error = ValueError("it has a bad day")
        answer = await server.ask("/api/ai/emotion", "hello")
        assert answer.status == 503
        assert "bad day" not in answer.body.decode()


async def test_a_deadline_is_kept(web: assets.WebAssets, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(web) as server:
        lane = server.lane
        assert lane is not None

        async def ask(*args: Any, **more: Any) -> Any:
            assert 0 < more["deadline_s"] <= 0.02
            await trio.sleep_forever()

        monkeypatch.setattr(lane, "ask", ask)
        with trio.fail_after(20):
            answer = await server.ask("/api/ai/moderate", "hello", deadline_ms=20)
        assert answer.status == 503
        assert "time" in answer.json["sentence"]


# --- who may ask, and how much ---------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
async def test_nothing_without_a_key(web: assets.WebAssets, path: str) -> None:
    async with opened(web) as server:
        shown = [
            "", key_of(b"?" * 32), server.key[:-1], server.key + "x", server.key.upper(), "x",
        ]
        for token in shown:
            server.caller.token = token
            answer = await server.ask(path, "hello")
            assert (answer.status, answer.json["code"]) == (401, "not_signed_in"), token
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "key" in answer.json["sentence"]
        assert server.feels.rows == []
        assert server.toxic.rows == []


async def test_a_quota_is_kept(web: assets.WebAssets) -> None:
    async with opened(web, per_minute=10) as server:
        assert (await server.ask("/api/ai/emotion", *["a"] * 10)).status == 200
        answer = await server.ask("/api/ai/moderate", "a")
        assert (answer.status, answer.json["code"]) == (429, "too_many")
        assert 1 <= int(answer.headers["retry-after"]) <= 6
        answer = await server.ask("/api/ai/moderate", *["a"] * 11)
        assert (answer.status, "fewer" in answer.json["sentence"]) == (400, True)
        told = server.registry.render()
        assert 'atrium_ai_texts_total{outcome="quota",what="moderate"} 1' in told
        assert 'atrium_ai_texts_total{outcome="done",what="emotion"} 10' in told


async def test_keys_are_made_listed_and_revoked_by_their_owner(
    web: assets.WebAssets, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(web) as server:
        caller = server.caller
        await caller.signed_up("Ada")
        order = {"name": "greeter", "rows_per_minute": 5, "rows_per_day": 50}
        refused = await caller.ask("POST", "/api/ai/keys", order)
        assert (refused.status, "operate" in refused.json["sentence"]) == (403, True)
        from atrium_server.http import ai_routes
        monkeypatch.setattr(ai_routes, "OPERATE", "speak")
        made = await caller.ask("POST", "/api/ai/keys", order)
        assert made.status == 201
        person, key = caller.token, made.json["key"]
        (entry,) = (await caller.ask("GET", "/api/ai/keys")).json
        assert (entry["name"], entry["rows_per_minute"], entry["revoked_at"]) == (
            "greeter", 5, None
        )
        assert key not in json.dumps(entry)
        caller.token = key
        assert (await server.ask("/api/ai/moderate", *["a"] * 5)).status == 200
        assert (await server.ask("/api/ai/moderate", "a")).status == 429
        assert (await caller.ask("GET", "/api/ai/keys")).status == 401, "it is no person"
        await caller.signed_up("Ben")
        assert (await caller.ask("DELETE", f"/api/ai/keys/{entry['id']}")).status == 404
        caller.token = person
        assert (await caller.ask("DELETE", f"/api/ai/keys/{entry['id']}")).status == 204
        assert (await caller.ask("DELETE", f"/api/ai/keys/{entry['id']}")).status == 404
        assert (await caller.ask("GET", "/api/ai/keys")).json[0]["revoked_at"]
        for bad in ({"name": ""}, {"name": "a\0b"}, {"name": "\x1b[2Jx"},
                    {"name": "x", "rows_per_day": 0}, {"name": "x", "more": 1},
                    {"name": "x", "rows_per_minute": 5, "rows_per_day": 4}):
            assert (await caller.ask("POST", "/api/ai/keys", bad)).status == 400, bad


# --- bad input -------------------------------------------------------------------------------

BAD: dict[str, Any] = {
    "nothing": b" ", "no JSON": b"{'texts': 1}", "deep": b"[" * 9_000, "an array": [],
    "no texts": {"texts": []}, "too many": {"texts": ["a"] * (limits.AI_TEXTS_MAX + 1)},
    "a number": {"texts": [1]}, "null": {"texts": [None]}, "one text": {"texts": "hello"},
    "a long text": {"texts": ["x" * (limits.AI_TEXT_CHARS_MAX + 1)]},
    "no time": {"texts": ["a"], "deadline_ms": 0},
    "too much time": {"texts": ["a"], "deadline_ms": limits.AI_DEADLINE_MS_MAX + 1},
    "half a time": {"texts": ["a"], "deadline_ms": 1.5},
    "a time that is none": b'{"texts": ["a"], "deadline_ms": NaN}',
    "more": {"texts": ["a"], "who": "me"}, "not UTF-8": b'{"texts": ["\xff\xfe"]}',
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_question_is_refused(
    web: assets.WebAssets, path: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(web) as server:
        answer = await server.caller.ask("POST", path, BAD[what])
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert answer.json["sentence"]
    assert not caplog.records


async def test_a_policy_that_is_none_and_a_body_that_is_too_large(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        assert (await server.ask("/api/ai/moderate", "a", policy="none")).status == 400
        answer = await server.ask("/api/ai/moderate", *["x" * 3_900] * 20)
        assert (answer.status, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_in_texts_they_are_answered(web: assets.WebAssets, seed: int) -> None:
    chance = random.Random(seed)

    def text() -> str:
        start = chance.randrange(0x110000)
        letters = [chr(start + chance.randrange(300)) for _ in range(chance.randrange(200))
                   if start + 300 < 0x110000]
        return "".join(each for each in letters if not 0xD800 <= ord(each) < 0xE000)

    async with opened(web) as server:
        texts = [text() for _ in range(30)] + ["\u202e\u2066" * 300, "", "\0", " " * 500]
        answer = await server.ask("/api/ai/moderate", *texts)
        assert answer.status == 200, (seed, answer.body)
        assert len(answer.json["verdicts"]) == len(texts)
        answer = await server.ask("/api/ai/emotion", *texts)
        assert len(answer.json["emotions"]) == len(texts)


async def test_half_a_character_is_answered_or_refused(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        body = b'{"texts": ["\\ud800 hello"]}'
        for path in ROUTES:
            assert (await server.caller.ask("POST", path, body)).status in {200, 400}


# --- the document, and the real models -------------------------------------------------------


async def test_the_routes_are_documented(web: assets.WebAssets) -> None:
    async with opened(web) as server:
        document = (await server.caller.ask("GET", "/api/openapi.json")).json
    for path in ROUTES:
        operation = document["paths"][path]["post"]
        assert set(operation["responses"]) >= {
            "200", "400", "401", "403", "413", "415", "429", "501", "503"
        }
        assert operation["security"] == [{"bearer": []}]
        assert operation["responses"]["429"]["content"]["application/json"]["schema"]
    question = document["components"]["schemas"]["ModerationQuestion"]["properties"]
    assert question["texts"]["maxItems"] == limits.AI_TEXTS_MAX
    assert question["deadline_ms"]["maximum"] == limits.AI_DEADLINE_MS_MAX
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


async def test_the_models_of_a_server_answer(tmp_path: Path) -> None:
    world = write_world(tmp_path, "hall")
    async with open_house(worlds=[world], has_lanes=True, brain="on", device="cpu") as house:
        lanes = house.server.lanes
        assert lanes is not None
        key = key_of(b"r" * 32)
        key_hash = hash_of(key)
        assert key_hash is not None
        with pytest.raises(Refused, match="no such account"):
            await lanes.ai_keys.store.create(NewKey(uuid.uuid4(), key_hash, OWNER, "bot", 60, 60))
        caller = Caller(house.link())
        owner = uuid.UUID((await caller.signed_up("Ada")).json["account"])
        await lanes.ai_keys.store.create(NewKey(uuid.uuid4(), key_hash, owner, "bot", 60, 60))
        caller.token = key
        question = {"texts": ["good morning everyone", "you are all worthless stupid bitches"]}
        with trio.fail_after(30):
            answer = await caller.ask("POST", "/api/ai/moderate", question | {"deadline_ms": 9_000})
            feelings = await caller.ask(
                "POST", "/api/ai/emotion",
                {"texts": ["I am so happy for you, this is wonderful!"], "deadline_ms": 9_000},
            )
            absent = await caller.ask("POST", "/api/ai/embed", question)
        assert answer.json["model"].startswith("moderation@")
        assert [each["action"] for each in answer.json["verdicts"]] == ["allow", "block"]
        (found,) = feelings.json["emotions"]
        assert max(found["scores"], key=found["scores"].get) == "joy"
        assert found["valence"] > 0
        assert absent.status == 501
        assert PASSWORD not in str(absent.json)

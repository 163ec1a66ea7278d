"""The REST API of accounts over memory streams, from signing up to having been deleted."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
import trio
import trio.testing

from atrium_server.accounts.passwords import Cost, Passwords
from atrium_server.accounts.service import Accounts
from atrium_server.http import assets, service
from atrium_server.http.guard import Admission
from atrium_server.persistence.accounts import AccountStore
from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.memory_accounts import MemoryAccounts
from atrium_server.telemetry import Registry
from atrium_shared import limits

PREFS = {"a": 1, "b": "1", "c": "true", "d": True, "e": None, "f": 0.5, "g": "null"}
PASSWORD = "seven herons at dusk"
OTHER = "nine foxes before noon"
METACHARACTERS = "Robert'); DROP TABLE account;-- \" \\ % _ $1 :a {b}"
ROUTES = [
    ("POST", "/api/accounts"), ("POST", "/api/sign-ins"), ("POST", "/api/sign-ins/guest"),
    ("POST", "/api/sign-ins/refresh"), ("DELETE", "/api/sign-ins/current"),
    ("DELETE", "/api/sign-ins"), ("GET", "/api/accounts/me"), ("PATCH", "/api/accounts/me"),
    ("DELETE", "/api/accounts/me"), ("PUT", "/api/accounts/me/password"),
    ("GET", "/api/accounts/me/export"), ("GET", "/api/accounts/me/sign-ins"),
    ("POST", "/api/role-grants"), ("DELETE", "/api/role-grants"),
]
BODIES = {
    "/api/accounts": {"handle": "Ada", "password": PASSWORD},
    "/api/sign-ins": {"handle": "Ada", "password": PASSWORD},
    "/api/sign-ins/guest": {"name": "Ada"},
    "/api/accounts/me": {"password": PASSWORD},
    "/api/accounts/me/password": {"old_password": PASSWORD, "new_password": OTHER},
    "/api/role-grants": {"handle": "Ada", "role": "admin"},
}
QUERIES = {("DELETE", "/api/role-grants"): "?handle=Ada&role=admin"}
ANYBODY = Admission(
    knows_host=lambda host: True, client_of=lambda peer, forwarded: peer,
    trusts=lambda client: True, take_request=lambda client, now, is_static: True,
    refused=lambda reason: None,
)


def body_for(method: str, path: str) -> object:
    if (method, path) in {("GET", "/api/accounts/me"), ("DELETE", "/api/role-grants"),
                          ("DELETE", "/api/sign-ins")}:
        return None
    return {"handle": "Ada"} if method == "PATCH" else BODIES.get(path)


class NoStatus:
    """A server without worlds."""

    def worlds(self) -> list[Any]:
        return []

    def ready(self) -> bool:
        return True

    def draining(self) -> bool:
        return False

    def scene(self, world: str, version: str) -> None:
        return None

    def scene_version(self, world: str) -> str:
        return ""


class Answer:
    """One response, parsed."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One connection and, once somebody has signed in on it, a token."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._protocol = h11.Connection(h11.CLIENT)
        self.token = ""

    async def ask(
        self, method: str, path: str, content: object = None, **headers: str
    ) -> Answer:
        fields = {"host": "localhost", "user-agent": "a test"}
        body = b""
        if content is not None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            fields |= {"content-type": "application/json", "content-length": str(len(body))}
        if self.token:
            fields["authorization"] = f"Bearer {self.token}"
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        sent = self._protocol.send(request) or b""
        if body:
            sent += self._protocol.send(h11.Data(data=body)) or b""
        await self._stream.send_all(sent + (self._protocol.send(h11.EndOfMessage()) or b""))
        answer = await self._answer()
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        return answer

    async def close(self) -> None:
        """Leave, whatever is under way."""
        await self._stream.aclose()

    async def _answer(self) -> Answer:
        status, headers, body = 0, dict[str, str](), b""
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                self._protocol.receive_data(bytes(await self._stream.receive_some(65_536)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, headers, body)
            else:
                raise AssertionError(f"unexpected {event!r}")

    async def signed_up(self, handle: str) -> Answer:
        answer = await self.ask(
            "POST", "/api/accounts", {"handle": handle, "password": PASSWORD}
        )
        assert answer.status == 201, answer.body
        self.token = answer.json["token"]
        return answer


@pytest.fixture
def web(tmp_path) -> assets.WebAssets:
    (tmp_path / "index.html").write_text("")
    return assets.load_assets(tmp_path)


@asynccontextmanager
async def opened(
    web: assets.WebAssets, store: AccountStore | None = None, callers: int = 1,
    knows_host: bool = True,
) -> AsyncGenerator[tuple[list[Caller], Accounts]]:
    """The service with accounts in memory, and connections to it."""
    accounts = Accounts(store or MemoryAccounts(["plaza"]), Passwords(Cost(1, 8, 1)))
    await accounts.open()
    admission = Admission(
        knows_host=lambda host: knows_host or host == "localhost",
        client_of=lambda peer, forwarded: "192.0.2.7", trusts=lambda client: True,
        take_request=lambda client, now, is_static: True, refused=lambda reason: None,
    )
    async with (
        service.open_http_service(
            NoStatus(), Registry(), admission, web, accounts=accounts
        ) as serve,
        trio.open_nursery() as nursery,
    ):
        made: list[Caller] = []
        for _ in range(callers):
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(serve, server)
            made.append(Caller(client))
        yield made, accounts
        nursery.cancel_scope.cancel()


async def test_the_whole_life_of_an_account(web) -> None:
    async with opened(web, callers=2) as ([ada, elsewhere], _):
        made = await ada.signed_up("Ada")
        assert made.json["name"] == "Ada"
        assert made.json["expires_in_s"] == limits.SIGN_IN_S_MAX
        assert made.headers["cache-control"] == "no-store"
        me = await ada.ask("GET", "/api/accounts/me")
        assert (me.status, me.json["handle"]) == (200, "Ada")
        assert [grant["role"] for grant in me.json["grants"]] == ["member"]

        again = await elsewhere.ask(
            "POST", "/api/sign-ins", {"handle": "ADA", "password": PASSWORD}
        )
        assert again.status == 201
        elsewhere.token = again.json["token"]
        listed = (await ada.ask("GET", "/api/accounts/me/sign-ins")).json
        assert [(each["is_this"], each["device"], each["address"]) for each in listed] == [
            (False, "a test", "192.0.2.7"), (True, "a test", "192.0.2.7"),
        ]

        passwords = {"old_password": PASSWORD, "new_password": OTHER}
        changed = await ada.ask("PUT", "/api/accounts/me/password", passwords)
        assert (changed.status, changed.body) == (204, b"")
        assert (await elsewhere.ask("GET", "/api/accounts/me")).status == 401
        assert (await ada.ask("GET", "/api/accounts/me")).status == 200

        fresh = await ada.ask("POST", "/api/sign-ins/refresh")
        assert fresh.status == 200
        ada.token = fresh.json["token"]
        assert (await ada.ask("DELETE", "/api/accounts/me", {"password": PASSWORD})).status == 403
        assert (await ada.ask("DELETE", "/api/accounts/me", {"password": OTHER})).status == 204
        assert (await ada.ask("GET", "/api/accounts/me")).status == 401
        gone = await ada.ask("POST", "/api/sign-ins", {"handle": "Ada", "password": OTHER})
        assert gone.status == 401
        await ada.signed_up("Ada")


async def test_without_accounts_there_is_a_sentence(web) -> None:
    async with (
        service.open_http_service(NoStatus(), Registry(), ANYBODY, web) as serve,
        trio.open_nursery() as nursery,
    ):
        client, server = trio.testing.memory_stream_pair()
        nursery.start_soon(serve, server)
        caller = Caller(client)
        caller.token = "atrium_a_" + "x" * 43
        answers = [
            await caller.ask(method, path + QUERIES.get((method, path), ""), body_for(method, path))
            for method, path in ROUTES
        ]
        nursery.cancel_scope.cancel()
    assert {answer.status for answer in answers} == {501}
    assert all("keeps no accounts" in answer.json["sentence"] for answer in answers)


async def test_every_route_is_documented_and_its_references_lead_somewhere(web) -> None:
    async with opened(web) as ([caller], _):
        document = (await caller.ask("GET", "/api/openapi.json")).json
    for method, path in ROUTES:
        operation = document["paths"][path][method.lower()]
        assert operation["summary"]
        assert any(status.startswith("2") for status in operation["responses"])
        is_open = path in {"/api/accounts", "/api/sign-ins", "/api/sign-ins/guest"}
        if not (is_open and method == "POST"):
            assert operation["security"] == [{"bearer": []}], path
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    fields = document["components"]["schemas"]["Credentials"]
    assert set(fields["required"]) == {"handle", "password"}


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"{'handle': 1}",
    "deep": b"[" * 5_000 + b"]" * 5_000,
    "an array": b"[]",
    "a field too much": b'{"handle": "Ada", "password": "%s", "admin": true}',
    "a field too few": b'{"handle": "Ada"}',
    "a number": b'{"handle": "Ada", "password": 12345678}',
    "null": b'{"handle": null, "password": "seven herons at dusk"}',
    "long": b'{"handle": "Ada", "password": "' + b"x" * 60_000 + b'"}',
    "half a character": b'{"handle": "Ada", "password": "\\ud800 herons at dusk"}',
    "not UTF-8": b'{"handle": "\xff\xfe", "password": "seven herons at dusk"}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
async def test_bodies_that_are_not_as_they_should_be(web, what: str, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(web) as ([caller], _):
        answer = await caller.ask(
            "POST", "/api/accounts", BAD_BODIES[what] or b" "
        )
        listed = await caller.ask("POST", "/api/sign-ins", {"handle": "Ada", "password": "x"})
    assert answer.status in {400, 413} or what == "half a character"
    if answer.status != 201:
        assert answer.json["sentence"]
        assert listed.status == 401, "nothing half-written"
    assert "herons" not in answer.body.decode() + caplog.text


async def test_a_body_must_say_that_it_is_json(web) -> None:
    async with opened(web) as ([caller], _):
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            answer = await caller.ask(
                "POST", "/api/accounts", {"handle": "Ada", "password": PASSWORD},
                content_type=kind,
            )
            assert (answer.status, answer.json["code"]) == (415, "wrong_type")


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", 201), ("https://evil.example", 403), ("null", 403), ("http://[", 403)],
)
async def test_pages_of_others_may_do_nothing(web, origin: str, status: int) -> None:
    async with opened(web, knows_host=False) as ([caller], _):
        body = {"handle": "Ada", "password": PASSWORD}
        answer = await caller.ask("POST", "/api/accounts", body, origin=origin)
        preflight = await caller.ask(
            "OPTIONS", "/api/accounts", origin=origin, access_control_request_method="POST"
        )
    assert answer.status == status
    assert not [name for name in preflight.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic QWRhOngK", "Bearer x", "Bearer a b", "bearer " + "x" * 4_000]
)
async def test_without_a_token_that_holds_nothing_is_told(web, header: str) -> None:
    async with opened(web) as ([caller], _):
        for method, path in ROUTES[3:]:
            target = path + QUERIES.get((method, path), "")
            fields = {"authorization": header} if header else {}
            answer = await caller.ask(method, target, body_for(method, path), **fields)
            assert (answer.status, answer.json["code"]) == (401, "not_signed_in"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json["sentence"]


async def test_a_handle_that_looks_like_anothers_is_taken(web) -> None:
    async with opened(web, callers=2) as ([ada, other], _):
        await ada.signed_up("Paul")
        body = {"handle": "Pau1", "password": PASSWORD}
        answer = await other.ask("POST", "/api/accounts", body)
        assert (answer.status, answer.json["code"]) == (409, "taken")
        await other.signed_up("Grace")
        answer = await other.ask("PATCH", "/api/accounts/me", {"handle": "PÁUL"})
        assert answer.status == 409
        answer = await ada.ask("PATCH", "/api/accounts/me", {"handle": "paul", "prefs": PREFS})
        assert (answer.json["handle"], answer.json["prefs"]) == ("paul", PREFS)
        guest = await other.ask("POST", "/api/sign-ins/guest", {"name": "P a u l"})
        assert guest.status == 409


async def test_guests_have_a_token_and_no_account(web) -> None:
    async with opened(web) as ([guest], accounts):
        answer = await guest.ask("POST", "/api/sign-ins/guest", {"name": "A  guest"})
        assert (answer.status, answer.json["name"], answer.json["account"]) == (
            201, "A guest", None)
        guest.token = answer.json["token"]
        who = await accounts.identify(guest.token)
        assert (who.account, who.name) == (None, "A guest")
        assert (await guest.ask("GET", "/api/accounts/me")).status == 403
        guest.token = (await guest.ask("POST", "/api/sign-ins/refresh")).json["token"]
        assert (await guest.ask("DELETE", "/api/sign-ins/current")).status == 204
        assert (await guest.ask("DELETE", "/api/sign-ins/current")).status == 401
        staff = await guest.ask("POST", "/api/sign-ins/guest", {"name": "The Adm1n"})
        assert staff.status == 400


async def test_wrong_passwords_are_told_apart_from_nothing_and_slow_down(web) -> None:
    async with opened(web) as ([caller], _):
        await caller.signed_up("Ada")
        told: list[bytes] = []
        for handle in ("Ada", "Nobody at all"):
            for _ in range(limits.PASSWORD_GUESSES_FREE_MAX):
                body = {"handle": handle, "password": OTHER}
                answer = await caller.ask("POST", "/api/sign-ins", body)
                assert answer.status == 401
                told.append(answer.body)
            slow = await caller.ask("POST", "/api/sign-ins", body)
            assert (slow.status, slow.json["code"]) == (429, "too_many")
            assert int(slow.headers["retry-after"]) >= 1
    assert len(set(told)) == 1, "the same words, whether there is such an account or not"


async def test_roles_are_given_and_taken_by_who_may(web) -> None:
    async with opened(web, callers=2) as ([ada, grace], accounts):
        await accounts.administration.create("Chief", PASSWORD, ["admin"])
        body = {"handle": "Chief", "password": PASSWORD}
        ada.token = (await ada.ask("POST", "/api/sign-ins", body)).json["token"]
        await grace.signed_up("Grace")
        grant = {"handle": "grace", "role": "moderator", "world": "plaza"}
        refused = await grace.ask("POST", "/api/role-grants", grant)
        assert (refused.status, refused.json["code"]) == (403, "not_allowed")
        assert (await ada.ask("POST", "/api/role-grants", grant)).status == 204
        who = await accounts.identify(grace.token, "plaza")
        assert "moderate" in who.permissions
        assert "moderate" not in (await accounts.identify(grace.token, "arena")).permissions
        for wrong in ({"role": "king"}, {"world": "nowhere"}, {"handle": METACHARACTERS}):
            answer = await ada.ask("POST", "/api/role-grants", grant | wrong)
            assert (answer.status, answer.json["code"]) == (404, "not_found"), wrong
        path = "/api/role-grants?handle=Grace&role=moderator"
        assert (await ada.ask("DELETE", path)).status == 404, "not in all worlds"
        assert (await ada.ask("DELETE", path + "&world=plaza")).status == 204
        assert (await ada.ask("DELETE", path + "&world=plaza")).status == 404
        assert "moderate" not in (await accounts.identify(grace.token, "plaza")).permissions


async def test_the_export_is_one_object(web) -> None:
    async with opened(web) as ([ada], _):
        await ada.signed_up("Ada")
        answer = await ada.ask("GET", "/api/accounts/me/export")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["account"]["handle"] == "Ada"
        assert answer.json["grants"][0]["role"] == "member"
        assert answer.json["sign_ins"][0]["address"] == "192.0.2.7"
        for _ in range(2):
            await ada.ask("GET", "/api/accounts/me/export")
        assert (await ada.ask("GET", "/api/accounts/me/export")).status == 429
    secrets = ("password_hash", "argon2", "token", ada.token)
    assert not [secret for secret in secrets if secret in answer.body.decode()]


async def test_metacharacters_are_text(web) -> None:
    async with opened(web) as ([ada], _):
        await ada.signed_up("Ada")
        for body in ({"handle": METACHARACTERS}, {"prefs": {METACHARACTERS: METACHARACTERS}}):
            answer = await ada.ask("PATCH", "/api/accounts/me", body)
            assert answer.status in {200, 400}
        assert (await ada.ask("GET", "/api/accounts/me")).json["prefs"] == {
            METACHARACTERS: METACHARACTERS}
        again = await ada.ask(
            "POST", "/api/sign-ins", {"handle": METACHARACTERS, "password": METACHARACTERS}
        )
        assert again.status == 401
        guest = await ada.ask("POST", "/api/sign-ins/guest", {"name": "Robert'); DROP--"})
        assert guest.json["name"] == "Robert'); DROP--"


async def test_a_database_that_is_away_is_told(web) -> None:
    class Away(MemoryAccounts):
        async def account_by_key(self, handle_key: str) -> None:
            raise Unavailable("the database does not answer (at 10.1.2.3)")

    async with opened(web, Away()) as ([caller], _):
        body = {"handle": "Ada", "password": PASSWORD}
        answer = await caller.ask("POST", "/api/sign-ins", body)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert "10.1.2.3" not in answer.body.decode()


async def test_logs_hold_no_secret_and_no_person(web, caplog) -> None:
    class Broken(MemoryAccounts):
        async def set_prefs(self, account: object, prefs: bytes) -> None:
            raise RuntimeError("a bug")

    caplog.set_level(logging.DEBUG)
    async with opened(web, Broken()) as ([ada], _):
        made = await ada.signed_up("Ada_Lovelace")
        await ada.ask("POST", "/api/sign-ins", {"handle": "Ada_Lovelace", "password": OTHER})
        await ada.ask("PUT", "/api/accounts/me/password",
                      {"old_password": OTHER, "new_password": "again " + OTHER})
        broken = await ada.ask("PATCH", "/api/accounts/me", {"prefs": {"colour": "teal"}})
        assert broken.status == 500
    assert "a bug" in caplog.text, "the log is looked at"
    secrets = (PASSWORD, OTHER, made.json["token"], "Ada_Lovelace", "192.0.2.7", "argon2", "teal")
    assert not [secret for secret in secrets if secret in caplog.text]

"""The whole server on a real database, with the SDK on real sockets: what people do lasts.

Time is real here, because the database and the sockets are; nothing waits for a time, only for
what is to happen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from websockets.trio.client import connect as websocket
from websockets.typing import Subprotocol

from atrium_client import Me, Options, Rest, RestRefused, connect
from atrium_client.errors import EditRefused, SessionEnded
from atrium_server import app, people
from atrium_server.config import resolve
from atrium_shared import codec
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Rights
from atrium_shared.props import Group, Shape, Sign, Transform

PATIENCE_S = 90.0
PASSWORD = "a long word for tests 7"
WORLD = """
[world]
name = "yard"
[extent]
min = [-20.0, -1.0, -20.0]
max = [20.0, 9.0, 20.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
[building]
builders = "members"
"""


def settings_of(url: str, folder: Path) -> dict[str, Any]:
    world = folder / "yard.toml"
    world.write_text(WORLD)
    return {
        "port": "0", "brain": "off", "database_url": url, "worlds": [str(world)],
        "data_dir": str(folder / "data"),
    }


@asynccontextmanager
async def serving(url: str, folder: Path) -> AsyncGenerator[str]:
    """A server in this process, for the length of the block; its address."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            config = resolve(settings_of(url, folder), {})
            yield await nursery.start(partial(app.run, config))
            nursery.cancel_scope.cancel()


RUNNING: list[app.Server] = []
"""Those that were started in this process."""


@pytest.fixture(autouse=True)
def _running(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = app.Server.__init__

    def note(self: app.Server, *parts: Any) -> None:
        begin(self, *parts)
        RUNNING.append(self)

    monkeypatch.setattr(app.Server, "__init__", note)


@asynccontextmanager
async def inside(address: str, token: str = "", name: str = "Ann") -> AsyncGenerator[Me]:
    url = address.replace("http", "ws")
    async with connect(url, name=name, options=Options(auth_token=token)) as me:
        yield me


def at(x: float) -> Transform:
    return Transform((x, 0.0, 0.0))


async def ask(method: str, url: str, token: str, **content: Any) -> httpx.Response:
    """A request to the API, made in a thread."""
    call = partial(
        httpx.request, method, url, json=content or None, timeout=30.0, trust_env=False,
        headers={"authorization": f"Bearer {token}"} if token else {},
    )
    return await trio.to_thread.run_sync(call)


async def test_what_a_member_builds_lasts(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as address:
        rest = Rest(address)
        ticket = await rest.sign_up("Ada", PASSWORD)
        async with inside(address, ticket.token) as me:
            assert me.rights & Rights.BUILD
            group = me.create(Group(), at(1.0))
            ball = me.create(Shape(portable=True), at(0.5), group.prop_id)
            sign = me.create(Sign(text="Ada was here"), at(2.0))
            for edit in (group, ball, sign):
                await edit.durable()
            outcome = await me.say("hello")
            assert outcome.published
            author = me.author
        async with inside(address, name="Guest") as guest:
            with pytest.raises(EditRefused) as refused:
                await guest.create(Shape(), at(0.0)).durable()
            assert refused.value.code == ErrorCode.NOT_ALLOWED
    async with serving(database_url, tmp_path) as address:
        async with inside(address, name="Guest") as guest:
            scene = json.loads((await ask("GET", address + await scene_of(address), "")).content)
        found = {prop["properties"]["kind"]: prop for prop in scene["props"]}
        assert found["sign"]["properties"]["text"] == "Ada was here"
        assert found["shape"]["group"] == found["group"]["id"]
        assert {prop["owner"] for prop in scene["props"]} == {author}
        again = await Rest(address).sign_in("ada", PASSWORD)
        async with inside(address, again.token) as me:
            await me.delete(ball.prop_id).durable()


async def scene_of(address: str) -> str:
    worlds = (await ask("GET", f"{address}/api/worlds", "")).json()
    return worlds[0]["scene_url"]


async def test_a_vandal_is_rolled_back_and_a_world_restored(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url, tmp_path) as address:
        good, bad = Rest(address), Rest(address)
        ada, vandal = await good.sign_up("Ada", PASSWORD), await bad.sign_up("Vandal", PASSWORD)
        async with inside(address, ada.token) as me:
            await me.create(Shape(), at(1.0)).durable()
            edits = await ask("GET", f"{address}/api/worlds/yard/edits", ada.token)
            assert edits.status_code == 403, "she is no moderator"
            async with inside(address, vandal.token, "V") as other:
                made = [other.create(Shape(), at(float(n))) for n in range(5)]
                for edit in made:
                    await edit.durable()
                theirs = other.author
        manage(database_url, tmp_path, "grant", "Ada", "moderator")
        token = (await good.sign_in("Ada", PASSWORD)).token
        edits = (await ask("GET", f"{address}/api/worlds/yard/edits", token)).json()
        assert [edit["op"] for edit in edits] == ["create"] * 6
        assert edits[0]["account"] == theirs
        older = f"/api/worlds/yard/edits?before={edits[4]['place']}".replace("+", "%2B")
        page = await ask("GET", address + older, token)
        assert [edit["place"] for edit in page.json()] == [edits[5]["place"]]
        done = await ask(
            "POST", f"{address}/api/worlds/yard/roll-back", token,
            account=theirs, since=edits[-1]["at"], reason="vandalism",
        )
        assert done.json() == {"changed": 5, "left_alone": 0}
        await sees(address, 1)
        done = await ask(
            "POST", f"{address}/api/worlds/yard/restore", token,
            at=edits[0]["at"], reason="it was wanted after all",
        )
        assert done.status_code == 200, done.text
        await sees(address, 1 + done.json()["changed"])


async def sees(address: str, count: int) -> None:
    """A newcomer comes to see so many props."""
    async with inside(address, name="Guest") as guest:
        events = guest.prop_events()
        await guest.load_scene()
        while len(guest.props) != count:
            await anext(events)


async def scene_json(address: str) -> Any:
    return (await ask("GET", address + await scene_of(address), "")).json()


def manage(database_url: str, folder: Path, *words: str) -> None:
    """What the operator of the server does, in another process."""
    command = [
        sys.executable, "-m", "atrium_server", "account", *words,
        "--database-url", database_url, "--data-dir", str(folder / "data"),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATRIUM_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_sign_in_that_ends_takes_its_session_along(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url, tmp_path) as address:
        rest = Rest(address)
        ticket = await rest.sign_up("Ada", PASSWORD)
        with pytest.raises(RestRefused):
            await Rest(address).sign_in("Ada", "another password 1")
        with pytest.raises(SessionEnded, match="sign-in has ended"):  # noqa: PT012
            async with inside(address, ticket.token) as me:
                await me.create(Shape(), at(1.0)).durable()
                await rest.delete_me(PASSWORD)
                await trio.sleep_forever()
        async with inside(address, name="Guest") as guest:
            await guest.load_scene()
            assert len(guest.props) == 1, "what an account has made stays"
            events = guest.prop_events()
            while any(state.owner for state in guest.props.states()):
                await anext(events)  # the account is being taken out of it


async def test_what_another_process_ends_reaches_who_is_here(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "LOOK_S", 0.1)
    async with serving(database_url, tmp_path) as address:
        ticket = await Rest(address).sign_up("Ada", PASSWORD)
        manage(database_url, tmp_path, "grant", "Ada", "moderator")
        async with inside(address, ticket.token) as me:
            assert me.rights & Rights.MODERATE
            await trio.to_thread.run_sync(
                manage, database_url, tmp_path, "revoke", "Ada", "moderator"
            )
            host = RUNNING[-1].hosts.find("yard")
            assert host is not None
            session, = host.state.sessions.values()
            while session.rights & Rights.MODERATE:
                await trio.lowlevel.checkpoint()
            await me.create(Shape(), at(1.0)).durable()


async def test_a_resume_token_alone_is_no_account(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as address:
        ticket = await Rest(address).sign_up("Ada", PASSWORD)
        async with inside(address, ticket.token) as me:
            await me.create(Shape(), at(1.0)).durable()
            host = RUNNING[-1].hosts.find("yard")
            assert host is not None
            session, = host.state.sessions.values()
            token = host.parts.signer.sign(session.uuid, session.rotation)
            async with raw(address) as thief:
                await thief.send(codec.encode(hello_with(token)))
                while not isinstance(
                    said := codec.decode_server(await thief.recv(decode=False)), m.Error
                ):
                    pass
            assert said.code == ErrorCode.RESUME_INVALID
            await me.create(Shape(), at(2.0)).durable()


def raw(address: str) -> Any:
    return websocket(
        address.replace("http", "ws") + "/ws", subprotocols=[Subprotocol(codec.SUBPROTOCOL)],
        compression=None,
    )


def hello_with(resume_token: str) -> m.Hello:
    return m.Hello(
        codec.PROTOCOL_HASH, m.ClientKind.BOT, "Eve", "", "", m.Capabilities(), "", resume_token, 0
    )


async def test_kill_9_and_back_again(database_url: str, tmp_path: Path) -> None:
    """A server that was killed starts again, and its client goes on as if nothing had been."""
    settings = settings_of(database_url, tmp_path)
    command = [
        sys.executable, "-m", "atrium_server", "serve", "--world", settings["worlds"][0],
        "--data-dir", settings["data_dir"], "--database-url", database_url,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATRIUM_")}
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            start = partial(
                trio.run_process, stdout=subprocess.PIPE, env=environment, check=False
            )
            process = await nursery.start(partial(start, [*command, "--port", "0"]))
            address = await ready(process)
            ticket = await Rest(address).sign_up("Ada", PASSWORD)
            async with inside(address, ticket.token) as me:
                await me.create(Shape(), at(1.0)).durable()
                before = me.author
                process.send_signal(signal.SIGKILL)
                await process.wait()
                late = me.create(Shape(), at(2.0))
                port = address.rpartition(":")[2]
                process = await nursery.start(partial(start, [*command, "--port", port]))
                await ready(process)
                await late.durable()
                assert me.author == before
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    async with serving(database_url, tmp_path) as address:
        assert len((await scene_json(address))["props"]) == 2


async def ready(process: trio.Process) -> str:
    said = b""
    assert process.stdout is not None
    while b"\n" not in said.partition(b"ready ")[2]:
        data = await process.stdout.receive_some()
        assert data, "the server did not start"
        said += data
    return said.partition(b"ready ")[2].split()[0].decode()

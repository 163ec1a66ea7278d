"""The whole program over TLS, on real sockets: a browser's way, the SDK's, a new certificate."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from tls_house import PairFiles, write_pair

from atrium_client import ConnectionFailed, Options, Rest, connect
from atrium_client.http_exchange import Origin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
PATIENCE_S = 120.0
"""Where kernels have to be compiled first."""


@dataclass
class Running:
    """A server in a process of its own."""

    process: trio.Process
    url: str
    said: str


@asynccontextmanager
async def running(*flags: str) -> AsyncGenerator[Running]:
    """Serve with these flags; it must end with status 0."""
    command = [sys.executable, "-m", "atrium_server", "serve", "--port", "0", "--ephemeral", *flags]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATRIUM_")}
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            process = await nursery.start(partial(
                trio.run_process, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment,
            ))
            said = b""
            while b"\n" not in said.partition(b"ready ")[2]:
                said += await process.stdout.receive_some()
            url = said.partition(b"ready ")[2].split()[0].decode()
            running = Running(process, url, said.decode())
            yield running
            process.send_signal(signal.SIGTERM)
            async for piece in process.stdout:
                running.said += piece.decode()
            assert await process.wait() == 0


@pytest.fixture
def files(tmp_path: Path) -> PairFiles:
    return write_pair(tmp_path, "localhost")


async def shown_by(url: str) -> str:
    """The certificate that a new connection gets."""
    port = int(url.rpartition(":")[2])
    return await trio.to_thread.run_sync(ssl.get_server_certificate, ("127.0.0.1", port))


async def test_a_page_a_session_and_a_new_certificate(files: PairFiles, tmp_path: Path) -> None:
    flags = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    context = files.client()
    async with running(*flags) as server:
        assert server.url.startswith("https://127.0.0.1:")
        url = server.url.replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(verify=context, base_url=url) as browser:
            page = await browser.get("/")
            assert page.status_code == 200
            assert "<html" in page.text
            told = await httpx.AsyncClient().get(url.replace("https", "http"))
            assert (told.status_code, told.headers["location"]) == (308, f"{url}/")
            (world,) = (await browser.get("/api/worlds")).json()
            scene = await browser.get(world["scene_url"])
            assert scene.status_code == 200
            assert int(scene.headers["content-length"]) == scene.num_bytes_downloaded
        options = Options(ssl=context)
        async with connect(url, name="Ada", options=options) as me:
            ticket = await Rest(Origin(url, ssl=context)).guest("Ben")
            signed_in = Options(ssl=context, auth_token=ticket.token)
            async with connect(url, name=ticket.name, options=signed_in) as other:
                assert (await me.say("over TLS")).published
                x, y, z = me.position
                await me.walk((x + 0.3, y, z))
                async for line in other.listen():
                    if line.text == "over TLS":
                        break
            before = await shown_by(url)
            write_pair(tmp_path, "localhost")
            server.process.send_signal(signal.SIGHUP)
            assert server.process.stderr is not None
            logged = b""
            while b"a new certificate is in force" not in logged:
                logged += await server.process.stderr.receive_some()
            assert await shown_by(url) != before
            assert (await me.say("still here")).published, "old connections live on"
            with pytest.raises(ConnectionFailed):
                async with connect(url, name="Late", options=options):
                    pass
            async with connect(url, name="New", options=Options(ssl=files.client())) as late:
                assert (await late.say("new")).published


async def test_self_signed_tells_how_a_headset_gets_there() -> None:
    async with running("--tls-self-signed") as server:
        pem = await shown_by(server.url)
        context = ssl.create_default_context(cadata=pem)
        async with connect(server.url, name="Ada", options=Options(ssl=context)) as me:
            assert (await me.say("by address")).published
        with pytest.raises(ConnectionFailed, match=r"not trusted: self.signed certificate"):
            async with connect(server.url, name="Strict"):
                pass
        with pytest.raises(ConnectionFailed, match=r"not trusted: self.signed certificate"):
            await Rest(server.url).guest("Strict")
    assert "A headset cannot reach this server" in server.said
    assert "--host 0.0.0.0" in server.said
    assert "█" not in server.said, "a picture is for terminals"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
    assert digest.hex(":").upper() in server.said

"""Runs the tools of Postgres (pg_dump, pg_restore, psql) and says why one of them failed.

Theory of operation
-------------------
A tool gets the address of the database in its environment, because arguments can be read by
everybody on the machine, and nothing else of ours. It does not outlive the block that it was
started in. What it says as it goes is handed on line by line; the last error among it is why it
failed.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import trio

from atrium_server.persistence.child import ENVIRONMENT
from atrium_server.persistence.database import Address
from atrium_server.persistence.errors import Refused, StoreError, Unavailable

LINE_BYTES_MAX: Final = 65_536


def tool_environment(url: str) -> dict[str, str]:
    """The address as variables that every tool of Postgres reads."""
    parts = urlsplit(Address(url).url)
    known: dict[str, str | None] = {
        "PGHOST": parts.hostname, "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": parts.username and unquote(parts.username),
        "PGPASSWORD": parts.password and unquote(parts.password),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    variables = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    for name, value in parse_qsl(parts.query):
        if name in variables:
            known[variables[name]] = value
        elif name.startswith("ssl"):
            known[f"PG{name.upper()}"] = value
    return {**ENVIRONMENT, **{name: value for name, value in known.items() if value}}


def address_and_password(url: str) -> tuple[str, str]:
    """The address without its password but with a query, and a line of a password file for it."""
    parts = urlsplit(Address(url).url)
    fields = parse_qsl(parts.query)
    password = unquote(parts.password or "") or dict(fields).get("password", "")
    shown = [(name, value) for name, value in fields if name != "password"]
    place = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    query = urlencode([*shown, ("application_name", "atrium db shell")])
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    line = f"*:*:*:*:{escaped}\n" if password else ""
    return parts._replace(netloc=user + place, query=query).geturl(), line


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def ignore_line(line: str) -> None:
    """For tools that say nothing of interest before they fail."""


async def run_tool(command: Sequence[str | Path], url: str, tell: Callable[[str], None]) -> None:
    """Run a tool to its end and hear what it says. Raises StoreError if it fails."""
    async with started(command, url) as tool:
        error = await end_of(Path(command[0]).name, tool, tell)
    if error is not None:
        raise error


@asynccontextmanager
async def started(
    command: Sequence[str | Path], url: str, *, stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> AsyncGenerator[trio.Process]:
    """A tool that does not outlive the block."""
    try:
        process = await trio.lowlevel.open_process(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, cwd="/",
            env=tool_environment(url),
        )
    except OSError as error:
        raise Refused(
            f"The program {command[0]} cannot be started ({error.strerror}): name a folder with"
            " all programs of Postgres with --pg-bin."
        ) from None
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
                await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


async def end_of(
    name: str, tool: trio.Process, tell: Callable[[str], None]
) -> StoreError | None:
    """Hear what it says to its end; returns why it failed."""
    assert tool.stderr is not None
    said = ""
    async for line in _lines(tool.stderr):
        if "error:" in line.lower() or "error:" not in said.lower():
            said = line
        tell(line)
    return _failed(name, said) if await tool.wait() != 0 else None


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[str]:
    held = b""
    async for chunk in stream:
        *whole, held = (held + chunk).split(b"\n")
        held = held[-LINE_BYTES_MAX:]
        for line in whole:
            yield line.decode(errors="replace")
    if held:
        yield held.decode(errors="replace")


def _failed(name: str, said: str) -> StoreError:
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return Unavailable("There is no space left on the disk for this file: free some.")
    if "server version mismatch" in said:
        return Refused(
            f"This {name} is older than the server: name the programs of the server's version"
            " with --pg-bin."
        )
    return Unavailable(f"The program {name} failed and said: {said.strip() or 'nothing'}.")

"""A server behind TLS in the test's own process, and its certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio
from harness import House, Peer, Witness, open_house

from atrium_server import self_signed
from atrium_server.net.memory_io import Conditions, MemoryStream

NAME = "atrium.test"


@dataclass(frozen=True)
class PairFiles:
    """A certificate for NAME, and its key, as files of a test."""

    certificate: Path
    key: Path

    def client(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """The context of a client that trusts this certificate."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def write_pair(folder: Path, name: str = NAME, at: datetime | None = None) -> PairFiles:
    """Make a new pair in `folder`, in the place of the one before."""
    pair = self_signed.make(self_signed.Names((name,), ()), at or datetime.now(UTC))
    files = PairFiles(folder / "cert.pem", folder / "key.pem")
    files.certificate.write_bytes(pair.chain)
    files.key.write_bytes(pair.key)
    return files


class TlsHouse:
    """A house whose links are encrypted."""

    def __init__(self, house: House, files: PairFiles) -> None:
        self.house, self.files = house, files
        self.client = files.client()

    def secure(self, link: MemoryStream) -> trio.SSLStream[MemoryStream]:
        return trio.SSLStream(link, self.client, server_hostname=NAME, https_compatible=True)

    def peer(self, down: Conditions | None = None, address: str = "127.0.0.1") -> Peer:
        return Peer(self.house, self.secure(self.house.link(address, down=down)))

    async def witness(self, name: str = "Witness") -> Witness:
        """An honest client whose link is read in the background."""
        peer = self.peer()
        witness = Witness(peer, await peer.join(name))
        self.house.nursery.start_soon(witness.listen)
        return witness

    def count(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.house.registry.render()
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines()
            if line.partition("{")[0].partition(" ")[0] == name
        )

    def failures(self, reason: str) -> float:
        """How many handshakes failed for this reason."""
        line = f'atrium_tls_handshake_failures_total{{reason="{reason}"}} '
        text = self.house.registry.render()
        return sum(
            float(each.removeprefix(line)) for each in text.splitlines() if each.startswith(line)
        )


@asynccontextmanager
async def open_tls_house(folder: Path, **settings: Any) -> AsyncGenerator[TlsHouse]:
    """A server with a certificate for NAME in `folder`."""
    files = write_pair(folder)
    async with open_house(
        tls_cert=files.certificate, tls_key=files.key, host=NAME, **settings
    ) as house:
        yield TlsHouse(house, files)

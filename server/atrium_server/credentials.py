"""The certificate in force: opened at the start, renewed while the server runs.

Theory of operation
-------------------
`open_credentials` reads the files of the settings, or makes a certificate of our own
(`self_signed`), before anybody is let in: what cannot be used ends the start with a sentence.

While the server runs, `run` looks once in LOOK_S, and `reload` at once (SIGHUP), whether there is
another pair: other files, or for a self-signed one a new address or its end. A pair that is good is
in force for every handshake from then on; connections that there are keep what they have. One that
is not good changes nothing, and the log says so once for each change of the files: a certificate
is often written in two steps, and the key is still missing when the first look falls between them.
What the system refuses for a moment (too many open files, no memory) is tried at the next look.

Files are looked at, and numbers are made, in a thread: a tick does not wait for a disk.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from atrium_server import self_signed
from atrium_server.certificates import (
    CertificateError,
    Pair,
    make_context,
    read_pair,
    warnings_about,
    warnings_about_files,
)
from atrium_server.config import AtriumStartError, Config
from atrium_server.telemetry import TLS_CERTIFICATE_ENDS, Registry

logger = logging.getLogger(__name__)

LOOK_S: Final = 60.0


class Source:
    """Where pairs come from."""

    def mark(self) -> object:
        """Something that differs whenever there may be another pair."""
        raise NotImplementedError

    def read(self) -> Pair:
        """The pair that there is now. Raises CertificateError."""
        raise NotImplementedError

    def warnings(self) -> list[str]:
        """What is wrong with how it is kept, as sentences."""
        return []


class Files(Source):
    """The files of somebody who looks after them."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key

    def mark(self) -> object:
        return tuple(_mark_of(path) for path in (self._certificate, self._key))

    def read(self) -> Pair:
        return read_pair(self._certificate, self._key)

    def warnings(self) -> list[str]:
        return warnings_about_files(self._key)


class SelfMade(Source):
    """A certificate of our own, kept in the data directory or nowhere."""

    def __init__(
        self, data_dir: Path | None, also: tuple[str, ...],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._data_dir, self._also, self._now = data_dir, also, now
        self._pair: Pair | None = None

    def mark(self) -> object:
        """What people may type, and from a month before its end on each day."""
        now, names = self._now(), self_signed.names_of_machine(self._also)
        pair = self._pair
        is_ending = pair is not None and now >= pair.ends_at - self_signed.RENEWED
        return frozenset(names.those_that_count()), now.date() if is_ending else None

    def read(self) -> Pair:
        names, now = self_signed.names_of_machine(self._also), self._now()
        if self._data_dir is not None:
            self._pair = self_signed.kept(self._data_dir, names, now)
        elif self._pair is None or not self_signed.is_good(self._pair, names, now):
            self._pair = self_signed.make(names, now)
        return self._pair


class Credentials:
    """What handshakes are made with now."""

    def __init__(self, source: Source, registry: Registry) -> None:
        """Raises CertificateError when there is no pair that can be used."""
        self._source = source
        # The mark first: what changes after it is seen at the next look.
        self._mark = source.mark()
        self.pair = source.read()
        self.context: ssl.SSLContext = make_context(self.pair)
        self._reading = trio.Lock()
        self._warn()
        registry.gauge_read(
            TLS_CERTIFICATE_ENDS, "When the certificate in force expires, in seconds since 1970.",
            lambda: self.pair.ends_at.timestamp(),
        )

    async def run(self) -> None:
        """Look for a new pair now and then, for ever."""
        while True:
            await trio.sleep(LOOK_S)
            await self.reload(is_told=False)

    async def reload(self, *, is_told: bool = True) -> bool:
        """Take another pair if there is one; whether there was. `is_told`: somebody says so."""
        async with self._reading:
            try:
                mark = await trio.to_thread.run_sync(self._source.mark)
                if mark == self._mark and not is_told:
                    return False
                pair, context = await trio.to_thread.run_sync(self._made)
            except OSError as error:
                logger.error("a new certificate could not be looked for: %s", error)
                return False
            self._mark = mark
        if pair is None or context is None:
            return False
        if pair == self.pair:  # the chain counts: it may have been completed
            if is_told:
                logger.info("the certificate was read again and is the same")
            return False
        self.pair, self.context = pair, context
        logger.info("a new certificate is in force, SHA-256 %s", pair.fingerprint)
        self._warn()
        return True

    def _made(self) -> tuple[Pair, ssl.SSLContext] | tuple[None, None]:
        """What there is now; nothing, and a line in the log, when it is no good."""
        try:
            pair = self._source.read()
            return pair, make_context(pair)
        except CertificateError as error:
            logger.error("the certificate in force is kept, for the new one is no good: %s", error)
            return None, None

    def _warn(self) -> None:
        for sentence in (
            *warnings_about(self.pair, datetime.now(UTC)), *self._source.warnings()
        ):
            logger.warning("%s", sentence)


async def open_credentials(config: Config, registry: Registry) -> Credentials | None:
    """What the settings say; None for plain HTTP. Raises AtriumStartError."""
    if config.tls_self_signed:
        also = (config.host, *(urlsplit(each).hostname or "" for each in config.allowed_origins))
        source: Source = SelfMade(None if config.ephemeral else config.data_dir, also)
    elif config.tls_cert is not None and config.tls_key is not None:
        source = Files(config.tls_cert, config.tls_key)
    else:
        return None
    try:
        return await trio.to_thread.run_sync(partial(Credentials, source, registry))
    except CertificateError as error:
        raise AtriumStartError(str(error)) from None


def _mark_of(path: Path) -> object:
    """Changes when a file is written, replaced, or can no longer be looked at."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    # The time of the last change of any kind is there for a file that may be read only now.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

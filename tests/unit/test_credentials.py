"""The certificate in force: at the start, when it changes, and when the new one is no good."""

from __future__ import annotations

import errno
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atrium_server import announcement, self_signed
from atrium_server.certificates import CertificateError
from atrium_server.config import AtriumStartError, ConfigError, resolve
from atrium_server.credentials import Credentials, Files, SelfMade, open_credentials
from atrium_server.self_signed import Names
from atrium_server.telemetry import TLS_CERTIFICATE_ENDS, Registry

NAMES = Names(("localhost",), ())
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Folder:
    """A certificate and its key, as somebody renews them."""

    def __init__(self, path: Path) -> None:
        self.certificate, self.key = path / "cert.pem", path / "key.pem"
        self._times = 0

    def write(self, **changes: bytes) -> None:
        """A new pair; `certificate` or `key` in the place of what belongs there."""
        pair = self_signed.make(NAMES, datetime.now(UTC))
        self._put(self.certificate, changes.get("certificate", pair.chain))
        self._put(self.key, changes.get("key", pair.key))

    def _put(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o600)
        self._times += 1  # a clock of files may be coarse
        os.utime(path, ns=(self._times * 10**9, self._times * 10**9))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write()
    return folder


@pytest.fixture
def credentials(folder: Folder) -> Credentials:
    return Credentials(Files(folder.certificate, folder.key), Registry())


async def test_a_new_pair_is_taken_when_it_is_there(
    folder: Folder, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before, context = credentials.pair, credentials.context
    assert not await credentials.reload(is_told=False)
    assert credentials.context is context, "nothing has changed"
    assert caplog.records == []
    folder.write()
    assert await credentials.reload(is_told=False)
    assert credentials.pair.fingerprint != before.fingerprint
    assert credentials.context is not context
    assert credentials.pair.fingerprint in caplog.text


async def test_a_broken_pair_keeps_the_old_one_and_is_told_once_for_each_change(
    folder: Folder, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    before, context = credentials.pair, credentials.context
    for count in (1, 2):
        folder.write(key=b"not yet")
        for _ in range(3):
            assert not await credentials.reload(is_told=False)
        assert len(caplog.records) == count
        assert "kept" in caplog.records[-1].message
    folder.key.unlink()
    assert not await credentials.reload(is_told=False)
    assert len(caplog.records) == 3
    assert (credentials.pair, credentials.context) == (before, context)
    folder.write()
    assert await credentials.reload(is_told=False)


async def test_a_chain_that_was_completed_is_served(
    folder: Folder, credentials: Credentials
) -> None:
    """Whoever forgot the certificate in between adds it: the server's own stays the same."""
    before, context = credentials.pair, credentials.context
    between = self_signed.make(Names(("between",), ()), datetime.now(UTC))
    folder.write(certificate=before.chain + between.chain, key=before.key)
    assert await credentials.reload()
    assert credentials.pair.fingerprint == before.fingerprint
    assert credentials.pair.chain == before.chain + between.chain
    assert credentials.context is not context


async def test_what_the_system_refuses_for_a_moment_is_tried_again(
    folder: Folder, credentials: Credentials, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Too many open files are no reason for a server to end, nor to forget a renewal."""
    before = credentials.pair

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    folder.write()
    for name in ("make_context", "_mark_of"):
        with monkeypatch.context() as patch:
            patch.setattr(f"atrium_server.credentials.{name}", refuse)
            assert not await credentials.reload(is_told=False)
        assert credentials.pair == before
    assert ["open files" in record.message for record in caplog.records] == [True, True]
    assert await credentials.reload(is_told=False)


async def test_a_file_that_may_be_read_only_now_is_read(
    folder: Folder, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner wrote it, saw that the server may not read it, and changed that alone."""
    before, times = credentials.pair, folder.key.stat()
    with monkeypatch.context() as patch:
        def refuse(*_: object) -> None:
            raise CertificateError("it cannot be read")

        patch.setattr("atrium_server.credentials.read_pair", refuse)
        folder.write()
        assert not await credentials.reload(is_told=False)
    assert not await credentials.reload(is_told=False), "nothing has changed"
    written = folder.key.stat()
    # The kernel's clock for files has ticks of its own: until the change is another one.
    while folder.key.stat().st_ctime_ns == written.st_ctime_ns:
        folder.key.chmod(0o640)
    assert folder.key.stat().st_mtime_ns == written.st_mtime_ns != times.st_mtime_ns
    assert await credentials.reload(is_told=False)
    assert credentials.pair != before


@pytest.mark.parametrize(("mode", "warns"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
def test_a_key_that_everybody_can_open_is_warned_of(
    folder: Folder, caplog: pytest.LogCaptureFixture, mode: int, warns: int
) -> None:
    folder.key.chmod(mode)
    Credentials(Files(folder.certificate, folder.key), Registry())
    assert len(caplog.records) == warns
    assert all("chmod o= " in record.message for record in caplog.records)


async def test_who_tells_to_reload_hears_what_came_of_it(
    folder: Folder, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert not await credentials.reload()
    assert "is the same" in caplog.text
    folder.write(certificate=b"broken")
    assert not await credentials.reload()
    assert not await credentials.reload()
    assert len(caplog.records) == 3


def test_the_end_is_a_metric(credentials: Credentials) -> None:
    registry = Registry()
    Credentials(SelfMade(None, ()), registry)
    line = next(
        each for each in registry.render().splitlines() if each.startswith(TLS_CERTIFICATE_ENDS)
    )
    left = float(line.split()[1]) - datetime.now(UTC).timestamp()
    assert timedelta(days=395) < timedelta(seconds=left) < timedelta(days=397)


async def test_a_certificate_of_our_own_follows_its_addresses_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [ipaddress.ip_address("10.0.0.3")]
    monkeypatch.setattr(self_signed, "own_addresses", lambda: addresses)
    now = datetime.now(UTC)

    for folder in (None, tmp_path):
        times = [now]
        one = Credentials(SelfMade(folder, (), lambda times=times: times[-1]), Registry())
        first = one.pair
        assert not await one.reload(is_told=False)
        addresses[:] = [ipaddress.ip_address("192.168.1.7")]
        assert await one.reload(is_told=False)
        assert one.pair.fingerprint != first.fingerprint
        second = one.pair
        times.append(now + timedelta(days=365))
        assert not await one.reload(is_told=False)
        times.append(now + timedelta(days=367))
        assert await one.reload(is_told=False)
        assert one.pair.fingerprint != second.fingerprint
        assert not await one.reload(is_told=False)
        addresses[:] = [ipaddress.ip_address("10.0.0.3")]


async def test_ephemeral_leaves_nothing_behind(tmp_path: Path) -> None:
    flags = {"tls_self_signed": True, "ephemeral": True, "data_dir": str(tmp_path / "data")}
    one = await open_credentials(resolve(flags, {}), Registry())
    assert one is not None
    assert not os.listdir(tmp_path)
    kept = await open_credentials(resolve({**flags, "ephemeral": False}, {}), Registry())
    again = await open_credentials(resolve({**flags, "ephemeral": False}, {}), Registry())
    assert kept is not None
    assert again is not None
    assert kept.pair == again.pair
    assert await open_credentials(resolve({}, {}), Registry()) is None


async def test_a_start_that_cannot_keep_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("in the way")
    config = resolve({"tls_self_signed": True, "data_dir": str(tmp_path)}, {})
    with pytest.raises(AtriumStartError, match="cannot be read or written"):
        await open_credentials(config, Registry())


# --- settings ----------------------------------------------------------------------------


def mistakes(**flags: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve({k: v if isinstance(v, bool) else str(v) for k, v in flags.items()}, {})
    return list(caught.value.mistakes)


def test_settings_that_do_not_go_together(folder: Folder) -> None:
    assert mistakes(tls_cert=folder.certificate) == [
        "flag --tls-cert: tls_cert means nothing without tls_key: give --tls-key too."
    ]
    assert mistakes(tls_key=folder.key) == [
        "flag --tls-key: tls_key means nothing without tls_cert: give --tls-cert too."
    ]
    told = mistakes(tls_cert=folder.certificate, tls_key=folder.key, tls_self_signed=True)
    assert len(told) == 2
    assert all("leave one of them out" in each for each in told)


def test_files_are_judged_before_the_start(folder: Folder) -> None:
    config = resolve({"tls_cert": str(folder.certificate), "tls_key": str(folder.key)}, {})
    assert (config.tls_cert, config.tls_key) == (folder.certificate, folder.key)
    missing = mistakes(tls_cert=folder.certificate.with_name("x"), tls_key=folder.key)
    assert len(missing) == 1
    assert "there is no such file" in missing[0]
    (wrong,) = mistakes(tls_cert=folder.key, tls_key=folder.key)
    assert wrong.startswith("flag --tls-cert, flag --tls-key: ")
    assert "no certificate" in wrong
    folder.write(key=self_signed.make(NAMES, NOW).key)
    (other,) = mistakes(tls_cert=folder.certificate, tls_key=folder.key)
    assert "is not that of the first certificate" in other


# --- what a person is told ---------------------------------------------------------------

OWN = [ipaddress.ip_address(each) for each in ("10.0.0.3", "192.168.1.7", "2001:db8::7")]


@pytest.mark.parametrize(("host", "urls"), [
    ("0.0.0.0", ["https://10.0.0.3:8080", "https://192.168.1.7:8080"]),
    ("::", ["https://[2001:db8::7]:8080"]),
    ("192.168.1.7", ["https://192.168.1.7:8080"]),
    ("attic.local", ["https://attic.local:8080"]),
])
def test_an_address_for_each_network(host: str, urls: list[str]) -> None:
    pair = self_signed.make(NAMES, NOW)
    lines = announcement.self_signed_lines(host, 8080, OWN, pair)
    assert [line.strip() for line in lines if "https://" in line] == urls
    assert pair.fingerprint in lines[-1]
    assert "warn" in "".join(lines)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_on_loopback_only_it_says_what_to_do(host: str) -> None:
    lines = announcement.self_signed_lines(host, 8080, OWN, self_signed.make(NAMES, NOW))
    assert "A headset cannot reach this server" in lines[0]
    assert "--host 0.0.0.0" in lines[0]
    assert not any("https://" in line for line in lines)


def test_without_an_address_it_says_so() -> None:
    lines = announcement.self_signed_lines("0.0.0.0", 1, [], self_signed.make(NAMES, NOW))
    assert "no address" in lines[0]


def test_the_picture_is_the_address() -> None:
    picture = announcement.qr_code("https://192.168.1.7:8080").splitlines()
    assert 12 <= len(picture) <= 18, "it fits a small terminal"
    assert len({len(line) for line in picture if line}) == 1
    assert announcement.qr_code("https://192.168.1.8:8080").splitlines() != picture

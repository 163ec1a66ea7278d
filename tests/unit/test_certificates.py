"""Certificates: what is read, what is refused with which sentence, and what is made."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from atrium_server import certificates, self_signed
from atrium_server.certificates import CertificateError, Pair, make_context, read_pair
from atrium_server.self_signed import Names

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = Names(
    ("localhost", "attic"),
    (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("192.168.1.7"),
     ipaddress.ip_address("2001:db8::7")),
)


@pytest.fixture
def pair() -> Pair:
    return self_signed.make(NAMES, NOW)


def files(folder: Path, chain: bytes, key: bytes) -> tuple[Path, Path]:
    paths = folder / "cert.pem", folder / "key.pem"
    for path, content in zip(paths, (chain, key), strict=True):
        path.write_bytes(content)
    return paths


# --- what is read ------------------------------------------------------------------------


def test_a_pair_that_belongs_together(pair: Pair, tmp_path: Path) -> None:
    found = read_pair(*files(tmp_path, pair.chain, pair.key))
    assert found == pair
    assert found.fingerprint == pair.leaf.fingerprint(hashes.SHA256()).hex(":").upper()
    assert len(found.fingerprint) == 95
    assert "BEGIN" not in repr(found).partition("chain")[2].partition("leaf")[2]


def test_both_in_one_file(pair: Pair, tmp_path: Path) -> None:
    for content in (pair.chain + pair.key, pair.key + pair.chain):
        both, _ = files(tmp_path, content, b"")
        found = read_pair(both, both)
        assert found == pair
        assert b"PRIVATE" not in found.chain


def test_a_chain_is_taken_whole(pair: Pair, tmp_path: Path) -> None:
    other = self_signed.make(NAMES, NOW)
    found = read_pair(*files(tmp_path, pair.chain + other.chain, pair.key))
    assert found.leaf == pair.leaf
    with pytest.raises(CertificateError, match="comes first"):
        read_pair(*files(tmp_path, other.chain + pair.chain, pair.key))


def encrypted(pair: Pair) -> bytes:
    key = serialization.load_pem_private_key(pair.key, None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


BROKEN: dict[str, tuple[Callable[[Pair], tuple[bytes, bytes]], str]] = {
    "an empty certificate": (lambda p: (b"", p.key), "no certificate in PEM form"),
    "a damaged certificate": (
        lambda p: (p.chain.replace(b"M", b"N"), p.key), "no certificate in PEM form"
    ),
    "the key for the certificate": (lambda p: (p.key, p.key), "no certificate in PEM form"),
    "an empty key": (lambda p: (p.chain, b""), "no private key in PEM form"),
    "the certificate for the key": (lambda p: (p.chain, p.chain), "no private key in PEM form"),
    "a damaged key": (
        lambda p: (p.chain, p.key.replace(b"M", b"!", 1)), "is damaged"
    ),
    "another's key": (
        lambda p: (p.chain, self_signed.make(NAMES, NOW).key), "is not that of the first"
    ),
    "an encrypted key": (lambda p: (p.chain, encrypted(p)), "is encrypted"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_used_is_told(what: str, pair: Pair, tmp_path: Path) -> None:
    made, sentence = BROKEN[what]
    with pytest.raises(CertificateError, match=sentence) as caught:
        read_pair(*files(tmp_path, *made(pair)))
    assert str(tmp_path) in str(caught.value), "it says which file"
    assert "PRIVATE KEY-----\n" not in str(caught.value)


def test_files_that_cannot_be_read(pair: Pair, tmp_path: Path) -> None:
    certificate, key = files(tmp_path, pair.chain, pair.key)
    with pytest.raises(CertificateError, match="nowhere cannot be read"):
        read_pair(tmp_path / "nowhere", key)
    with pytest.raises(CertificateError, match="cannot be read"):
        read_pair(certificate, tmp_path)
    key.write_bytes(bytes(certificates.PEM_BYTES_MAX + 1))
    with pytest.raises(CertificateError, match="larger than"):
        read_pair(certificate, key)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_a_pair_or_a_sentence(certificate: bytes, key: bytes) -> None:
    frame = b"-----BEGIN %s-----\n%s\n-----END %s-----\n"
    with pytest.raises(CertificateError):
        certificates.pair_of(certificate, key, "one", "two")
    with pytest.raises(CertificateError):
        certificates.pair_of(
            frame % (b"CERTIFICATE", certificate, b"CERTIFICATE"),
            frame % (b"PRIVATE KEY", key, b"PRIVATE KEY"), "one", "two",
        )


def test_a_key_that_openssl_finds_too_weak() -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    name = x509.Name([])
    leaf = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1)).sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    pair = Pair(leaf.public_bytes(serialization.Encoding.PEM), secret, leaf)
    with pytest.raises(CertificateError, match="cannot be used for TLS"):
        make_context(pair)


@pytest.mark.parametrize(("days", "sentence"), [
    (-2, "is not valid before 2026-02-28 12:00"), (100, ""), (381, ""), (384, "expires at"),
    (397, "expired at 2027-04-01 12:00"),
])
def test_times_that_browsers_do_not_like(days: int, sentence: str, pair: Pair) -> None:
    found = certificates.warnings_about(pair, NOW + timedelta(days=days))
    assert len(found) == bool(sentence)
    assert sentence in "".join(found)


# --- the context -------------------------------------------------------------------------


def test_the_context(pair: Pair) -> None:
    context = make_context(pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    ciphers = [each for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert ciphers
    assert all(each["aead"] and each["kea"] == "kx-ecdhe" for each in ciphers)
    assert context.verify_mode is ssl.CERT_NONE, "nobody is asked for a certificate"


def test_without_memory_files_a_private_one_is_used_and_removed(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert make_context(pair).cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}
    assert list(tmp_path.iterdir()) == []


# --- a certificate of our own ------------------------------------------------------------


def test_what_a_certificate_of_our_own_says(pair: Pair) -> None:
    leaf = pair.leaf
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["localhost", "attic"]
    assert san.get_values_for_type(x509.IPAddress) == list(NAMES.addresses)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=397)
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert self_signed.make(NAMES, NOW).key != pair.key


def test_it_is_kept_for_us_alone_and_found_again(tmp_path: Path) -> None:
    first = self_signed.kept(tmp_path, NAMES, NOW)
    path = tmp_path / "tls" / "self-signed.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert self_signed.kept(tmp_path, NAMES, NOW + timedelta(days=300)) == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


WHEN_NEW: dict[str, tuple[Names, timedelta, bool]] = {
    "the same": (NAMES, timedelta(0), False),
    "a month before its end": (NAMES, timedelta(days=367), True),
    "a clock before its time": (NAMES, timedelta(days=-2), True),
    "another address": (
        Names(NAMES.hosts, (*NAMES.addresses, ipaddress.ip_address("10.0.0.3"))), timedelta(0), True
    ),
    "another name": (Names(("localhost", "cellar"), NAMES.addresses), timedelta(0), True),
    "an address less": (Names(NAMES.hosts, NAMES.addresses[:1]), timedelta(0), False),
    "another address of IPv6": (
        Names(NAMES.hosts, (*NAMES.addresses, ipaddress.ip_address("2001:db8::8"))),
        timedelta(0), False,
    ),
}


@pytest.mark.parametrize("what", WHEN_NEW)
def test_when_a_new_one_is_made(what: str, tmp_path: Path) -> None:
    names, later, is_new = WHEN_NEW[what]
    first = self_signed.kept(tmp_path, NAMES, NOW)
    second = self_signed.kept(tmp_path, names, NOW + later)
    assert (second != first) is is_new
    assert self_signed.kept(tmp_path, names, NOW + later) == second


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    first = self_signed.kept(tmp_path, NAMES, NOW)
    path = tmp_path / "tls" / "self-signed.pem"
    path.write_bytes(path.read_bytes()[:200])
    assert self_signed.kept(tmp_path, NAMES, NOW) != first


def test_a_file_that_others_can_read_is_not_believed(tmp_path: Path) -> None:
    self_signed.kept(tmp_path, NAMES, NOW)
    path = tmp_path / "tls" / "self-signed.pem"
    path.chmod(0o640)
    with pytest.raises(CertificateError, match="Others own"):
        self_signed.kept(tmp_path, NAMES, NOW)
    path.chmod(0o600)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CertificateError, match="is a link"):
        self_signed.kept(tmp_path, NAMES, NOW)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("in the way")
    with pytest.raises(CertificateError, match="cannot be read or written"):
        self_signed.kept(tmp_path, NAMES, NOW)


def test_the_names_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Attic")
    monkeypatch.setattr(self_signed, "own_addresses", lambda: [ipaddress.ip_address("10.0.0.3")])
    names = self_signed.names_of_machine(
        ["0.0.0.0", "::", "World.example", "not a name", "", "-x", "10.0.0.3", "203.0.113.9"]
    )
    assert names.hosts == ("localhost", "attic", "attic.local", "world.example")
    assert [str(each) for each in names.addresses] == [
        "127.0.0.1", "::1", "10.0.0.3", "203.0.113.9"
    ]
    monkeypatch.setattr("socket.gethostname", lambda: "attic.example")
    assert self_signed.names_of_machine().hosts == ("localhost", "attic.example")


def test_addresses_that_lead_nowhere_else_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(NamedTuple):
        family: int
        address: str

    said = ["127.0.0.1", "::1", "fe80::1%eth0", "169.254.3.4", "10.0.0.3", "2001:db8::7",
            "192.168.1.7", "10.0.0.3"]
    found = [
        Told(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in said
    ]
    found.append(Told(17, "02:42:ac:11:00:02"))
    monkeypatch.setattr("psutil.net_if_addrs", lambda: {"eth0": found})
    assert [str(each) for each in self_signed.own_addresses()] == [
        "10.0.0.3", "192.168.1.7", "2001:db8::7"
    ]

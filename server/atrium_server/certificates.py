"""Certificates and their keys: read, judged with a sentence, and made into a context for TLS.

Theory of operation
-------------------
A `Pair` is what was read once and then judged: the certificate with its chain, and its key. From
then on only these bytes are used and no file is looked at again, so that what was judged is what
is served, though somebody replaces the files meanwhile. Python's `ssl` loads files only; it is
given one that has no name (see `_as_file`).

The context speaks TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only, without
compression and renegotiation, and HTTP/1.1 as the one protocol (ALPN): the front door speaks
nothing else.

Mistakes of a person are CertificateError: a sentence that says what is wrong with which file.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

PEM_BYTES_MAX: Final = 1_048_576
ENDS_SOON: Final = timedelta(days=14)
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of TLS 1.3 are all as good."""
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
_KEY = re.compile(
    rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL
)


class CertificateError(Exception):
    """A certificate or key cannot be used; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (with those that vouch for it) and its private key, which belong together."""

    chain: bytes
    """PEM, the server's own certificate first."""
    key: bytes = field(repr=False)
    """PEM, unencrypted. Secret."""
    leaf: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it."""
        return self.leaf.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def ends_at(self) -> datetime:
        return self.leaf.not_valid_after_utc


def read_pair(certificate: Path, key: Path) -> Pair:
    """The pair in two files, which may be one and the same. Raises CertificateError."""
    return pair_of(_read(certificate), _read(key), str(certificate), str(key))


def pair_of(certificate: bytes, key: bytes, certificate_name: str, key_name: str) -> Pair:
    """The pair in two texts; the names are for sentences. Raises CertificateError."""
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        theirs = _public_bytes(leaf.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{certificate_name} has no certificate in PEM form"
            " (a text with -----BEGIN CERTIFICATE-----)."
        ) from None
    found = _KEY.search(key)
    if found is None:
        raise CertificateError(
            f"{key_name} has no private key in PEM form"
            " (a text with -----BEGIN PRIVATE KEY-----)."
        )
    try:
        private = serialization.load_pem_private_key(found[0] + b"\n", None)
    except TypeError:
        raise CertificateError(
            f"The key in {key_name} is encrypted, and nobody is there to type its password:"
            f" decrypt it with `openssl pkey -in {key_name} -out NEW` and guard that file."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"The private key in {key_name} is damaged.") from None
    if _public_bytes(private.public_key()) != theirs:
        raise CertificateError(
            f"The key in {key_name} is not that of the first certificate in {certificate_name}."
            " The server's own certificate comes first, those that vouch for it after it."
        )
    # A file that has both is parted: the chain is no secret.
    chain = b"".join(each + b"\n" for each in _CERTIFICATE.findall(certificate))
    return Pair(chain, found[0] + b"\n", leaf)


def warnings_about_files(key: Path) -> list[str]:
    """What is wrong with how a key is kept, as sentences."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError:
        return []
    if mode & 0o007:
        return [f"everybody on this machine can open {key}, and so speak as this server: let only"
                f" its owner and group read it (`chmod o= {key}`)"]
    return []


def warnings_about(pair: Pair, now: datetime) -> list[str]:
    """What a browser will not like about the times of a certificate, as sentences."""
    begins_at, ends_at = pair.leaf.not_valid_before_utc, pair.ends_at
    if now < begins_at:
        return [f"the certificate is not valid before {begins_at:%Y-%m-%d %H:%M} UTC: until then"
                " browsers refuse it (is the clock of this machine right?)"]
    if now >= ends_at:
        return [f"the certificate expired at {ends_at:%Y-%m-%d %H:%M} UTC: browsers refuse it"]
    if ends_at - now < ENDS_SOON:
        return [f"the certificate expires at {ends_at:%Y-%m-%d %H:%M} UTC: renew it"]
    return []


def make_context(pair: Pair) -> ssl.SSLContext:
    """What handshakes are made with. Raises CertificateError for a pair that OpenSSL refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _as_file(pair.chain + pair.key) as path:
            context.load_cert_chain(path, password="")
    except ssl.SSLError as error:
        raise CertificateError(
            f"The certificate or its key cannot be used for TLS ({error.reason or error})."
        ) from None
    return context


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PEM_BYTES_MAX + 1)
    except OSError as error:
        raise CertificateError(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(content) > PEM_BYTES_MAX:
        raise CertificateError(f"{path} is larger than {PEM_BYTES_MAX:,} bytes.")
    return content


def _public_bytes(key: object) -> bytes:
    """The public key in one form, in which equal keys are equal."""
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@contextmanager
def _as_file(content: bytes) -> Generator[str]:
    """A path under which the content can be read: memory where the system has that, else a file
    of ours alone that is removed at once.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name

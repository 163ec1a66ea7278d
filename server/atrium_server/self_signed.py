"""A certificate of this server's own making, for a home or a class where nobody else vouches.

Theory of operation
-------------------
A headset's browser gives motion and the microphone only to pages that came encrypted. This
certificate encrypts as well as any; what it cannot do is prove to a stranger whose it is, and so a
browser warns once. It names `localhost`, loopback, this machine's names and its addresses, because
a browser compares what it was told to open with them.

It is kept with its key as one file, `tls/self-signed.pem` in the data directory: written beside and
renamed, so certificate and key always belong together. A new one makes every browser ask again, and
so one is made only when the old one is near its end, or lacks an address or a name that people may
type by now. IPv6 addresses are named and do not count for that: many systems change theirs daily.
What has gone does not count either, so a laptop that comes home finds its certificate again as long
as it met no new address on the way.

Nobody else can read the file, and nobody else may have written it: a link, or a file that others
own or can open, is refused with a sentence.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atrium_server.certificates import PEM_BYTES_MAX, CertificateError, Pair, pair_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FOLDER: Final = "tls"
FILE: Final = "self-signed.pem"
VALID: Final = timedelta(days=397)
"""Browsers take no server certificate that is valid for longer."""
RENEWED: Final = timedelta(days=30)
"""How long before its end a certificate is replaced."""
BACKDATED: Final = timedelta(hours=24)
"""Clocks of headsets are not always right."""
NAMES_MAX: Final = 64
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class Names:
    """What people may type to reach this machine."""

    hosts: tuple[str, ...]
    addresses: tuple[Address, ...]

    def those_that_count(self) -> set[str]:
        """Without those that come and go by themselves."""
        lasting = {str(address) for address in self.addresses if address.version == 4}
        return {*self.hosts, *lasting}


def names_of_machine(also: Iterable[str] = ()) -> Names:
    """All names and addresses of this machine, and `also` names or addresses that it goes by."""
    own = socket.gethostname()
    hosts = ["localhost", own, *([] if "." in own else [f"{own}.local"])]
    addresses: list[Address] = [
        ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"), *own_addresses()
    ]
    for name in also:
        try:
            addresses.append(ipaddress.ip_address(name))
        except ValueError:
            hosts.append(name)
    fit = [host.lower() for host in hosts if len(host) <= 253 and _HOST_NAME.fullmatch(host)]
    return Names(
        tuple(dict.fromkeys(fit))[:NAMES_MAX], tuple(dict.fromkeys(
            address for address in addresses if not address.is_unspecified
        ))[:NAMES_MAX],
    )


def own_addresses() -> list[Address]:
    """Addresses by which others may reach this machine: IPv4 first, none of loopback, and none
    that means something on one cable only.
    """
    found: list[Address] = []
    for of_interface in psutil.net_if_addrs().values():
        for each in of_interface:
            if each.family in (socket.AF_INET, socket.AF_INET6):
                with suppress(ValueError):
                    found.append(ipaddress.ip_address(each.address.partition("%")[0]))
    usable = {a for a in found if not (a.is_loopback or a.is_link_local or a.is_unspecified)}
    return sorted(usable, key=lambda address: (address.version, int(address)))


def make(names: Names, now: datetime) -> Pair:
    """A new key (ECDSA P-256) and a certificate for these names, signed with itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Atrium (self-signed)")])
    begins_at = (now - BACKDATED).replace(microsecond=0)
    alternatives = [
        *(x509.DNSName(host) for host in names.hosts),
        *(x509.IPAddress(address) for address in names.addresses),
    ]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins_at).not_valid_after(begins_at + VALID)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), secret, certificate)


def is_good(pair: Pair, names: Names, now: datetime) -> bool:
    """Whether a certificate may go on being used for these names."""
    if not pair.leaf.not_valid_before_utc <= now < pair.ends_at - RENEWED:
        return False
    try:
        extension = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    said = extension.value
    named = {*said.get_values_for_type(x509.DNSName),
             *(str(address) for address in said.get_values_for_type(x509.IPAddress))}
    return names.those_that_count() <= named


def kept(data_dir: Path, names: Names, now: datetime) -> Pair:
    """The certificate in the data directory, made anew when it is missing or no good any more.

    Raises CertificateError when the file cannot be trusted or written.
    """
    path = data_dir / FOLDER / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = _read_private(path)
        if content is not None:
            with suppress(CertificateError):  # damaged: a new one takes its place
                pair = pair_of(content, content, str(path), str(path))
                if is_good(pair, names, now):
                    return pair
        pair = make(names, now)
        _write_private(path, pair.key + pair.chain)
    except OSError as error:
        raise CertificateError(
            f"{path} cannot be read or written ({error.strerror or error}); the self-signed"
            " certificate is kept there."
        ) from None
    return pair


def _read_private(path: Path) -> bytes | None:
    """What the file says; None when there is none. Raises CertificateError and OSError."""
    if path.parent.is_symlink() or path.is_symlink():
        raise CertificateError(f"{path} is a link, or in one: remove it and start again.")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_open = stat.S_IMODE(found.st_mode) & 0o077
        if found.st_uid != os.geteuid() or is_open or not stat.S_ISREG(found.st_mode):
            raise CertificateError(
                f"Others own {path} or can open it, and may know the key of this server: remove"
                " it, and a new one is made."
            )
        return file.read(PEM_BYTES_MAX)


def _write_private(path: Path, content: bytes) -> None:
    """Put a file of ours alone in the place of the old one, whole or not at all."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(part, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

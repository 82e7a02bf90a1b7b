"""TLS on this machine: the server's context, and a locally issued certificate if the user has none.

A local authority is created once and signs the server's certificate, so that a browser that trusts it stays quiet at
each renewal. Name constraints limit it to this machine's names, should its key be stolen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName, KeyUsage, Name

    from wfmon.core.clock import Clock

LOCAL_NAMES = ("127.0.0.1", "::1", "localhost")

# RFC 9113 (9.2.2) lets a client refuse HTTP/2 over anything else in TLS 1.2.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_LEAF_DAYS = 396  # browsers take 398 at most
_CA_DAYS = 3650
_RENEW_DAYS = 30
_SKEW = dt.timedelta(hours=1)


class BadCertificate(Exception):
    """A certificate or key cannot be used. The message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """Paths of the issued certificate. `ca_file` is the authority that browsers, curl and scripts must trust."""

    cert_file: Path
    key_file: Path
    ca_file: Path


def server_context(cert_file: Path, key_file: Path, *, http2: bool) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer; `http2` offers `h2` by ALPN. Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    for file in (cert_file, key_file):
        if not os.access(file, os.R_OK):
            raise BadCertificate(f"{file} cannot be read")
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(f"{cert_file} and {key_file} are not a certificate with its key: {error}") from error
    return context


def local_certificate(folder: Path, clock: Clock) -> LocalCertificate:
    """Run `ensure_local_certificate` in a child process, so that cryptography's 9 MB do not stay in this one.

    Call before threads start: the child is a fork. If it fails, the work is repeated here to raise the same error.
    """
    if os.name == "posix":
        child = os.fork()
        if child == 0:
            try:
                ensure_local_certificate(folder, clock)
                os._exit(0)
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1] == 0:
            return _files(folder)
    return ensure_local_certificate(folder, clock)


def ensure_local_certificate(folder: Path, clock: Clock, names: Sequence[str] = LOCAL_NAMES) -> LocalCertificate:
    """Return a certificate for `names` valid for at least 30 more days, issuing one if needed.

    Writes `ca.pem`, `ca-key.pem`, `cert.pem` and `key.pem` into `folder` (0700; keys 0600). Raises OSError.
    """
    now = dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = _files(folder)
    authority = _load(files.ca_file, folder / "ca-key.pem")
    if authority is None or not _usable(authority[0], now, _LEAF_DAYS + _RENEW_DAYS, names, None):
        authority = _make_authority(names, now)
        _write(folder / "ca-key.pem", files.ca_file, authority)
    leaf = _load(files.cert_file, files.key_file)
    if leaf is None or not _usable(leaf[0], now, _RENEW_DAYS, names, authority[0]):
        _write(files.key_file, files.cert_file, _make_leaf(names, now, authority))
    return files


def _no_password() -> str:
    raise ValueError("the key is protected by a password; use one without")


def _files(folder: Path) -> LocalCertificate:
    return LocalCertificate(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")


def _load(cert_file: Path, key_file: Path) -> tuple[Certificate, EllipticCurvePrivateKey] | None:
    """Return a matching certificate and key, or None if absent, damaged or half written."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        cert = x509.load_pem_x509_certificate(cert_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
        return None
    key_file.chmod(0o600)
    return cert, key


def _usable(cert: Certificate, now: dt.datetime, days: int, names: Sequence[str], issuer: Certificate | None) -> bool:
    """Return whether it is for exactly these names, by this issuer (None: self-signed), valid for `days` more days."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    wanted = _general_names(names)
    try:
        cert.verify_directly_issued_by(issuer or cert)
        if issuer is None:
            constraints = cert.extensions.get_extension_for_class(x509.NameConstraints).value
            held = list(constraints.permitted_subtrees or ())
            wanted = _subtrees(wanted)
        else:
            held = list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    good = cert.not_valid_before_utc <= now and now + dt.timedelta(days=days) <= cert.not_valid_after_utc
    return good and held == wanted


def _make_authority(names: Sequence[str], now: dt.datetime) -> tuple[Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("wfmon local authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + dt.timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(_subtrees(_general_names(names)), None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert, key


def _make_leaf(
    names: Sequence[str], now: dt.datetime, authority: tuple[Certificate, EllipticCurvePrivateKey]
) -> tuple[Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca_cert, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_id = ca_cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    cert = (
        x509.CertificateBuilder()
        .subject_name(_name("wfmon on this machine"))
        .issuer_name(ca_cert.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + dt.timedelta(days=_LEAF_DAYS))
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return cert, key


def _name(common_name: str) -> Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> list[GeneralName]:
    from cryptography import x509

    result: list[GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name))
    return result


def _subtrees(names: Sequence[GeneralName]) -> list[GeneralName]:
    """Return the names as name constraints: an address becomes a network of one address."""
    from cryptography import x509

    return [
        x509.IPAddress(ipaddress.ip_network(name.value)) if isinstance(name, x509.IPAddress) else name for name in names
    ]


def _write(key_file: Path, cert_file: Path, pair: tuple[Certificate, EllipticCurvePrivateKey]) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    cert, key = pair
    _replace(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _replace(cert_file, cert.public_bytes(Encoding.PEM))


def _replace(file: Path, data: bytes) -> None:
    """Write a file atomically, private from its first byte on."""
    draft = file.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)

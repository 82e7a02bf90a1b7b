"""The certificate made for this machine."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading

import pytest
from cryptography import x509

from wfmon.core.clock import FakeClock, SystemClock
from wfmon.serve.tls import BadCertificate, ensure_local_certificate, server_context

DAY_MS = 86_400_000


def leaf(files):
    return x509.load_pem_x509_certificate(files.cert_file.read_bytes())


def handshake(context, client):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = threading.Thread(target=lambda: context.wrap_socket(ours, server_side=True).close())
        server.start()
        try:
            with client.wrap_socket(theirs, server_hostname="127.0.0.1") as tls:
                return tls.version(), tls.selected_alpn_protocol()
        finally:
            theirs.close()
            server.join()


def test_the_certificate_names_this_machine_and_lives_at_most_397_days(tmp_path):
    cert = leaf(ensure_local_certificate(tmp_path, FakeClock()))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert cert.not_valid_after_utc - cert.not_valid_before_utc <= dt.timedelta(days=397)


def test_only_the_owner_can_read_the_keys(tmp_path):
    folder = tmp_path / "tls"
    files = ensure_local_certificate(folder, FakeClock())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in (files.key_file, folder / "ca-key.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("http2", [True, False])
def test_a_client_that_trusts_the_authority_connects(tmp_path, host, http2):
    files = ensure_local_certificate(tmp_path, SystemClock())
    client = ssl.create_default_context(cafile=files.ca_file)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2", "http/1.1"])
    context = server_context(files.cert_file, files.key_file, http2=http2)
    assert handshake(context, client) == ("TLSv1.3", "h2" if http2 else "http/1.1")


def test_the_authority_can_sign_for_no_other_name(tmp_path):
    from wfmon.serve import tls

    files = ensure_local_certificate(tmp_path, SystemClock())
    authority = tls._load(files.ca_file, tmp_path / "ca-key.pem")
    now = dt.datetime.now(dt.UTC)
    tls._write(files.key_file, files.cert_file, tls._make_leaf(["127.0.0.1", "bank.example"], now, authority))
    client = ssl.create_default_context(cafile=files.ca_file)
    context = server_context(files.cert_file, files.key_file, http2=False)
    server_sees = threading.excepthook
    threading.excepthook = lambda args: None
    try:
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            handshake(context, client)
    finally:
        threading.excepthook = server_sees


def test_tls_1_1_is_refused(tmp_path):
    files = ensure_local_certificate(tmp_path, SystemClock())
    context = server_context(files.cert_file, files.key_file, http2=True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert {cipher["protocol"] for cipher in context.get_ciphers()} == {"TLSv1.2", "TLSv1.3"}


def test_it_is_kept_until_30_days_are_left_and_then_renewed_under_the_same_authority(tmp_path):
    clock = FakeClock()
    files = ensure_local_certificate(tmp_path, clock)
    first, authority = files.cert_file.read_bytes(), files.ca_file.read_bytes()
    for days, same in ((366, True), (367, False)):
        later = FakeClock(clock.now_ms() + days * DAY_MS)
        assert (ensure_local_certificate(tmp_path, later).cert_file.read_bytes() == first) is same
    assert files.ca_file.read_bytes() == authority


def test_an_authority_that_would_not_outlive_the_certificate_is_replaced(tmp_path):
    clock = FakeClock()
    files = ensure_local_certificate(tmp_path, clock)
    authority = files.ca_file.read_bytes()
    later = FakeClock(clock.now_ms() + 3300 * DAY_MS)
    ensure_local_certificate(tmp_path, later)
    assert files.ca_file.read_bytes() != authority
    leaf(files).verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca_file.read_bytes()))


def test_a_certificate_from_a_clock_that_ran_ahead_is_replaced(tmp_path):
    clock = FakeClock()
    files = ensure_local_certificate(tmp_path, FakeClock(clock.now_ms() + DAY_MS))
    first = files.cert_file.read_bytes()
    ensure_local_certificate(tmp_path, clock)
    assert files.cert_file.read_bytes() != first


def test_other_names_make_other_certificates(tmp_path):
    files = ensure_local_certificate(tmp_path, FakeClock())
    first = files.ca_file.read_bytes()
    ensure_local_certificate(tmp_path, FakeClock(), ["127.0.0.1"])
    assert files.ca_file.read_bytes() != first
    assert len(leaf(files).extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 1


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem", "ca-key.pem"])
@pytest.mark.parametrize("harm", ["missing", "empty", "of another"])
def test_a_damaged_file_is_made_anew(tmp_path, name, harm):
    ours, other = tmp_path / "ours", tmp_path / "other"
    files = ensure_local_certificate(ours, SystemClock())
    ensure_local_certificate(other, SystemClock())
    if harm == "missing":
        (ours / name).unlink()
    elif harm == "empty":
        (ours / name).write_bytes(b"")
    else:
        shutil.copy(other / name, ours / name)
    ensure_local_certificate(ours, SystemClock())
    context = server_context(files.cert_file, files.key_file, http2=True)
    assert handshake(context, ssl.create_default_context(cafile=files.ca_file))[0] == "TLSv1.3"


def test_a_certificate_of_the_user_that_cannot_be_used_is_named_with_the_reason(tmp_path):
    files = ensure_local_certificate(tmp_path, FakeClock())
    with pytest.raises(BadCertificate, match=r"nowhere\.pem cannot be read"):
        server_context(tmp_path / "nowhere.pem", files.key_file, http2=False)
    with pytest.raises(BadCertificate, match=r"cert\.pem and .*ca-key\.pem are not a certificate with its key"):
        server_context(files.cert_file, tmp_path / "ca-key.pem", http2=False)


def in_a_process_of_its_own(folder):
    """A fork wants a process without threads."""
    code = """
import sys
from pathlib import Path
from wfmon.core.clock import SystemClock
from wfmon.serve import tls
try:
    files = tls.local_certificate(Path(sys.argv[1]), SystemClock())
    tls.server_context(files.cert_file, files.key_file, http2=True)
    print(files.ca_file.exists(), "cryptography" in sys.modules)
except OSError as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_server_makes_its_certificate_without_keeping_what_it_takes(tmp_path):
    assert in_a_process_of_its_own(tmp_path / "tls") == ["True", "False"]


def test_what_fails_in_the_child_is_raised_here(tmp_path):
    (tmp_path / "tls").write_text("a file in the way")
    assert in_a_process_of_its_own(tmp_path / "tls") == ["FileExistsError"]

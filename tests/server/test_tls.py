"""TLS and mutual TLS with certificates made for the test."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from served import Running
from xnn.errors import ConfigError


@dataclass
class Authority:
    """A CA that signs what a test needs."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.folder.name)])
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._sign(self.name, self.key, constraint, [])
        self.path = self._write("ca.pem", self.certificate)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of a server or client on this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        places = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = self._sign(
            subject, key, x509.BasicConstraints(ca=False, path_length=None), places
        )
        key_path = self.folder / f"{name}.key"
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return self._write(f"{name}.pem", certificate), key_path

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _sign(self, subject, key, constraint, places) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(constraint, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if constraint.ca:
            usage = x509.KeyUsage(*[False] * 5, True, True, *[False] * 2)
            builder = builder.add_extension(usage, critical=True)
        if places:
            builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def secure(start, make_site, authority: Authority, **more: str) -> Running:
    certificate, key = authority.issue("server")
    site = make_site(tls_cert=str(certificate), tls_key=str(key), **more)
    running = start(site)
    running.scheme = "https"
    return running


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


def test_tls_by_files(start, make_site, ours: Authority, faces_sent, tmp_path: Path) -> None:
    server = secure(start, make_site, ours)
    assert server.events("listening")[0]["scheme"] == "https"
    with server.caller(verify=trusting(ours.path)) as caller:
        assert caller.enrol("one", faces_sent["person-01"][:2]).status_code == 201
        answer = caller.http.get("/v1/bundle")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"{server.url}/healthz", verify=trusting(stranger.path))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{server.port}/healthz")
    old = trusting(ours.path)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA256")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz", verify=old)


def test_mutual_tls(start, make_site, ours: Authority, faces_sent, tmp_path: Path) -> None:
    server = secure(start, make_site, ours, tls_client_ca=str(ours.path))
    known = trusting(ours.path)
    known.load_cert_chain(*map(str, ours.issue("device")))
    with server.caller(verify=known) as caller:
        assert caller.enrol("one", faces_sent["person-01"][:2]).status_code == 201
    stranger = trusting(ours.path)
    stranger.load_cert_chain(*map(str, Authority(tmp_path / "stranger").issue("device")))
    for context in (trusting(ours.path), stranger):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/healthz", verify=context)


def test_a_key_that_others_read_is_refused(ours: Authority) -> None:
    from xnn.server.run import _check_private

    _, key = ours.issue("server")
    _check_private(key)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"others may read the private key 'server\.key'"):
        _check_private(key)

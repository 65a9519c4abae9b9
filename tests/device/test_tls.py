"""TLS between device and service: whom the device trusts, and how it shows who it is."""

import datetime
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from served import Running, Site
from xnn.device.client import Client
from xnn.device.exchange import Patience
from xnn.device.pipeline import DevicePipeline
from xnn.device.transport import TlsFiles
from xnn.errors import ConfigError, ServiceError, StorageError

HASTY = Patience(first_pause_s=0.01, longest_pause_s=0.02, attempts=2)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A CA of a test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(*[i in (5, 6) for i in range(9)])  # signs certificates and lists
        builder = self._builder(self._name, self._key).add_extension(usage, critical=True)
        self.certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(
            self._key, hashes.SHA256()
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, usage: x509.ObjectIdentifier) -> Pem:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            self._builder(subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = Pem(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pem.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        pem.key.chmod(0o600)
        return pem

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(own, critical=False)
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def device_pem(authority: Authority) -> Pem:
    return authority.issue("device-7", ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.fixture(scope="module")
def mutual(
    authority: Authority, exported, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A service that talks to holders of a certificate of the CA only."""
    pem = authority.issue("service", ExtendedKeyUsageOID.SERVER_AUTH)
    settings = {
        "tls_cert": str(pem.certificate),
        "tls_key": str(pem.key),
        "tls_client_ca": str(authority.path),
        "thresholds": {"0.01": 0.9},
    }
    site = Site.make(tmp_path_factory.mktemp("mutual") / "site", exported.root, settings)
    server = Running(site, scheme="https").wait_until_ready()
    yield server
    server.kill()


def connect(server: Running, pipeline: DevicePipeline, tls: TlsFiles | None) -> None:
    with Client(server.url, server.site.keys["a"], pipeline, tls=tls, patience=HASTY) as client:
        client.service()


def test_both_show_who_they_are(
    mutual: Running,
    pipeline: DevicePipeline,
    authority: Authority,
    device_pem: Pem,
    orl_photos: Path,
) -> None:
    tls = TlsFiles(
        ca=authority.path, certificate=device_pem.certificate, private_key=device_pem.key
    )
    with Client(mutual.url, mutual.site.keys["a"], pipeline, tls=tls) as client:
        photo = orl_photos / "s5" / "1.pgm"
        client.enrol("badge-5", [photo])
        assert client.verify("badge-5", photo).match


def test_a_device_without_a_certificate_is_not_let_in(
    mutual: Running, pipeline: DevicePipeline, authority: Authority
) -> None:
    with pytest.raises(ServiceError, match="may want a certificate of this device"):
        connect(mutual, pipeline, TlsFiles(ca=authority.path))


def test_a_service_of_another_ca_is_not_trusted(
    mutual: Running, pipeline: DevicePipeline, tmp_path: Path, device_pem: Pem
) -> None:
    for ca in (None, Authority(tmp_path, "other").path):
        tls = TlsFiles(ca=ca, certificate=device_pem.certificate, private_key=device_pem.key)
        with pytest.raises(ServiceError, match="certificate is not one that this device trusts"):
            connect(mutual, pipeline, tls)


def test_plain_http_to_a_service_of_tls_is_told(mutual: Running, pipeline: DevicePipeline) -> None:
    plain = f"http://127.0.0.1:{mutual.port}"
    with (
        Client(plain, mutual.site.keys["a"], pipeline, patience=HASTY) as client,
        pytest.raises(ServiceError, match="the connection broke"),
    ):
        client.service()


def test_files_of_tls_that_cannot_be_used_are_told(
    tmp_path: Path, authority: Authority, device_pem: Pem
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(StorageError, match="cannot read the TLS files"):
        TlsFiles(ca=tmp_path / "missing.pem").context()
    with pytest.raises(ConfigError, match="expected PEM"):
        TlsFiles(ca=junk).context()
    other = authority.issue("other", ExtendedKeyUsageOID.CLIENT_AUTH)
    with pytest.raises(ConfigError, match="belongs to the certificate"):
        TlsFiles(certificate=device_pem.certificate, private_key=other.key).context()
    with pytest.raises(ConfigError, match="private_key without certificate"):
        TlsFiles(private_key=other.key)
    sealed = tmp_path / "sealed.key"
    key = serialization.load_pem_private_key(device_pem.key.read_bytes(), None)
    sealed.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    with pytest.raises(ConfigError, match="without passphrase"):
        TlsFiles(certificate=device_pem.certificate, private_key=sealed).context()

"""How a device reaches the service: a checked address, TLS, and httpx put up for both clients."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xnn.device.api_key import ApiKey
from xnn.device.exchange import Fault, Patience, Request
from xnn.errors import ConfigError, MissingExtraError, ServiceError, StorageError

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx is not installed; run pip install 'xnn-face[device]'") from error

LARGEST_ANSWER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Whom a device trusts, and how it shows who it is. All PEM."""

    ca: Path | None = None
    """Certificates of those who may have signed the service's; None takes the system's."""
    certificate: Path | None = None
    """The device's own, with its chain: for services that ask for one (mutual TLS)."""
    private_key: Path | None = None
    """Of that certificate; None where the certificate's file holds it too."""

    def __post_init__(self) -> None:
        if self.private_key is not None and self.certificate is None:
            raise ConfigError("private_key without certificate; give both")

    def context(self) -> ssl.SSLContext:
        """Return what the connection is made with: TLS 1.2 or later, names checked.

        Raises:
            StorageError: A file cannot be read.
            ConfigError: A file is not what it should be, or key and certificate differ.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.private_key, password=_no_password)
        except ssl.SSLError as error:
            raise ConfigError(
                f"the TLS files cannot be used ({error.reason or 'malformed'}): expected PEM, and "
                "a private key without passphrase that belongs to the certificate"
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot read the TLS files: {error.strerror}; look at their paths"
            ) from error
        return context


def check_address(url: str, *, allow_plain_http: bool) -> str:
    """Return the address of a service without its last slash.

    Args:
        url: `https://host[:port][/path]`, or `http://` to this machine.
        allow_plain_http: Let an API key cross a network in the clear.

    Raises:
        ConfigError: No such address, or `http://` to another machine without leave.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigError("url: expected https://host[:port], as in https://faces.example:8443")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("url: expected no name, password, ? or # in it; the API key goes apart")
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(host):
        raise ConfigError(
            f"http://{host}: the API key and all records would cross the network in the clear; "
            "use https://, or allow plain HTTP where something else protects the line"
        )
    return url.rstrip("/")


def httpx_settings(
    address: str, api_key: ApiKey, patience: Patience, tls: TlsFiles
) -> dict[str, Any]:
    """Return what both kinds of httpx client are made with."""
    is_tls = address.startswith("https:")
    settings: dict[str, Any] = {
        "base_url": address,
        "headers": {
            "Authorization": api_key.authorization,
            "Accept": "application/json",
            "User-Agent": "xnn-device",
        },
        "timeout": httpx.Timeout(patience.answer_s, connect=patience.connect_s),
        "follow_redirects": False,
        # A proxy of the environment would read what goes to it without TLS.
        "trust_env": is_tls,
    }
    if is_tls:
        settings["verify"] = tls.context()
    return settings


def request_settings(request: Request) -> dict[str, Any]:
    """Return what httpx is to be asked."""
    headers = {} if request.media_type is None else {"Content-Type": request.media_type}
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.query) or None,
        "content": request.content or None,
        "headers": headers,
    }


def fault_of(error: httpx.HTTPError, *, unnamed: bool) -> Fault:
    """Say what became of a request that got no answer, without the address's details.

    Args:
        error: Of httpx.
        unnamed: The line has TLS and the device showed no certificate.
    """
    text = str(error).split("\n")[0]
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Fault(reason="no connection in time; look at the address", may_pass=True)
    if isinstance(error, httpx.TimeoutException):
        return Fault(reason="it took too long", may_pass=True)
    if isinstance(error, httpx.ConnectError):
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return Fault(
                reason="its certificate is not one that this device trusts; name its CA, and the "
                "host as the certificate has it",
                may_pass=False,
            )
        if "SSL" in text or "TLS" in text:
            return Fault(reason=f"no TLS connection: {text[:200]}", may_pass=False)
        return Fault(reason="no connection; is it running at this address?", may_pass=True)
    if isinstance(error, httpx.TransportError):
        # With TLS 1.3 a client learns only afterwards that it was not let in, if it is told at all.
        hint = "; it may want a certificate of this device (mutual TLS)" if unnamed else ""
        return Fault(reason=f"the connection broke ({type(error).__name__}){hint}", may_pass=True)
    return Fault(reason=type(error).__name__, may_pass=False)


def too_large() -> ServiceError:
    """Return the error of an answer that is no answer of ours by its length alone."""
    return ServiceError(
        f"the service's answer has more than {LARGEST_ANSWER_BYTES} bytes; "
        "is this the address of an XNN service?"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal; a sealed private key is an error."""
    return ""

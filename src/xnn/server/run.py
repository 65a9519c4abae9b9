"""From settings to a running process: open, listen, stop in order."""

import asyncio
import contextlib
import logging
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import uvicorn

from xnn.accounts import Accounts
from xnn.database import read_master_key
from xnn.errors import ConfigError, StorageError
from xnn.gallery import open_gallery
from xnn.server import logs
from xnn.server.app import create_app
from xnn.server.card import read_server_card
from xnn.server.logs import log
from xnn.server.service import Service
from xnn.server.settings import ServeSettings
from xnn.server.student import StudentProcess

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of TLS 1.3 are all of this kind anyway."""
_TICK_S = 0.05


def serve(settings: ServeSettings) -> None:
    """Serve until a stop signal, then finish what was accepted.

    Raises:
        ConfigError: There is no API key yet, or a file of TLS cannot be used.
        FormatError: The bundle or the gallery is none.
        StorageError: The address is taken, or a file is missing.
    """
    logs.configure(settings.log_level)
    service = open_service(settings)
    try:
        config = _configure(settings, service)
        with contextlib.closing(_listen(settings)) as listener:
            ServiceServer(config, service).run(sockets=[listener])
    finally:
        service.close()


@final
class ServiceServer(uvicorn.Server):
    """uvicorn that says when it stops being ready, and whose stop signal is a success."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in order on SIGTERM and SIGINT; unlike uvicorn's, do not die of them afterwards."""
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            log(logging.INFO, "listening", scheme=scheme, host=host, port=port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that no more requests should come, wait for what has, and stop."""
        self._service.draining = True
        drain_s = self._service.settings.drain_s
        log(logging.INFO, "stopping", drain_s=drain_s)
        end = asyncio.get_running_loop().time() + drain_s
        while asyncio.get_running_loop().time() < end and not self.force_exit:
            await asyncio.sleep(_TICK_S)
        await super().shutdown(sockets)


def open_service(settings: ServeSettings) -> Service:
    """Open bundle and gallery, and see that somebody may call.

    Raises:
        ConfigError: There is no API key, or no master key.
        FormatError: The bundle or the gallery is none.
        StorageError: A file is missing.
        BusyError: The gallery is locked or away.
    """
    card = read_server_card(settings.bundle)
    gallery = open_gallery(settings.gallery, read_master_key(settings.master_key_file))
    try:
        if not Accounts(gallery.database).num_active():
            raise ConfigError(
                "there is no API key, so that nobody could call; make one with "
                "`xnn account new --gallery ... --role admin --role enrol --role search`, which "
                "shows it once"
            )
        student = StudentProcess(settings.bundle, threads=settings.torch_threads)
        try:
            student.wait_until_ready()
            return Service(settings, card, student, gallery)
        except BaseException:
            student.close()
            raise
    except BaseException:
        gallery.close()
        raise


def _configure(settings: ServeSettings, service: Service) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.tls_cert is not None and settings.tls_key is not None:
        _check_private(settings.tls_key)
        tls = {
            "ssl_certfile": settings.tls_cert,
            "ssl_keyfile": settings.tls_key,
            "ssl_ciphers": _CIPHERS,
        }
        if settings.tls_client_ca is not None:
            import ssl

            tls["ssl_ca_certs"] = str(settings.tls_client_ca)
            tls["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    config = uvicorn.Config(
        create_app(service),
        http="h11",  # httptools would hold a request's head of any length
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=settings.stop_timeout_s,
        lifespan="on",
        **tls,
    )
    try:
        config.load()
    except OSError as error:  # ssl's errors among them
        raise ConfigError(
            f"the TLS files cannot be used ({type(error).__name__}); give a PEM certificate chain, "
            "the PEM key that belongs to it, and a PEM bundle of client CAs"
        ) from error
    return config


def _listen(settings: ServeSettings) -> socket.socket:
    """Return a listening socket, taken before the first request could be promised anything."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off: it would otherwise hold back
    # the end of an answer for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise StorageError(
            f"cannot listen on {settings.host} port {settings.port}: "
            f"{error.strerror or type(error).__name__}; choose another --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _check_private(path: Path) -> None:
    if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(
            f"others may read the private key {path.name!r}; chmod 600 it, and replace it if they "
            "did"
        )

"""A real service in a process of its own, and a caller of it: for tests and measurements."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from xnn.accounts import Accounts, secret_of
from xnn.database import make_master_key, open_database, read_master_key
from xnn.gallery import StoredGallery, open_gallery
from xnn.metrics.calibration import Calibration, Threshold
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.server.bundle import save_server_bundle
from xnn.server.card import CARD_NAME, ServerCard
from xnn.wire.authenticity import mac_key
from xnn.wire.codec import encode
from xnn.wire.compose import compose
from xnn.wire.message import MEDIA_TYPE, Message

ALL_ROLES = ("admin", "enrol", "search")
_READY_S = 120.0


def random_bundle(folder: Path, config: TailConfig) -> Path:
    """Write a server bundle of random weights: as quick as a trained one, and knowing nobody.

    Its one operating point, far=0.5, has the threshold -1: everything matches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tail = Tail(config)
    point = Threshold(far=0.5, threshold=-1.0, false_matches=1, far_low=0.0, far_high=1.0, tar=1.0)
    card = ServerCard(
        front_id="0f" * 32,
        tail=config,
        m=config.n,
        e=config.d,
        coupling=None,
        training={"preset": "paper"},
        calibration=Calibration(thresholds=(point,), subjects=0, images=0, mated=0, non_mated=0),
    )
    save_server_bundle(folder / "server", tail, None, card)
    return folder


def toml(settings: dict[str, Any]) -> str:
    """Return flat settings, and tables of numbers, as TOML."""
    flat = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in flat.items()]
    for name, table in settings.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [f"{json.dumps(str(key))} = {value}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


@dataclass
class Site:
    """A folder with gallery, master key and settings; a server may be started in it again."""

    folder: Path
    bundles: Path
    keys: dict[str, str] = field(default_factory=dict)
    """API keys by `tenant` and `tenant:role`."""

    @classmethod
    def make(cls, folder: Path, bundles: Path, settings: dict[str, Any]) -> "Site":
        """Make an empty gallery with a key of all roles for the tenants `a` and `b`."""
        folder.mkdir(parents=True)
        site = cls(folder, bundles)
        make_master_key(site.master_key)
        fixed = {
            "bundle": str(bundles / "server"),
            "device_bundle": str(bundles / "device"),
            "gallery": site.address,
            "master_key_file": str(site.master_key),
            "port": 0,
        }
        (folder / "serve.toml").write_text(toml(fixed | settings))
        for tenant in ("a", "b"):
            site.keys[tenant] = site.new_key(tenant)
        return site

    @property
    def master_key(self) -> Path:
        """Return its file."""
        return self.folder / "master.key"

    @property
    def address(self) -> str:
        """Return where the gallery is."""
        return f"sqlite:///{self.folder / 'gallery.db'}"

    def new_key(self, tenant: str, roles: Iterable[str] = ALL_ROLES) -> str:
        """Make an API key beside a running server, as an operator would."""
        database = open_database(self.address)
        try:
            _, text = Accounts(database).create(tenant, tuple(roles))  # type: ignore[arg-type]
        finally:
            database.close()
        return text

    def open(self) -> StoredGallery:
        """Open the gallery as another process."""
        return open_gallery(self.address, read_master_key(self.master_key))


class Running:
    """A server in a process of its own."""

    def __init__(self, site: Site, *, scheme: str = "http") -> None:
        self.site, self.scheme = site, scheme
        environment = {k: v for k, v in os.environ.items() if not k.startswith("XNN_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xnn", "serve", "--config", str(site.folder / "serve.toml")],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment | {"OMP_NUM_THREADS": "1"},
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self.port = 0
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Return the address without a path."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> "Running":
        """Wait until it listens; readiness follows from that, since the gallery is open by then."""
        end = time.monotonic() + _READY_S
        while not self._listening.wait(0.05):
            if self.process.poll() is not None or time.monotonic() > end:
                self._reader.join(5)
                status = self.process.poll()
                said = [*self.other[-5:], *map(str, self.lines[-3:])]
                raise RuntimeError(f"the server did not start (status {status}): {said}")
        return self

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        return [line for line in self.lines if line["event"] == name]

    def stop(self, timeout_s: float = 30) -> int:
        """Ask it to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout_s)
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def caller(self, tenant: str = "a", **options: Any) -> "Caller":
        """Return somebody who holds the tenant's key of all roles."""
        return Caller(self.url, self.site.keys[tenant], self.site.bundles, **options)

    def _read(self) -> None:
        stream = self.process.stderr
        if stream is None:
            return
        with contextlib.suppress(ValueError):  # closed while it was read
            for text in stream:
                try:
                    line = json.loads(text)
                except ValueError:
                    self.other.append(text)
                    continue
                self.lines.append(line)
                if line["event"] == "listening":
                    self.port = line["port"]
                    self._listening.set()


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return status and kind of a refusal, which has the form that all refusals have."""
    content = answer.json()
    if answer.headers["content-type"] != "application/problem+json":
        raise AssertionError(answer.text)
    if content["status"] != answer.status_code or "\n" in content["detail"]:
        raise AssertionError(content)
    return answer.status_code, content["type"].removeprefix("urn:xnn:problem:")


class Caller:
    """A device without a camera: sends records as messages, and plain requests."""

    def __init__(self, url: str, api_key: str, bundles: Path, **options: Any) -> None:
        card = json.loads((bundles / "server" / CARD_NAME).read_text())["card"]
        self.bundle_id, self.shape = card["front_id"], (card["m"], card["e"])
        self.scheme = card["training"]["preset"]
        self.api_key, self._mac_key = api_key, mac_key(secret_of(api_key))
        self.http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=30,
            **options,
        )

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def message(self, records: np.ndarray, **changes: Any) -> Message:
        """Return a message of these records."""
        made = compose(records, scheme=self.scheme, bundle_id=self.bundle_id)
        return dataclasses.replace(made, **changes)

    def post(self, path: str, message: Message | bytes, **options: Any) -> httpx.Response:
        """Send a message."""
        content = message if isinstance(message, bytes) else encode(message, self._mac_key)
        headers = {"Content-Type": MEDIA_TYPE} | options.pop("headers", {})
        return self.http.post(path, content=content, headers=headers, **options)

    def encode(self, message: Message) -> bytes:
        """Return a message's bytes, made under this caller's key."""
        return encode(message, self._mac_key)

    def enrol(
        self, subject: str, records: np.ndarray, *, create: bool = True, **changes: Any
    ) -> httpx.Response:
        """Enrol records."""
        path = f"/v1/subjects/{subject}/templates?create={str(create).lower()}"
        return self.post(path, self.message(records, **changes))

    def verify(self, subject: str, records: np.ndarray, **query: Any) -> httpx.Response:
        """Verify records."""
        path = f"/v1/subjects/{subject}/verify"
        return self.post(path, self.message(records), params=query)

    def search(self, records: np.ndarray, **query: Any) -> httpx.Response:
        """Search for records."""
        return self.post("/v1/search", self.message(records), params=query)

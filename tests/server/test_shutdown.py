"""How the process begins and ends: refusals, and a stop under load that loses nothing."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from served import Site
from xnn.database import make_master_key
from xnn.errors import ConfigError, FormatError, StorageError, XnnError
from xnn.server.run import _listen, open_service
from xnn.server.settings import load_settings

Records = dict[str, np.ndarray]


def refusal(*arguments: str, **environment: str) -> tuple[int, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("XNN_")}
    done = subprocess.run(
        [sys.executable, "-m", "xnn", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("xnn: "), done.stderr
    return done.returncode, last


def test_what_was_accepted_is_finished_under_load(start, faces_sent: Records) -> None:
    server = start(stop_timeout_s=30)
    stop, answers, lost = threading.Event(), [], []

    def load(number: int) -> None:
        records = faces_sent[f"person-{number + 1:02d}"]
        with server.caller() as caller:
            for turn in range(10_000):
                try:
                    answer = caller.enrol(f"s{number}-{turn}", records[:2])
                except httpx.TransportError:
                    lost.append((number, turn))
                    return
                answers.append((f"s{number}-{turn}", answer.status_code))
                if stop.is_set() and answer.status_code != 201:
                    return

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    status = server.stop()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert status == 0
    assert server.events("stopped")
    assert {status for _, status in answers} == {201}, "each that was answered was done"
    gallery = server.site.open()
    held = {str(s): len(gallery.templates("a", s)) for s in gallery.subjects("a", limit=1000)}
    gallery.close()
    assert {name: 2 for name, _ in answers}.items() <= held.items()
    # A caller who met the closed door was not served behind it; one whose request had been read
    # got an answer. Requests under way when the connection closed: at most one for each caller.
    assert len(held) - len(answers) <= len(lost) <= 4


def test_while_it_drains_it_is_not_ready_but_serves(start, faces_sent: Records) -> None:
    server = start(drain_s=1.5)
    with server.caller() as caller:
        assert caller.http.get("/readyz").status_code == 200
        server.process.terminate()
        time.sleep(0.4)
        not_ready = httpx.get(f"{server.url}/readyz")
        assert not_ready.status_code == 503
        assert "stopping" in not_ready.json()["detail"]
        assert caller.enrol("late", faces_sent["person-01"][:1]).status_code == 201
    assert server.process.wait(30) == 0


def test_it_starts_again_with_what_it_had(start, make_site, faces_sent: Records) -> None:
    site = make_site()
    first = start(site)
    with first.caller() as caller:
        caller.enrol("one", faces_sent["person-01"][:3])
        old = caller.encode(caller.message(faces_sent["person-01"][:1]))
        before = caller.verify("one", faces_sent["person-01"][4:], far=0.1).json()
    assert first.stop() == 0
    second = start(site)
    with second.caller() as caller:
        assert caller.verify("one", faces_sent["person-01"][4:], far=0.1).json() == before
        replay = caller.post("/v1/search?far=0.1", old)
        assert replay.status_code == 409, "a message of before cannot be replayed"


def test_without_an_api_key_it_says_how_to_make_one(bundles: Path, tmp_path: Path) -> None:
    make_master_key(tmp_path / "master.key")
    arguments = ["--bundle", str(bundles / "server"), "--gallery", f"sqlite:///{tmp_path}/g.db"]
    status, text = refusal(*arguments, "--master-key-file", str(tmp_path / "master.key"))
    assert status == 2
    assert "there is no API key" in text
    assert "xnn account" in text


def test_it_refuses_to_begin(make_site, bundles: Path, tmp_path: Path) -> None:
    site: Site = make_site()
    cases: list[tuple[dict[str, object], type[XnnError], str]] = [
        ({"bundle": bundles / "device"}, FormatError, "is a device's bundle"),
        ({"bundle": tmp_path}, FormatError, "not a server bundle"),
        ({"master_key_file": tmp_path / "none"}, StorageError, "no master key"),
        ({"gallery": "mysql://x/y"}, ConfigError, "a gallery cannot be kept in"),
    ]
    for given, kind, message in cases:
        settings = load_settings(site.folder / "serve.toml", **given)
        with pytest.raises(kind, match=message):
            open_service(settings)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(bundle=tmp_path, gallery="sqlite:///g.db", port=port)
        with pytest.raises(StorageError, match=f"port {port}.*choose another --port"):
            _listen(settings)

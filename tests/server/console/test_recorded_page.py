"""Packets of a browser's run: what a page sends holds no picture, no crop, no token, no embedding.

The page is opened, and its requests go, through a relay that records every byte; where one may, the
packets of the loopback are captured as well. The bytes of the files that the page fetches are the
server's own and are not searched.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import watch
from people_at_the_page import enrol, photograph, search, sign_in
from playwright.sync_api import Browser
from secrets_of_faces import Secrets, forbidden_of, messages_in, secrets_of

from served import Running
from wiretap import Forbidden, PacketCapture, Wiretap
from xnn.accounts import secret_of
from xnn.device.pipeline import open_pipeline
from xnn.extractors.catalog import load_extractor
from xnn.server.bundle import load_server_bundle
from xnn.wire import mac_key

PERSON, SHOTS = 15, (1, 2, 3, 4)


@dataclass(frozen=True)
class Recorded:
    sent: bytes
    """All that the browser said."""
    said: list[bytes]
    """The same by connection."""
    packets: list[bytes] | None
    """Both directions of each connection, from packets; None where none may be captured."""
    forbidden: Forbidden
    secrets: Secrets
    found: list[str]


@pytest.fixture(scope="module")
def recorded(
    chromium: Browser,
    coupled_service: Running,
    coupled: Path,
    orl_photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recorded:
    root = tmp_path_factory.mktemp("recorded")
    photos = [photograph(orl_photos, root, PERSON, shot) for shot in SHOTS]
    tap, capture = Wiretap(coupled_service.port), None
    if PacketCapture.refusal() is None:
        capture = PacketCapture(tap.port, root / "run.pcap")
    key = coupled_service.site.keys["b"]
    watched = watch(chromium)
    watched.page.goto(f"{tap.url}/console/")
    sign_in(watched, key)
    enrol(watched, "recorded", *photos[:2])
    found = [name for path in photos[2:] for name, _ in search(watched, path)]
    watched.page.context.close()
    packets = None if capture is None else capture.stop(len(tap.recorded()))
    tap.close()
    secrets = secrets_of(photos, open_pipeline(coupled / "device"), load_extractor("dlib"))
    records = [m.records for m in messages_in(tap.sent(), mac_key(secret_of(key)))]
    student = load_server_bundle(coupled / "server")
    embeddings = student.embed(torch.from_numpy(np.concatenate(records))).numpy()
    return Recorded(
        sent=tap.sent(),
        said=[bytes(pair[0]) for pair in tap.streams if pair[0]],
        packets=packets,
        forbidden=forbidden_of(secrets, embeddings),
        secrets=secrets,
        found=found,
    )


def test_the_run_was_a_real_one(recorded: Recorded) -> None:
    assert "recorded" in recorded.found
    assert recorded.sent.count(b"XNNW") == 3  # two pictures in one message, and two searches
    assert b"GET /console/device/front.onnx" in recorded.sent


def test_nothing_forbidden_leaves_the_browser(recorded: Recorded) -> None:
    assert recorded.forbidden.found_in(recorded.sent) == set()
    assert max(recorded.forbidden.correlations(recorded.sent).values()) < 0.8


def test_the_packets_of_the_loopback_say_the_same(recorded: Recorded) -> None:
    if recorded.packets is None:
        pytest.skip(f"NO PACKETS WERE CAPTURED: {PacketCapture.refusal()}; the relay's record was")
    captured = set(recorded.packets)
    assert all(stream in captured for stream in recorded.said)


def test_a_page_that_sent_a_picture_would_be_found_out(
    recorded: Recorded, chromium: Browser, coupled_service: Running
) -> None:
    """The positive control: a page of this service sends a photograph, a crop and tokens."""
    secrets, tap = recorded.secrets, Wiretap(coupled_service.port)
    page = watch(chromium).page
    page.goto(f"{tap.url}/console/")
    for body in (
        secrets.photographs[0].read_bytes(),
        secrets.crops[1].tobytes(),
        secrets.tokens[2].astype("<f4").tobytes(),
    ):
        page.evaluate(
            "async (numbers) => (await fetch('/v1/search', "
            "{ method: 'POST', body: Uint8Array.from(numbers) })).status",
            list(body),
        )
    page.context.close()
    tap.close()
    assert {"PNG", "file 0", "pixels", "tokens 2"} <= recorded.forbidden.found_in(tap.sent())

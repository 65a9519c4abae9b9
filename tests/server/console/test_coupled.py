"""The score through the browser is the score of an offline evaluation of the same bundles, to 1e-3.

A coupled front is the hard case: its rounds multiply whatever is rounded on the way. The other
fronts are compared number by number in test_parity.py.
"""

from pathlib import Path

import numpy as np
import torch
from browser import packed, unpacked
from in_page import PREPARE, SEND
from people_at_the_page import enrol, go_to, photograph, show_pictures, sign_in

from served import Running
from xnn.device.bundle import load_device_bundle
from xnn.device.pipeline import open_pipeline
from xnn.metrics import cosine_scores
from xnn.server.bundle import ServerBundle, load_server_bundle
from xnn.wire.numbers import through_wire

SCORE = 1e-3
"""Of the whole way; where the crop is the same, a tenth of it."""
PEOPLE = range(1, 7)


def embed(server: ServerBundle, records: np.ndarray) -> np.ndarray:
    return server.embed(torch.from_numpy(records)).numpy()


def test_scores_of_the_same_crops_agree(
    open_page, serve_pages, coupled: Path, people: dict[str, np.ndarray]
) -> None:
    device, server = load_device_bundle(coupled / "device"), load_server_bundle(coupled / "server")
    watched = open_page(serve_pages(coupled / "device"))
    watched.run(PREPARE)
    shape = (device.card.m, device.card.e)
    generator = np.random.default_rng(0)
    sent, crops = [], np.stack([shots[k] for shots in list(people.values())[:8] for k in (0, 1)])
    for crop in crops:
        fresh = generator.standard_normal(device.card.fresh_shape).astype(np.float32)
        sent.append(unpacked(watched.run(SEND, [packed(crop), packed(fresh)]), "<f8", shape))
    browser = embed(server, through_wire(np.stack(sent), "fixed32"))
    offline = embed(server, device.send(crops))
    wanted = cosine_scores(offline, offline)
    assert np.abs(cosine_scores(browser, browser) - wanted).max() <= SCORE / 10
    assert np.abs(cosine_scores(browser, offline) - wanted).max() <= SCORE / 10
    # Positive controls: faces differ by more, and so do the same z once rounded to float32.
    assert wanted.min() < 1 - 10 * SCORE
    rounded = embed(server, through_wire(np.stack(sent), "float32"))
    assert np.abs(cosine_scores(rounded, rounded) - wanted).max() > SCORE


def test_scores_from_the_photograph_agree(
    open_page, coupled_service: Running, coupled: Path, orl_photos: Path, tmp_path: Path
) -> None:
    """Whole ways: found, aligned and sent by the page, answered by the service; and offline."""
    photos = {(s, k): photograph(orl_photos, tmp_path, s, k) for s in PEOPLE for k in (1, 4)}
    pipeline, server = open_pipeline(coupled / "device"), load_server_bundle(coupled / "server")
    offline = {
        key: embed(server, pipeline.prepare([path]).records)[0] for key, path in photos.items()
    }
    watched = open_page(f"{coupled_service.url}/console/")
    sign_in(watched, coupled_service.site.keys["a"])
    for person in PEOPLE:
        enrol(watched, f"person-{person}", photos[person, 1])
    differences = []
    for person in PEOPLE:
        go_to(watched, "Recognise")
        show_pictures(watched, photos[person, 4])
        with watched.page.expect_response("**/v1/search**") as answered:
            watched.page.click("button[type=submit]")
        (result,) = answered.value.json()["results"]
        watched.page.wait_for_selector(".answer")
        assert len(result["candidates"]) > 1
        for candidate in result["candidates"]:
            other = int(candidate["subject_id"].removeprefix("person-"))
            wanted = cosine_scores(offline[person, 4][None], offline[other, 1][None])[0, 0]
            differences.append(abs(candidate["score"] - wanted))
    assert len(differences) > len(PEOPLE)
    assert max(differences) <= SCORE

"""The small front in the browser: chosen on the page, it works; missing, one message says so."""

from pathlib import Path

import numpy as np
import torch
from people_at_the_page import enrol, go_to, photograph, show_pictures, sign_in

from served import Running
from xnn.device.bundle import DeviceBundle, load_detector, load_device_bundle
from xnn.device.pipeline import DevicePipeline
from xnn.metrics import cosine_scores
from xnn.server.bundle import load_server_bundle

SCORE = 0.03
"""Where a number lies on the edge between two steps of int8, two builds of onnxruntime part."""
CHOICE = "select:has(option[value=int8]):has(option[value=float32]:text('full'))"


def embedded(server_folder: Path, device: DeviceBundle, paths: list[Path]) -> np.ndarray:
    pipeline = DevicePipeline(device, load_detector(server_folder.parent / "device"))
    records = torch.from_numpy(pipeline.prepare(paths).records)
    return load_server_bundle(server_folder).embed(records).numpy()


def test_the_small_front_is_chosen_and_recognises(
    open_page, coupled_service: Running, coupled: Path, orl_photos: Path, tmp_path: Path
) -> None:
    device = load_device_bundle(coupled / "device", int8=True)
    known = [photograph(orl_photos, tmp_path, subject, 1) for subject in (8, 9)]
    probe = photograph(orl_photos, tmp_path, 8, 4)
    watched = open_page(f"{coupled_service.url}/console/")
    sign_in(watched, coupled_service.site.keys["b"])
    go_to(watched, "Service")
    watched.page.select_option(CHOICE, "int8")
    for subject, path in zip((8, 9), known, strict=True):
        enrol(watched, f"small-{subject}", path)
    assert any("front-int8.onnx" in seen.url for seen in watched.requests)
    assert not any(seen.url.endswith("/front.onnx") for seen in watched.requests)
    go_to(watched, "Recognise")
    show_pictures(watched, probe)
    with watched.page.expect_response("**/v1/search**") as answered:
        watched.page.click("button[type=submit]")
    (result,) = answered.value.json()["results"]
    vectors = embedded(coupled / "server", device, [*known, probe])
    wanted = cosine_scores(vectors[2:], vectors[:2])[0]
    for candidate in result["candidates"]:
        place = ("small-8", "small-9").index(candidate["subject_id"])
        assert abs(candidate["score"] - wanted[place]) <= SCORE
    assert len(result["candidates"]) == 2


def test_a_bundle_without_a_small_front_is_one_message(
    open_page, shared: Running, orl_photos: Path, tmp_path: Path
) -> None:
    watched = open_page(f"{shared.url}/console/")
    sign_in(watched, shared.site.keys["a"])
    go_to(watched, "Service")
    watched.page.select_option(CHOICE, "int8")
    go_to(watched, "Enrol")
    path = photograph(orl_photos, tmp_path, 1, 1)
    watched.page.set_input_files("#pictures", [path])
    told = watched.page.locator("[role=alert], .alert")
    told.first.wait_for()
    assert list(filter(None, told.all_inner_texts())) == [
        "The device bundle has no front-int8.onnx. Choose the full front under Service."
    ]
    go_to(watched, "Service")
    watched.page.select_option(CHOICE, "float32")
    go_to(watched, "Enrol")
    show_pictures(watched, path)

"""Bundles: each party gets its half, whole, and nothing of the other's."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from xnn.device.bundle import load_device_bundle
from xnn.errors import (
    ConfigError,
    CorruptError,
    FormatError,
    InsufficientDataError,
    ShapeError,
    VersionError,
)
from xnn.export.parting import part_run
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.faces.splits import SplitSettings, split_faces
from xnn.files import canonical_json
from xnn.metrics import cosine_scores
from xnn.metrics.evaluation import evaluate_embeddings
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects
from xnn.owner.noise.finished import NoiseRun
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import load_server_bundle
from xnn.wire import WireLimits, compose, decode, encode, mac_key


@pytest.fixture(scope="module")
def crops(faces: FaceSet) -> np.ndarray:
    return np.concatenate(list(read_samples(faces.samples[:10])))


@pytest.fixture(scope="module")
def runs(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NoiseRun]:
    root = tmp_path_factory.mktemp("runs")
    return {
        preset: train_noise(faces, dlib, make_settings(preset), root / preset)
        for preset in ("paper", "xnn")
    }


@pytest.fixture(scope="module")
def bundles(
    runs: dict[str, NoiseRun],
    dlib: Extractor,
    faces: FaceSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bundles")
    for preset, run in runs.items():
        folders = {side: root / preset / side for side in ("device", "server")}
        part_run(run, dlib, faces, int8=preset == "paper", **folders)
    return {preset: root / preset for preset in runs}


def test_onnx_sends_what_torch_sends(
    runs: dict[str, NoiseRun], bundles: dict[str, Path], dlib: Extractor, crops: np.ndarray
) -> None:
    device = load_device_bundle(bundles["paper"] / "device")
    with torch.no_grad():
        wanted = runs["paper"].front(dlib.prepare(torch.from_numpy(crops))).numpy()
    sent = device.send(crops)
    assert np.abs(sent - wanted).max() < 1e-3 * np.sqrt(np.mean(wanted**2))
    assert np.allclose(device.send(crops[:1]), sent[:1], atol=1e-3)
    assert device.card.measured["difference"] < device.card.tolerance
    assert device.card.measured["cost_ratio"] > 0.5  # times of a machine that may be busy


@pytest.mark.parametrize("preset", ["paper", "xnn"])
def test_both_halves_together_give_the_students_embeddings(
    runs: dict[str, NoiseRun],
    bundles: dict[str, Path],
    dlib: Extractor,
    crops: np.ndarray,
    preset: str,
) -> None:
    run = runs[preset]
    device = load_device_bundle(bundles[preset] / "device")
    server = load_server_bundle(bundles[preset] / "server")
    found = server.embed(torch.from_numpy(device.send(crops)))
    with torch.no_grad():
        sent = run.front(dlib.prepare(torch.from_numpy(crops)))
        wanted = run.student(sent if run.opener is None else run.opener(sent))
    assert torch.nn.functional.cosine_similarity(found, wanted).min() > 0.99


def test_a_coupled_device_never_sends_the_same_twice(
    bundles: dict[str, Path], crops: np.ndarray
) -> None:
    device = load_device_bundle(bundles["xnn"] / "device")
    first, second = device.send(crops), device.send(crops)
    assert first.shape == (10, 1, 10)
    assert np.abs(first - second).mean() > 0.1


def test_the_small_variant_is_small_and_near(bundles: dict[str, Path], crops: np.ndarray) -> None:
    folder = bundles["paper"] / "device"
    whole, small = load_device_bundle(folder), load_device_bundle(folder, int8=True)
    measured = whole.card.measured
    assert measured["int8_size_bytes"] < 0.5 * measured["size_bytes"]
    a, b = whole.send(crops).reshape(len(crops), -1), small.send(crops).reshape(len(crops), -1)
    assert np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1] > 0.9
    # What it costs in recognition is told too: eight photographs of two people here.
    assert 0 < measured["val_rank_1"] <= 1
    assert 0 < measured["int8_val_rank_1"] <= 1
    assert "int8_val_rank_1" not in load_device_bundle(bundles["xnn"] / "device").card.measured
    with pytest.raises(ConfigError, match="--int8"):
        load_device_bundle(bundles["xnn"] / "device", int8=True)


def test_neither_half_holds_the_other_the_teacher_or_a_name(
    runs: dict[str, NoiseRun], bundles: dict[str, Path], faces: FaceSet
) -> None:
    run, root = runs["paper"], bundles["paper"]
    model = onnx.load(str(root / "device" / "front.onnx"))
    device = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    server = [
        t.numpy()
        for t in safetensors.torch.load_file(root / "server" / "student.safetensors").values()
    ]

    def holds(tensors: list[np.ndarray], module: torch.nn.Module) -> bool:
        own = [t.numpy() for t in module.state_dict().values() if t.ndim > 1]
        return any(
            a.shape in (t.shape, t.T.shape) and (np.array_equal(a, t) or np.array_equal(a, t.T))
            for a in tensors
            for t in own
        )

    assert run.front.generator is not None
    assert holds(device, run.front.generator)  # the search finds what is there
    assert holds(server, run.student)
    assert not holds(device, run.student)
    assert not holds(server, run.front)
    for module in (run.teacher.tail, run.teacher.head):
        assert not holds(device, module)
        assert not holds(server, module)
    content = b"".join(p.read_bytes() for p in root.rglob("*") if p.is_file())
    for sample in faces.samples:
        assert sample.subject.encode() not in content
        assert str(sample.path.parent).encode() not in content


def test_a_bundle_opened_by_the_wrong_side_says_whose_it_is(bundles: dict[str, Path]) -> None:
    with pytest.raises(FormatError, match="is a server's bundle"):
        load_device_bundle(bundles["paper"] / "server")
    with pytest.raises(FormatError, match="is a device's bundle"):
        load_server_bundle(bundles["paper"] / "device")
    with pytest.raises(FormatError, match="not a device bundle"):
        load_device_bundle(bundles["paper"])
    with pytest.raises(FormatError, match="not a server bundle"):
        load_server_bundle(bundles["paper"])


@pytest.mark.parametrize(
    ("side", "model"), [("device", "front.onnx"), ("server", "student.safetensors")]
)
def test_altered_bundles_are_refused(
    bundles: dict[str, Path], tmp_path: Path, side: str, model: str
) -> None:
    load = load_device_bundle if side == "device" else load_server_bundle
    folder = tmp_path / side
    shutil.copytree(bundles["paper"] / side, folder)
    card = folder / f"{side}.json"
    content = json.loads(card.read_text())
    for version in (1, 9):
        card.write_text(json.dumps(content | {"version": version}))
        with pytest.raises(VersionError, match=f"format {version}, .* reads 2; export it again"):
            load(folder)
    content["card"]["m"] += 1
    card.write_text(json.dumps(content))
    with pytest.raises(CorruptError, match="checksum"):
        load(folder)
    shutil.copyfile(bundles["paper"] / side / card.name, card)
    path = folder / model
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(CorruptError, match="missing or altered"):
        load(folder)


def test_records_of_another_shape_are_refused(bundles: dict[str, Path]) -> None:
    server = load_server_bundle(bundles["paper"] / "server")
    with pytest.raises(ShapeError, match="this student reads 16x256"):
        server.embed(torch.zeros(2, 4, 256))


@pytest.mark.parametrize("preset", ["paper", "xnn"])
def test_recognition_through_messages_equals_recognition_without(
    bundles: dict[str, Path], faces: FaceSet, preset: str
) -> None:
    """Every dtype on the card: encoded, decoded, embedded, compared; scores differ by 1e-3 at most.

    Both sides get the same z, since a coupled front makes another one each time.
    """
    device = load_device_bundle(bundles[preset] / "device")
    server = load_server_bundle(bundles[preset] / "server")
    crops, labels = (
        np.concatenate(list(read_samples(faces.samples))),
        number_subjects(faces.samples),
    )
    sent, key = device.send(crops), mac_key(bytes(32))
    offline = server.embed(torch.from_numpy(sent)).numpy()
    wanted = cosine_scores(offline, offline)
    limits = WireLimits.for_bundle(server.card.m, server.card.e, max_records=8)

    def rank_1(embeddings: np.ndarray) -> float:
        generator = np.random.default_rng(0)
        return evaluate_embeddings(embeddings, labels, protocol="t", generator=generator).value(
            "rank_1"
        )

    assert device.card.dtypes == server.card.dtypes
    for dtype in device.card.dtypes:
        parts = []
        for start in range(0, len(sent), 8):
            message = compose(
                sent[start : start + 8],
                scheme=device.card.scheme,
                bundle_id=device.card.front_id,
                dtype=dtype,
            )
            read = decode(encode(message, key), key, limits=limits)
            assert (read.scheme, read.bundle_id) == (preset, server.card.front_id)
            parts.append(server.embed(torch.from_numpy(read.records)).numpy())
        found = np.concatenate(parts)
        assert np.abs(cosine_scores(found, found) - wanted).max() <= 1e-3
        assert np.abs(cosine_scores(found, offline) - wanted).max() <= 1e-3
        assert rank_1(found) == pytest.approx(rank_1(offline), abs=1 / len(labels))


def test_cards_tell_the_dtypes_that_the_student_survives(bundles: dict[str, Path]) -> None:
    cards = {p: load_server_bundle(bundles[p] / "server").card for p in bundles}
    for name, card in cards.items():
        assert card.dtype_changes["fixed32" if name == "xnn" else "float32"] < 1e-3
        within = {name for name, change in card.dtype_changes.items() if change <= 1e-3}
        assert set(card.dtypes) == within
    assert "float16" in cards["paper"].dtypes
    # Rounds that multiply differences: half precision leaves nothing of the code, and float32
    # loses more than the tolerance where codes are wide.
    assert cards["xnn"].dtypes[-1] == "fixed32"
    assert "float16" not in cards["xnn"].dtypes
    assert cards["xnn"].dtype_changes["float16"] > 0.1


def test_thresholds_come_from_validation_people_alone(
    runs: dict[str, NoiseRun],
    bundles: dict[str, Path],
    dlib: Extractor,
    faces: FaceSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = load_server_bundle(bundles["paper"] / "server").card.calibration
    assert known is not None
    val = faces.only("val")
    assert (known.subjects, known.images) == (len(val.subjects), len(val)) == (2, 8)
    assert known.non_mated == 16
    assert known.thresholds == ()  # 16 comparisons tell no rate, and none is claimed
    read = set()

    def watched(samples):
        read.update(sample.path for sample in samples)
        return read_samples(samples)

    monkeypatch.setattr("xnn.export.parting.read_samples", watched)
    part_run(runs["paper"], dlib, faces, device=tmp_path / "device", server=tmp_path / "server")
    assert read == {s.path for s in faces.samples if s.split in ("train", "val")}


def test_a_set_that_is_divided_otherwise_gives_no_thresholds(
    runs: dict[str, NoiseRun], dlib: Extractor, faces: FaceSet, tmp_path: Path
) -> None:
    folders = {side: tmp_path / side for side in ("device", "server")}
    undivided = FaceSet(
        name="all", samples=tuple(dataclasses.replace(s, split="train") for s in faces.samples)
    )
    other = split_faces(undivided, SplitSettings(test_subjects=1, val_subjects=2))
    with pytest.raises(ConfigError, match=r"5 people and 20 records .* had 4 and"):
        part_run(runs["paper"], dlib, other, **folders)
    with pytest.raises(InsufficientDataError, match="0 crops that are not for tests"):
        part_run(runs["paper"], dlib, faces.only("test_by_person"), **folders)
    with pytest.raises(ConfigError, match="dtype_tolerance"):
        part_run(runs["paper"], dlib, faces, dtype_tolerance=-1.0, **folders)
    assert not (tmp_path / "server").exists()
    card = part_run(runs["paper"], dlib, undivided, **folders).server
    assert card.calibration is None
    assert load_server_bundle(tmp_path / "server").card == card


def test_a_card_with_a_foreign_dtype_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    for side, load in (("device", load_device_bundle), ("server", load_server_bundle)):
        folder = tmp_path / side
        shutil.copytree(bundles["paper"] / side, folder)
        content = json.loads((folder / f"{side}.json").read_text())
        for broken in (["float64"], []):
            content["card"]["dtypes"] = broken
            digest = hashlib.sha256(canonical_json(content["card"])).hexdigest()
            (folder / f"{side}.json").write_text(json.dumps(content | {"card_sha256": digest}))
            with pytest.raises(CorruptError, match="card is malformed"):
                load(folder)

"""Bundles: each party gets its half, whole, and nothing of the other's."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from xnn.device.bundle import load_device_bundle
from xnn.errors import ConfigError, CorruptError, FormatError, ShapeError, VersionError
from xnn.export.device_bundle import export_device
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.owner.build import read_samples
from xnn.owner.noise.finished import NoiseRun
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import ServerCard, load_server_bundle, save_server_bundle


@pytest.fixture(scope="module")
def crops(faces: FaceSet) -> np.ndarray:
    return np.concatenate(list(read_samples(faces.samples[:10])))


def save(run: NoiseRun, extractor: Extractor, crops: np.ndarray, root: Path, **options) -> None:
    card = export_device(root / "device", run.front, extractor.card, crops, **options)
    settings = run.front.settings
    coupling = None
    if run.opener is not None:
        coupling = {"width": card.e, "rounds": settings.rounds, "gain": settings.gain}
    save_server_bundle(
        root / "server",
        run.student,
        run.opener,
        ServerCard(
            front_id=card.front_id,
            tail=run.student.config,
            m=card.m,
            e=card.e,
            coupling=coupling,
            training={},
        ),
    )


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
    crops: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bundles")
    for preset, run in runs.items():
        save(run, dlib, crops, root / preset, int8=preset == "paper")
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
    assert device.card.measured["cost_ratio"] > 1


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
    card.write_text(json.dumps(content | {"version": 9}))
    with pytest.raises(VersionError, match="9"):
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

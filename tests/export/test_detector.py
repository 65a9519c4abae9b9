"""The detector as ONNX finds what torch finds, on real photographs."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from xnn.device.bundle import open_session
from xnn.errors import CorruptError
from xnn.export import detector as exporting
from xnn.export.detector import TOLERANCE, export_detector
from xnn.faces.crop import read_crops
from xnn.faces.detection.detector import FaceDetector
from xnn.faces.detection.mtcnn import TorchNets
from xnn.faces.detection.onnx_nets import DETECTOR_NAMES, NOTICE_NAME, PROPOSAL_NAME, OnnxNets
from xnn.faces.photograph import read_photograph

OWN_PHOTOGRAPHS = [folder / "shared" / "data" / "raw_photos" for folder in Path(__file__).parents]
"""Where a developer may have photographs beside the checkout; never part of the project."""


@pytest.fixture(scope="module")
def crops(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Photographs resized to a crop's size do for comparing nets."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("crops")
    for subject in (1, 2, 3):
        with Image.open(orl_photos / f"s{subject}" / "1.pgm") as photo:
            photo.convert("RGB").resize((112, 112)).save(folder / f"{subject}.png")
    return read_crops(sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def folder(crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    assert export_detector(folder, crops) < TOLERANCE / 10
    return folder


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[FaceDetector, FaceDetector]:
    nets = OnnxNets(*(open_session(folder / name) for name in DETECTOR_NAMES))
    return FaceDetector(TorchNets()), FaceDetector(nets)


def compare(pair: tuple[FaceDetector, FaceDetector], rgb: np.ndarray) -> int:
    by_torch, by_onnx = (detector.find(rgb) for detector in pair)
    assert len(by_torch) == len(by_onnx)
    np.testing.assert_allclose(by_onnx.scores, by_torch.scores, atol=1e-3)
    # Of a pixel: far below what one grey level of the photograph moves.
    np.testing.assert_allclose(by_onnx.landmarks, by_torch.landmarks, atol=0.05)
    np.testing.assert_allclose(by_onnx.boxes, by_torch.boxes, atol=0.05)
    return len(by_onnx)


def test_both_find_the_same_faces(
    pair: tuple[FaceDetector, FaceDetector], orl_photos: Path
) -> None:
    found = [
        compare(pair, read_photograph(orl_photos / f"s{subject}" / "2.pgm").rgb)
        for subject in range(1, 41, 3)
    ]
    assert found == [1] * 14
    assert compare(pair, np.full((90, 140, 3), 128, np.uint8)) == 0


def test_both_find_the_same_in_photographs_of_every_size(
    pair: tuple[FaceDetector, FaceDetector],
) -> None:
    paths = sorted(path for folder in OWN_PHOTOGRAPHS for path in folder.glob("*.jpg"))[::25]
    if not paths:
        pytest.skip("no photographs beside the checkout")
    assert sum(compare(pair, read_photograph(path).rgb) > 0 for path in paths) > 0.9 * len(paths)


def test_the_files_say_their_shapes_and_carry_their_licence(folder: Path) -> None:
    graph = onnx.load(str(folder / PROPOSAL_NAME)).graph
    shape = graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in shape] == ["b", 3, "h", "w"]
    assert [output.name for output in graph.output] == ["face", "offsets"]
    assert "MIT License" in (folder / NOTICE_NAME).read_text()


def test_an_export_that_differs_is_refused(
    crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(CorruptError, match="differs from torch by"):
        export_detector(tmp_path, crops)


def test_a_damaged_file_is_refused(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / PROPOSAL_NAME
    shutil.copyfile(folder / PROPOSAL_NAME, damaged)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(CorruptError, match="cannot be run"):
        open_session(damaged)

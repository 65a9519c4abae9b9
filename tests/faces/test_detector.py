"""The cascade and its parts, against slow versions and on real faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from xnn.errors import ConfigError, CorruptError
from xnn.faces.align import TEMPLATE, align
from xnn.faces.detection import mtcnn
from xnn.faces.detection.area import AreaSampler
from xnn.faces.detection.detector import (
    DetectionSettings,
    FaceDetector,
    Faces,
    most_prominent,
    suppress,
)
from xnn.faces.detection.mtcnn import TorchNets
from xnn.faces.photograph import read_photograph

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    torch.set_num_threads(1)
    return FaceDetector(TorchNets())


def photo(path: Path) -> Image.Image:
    return Image.fromarray(read_photograph(path).rgb)


def only_face(detector: FaceDetector, rgb: np.ndarray) -> np.ndarray:
    faces = detector.find(rgb)
    assert len(faces) == 1
    landmarks: np.ndarray = faces.landmarks[0]
    return landmarks


def test_patches_equal_torch_area_averages() -> None:
    boxes = np.array([[3, 4, 30, 35], [-10, -4, 25, 20], [40, 20, 90, 60], [5, 5, 9, 6]])
    patches = AreaSampler(NOISE).patches(boxes, size=24)
    canvas = np.full((37 + 200, 53 + 200, 3), 127.5, np.float32)
    canvas[100:137, 100:153] = NOISE
    for patch, (left, top, right, bottom) in zip(patches, boxes + 100, strict=True):
        cut = torch.from_numpy(canvas[top:bottom, left:right]).permute(2, 0, 1)[None]
        slow = (functional.interpolate(cut, (24, 24), mode="area")[0] - 127.5) / 128
        np.testing.assert_allclose(patch, slow.numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [(37, 53), (12, 20), (60, 70)])
def test_the_whole_image_equals_torch_area_average(size: tuple[int, int]) -> None:
    fast = AreaSampler(NOISE).whole(height=size[0], width=size[1])
    image = torch.from_numpy(NOISE).permute(2, 0, 1)[None].float()
    slow = (functional.interpolate(image, size, mode="area") - 127.5) / 128
    np.testing.assert_allclose(fast, slow.numpy(), atol=1e-5)


def test_sums_survive_their_wrap_around() -> None:
    white = np.full((4200, 4100, 3), 255, np.uint8)  # 4.4e9 > 2^32
    patch = AreaSampler(white).patches(np.array([[4000, 4100, 4050, 4150]]), size=24)
    np.testing.assert_allclose(patch, 127.5 / 128, atol=1e-6)


BOXES = st.lists(
    st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 20)] * 2, st.integers(1, 5)),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(BOXES, st.sampled_from([0.2, 0.5, 0.7]), st.sampled_from(["union", "smaller"]))
def test_suppression_equals_the_slow_loop(
    rows: list[tuple[int, ...]], overlap: float, of: str
) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], dtype=float)
    scores = np.array([row[4] / 5 for row in rows])
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -scores[i]):
        pixels = {(x, y) for x in covered(boxes[i], 0) for y in covered(boxes[i], 1)}
        fits = True
        for j in kept:
            other = {(x, y) for x in covered(boxes[j], 0) for y in covered(boxes[j], 1)}
            whole = len(pixels | other) if of == "union" else min(len(pixels), len(other))
            fits &= len(pixels & other) <= overlap * whole
        if fits:
            kept.append(i)
    assert suppress(boxes, scores, overlap=overlap, of=of).tolist() == kept  # type: ignore[arg-type]


def covered(box: np.ndarray, axis: int) -> range:
    return range(int(box[axis]), int(box[axis + 2]) + 1)


def test_real_faces_are_found_where_they_are(detector: FaceDetector, orl_photos: Path) -> None:
    for subject in range(1, 41, 4):
        rgb = read_photograph(orl_photos / f"s{subject}" / "1.pgm").rgb
        landmarks = only_face(detector, rgb)
        assert (landmarks > 0).all()
        assert (landmarks < [92, 112]).all()
        # In the crop a second look finds eyes, nose and mouth where the template has them.
        again = only_face(detector, align(rgb, landmarks))
        assert np.abs(again - TEMPLATE).max() < 9


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("angle", [0, 12])
def test_landmarks_follow_the_photograph(
    detector: FaceDetector, orl_photos: Path, scale: float, angle: int
) -> None:
    """Put a face somewhere in a large photograph: the crop must stay the same."""
    face = photo(orl_photos / "s1" / "1.pgm")
    before = align(np.asarray(face), only_face(detector, np.asarray(face)))
    canvas = Image.new("RGB", (900, 700), (90, 90, 90))
    size = (round(92 * scale), round(112 * scale))
    canvas.paste(face.resize(size, Image.Resampling.BICUBIC), (310, 140))
    turned = canvas.rotate(angle, Image.Resampling.BICUBIC)
    after = align(np.asarray(turned), only_face(detector, np.asarray(turned)))
    middle = np.s_[25:105, 28:84]
    assert np.corrcoef(before[middle].ravel(), after[middle].ravel())[0, 1] > 0.75


def test_a_huge_photograph_is_shrunk_and_mapped_back(
    detector: FaceDetector, orl_photos: Path
) -> None:
    face = photo(orl_photos / "s2" / "1.pgm").resize((920, 1120))
    canvas = Image.new("RGB", (4000, 3000), (90, 90, 90))
    canvas.paste(face, (2500, 1200))
    landmarks = only_face(detector, np.asarray(canvas))
    small = only_face(detector, np.asarray(canvas.resize((1000, 750), Image.Resampling.BOX)))
    assert np.abs(landmarks / 4 - small).max() < 6  # of a face 200 px wide


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (300, 2), (13, 13), (112, 92)])
def test_no_face_is_an_answer(detector: FaceDetector, shape: tuple[int, int]) -> None:
    faces = detector.find(np.full((*shape, 3), 128, np.uint8))
    assert len(faces) == 0
    assert faces.landmarks.shape == (0, 5, 2)


def test_noise_holds_no_face(detector: FaceDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert len(detector.find(noise)) == 0


def test_the_prominent_face_is_large_central_and_sure() -> None:
    def chosen(*rows: tuple[float, ...]) -> int:
        table = np.array(rows, dtype=float)
        marks = np.zeros((len(table), 5, 2))
        faces = Faces(boxes=table[:, :4], scores=table[:, 4], landmarks=marks)
        return most_prominent(faces, height=300, width=300)

    assert chosen((130, 130, 170, 170, 1), (100, 100, 200, 200, 1)) == 1  # larger
    assert chosen((0, 0, 60, 60, 1), (120, 120, 180, 180, 1)) == 1  # nearer the middle
    assert chosen((0, 0, 60, 60, 1), (50, 50, 250, 250, 0.91)) == 0  # surer
    with pytest.raises(ConfigError, match="no faces to choose from"):
        most_prominent(
            Faces(boxes=np.zeros((0, 4)), scores=np.zeros(0), landmarks=np.zeros((0, 5, 2))),
            height=9,
            width=9,
        )


def test_two_faces_in_one_photograph(detector: FaceDetector, orl_photos: Path) -> None:
    canvas = Image.new("RGB", (640, 420), (90, 90, 90))
    large = photo(orl_photos / "s1" / "1.pgm").resize((230, 280))
    small = photo(orl_photos / "s2" / "1.pgm").resize((115, 140))
    canvas.paste(small, (20, 20))
    canvas.paste(large, (220, 80))
    faces = detector.find(np.asarray(canvas))
    assert len(faces) == 2
    best = most_prominent(faces, height=420, width=640)
    assert (faces.landmarks[best] > [220, 80]).all()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="threshold=90"):
        DetectionSettings(threshold=90.0)
    with pytest.raises(ConfigError, match="min_face_px=3"):
        DetectionSettings(min_face_px=3)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(mtcnn.WEIGHTS_PATH.read_bytes())
    content[-1] ^= 1
    altered = tmp_path / "mtcnn.safetensors"
    altered.write_bytes(bytes(content))
    monkeypatch.setattr(mtcnn, "WEIGHTS_PATH", altered)
    with pytest.raises(CorruptError, match="was altered"):
        mtcnn.load_mtcnn()

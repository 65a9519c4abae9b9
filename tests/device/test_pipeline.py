"""Photographs to records: every kind of photograph, and everything that is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xnn.device.bundle import load_detector
from xnn.device.pipeline import DevicePipeline, PipelineSettings, open_pipeline
from xnn.errors import ConfigError, CorruptError, FacesError, ShapeError
from xnn.faces.align import TEMPLATE
from xnn.faces.photograph import read_photograph
from xnn.server.bundle import load_server_bundle


def photo(orl: Path, subject: int, shot: int) -> Path:
    return orl / f"s{subject}" / f"{shot}.pgm"


def turned(path: Path) -> bytes:
    """The photograph as a telephone stores one that was held sideways."""
    file = io.BytesIO()
    with Image.open(path) as image:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees to the right
        image.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    return file.getvalue()


def test_path_bytes_and_pixels_of_a_photograph_give_the_same_crop(
    pipeline: DevicePipeline, orl_photos: Path
) -> None:
    path = photo(orl_photos, 3, 5)
    crops = [
        pipeline.capture(given).crop
        for given in (path, str(path), path.read_bytes(), read_photograph(path).rgb, turned(path))
    ]
    for crop in crops[1:]:
        np.testing.assert_array_equal(crop, crops[0])
    (again,) = pipeline._detector.find(crops[0]).landmarks
    assert np.abs(again - TEMPLATE).max() < 9  # eyes, nose and mouth are where they should be


def test_several_photographs_become_records_in_their_order(
    pipeline: DevicePipeline, exported, orl_photos: Path
) -> None:
    photos = [photo(orl_photos, subject, shot) for subject in (11, 12, 13) for shot in (1, 2)]
    prepared = pipeline.prepare(photos)
    assert prepared.records.shape == (6, pipeline.bundle.card.m, pipeline.bundle.card.e)
    assert prepared.records.dtype == np.float64  # the front is coupled
    assert [capture.num_faces for capture in prepared.captures] == [1] * 6
    assert all(capture.face_px > 40 and capture.score > 0.9 for capture in prepared.captures)
    # The student recognises from them: both photographs of each person are nearest to each other.
    import torch

    embedded = load_server_bundle(exported.server).embed(torch.from_numpy(prepared.records))
    unit = torch.nn.functional.normalize(embedded)
    alike = (unit @ unit.T - 2 * torch.eye(6)).argmax(dim=1).tolist()
    assert sum(best == i ^ 1 for i, best in enumerate(alike)) >= 5


def test_no_record_repeats_though_the_face_does(pipeline: DevicePipeline, orl_photos: Path) -> None:
    path = photo(orl_photos, 2, 1)
    a, b = (pipeline.prepare([path]).records for _ in range(2))
    assert np.abs(a - b).mean() > 0.1


def test_the_larger_of_two_faces_is_taken_and_both_are_counted(
    pipeline: DevicePipeline, orl_photos: Path
) -> None:
    canvas = Image.new("RGB", (640, 420), (90, 90, 90))
    for path, size, place in (
        (photo(orl_photos, 2, 1), (115, 140), (20, 20)),
        (photo(orl_photos, 1, 1), (230, 280), (220, 80)),
    ):
        canvas.paste(Image.fromarray(read_photograph(path).rgb).resize(size), place)
    capture = pipeline.capture(np.asarray(canvas))
    assert capture.num_faces == 2
    assert capture.face_px > 120


def test_a_photograph_without_a_face_is_refused_by_its_name(
    pipeline: DevicePipeline, orl_photos: Path, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    Image.new("RGB", (300, 300), (120, 130, 140)).save(wall)
    with pytest.raises(FacesError, match=r"'wall.png' shows no face that scores 0.9 or more; take"):
        pipeline.prepare([photo(orl_photos, 1, 1), wall])
    with pytest.raises(FacesError, match="photograph 2 shows no face"):
        pipeline.prepare([photo(orl_photos, 1, 1), wall.read_bytes()])
    with pytest.raises(FacesError, match=r"^the photograph shows no face"):
        pipeline.prepare([np.zeros((99, 99, 3), np.uint8)])


def test_a_face_too_small_is_refused(exported, orl_photos: Path) -> None:
    strict = open_pipeline(exported.device, settings=PipelineSettings(min_face_px=90))
    with pytest.raises(FacesError, match=r"is \d\d px wide, at least 90 px are needed; come"):
        strict.capture(photo(orl_photos, 1, 1))
    with pytest.raises(ConfigError, match="min_face_px=0"):
        PipelineSettings(min_face_px=0)


def test_files_that_are_no_photographs_are_refused(
    pipeline: DevicePipeline, orl_photos: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    cut = turned(photo(orl_photos, 1, 1))[:900]
    for given, told in (
        (text, "cannot use 'notes.jpg': not an image"),
        (tmp_path / "missing.jpg", "cannot use 'missing.jpg': unreadable"),
        (tmp_path, "not a regular file"),
        (b"", "cannot use the photograph: unreadable, empty file"),
        (cut, "cannot use the photograph: truncated"),
    ):
        with pytest.raises(FacesError, match=told):
            pipeline.capture(given)
    with pytest.raises(ConfigError, match="no photographs were given"):
        pipeline.prepare([])


def test_photographs_above_the_limit_are_not_opened(exported, orl_photos: Path) -> None:
    small = open_pipeline(exported.device, settings=PipelineSettings(max_pixels=5000))
    path = photo(orl_photos, 1, 1)
    for given in (path, path.read_bytes(), read_photograph(path).rgb):
        with pytest.raises(FacesError, match="the limit is 5000"):
            small.capture(given)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_rgb_picture_are_refused(
    pipeline: DevicePipeline, pixels: np.ndarray
) -> None:
    with pytest.raises(ShapeError, match=r"expected uint8 \(h, w, 3\): RGB in 0..255"):
        pipeline.capture(pixels)


def test_a_bundle_without_detector_says_so(exported, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "device"
    shutil.copytree(exported.device, folder)
    (folder / "detector-landmark.onnx").unlink()
    with pytest.raises(CorruptError, match=r"'detector-landmark.onnx' is missing or altered"):
        load_detector(folder)

"""What the interface does for every extractor: check, resample, normalise, verify."""

import dataclasses

import numpy as np
import pytest
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from xnn.errors import ConfigError, ShapeError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.interface import Extractor, Precision, check_crops
from xnn.extractors.resample import dlib_chip, similarity

CARD = ExtractorCard(
    name="centre-pixel",
    weights_sha256="0" * 64,
    licence="ours",
    origin="this test",
    input_size_px=112,
    pixel_mean=(10.0, 20.0, 30.0),
    pixel_std=(2.0, 4.0, 8.0),
    colour_order="rgb",
    resize="bicubic",
    split_depth=1,
    class_token=False,
    n=1,
    d=3,
)


class CentrePixel(Extractor):
    """Gives the prepared pixel in the middle of the input."""

    def __init__(self, card: ExtractorCard = CARD, precision: Precision = "fp32") -> None:
        super().__init__(card, precision=precision)

    def features(self, pixels: Float32[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        middle = pixels.shape[-1] // 2
        return pixels[:, None, :, middle, middle].bfloat16()


def flat_crops(*colour: int) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).expand(2, 112, 112, 3)


def test_constants_are_the_cards_and_in_its_colour_order() -> None:
    crops = flat_crops(14, 28, 62)
    rgb = CentrePixel().tokens(crops)
    assert rgb.tolist() == [[[2.0, 2.0, 4.0]]] * 2
    bgr = CentrePixel(dataclasses.replace(CARD, colour_order="bgr")).tokens(crops)
    assert bgr.tolist() == [[[26.0, 2.0, -2.0]]] * 2


def test_tokens_are_float32_and_carry_no_gradient() -> None:
    tokens = CentrePixel().tokens(flat_crops(1, 2, 3))
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad


@pytest.mark.parametrize("size_px", [16, 112, 224])
def test_a_flat_crop_stays_flat_at_every_input_size(size_px: int) -> None:
    card = dataclasses.replace(CARD, input_size_px=size_px)
    tokens = CentrePixel(card).tokens(flat_crops(14, 28, 62))
    np.testing.assert_allclose(tokens[0, 0], [2, 2, 4], atol=0.02)


@pytest.mark.parametrize(
    "crops",
    [
        torch.zeros(2, 112, 112, 3),
        torch.zeros(2, 96, 112, 3, dtype=torch.uint8),
        torch.zeros(2, 3, 112, 112, dtype=torch.uint8),
        torch.zeros(112, 112, 3, dtype=torch.uint8),
    ],
)
def test_other_arrays_are_refused_in_one_line(crops: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"expected torch.uint8 \(b, 112, 112, 3\).*faces align"):
        check_crops(crops)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ShapeError, match="empty"):
        CentrePixel().tokens(torch.zeros(0, 112, 112, 3, dtype=torch.uint8))


def test_a_network_that_contradicts_its_card_is_refused() -> None:
    card = dataclasses.replace(CARD, n=4)
    with pytest.raises(ShapeError, match=r"\(2, 4, 3\)"):
        CentrePixel(card).tokens(flat_crops(1, 2, 3))


def test_an_unknown_resampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="dlib-chip"):
        CentrePixel(dataclasses.replace(CARD, resize="nearest"))


def test_similarity_recovers_a_known_one() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(5, 2))
    a, b, shift = 1.2, -0.7, np.array([3.0, -4.0])
    moved = points @ np.array([[a, b], [-b, a]]) + shift
    found = similarity(points, moved)
    np.testing.assert_allclose(found, [[a, -b, 3], [b, a, -4]], atol=1e-12)


def test_the_dlib_chip_equals_bilinear_sampling_by_hand() -> None:
    arcface_x = [38.2946, 73.5318, 56.0252, 41.5493, 70.7299]
    arcface_y = [51.6963, 51.5014, 71.7366, 92.3655, 92.2041]
    dlib_x = [47.13, 101.87, 74.5, 50.76, 98.24]
    dlib_y = [45.53, 45.53, 75.62, 101.66, 101.66]
    arcface = np.stack([arcface_x, arcface_y], axis=1)
    dlib = np.stack([dlib_x, dlib_y], axis=1)
    to_crop = similarity(dlib, arcface)
    generator = np.random.default_rng(1)
    crop = generator.integers(0, 256, (3, 112, 112)).astype(np.float32)
    chip = dlib_chip(torch.from_numpy(crop)[None], 150)[0].numpy()
    for row, column in generator.integers(0, 150, (60, 2)):
        x, y = to_crop @ [column, row, 1]
        np.testing.assert_allclose(
            chip[:, row, column], slow_bilinear(crop, float(x), float(y)), atol=0.02
        )


def slow_bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(3)
    for row, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < 112 and 0 <= column < 112:
                total += weight_y * weight_x * image[:, row, column]
    return total

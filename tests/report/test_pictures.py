"""Token pictures against a slow singular value decomposition; pictures survive as pixels."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from xnn.report.pictures import picture, token_pca_images


def slow_picture(tokens: np.ndarray) -> np.ndarray:
    flat = tokens.reshape(-1, tokens.shape[-1]).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:3]
    columns = []
    for v in directions:
        scores = centred @ (v if v[np.abs(v).argmax()] > 0 else -v)
        low, high = np.percentile(scores, 1), np.percentile(scores, 99)
        columns.append(np.clip((scores - low) / (high - low), 0, 1) * 255)
    return np.stack(columns, axis=1)


def test_colours_are_the_first_three_principal_components() -> None:
    tokens = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    shown = token_pca_images(tokens, grid=(2, 3))
    assert shown.shape == (3, 2, 3, 3)
    assert np.abs(shown.reshape(-1, 3) - slow_picture(tokens)).max() <= 0.51


def test_a_permutation_moves_the_squares_and_keeps_their_colours() -> None:
    rng = np.random.default_rng(1)
    tokens = rng.normal(size=(2, 9, 5)).astype(np.float32)
    order = rng.permutation(9)
    before = token_pca_images(tokens, grid=(3, 3)).reshape(2, 9, 3).astype(int)
    after = token_pca_images(tokens[:, order], grid=(3, 3)).reshape(2, 9, 3).astype(int)
    assert np.abs(after - before[:, order]).max() <= 1


def test_the_class_token_is_left_out_and_does_not_colour_the_rest() -> None:
    tokens = np.random.default_rng(2).normal(size=(2, 5, 4)).astype(np.float32)
    without = token_pca_images(tokens[:, 1:], grid=(2, 2))
    tokens[:, 0] = 1e6
    assert (token_pca_images(tokens, grid=(2, 2)) == without).all()


@pytest.mark.parametrize("width", [1, 2])
def test_narrow_or_constant_tokens_still_give_a_picture(width: int) -> None:
    shown = token_pca_images(np.ones((1, 4, width), dtype=np.float32), grid=(2, 2))
    assert shown.shape == (1, 2, 2, 3)
    assert (shown == 0).all()


def test_a_picture_in_the_page_has_the_same_pixels() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    markup = picture(pixels, alt='a "quoted" <name>')
    found = re.search(r"base64,([^\"]+)", markup)
    assert found is not None
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        assert (np.asarray(image) == pixels).all()
    assert 'alt="a &quot;quoted&quot; &lt;name&gt;"' in markup
    assert 'width="7" height="5"' in markup

"""The picture of what leaves: one grey cell for each number."""

import io

import numpy as np
import pytest
from PIL import Image

from xnn.device.record_picture import picture_of, png_of

CELL_PX, GAP_PX = 16, 8


@pytest.mark.parametrize(
    ("shape", "cells"),
    [((1, 16, 256), (16, 256)), ((1, 1, 80), (9, 9)), ((1, 1, 1), (1, 1)), ((1, 2, 3), (2, 3))],
)
def test_every_number_is_one_cell(shape: tuple[int, int, int], cells: tuple[int, int]) -> None:
    records = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    picture = picture_of(records)
    assert picture.shape == (cells[0] * CELL_PX, cells[1] * CELL_PX)
    shades = picture[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX].ravel()[: records.size]
    order = np.argsort(records.ravel())
    assert (np.diff(shades[order].astype(int)) >= 0).all()  # larger numbers are lighter


def test_records_lie_below_each_other_and_constant_ones_are_grey() -> None:
    picture = picture_of(np.zeros((2, 2, 4), np.float32))
    assert picture.shape == (2 * 2 * CELL_PX + GAP_PX, 4 * CELL_PX)
    assert set(np.unique(picture)) == {40, 127}
    with Image.open(io.BytesIO(png_of(np.zeros((2, 2, 4), np.float32)))) as image:
        assert (image.format, image.size) == ("PNG", (64, 72))

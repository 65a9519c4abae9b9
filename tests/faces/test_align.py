"""The similarity and the warp, against slow obvious versions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import FacesError
from xnn.faces.align import TEMPLATE, align, similarity, warp


def motion(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def slow_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Solve for (a, b, x, y) of [[a, -b, x], [b, a, y]] by least squares, row by row."""
    rows, values = [], []
    for (sx, sy), (tx, ty) in zip(source, target, strict=True):
        rows += [[sx, -sy, 1, 0], [sy, sx, 0, 1]]
        values += [tx, ty]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


POINTS = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=5, max_size=5, unique=True
).map(lambda points: np.array(points, dtype=float))


@settings(deadline=None)
@given(POINTS, POINTS)
def test_similarity_equals_least_squares(source: np.ndarray, target: np.ndarray) -> None:
    fast = similarity(source, target)
    np.testing.assert_allclose(fast, slow_similarity(source, target), atol=1e-8)
    assert np.linalg.det(fast[:, :2]) >= -1e-12  # no reflection


@settings(deadline=None)
@given(POINTS, st.floats(-3, 3), st.floats(0.2, 5), st.floats(-50, 50))
def test_similarity_finds_the_motion(
    source: np.ndarray, angle: float, scale: float, shift: float
) -> None:
    matrix = motion(angle, scale, shift, -shift)
    np.testing.assert_allclose(similarity(source, moved(source, matrix)), matrix, atol=1e-7)


def test_points_that_coincide_are_no_face() -> None:
    with pytest.raises(FacesError, match="landmarks coincide"):
        similarity(np.ones((5, 2)), TEMPLATE)
    with pytest.raises(FacesError, match="absurdly far apart"):
        warp(np.zeros((9, 9, 3), np.uint8), motion(0, 1e-3, 0, 0))


def picture(x: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
    """Paint a smooth picture that is known at every point, not only at pixels."""
    x, y = np.broadcast_arrays(x, y)
    waves = [np.sin(x / (9 * scale)), np.cos(y / (7 * scale)), np.sin((x + y) / (13 * scale))]
    return 127.5 + 100 * np.stack(waves, axis=-1)


@pytest.mark.parametrize(
    ("scale", "angle"), [(0.5, 0.5), (1.0, 0.0), (1.0, -2.0), (1.4, 0.5), (2.5, -2.0), (4.0, 0.5)]
)
def test_align_shows_the_picture_at_the_right_place(scale: float, angle: float) -> None:
    back = motion(angle, scale, 0, 0)  # from the crop to the photograph
    back[:, 2] = 60 * 3 * scale - back[:, :2] @ [56, 56]
    side = np.arange(int(360 * scale)) + 0.5
    photograph = np.round(picture(side[None, :], side[:, None], scale)).astype(np.uint8)
    crop = align(photograph, moved(TEMPLATE, back))
    centres = np.arange(112) + 0.5
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    x, y = moved(grid, back).T
    expected = picture(x, y, scale).reshape(112, 112, 3)
    assert np.abs(crop - expected).max() < 5


def test_a_large_face_does_not_alias() -> None:
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the crop can show: must become even grey
    crop = warp(stripes, motion(0.01, 1 / 7.3, 0, 0))
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() < 40
    assert crop[4:-4, 4:-4].std() < 15  # 127 when sampled point by point


def test_beyond_the_edge_the_photograph_goes_on() -> None:
    photograph = np.full((50, 40, 3), 90, np.uint8)
    assert set(np.unique(align(photograph, TEMPLATE - 60))) == {90}

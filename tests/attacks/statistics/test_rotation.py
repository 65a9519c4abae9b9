"""Rotations and orders that are known."""

from dataclasses import replace

import numpy as np
from scipy.stats import ortho_group

from xnn.attacks.statistics.moments import measure
from xnn.attacks.statistics.reordering import reorder
from xnn.attacks.statistics.rotation import align, polar, transported


def test_polar_is_the_nearest_rotation() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(5, 5))
    nearest = polar(matrix)
    assert np.allclose(nearest @ nearest.T, np.eye(5))
    others = ortho_group.rvs(5, size=200, random_state=1)
    assert all(np.linalg.norm(matrix - nearest) <= np.linalg.norm(matrix - o) for o in others)


def test_transported_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 7, 4, 4)).astype(np.float32)
    turn = rng.normal(size=(4, 4)).astype(np.float32)
    slow = sum(a.astype(float) @ turn @ b for a, b in zip(left, right, strict=True))
    assert np.allclose(transported(left, right, turn), slow, atol=1e-4)


def test_a_rotation_of_the_whitened_space_is_found(made_up) -> None:
    moments = measure(made_up.tokens(500, 0))
    turn = ortho_group.rvs(made_up.d, random_state=0)
    short = turn.astype(np.float32)
    turned = short.T @ moments.covariances @ short
    found = align(
        moments.means, moments.means @ turn, moments.covariances, turned, max_steps=200,
        tolerance=1e-7,
    )  # fmt: skip
    assert np.allclose(found, turn, atol=1e-3)
    # Means alone cannot tell: they span fewer directions than there are.
    flat = np.zeros_like(turned)
    assert not np.allclose(align(moments.means, moments.means @ turn, flat, flat), turn, atol=0.1)


def test_the_order_is_read_off_in_the_aligned_space(made_up) -> None:
    public = measure(made_up.tokens(500, 0))
    order = np.random.default_rng(0).permutation(made_up.n)
    other = measure(made_up.tokens(500, 1)[:, order])
    back = public.whitening.inverse_root @ other.whitening.root
    assert np.array_equal(reorder(other, public, back), order)
    same = replace(public, means=public.means, covariances=public.covariances)
    assert np.array_equal(reorder(same, public, np.eye(made_up.d)), np.arange(made_up.n))

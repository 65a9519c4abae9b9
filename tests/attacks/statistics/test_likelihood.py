"""The likelihood against a dense Gaussian and differences, and its gain on few records."""

import numpy as np
from scipy.optimize import check_grad

from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.attacks.statistics.likelihood import _Climb, refine
from xnn.attacks.statistics.moments import measure


def test_the_precision_is_that_of_a_dense_covariance(made_up) -> None:
    tokens = made_up.tokens(600, 0)
    model = JointGaussian.fit(tokens)
    n, d = made_up.n, made_up.d
    maps = (tokens @ model.into).astype(np.float32) - model.means
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    dense = np.zeros((n * d, n * d))
    for t in range(n):
        dense[t * d : (t + 1) * d, t * d : (t + 1) * d] = np.linalg.inv(model.precisions[t])
    gram = np.linalg.eigh(flat.T @ flat / len(flat))
    k = len(model.shared)
    dense += (gram[1][:, -k:] * gram[0][-k:]) @ gram[1][:, -k:].T
    expected = np.linalg.solve(dense, flat[:5].T).T
    got = model.precision_times(maps[:5]).reshape(5, -1)
    assert np.allclose(got, expected, atol=2e-2 * np.abs(expected).max())


def test_maps_have_unit_variance(made_up) -> None:
    tokens = made_up.tokens(600, 0)
    model = JointGaussian.fit(tokens)
    maps = (tokens @ model.into).astype(np.float32) - model.means
    flat = maps.reshape(-1, made_up.d).astype(np.float64)
    assert np.allclose(flat.T @ flat / len(flat), np.eye(made_up.d), atol=1e-2)


def test_the_gradient_is_that_of_the_value(made_up) -> None:
    model = JointGaussian.fit(made_up.tokens(200, 0))
    records, _ = made_up.records(made_up.tokens(40, 1))
    whitening = measure(records).whitening
    white = (records @ whitening.inverse_root).astype(np.float32)
    climb = _Climb(white, np.eye(made_up.d), model, whitening)
    step = 0.1 * np.random.default_rng(0).normal(size=made_up.d**2)
    error = check_grad(
        lambda x: climb.value_and_gradient(x)[0],
        lambda x: climb.value_and_gradient(x)[1],
        step,
        epsilon=1e-3,
        direction="random",
        rng=0,
    )
    slope = np.linalg.norm(climb.value_and_gradient(step)[1])
    assert error < 0.02 * slope * made_up.d


def test_it_improves_a_rough_matrix(made_up) -> None:
    tokens = made_up.tokens(40, 1)
    records, order = made_up.records(tokens)
    moments = measure(records)
    truth = np.linalg.lstsq(
        records.reshape(-1, made_up.d).astype(np.float64),
        tokens[:, order].reshape(-1, made_up.d).astype(np.float64),
        rcond=None,
    )[0]
    rough = truth @ (np.eye(made_up.d) + 0.1 * np.random.default_rng(0).normal(size=truth.shape))
    model = JointGaussian.fit(made_up.tokens(800, 2))

    def error(inverse: np.ndarray) -> float:
        return float(np.linalg.norm(records @ inverse - tokens[:, order]))

    found = refine(records, order, rough, model, moments.whitening)
    assert error(found.inverse) < 0.5 * error(rough)
    wrong = refine(records, np.roll(order, 1), rough, model, moments.whitening)
    assert found.objective < wrong.objective

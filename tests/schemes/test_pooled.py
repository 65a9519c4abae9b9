"""The pooled rung against its formula, and what whitening and noise do to its moments."""

import numpy as np
import pytest
import torch

from xnn.schemes import KeyStream, find_scheme
from xnn.schemes.matrices import draw_matrix
from xnn.schemes.pooled import LOUDEST, Pooled
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

SEED = bytes(range(32))
SHAPE = TokenShape(5, 8)


def features(b: int = 400, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    scale = np.geomspace(3, 0.3, 8)
    return (generator.normal(size=(b, 5, 8)) * scale + 4).astype(np.float32)


@pytest.mark.parametrize("whiten", [0.0, 0.25, 0.5])
def test_records_are_the_formula(whiten: float) -> None:
    x = features()
    scheme = Pooled(name="p", strength=2.0, whiten=whiten)
    obfuscator = scheme.fit(x).bind(SHAPE, KeyStream(SEED))
    some = torch.from_numpy(x[:6]).double()
    records = obfuscator.obfuscate(some).numpy()[:, 0]

    pooled = x.astype(np.float64).mean(axis=1)
    mean, covariance = pooled.mean(axis=0), np.cov(pooled.T, bias=True)
    shrunk = covariance + 1e-3 * np.trace(covariance) / 8 * np.eye(8)
    values, vectors = np.linalg.eigh(shrunk)
    w = vectors @ np.diag(values**-whiten) @ vectors.T
    w /= np.sqrt(np.mean(((pooled - mean) @ w) ** 2))
    stream = KeyStream(SEED)
    rotation = draw_matrix(stream, 8, "haar")
    noise = RecordChance(stream).of(some).normals(8).numpy()
    for record, one, g in zip(records, pooled, noise, strict=False):
        z = (one - mean) @ w
        z = z * min(1.0, LOUDEST / np.sqrt(np.mean(z**2)))
        assert np.allclose(record, z @ rotation + 2.0 * g, atol=1e-4)


def test_whole_whitening_leaves_a_round_cloud() -> None:
    x = features(4000)
    scheme = Pooled(name="p", strength=0.0, whiten=0.5).fit(x)
    records = scheme.bind(SHAPE, KeyStream(SEED)).obfuscate(torch.from_numpy(x)).numpy()[:, 0]
    variances = np.linalg.eigvalsh(np.cov(records.T))
    assert variances.max() / variances.min() < 1.3
    assert np.abs(records.mean(axis=0)).max() < 0.1


def test_the_guarantee_is_of_the_noise_that_is_added() -> None:
    assert find_scheme("pooled").guarantee(SHAPE) is None
    stated = find_scheme("pooled-noise-4").guarantee(SHAPE)
    assert stated is not None
    assert stated.noise_ratio == pytest.approx(4 / LOUDEST)
    assert stated.bits == pytest.approx(4 * np.log2(1 + (LOUDEST / 4) ** 2))
    assert stated.epsilon is not None
    assert f"{stated.bits:.3g} bits" in stated.sentence
    loud = torch.from_numpy(100 * features(4, seed=1))
    obfuscator = find_scheme("pooled-noise-4").fit(features()).bind(SHAPE, KeyStream(SEED))
    rms = obfuscator.without_noise(loud).square().mean(dim=(1, 2)).sqrt()
    assert float(rms.max()) <= LOUDEST * 1.0001


def test_layers_and_share_are_the_formula() -> None:
    x = features()
    scheme = Pooled(name="p", strength=0.0, layers=2, share=0.5).fit(x)
    records = scheme.bind(SHAPE, KeyStream(SEED)).obfuscate(torch.from_numpy(x[:6]).double())
    assert records.shape == (6, 1, 4)
    measured = scheme.measure(x)
    stream = KeyStream(SEED)
    layers = [draw_matrix(stream, 8, "gaussian") for _ in range(2)]
    kept = draw_matrix(stream, 8, "haar")[:, :4] * np.sqrt(2)
    for record, one in zip(records.numpy()[:, 0], x[:6].astype(np.float64), strict=True):
        h = (one.mean(axis=0) - measured["mean"]) @ measured["whitening"]
        for v in layers:
            h = (np.maximum(h @ v, 0) - np.sqrt(1 / (2 * np.pi))) / np.sqrt(0.5 - 1 / (2 * np.pi))
        z = h @ kept
        assert np.allclose(record, z * min(1.0, LOUDEST / np.sqrt(np.mean(z**2))), atol=1e-5)


@pytest.mark.parametrize("name", ["standard-order-noise-2", "centred-order-noise-2"])
def test_standard_order_is_the_formula(name: str) -> None:
    x = features()
    scheme = find_scheme(name).fit(x)
    some = torch.from_numpy(x[:6]).double()
    obfuscator = scheme.bind(SHAPE, KeyStream(SEED))
    records, quiet = obfuscator.obfuscate(some).numpy(), obfuscator.without_noise(some).numpy()
    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    if name.startswith("centred"):
        deviation = np.full_like(deviation, np.sqrt(np.mean(deviation**2)))
    stream = KeyStream(SEED)
    rotation = draw_matrix(stream, 8, "haar")
    draws = RecordChance(stream).of(some)
    orders, noise = draws.orders(5).numpy(), draws.normals(40).numpy().reshape(6, 5, 8)
    for i, one in enumerate(x[:6].astype(np.float64)):
        expected = ((one - mean) / deviation)[orders[i]] @ rotation
        assert np.allclose(quiet[i], expected, atol=1e-4)
        assert np.allclose(records[i], expected + 2 * noise[i], atol=1e-4)

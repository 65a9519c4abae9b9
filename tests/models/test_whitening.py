"""Whitening: what an invertible matrix cannot change any more."""

import numpy as np
import pytest
import torch

from xnn.errors import InsufficientDataError
from xnn.models.whitening import Moments, Whitening, blend, inverse_square_root


def records(num: int = 60, n: int = 5, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens with very different variances per direction, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 6
    centres = rng.normal(size=(6, 1, d))
    tokens = centres[labels] + rng.normal(size=(num, n, d)) * 10.0 ** -np.arange(d) + 5
    return tokens.astype(np.float32), labels


def whitened(
    tokens: np.ndarray, labels: np.ndarray, *, chunk: int = 17, shrinkage: float = 0.0
) -> np.ndarray:
    whitening = Whitening(tokens.shape[2], shrinkage=shrinkage)
    starts = range(0, len(tokens), chunk)
    whitening.fit((tokens[s : s + chunk], labels[s : s + chunk]) for s in starts)
    return whitening(torch.from_numpy(tokens)).numpy()


def test_a_key_changes_nothing_but_a_rotation() -> None:
    tokens, labels = records()
    matrix = np.random.default_rng(1).normal(size=(4, 4))
    order = np.random.default_rng(2).permutation(5)
    keyed = (tokens[:, order].astype(np.float64) @ matrix).astype(np.float32)
    plain_rows = whitened(tokens, labels)[:, order].reshape(-1, 4)
    keyed_rows = whitened(keyed, labels).reshape(-1, 4)
    np.testing.assert_allclose(keyed_rows @ keyed_rows.T, plain_rows @ plain_rows.T, atol=2e-2)
    unwhitened = keyed.reshape(-1, 4) @ keyed.reshape(-1, 4).T
    assert np.abs(unwhitened - tokens[:, order].reshape(-1, 4) @ tokens.reshape(-1, 4).T).max() > 1


def test_the_blend_against_loops() -> None:
    tokens, labels = records()
    d = tokens.shape[2]
    rows = tokens.reshape(-1, d).astype(np.float64)
    total = np.cov(rows.T, bias=True)
    within = np.zeros((d, d))
    for label in np.unique(labels):
        pooled = tokens[labels == label].astype(np.float64).mean(axis=1)
        for record in pooled - pooled.mean(axis=0):
            within += np.outer(record, record) / (len(tokens) - 6)
    total += 1e-5 * np.trace(total) / d * np.eye(d)
    blended = total + within * d / np.trace(np.linalg.inv(total) @ within)
    out = whitened(tokens, labels).reshape(-1, d).astype(np.float64)
    inverse = inverse_square_root(blended)
    np.testing.assert_allclose(out, (rows - rows.mean(axis=0)) @ inverse, atol=1e-3)
    np.testing.assert_allclose(inverse @ blended @ inverse, np.eye(d), atol=1e-9)


def test_shrinkage_adds_the_same_to_every_direction() -> None:
    moments = Moments(mean=np.zeros(2), tokens=np.diag([4.0, 1.0]), within=np.diag([1.0, 2.0]))
    added = blend(moments, shrinkage=0.2) - blend(moments, shrinkage=0.0)
    np.testing.assert_allclose(added, 0.5 * np.eye(2))  # a fifth of the mean variance 2.5


def test_without_repeats_of_a_class_only_the_tokens_count() -> None:
    moments = Moments(mean=np.zeros(2), tokens=np.diag([4.0, 1.0]), within=np.zeros((2, 2)))
    np.testing.assert_allclose(blend(moments, shrinkage=0.0), np.diag([4.0, 1.0]), atol=1e-4)
    tokens, _ = records(num=50)
    rows = whitened(tokens, np.arange(50)).reshape(-1, 4)
    np.testing.assert_allclose(np.cov(rows.T, bias=True), np.eye(4), atol=0.05)


def test_a_dead_channel_does_no_harm() -> None:
    tokens, labels = records()
    tokens[:, :, 2] = 0
    out = whitened(tokens, labels, shrinkage=0.1)
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 20


def test_tokens_that_are_all_alike_are_refused() -> None:
    with pytest.raises(InsufficientDataError, match="without variance"):
        whitened(np.ones((3, 2, 2), dtype=np.float32), np.arange(3))
    with pytest.raises(InsufficientDataError, match="0 tokens"):
        Whitening(2).fit([])


def test_mixed_precision_does_not_reach_the_whitening() -> None:
    tokens, labels = records()
    whitening = Whitening(4)
    whitening.fit([(tokens, labels)])
    expected = whitening(torch.from_numpy(tokens))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(whitening(torch.from_numpy(tokens)), expected)

"""Products of whitened tokens: no key changes them, and a slow description says the same."""

import numpy as np
import pytest

from xnn.attacks.statistics.token_grams import (
    anchored_products,
    column_weights,
    free_anchors,
    invariants,
    sorted_products,
    standardised,
)
from xnn.attacks.statistics.upload_whitening import UploadWhitening

COUNT = 60


def white(records: np.ndarray) -> np.ndarray:
    return UploadWhitening.of(records)(records)


def slow_invariants(record: np.ndarray) -> list[float]:
    """One record, one pair of tokens at a time; fewer than 16 tokens."""
    tokens = [token.astype(np.float64) for token in record]
    m = len(tokens)
    gram = np.array([[a @ b for b in tokens] for a in tokens])
    spectrum = sorted(np.log(np.linalg.svd(record.astype(np.float64))[1] ** 2))
    lengths = sorted(0.5 * np.log(gram[i, i]) for i in range(m))
    rows = [
        sorted(gram[i, j] / np.sqrt(gram[i, i] * gram[j, j]) for j in range(m) if j != i)
        for i in range(m)
    ]
    columns = [sorted(row[k] for row in rows) for k in range(m - 1)]
    return [*spectrum, *lengths, *(columns[k][i] for i in range(m) for k in range(m - 1))]


def test_invariants_equal_slow_ones(made_up) -> None:
    records = white(made_up.tokens(COUNT, 1))
    got = invariants(records)
    assert got.shape == (COUNT, len(column_weights(*records.shape[1:])))
    for i in (0, 7):
        assert np.allclose(got[i], slow_invariants(records[i]), atol=1e-5)


def test_no_key_changes_them_nor_any_order_of_tokens(made_up) -> None:
    tokens = made_up.tokens(COUNT, 1)
    records, _ = made_up.records(tokens)
    rng = np.random.default_rng(0)
    shuffled = np.stack([r[rng.permutation(len(r))] for r in white(records)])
    plain = invariants(white(tokens))
    for same in (white(records), shuffled):
        moved = np.abs(invariants(same) - plain) / plain.std(axis=0)
        assert np.quantile(moved, 0.99) < 0.02
    assert np.abs(tokens - records).max() > 1  # the key did change the records


def test_anchors_turn_with_the_records(made_up) -> None:
    tokens = made_up.tokens(COUNT, 1)
    records, order = made_up.records(tokens)
    plain, keyed = white(tokens), white(records)
    a, b = (sorted_products(w, free_anchors(w, 5)) for w in (plain, keyed))
    assert a.shape == (COUNT, made_up.n, 5)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    a = anchored_products(plain, plain.mean(axis=0), np.arange(made_up.n))
    b = anchored_products(keyed, keyed.mean(axis=0), order)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    # Products of token s with mean token t stand in row s and column t.
    assert a[3, 2, 5] == pytest.approx(plain[3, 2] @ plain.mean(axis=0)[5], rel=1e-4)


def test_a_column_that_never_changes_stays_finite() -> None:
    rows = np.array([[1.0, 2.0], [1.0, 4.0]])
    assert np.array_equal(standardised(rows, rows), [[0.0, -1.0], [0.0, 1.0]])

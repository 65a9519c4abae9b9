"""Pairs, their truth and their subjects against a double loop."""

import numpy as np
import pytest

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import Comparisons, all_pairs_scores, pair_comparisons, search_comparisons
from xnn.metrics import comparisons as module


def as_sets(found: Comparisons) -> tuple[list, list]:
    """Comparisons without their order, subjects of a pair without theirs."""
    mated = sorted(zip(found.mated.round(9), found.mated_subjects, strict=True))
    couples = np.sort(found.non_mated_subjects, axis=1).tolist()
    return mated, sorted(zip(found.non_mated.round(9), couples, strict=True))


def slow_all_pairs(embeddings: np.ndarray, labels: np.ndarray) -> tuple[list, list]:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mated, non_mated = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            score = np.round(unit[i] @ unit[j], 9)
            if labels[i] == labels[j]:
                mated.append((score, labels[i]))
            else:
                non_mated.append((score, sorted([labels[i], labels[j]])))
    return sorted(mated), sorted(non_mated)


@pytest.mark.parametrize("block_rows", [3, 1024])
def test_all_pairs_equal_a_double_loop(monkeypatch, block_rows: int) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", block_rows)
    rng = np.random.default_rng(1)
    embeddings, labels = rng.normal(size=(11, 4)), rng.integers(0, 4, 11)
    assert as_sets(all_pairs_scores(embeddings, labels)) == slow_all_pairs(embeddings, labels)


def test_thinning_keeps_every_mated_pair_and_about_the_share_asked() -> None:
    rng = np.random.default_rng(2)
    embeddings, labels = rng.normal(size=(200, 4)), np.repeat(np.arange(20), 10)
    everything = all_pairs_scores(embeddings, labels)
    thinned = all_pairs_scores(embeddings, labels, max_non_mated=4000, generator=rng)
    assert as_sets(thinned)[0] == as_sets(everything)[0]
    assert 3700 < len(thinned.non_mated) < 4300
    assert set(thinned.non_mated) <= set(everything.non_mated)
    enough = all_pairs_scores(embeddings, labels, max_non_mated=10**9)
    assert len(enough.non_mated) == len(everything.non_mated)


def test_a_search_is_every_probe_against_every_reference() -> None:
    found = search_comparisons(
        np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([8, 9]), np.array([9, 8])
    )
    assert found.mated.tolist() == [0.2, 0.3]
    assert found.mated_subjects.tolist() == [8, 9]
    assert found.non_mated.tolist() == [0.1, 0.4]
    assert found.non_mated_subjects.tolist() == [[8, 9], [9, 8]]


@pytest.mark.usefixtures("as_in_production")
def test_refusals() -> None:
    one = np.array([1, 1])
    with pytest.raises(InsufficientDataError, match="non_mated is empty"):
        pair_comparisons(np.zeros(2), one, one)
    with pytest.raises(ShapeError, match="first_labels has 1 entries"):
        pair_comparisons(np.zeros(2), np.array([1]), one)
    with pytest.raises(InsufficientDataError, match="2 images of 1 subjects"):
        all_pairs_scores(np.ones((2, 2)), one)
    two = np.array([1, 1, 2, 2])
    with pytest.raises(ConfigError, match="give a generator"):
        all_pairs_scores(np.ones((4, 2)), two, max_non_mated=1)
    with pytest.raises(ConfigError, match="at least 1"):
        all_pairs_scores(np.ones((4, 2)), two, max_non_mated=0)

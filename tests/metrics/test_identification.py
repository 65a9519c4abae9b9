"""Scores, ranks, CMC and the gallery split against slow loops and hand cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import (
    cmc,
    cosine_scores,
    euclidean_scores,
    gallery_and_probes,
    mated_ranks,
    rank_k,
)


def slow_rank(row: np.ndarray, label: int, gallery_labels: np.ndarray) -> int:
    best = max(s for s, other in zip(row, gallery_labels, strict=True) if other == label)
    rank = 1
    for score, other in zip(row, gallery_labels, strict=True):
        rank += other != label and score >= best
    return rank


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 8))
def test_ranks_and_cmc_equal_slow_loops_with_ties(seed: int, g: int, q: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (q, g)).astype(np.float64)
    gallery = rng.permutation(g)
    probes = rng.integers(0, g, q)
    slow = [slow_rank(row, label, gallery) for row, label in zip(scores, probes, strict=True)]
    assert mated_ranks(scores, probes, gallery).tolist() == slow
    curve = cmc(scores, probes, gallery, max_rank=g)
    assert curve.tolist() == pytest.approx([np.mean([r <= k + 1 for r in slow]) for k in range(g)])
    assert rank_k(scores, probes, gallery, k=2) == pytest.approx(curve[1])
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1.0


def test_a_tie_counts_against() -> None:
    labels = np.array([0, 1])
    assert rank_k(np.zeros((2, 2)), labels, labels) == 0.0
    assert rank_k(np.eye(2), labels, labels) == 1.0


def test_several_references_of_one_subject_are_its_best() -> None:
    scores = np.array([[0.1, 0.9, 0.5]])
    assert mated_ranks(scores, np.array([7]), np.array([7, 7, 8])).tolist() == [1]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores_equal_slow_loops(kind: type) -> None:
    rng = np.random.default_rng(0)
    probes, gallery = rng.normal(size=(5, 7)).astype(kind), rng.normal(size=(3, 7)).astype(kind)
    for i, p in enumerate(probes):
        for j, g in enumerate(gallery):
            cosine = sum(p * g) / (sum(p * p) * sum(g * g)) ** 0.5
            distance = sum((p - g) ** 2) ** 0.5
            assert cosine_scores(probes, gallery)[i, j] == pytest.approx(cosine, abs=1e-6)
            assert euclidean_scores(probes, gallery)[i, j] == pytest.approx(-distance, rel=1e-6)


def test_small_distances_between_long_vectors_survive() -> None:
    gallery = np.array([[1000.0, 1000.0], [1000.0, 1000.001]])
    assert euclidean_scores(gallery, gallery)[0, 1] == pytest.approx(-0.001, rel=1e-6)
    assert euclidean_scores(gallery, gallery)[0, 0] == 0.0


def test_the_last_image_of_each_subject_is_enrolled() -> None:
    gallery, probes = gallery_and_probes(np.array([5, 3, 5, 3, 3, 9]))
    assert gallery.tolist() == [4, 2, 5]
    assert probes.tolist() == [0, 1, 3]


@pytest.mark.parametrize("labels", [[], [1, 1, 1], [1, 2, 3]])
def test_refuses_a_split_without_gallery_or_probes(labels: list[int]) -> None:
    with pytest.raises(InsufficientDataError, match="at least 2 subjects"):
        gallery_and_probes(np.array(labels, dtype=np.int64))


@pytest.mark.usefixtures("as_in_production")
def test_refuses_a_probe_who_is_not_enrolled() -> None:
    with pytest.raises(InsufficientDataError, match=r"1 of 2 probes .*closed set"):
        mated_ranks(np.zeros((2, 2)), np.array([0, 5]), np.array([0, 1]))


@pytest.mark.parametrize("rank", [0, 3])
def test_refuses_a_rank_outside_the_gallery(rank: int) -> None:
    labels = np.array([0, 1])
    with pytest.raises(ConfigError, match=r"outside 1..2"):
        rank_k(np.eye(2), labels, labels, k=rank)
    with pytest.raises(ConfigError, match=r"outside 1..2"):
        cmc(np.eye(2), labels, labels, max_rank=rank)


@pytest.mark.usefixtures("as_in_production")
def test_refuses_embeddings_that_have_no_direction_or_no_value() -> None:
    good = np.ones((2, 3))
    with pytest.raises(ShapeError, match="1 zero embeddings"):
        cosine_scores(good, np.array([[0.0, 0, 0], [1, 0, 0]]))
    with pytest.raises(ShapeError, match="probes holds 1 NaN"):
        euclidean_scores(np.array([[np.nan, 0, 0]]), good)
    with pytest.raises(ShapeError, match="3 wide but the gallery is 2 wide"):
        cosine_scores(good, np.ones((2, 2)))
    with pytest.raises(ShapeError, match="probes has 1 axes, expected 2"):
        cosine_scores(np.ones(3), good)
    with pytest.raises(InsufficientDataError, match="gallery is empty"):
        cosine_scores(good, np.ones((0, 3)))


@pytest.mark.usefixtures("as_in_production")
def test_refuses_labels_that_do_not_fit_the_scores() -> None:
    with pytest.raises(ShapeError, match="probe_labels has 1 entries"):
        mated_ranks(np.eye(2), np.array([0]), np.array([0, 1]))

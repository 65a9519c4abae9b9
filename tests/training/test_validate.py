"""Validation against loops, and the order of two scores."""

import numpy as np
import pytest

from xnn.errors import InsufficientDataError
from xnn.training.source import ArraySource
from xnn.training.validate import (
    ValidationScores,
    check_validation,
    embed,
    galleries_of,
    mean_rank_1,
    validate,
)


def slow_rank_1(embeddings: np.ndarray, labels: np.ndarray, gallery: list[int]) -> float:
    unit = [e / np.linalg.norm(e) for e in embeddings]
    hits = []
    for probe in set(range(len(labels))) - set(gallery):
        best = max(gallery, key=lambda g: unit[probe] @ unit[g])
        hits.append(labels[best] == labels[probe])
    return sum(hits) / len(hits)


def test_mean_rank_1_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([2, 0, 0, 1, 2, 2, 0, 1, 2])
    embeddings = (rng.normal(size=(9, 4)) + np.eye(4)[labels]).astype(np.float32)
    by_hand = [[6, 7, 8], [2, 3, 5], [1, 7, 4], [6, 3, 0]]  # r-th from the end, counting round
    assert galleries_of(labels).tolist() == by_hand
    expected = np.mean([slow_rank_1(embeddings, labels, gallery) for gallery in by_hand])
    assert mean_rank_1(embeddings, labels) == pytest.approx(expected)


def test_higher_rank_1_wins_then_lower_eer_then_the_earlier() -> None:
    def scores(rank_1: float, eer: float) -> ValidationScores:
        return ValidationScores(rank_1=rank_1, eer=eer)

    assert scores(0.1, 0.9).better_than(None)
    assert scores(0.6, 0.9).better_than(scores(0.5, 0.1))
    assert scores(0.5, 0.1).better_than(scores(0.5, 0.2))
    assert not scores(0.5, 0.2).better_than(scores(0.5, 0.2))


def test_embedding_in_batches_changes_neither_order_nor_mode(
    toy_source, toy_model, toy_config
) -> None:
    tail, _ = toy_model(toy_config())
    source = toy_source()
    tail.train()
    whole = embed(tail, source, batch_size=1000)
    assert tail.training
    np.testing.assert_allclose(embed(tail, source, batch_size=7), whole, atol=1e-5)
    scores = validate(tail, source)
    assert scores.rank_1 == mean_rank_1(whole, source.labels)
    assert 0 <= scores.eer <= 0.5


def test_subjects_that_cannot_be_searched_are_refused() -> None:
    tokens = np.zeros((2, 1, 1), dtype=np.float32)
    for labels in ([0, 1], [0, 0]):
        with pytest.raises(InsufficientDataError, match="validation split"):
            check_validation(ArraySource(tokens, np.array(labels)))

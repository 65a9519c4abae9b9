"""One test's rates against loops, its intervals, and their pooling over seeds."""

import numpy as np
import pytest

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics.evaluation import (
    Evaluation,
    evaluate_embeddings,
    evaluate_pairs,
    evaluate_scores,
    pooled_rows,
)


def embeddings(seed: int = 0, subjects: int = 12, shots: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(subjects), shots)
    centres = rng.normal(size=(subjects, 6))
    return centres[labels] + 0.8 * rng.normal(size=(len(labels), 6)), labels


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def slow_rank(x: np.ndarray, labels: np.ndarray, rank: int) -> float:
    """The last row of each subject is enrolled; every other row searches."""
    enrolled = {label: row for row, label in enumerate(labels)}
    probes = [row for row, label in enumerate(labels) if row != enrolled[label]]
    hits = 0
    for row in probes:
        own = cosine(x[row], x[enrolled[labels[row]]])
        better = sum(cosine(x[row], x[other]) > own for other in enrolled.values())
        hits += better < rank
    return hits / len(probes)


def slow_tar(x: np.ndarray, labels: np.ndarray, far: float) -> float:
    mated, non_mated = [], []
    for i in range(len(x)):
        for j in range(i):
            (mated if labels[i] == labels[j] else non_mated).append(cosine(x[i], x[j]))
    best = 0.0
    for threshold in sorted(mated):
        if sum(s >= threshold for s in non_mated) <= far * len(non_mated):
            best = max(best, sum(s >= threshold for s in mated) / len(mated))
    return best


def evaluate(seed: int = 0) -> Evaluation:
    x, labels = embeddings(seed)
    return evaluate_embeddings(
        x, labels, protocol="by_person", generator=np.random.default_rng(seed)
    )


@pytest.mark.parametrize("seed", range(3))
def test_rates_equal_loops(seed: int) -> None:
    x, labels = embeddings(seed)
    found = evaluate(seed)
    for rank in (1, 10):
        assert found.value(f"rank_{rank}") == pytest.approx(slow_rank(x, labels, rank))
    for k, point in enumerate(found.cmc, start=1):
        assert point.value == pytest.approx(slow_rank(x, labels, k))
    for far in (0.1, 0.01):
        assert found.value(f"tar_at_far_{far:g}") == pytest.approx(
            slow_tar(x, labels, far), abs=0.02
        )


def test_facts_of_the_rows() -> None:
    by_metric = {one.metric: one for one in evaluate().measured}
    rank, eer = by_metric["rank_1"], by_metric["eer"]
    assert (rank.subjects, rank.probes, rank.chance) == (12, 36, pytest.approx(1 / 12))
    assert (eer.subjects, eer.probes, eer.chance) == (12, 12 * 6, 0.5)
    assert by_metric["tar_at_far_0.01"].chance == 0.01
    # 12 * 11 / 2 * 16 = 1056 non-mated pairs resolve a rate of 1e-3 and not of 1e-4.
    assert "tar_at_far_0.001" in by_metric
    assert "tar_at_far_0.0001" not in by_metric
    with pytest.raises(ConfigError, match="was not measured; there are rank_1"):
        evaluate().value("tar_at_far_0.0001")


def test_equal_generators_give_equal_intervals() -> None:
    rows, again, other = (pooled_rows([evaluate(s).measured]) for s in (0, 0, 1))
    assert rows == again != other
    for row in rows:
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_scores_of_an_attack_are_judged_like_a_search() -> None:
    x, labels = embeddings()
    last = np.arange(len(labels)) % 4 == 3
    scores = np.array([[cosine(p, g) for g in x[last]] for p in x[~last]])
    found = evaluate_scores(
        scores,
        labels[~last],
        labels[last],
        protocol="restore_identification",
        generator=np.random.default_rng(0),
    )
    assert found.value("rank_1") == pytest.approx(slow_rank(x, labels, 1))
    with pytest.raises(InsufficientDataError):
        evaluate_scores(
            scores,
            labels[~last] + 100,
            labels[last],
            protocol="p",
            generator=np.random.default_rng(0),
        )


def test_a_list_of_pairs() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.2, 0.1, 0.05])
    first = np.array([0, 1, 2, 0, 1, 2])
    second = np.array([0, 1, 2, 1, 2, 0])
    generator = np.random.default_rng(0)
    found = evaluate_pairs(scores, first, second, protocol="pairs", generator=generator)
    assert found.cmc == ()
    assert found.value("eer") == 0.0
    with pytest.raises(InsufficientDataError):
        evaluate_pairs(scores, first, first, protocol="pairs", generator=generator)
    with pytest.raises((ShapeError, TypeError)):
        evaluate_pairs(scores[:2], first, second, protocol="pairs", generator=generator)


def test_pooling_is_the_mean_over_seeds_and_leaves_out_what_one_lacks() -> None:
    seeds = [evaluate(seed).measured for seed in range(3)]
    seeds[1] = tuple(one for one in seeds[1] if one.metric != "eer")
    rows = {row["metric"]: row for row in pooled_rows(seeds)}
    assert "eer" not in rows
    values = [next(o.bootstrap.value for o in s if o.metric == "rank_1") for s in seeds]
    assert rows["rank_1"]["value"] == pytest.approx(np.mean(values), abs=1e-5)
    assert rows["rank_1"]["seeds"] == 3
    replicates = [next(o.bootstrap.replicates for o in s if o.metric == "rank_1") for s in seeds]
    low, high = np.quantile(np.concatenate(replicates), [0.025, 0.975])
    assert rows["rank_1"]["low"] == pytest.approx(low, abs=0.01)
    assert rows["rank_1"]["high"] == pytest.approx(high, abs=0.01)
    assert pooled_rows([]) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_useless_embeddings_are_refused(bad: float) -> None:
    x, labels = embeddings()
    x[3] = bad
    with pytest.raises(ShapeError):
        evaluate_embeddings(x, labels, protocol="p", generator=np.random.default_rng(0))


def test_too_few_people_or_images() -> None:
    x, _ = embeddings()
    for labels in (np.zeros(len(x), dtype=np.int64), np.arange(len(x))):
        with pytest.raises(InsufficientDataError):
            evaluate_embeddings(x, labels, protocol="p", generator=np.random.default_rng(0))

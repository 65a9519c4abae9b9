"""What one test says: search and verification of a set of embeddings, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from xnn.errors import ConfigError
from xnn.metrics.chance import CHANCE_EER, chance_rank_k, chance_tar
from xnn.metrics.comparisons import (
    Comparisons,
    all_pairs_scores,
    pair_comparisons,
    search_comparisons,
)
from xnn.metrics.identification import cosine_scores, gallery_and_probes, mated_ranks
from xnn.metrics.intervals import Bootstrap, bootstrap_cmc, bootstrap_mean, pool_seeds
from xnn.metrics.resampled_verification import bootstrap_verification

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Rates at which TAR is reported, where there are pairs enough."""

_MAX_RANK = 20
_MAX_NON_MATED = 1_000_000
_NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One rate with its resamples, ready to be pooled over seeds."""

    protocol: str
    metric: str
    bootstrap: Bootstrap
    chance: float
    subjects: int
    probes: int
    """Probes of a search, or mated pairs of a verification."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """All rates of one test, and what curves are drawn from."""

    measured: tuple[Measured, ...]
    cmc: tuple[Bootstrap, ...]
    """Ranks 1, 2, ..; empty for a list of pairs."""
    comparisons: Comparisons

    def value(self, metric: str) -> float:
        """Return one rate.

        Raises:
            ConfigError: It was not measured.
        """
        for one in self.measured:
            if one.metric == metric:
                return one.bootstrap.value
        names = ", ".join(one.metric for one in self.measured)
        raise ConfigError(f"metric {metric!r} was not measured; there are {names}")


def evaluate_embeddings(
    embeddings: Float[np.ndarray, "n e"],
    labels: Integer[np.ndarray, " n"],
    *,
    protocol: str,
    generator: np.random.Generator,
) -> Evaluation:
    """Search (one reference per subject, the rest probes) and verify (all pairs), by cosine.

    Args:
        embeddings: One row per test image; rows of a subject in their listed order.
        labels: Subject of each row.
        protocol: Name for the rows.
        generator: Source of the resamples.

    Raises:
        InsufficientDataError: Too few subjects or images.
        ShapeError: Lengths differ, or an embedding is zero, NaN or infinite.

    Source: arXiv:2408.04974, evaluation; ISO/IEC 19795-1.
    """
    gallery, probes = gallery_and_probes(labels)
    scores = cosine_scores(embeddings[probes], embeddings[gallery])
    comparisons = all_pairs_scores(
        embeddings, labels, max_non_mated=_MAX_NON_MATED, generator=generator
    )
    return _search_and_verify(
        scores, labels[probes], labels[gallery], comparisons, protocol, generator
    )


def evaluate_scores(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
    *,
    protocol: str,
    generator: np.random.Generator,
) -> Evaluation:
    """Judge the scores of probes against a gallery, such as those that an attack returns.

    Raises:
        InsufficientDataError: A probe's subject is not in the gallery.
        ShapeError: The shapes do not fit, or a score is NaN or infinite.
    """
    comparisons = search_comparisons(scores, probe_labels, gallery_labels)
    return _search_and_verify(
        scores, probe_labels, gallery_labels, comparisons, protocol, generator
    )


def evaluate_pairs(
    scores: Float[np.ndarray, " p"],
    first_labels: Integer[np.ndarray, " p"],
    second_labels: Integer[np.ndarray, " p"],
    *,
    protocol: str,
    generator: np.random.Generator,
) -> Evaluation:
    """Verify a stated list of pairs, such as a pairs file.

    Raises:
        InsufficientDataError: There is no mated or no non-mated pair.
        ShapeError: The lengths differ, or a score is NaN or infinite.
    """
    comparisons = pair_comparisons(scores, first_labels, second_labels)
    measured = _verification(comparisons, protocol, generator)
    return Evaluation(measured=measured, cmc=(), comparisons=comparisons)


def pooled_rows(per_seed: Sequence[Sequence[Measured]]) -> list[dict[str, Any]]:
    """Pool the same rates of several seeds into one row each.

    Returns:
        Rows with protocol, metric, value, low, high, chance, subjects, probes (means over seeds)
        and seeds. A rate that one of the seeds could not resolve is left out.
    """
    found: dict[tuple[str, str], list[Measured]] = {}
    for seed in per_seed:
        for one in seed:
            found.setdefault((one.protocol, one.metric), []).append(one)
    rows = []
    for (protocol, metric), ones in found.items():
        if len(ones) < len(per_seed):
            continue
        pooled = pool_seeds([one.bootstrap for one in ones])
        rows.append(
            {
                "protocol": protocol,
                "metric": metric,
                "value": round(pooled.value, 5),
                "low": round(pooled.low, 5),
                "high": round(pooled.high, 5),
                "chance": round(float(np.mean([one.chance for one in ones])), 6),
                "subjects": round(np.mean([one.subjects for one in ones])),
                "probes": round(np.mean([one.probes for one in ones])),
                "seeds": len(ones),
            }
        )
    return rows


def _search_and_verify(
    scores: Float[np.ndarray, "q g"],
    probe_labels: Integer[np.ndarray, " q"],
    gallery_labels: Integer[np.ndarray, " g"],
    comparisons: Comparisons,
    protocol: str,
    generator: np.random.Generator,
) -> Evaluation:
    ranks = mated_ranks(scores, probe_labels, gallery_labels)
    max_rank = min(_MAX_RANK, len(gallery_labels))
    curve = bootstrap_cmc(
        ranks, probe_labels, max_rank=max_rank, num_resamples=_NUM_RESAMPLES, generator=generator
    )
    measured = [
        Measured(
            protocol=protocol,
            metric=f"rank_{k}",
            bootstrap=bootstrap_mean(
                ranks <= k, probe_labels, num_resamples=_NUM_RESAMPLES, generator=generator
            ),
            chance=chance_rank_k(gallery_size=len(gallery_labels), k=k),
            subjects=len(gallery_labels),
            probes=len(probe_labels),
        )
        for k in (1, 10)
        if k < len(gallery_labels)
    ]
    measured += _verification(comparisons, protocol, generator)
    return Evaluation(measured=tuple(measured), cmc=curve, comparisons=comparisons)


def _verification(
    comparisons: Comparisons, protocol: str, generator: np.random.Generator
) -> tuple[Measured, ...]:
    fars = [far for far in FARS if far * len(comparisons.non_mated) >= 1]
    resampled = bootstrap_verification(
        comparisons, fars=fars, num_resamples=_NUM_RESAMPLES // 4, generator=generator
    )
    both = np.concatenate([comparisons.mated_subjects, comparisons.non_mated_subjects.reshape(-1)])
    facts = {
        "protocol": protocol,
        "subjects": len(np.unique(both)),
        "probes": len(comparisons.mated),
    }
    rates = [("eer", resampled.eer, CHANCE_EER)]
    rates += [
        (f"tar_at_far_{far:g}", tar, chance_tar(far=far))
        for far, tar in zip(fars, resampled.tar, strict=True)
    ]
    return tuple(
        Measured(metric=metric, bootstrap=bootstrap, chance=chance, **facts)  # type: ignore[arg-type]
        for metric, bootstrap, chance in rates
    )

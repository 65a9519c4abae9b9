"""Judging an answer against the truth that the attack never saw."""

from collections.abc import Sequence

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.observation import Observation
from xnn.metrics.chance import chance_rank_k
from xnn.metrics.evaluation import Measured, evaluate_scores
from xnn.metrics.intervals import bootstrap_mean
from xnn.metrics.recovery import centred_cosines, instance_scores
from xnn.redteam.judges import Judge
from xnn.redteam.truth import Truth

_NUM_RESAMPLES = 1000


def measure(
    answer: Answer,
    truth: Truth,
    observation: Observation,
    *,
    judges: Sequence[Judge],
    generator: np.random.Generator,
) -> list[Measured]:
    """Measure every part of the answer that is there."""
    found: list[Measured] = []
    if answer.scores is not None:
        found += evaluate_scores(
            answer.scores,
            truth.labels,
            observation.gallery.labels,
            protocol="linkage",
            generator=generator,
        ).measured
    if answer.features is not None:
        scores = instance_scores(answer.features, truth.tokens)
        hits = scores.argmax(axis=1) == np.arange(len(scores))
        facts = {"subjects": len(np.unique(truth.labels)), "probes": len(scores)}
        for protocol, metric, values, chance in (
            ("instance", "rank_1", hits, chance_rank_k(gallery_size=len(scores))),
            ("features", "centred_cosine", centred_cosines(answer.features, truth.tokens), 0.0),
        ):
            found.append(
                Measured(
                    protocol=protocol,
                    metric=metric,
                    bootstrap=bootstrap_mean(
                        values, truth.labels, num_resamples=_NUM_RESAMPLES, generator=generator
                    ),
                    chance=chance,
                    **facts,
                )
            )
    return found

"""Evidence from real records without the truth: do two disjoint halves give the same answer?

An attack that recovers features is run on each half of the records, and both answers are given for
the same probes, which are in neither. If the attack found nothing, the two have nothing in common;
if it found the key, the nearest answer of one half to an answer of the other is that of the same
record. It needs nobody's photographs, so it can be run on what a customer would really upload.

It is evidence of recovery, not proof: a systematic error, such as a mirror image, agrees with
itself.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from xnn.attacks.base import Attack
from xnn.attacks.observation import Observation
from xnn.errors import InsufficientDataError
from xnn.metrics.chance import chance_rank_k
from xnn.metrics.evaluation import Measured
from xnn.metrics.identification import cosine_scores
from xnn.metrics.intervals import bootstrap_mean

_MAX_PROBES = 200
_NUM_RESAMPLES = 1000


def self_agreement(
    attack: Attack, observation: Observation, *, seed: int, work_dir: Path
) -> tuple[Measured | None, dict[str, Any]]:
    """Attack two halves of the records and compare the answers for the rest.

    Args:
        attack: One that answers features.
        observation: Its records are divided; its probes are not used.
        seed: Of the division and the attack.
        work_dir: New folder.

    Returns:
        Rank-1 of finding a probe's own record by the other half's answer, and what was noticed;
        None where the attack answered no features.

    Raises:
        InsufficientDataError: Too few records to divide in three.
    """
    num_records = len(observation.records)
    if num_records < 12:
        raise InsufficientDataError(
            f"{num_records} records; self-agreement divides them in three and needs at least 12"
        )
    order = np.random.default_rng(seed).permutation(num_records)
    num_probes = min(_MAX_PROBES, num_records // 3)
    probes, rest = order[:num_probes], order[num_probes:]
    answers = []
    for i, half in enumerate(np.array_split(rest, 2)):
        answer = attack.run(
            _only(observation, half, probes), seed=seed, work_dir=work_dir / f"half-{i}"
        )
        if answer.features is None:
            return None, answer.details
        answers.append(_centred(answer.features))
    hits: Bool[np.ndarray, " q"] = cosine_scores(*answers).argmax(axis=1) == np.arange(num_probes)
    people = observation.labels
    measured = Measured(
        protocol="self_agreement",
        metric="rank_1",
        bootstrap=bootstrap_mean(
            hits,
            np.arange(num_probes) if people is None else people[probes],
            num_resamples=_NUM_RESAMPLES,
            generator=np.random.default_rng(seed),
        ),
        chance=chance_rank_k(gallery_size=num_probes),
        subjects=num_probes if people is None else len(np.unique(people[probes])),
        probes=num_probes,
    )
    return measured, {"records_in_each_half": len(rest) // 2}


def _only(
    observation: Observation, half: Int64[np.ndarray, " h"], probes: Int64[np.ndarray, " q"]
) -> Observation:
    rows = np.concatenate([half, probes])
    labels = observation.labels
    return replace(
        observation,
        records=observation.records[rows],
        labels=None if labels is None else labels[rows],
        probes=np.arange(len(half), len(rows)),
    )


def _centred(features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q f"]:
    return (features - features.mean(axis=0)).reshape(len(features), -1)

"""Judging an answer against the truth that the attack never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, UInt8

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.observation import Observation
from xnn.metrics.chance import chance_rank_k
from xnn.metrics.evaluation import Measured, evaluate_scores
from xnn.metrics.identification import euclidean_scores, mated_ranks
from xnn.metrics.intervals import Bootstrap, bootstrap_mean, bootstrap_ratio
from xnn.metrics.reconstruction import psnr, ssim
from xnn.metrics.recovery import (
    centred_cosines,
    data_error,
    instance_scores,
    matrix_error,
    order_accuracy,
    squared_errors,
)
from xnn.redteam.judges import Judge
from xnn.redteam.link_judgement import judge_links, judge_membership
from xnn.redteam.truth import LinearKey, Truth

OTHERS = "linkage-others"
"""Protocol: linkage of people that no known pair shows."""
_NUM_RESAMPLES = 1000
_FEWEST_OTHERS = 2


def measure(
    answer: Answer,
    truth: Truth,
    observation: Observation,
    *,
    judges: Sequence[Judge],
    generator: np.random.Generator,
) -> list[Measured]:
    """Measure every part of the answer that is there.

    | protocol | about | metrics |
    |---|---|---|
    | `linkage` | `scores` | rank-1, rank-10, EER, TAR at FAR; of one suspect, the best photograph |
    | `linkage-others` | `scores` | the same, of probes whose person is in no known pair |
    | `instance` | `features` | rank-1 among the probes |
    | `features` | `features` | centred cosine, R2 |
    | `key` | `key` | order accuracy, matrix error, data error |
    | `rebuilt-JUDGE` | `pictures` | as `linkage`, by a recogniser independent of the extractor |
    | `original-JUDGE` | photographs | the same: the ceiling of that judge |
    | `picture` | `pictures` | SSIM, PSNR; chance is the mean of the attacker's own photographs |
    | `classes` | `classes` | accuracy: the suspect behind a class number comes first |
    | `unlinkability` | `upload_scores` | D_sys, rank-1: the same photograph in another upload |
    | `unlinkability-subject` | `upload_scores` | the same, of another photograph of the person |
    | `membership` | `membership` | AUC, TPR at FPR |

    Args:
        answer: What the attack believes.
        truth: What is so.
        observation: What the attack was given.
        judges: Those that depend on the extractor under attack are left out.
        generator: Source of the resamples.

    Returns:
        Rates with chance level and resamples, but for those whose truth or probes are missing.

    Raises:
        ShapeError: A part of the answer has another shape than the probes, or is not finite.

    Trust: judge.
    """
    room = _Room(truth, observation, generator)
    found: list[Measured] = []
    if answer.scores is not None:
        found += room.search(answer.scores, "linkage") + room.others(answer.scores)
    if answer.features is not None:
        found += room.features(answer.features)
    if answer.key is not None and truth.key is not None:
        found += room.key(answer.key, truth.key)
    if answer.pictures is not None:
        found += room.pictures(answer.pictures)
        for judge in judges:
            if judge.independent_of(truth.extractor):
                found += room.recognised(answer.pictures, judge)
    if answer.upload_scores is not None:
        found += judge_links(answer.upload_scores, truth, generator)
    if answer.membership is not None:
        found += judge_membership(answer.membership, truth, generator)
    if answer.classes is not None and truth.class_suspects is not None:
        found += room.classes(answer.classes, truth.class_suspects)
    return found


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Room:
    """One truth, one observation and one source of resamples, for every part of the answer."""

    truth: Truth
    observation: Observation
    generator: np.random.Generator

    def search(
        self,
        scores: Float[np.ndarray, "q g"],
        protocol: str,
        rows: Int64[np.ndarray, " r"] | None = None,
    ) -> list[Measured]:
        """Judge scores of all probes, or of some, against the whole gallery.

        The best photograph of each suspect counts.
        """
        suspects, columns = _best_by_label(scores, self.observation.gallery.labels)
        asked = np.arange(len(columns)) if rows is None else rows
        judged = evaluate_scores(
            columns[asked],
            self.truth.labels[asked],
            suspects,
            protocol=protocol,
            generator=self.generator,
        )
        return list(judged.measured)

    def others(self, scores: Float[np.ndarray, "q g"]) -> list[Measured]:
        """Judge the probes of people that no known pair shows; nothing where there is no pair.

        A pair names its class number outright, and with it every record of that class.
        """
        pairs = self.observation.pairs
        if pairs is None:
            return []
        rows = np.flatnonzero(~np.isin(self.truth.labels, pairs.faces.labels))
        if len(np.unique(self.truth.labels[rows])) < _FEWEST_OTHERS:
            return []
        return self.search(scores, OTHERS, rows)

    def features(self, recovered: Float[np.ndarray, "q n d"]) -> list[Measured]:
        """Judge features: whether they pick out the photograph, and how close they are."""
        true, labels = self.truth.tokens, self.truth.labels
        numbers = np.arange(len(true))
        ranks = mated_ranks(instance_scores(recovered, true), numbers, numbers)
        errors, lengths = squared_errors(recovered, true)
        lost = bootstrap_ratio(
            errors, lengths, labels, num_resamples=_NUM_RESAMPLES, generator=self.generator
        )
        kept = Bootstrap(value=1 - lost.value, replicates=1 - lost.replicates)
        return [
            self.mean("instance", "rank_1", ranks == 1, chance_rank_k(gallery_size=len(true))),
            self.mean("features", "centred_cosine", centred_cosines(recovered, true), 0.0),
            self.row("features", "r2", kept, 0.0),
        ]

    def key(self, estimate: KeyEstimate, key: LinearKey) -> list[Measured]:
        """Judge a key. It is one thing, not a sample of people: no resamples but itself."""
        facts = (
            ("order_accuracy", order_accuracy(estimate.place, key.order), 1 / len(key.order)),
            ("matrix_error", matrix_error(estimate.inverse, key.matrix), 1.0),
            ("data_error", data_error(estimate.inverse, key.matrix, self.truth.tokens), 1.0),
        )
        return [
            self.row("key", name, Bootstrap(value=value, replicates=np.array([value])), chance)
            for name, value, chance in facts
        ]

    def pictures(self, rebuilt: UInt8[np.ndarray, "q 112 112 3"]) -> list[Measured]:
        """Judge pictures point by point, beside the mean of the attacker's own photographs."""
        own = self.observation.public.crops
        mean = _mean_picture(own if len(own) else self.observation.gallery.crops)
        floor = np.broadcast_to(mean, self.truth.crops.shape)
        found = []
        measures: tuple[tuple[str, Callable[..., Float64[np.ndarray, " q"]]], ...] = (
            ("ssim", ssim),
            ("psnr", psnr),
        )
        for name, metric in measures:
            chance = float(np.mean(metric(floor, self.truth.crops)))
            found.append(self.mean("picture", name, metric(rebuilt, self.truth.crops), chance))
        return found

    def recognised(self, rebuilt: UInt8[np.ndarray, "q 112 112 3"], judge: Judge) -> list[Measured]:
        """Let a recogniser match pictures, and the photographs themselves, with the gallery."""
        gallery = judge.embed(self.observation.gallery.crops)
        found = []
        for protocol, pictures in (("rebuilt", rebuilt), ("original", self.truth.crops)):
            scores = euclidean_scores(judge.embed(pictures), gallery)
            found += self.search(scores, f"{protocol}-{judge.name}")
        return found

    def classes(
        self, scores: Float[np.ndarray, "k s"], suspects: Int64[np.ndarray, " k"]
    ) -> list[Measured]:
        """Judge who is said to be behind each class number."""
        people = np.unique(self.observation.gallery.labels)
        ranks = mated_ranks(scores, suspects, people)
        return [
            Measured(
                protocol="classes",
                metric="accuracy",
                bootstrap=bootstrap_mean(
                    ranks == 1, suspects, num_resamples=_NUM_RESAMPLES, generator=self.generator
                ),
                chance=chance_rank_k(gallery_size=len(people)),
                subjects=len(people),
                probes=len(suspects),
            )
        ]

    def mean(
        self,
        protocol: str,
        metric: str,
        values: Float[np.ndarray, " q"] | Bool[np.ndarray, " q"],
        chance: float,
    ) -> Measured:
        """Return the mean of one value per probe, resampled over suspects."""
        bootstrap = bootstrap_mean(
            values,
            self.truth.labels,
            num_resamples=_NUM_RESAMPLES,
            generator=self.generator,
        )
        return self.row(protocol, metric, bootstrap, chance)

    def row(self, protocol: str, metric: str, bootstrap: Bootstrap, chance: float) -> Measured:
        """Return one rate about the probes."""
        return Measured(
            protocol=protocol,
            metric=metric,
            bootstrap=bootstrap,
            chance=chance,
            subjects=len(np.unique(self.truth.labels)),
            probes=len(self.truth.labels),
        )


def _best_by_label(
    scores: Float[np.ndarray, "q g"], labels: Int64[np.ndarray, " g"]
) -> tuple[Int64[np.ndarray, " s"], Float[np.ndarray, "q s"]]:
    """Return each suspect once, by rising label, and the best score of its photographs."""
    order = np.argsort(labels, kind="stable")
    suspects, starts = np.unique(labels[order], return_index=True)
    return suspects, np.maximum.reduceat(scores[:, order], starts, axis=1)


def _mean_picture(
    crops: UInt8[np.ndarray, "b 112 112 3"],
) -> UInt8[np.ndarray, "112 112 3"]:
    return crops.mean(axis=0).round().astype(np.uint8)

"""Class averaging: records of one class number show one person, so what they say adds up.

Wraps another attack: it is run on the records of every class, its scores are averaged within each
class, and each probe gets the scores of its class. As no two classes are one person, suspects are
shared out among the classes.

Source: this project (method.md 8.1.5; redteam.md, A9).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_evidence import average_by_class, average_by_person, share_out
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SCHEMES, SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAveragingSettings:
    """How evidence is put together."""

    max_records: int = 50
    """Of a class; more add little."""
    sharpness: float = 2.0
    """Natural logarithm of the odds that a difference of one mean standard score is worth."""
    exclusive: bool = True
    """Whether no two classes are taken to be one suspect."""


@final
class ClassAveraging(Attack):
    """The attack; see the module.

    Args:
        inner: Attacks that score records; the first that does not refuse is run.
        settings: How evidence is put together.
    """

    card = AttackCard(
        name="class-averaging",
        phase="training",
        goal="linkage",
        summary="averages another attack's scores over the records of one class number",
        source="this project",
    )

    def __init__(
        self, inner: Sequence[Attack], settings: ClassAveragingSettings | None = None
    ) -> None:
        if not inner:
            raise ConfigError("class averaging wraps no attack; give it at least one")
        self._inner = tuple(inner)
        self._settings = settings or ClassAveragingSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without class numbers, and where every wrapped attack refuses."""
        if observation.labels is None:
            return "no class numbers came with the records"
        reasons = [attack.refusal(scheme, observation) for attack in self._inner]
        return reasons[0] if all(reasons) else None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Run the wrapped attack on all classes and average.

        Raises:
            InsufficientDataError: No class numbers, or the wrapped attack scores nothing.

        Trust: adversary.
        """
        if observation.labels is None:
            raise InsufficientDataError("no class numbers; class averaging needs at least 1")
        attack = self._choose(observation)
        rows = self._rows(observation.labels, observation.probes, seed)
        wide = attack.run(replace(observation, probes=rows), seed=seed, work_dir=work_dir)
        scores = wide.scores
        if scores is None and wide.features is not None:
            linker = Linker.fit(observation.public, seed=seed)
            scores = linker.scores(wide.features, observation.gallery)
        if scores is None:
            raise InsufficientDataError(f"{attack.card.name} scores no record to average")
        classes = observation.labels[rows]
        means = average_by_class(scores, classes)
        persons = average_by_person(means, observation.gallery.labels)
        if self._settings.exclusive:
            persons = np.log(share_out(self._settings.sharpness * persons) + 1e-300)
        where = np.searchsorted(rows, observation.probes)
        return Answer(
            scores=scores_of_probes(observation, persons),
            features=None if wide.features is None else wide.features[where],
            key=wide.key,
            classes=persons,
            details={
                **wide.details,
                "wrapped": attack.card.name,
                "records_per_class": round(len(rows) / len(means), 2),
            },
        )

    def _choose(self, observation: Observation) -> Attack:
        scheme = SCHEMES.get(observation.scheme)
        card = None if scheme is None else scheme.card
        for attack in self._inner:
            if attack.refusal(card, observation) is None:
                return attack
        return self._inner[0]

    def _rows(
        self, labels: Int64[np.ndarray, " r"], probes: Int64[np.ndarray, " q"], seed: int
    ) -> Int64[np.ndarray, " w"]:
        """Return all probes, and other records of every class up to the limit, rising."""
        drawn = np.random.default_rng(seed).permutation(len(labels))
        first = np.isin(drawn, probes)
        drawn = np.concatenate([drawn[first], drawn[~first]])
        by_class = drawn[np.argsort(labels[drawn], kind="stable")]
        sizes = np.unique(labels, return_counts=True)[1]
        turn = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept = by_class[turn < self._settings.max_records]
        return np.union1d(kept, probes)


def scores_of_probes(
    observation: Observation, persons: Float64[np.ndarray, "c s"]
) -> Float64[np.ndarray, "q g"]:
    """Return for each probe what is believed of its class, for each photograph of the gallery."""
    if observation.labels is None:
        raise InsufficientDataError("no class numbers came with the records; needs one for each")
    rows = np.searchsorted(np.unique(observation.labels), observation.labels[observation.probes])
    gallery = observation.gallery.labels
    return persons[rows][:, np.searchsorted(np.unique(gallery), gallery)]

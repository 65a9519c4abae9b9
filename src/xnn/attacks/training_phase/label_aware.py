"""Label-aware recovery: class numbers sharpen the unpaired recovery of the key.

Records of one class show one person. What differs between classes and what differs within them are
two covariances where unlabelled records give but their sum, and the attacker's own photographs give
the same two. The key found by unpaired moments is moved to where both are likeliest.

On CelebA behind dlib (60 people, 5 records each, LFW as the public set, 3 keys) the error of the
features falls from 0.52 to 0.45; as many steps without class numbers give 0.48.

Source: this project (redteam.md, A9).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int64

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_gaussian import FEWEST_PEOPLE, ClassGaussian, Contrasts
from xnn.attacks.statistics.likelihood import refine
from xnn.attacks.statistics.moments import measure
from xnn.attacks.statistics.unpaired import UnpairedSettings, recover_key, undo
from xnn.attacks.training_phase.moment_recovery import refused_positions
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAwareSettings:
    """Effort."""

    unpaired: UnpairedSettings = field(default_factory=UnpairedSettings)
    max_tokens: int = 20_000
    """Of records whose likelihood is climbed; whole classes are taken."""
    max_model: int = 1200
    """Maps to which each Gaussian is fitted."""


@final
class LabelAware(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="label-aware-moments",
        phase="training",
        goal="linkage",
        summary="recovers the key from unpaired records, between and within class numbers apart",
        source="this project",
    )

    def __init__(self, settings: LabelAwareSettings | None = None) -> None:
        self._settings = settings or LabelAwareSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without class numbers, without people of one's own, or without one order."""
        if observation.labels is None:
            return "no class numbers came with the records"
        if scheme is not None and scheme.fresh_order:
            return "tokens of every record are in an order of their own"
        if np.unique(observation.labels, return_counts=True)[1].max() < 2:
            return "no class has two records"
        sizes = np.unique(observation.public.labels, return_counts=True)[1]
        if np.sum(sizes >= 2) < FEWEST_PEOPLE:
            return f"it needs {FEWEST_PEOPLE} people of its own with two photographs"
        return refused_positions(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Recover the key without class numbers, then climb the likelihood with them.

        Raises:
            InsufficientDataError: No class numbers, or too few records or public people.

        Trust: adversary.
        """
        settings, public, labels = self._settings, observation.public, observation.labels
        if labels is None:
            raise InsufficientDataError("label-aware recovery needs class numbers; got none")
        found = recover_key(
            observation.records, public.tokens, settings=settings.unpaired, seed=seed
        )
        rng = np.random.default_rng(seed)
        rows = _whole_classes(labels, settings.max_tokens // observation.shape.n, rng)
        held = Contrasts.of(observation.records[rows], labels[rows])
        model = ClassGaussian.fit(
            public.tokens,
            public.labels,
            held.sizes,
            len(held.rest),
            max_maps=settings.max_model,
            rng=rng,
        )
        whitening = measure(observation.records[rows]).whitening
        better = refine(held.rows(), found.key.place, found.key.inverse, model, whitening)
        key = KeyEstimate(place=found.key.place, inverse=better.inverse)
        features = undo(observation.probe_records, key)
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        details = {**found.details, "classes": len(held.sizes), "objective": better.objective}
        return Answer(scores=scores, features=features, key=key, details=details)


def _whole_classes(
    labels: Int64[np.ndarray, " r"], limit: int, rng: np.random.Generator
) -> Int64[np.ndarray, " s"]:
    """Return the records of classes drawn until there are so many, one class at least."""
    numbers, counts = np.unique(labels, return_counts=True)
    order = rng.permutation(np.flatnonzero(counts >= 2))
    kept = numbers[order[np.cumsum(counts[order]) <= max(limit, int(counts.max()))]]
    return np.flatnonzero(np.isin(labels, kept))

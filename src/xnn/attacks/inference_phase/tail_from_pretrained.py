"""A tail that has seen clean faces before it sees z.

The extractor is public and so are faces: the attacker first distils a public recogniser into a tail
on the clean features of all its photographs, then goes on with (z, person) of those it may query.
The z are brought to the mean and deviation that clean features have at each place, so that the
tail meets numbers of the kind it knows.

Source: this project; method.md 8.3.35 names it the obvious stronger attacker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.distillation import DistillationSettings, distil
from xnn.attacks.inference_phase.queries import (
    affordable,
    ask,
    no_queries,
    whole_people,
)
from xnn.attacks.inference_phase.tail_training import attackers_own, train_tail
from xnn.attacks.observation import Observation
from xnn.models.tail import Tail
from xnn.schemes import SchemeCard
from xnn.training.config import TrainConfig
from xnn.training.presets import adamw, adamw_tail

_FLOOR = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedSettings:
    """Strength of the attacker."""

    pretraining: DistillationSettings = field(
        default_factory=lambda: DistillationSettings(epochs=8)
    )
    train: TrainConfig = field(default_factory=lambda: adamw(epochs=8))
    token_dropout: float = 0.3
    held_out: float = 0.1
    """Share of the queried people who choose the best epoch."""
    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""


@final
class TailFromPretrained(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="tail-from-pretrained",
        phase="inference",
        goal="linkage",
        summary="distils a public recogniser on clean features, then trains that tail on queried z",
        source="this project",
        learned=True,
    )

    def __init__(self, settings: PretrainedSettings | None = None) -> None:
        self._settings = settings or PretrainedSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without queries, or where a tail for clean features cannot read the records."""
        if observation.records.shape[1:] != observation.public.tokens.shape[1:]:
            return "records have another shape than the extractor's features"
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Pretrain on clean features, query, train on, match z with z.

        Raises:
            InsufficientDataError: No front end, or too few queries for gallery and training.

        Trust: adversary.
        """
        settings = self._settings
        num = affordable(observation, settings.queries, gallery=True)
        public = whole_people(observation.public, num, seed=seed)
        gallery = ask(observation, observation.gallery)
        asked = ask(observation, public)
        start = self._pretrained(observation, seed)
        match = moment_match(asked.records, observation.public.tokens)
        trained = train_tail(
            asked.faces.with_tokens(match(asked.records)),
            attackers_own(settings.train, seed),
            start.config,
            work_dir / "tail",
            held_out=settings.held_out,
            start=start,
        )
        return Answer(
            scores=trained.scores(match(observation.probe_records), match(gallery.records)),
            details={"queries": len(asked) + len(gallery), **trained.details()},
        )

    def _pretrained(self, observation: Observation, seed: int) -> Tail:
        public, settings = observation.public, self._settings
        n, d = public.tokens.shape[1:]
        targets = public.embeddings - public.embeddings.mean(axis=0)
        tail = adamw_tail(n, d, token_dropout=settings.token_dropout)
        return distil(
            public.tokens, targets, public.labels, tail, settings.pretraining, seed=seed
        ).tail


def moment_match(
    records: Float32[np.ndarray, "s n d"], clean: Float32[np.ndarray, "c n d"]
) -> Callable[[Float32[np.ndarray, "b n d"]], Float32[np.ndarray, "b n d"]]:
    """Return the map that gives records the mean and deviation of clean features, each number."""
    scale = clean.std(axis=0) / np.maximum(records.std(axis=0), _FLOOR)
    offset = clean.mean(axis=0) - records.mean(axis=0) * scale
    return lambda z: (z * scale + offset).astype(np.float32)

"""The paper's attacker: a tail trained from scratch on (z, person) of queried public faces.

The gallery's photographs are queried too, so that both sides of the match have passed the front
end. `paper_settings` is what the authors ran, smaller; the default is the recipe that does best on
few people, without which a failure of this attacker would say little.

Source: arXiv:2408.04974, its attack on the inference phase (stage "aux" of the authors' code).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import affordable, ask, no_queries, whole_people
from xnn.attacks.inference_phase.tail_training import attackers_own, train_tail
from xnn.attacks.observation import Observation
from xnn.models.tail_config import TailConfig
from xnn.schemes import SchemeCard
from xnn.training.config import TrainConfig
from xnn.training.presets import adamw, adamw_tail, paper, paper_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchSettings:
    """Strength of the attacker."""

    train: TrainConfig = field(default_factory=lambda: adamw(epochs=8))
    tail: Callable[..., TailConfig] = adamw_tail
    """Makes the tail for records of n tokens of width d."""
    held_out: float = 0.1
    """Share of the public people who choose the best epoch."""
    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""


def paper_settings(*, epochs: int = 13, tail_depth: int = 2) -> ScratchSettings:
    """Return the authors' attacker, with fewer blocks and smaller batches for fewer faces."""

    def tail(n: int, d: int) -> TailConfig:
        return paper_tail(n, d, tail_depth=tail_depth)

    return ScratchSettings(train=paper(epochs=epochs, batch_size=64), tail=tail)


@final
class TailFromScratch(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="tail-from-scratch",
        phase="inference",
        goal="linkage",
        summary="trains a tail on queried z with identities, matches probes with queried gallery",
        source="arXiv:2408.04974",
        learned=True,
    )

    def __init__(self, settings: ScratchSettings | None = None) -> None:
        self._settings = settings or ScratchSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query, train, match z with z.

        Raises:
            InsufficientDataError: No front end, or too few queries for gallery and training.

        Trust: adversary.
        """
        settings = self._settings
        num = affordable(observation, settings.queries, gallery=True)
        public = whole_people(observation.public, num, seed=seed)
        gallery = ask(observation, observation.gallery)
        asked = ask(observation, public)
        trained = train_tail(
            asked.as_faces(),
            attackers_own(settings.train, seed),
            settings.tail(*asked.records.shape[1:]),
            work_dir / "tail",
            held_out=settings.held_out,
        )
        return Answer(
            scores=trained.scores(observation.probe_records, gallery.records),
            details={"queries": len(asked) + len(gallery), **trained.details()},
        )

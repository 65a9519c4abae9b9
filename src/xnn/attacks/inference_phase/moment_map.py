"""The moment map: what no query at all can do.

Intercepted z are many, and clean features of other people are public. For every position the
attacker measures mean and covariance of both and applies the optimal-transport map between the two
Gaussians, which turns the one into the other with the least motion. What comes out has the
statistics of clean features; the linker takes it from there.

Source: this project (redteam.md, A8c).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.ridge_denoiser import link
from xnn.attacks.inference_phase.token_for_token import refused_shape, require_both
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.transport import transport_map
from xnn.errors import ConfigError
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentMapSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: The shrinkage is no fraction.
    """

    shrinkage: float | None = None
    """Share of the mean variance blended into each covariance; None works it out from the count."""

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ConfigError(f"shrinkage={self.shrinkage:g}; use None or a fraction in [0, 1]")


@final
class MomentMap(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="moment-map",
        phase="inference",
        goal="linkage",
        summary="maps the moments of intercepted z onto those of public features, without a query",
        source="this project",
    )

    def __init__(self, settings: MomentMapSettings | None = None) -> None:
        self._settings = settings or MomentMapSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse records that have not one token for every token of the extractor."""
        return refused_shape(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Measure, map, link.

        Raises:
            InsufficientDataError: Fewer than 8 records or public photographs.

        Trust: adversary.
        """
        records, clean = observation.records, observation.public.tokens
        require_both(observation, "moments need")
        move = transport_map(records, clean, shrinkage=self._settings.shrinkage)
        return link(
            move(observation.probe_records),
            observation,
            seed=seed,
            details={"queries": 0, "records": len(records)},
        )

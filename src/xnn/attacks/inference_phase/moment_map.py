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
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.transport import transport_map
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST = 8


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
        if observation.records.shape[1:] != observation.public.tokens.shape[1:]:
            return "records have another shape than the extractor's features"
        if scheme is not None and scheme.fresh_order:
            return "positions mean nothing where every record has an order of its own"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Measure, map, link.

        Raises:
            InsufficientDataError: Fewer than 8 records or public photographs.

        Trust: adversary.
        """
        records, clean = observation.records, observation.public.tokens
        if min(len(records), len(clean)) < _FEWEST:
            raise InsufficientDataError(
                f"{len(records)} records and {len(clean)} public photographs; "
                f"moments need {_FEWEST} of each"
            )
        move = transport_map(records, clean, shrinkage=self._settings.shrinkage)
        return link(
            move(observation.probe_records),
            observation,
            seed=seed,
            details={"queries": 0, "records": len(records)},
        )

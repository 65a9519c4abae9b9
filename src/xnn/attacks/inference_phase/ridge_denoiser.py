"""A denoiser from a few queries, in front of what reads clean features.

The extractor is public, so each query gives a pair: z, and the features without the noise. Ridge
regression from z to features is learned from 10, 50 or 300 of them, in the form that foresees left-
out queries best: one map for all positions, one for the whole record, or the Wiener filter, whose
statistics of clean features come from unqueried faces. Intercepted z are denoised and linked with
the clean gallery by a linker that never saw a z.

Source: this project (redteam.md, A8b).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import affordable, ask, no_queries, spread
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.statistics.denoiser import fit_denoiser
from xnn.errors import ConfigError
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: Fewer than 4 queries.
    """

    queries: int = 300
    """Public photographs asked about, at most; what the knowledge allows is the other limit."""

    def __post_init__(self) -> None:
        if self.queries < 4:
            raise ConfigError(f"queries={self.queries}; the denoiser learns from 4 or more")


@final
class RidgeDenoiser(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="ridge-denoiser",
        phase="inference",
        goal="linkage",
        summary="learns z to clean features by ridge from 300 queries, links what it denoised",
        source="this project",
    )

    def __init__(self, settings: DenoiserSettings | None = None) -> None:
        self._settings = settings or DenoiserSettings()
        if self._settings.queries != DenoiserSettings().queries:
            # Another budget is another attacker: it stands on a line of its own.
            own, queries = type(self).card, self._settings.queries
            summary = own.summary.replace("300", str(queries))
            self.card = replace(own, name=f"{own.name}-{queries}", summary=summary)

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query a few photographs, learn the denoiser, link.

        Raises:
            InsufficientDataError: No front end, or fewer than 4 queries are allowed.

        Trust: adversary.
        """
        num = affordable(observation, self._settings.queries, gallery=False)
        asked = ask(observation, spread(observation.public, num, seed=seed))
        denoise, chosen = fit_denoiser(
            asked.records, asked.faces.tokens, observation.public.tokens, seed=seed
        )
        features = denoise(observation.probe_records)
        return link(
            features,
            observation,
            seed=seed,
            details={"queries": len(asked), **chosen},
        )


def link(
    features: Float32[np.ndarray, "q n d"],
    observation: Observation,
    *,
    seed: int,
    details: dict[str, int | float | str],
    public: OwnFaces | None = None,
) -> Answer:
    """Answer with recovered features and their match with the clean gallery."""
    linker = Linker.fit(public or observation.public, seed=seed)
    return Answer(
        scores=linker.scores(features, observation.gallery),
        features=features,
        details={**details, "linker_rank_1": round(linker.held_out_rank_1, 4)},
    )

"""A Wiener filter against fresh noise: no query, no pair, only how strong the noise is.

Noise that is drawn anew for every number knows nothing of the face, while what a face puts at one
place tells of the others. The attacker measures how clean features of other people go together,
takes the power of the noise from how much further intercepted z spread, and keeps each principal
direction by its share of signal. The linker takes it from there.

Source: this project (docs/research/noise.md); the filter is Wiener's.
"""

from pathlib import Path
from typing import final

import numpy as np
import torch

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.ridge_denoiser import link
from xnn.attacks.inference_phase.token_for_token import refused_shape, require_both
from xnn.attacks.observation import Observation
from xnn.models.denoiser import Denoiser
from xnn.schemes import SchemeCard

_DIRECTIONS = 512
"""More gained nothing on LFW; the rest is set to the mean."""


@final
class NoiseFilter(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="noise-filter",
        phase="inference",
        goal="linkage",
        summary="filters fresh noise by what public features look like, without a query",
        source="this project",
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse records that have not one token for every token of the extractor."""
        return refused_shape(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Measure, filter, link.

        Raises:
            InsufficientDataError: Fewer than 8 records or public photographs.

        Trust: adversary.
        """
        records, clean = observation.records, observation.public.tokens
        require_both(observation, "a filter needs")
        spread = float(records.var(axis=0).mean() - clean.var(axis=0).mean())
        noise_variance = max(0.0, spread)
        n, d = clean.shape[1:]
        denoiser = Denoiser(n, d, min(_DIRECTIONS, n * d))
        known = torch.from_numpy(np.ascontiguousarray(clean, dtype=np.float32))
        denoiser.fit(known, noise_variance=noise_variance)
        probes = np.ascontiguousarray(observation.probe_records, dtype=np.float32)
        return link(
            denoiser(torch.from_numpy(probes)).numpy(),
            observation,
            seed=seed,
            details={"queries": 0, "noise_variance": round(noise_variance, 4)},
        )

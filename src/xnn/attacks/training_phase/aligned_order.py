"""Aligned order: a fresh order per record is undone inside the key, then unpaired moments.

Tokens tell by what they hold which position they come from. They are sorted within the key first,
without any public data; the key is recovered from the sorted records; and each token is then put to
the public position that it looks like under that key.

Source: this project (redteam.md, A3).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.attacks.statistics.unpaired import (
    UnpairedSettings,
    check_enough,
    recover_key,
    some_maps,
)
from xnn.attacks.statistics.within_key import fill_slots, in_slots, learn_slots
from xnn.attacks.training_phase.moment_recovery import refused_positions
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedOrderSettings:
    """Effort."""

    unpaired: UnpairedSettings = field(default_factory=UnpairedSettings)
    max_sorting: int = 250
    """Records from which slots are learned."""
    starts: int = 2
    worth_repeating: float = 0.02
    """Share of tokens that must find another position for the key to be recovered once more."""


@final
class AlignedOrder(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="aligned-order",
        phase="training",
        goal="linkage",
        summary="sorts the tokens of each record by what they hold, then recovers the matrix from "
        "moments of positions",
        source="this project",
    )

    def __init__(self, settings: AlignedOrderSettings | None = None) -> None:
        self._settings = settings or AlignedOrderSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return refused_positions(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Sort, recover, and put every token of the probes to its position.

        Args:
            observation: Needs records under one matrix and public images of any kind.
            seed: Draws subsets and starts.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public images; says how many are needed.

        Trust: adversary.
        """
        settings, public, records = self._settings, observation.public, observation.records
        check_enough(len(records), len(public), n=observation.shape.n, d=observation.shape.d)
        rng = np.random.default_rng(seed)
        slots = learn_slots(
            some_maps(records, settings.max_sorting, rng), rng=rng, starts=settings.starts
        )
        model = JointGaussian.fit(some_maps(public.tokens, settings.unpaired.max_model, rng))
        tidy = in_slots(records, slots.slot_of(records))
        found = recover_key(tidy, public.tokens, settings=settings.unpaired, seed=seed)
        by_slot = in_slots(tidy, np.broadcast_to(found.key.place, tidy.shape[:2]))
        guided, moved = _to_positions(by_slot, found.key, model)
        rounds = 1
        if moved > settings.worth_repeating:
            found = recover_key(guided, public.tokens, settings=settings.unpaired, seed=seed)
            guided, _ = _to_positions(guided, found.key, model)
            rounds = 2
        features = (guided[observation.probes].astype(np.float64) @ found.key.inverse).astype(
            np.float32
        )
        details: dict[str, Any] = {
            **found.details,
            "tokens_moved_by_the_public_positions": round(moved, 4),
            "keys_recovered": rounds,
        }
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        return Answer(scores=scores, features=features, details=details)


def _to_positions(
    records: Float32[np.ndarray, "r n d"], key: KeyEstimate, model: JointGaussian
) -> tuple[Float32[np.ndarray, "r n d"], float]:
    """Put each token to the public position it looks like under a key; say how many moved."""
    seen = (records @ (key.inverse @ model.into)).astype(np.float32)
    positions, _ = fill_slots(seen, model.means)
    moved = float(np.mean(positions != np.arange(records.shape[1])))
    return in_slots(records, positions), moved

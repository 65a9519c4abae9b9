"""A tail trained on queried faces, and intercepted z matched with the gallery's z."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.observation import OwnFaces
from xnn.attacks.statistics.held_out import cosines, held_out_people
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.training.config import TrainConfig
from xnn.training.loop import FitResult, fit, new_tail_and_head
from xnn.training.source import ArraySource
from xnn.training.validate import embed

_FEWEST_HELD = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A tail and how it came about."""

    tail: Tail
    result: FitResult

    def scores(
        self, probes: Float32[np.ndarray, "q m e"], gallery: Float32[np.ndarray, "g m e"]
    ) -> Float64[np.ndarray, "q g"]:
        """Return the cosines of embedded records."""
        return matched(self.tail, probes, gallery)

    def details(self) -> dict[str, int | float | None]:
        """Return steps and the rank-1 of the people held out."""
        best = self.result.best
        return {
            "steps": self.result.steps,
            "validation_rank_1": None if best is None else round(best.scores.rank_1, 4),
        }


def train_tail(
    faces: OwnFaces,
    config: TrainConfig,
    tail_config: TailConfig,
    run_dir: Path,
    *,
    held_out: float,
    start: Tail | None = None,
) -> Trained:
    """Train on faces whose tokens are what the front end made of them.

    Args:
        faces: Labels from 0 without gaps.
        config: Optimiser, schedule and seed.
        tail_config: Shape of the tail.
        run_dir: New folder of the run.
        held_out: Share of the people who choose the best epoch; 0 keeps the last weights.
        start: Weights to begin with instead of fresh ones; left as it is.

    Raises:
        InsufficientDataError: Fewer than 2 people to train on.
    """
    held = np.zeros(len(faces), dtype=bool)
    if held_out * len(np.unique(faces.labels)) >= _FEWEST_HELD:
        held = held_out_people(faces.labels, share=held_out, seed=config.seed)
    source = _source(faces.at(np.flatnonzero(~held)).renumbered())
    val = _source(faces.at(np.flatnonzero(held)).renumbered()) if held.any() else None
    tail, head = new_tail_and_head(tail_config, source.num_classes, config)
    if start is not None:
        tail.load_state_dict(start.state_dict())
    return Trained(tail=tail, result=fit(source, val, tail, head, config, run_dir))


def matched(
    tail: Tail, probes: Float32[np.ndarray, "q m e"], gallery: Float32[np.ndarray, "g m e"]
) -> Float64[np.ndarray, "q g"]:
    """Return the cosines of what a tail makes of probes and gallery."""
    return cosines(*(embed(tail, _unlabelled(part)) for part in (probes, gallery)))


def attackers_own(config: TrainConfig, seed: int) -> TrainConfig:
    """Return the recipe under the attacker's seed, in full precision on one CPU process."""
    return replace(config, seed=seed, accelerator="cpu", precision="32-true", devices=1)


def _source(faces: OwnFaces) -> ArraySource:
    return ArraySource(faces.tokens, faces.labels)


def _unlabelled(records: Float32[np.ndarray, "b m e"]) -> ArraySource:
    return ArraySource(records, np.zeros(len(records), dtype=np.int64))

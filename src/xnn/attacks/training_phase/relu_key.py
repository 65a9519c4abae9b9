"""ReLU key: a secret ReLU layer, taken apart unit by unit with known pairs.

Records are Y = ReLU(P X M1) M2. The order of tokens comes from likeness across the pairs; each
hidden unit from the descent in `xnn.attacks.statistics.relu_units`, which needs about 4 known
tokens per channel; whether a unit is one, from the other records, where it must be exactly zero
often and never negative. The attacker then sends its own faces and the gallery through the units,
learns there which embedding is behind them, and reads the probes' units: both sides have lost the
same half. Features are read beside it: every unit that is on is an exact linear equation, and a
Gaussian prior from public faces fills the rest.

Records that are linear in the features have no such units: they are read with one matrix.

Source: this project (redteam.md, A11, with pairs). docs/research/ladder.md says what was tried
without pairs.
"""

from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import KnownPairs, Observation
from xnn.attacks.statistics.half_observed import read_half_observed
from xnn.attacks.statistics.paired_regression import order_by_likeness
from xnn.attacks.statistics.relu_units import (
    FEWEST_TOKENS_PER_CHANNEL,
    Units,
    UnitSettings,
    find_units,
)
from xnn.attacks.training_phase.known_plaintext import answer_from_pairs
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_MOST_NEGATIVE = 0.02
_FEWEST_ZERO = 0.002
_RECORDS_CHECKED = 300


@final
class ReluKey(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="relu-key",
        phase="training",
        goal="linkage",
        summary="finds the hidden units of a secret ReLU layer one by one from known pairs, and "
        "reads the units of other records exactly",
        source="this project",
        uses_pairs=True,
    )

    def __init__(self, settings: UnitSettings | None = None) -> None:
        self._settings = settings or UnitSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if observation.pairs is None or len(observation.pairs) == 0:
            return "no known pairs"
        if scheme is None or scheme.reads != "features" or scheme.mixes:
            return "a record is not that of one photograph's features under a key"
        if scheme.fresh_order or observation.records.shape[1] != observation.shape.n:
            return "records have no token for each of the extractor's, in one order"
        if scheme.randomised or (scheme.linear and scheme.name != self.card.control):
            return "there is no exact zero to find: no ReLU, or noise on it"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Find the units, check them on all records, and read the probes.

        Args:
            observation: Needs known pairs of about 4 tokens per channel, and public faces.
            seed: Draws tokens and starts.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few pairs, or no unit found; says how many pairs are needed.

        Trust: adversary.
        """
        pairs, shape = observation.pairs, observation.shape
        needed = -(-FEWEST_TOKENS_PER_CHANNEL * shape.d // shape.n)
        held = 0 if pairs is None else len(pairs)
        if pairs is None or held < needed:
            raise InsufficientDataError(
                f"{held} known pairs; hidden units of width {shape.d} at {shape.n} tokens need "
                f"about {needed}"
            )
        if _linear(pairs):
            answer = answer_from_pairs(observation, pairs, seed=seed)
            return Answer(
                scores=answer.scores,
                features=answer.features,
                key=answer.key,
                details={**answer.details, "units": 0},
            )
        place = order_by_likeness(pairs.records, pairs.faces.tokens)
        known = pairs.faces.tokens[:, place].reshape(-1, shape.d)
        seen = pairs.records.reshape(-1, pairs.records.shape[2])
        found = find_units(known, seen, settings=self._settings, seed=seed)
        units = checked(found, observation.records[:_RECORDS_CHECKED])
        if len(units) == 0:
            raise InsufficientDataError(
                f"no hidden unit found with {held} known pairs; try more than {needed}"
            )
        features = read_half_observed(
            observation.probe_records, units, place, observation.public.tokens
        )
        own, gallery = (
            faces.with_tokens(units.of_features(faces.tokens[:, place]))
            for faces in (observation.public, observation.gallery)
        )
        linker = Linker.fit(own, seed=seed)
        return Answer(
            scores=linker.scores(units.of_records(observation.probe_records), gallery),
            features=features,
            details={
                "pairs": held,
                "units": len(units),
                "units_refuted": len(found) - len(units),
                "units_in_key": shape.d,
                "linker_rank_1": round(linker.held_out_rank_1, 4),
            },
        )


def checked(units: Units, records: Float32[np.ndarray, "r n e"]) -> Units:
    """Return the units that other records do not refute: zero at times, and never negative.

    Args:
        units: As found on the pairs.
        records: Others under the same key.
    """
    values = records.reshape(-1, records.shape[2]).astype(np.float64) @ units.back
    tolerance = 6 * units.noise
    negative = (values < -tolerance).mean(axis=0)
    zero = (np.abs(values) <= tolerance).mean(axis=0)
    return units.at(np.flatnonzero((negative <= _MOST_NEGATIVE) & (zero >= _FEWEST_ZERO)))


def _linear(pairs: KnownPairs) -> bool:
    """Tell whether records hold nothing that a matrix does not explain, whatever their order."""
    place = order_by_likeness(pairs.records, pairs.faces.tokens)
    x = pairs.faces.tokens[:, place].reshape(-1, pairs.faces.tokens.shape[2]).astype(np.float64)
    y = pairs.records.reshape(-1, pairs.records.shape[2]).astype(np.float64)
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return bool(np.square(rest).sum() < 1e-4 * np.square(y).sum())

"""Unpaired moments: the key from uploaded records and other people's faces, without one known pair.

A fixed linear key leaves its mark on every moment of every position. The attacker measures the same
moments on its own images through the public extractor, and the key is what takes one to the other.

Source: this project (redteam.md, A1). Close to AK-ICA (Guo and Wu, PAKDD 2007) for the matrix; the
order of tokens and the use of per-position statistics are ours.
"""

from pathlib import Path
from typing import final

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.unpaired import (
    Recovered,
    UnpairedSettings,
    recover_key,
    undo,
)
from xnn.schemes import SchemeCard


@final
class MomentRecovery(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="unpaired-moments",
        phase="training",
        goal="linkage",
        summary="recovers the key by matching moments of records with moments of other people's "
        "faces, position by position",
        source="this project",
    )

    def __init__(self, settings: UnpairedSettings | None = None) -> None:
        self._settings = settings or UnpairedSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if scheme is not None and scheme.fresh_order:
            return "tokens of every record are in an order of their own; see aligned-order"
        return refused_positions(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Recover the key from unpaired sets and undo it on the probes.

        Args:
            observation: Needs records and public images of any kind. Several keys take turns over
                the records; each is recovered from its own.
            seed: Draws subsets and starts.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public images; says how many are needed.

        Trust: adversary.
        """
        public, records, keys = observation.public, observation.records, observation.knowledge.keys
        features = np.empty((len(observation.probes), *records.shape[1:]), dtype=np.float32)
        first: Recovered | None = None
        for turn in range(keys):
            asked = observation.probes % keys == turn
            if not asked.any() and first is not None:
                continue
            found = recover_key(
                records[turn::keys], public.tokens, settings=self._settings, seed=seed
            )
            features[asked] = undo(records[observation.probes[asked]], found.key)
            first = first or found
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        return Answer(
            scores=scores,
            features=features,
            key=None if first is None else first.key,
            details={} if first is None else first.details,
        )


def refused_statistics(scheme: SchemeCard | None, observation: Observation) -> str | None:
    """Say why no attack of this family can be tried; None when one can."""
    if scheme is None:
        return "there is no keyed scheme"
    if observation.knowledge.extractor == "secret" or len(observation.public) == 0:
        return "it compares records with features of its own images through the public extractor"
    if scheme.reads != "features" or observation.records.shape[2] != observation.shape.d:
        return "records are not a map of the extractor's tokens, channel by channel"
    return None


def refused_positions(scheme: SchemeCard | None, observation: Observation) -> str | None:
    """The same, where every token of the extractor must have left a record's."""
    if scheme is not None and observation.records.shape[1] != observation.shape.n:
        return "records have another number of tokens than the extractor's features"
    return refused_statistics(scheme, observation)

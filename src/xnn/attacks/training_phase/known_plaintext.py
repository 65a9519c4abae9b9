"""Known plaintext: a few photographs whose records are known give the key away.

A data subject knows their own photographs; a public person's are on the net. The order of tokens
needs not be known: the pairs' hat matrices tell it (`xnn.attacks.statistics.paired_order`). Least
squares on the matched tokens then is the key, and every other record is read with it.

Pairs needed: just over d / n for a fixed order, so 2 at 197 x 384 and 6 at 65 x 384.

Source: this project (redteam.md, P3 and A5).
"""

from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import KnownPairs, Observation
from xnn.attacks.statistics.paired_key import PairedKey
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard, find_scheme


@final
class KnownPlaintext(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="known-plaintext",
        phase="training",
        goal="linkage",
        summary="solves for the key from known pairs of photograph and record, token order unknown",
        source="this project",
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without pairs, and where records are not made of the extractor's tokens."""
        if scheme is None or scheme.reads != "features":
            return "the records are not keyed tokens of the extractor"
        if observation.pairs is None or len(observation.pairs) == 0:
            return "no known pairs"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Solve for the key and read the probes with it.

        Raises:
            InsufficientDataError: No pair, or too few public faces to link with.

        Trust: adversary.
        """
        if observation.pairs is None or len(observation.pairs) == 0:
            raise InsufficientDataError("no known pairs; known-plaintext needs at least 1")
        key = solve_observed(observation, observation.pairs, seed=seed)
        return answer_with(key, observation, seed=seed)


def solve_observed(observation: Observation, pairs: KnownPairs, *, seed: int) -> PairedKey:
    """Solve for the key under which an observation's records were made."""
    return PairedKey.solve(
        pairs.records,
        pairs.faces.tokens,
        observation.records,
        observation.public.tokens,
        fresh_order=find_scheme(observation.scheme).card.fresh_order,
        seed=seed,
    )


def answer_with(key: PairedKey, observation: Observation, *, seed: int) -> Answer:
    """Read the probes with a key and link them to the gallery."""
    known = observation.public.tokens
    features: Float32[np.ndarray, "q n d"] = key.read(observation.probe_records, known)
    linker = Linker.fit(observation.public, seed=seed)
    return Answer(
        scores=linker.scores(features, observation.gallery),
        features=features,
        key=key.estimate(),
        details={**key.details(), "linker_rank_1": round(linker.held_out_rank_1, 4)},
    )

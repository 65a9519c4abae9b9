"""Known plaintext: a few photographs whose records are known give the key away.

A data subject knows their own photographs; a public person's are on the net. The order of tokens
needs not be known: the pairs' hat matrices tell it (`xnn.attacks.statistics.paired_order`). Least
squares on the matched tokens then is the key, and every other record is read with it.

Pairs needed: just over d / n for a fixed order, so 2 at 197 x 384 and 6 at 65 x 384.

Source: this project (redteam.md, P3 and A5).
"""

from pathlib import Path
from typing import Any, final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import KnownPairs, Observation
from xnn.attacks.statistics.paired_key import PairedKey
from xnn.attacks.statistics.paired_regression import FEWEST_PAIRS, PairedRegression
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard, find_scheme

_GOOD = 0.1
"""Left-out error up to which a linear reading is not worth improving."""


@final
class KnownPlaintext(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="known-plaintext",
        phase="training",
        goal="linkage",
        summary="solves for the key from known pairs of photograph and record, token order unknown",
        source="this project",
        uses_pairs=True,
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without pairs, or with too few for records that are no tokens of the extractor."""
        if observation.pairs is None or len(observation.pairs) == 0:
            return "no known pairs"
        if scheme is None or scheme.mixes:
            return "a record is not that of one photograph under a key"
        return refused_pairs(scheme, observation, len(observation.pairs))

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Solve for the key and read the probes with it.

        Raises:
            InsufficientDataError: No pair, or too few public faces to link with.

        Trust: adversary.
        """
        if observation.pairs is None or len(observation.pairs) == 0:
            raise InsufficientDataError("no known pairs; known-plaintext needs at least 1")
        return answer_from_pairs(observation, observation.pairs, seed=seed)


def refused_pairs(scheme: SchemeCard, observation: Observation, count: int) -> str | None:
    """Say why so many pairs cannot do; None when they may."""
    if _are_tokens(scheme, observation) or count >= FEWEST_PAIRS:
        return None
    return f"records are not one token for each of the extractor's: needs {FEWEST_PAIRS} pairs"


def answer_from_pairs(observation: Observation, pairs: KnownPairs, *, seed: int) -> Answer:
    """Solve for the key, or for whatever reads records, and read and link the probes.

    Args:
        observation: Whose probes are read.
        pairs: Known ones, or those that were asked for.
        seed: Draws pairs left out.

    Raises:
        InsufficientDataError: Too few pairs for records of their kind, or too few public faces to
            link with.
    """
    scheme = find_scheme(observation.scheme).card
    key: PairedKey | None = None
    error = None
    details: dict[str, Any] = {"pairs": len(pairs)}
    if _are_tokens(scheme, observation):
        key = PairedKey.solve(
            pairs.records,
            pairs.faces.tokens,
            observation.records,
            observation.public.tokens,
            fresh_order=scheme.fresh_order,
            seed=seed,
        )
        error = key.reading.left_out_error
        details |= key.details()
    regression = None
    good = scheme.fresh_order or (error is not None and error < _GOOD)
    if key is None or (len(pairs) >= FEWEST_PAIRS and not good):
        regression = PairedRegression.fit(pairs.records, pairs.faces.tokens, seed=seed)
        details["regression_error"] = round(regression.left_out_error, 5)
    probes = observation.probe_records
    if key is not None and (
        regression is None or (error is not None and error <= regression.left_out_error)
    ):
        features, estimate = key.read(probes, observation.public.tokens), key.estimate()
    elif regression is not None:
        features, estimate = regression.read(probes), None
        details["regression"] = regression.form
    linker = Linker.fit(observation.public, seed=seed)
    details["linker_rank_1"] = round(linker.held_out_rank_1, 4)
    scores = linker.scores(features, observation.gallery)
    return Answer(scores=scores, features=features, key=estimate, details=details)


def _are_tokens(scheme: SchemeCard, observation: Observation) -> bool:
    """Return whether a record has a token for each of the extractor's."""
    same = observation.records.shape[1] == observation.shape.n
    return scheme.reads == "features" and same

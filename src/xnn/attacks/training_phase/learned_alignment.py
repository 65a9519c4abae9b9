"""Learned alignment: no pair; the stolen upload is led to uploads of the attacker's own.

The attacker draws a key of its own and makes an upload of its faces, for which it knows every
photograph. The stolen upload is aligned with that one: order of tokens and rotation by moments,
then a matrix trained until the sliced distributions of the two agree. What was learned on the
attacker's upload, from record to embedding, is then read from the stolen records. Records meet
records, not features: what a secret layer or noise does to a distribution is on both sides.

Several keys are tried. Those whose upload came nearest, by slices not trained on, are averaged.

Source: this project (redteam.md, A10); distribution matching as in FORA (arXiv:2405.04115) with
slices in place of a discriminator.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.embedding_ridge import EmbeddingRidge, unit
from xnn.attacks.statistics.record_inputs import flat
from xnn.attacks.statistics.sliced_transport import TransportSettings, fit_transport
from xnn.attacks.statistics.unpaired import UnpairedSettings, check_enough, recover_key, undo
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentSettings:
    """Effort."""

    keys: int = 6
    """Of the attacker's own, each a fresh start."""
    kept: int = 3
    """Nearest uploads, whose answers are averaged."""
    most_own: int = 2000
    """Photographs per upload of the attacker's own."""
    unpaired: UnpairedSettings = field(default_factory=UnpairedSettings)
    transport: TransportSettings = field(default_factory=TransportSettings)


@final
class LearnedAlignment(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="learned-alignment",
        phase="training",
        goal="linkage",
        summary="trains a map from the stolen records to uploads of the attacker's own until the "
        "two look alike, and reads them as its own",
        source="this project; FORA, arXiv:2405.04115",
    )

    def __init__(self, settings: AlignmentSettings | None = None) -> None:
        self._settings = settings or AlignmentSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if scheme is None:
            return "no keyed scheme to play"
        if scheme.fresh_order:
            return "tokens of every record are in an order of their own: places mean nothing"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Align with several uploads of the attacker's own and average what the nearest say.

        Args:
            observation: Needs records under one key and public faces; no pair.
            seed: Draws the attacker's keys, subsets and slices.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public faces; says how many are needed.

        Trust: adversary.
        """
        m, width = observation.records.shape[1:]
        check_enough(len(observation.records), len(observation.public), n=m, d=width)
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
        tries = [self._try(observation, keys, seed + i) for i in range(self._settings.keys)]
        tries.sort(key=lambda one: one[0])
        embeddings = np.sum([found for _, found in tries[: self._settings.kept]], axis=0)
        centre = observation.public.embeddings.mean(axis=0, dtype=np.float64)
        gallery = unit(observation.gallery.embeddings - centre)
        return Answer(
            scores=unit(embeddings) @ gallery.T,
            details={"distances": [round(distance, 5) for distance, _ in tries]},
        )

    def _try(
        self, observation: Observation, keys: OwnKeys, seed: int
    ) -> tuple[float, Float64[np.ndarray, "q c"]]:
        """Align with one upload; return its distance and the embeddings of the probes."""
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(observation.public))[: self._settings.most_own]
        faces = observation.public.at(np.sort(rows))
        own = keys.records(keys.draw(), faces)
        found = recover_key(observation.records, own, settings=self._settings.unpaired, seed=seed)
        whitening = UploadWhitening.of(own)
        ours = whitening(own)
        theirs = whitening(undo(observation.records, found.key))
        matrix, distance = fit_transport(theirs, ours, settings=self._settings.transport, seed=seed)
        centre = observation.public.embeddings.mean(axis=0, dtype=np.float64)
        ridge = EmbeddingRidge.fit(
            flat(ours), unit(faces.embeddings - centre), faces.labels, rng=rng
        )
        return distance, unit(ridge(flat(theirs[observation.probes] @ matrix)))

"""Token clusters: a matrix from groups of like tokens, where records have no order or lack tokens.

Groups by descriptions that no key changes stand in for positions. They give a rough rotation. By
where it puts them tokens are grouped anew, as public tokens are, and it is found again.

Source: this project (redteam.md, A4; the second grouping is new).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.attacks.statistics.rotation import align
from xnn.attacks.statistics.token_groups import (
    GroupMoments,
    WhiteTokens,
    describe,
    find_groups,
    group_of,
    measure_groups,
    whiten_tokens,
)
from xnn.attacks.statistics.unpaired import check_enough, some_maps
from xnn.attacks.statistics.within_key import fill_slots
from xnn.attacks.training_phase.moment_recovery import refused_statistics
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClusterSettings:
    """Effort."""

    groups: int = 48
    max_records: int = 1500
    max_public: int = 800
    rounds: int = 4
    """Groupings in the aligned space."""
    fewest_tokens: int = 30
    """A group with fewer, on either side, is left out."""


@final
class TokenClusters(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="token-clusters",
        phase="training",
        goal="linkage",
        summary="recovers the matrix from groups of tokens that look alike under any key, whatever "
        "their order and whichever of them are kept",
        source="this project",
    )

    def __init__(self, settings: TokenClusterSettings | None = None) -> None:
        self._settings = settings or TokenClusterSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if not 3 <= observation.records.shape[1] <= observation.shape.n:
            return "records hold fewer than 3 tokens, or more than the extractor gives"
        return refused_statistics(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Recover the matrix and put every token of the probes to its position.

        Args:
            observation: Needs records under one matrix and public images of any kind.
            seed: Draws subsets and starts.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public images; says how many are needed.

        Trust: adversary.
        """
        settings, public = self._settings, observation.public
        check_enough(
            len(observation.records), len(public), n=observation.shape.n, d=observation.shape.d
        )
        rng = np.random.default_rng(seed)
        theirs = whiten_tokens(some_maps(observation.records, settings.max_records, rng))
        own = some_maps(public.tokens, settings.max_public, rng)
        ours = whiten_tokens(own)
        rotation, used = recover_rotation(theirs, ours, settings, rng)
        inverse = theirs.whitening.inverse_root @ rotation.T @ ours.whitening.root
        probes = observation.probe_records
        tokens = (probes - theirs.mean) @ inverse + ours.mean
        features = place_tokens(tokens.astype(np.float32), own)
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        return Answer(scores=scores, features=features, details={"groups_used": used})


def recover_rotation(
    theirs: WhiteTokens,
    ours: WhiteTokens,
    settings: TokenClusterSettings,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "d d"], int]:
    """Return the rotation from the public whitened space to the records', and the groups used."""
    there, here = describe(theirs.tokens), describe(ours.tokens)
    centres = find_groups(here, settings.groups, rng=rng)
    rotation, used = _rotation_of(
        measure_groups(ours.tokens, group_of(here, centres), len(centres)),
        measure_groups(theirs.tokens, group_of(there, centres), len(centres)),
        settings,
        start=None,
    )
    d = ours.tokens.shape[2]
    rows = ours.tokens.reshape(-1, d)
    centres = find_groups(rows, settings.groups, rng=rng)
    public = measure_groups(ours.tokens, group_of(rows, centres), len(centres))
    for _ in range(settings.rounds):
        seen = theirs.tokens.reshape(-1, d) @ rotation.T.astype(np.float32)
        records = measure_groups(theirs.tokens, group_of(seen, centres), len(centres))
        rotation, used = _rotation_of(public, records, settings, start=rotation)
    return rotation, used


def _rotation_of(
    public: GroupMoments,
    records: GroupMoments,
    settings: TokenClusterSettings,
    *,
    start: Float64[np.ndarray, "d d"] | None,
) -> tuple[Float64[np.ndarray, "d d"], int]:
    """Align the groups that hold enough tokens on both sides."""
    kept = np.minimum(public.counts, records.counts) >= settings.fewest_tokens
    if not kept.any():
        kept = np.minimum(public.counts, records.counts) > 0
    rotation = align(
        public.means[kept],
        records.means[kept],
        public.covariances[kept],
        records.covariances[kept],
        start=start,
        max_steps=40,
    )
    return rotation, int(kept.sum())


def place_tokens(
    tokens: Float32[np.ndarray, "q m d"], public: Float32[np.ndarray, "p n d"]
) -> Float32[np.ndarray, "q n d"]:
    """Put recovered tokens to the public positions they look like; fill the rest with means."""
    model = JointGaussian.fit(public)
    positions, _ = fill_slots((tokens @ model.into).astype(np.float32), model.means)
    means = public.mean(axis=0, dtype=np.float64).astype(np.float32)
    features = np.repeat(means[None], len(tokens), axis=0)
    np.put_along_axis(features, positions[:, :, None], tokens, axis=1)
    return features

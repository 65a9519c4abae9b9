"""Weak keys: try every key that a seeded, general-purpose generator would have given.

Research code draws keys from Python's and NumPy's generators under a constant or the clock. Such
a key is one of a few million. Each candidate's permutation is scored against what the records and
the attacker's own features say of each position (no key changes that but the order), a batch at a
time, by its first entries; the best are looked at whole, and of the very best the matrix is drawn
and must take the public position means to the records'.

Source: this project (redteam.md, A15; method.md 2.3 and 8.1.8 for how the authors drew theirs).
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float64, Int64

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.graph_matching import GraphProblem, pose
from xnn.attacks.statistics.moments import PositionMoments, measure
from xnn.attacks.statistics.unpaired import check_enough, undo
from xnn.attacks.statistics.weak_sources import WEAK_SOURCES, WeakSource
from xnn.errors import ConfigError
from xnn.schemes import KeyStream, SchemeCard, find_scheme

_PREFIX = 24
"""Entries of a permutation that are drawn at first."""
_SHARE_KEPT = 0.01
_FEWEST_KEPT = 200
_BATCH = 20_000
_MATRICES = 12
"""Candidates of a source of which the matrix is drawn, when there is a permutation to go by."""
_CORRELATION = 0.4
"""Of position means under the right matrix, measured 0.7 and more; a wrong one gives 0.0x."""
_MAX_MAPS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakKeySettings:
    """What is tried.

    Raises:
        ConfigError: A range is empty or leaves 0..2**32-1.
    """

    small_seeds: int = 10_000
    """Seeds 0, 1, .. below this: constants, years, days as numbers."""
    clock: tuple[int, int] | None = None
    """Seconds since 1970 between which the key may have been drawn, last one left out."""
    max_matrices: int = 500
    """Seeds tried where the scheme has no fixed permutation, and every matrix must be drawn."""

    def __post_init__(self) -> None:
        first, last = self.clock or (0, 1)
        if self.small_seeds < 1 or not 0 <= first < last <= 1 << 32:
            raise ConfigError(
                f"small_seeds={self.small_seeds}, clock={self.clock}: use at least 1 seed, and a "
                "rising pair of seconds below 2**32"
            )

    def seeds(self) -> Int64[np.ndarray, " c"]:
        """Return all seeds tried, rising."""
        ranges = [np.arange(self.small_seeds, dtype=np.int64)]
        if self.clock is not None:
            ranges.append(np.arange(*self.clock, dtype=np.int64))
        return np.unique(np.concatenate(ranges))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidate:
    source: str
    seed: int
    correlation: float
    place: Int64[np.ndarray, " n"]
    matrix: Float64[np.ndarray, "d d"]


@final
class WeakKeySearch(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="weak-key-search",
        phase="training",
        goal="linkage",
        summary="tries the keys of seeded general-purpose generators: small seeds and the clock",
        source="this project",
        control="paper-seeded",
    )

    def __init__(self, settings: WeakKeySettings | None = None) -> None:
        self._settings = settings or WeakKeySettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse where a key is more than one permutation and one matrix."""
        if scheme is None or not scheme.linear or scheme.reads != "features":
            return "keys are no permutation and matrix of the extractor's tokens"
        if observation.records.shape[1:] != observation.public.tokens.shape[1:]:
            return "records have another shape than features"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Search, and read the probes with the key that was found.

        Returns:
            Scores that are all alike, and no key, when none was found.

        Raises:
            InsufficientDataError: Too few records or public faces to test a key on.

        Trust: adversary.
        """
        records, public = observation.records, observation.public
        check_enough(len(records), len(public), n=observation.shape.n, d=observation.shape.d)
        theirs, ours = measure(records[:_MAX_MAPS]), measure(public.tokens[:_MAX_MAPS])
        permutes, mixes = _parts_of(observation, seed)
        seeds = self._settings.seeds()
        problem = pose(theirs.layers, ours.layers) if permutes else None
        if problem is None:
            seeds = seeds[: self._settings.max_matrices]
        begun = time.perf_counter()
        best: _Candidate | None = None
        for source in WEAK_SOURCES:
            tried = seeds if problem is None else _likely(source, seeds, problem)
            found = _best(source, tried, theirs, ours, permutes=permutes, mixes=mixes)
            if best is None or found.correlation > best.correlation:
                best = found
        elapsed = time.perf_counter() - begun
        details: dict[str, Any] = {
            "sources": len(WEAK_SOURCES),
            "seeds": len(seeds),
            "last_seed": int(seeds[-1]),
            "candidates_per_second": round(len(seeds) * len(WEAK_SOURCES) / elapsed, 1),
        }
        if best is None or best.correlation < _CORRELATION:
            nothing = np.zeros((len(observation.probes), len(observation.gallery)))
            return Answer(scores=nothing, details={**details, "found": False})
        key = KeyEstimate(place=best.place, inverse=np.linalg.inv(best.matrix))
        features = undo(observation.probe_records, key)
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        details |= {"found": True, "source": best.source, "correlation": round(best.correlation, 4)}
        return Answer(scores=scores, features=features, key=key, details=details)


def _parts_of(observation: Observation, seed: int) -> tuple[bool, bool]:
    """Learn, under a key of the attacker's own, whether a scheme permutes and whether it mixes."""
    shape = observation.shape
    stream = KeyStream(hashlib.sha256(f"weak-key-search {seed}".encode()).digest())
    obfuscator = find_scheme(observation.scheme).bind(shape, stream)
    tokens = np.zeros((1, shape.n, shape.d), dtype=np.float32)
    tokens[0, :, 0] = np.arange(1, shape.n + 1)
    record = obfuscator.obfuscate(torch.from_numpy(tokens)).numpy()[0]
    lengths = np.linalg.norm(record, axis=1)
    mixes = shape.d > 1 and bool(np.abs(record[:, 1:]).max() > 0)
    return not np.array_equal(np.argsort(lengths), np.arange(shape.n)), mixes


def _likely(
    source: WeakSource, seeds: Int64[np.ndarray, " c"], problem: GraphProblem
) -> Int64[np.ndarray, " m"]:
    """Return the seeds whose permutation fits best, the first entries first."""
    n = len(problem.cost)
    count = min(n, _PREFIX)
    kept = max(_FEWEST_KEPT, round(_SHARE_KEPT * len(seeds)))
    scores = np.concatenate(
        [
            _fit_of_prefix(source, seeds[start : start + _BATCH], problem, count)
            for start in range(0, len(seeds), _BATCH)
        ]
    )
    some = seeds[np.argsort(scores, kind="stable")[:kept]]
    places = np.stack([source.order(int(one), n, n) for one in some])
    flat = problem.records.reshape(-1)
    fits = np.array(
        [flat @ problem.public[:, place[:, None], place].reshape(-1) for place in places]
    )
    fits += np.take_along_axis(problem.linear[None], places[:, :, None], axis=2)[..., 0].sum(axis=1)
    return some[np.argsort(-fits, kind="stable")[:_MATRICES]]


def _fit_of_prefix(
    source: WeakSource, seeds: Int64[np.ndarray, " b"], problem: GraphProblem, count: int
) -> Float64[np.ndarray, " b"]:
    """Return how badly the first entries of each permutation fit; lower = better."""
    n = len(problem.cost)
    places = np.stack([source.order(int(one), n, count) for one in seeds])
    costs: Float64[np.ndarray, " b"] = problem.cost[np.arange(count), places].sum(axis=1)
    return costs


def _best(
    source: WeakSource,
    seeds: Int64[np.ndarray, " m"],
    theirs: PositionMoments,
    ours: PositionMoments,
    *,
    permutes: bool,
    mixes: bool,
) -> _Candidate:
    """Draw the matrices and return the one that takes the public means nearest to the records'."""
    n, d = ours.raw_means.shape
    target = theirs.raw_means - theirs.raw_means.mean(axis=0)
    means = ours.raw_means - ours.raw_means.mean(axis=0)
    best: _Candidate | None = None
    for seed in seeds.tolist():
        place = source.order(seed, n, n) if permutes else np.arange(n, dtype=np.int64)
        matrix = source.matrix(seed, n, d, permutes) if mixes else np.eye(d)
        aim = means[place] @ matrix
        norms = np.linalg.norm(aim) * np.linalg.norm(target)
        correlation = float(np.sum(aim * target) / norms)
        if best is None or correlation > best.correlation:
            best = _Candidate(
                source=source.name,
                seed=seed,
                correlation=correlation,
                place=place.astype(np.int64),
                matrix=matrix,
            )
    if best is None:
        raise ConfigError("no seeds to try; use at least one")
    return best

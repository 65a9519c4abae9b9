"""From features behind the probes to scores against the gallery: the last step of many attacks.

The attacker learns, on its own faces, what a public recogniser says of a photograph from the
extractor's features of it, by ridge regression in its dual form. A recovered feature then becomes
an embedding, to compare with the recogniser's embedding of each suspect's clean photograph. The
cosine of standardised tokens is tried beside it; people held out decide which of the two links
better.
"""

import hashlib
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.observation import OwnFaces
from xnn.attacks.statistics.held_out import cosines, unit_rows
from xnn.errors import InsufficientDataError

_MAX_PHOTOGRAPHS = 3000
_HELD_OUT = 0.2
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, in units of the mean eigenvalue of the Gram matrix."""
_FEWEST = 8
_MOST_KEPT = 4


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linker:
    """What the attacker has learned; `fit` makes one."""

    mean: Float32[np.ndarray, "n d"]
    deviation: Float32[np.ndarray, "n d"]
    support: Float32[np.ndarray, "s f"]
    """The attacker's photographs, standardised and flattened."""
    weights: Float64[np.ndarray, "s e"]
    centre: Float64[np.ndarray, " e"]
    """Mean embedding of the attacker's photographs."""
    by_tokens: bool
    """Whether the cosine of tokens linked better than the regression."""
    held_out_rank_1: float
    """Rank-1 on the people held out, of the way that was chosen."""

    @classmethod
    def fit(cls, public: OwnFaces, *, seed: int) -> "Linker":
        """Learn from the attacker's own photographs.

        Args:
            public: At least 8 photographs; with fewer than 4 people, or none with two photographs,
                nothing is held out and the middle strength is taken.
            seed: Draws the photographs used and the people held out.

        Raises:
            InsufficientDataError: Fewer than 8 photographs.
        """
        if len(public) < _FEWEST:
            raise InsufficientDataError(
                f"the attacker has {len(public)} photographs, linking needs at least {_FEWEST}"
            )
        name = _name(public, seed)
        if name not in _LEARNED:
            while len(_LEARNED) >= _MOST_KEPT:
                _LEARNED.pop(next(iter(_LEARNED)))
            _LEARNED[name] = cls._learn(public, seed)
        return _LEARNED[name]

    @classmethod
    def _learn(cls, public: OwnFaces, seed: int) -> "Linker":
        rows = np.sort(np.random.default_rng(seed).permutation(len(public))[:_MAX_PHOTOGRAPHS])
        public = public.at(rows)
        mean = public.tokens.mean(axis=0)
        deviation = np.maximum(public.tokens.std(axis=0), 1e-6 + 0.01 * public.tokens.std())
        strength, by_tokens, rank_1 = _choose(public, mean, deviation, seed)
        support = _flat(public.tokens, mean, deviation)
        centre = public.embeddings.mean(axis=0, dtype=np.float64)
        weights = _solve(support, unit_rows(public.embeddings - centre), strength)
        return cls(
            mean=mean,
            deviation=deviation,
            support=support,
            weights=weights,
            centre=centre,
            by_tokens=by_tokens,
            held_out_rank_1=rank_1,
        )

    def embed(self, features: Float32[np.ndarray, "q n d"]) -> Float64[np.ndarray, "q e"]:
        """Return the embedding that the public recogniser would give, less its mean, any length."""
        flat = _flat(features, self.mean, self.deviation)
        embeddings: Float64[np.ndarray, "q e"] = (flat @ self.support.T) @ self.weights
        return embeddings

    def scores(
        self, features: Float32[np.ndarray, "q n d"], gallery: OwnFaces
    ) -> Float64[np.ndarray, "q g"]:
        """Return how alike each feature and each photograph of the gallery are, in [-1, 1].

        Args:
            features: In the extractor's order of tokens and its units, finite.
            gallery: Clean photographs of the suspects.
        """
        if self.by_tokens:
            flat = _flat(features, self.mean, self.deviation)
            return cosines(flat, _flat(gallery.tokens, self.mean, self.deviation))
        return cosines(self.embed(features), gallery.embeddings - self.centre)


_LEARNED: dict[bytes, Linker] = {}
"""The last few, by what they were learned from: attacks of one board share the attacker's faces."""


def _name(public: OwnFaces, seed: int) -> bytes:
    digest = hashlib.blake2b(str(seed).encode(), digest_size=16)
    for array in (public.tokens, public.embeddings, public.labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _choose(
    public: OwnFaces,
    mean: Float32[np.ndarray, "n d"],
    deviation: Float32[np.ndarray, "n d"],
    seed: int,
) -> tuple[float, bool, float]:
    """Return the strength, whether tokens link better, and the rank-1 on the people held out."""
    middle = _STRENGTHS[len(_STRENGTHS) // 2]
    if len(np.unique(public.labels)) < 4:
        return middle, False, float("nan")
    known, held = public.divide(_HELD_OUT, seed=seed)
    first = np.unique(held.labels, return_index=True)[1]
    probes = np.setdiff1d(np.arange(len(held)), first)
    if len(probes) == 0:
        return middle, False, float("nan")
    truth, gallery = held.labels[probes], held.labels[first]

    def rank_1(scores: Float64[np.ndarray, "q g"]) -> float:
        return float(np.mean(gallery[scores.argmax(axis=1)] == truth))

    support, queries = (_flat(p.tokens, mean, deviation) for p in (known, held))
    centre = known.embeddings.mean(axis=0, dtype=np.float64)
    across = queries[probes] @ support.T
    targets = unit_rows(known.embeddings - centre)
    enrolled = held.embeddings[first] - centre
    found = [
        (rank_1(cosines(across @ _solve(support, targets, strength), enrolled)), strength, False)
        for strength in _STRENGTHS
    ]
    found.append((rank_1(cosines(queries[probes], queries[first])), middle, True))
    best = max(found, key=lambda one: one[0])
    return best[1], best[2], best[0]


def _solve(
    support: Float32[np.ndarray, "s f"], targets: Float64[np.ndarray, "s e"], strength: float
) -> Float64[np.ndarray, "s e"]:
    gram = (support @ support.T).astype(np.float64)
    gram[np.diag_indices_from(gram)] += strength * np.trace(gram) / len(gram)
    weights: Float64[np.ndarray, "s e"] = np.linalg.solve(gram, targets)
    return weights


def _flat(
    tokens: Float32[np.ndarray, "b n d"],
    mean: Float32[np.ndarray, "n d"],
    deviation: Float32[np.ndarray, "n d"],
) -> Float32[np.ndarray, "b f"]:
    """Standardise each channel of each position and scale so that products are of order 1."""
    flat = ((tokens - mean) / deviation).reshape(len(tokens), -1)
    return (flat / np.sqrt(np.float32(flat.shape[1]))).astype(np.float32)

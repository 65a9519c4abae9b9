"""What known pairs say of a key: the order of tokens, then the map of channels, then the probes.

Where there are too few pairs for their hat matrices to speak, the key is first guessed from
unpaired statistics (`unpaired`). The pairs then correct the order, as a token read by a rough key
is nearest to its own feature, and the matrix, which must map the known tokens exactly.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import KeyEstimate
from xnn.attacks.statistics.paired_order import PairedOrder, agreement_of, match_tokens
from xnn.attacks.statistics.paired_reading import PairedTokens, Reading, learn_reading
from xnn.attacks.statistics.paired_regression import FEWEST_PAIRS, order_by_likeness
from xnn.attacks.statistics.position_order import order_by_position, order_by_tokens
from xnn.attacks.statistics.unpaired import UnpairedSettings, recover_key
from xnn.errors import InsufficientDataError

_SURE = 0.9
"""Agreement of hat matrices from which their order is taken at once."""
_LIKELY = 0.3
"""Agreement from which the order that agrees best is taken; a wrong order has less than 0.1."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedKey:
    """A key as far as it was recovered; `solve` makes one."""

    reading: Reading
    place: Int64[np.ndarray, " m"] | None
    """Position at each place of a record; None where each record has an order of its own."""
    order: PairedOrder
    pairs: int
    from_unpaired: bool
    """Whether unpaired statistics had to help."""

    @classmethod
    def solve(
        cls,
        records: Float32[np.ndarray, "k m e"],
        features: Float32[np.ndarray, "k n d"],
        unpaired: Float32[np.ndarray, "r m e"],
        public: Float32[np.ndarray, "b n d"],
        *,
        fresh_order: bool,
        seed: int,
    ) -> "PairedKey":
        """Recover a key from pairs.

        Args:
            records: Of known photographs, at least one.
            features: The public extractor's, of the same photographs.
            unpaired: Other records under the same key; may be none.
            public: Features of other people, for when the pairs are too few; may be none.
            fresh_order: Whether each record has an order of its own.
            seed: Draws the pairs left out when the ridge is chosen.
        """
        order = match_tokens(records, features, fresh_order=fresh_order)
        places: list[tuple[Int64[np.ndarray, "k m"], KeyEstimate | None]] = [(order.place, None)]
        if order.agreement < _SURE and not fresh_order and records.shape[1] == features.shape[1]:
            places += _other_orders(records, features, unpaired, public, seed=seed)
        found = []
        for place, prior in places:
            kept = len(place)
            pairs = PairedTokens(records=records[:kept], features=features[:kept], place=place)
            start = None if prior is None else prior.inverse
            reading = learn_reading(pairs, unpaired, prior=start, seed=seed)
            found.append(
                cls(
                    reading=reading,
                    place=None if fresh_order else place[0],
                    order=order,
                    pairs=len(records),
                    from_unpaired=prior is not None,
                )
            )
        return found[0] if len(found) == 1 else _choose(found, records, features)

    def read(
        self, records: Float32[np.ndarray, "q m e"], known: Float32[np.ndarray, "b n d"]
    ) -> Float32[np.ndarray, "q n d"]:
        """Return the features behind records.

        Args:
            records: Under the key.
            known: Features of the attacker's faces, which tell positions apart where each record
                has an order of its own.
        """
        if self.place is None:
            place = order_by_position(self.reading.tokens(records), known)
        else:
            place = np.repeat(self.place[None], len(records), axis=0)
        return self.reading.features(records, place)

    def estimate(self) -> KeyEstimate | None:
        """Return the key, where it is one permutation and one square matrix."""
        weights: Float64[np.ndarray, "e d"] = self.reading.weights
        n = len(self.reading.scale)
        if self.place is None or self.reading.by_position or len(self.place) != n:
            return None
        if weights.shape[0] != weights.shape[1]:
            return None
        return KeyEstimate(place=self.place, inverse=weights)

    def details(self) -> dict[str, Any]:
        """Return what was noticed, for the report."""
        error = self.reading.left_out_error
        return {
            "pairs": self.pairs,
            "rows_over_rank": round(self.order.rows / self.order.rank, 3),
            "hat_agreement": round(self.order.agreement, 4),
            "from_unpaired": self.from_unpaired,
            "ridge": self.reading.strength,
            "by_position": self.reading.by_position,
            "left_out_error": None if error is None else round(error, 5),
        }


def _choose(
    found: list[PairedKey],
    records: Float32[np.ndarray, "k n e"],
    features: Float32[np.ndarray, "k n d"],
) -> PairedKey:
    """Return the key that reads pairs left out best, or else has the order that agrees best.

    Of equal orders the later one is taken, which starts from unpaired statistics.
    """
    errors = [key.reading.left_out_error for key in found]
    known = [error for error in errors if error is not None]
    if len(known) == len(found):
        return found[int(np.argmin(known))]
    agreed = [
        0.0 if key.place is None else agreement_of(records, features, key.place) for key in found
    ]
    if max(agreed) < _LIKELY:
        return found[-1]
    return found[len(found) - 1 - int(np.argmax(agreed[::-1]))]


def _other_orders(
    records: Float32[np.ndarray, "k n e"],
    features: Float32[np.ndarray, "k n d"],
    unpaired: Float32[np.ndarray, "r n e"],
    public: Float32[np.ndarray, "b n d"],
    *,
    seed: int,
) -> list[tuple[Int64[np.ndarray, "k n"], KeyEstimate | None]]:
    """Return orders to try where hat matrices do not speak, each with a key to start from."""
    places: list[tuple[Int64[np.ndarray, "k n"], KeyEstimate | None]] = []
    if len(records) >= FEWEST_PAIRS:
        places.append(
            (np.repeat(order_by_likeness(records, features)[None], len(records), 0), None)
        )
    prior = _guess(np.concatenate([records, unpaired]), public, seed=seed)
    if prior is not None:
        one = order_by_tokens(records @ prior.inverse, features, public)
        places.append((np.repeat(one[None], len(records), axis=0), prior))
    return places


def _guess(
    records: Float32[np.ndarray, "r m e"], public: Float32[np.ndarray, "b n d"], *, seed: int
) -> KeyEstimate | None:
    """Return a key from unpaired statistics; None where they cannot say."""
    if records.shape[1:] != public.shape[1:]:
        return None
    try:
        return recover_key(records, public, settings=UnpairedSettings(), seed=seed).key
    except InsufficientDataError:
        return None

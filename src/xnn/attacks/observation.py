"""What an attacker holds: what crossed the border, and what the stated knowledge grants on top.

The truth about the records is with the judge (`xnn.redteam`), never here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from xnn.attacks.knowledge import Knowledge
from xnn.errors import InsufficientDataError
from xnn.models.tail import Tail
from xnn.schemes import Obfuscator
from xnn.types import TokenShape

Oracle = Callable[[UInt8[np.ndarray, "b 112 112 3"]], Float32[np.ndarray, "b m e"]]
"""The owner's system: crops in, records under the owner's key or noise out. Counts its queries, and
refuses more than the stated knowledge allows (`InsufficientDataError`)."""


Extract = Callable[[UInt8[np.ndarray, "b 112 112 3"]], Float32[np.ndarray, "b n d"]]
"""The public extractor: crops in, features out, as often as one likes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnFaces:
    """Photographs that the attacker owns, and what public networks make of them."""

    crops: UInt8[np.ndarray, "b 112 112 3"]
    """Aligned, RGB."""
    tokens: Float32[np.ndarray, "b n d"]
    """Of the public extractor."""
    embeddings: Float32[np.ndarray, "b e"]
    """Of a public recogniser, not normalised: what an attacker compares photographs with."""
    labels: Int64[np.ndarray, " b"]
    """Number of the person, from 0."""

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Int64[np.ndarray, " r"]) -> "OwnFaces":
        """Return some of the photographs, with their labels as they are."""
        return OwnFaces(
            crops=self.crops[rows],
            tokens=self.tokens[rows],
            embeddings=self.embeddings[rows],
            labels=self.labels[rows],
        )

    def divide(self, share: float, *, seed: int) -> tuple["OwnFaces", "OwnFaces"]:
        """Divide by person into two parts with labels numbered anew, for an attacker's validation.

        Args:
            share: Of the people who go to the second part, in (0, 1); at least 2 people.
            seed: Of the draw.

        Raises:
            InsufficientDataError: Fewer than 4 people.
        """
        people = np.unique(self.labels)
        num_second = max(2, round(share * len(people)))
        if len(people) - num_second < 2:
            raise InsufficientDataError(
                f"the public set shows {len(people)} people; dividing it needs at least 4"
            )
        drawn = np.random.default_rng(seed).permutation(people)[:num_second]
        second = np.isin(self.labels, drawn)
        known, held = (self.at(np.flatnonzero(kept)) for kept in (~second, second))
        return known.renumbered(), held.renumbered()

    def renumbered(self) -> "OwnFaces":
        """Return the photographs with labels numbered from 0 without gaps."""
        _, labels = np.unique(self.labels, return_inverse=True)
        return replace(self, labels=labels.astype(np.int64))

    def with_tokens(self, tokens: Float32[np.ndarray, "b m e"]) -> "OwnFaces":
        """Return the photographs with other tokens, in the same order."""
        return replace(self, tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownPairs:
    """Photographs whose records the attacker knows, row by row; the order of tokens is unknown."""

    faces: OwnFaces
    records: Float32[np.ndarray, "k m e"]

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """All that an attacker may use. Fields that the stated knowledge does not grant are None.

    Scheme and extractor are public (Kerckhoffs). An attack draws keys of its own with
    `find_scheme(observation.scheme).fit(own tokens).bind(shape, KeyStream(..))`.
    """

    scheme: str
    """Name of the recipe the records were made with; "" for a front end that is no keyed scheme."""
    shape: TokenShape
    """Of the extractor's features; records may have another (`m` tokens of width `e`)."""
    knowledge: Knowledge
    records: Float32[np.ndarray, "r m e"]
    """Everything held that was made under the owner's key, as stored."""
    labels: Int64[np.ndarray, " r"] | None
    """Class numbers that came with the records; they name nobody."""
    probes: Int64[np.ndarray, " q"]
    """Which of the records the judge asks about."""
    gallery: OwnFaces
    """Clean photographs of the suspects, other ones than those behind the records."""
    public: OwnFaces
    """Other people than the suspects."""
    suspect_counts: Float64[np.ndarray, " s"] | None = None
    """About how many photographs of each suspect the owner has, by rising label of the gallery; off
    by a factor whose logarithm has the standard deviation `knowledge.suspect_counts_error`."""
    pairs: KnownPairs | None = None
    oracle: Oracle | None = None
    extract: Extract | None = None
    """The extractor, where it is public, for pictures that the attacker makes up."""
    key: Obfuscator | None = None
    """Full disclosure (K6)."""
    other_upload: Float32[np.ndarray, "a m e"] | None = None
    """Records of another upload, under another key, in an order that tells nothing."""
    candidates: OwnFaces | None = None
    """Photographs, each of which is behind one of the records or behind none (membership)."""
    tail: Tail | None = None
    """What the cloud trained on the records, with their class numbers."""

    @property
    def probe_records(self) -> Float32[np.ndarray, "q m e"]:
        """The records that the judge asks about."""
        return self.records[self.probes]

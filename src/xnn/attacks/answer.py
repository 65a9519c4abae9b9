"""What an attack answers. Each part is optional; the judge measures every part that is there."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyEstimate:
    """A guess at a linear key: features ~ (records @ inverse) with token i moved to place[i]."""

    place: Int64[np.ndarray, " n"]
    """Position of the extractor's token that stands at place i of a record."""
    inverse: Float64[np.ndarray, "d d"]
    """From a record's channels to the extractor's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What the attacker believes. Rows are the observation's probes, in their order."""

    scores: Float[np.ndarray, "q g"] | None = None
    """How alike each probe and each photograph of the gallery are; higher = more alike."""
    features: Float32[np.ndarray, "q n d"] | None = None
    """The extractor's features behind each probe."""
    pictures: UInt8[np.ndarray, "q 112 112 3"] | None = None
    """The face behind each probe. The judge, not the attacker, recognises them."""
    key: KeyEstimate | None = None
    upload_scores: Float[np.ndarray, "q a"] | None = None
    """How alike each probe and each record of the other upload are."""
    membership: Float[np.ndarray, " c"] | None = None
    """For each candidate, how likely it is among the records; higher = more likely."""
    classes: Float[np.ndarray, "k s"] | None = None
    """How likely each class number (a row per distinct label, rising) is each person of the
    gallery (a column per distinct label, rising), where the attack names classes, not records."""
    details: dict[str, Any] = field(default_factory=dict)
    """What the attack noticed on its way, plain data for the report; nothing of any face."""

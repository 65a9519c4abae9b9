"""Uploads that the attacker makes itself: its own photographs under keys of its own."""

import hashlib
from typing import final

import numpy as np
import torch
from jaxtyping import Float32

from xnn.attacks.observation import OwnFaces
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.types import TokenShape

_BATCH = 256


@final
class OwnKeys:
    """Keys drawn from a scheme's distribution, one after the other; repeatable by seed.

    Args:
        scheme: Name of the recipe.
        shape: Of the extractor's features.
        seed: Of the attacker; the keys are nobody else's.
    """

    def __init__(self, scheme: str, shape: TokenShape, seed: int) -> None:
        self._scheme = find_scheme(scheme)
        self._shape = shape
        self._seed = seed
        self._drawn = 0

    def draw(self) -> Obfuscator:
        """Return the scheme under the next key."""
        self._drawn += 1
        text = f"attacker's own key {self._seed}/{self._drawn}"
        stream = KeyStream(hashlib.sha256(text.encode()).digest())
        return self._scheme.bind(self._shape, stream)

    def records(self, obfuscator: Obfuscator, faces: OwnFaces) -> Float32[np.ndarray, "b m e"]:
        """Return the records of photographs under one key, as an owner would upload them."""
        samples = faces.crops if self._scheme.card.reads == "crops" else faces.tokens
        parts = [
            obfuscator.obfuscate(torch.from_numpy(samples[start : start + _BATCH])).numpy()
            for start in range(0, len(samples), _BATCH)
        ]
        return np.concatenate(parts)

    def upload(self, faces: OwnFaces) -> Float32[np.ndarray, "b m e"]:
        """Return the records of photographs under the next key."""
        return self.records(self.draw(), faces)

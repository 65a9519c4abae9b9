"""Keys of the attacker's own: a scheme is public, so anyone can play its owner with other faces."""

import hashlib
from typing import final

import numpy as np
import torch
from jaxtyping import Float32

from xnn.attacks.observation import OwnFaces
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.types import TokenShape


@final
class OwnKeys:
    """Draws keys from a scheme's distribution, repeatable by seed; never anybody else's key.

    Args:
        scheme: Name of the scheme.
        own: Photographs of the attacker's, on which a fitted scheme is measured.
        shape: Of the extractor's features.
        seed: Of the attacker.
    """

    def __init__(self, scheme: str, own: OwnFaces, shape: TokenShape, *, seed: int) -> None:
        self._scheme = find_scheme(scheme).fit(own.tokens)
        self._shape = shape
        self._seed = seed
        self._count = 0
        self.record_shape = self._scheme.record_shape(shape)

    def draw(self) -> Obfuscator:
        """Return an obfuscator under the next key."""
        self._count += 1
        text = f"attacker's own key {self._seed}/{self._count}"
        stream = KeyStream(hashlib.sha256(text.encode()).digest())
        return self._scheme.bind(self._shape, stream)

    def records(self, obfuscator: Obfuscator, faces: OwnFaces) -> Float32[np.ndarray, "b m e"]:
        """Return the records of the attacker's own photographs under one of its keys."""
        read = faces.crops if self._scheme.card.reads == "crops" else faces.tokens
        return obfuscator.obfuscate(torch.from_numpy(read)).numpy()

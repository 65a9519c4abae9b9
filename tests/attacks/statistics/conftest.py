"""Features made up to have positions, people and shades in them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xnn.schemes import KeyStream, find_scheme
from xnn.types import TokenShape


@dataclass(frozen=True, slots=True)
class MadeUp:
    """An extractor of our own: every position has a mean and a way of varying."""

    n: int = 10
    d: int = 16

    def tokens(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(1234)  # of the extractor, the same for everybody
        means = rng.normal(size=(self.n, self.d))
        # Half of what a token is comes from the whole picture, half is its own.
        shared = rng.normal(size=(6, self.n, self.d)) * 0.5
        own = rng.normal(size=(self.n, self.d, self.d)) / np.sqrt(self.d)
        own *= np.exp(0.7 * rng.normal(size=(self.n, self.d)))[:, None]
        rng = np.random.default_rng(seed)
        picture = rng.exponential(size=(count, 6)) - 1.0
        local = rng.normal(size=(count, self.n, 1, self.d)) @ own
        scales = np.linspace(0.3, 3.0, self.d)
        return ((means + np.tensordot(picture, shared, 1) + 0.7 * local[:, :, 0]) * scales).astype(
            np.float32
        )

    def records(
        self, tokens: np.ndarray, *, scheme: str = "paper", seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return records under a key, and the position at each place of them."""
        stream = KeyStream(bytes([seed]) * 32)
        obfuscator = find_scheme(scheme).bind(TokenShape(self.n, self.d), stream)
        order = KeyStream(bytes([seed]) * 32).permutation(self.n)
        return obfuscator.obfuscate(torch.from_numpy(tokens)).numpy(), order


@pytest.fixture
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


Corrupt = Callable[[np.ndarray], np.ndarray]

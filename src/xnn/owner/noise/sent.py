"""Clean features and z of every record, each computed once where it does not change."""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from xnn.models.noise_generator import NoisyFront
from xnn.owner.noise.maps import CACHE_BYTES, Maps
from xnn.types import TokenShape


@final
class CleanFeatures:
    """LN_0(E(x)) of every record, kept where memory allows.

    Trust: owner.
    """

    def __init__(self, front: NoisyFront, maps: Maps) -> None:
        self._front, self._maps = front, maps
        shape = front.shape
        self._kept: Tensor | None = None
        if len(maps) * shape.n * shape.d * 4 <= CACHE_BYTES:
            self._kept = torch.cat([front.clean(x) for x in maps.walk()])

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b n d"]:
        """Return the features of these records."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(indices)]
        return self._front.clean(self._maps.read(indices))


@final
class Sent:
    """z of every record: kept where the face alone decides it, made anew where chance has a part.

    Args:
        front: Trained; its weights must not change any more.
        maps: Of the records.

    Trust: owner.
    """

    def __init__(self, front: NoisyFront, maps: Maps) -> None:
        self.clean = CleanFeatures(front, maps)
        self._front, self._maps = front, maps
        shape, self._kept = front.sent_shape, None
        if not front.is_random and len(maps) * shape.n * shape.d * 4 <= CACHE_BYTES:
            self._kept = torch.cat([self._make(rows) for rows in _chunks(len(maps))])

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def labels(self) -> Int64[np.ndarray, " records"]:
        """Class index of every record."""
        return self._maps.labels

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b m e"]:
        """Return z of these records; chance comes from torch's global generator."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(indices)]
        return self._make(indices)

    def read_all(self, *, seed: int) -> Float[Tensor, "records m e"]:
        """Return every z; chance, where it has a part, comes from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torch.cat([self.read(rows) for rows in _chunks(len(self))])

    @torch.no_grad()
    def _make(self, indices: Int64[np.ndarray, " b"]) -> Tensor:
        # Only a generator reads the maps.
        x = self._maps.read(indices) if self._front.generator is not None else torch.empty(0)
        return self._front.add_noise(x, self.clean.read(indices))


@final
class CleanSource:
    """What the teacher is trained on: clean features, as a `RecordSource`."""

    def __init__(self, front: NoisyFront, maps: Maps) -> None:
        self.shape: TokenShape = front.shape
        self._clean = CleanFeatures(front, maps)
        self.labels: Int64[np.ndarray, " records"] = maps.labels
        self.num_classes = int(maps.labels.max()) + 1

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b n d"]:
        """Return the records of these positions."""
        return self._clean.read(indices).numpy()


def _chunks(num: int) -> list[Int64[np.ndarray, " b"]]:
    return [np.arange(start, min(start + 256, num)) for start in range(0, num, 256)]

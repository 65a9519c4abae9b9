"""Extracting a whole face set once, to be measured many times."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, Sample
from xnn.owner.build import read_samples

OnRecords = Callable[[int], None]


@runtime_checkable
class SampleTable(Protocol):
    """What a scheme reads of each sample: features, or crops for a rival that has no extractor."""

    def of(self, samples: tuple[Sample, ...], *, mirror: bool = False) -> np.ndarray:
        """Return a row per sample; with `mirror`, followed by those of the mirror images."""


@final
class FeatureTable:
    """Tokens of every sample of a set, and of its mirror image where asked for; in memory."""

    def __init__(
        self,
        faces: FaceSet,
        extractor: Extractor,
        *,
        mirror: bool = False,
        on_records: OnRecords | None = None,
    ) -> None:
        self._row = _rows(faces)
        self._sides = [
            np.concatenate(
                [extractor.tokens(crops).numpy() for crops in _crops(faces, mirrored, on_records)]
            )
            for mirrored in ((False, True) if mirror else (False,))
        ]

    def of(
        self, samples: tuple[Sample, ...], *, mirror: bool = False
    ) -> Float32[np.ndarray, "b n d"]:
        """Return the tokens of samples; with `mirror`, followed by those of the mirror images."""
        rows = [self._row[str(sample.path)] for sample in samples]
        sides = self._sides if mirror else self._sides[:1]
        return np.concatenate([side[rows] for side in sides])


@final
class EmbeddingTable:
    """Embeddings of every sample of a set by a finished recogniser; in memory."""

    def __init__(
        self,
        faces: FaceSet,
        embed: Callable[[UInt8[Tensor, "b h w 3"]], Float32[Tensor, "b e"]],
        *,
        on_records: OnRecords | None = None,
    ) -> None:
        start = time.monotonic()
        self._row = _rows(faces)
        self._embeddings = np.concatenate(
            [embed(crops).numpy() for crops in _crops(faces, False, on_records)]
        )
        self.wall_s = time.monotonic() - start

    def of(self, samples: tuple[Sample, ...]) -> Float32[np.ndarray, "b e"]:
        """Return the embeddings of samples."""
        return self._embeddings[[self._row[str(sample.path)] for sample in samples]]


def _rows(faces: FaceSet) -> dict[str, int]:
    return {str(sample.path): row for row, sample in enumerate(faces.samples)}


def _crops(
    faces: FaceSet, mirrored: bool, on_records: OnRecords | None
) -> Iterator[UInt8[Tensor, "b h w 3"]]:
    for crops in read_samples(faces.samples, mirrored=mirrored):
        yield torch.from_numpy(crops)
        if on_records:
            on_records(len(crops))

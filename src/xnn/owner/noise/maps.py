"""What the frozen lower blocks make of the owner's crops: computed once where memory allows."""

from collections.abc import Callable, Iterator, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crop
from xnn.faces.dataset import Sample
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects

CACHE_BYTES = 1 << 30
"""Maps of one set are kept in memory up to this size; beyond it they are computed when read."""
_CHUNK = 64

OnRecords = Callable[[int], None]


@final
class Maps:
    """Maps above the cut, by the index of the sample; mirror images follow where asked for.

    Trust: owner. A map shows the face.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        extractor: Extractor,
        lower: nn.Module,
        *,
        mirror: bool = False,
        cache_bytes: int = CACHE_BYTES,
        on_records: OnRecords | None = None,
    ) -> None:
        """Read the crops, and keep their maps if all of them fit."""
        self._samples = list(samples)
        self._extractor, self._lower = extractor, lower
        copies = 2 if mirror else 1
        self.labels: Int64[np.ndarray, " records"] = np.tile(number_subjects(samples), copies)
        first = self.read_fresh(np.arange(min(1, len(self))))
        self._kept: Tensor | None = None
        if first.numel() * 4 * len(self) <= cache_bytes:
            self._kept = self._read_all(mirror, first, on_records)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b ..."]:
        """Return maps, kept or computed."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(indices)]
        return self.read_fresh(indices)

    def walk(self, size: int = _CHUNK) -> Iterator[Float[Tensor, "b ..."]]:
        """Yield all maps in order, in chunks."""
        for start in range(0, len(self), size):
            yield self.read(np.arange(start, min(start + size, len(self))))

    @torch.no_grad()
    def read_fresh(self, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b ..."]:
        """Compute maps from the crops on disk."""
        num = len(self._samples)
        crops = [read_crop(self._samples[i % num].path) for i in indices]
        turned = [c[:, ::-1] if i >= num else c for c, i in zip(crops, indices, strict=True)]
        pixels = self._extractor.prepare(torch.from_numpy(np.stack(turned)))
        out: Tensor = self._lower(pixels)
        return out

    @torch.no_grad()
    def _read_all(self, mirror: bool, first: Tensor, on_records: OnRecords | None) -> Tensor:
        kept = torch.empty(len(self), *first.shape[1:])
        if first.ndim == 4:
            kept = kept.contiguous(memory_format=torch.channels_last)
        at = 0
        for mirrored in (False, True) if mirror else (False,):
            for crops in read_samples(self._samples, mirrored=mirrored):
                kept[at : at + len(crops)] = self._lower(
                    self._extractor.prepare(torch.from_numpy(crops))
                )
                at += len(crops)
                if on_records:
                    on_records(len(crops))
        return kept

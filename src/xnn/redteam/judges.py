"""Recognisers of pictures that know nothing of the extractor under attack.

A picture rebuilt from an extractor's features suits that extractor, whoever is on it. So whether it
shows the right person is for others to say, at least two where two can be had. Every judge is also
asked about the photographs themselves: that is its ceiling, printed beside each result.
"""

from abc import ABC, abstractmethod
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from xnn.extractors.dlib_resnet import DlibRecogniser

_AT_ONCE = 64


class Judge(ABC):
    """A recogniser of pictures."""

    name: str

    @abstractmethod
    def independent_of(self, extractor: str) -> bool:
        """Tell whether the judge shares neither weights nor training with an extractor.

        Args:
            extractor: As `load_extractor` takes it, such as "vit-s14@196".
        """

    @abstractmethod
    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        """Return embeddings to be compared by Euclidean distance.

        Raises:
            ShapeError: There are no crops.

        Trust: judge.
        """


@final
class DlibJudge(Judge):
    """The whole face ResNet of dlib, for pictures rebuilt from any other extractor's features."""

    name = "dlib"

    def __init__(self) -> None:
        self._recogniser = DlibRecogniser()

    def independent_of(self, extractor: str) -> bool:
        """Tell whether the extractor is not dlib's front."""
        return family(extractor) != "dlib"

    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        """Return dlib's embeddings, which its author compares by distance."""
        parts = [
            self._recogniser.embeddings(torch.from_numpy(crops[i : i + _AT_ONCE])).numpy()
            for i in range(0, max(len(crops), 1), _AT_ONCE)
        ]
        return np.concatenate(parts)


def family(extractor: str) -> str:
    """Return the name of the weights behind an extractor, without its input size."""
    return extractor.partition("@")[0]


def judges_for(extractor: str) -> tuple[Judge, ...]:
    """Return the judges that are independent of an extractor."""
    return tuple(judge for judge in (DlibJudge(),) if judge.independent_of(extractor))

"""Recognisers of pictures that know nothing of the extractor under attack.

A picture rebuilt from an extractor's features suits that extractor, whoever is on it. So whether it
shows the right person is for others to say, at least two where two can be had. Every judge is also
asked about the photographs themselves: that is its ceiling, printed beside each result.
"""

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from xnn.attacks.observation import OwnFaces
from xnn.errors import MissingExtraError
from xnn.extractors.dlib_resnet import DlibRecogniser
from xnn.extractors.vit_extractor import vit_s14
from xnn.metrics.reconstruction import luminance
from xnn.redteam.metric_head import MetricHead

Features = Callable[[UInt8[np.ndarray, "b 112 112 3"]], Float32[np.ndarray, "b f"]]

_AT_ONCE = 64
_VIT_BLOCKS = 12
_EDGE_PX = 8
_CELL_PX = 3
_FEWEST_BYSTANDERS = 20
MAX_PHOTOGRAPHS = 2500
"""That a judge learns from."""
_MAX_FOR_VIT = 1000
"""That the ViT learns from: half a minute on one core."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bystanders:
    """People who are neither suspects nor the attacker's own, for judges that must learn."""

    crops: UInt8[np.ndarray, "b 112 112 3"]
    labels: Int64[np.ndarray, " b"]

    @classmethod
    def among(
        cls,
        faces: "OwnFaces | Bystanders",
        allowed: Bool[np.ndarray, " f"] | None = None,
        *,
        most: int = MAX_PHOTOGRAPHS,
    ) -> "Bystanders":
        """Take the people with most photographs, two of each at least.

        Args:
            faces: A collection.
            allowed: Photographs that may be taken; None allows all.
            most: Photographs taken.
        """
        rows = np.arange(len(faces.labels)) if allowed is None else np.flatnonzero(allowed)
        _, person, counts = np.unique(faces.labels[rows], return_inverse=True, return_counts=True)
        ranked = np.argsort(-counts, kind="stable")
        total = np.cumsum(counts[ranked])
        wanted = ranked[(total <= most) & (counts[ranked] >= 2)]
        rows = rows[np.isin(person, wanted)]
        return cls(crops=faces.crops[rows], labels=faces.labels[rows])


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


@final
class ViTJudge(Judge):
    """The whole general-purpose ViT-S/14 under a metric learned from bystanders.

    A weak recogniser: read its rates beside its own ceiling.

    Args:
        bystanders: Whom it learns from.

    Raises:
        MissingExtraError: The weights were not fetched.
    """

    name = "vit-s14"

    def __init__(self, bystanders: Bystanders) -> None:
        self._network = vit_s14(split_depth=_VIT_BLOCKS)
        few = Bystanders.among(bystanders, most=_MAX_FOR_VIT)
        self._trained = _TrainedOnce(few, self._features)

    def independent_of(self, extractor: str) -> bool:
        """Tell whether the extractor is not the front of the same network."""
        return family(extractor) != "vit-s14"

    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        """Return embeddings of length 1. Learns on the first call."""
        return self._trained.embed(crops)

    def _features(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b f"]:
        """Return the class token, the mean of the patch tokens and that of each quarter."""
        tokens = self._network.tokens(torch.from_numpy(crops))
        side = math.isqrt(tokens.shape[1])
        patches = tokens[:, 1:].reshape(len(tokens), side, side, -1)
        half = side // 2
        quarters = [
            patches[:, y : y + half, x : x + half].mean(dim=(1, 2))
            for y in (0, half)
            for x in (0, half)
        ]
        whole = patches.mean(dim=(1, 2))
        return torch.cat([tokens[:, 0], whole, *quarters], dim=1).numpy()


@final
class PixelJudge(Judge):
    """Fisherfaces: luminance of 3 px cells under a metric learned from bystanders, no network.

    Shares nothing with any extractor, and minds blur little, since it looks at coarse cells only.

    Args:
        bystanders: Whom it learns from.

    Source: Belhumeur, Hespanha, Kriegman 1997.
    """

    name = "fisherfaces"

    def __init__(self, bystanders: Bystanders) -> None:
        self._trained = _TrainedOnce(bystanders, self._features)

    def independent_of(self, extractor: str) -> bool:
        """Tell that nothing is shared with any extractor."""
        return True

    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        """Return embeddings of length 1. Learns on the first call."""
        return self._trained.embed(crops)

    def _features(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b f"]:
        """Return cells of the middle of the picture, with the same mean and contrast in each."""
        edge = _EDGE_PX
        middle = luminance(crops)[:, edge:-edge, edge:-edge]
        side = middle.shape[1] // _CELL_PX
        cells = middle.reshape(len(crops), side, _CELL_PX, side, _CELL_PX).mean(axis=(2, 4))
        rows = cells.reshape(len(crops), -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return (rows / (rows.std(axis=1, keepdims=True) + 1)).astype(np.float32)


@final
class _TrainedOnce:
    """Features under a metric that is learned when it is first asked for."""

    def __init__(self, bystanders: Bystanders, features: Features) -> None:
        self._bystanders = bystanders
        self._features = features
        self._head: MetricHead | None = None

    def embed(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b e"]:
        if self._head is None:
            faces = self._bystanders
            self._head = MetricHead.fit(self._all(faces.crops), faces.labels)
        return self._head.embed(self._all(crops))

    def _all(self, crops: UInt8[np.ndarray, "b 112 112 3"]) -> Float32[np.ndarray, "b f"]:
        return np.concatenate(
            [self._features(crops[i : i + _AT_ONCE]) for i in range(0, len(crops), _AT_ONCE)]
        )


def family(extractor: str) -> str:
    """Return the name of the weights behind an extractor, without its input size."""
    return extractor.partition("@")[0]


def judges_for(extractor: str, bystanders: Bystanders | None = None) -> tuple[Judge, ...]:
    """Return the judges that are independent of an extractor, the strongest first.

    Args:
        extractor: As `load_extractor` takes it.
        bystanders: For judges that must learn, at least 20 people; without them, those are left
            out. So is one whose weights were not fetched.
    """
    makers: list[Callable[[], Judge]] = [DlibJudge]
    if bystanders is not None and len(np.unique(bystanders.labels)) >= _FEWEST_BYSTANDERS:
        makers += [partial(PixelJudge, bystanders), partial(ViTJudge, bystanders)]
    found = []
    for make in makers:
        with contextlib.suppress(MissingExtraError):
            found.append(make())
    return tuple(judge for judge in found if judge.independent_of(extractor))

"""A part of a gallery as it was at one moment, ready to be compared with."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.errors import ConfigError, LimitError, ShapeError, UnknownNameError
from xnn.gallery.base import Candidate
from xnn.gallery.keeper import VectorKeeper
from xnn.gallery.limits import GalleryLimits, unit_vectors
from xnn.gallery.space import Space
from xnn.types import SubjectId


@final
@dataclass(frozen=True, slots=True)
class OpenSpace:
    """Templates that may be compared with probes of one bundle and key.

    All questions to the database are answered by then. So a service asks them while its student
    runs; what is committed meanwhile may be seen or not.

    Trust: server.
    """

    space: Space
    width: int | None
    """Numbers of a vector; None before the bundle's first."""
    tenant_templates: int
    """How many the tenant has, made under whichever bundle and key."""
    _keeper: VectorKeeper
    _limits: GalleryLimits

    def verify(
        self, subject_id: SubjectId, probes: Float32[np.ndarray, "b e"]
    ) -> Float32[np.ndarray, " b"]:
        """Return for each probe the score of the best template of a subject that exists.

        Raises:
            UnknownNameError: It has none here.
            ShapeError: Probes of another width than the templates, not finite, or zero.
            LimitError: Too many probes.
        """
        scores = self._keeper.best_of_subject(self.space, subject_id, self._units(probes))
        if scores is None:
            raise UnknownNameError(
                "the subject has no template made under this bundle and key; enrol it"
            )
        return scores

    def search(
        self, probes: Float32[np.ndarray, "b e"], *, top_k: int, threshold: float = -1.0
    ) -> list[list[Candidate]]:
        """Return for each probe the best subjects, best first; ties by name. May be empty.

        Raises:
            ShapeError: As in `verify`.
            LimitError: Too many probes, or `top_k` out of range.
            ConfigError: The threshold is no cosine.
        """
        units = self._units(probes)
        if not 1 <= top_k <= self._limits.top_k:
            raise LimitError(f"top_k={top_k}, but 1 to {self._limits.top_k} are allowed")
        if not -1 <= threshold <= 1:
            raise ConfigError(f"threshold={threshold:g} is no cosine; give one from -1 to 1")
        return self._keeper.search(self.space, units, top_k=top_k, threshold=threshold)

    def _units(self, probes: Float32[np.ndarray, "b e"]) -> Float32[np.ndarray, "b e"]:
        most = self._limits.vectors_per_call
        if len(probes) > most:
            raise LimitError(f"{len(probes)} vectors in one call, at most {most}; send several")
        units = unit_vectors(probes, max_width=self._limits.max_width)
        check_width(units.shape[1], self.width)
        return units


def check_width(width: int, known: int | None) -> None:
    """Compare the width of vectors with that of their bundle.

    Raises:
        ShapeError: They differ.
    """
    if known is not None and known != width:
        raise ShapeError(
            f"vectors have {width} numbers, those of the bundle {known}; use the bundle's own tail"
        )

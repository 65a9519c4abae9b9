"""Who keeps the vectors: the part in which kinds of galleries differ."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection

from xnn.gallery.base import Candidate, TemplateInfo
from xnn.gallery.space import FreshTemplate, Space
from xnn.types import SubjectId


@runtime_checkable
class VectorKeeper(Protocol):
    """Stores vectors within the gallery's transactions, and compares them.

    Rows of templates are removed by the gallery; a keeper forgets them by itself.
    """

    def store(self, connection: Connection, templates: Sequence[FreshTemplate]) -> None:
        """Write rows of templates, vectors included."""
        ...

    def read(
        self, connection: Connection, tenant: str, *, after: str, limit: int
    ) -> list[tuple[TemplateInfo, Float32[np.ndarray, " e"]]]:
        """Return templates of a tenant with their vectors, in order of template_id."""
        ...

    def catch_up(self, connection: Connection, *, load: bool = True) -> None:
        """Take up what was committed since, by whichever process.

        Args:
            connection: With an open transaction.
            load: Also if nothing was loaded yet.
        """
        ...

    def count(self, connection: Connection, tenant: str) -> int:
        """Return how many templates the tenant has, all spaces together."""
        ...

    def best_of_subject(
        self, space: Space, subject_id: SubjectId, probes: Float32[np.ndarray, "q e"]
    ) -> Float32[np.ndarray, " q"] | None:
        """Return each probe's score against the best template; None where there is none."""
        ...

    def search(
        self, space: Space, probes: Float32[np.ndarray, "q e"], *, top_k: int, threshold: float
    ) -> list[list[Candidate]]:
        """Return the best subjects of each probe, best first; ties by name."""
        ...

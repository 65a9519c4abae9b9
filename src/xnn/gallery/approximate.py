"""Approximate search in memory: a graph (HNSW, by usearch) proposes, exact scores decide."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float32

from xnn.errors import ConfigError, MissingExtraError
from xnn.gallery.base import Candidate
from xnn.gallery.exact import ExactIndex
from xnn.types import SubjectId

_LOAD_ROWS = 65_536
_METRIC = {"f32": "ip", "f16": "ip", "i8": "cos"}  # usearch's product of int8 is not scaled back
_ROUNDING = {"f32": 1e-4, "f16": 2e-3, "i8": 0.03}
"""More than the graph's scores are ever off by; int8 was off by 0.023 in 2e6 pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """The graph's trade between time, memory and recall; see benchmarks/results/gallery.json."""

    above: int = 50_000
    """Templates up to which the search is exact: there it is quicker than it need be."""
    connectivity: int = 16
    """Neighbours of a node; memory grows with it."""
    expansion_add: int = 128
    """Nodes looked at when one is added; time to load grows with it."""
    expansion_search: int = 384
    """Nodes looked at in a search; recall and time grow with it."""
    dtype: Literal["f32", "f16", "i8"] = "i8"
    """Of the graph's own copy of the vectors; what it rounds off, exact scores put right."""
    threads: int = 0
    """For loading; 0 takes all cores."""

    def __post_init__(self) -> None:
        for name in ("connectivity", "expansion_add", "expansion_search"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 2")
        if self.above < 0 or self.threads < 0:
            raise ConfigError("above and threads must not be negative")


@final
class ApproximateIndex:
    """An `ExactIndex` whose search looks at some of its rows. Not locked: its owner takes turns.

    A candidate's score is exact. What may be missed is a candidate, where the graph does not lead
    to it. A graph node is named by its row, and renamed when the row moves.
    """

    def __init__(self, width: int, *, rows: int = 0, settings: GraphSettings) -> None:
        """Make an empty index.

        Args:
            width: Numbers in a vector.
            rows: How many templates to make room for.
            settings: Of the graph.

        Raises:
            MissingExtraError: usearch is not installed.
        """
        self.width = width
        self._settings = settings
        self._exact = ExactIndex(width, rows=rows)
        self._graph: Any = None
        self._expected = rows
        self._asking = threading.Lock()  # usearch has one scratch space for a thread number
        _import_usearch()

    def __len__(self) -> int:
        return len(self._exact)

    @property
    def num_bytes(self) -> int:
        """Memory held by arrays and graph."""
        graph = 0 if self._graph is None else int(self._graph.memory_usage)
        return self._exact.num_bytes + graph

    def add(
        self,
        template_ids: Sequence[str],
        subjects: Sequence[SubjectId],
        vectors: Float32[np.ndarray, "b e"],
    ) -> None:
        """Add templates; as `ExactIndex.add`."""
        first = len(self._exact)
        self._exact.add(template_ids, subjects, vectors)
        if self._graph is not None:
            self._insert(first)
        elif len(self) > max(self._settings.above, self._expected - 1):
            self._grow_graph()  # once, when all that was announced is there

    def remove(self, template_ids: Sequence[str]) -> list[tuple[int, int]]:
        """Remove templates; as `ExactIndex.remove`. The graph overwrites their nodes later."""
        moves = self._exact.remove(template_ids)
        if self._graph is not None:
            for row, last in moves:
                self._graph.remove(row)
                if row != last:
                    self._graph.rename(last, row)
        return moves

    def best_of_subject(
        self, subject: SubjectId, probes: Float32[np.ndarray, "q e"]
    ) -> Float32[np.ndarray, " q"] | None:
        """Return each probe's score against the best template of a subject: always exact."""
        return self._exact.best_of_subject(subject, probes)

    def search(
        self, probes: Float32[np.ndarray, "q e"], *, top_k: int, threshold: float
    ) -> list[list[Candidate]]:
        """Return good subjects of each probe, best first; ties by name."""
        if self._graph is None:
            return self._exact.search(probes, top_k=top_k, threshold=threshold)
        return [self._search(probe, top_k, threshold) for probe in probes]

    def _search(
        self, probe: Float32[np.ndarray, " e"], top_k: int, threshold: float
    ) -> list[Candidate]:
        wanted = max(4 * top_k, 32)
        most = min(top_k, self._exact.num_subjects)
        while wanted < len(self._exact):
            with self._asking:
                matches = self._graph.search(probe, wanted, threads=1)
            rows = np.unique(matches.keys.astype(np.int64))
            rows = rows[rows < len(self._exact)]
            found = self._exact.candidates(rows, probe, top_k=top_k, threshold=threshold)
            if len(found) >= most:
                return found
            least = float(1 - matches.distances.max()) if len(rows) else 1.0
            if least < threshold - _ROUNDING[self._settings.dtype]:
                return found  # what is farther away is below the threshold
            wanted *= 8  # the nearest templates belong to few subjects: look further
        (exact,) = self._exact.search(probe[None], top_k=top_k, threshold=threshold)
        return exact

    def _grow_graph(self) -> None:
        self._graph = _import_usearch().Index(
            ndim=self.width,
            metric=_METRIC[self._settings.dtype],
            dtype=self._settings.dtype,
            connectivity=self._settings.connectivity,
            expansion_add=self._settings.expansion_add,
            expansion_search=self._settings.expansion_search,
        )
        self._insert(0)

    def _insert(self, first: int) -> None:
        for start in range(first, len(self._exact), _LOAD_ROWS):
            vectors = self._exact.vectors_of(slice(start, start + _LOAD_ROWS))
            rows = np.arange(start, start + len(vectors), dtype=np.uint64)
            self._graph.add(rows, vectors, threads=self._settings.threads)


def _import_usearch() -> Any:
    try:
        import usearch.index
    except ImportError as error:
        raise MissingExtraError(
            "approximate search needs `pip install 'xnn-face[approximate]'`"
        ) from error
    return usearch.index

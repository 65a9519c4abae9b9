"""Exact search in memory: one matrix, one product, and scores computed again in float64."""

from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from xnn.gallery.base import Candidate
from xnn.types import SubjectId

_FIRST_ROWS = 64
_GROWTH = 1.5
_BLOCK = 256  # rows whose maximum is taken at once
_EXACT_ROWS = 4096  # rows scored in float64 at once
_BATCH_ROWS = 16_384  # rows of one product with several probes
_FEW_PROBES = 4  # fewer are multiplied one by one
_SCORES_BYTES = 256 << 20  # of all probes that are multiplied together
_ROUNDING = 4e-5
"""More than twice what float32 products of unit vectors of up to 4096 numbers are ever off by."""


@final
class ExactIndex:
    """Templates made under one bundle by one tenant. Not locked: its owner takes turns.

    A score is the float64 product of the stored float32 vectors, rounded to float32: it depends on
    neither the place of a row nor on what else is searched.
    """

    def __init__(self, width: int, *, rows: int = 0) -> None:
        """Make an empty index.

        Args:
            width: Numbers in a vector.
            rows: How many templates to make room for.
        """
        self.width = width
        self._size = 0
        capacity = max(rows, _FIRST_ROWS)
        self._matrix = np.zeros((capacity, width), np.float32)
        self._ids = np.zeros((capacity, 2), np.uint64)
        self._codes = np.zeros(capacity, np.int32)  # subjects, as places in _subjects
        self._subjects: list[SubjectId | None] = []
        self._code_of: dict[SubjectId, int] = {}
        self._templates_of: list[int] = []  # how many, by code
        self._idle: list[int] = []  # codes of subjects without templates

    def __len__(self) -> int:
        return self._size

    @property
    def num_subjects(self) -> int:
        """Subjects with at least one template."""
        return len(self._code_of)

    @property
    def num_bytes(self) -> int:
        """Memory held by arrays."""
        return self._matrix.nbytes + self._ids.nbytes + self._codes.nbytes

    def add(
        self,
        template_ids: Sequence[str],
        subjects: Sequence[SubjectId],
        vectors: Float32[np.ndarray, "b e"],
    ) -> None:
        """Add templates.

        Args:
            template_ids: 32 hexadecimal digits each.
            subjects: Of each.
            vectors: Of unit length.
        """
        first, last = self._size, self._size + len(template_ids)
        if last > len(self._matrix):
            self._grow(max(last, int(len(self._matrix) * _GROWTH)))
        self._matrix[first:last] = vectors
        self._ids[first:last] = _numbers(template_ids)
        self._codes[first:last] = [self._code(subject) for subject in subjects]
        self._size = last

    def remove(self, template_ids: Sequence[str]) -> list[tuple[int, int]]:
        """Remove templates, wiping their vectors; those that are not here do not matter.

        Returns:
            For each, in order: its row, and the row whose template has moved there; equal where it
            was the last.
        """
        moves = []
        for row in self.rows_of(template_ids)[::-1].tolist():
            # From behind, so that a moved row is never one that is still to be removed.
            moves.append((row, self._size - 1))
            self._drop(row)
        return moves

    def best_of_subject(
        self, subject: SubjectId, probes: Float32[np.ndarray, "q e"]
    ) -> Float32[np.ndarray, " q"] | None:
        """Return each probe's score against the best template of a subject; None without one."""
        code = self._code_of.get(subject)
        if code is None:
            return None
        rows = np.flatnonzero(self._codes[: self._size] == code)
        return np.stack([self._score(rows, probe).max() for probe in probes])

    def search(
        self, probes: Float32[np.ndarray, "q e"], *, top_k: int, threshold: float
    ) -> list[list[Candidate]]:
        """Return the best subjects of each probe, best first; ties by name."""
        if not self._size:
            return [[] for _ in probes]
        found: list[list[Candidate]] = []
        for scores, probe in zip(self._products(probes), probes, strict=True):
            rows = self.near(scores, top_k=top_k, threshold=threshold)
            found.append(self.candidates(rows, probe, top_k=top_k, threshold=threshold))
        return found

    def near(
        self, scores: Float32[np.ndarray, " g"], *, top_k: int, threshold: float
    ) -> Int[np.ndarray, " r"]:
        """Return rows that hold the best templates of the best `top_k` subjects, and some more."""
        wanted = top_k
        while wanted < len(scores):
            reached = _at_most_nth_largest(scores, wanted)
            if reached <= threshold:
                break
            rows = np.flatnonzero(scores >= reached - _ROUNDING)
            sure = rows[scores[rows] >= reached]
            if len(np.unique(self._codes[sure])) >= top_k:
                return rows
            wanted *= 4  # the best templates belong to few subjects: look further
        return np.flatnonzero(scores >= threshold - _ROUNDING)

    def candidates(
        self,
        rows: Int[np.ndarray, " r"],
        probe: Float32[np.ndarray, " e"],
        *,
        top_k: int,
        threshold: float,
    ) -> list[Candidate]:
        """Return the best subjects among some rows, by exact scores."""
        scores = self._score(rows, probe)
        codes, ids = self._codes[rows], self._ids[rows]
        # Best of each subject first; among its equals the smallest template_id.
        order = np.lexsort((ids[:, 1], ids[:, 0], -scores, codes))
        first = np.ones(len(order), bool)
        first[1:] = codes[order][1:] != codes[order][:-1]
        best = order[first]
        best = best[scores[best] >= threshold]
        if len(best) > top_k:
            least = np.partition(scores[best], len(best) - top_k)[len(best) - top_k]
            best = best[scores[best] >= least]
        found = [
            Candidate(
                subject_id=self._name(int(codes[i])),
                template_id=self._template_id(int(rows[i])),
                score=float(scores[i]),
            )
            for i in best
        ]
        return sorted(found, key=lambda c: (-c.score, c.subject_id))[:top_k]

    def rows_of(self, template_ids: Sequence[str]) -> Int[np.ndarray, " r"]:
        """Return the rows of templates that are here, in rising order."""
        wanted = set(template_ids)
        found = np.flatnonzero(np.isin(self._ids[: self._size, 0], _numbers(template_ids)[:, 0]))
        return found[[self._template_id(row) in wanted for row in found.tolist()]]

    def vectors_of(self, rows: slice) -> Float32[np.ndarray, "r e"]:
        """Return the vectors of some rows; a view."""
        return self._matrix[: self._size][rows]

    def _products(self, probes: Float32[np.ndarray, "q e"]) -> Iterator[Float32[np.ndarray, " g"]]:
        """Yield each probe's float32 scores against all rows."""
        matrix = self._matrix[: self._size]
        if len(probes) < _FEW_PROBES:
            # Row by row OpenBLAS runs at the speed of memory: einsum takes 1.2 times as long, and
            # its own matrix-vector product twice.
            yield from (np.vecdot(matrix, probe) for probe in probes)
            return
        at_once = max(_FEW_PROBES, _SCORES_BYTES // (4 * self._size))
        for first in range(0, len(probes), at_once):
            part = probes[first : first + at_once]
            scores = np.empty((len(part), self._size), np.float32)
            for row in range(0, self._size, _BATCH_ROWS):
                scores[:, row : row + _BATCH_ROWS] = (matrix[row : row + _BATCH_ROWS] @ part.T).T
            yield from scores

    def _score(
        self, rows: Int[np.ndarray, " r"], probe: Float32[np.ndarray, " e"]
    ) -> Float32[np.ndarray, " r"]:
        exact = probe.astype(np.float64)
        parts = [
            (self._matrix[rows[first : first + _EXACT_ROWS]] * exact).sum(axis=1)
            for first in range(0, len(rows), _EXACT_ROWS)
        ]
        return np.clip(np.concatenate(parts or [np.zeros(0)]), -1, 1).astype(np.float32)

    def _grow(self, capacity: int) -> None:
        for name in ("_matrix", "_ids", "_codes"):
            held = getattr(self, name)
            larger = np.zeros((capacity, *held.shape[1:]), held.dtype)
            larger[: self._size] = held[: self._size]
            held[:] = 0  # vectors are not left behind in freed memory
            setattr(self, name, larger)

    def _drop(self, row: int) -> None:
        code = int(self._codes[row])
        last = self._size - 1
        for held in (self._matrix, self._ids, self._codes):
            held[row] = held[last]
            held[last] = 0
        self._size = last
        self._templates_of[code] -= 1
        if not self._templates_of[code]:
            del self._code_of[self._name(code)]
            self._subjects[code] = None
            self._idle.append(code)

    def _code(self, subject: SubjectId) -> int:
        code = self._code_of.get(subject)
        if code is None:
            if self._idle:
                code = self._idle.pop()
                self._subjects[code] = subject
            else:
                code = len(self._subjects)
                self._subjects.append(subject)
                self._templates_of.append(0)
            self._code_of[subject] = code
        self._templates_of[code] += 1
        return code

    def _template_id(self, row: int) -> str:
        return f"{int(self._ids[row, 0]):016x}{int(self._ids[row, 1]):016x}"

    def _name(self, code: int) -> SubjectId:
        return SubjectId(str(self._subjects[code]))


def _numbers(template_ids: Sequence[str]) -> np.ndarray:
    pairs = [(int(name[:16], 16), int(name[16:], 16)) for name in template_ids]
    return np.array(pairs, np.uint64).reshape(-1, 2)


def _at_most_nth_largest(scores: Float32[np.ndarray, " g"], n: int) -> float:
    """Return a number that at least `n` scores reach, close to the n-th largest.

    Maxima of blocks: one pass at the speed of memory, where a full partition costs ten.
    """
    whole = len(scores) // _BLOCK * _BLOCK
    if n * 4 > whole // _BLOCK:
        return float(np.partition(scores, len(scores) - n)[len(scores) - n])
    maxima = scores[:whole].reshape(-1, _BLOCK).max(axis=1)
    return float(np.partition(maxima, len(maxima) - n)[len(maxima) - n])

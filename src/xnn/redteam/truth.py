"""What the attack never saw: who is on each probe, and how it was made."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from xnn.schemes import Obfuscator

_TOLERANCE = 1e-6
"""Relative error up to which one order and one matrix explain what an obfuscator does."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearKey:
    """One permutation and one matrix: records[b, i] = features[b, order[i]] @ matrix."""

    order: Int64[np.ndarray, " n"]
    matrix: Float64[np.ndarray, "d d"]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """The judge's side of an observation. Rows are the observation's probes, in their order.

    Trust: judge (the owner's side). Never passed to an attack.
    """

    extractor: str
    """Name of the extractor under attack: judges of pictures must be independent of it."""
    labels: Int64[np.ndarray, " q"]
    """Suspect on each probe, in the numbering of the observation's gallery."""
    tokens: Float32[np.ndarray, "q n d"]
    """Features behind each probe, before the key."""
    crops: UInt8[np.ndarray, "q 112 112 3"]
    """Photograph behind each probe."""
    key: LinearKey | None = None
    """Where the scheme is one permutation and one matrix."""
    upload_labels: Int64[np.ndarray, " a"] | None = None
    """Suspect on each record of the other upload, same numbering; another number for anyone who is
    no suspect."""
    upload_rows: Int64[np.ndarray, " q"] | None = None
    """Record of the other upload made from the very photograph of each probe; -1 where none is."""
    members: Bool[np.ndarray, " m"] | None = None
    """Whether each candidate's photograph is behind a record."""
    candidate_labels: Int64[np.ndarray, " m"] | None = None
    """Person of each candidate, any numbering: whom the bootstrap resamples."""
    class_suspects: Int64[np.ndarray, " c"] | None = None
    """Suspect of each class number that came with the records, by rising class number."""


def read_linear_key(obfuscator: Obfuscator) -> LinearKey | None:
    """Learn what an obfuscator does by asking it, if one permutation and one matrix say it all.

    One record of known tokens tells the order, d basis vectors the matrix, a random record whether
    that is all.

    Args:
        obfuscator: Of the owner; the judge may ask it anything.

    Returns:
        The key, float64; None for a scheme of another kind (noise, an offset, a matrix or a scale
        per position, a fresh order per record, another number of tokens).

    Trust: judge.
    """
    n, d = obfuscator.shape.n, obfuscator.shape.d
    counted = np.zeros((1, n, d))
    counted[0, :, 0] = np.arange(1, n + 1)
    lengths = np.linalg.norm(_ask(obfuscator, counted)[0], axis=1)
    if len(lengths) != n or not lengths.all():
        return None
    order = np.argsort(np.argsort(lengths, kind="stable"), kind="stable")
    num_records = -(-d // n)
    basis = np.zeros((num_records * n, d))
    basis[np.arange(d), np.arange(d)] = 1.0
    rows = _ask(obfuscator, basis.reshape(num_records, n, d))
    if rows.shape[2] != d:
        return None
    matrix = rows[:, np.argsort(order)].reshape(-1, d)[:d]
    probe = np.random.default_rng(0).normal(size=(2, n, d))
    expected, found = probe[:, order] @ matrix, _ask(obfuscator, probe)
    if np.linalg.norm(found - expected) > _TOLERANCE * np.linalg.norm(found):
        return None
    return LinearKey(order=order.astype(np.int64), matrix=matrix)


def _ask(obfuscator: Obfuscator, features: Float64[np.ndarray, "b n d"]) -> np.ndarray:
    return obfuscator.obfuscate(torch.from_numpy(features)).double().numpy()

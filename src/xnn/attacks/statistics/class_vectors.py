"""One vector per class of an upload, as free of noise as its own labels allow."""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from xnn.errors import InsufficientDataError

_FLOOR = 1e-6


def class_vectors(
    records: Float32[np.ndarray, "r m e"], members: Int64[np.ndarray, " r"]
) -> Float64[np.ndarray, "c k"]:
    """Return class means of the mean token, in coordinates where inner products mean likeness.

    The scatter within classes holds all that differs between records of one person: light, pose,
    and the scheme's noise. Means are whitened by it, turned to the directions in which classes
    differ, and each direction is shrunk by how much of its spread the noise of a mean explains
    (Wiener). A rotation of the records only turns the result; noise, if there is none, changes
    nothing.

    Args:
        records: Of one key.
        members: Class of each record, 0..c-1, all present.

    Returns:
        A row of length 1 per class.

    Raises:
        InsufficientDataError: No class has two records, or records do not differ.
    """
    rows = records.mean(axis=1, dtype=np.float64)
    counts = np.bincount(members)
    means = class_means(rows, members)
    rest = rows - means[members]
    freedom = len(rows) - len(counts)
    if freedom < 1 or not np.any(rest):
        raise InsufficientDataError(
            f"{len(rows)} records of {len(counts)} classes do not show what differs within one; "
            "hold more records of a class"
        )
    within = rest.T @ rest / freedom
    each = float(np.mean(1 / counts))  # share of it that is left in a mean
    centred = means - means.mean(axis=0)
    between = centred.T @ centred / max(1, len(means) - 1) - each * within
    variances, directions = np.linalg.eigh(within)
    variances = np.maximum(variances, _FLOOR * variances[-1])
    root = (directions / np.sqrt(variances)) @ directions.T
    spread, axes = np.linalg.eigh(root @ between @ root)
    gain = np.maximum(spread, 0) / (np.maximum(spread, 0) + each)
    found = centred @ root @ axes * np.sqrt(gain)
    return directions_of(found)


def class_means(
    rows: Float[np.ndarray, "r f"], members: Int64[np.ndarray, " r"]
) -> Float64[np.ndarray, "c f"]:
    """Return the mean row of each class 0..c-1, all present."""
    counts = np.bincount(members)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, members, rows)
    means: Float64[np.ndarray, "c f"] = sums / counts[:, None]
    return means


def directions_of(rows: Float64[np.ndarray, "b k"]) -> Float64[np.ndarray, "b k"]:
    """Scale rows to length 1; a zero row stays zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)

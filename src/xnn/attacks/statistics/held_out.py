"""People held out: how an attacker chooses its means without asking the judge."""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from xnn.metrics.identification import cosine_scores


def held_out_people(
    labels: Int64[np.ndarray, " b"], *, share: float, seed: int
) -> Bool[np.ndarray, " b"]:
    """Return which photographs show the people held out: a share of them, at least 2.

    With fewer than 4 people nobody is held out.
    """
    people = np.unique(labels)
    if len(people) < 4:
        return np.zeros(len(labels), dtype=bool)
    num = min(max(2, round(share * len(people))), len(people) - 2)
    return np.isin(labels, np.random.default_rng(seed).permutation(people)[:num])


def rank_1_of_the_rest(
    probes: Float[np.ndarray, "b e"],
    references: Float[np.ndarray, "b e"],
    labels: Int64[np.ndarray, " b"],
) -> float:
    """Return how often a probe's nearest photograph, its own left out, shows its person.

    Args:
        probes: What the attacker makes of each photograph.
        references: What the photographs are compared with, row by row the same ones.
        labels: Person of each; those with one photograph are not asked about.

    Returns:
        A share; NaN when nobody has two photographs.
    """
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    asked = counts[inverse] >= 2
    if not asked.any():
        return float("nan")
    scores = cosines(probes, references)
    np.fill_diagonal(scores, -np.inf)
    return float(np.mean(labels[scores.argmax(axis=1)][asked] == labels[asked]))


def cosines(
    probes: Float[np.ndarray, "q e"], references: Float[np.ndarray, "g e"]
) -> Float64[np.ndarray, "q g"]:
    """Return cosines in float64; a row without length is as alike to everybody."""
    return cosine_scores(unit_rows(probes), unit_rows(references))


def unit_rows(rows: Float[np.ndarray, "b e"]) -> Float64[np.ndarray, "b e"]:
    """Scale rows to length 1; a zero row becomes a constant one rather than NaN."""
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.where(lengths > 0, wide / np.maximum(lengths, 1e-300), 1.0)

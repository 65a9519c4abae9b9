"""Tokens of records that have orders of their own, put into one order without public data.

A token of one record is nearest to the token of the same position in another: positions differ more
than faces do. Slots are learned like clusters, with the constraint that the tokens of a record fill
every slot once, in the metric of what varies within a slot.

Source: this project (redteam.md, A3), after the alignment step of the attack on NeuraCrypt
(arXiv:2108.07256).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

_SETTLED = 1e-3
"""Share of tokens that may still move when the rounds end."""
_ROUGH_RIDGE, _FINE_RIDGE, _ROUGH_ROUNDS = 0.05, 0.005, 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slots:
    """What was learned; `slot_of` sorts any record by it."""

    metric: Float32[np.ndarray, "e e"]
    means: Float32[np.ndarray, "n e"]
    """Mean token of each slot, under the metric."""
    cost: float
    """Mean squared distance of tokens to their slot; lower = tidier."""

    def slot_of(self, records: Float32[np.ndarray, "b n e"]) -> Int64[np.ndarray, "b n"]:
        """Return the slot of each token; every slot once in a record."""
        return fill_slots(records @ self.metric, self.means)[0]


def learn_slots(
    records: Float32[np.ndarray, "b n e"],
    *,
    rng: np.random.Generator,
    starts: int = 3,
    max_rounds: int = 14,
) -> Slots:
    """Learn slots from records under one matrix.

    Args:
        records: Tokens of each in any order.
        rng: Draws the records whose tokens are the first slots.
        starts: Such records tried; the tidiest end is kept.
        max_rounds: Of assigning and measuring.
    """
    tokens = records.reshape(-1, records.shape[2])
    centred = tokens - tokens.mean(axis=0, dtype=np.float64)
    white = _root_of(centred.T @ centred / len(centred), 1e-6)
    white_records = (records @ white).astype(np.float32)
    firsts = rng.permutation(len(records))[:starts]
    found = [_settle(white_records, white_records[first], max_rounds) for first in firsts]
    best = min(found, key=lambda slots: slots.cost)
    metric = (white @ best.metric).astype(np.float32)
    return Slots(metric=metric, means=best.means, cost=best.cost)


def in_slots(
    records: Float32[np.ndarray, "b n e"], slots: Int64[np.ndarray, "b n"]
) -> Float32[np.ndarray, "b n e"]:
    """Return records with each token moved to its slot."""
    sorted_records = np.empty_like(records)
    np.put_along_axis(sorted_records, slots[:, :, None], records, axis=1)
    return sorted_records


def fill_slots(
    tokens: Float32[np.ndarray, "b m e"], means: Float32[np.ndarray, "n e"]
) -> tuple[Int64[np.ndarray, "b m"], Float64[np.ndarray, " b"]]:
    """Assign the tokens of each record to different slots, nearest in sum.

    Args:
        tokens: At most as many as there are slots.
        means: Of the slots.

    Returns:
        The slot of each token, and the mean squared distance of each record.
    """
    squares = np.square(means).sum(axis=1)
    own = np.square(tokens).sum(axis=2)
    slots = np.empty(tokens.shape[:2], dtype=np.int64)
    costs = np.empty(len(tokens))
    for i, (token, size) in enumerate(zip(tokens, own, strict=True)):
        distances = size[:, None] + squares[None, :] - 2 * token @ means.T
        rows, slots[i] = linear_sum_assignment(distances)
        costs[i] = distances[rows, slots[i]].mean()
    return slots, costs


def _settle(
    white: Float32[np.ndarray, "b n e"], first: Float32[np.ndarray, "n e"], max_rounds: int
) -> Slots:
    """Take turns between assigning tokens and measuring slots."""
    d = white.shape[2]
    metric, centres = np.eye(d), first.astype(np.float64)
    slots: Int64[np.ndarray, "b n"] | None = None
    cost = float("inf")
    for round_ in range(max_rounds):
        short = metric.astype(np.float32)
        better, costs = fill_slots(white @ short, (centres @ metric).astype(np.float32))
        moved = 1.0 if slots is None else float(np.mean(better != slots))
        slots, cost = better, float(costs.mean())
        if moved < _SETTLED:
            break
        sorted_records = in_slots(white, slots)
        centres = sorted_records.mean(axis=0, dtype=np.float64)
        rest = (sorted_records - centres.astype(np.float32)).reshape(-1, d)
        ridge = _ROUGH_RIDGE if round_ < _ROUGH_ROUNDS else _FINE_RIDGE
        metric = _root_of((rest.T @ rest).astype(np.float64) / len(rest), ridge)
    means = (centres @ metric).astype(np.float32)
    return Slots(metric=metric.astype(np.float32), means=means, cost=cost)


def _root_of(covariance: Float64[np.ndarray, "e e"], ridge: float) -> Float64[np.ndarray, "e e"]:
    """Return a root of the inverse covariance, ridged."""
    variances, directions = np.linalg.eigh(covariance)
    return directions / np.sqrt(np.maximum(variances, 0) + ridge * variances.mean())

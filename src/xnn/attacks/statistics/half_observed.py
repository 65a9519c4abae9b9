"""Features behind hidden units of which only the positive ones are seen.

A token's features have a Gaussian prior at each position, from the attacker's own faces. A unit
that is on gives one linear equation, exact up to rounding; one that is off says that its equation's
left side is negative, which is used where the estimate contradicts it.

Source: this project (redteam.md, A11).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from xnn.attacks.statistics.relu_units import Units

_ON = 6.0
"""Standard deviations above zero from which on a unit counts as on."""
_ROUNDS = 3
_SHRINKAGE = 0.05
_TRUST = 1e-3
"""Error of an equation, at least, as a share of the unit's usual value."""
_AT_ONCE = 256


def read_half_observed(
    records: Float32[np.ndarray, "b n e"],
    units: Units,
    place: Int64[np.ndarray, " n"],
    public: Float32[np.ndarray, "p n d"],
) -> Float32[np.ndarray, "b n d"]:
    """Return the likeliest features behind records.

    Args:
        records: Under one key, all tokens in one order.
        units: Of the key.
        place: Position of the extractor's token at each place of a record.
        public: Features of other images.
    """
    means = public.mean(axis=0, dtype=np.float64)
    shared = pooled(public, means)
    features = np.empty((len(records), *public.shape[1:]), dtype=np.float32)
    for i, position in enumerate(place):
        own = public[:, position] - means[position]
        covariance = 0.5 * shared + 0.5 * (own.T.astype(np.float64) @ own / len(own))
        seen = records[:, i].astype(np.float64) @ units.back
        features[:, position] = _likeliest(seen, units, means[position], covariance)
    return features


def pooled(
    public: Float32[np.ndarray, "p n d"], means: Float64[np.ndarray, "n d"]
) -> Float64[np.ndarray, "d d"]:
    """Return the covariance within positions, drawn a little to its mean."""
    rows = (public - means).reshape(-1, public.shape[2]).astype(np.float64)
    covariance = rows.T @ rows / len(rows)
    level = _SHRINKAGE * np.trace(covariance) / len(covariance)
    mixed: Float64[np.ndarray, "d d"] = (1 - _SHRINKAGE) * covariance + level * np.eye(
        len(covariance)
    )
    return mixed


def _likeliest(
    seen: Float64[np.ndarray, "b f"],
    units: Units,
    mean: Float64[np.ndarray, " d"],
    covariance: Float64[np.ndarray, "d d"],
) -> Float64[np.ndarray, "b d"]:
    """Solve for all records at one position, adding units that should be off and are not."""
    expected = mean @ units.into
    gain = torch.from_numpy(covariance @ units.into)
    usual = np.sqrt(np.square(seen).mean(axis=0))
    errors = torch.from_numpy(np.square(units.noise) + np.square(_TRUST * usual) + 1e-30)
    inner = torch.from_numpy(units.into).T @ gain
    parts = []
    for start in range(0, len(seen), _AT_ONCE):
        part = seen[start : start + _AT_ONCE]
        on = torch.from_numpy(part > _ON * units.noise)
        wanted = torch.from_numpy(np.maximum(part, 0.0))
        used = on
        for _ in range(_ROUNDS):
            weights = _conditioned(inner, errors, wanted - torch.from_numpy(expected), used)
            found = torch.from_numpy(expected) + weights @ inner
            wrong = ~on & (found > 0)
            wanted = torch.where(on, wanted, 0.0)
            if not bool((wrong & ~used).any()):
                break
            used = used | wrong
        parts.append((torch.from_numpy(mean) + weights @ gain.T).numpy())
    return np.concatenate(parts)


def _conditioned(
    inner: Float64[Tensor, "f f"],
    errors: Float64[Tensor, " f"],
    surprise: Float64[Tensor, "b f"],
    used: Bool[Tensor, "b f"],
) -> Float64[Tensor, "b f"]:
    """Return the weights of the units used, in the mean of a Gaussian conditioned on them."""
    mask = used.double()
    matrix = inner * mask[:, :, None] * mask[:, None, :]
    matrix = matrix + torch.diag_embed(torch.where(used, errors, 1.0))
    factor = torch.linalg.cholesky(matrix)
    return torch.cholesky_solve((surprise * mask)[:, :, None], factor)[:, :, 0]

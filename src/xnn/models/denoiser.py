"""Wiener's filter over a whole record: the best linear guess at features under known noise."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xnn.errors import ConfigError, InsufficientDataError


@final
class Denoiser(nn.Module):
    """Keep each principal direction of clean records by its share of signal, v / (v + noise).

    The noise of every number is independent, the features are not: what a face puts at one place of
    the token grid tells of the others. A tail that pools its tokens cannot use that, since it does
    not know places; this can, so the order of the tokens matters to it.

    Args:
        n: Tokens.
        d: Their width.
        rank: Directions kept; what lies outside them is set to the mean.

    Trust: server. The directions are those of the owner's training records.
    Source: N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, 1949.
    """

    mean: Tensor
    directions: Tensor
    shares: Tensor

    def __init__(self, n: int, d: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n * d))
        self.register_buffer("directions", torch.zeros(rank, n * d))
        self.register_buffer("shares", torch.zeros(rank))

    def forward(self, records: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return what the clean records were, as far as can be told."""
        with torch.autocast(records.device.type, enabled=False):
            flat = records.float().flatten(1) - self.mean
            kept = (flat @ self.directions.T) * self.shares
            return (self.mean + kept @ self.directions).reshape(records.shape)

    @torch.no_grad()
    def fit(self, clean: Float[Tensor, "r n d"], *, noise_variance: float) -> None:
        """Measure the directions, in their dual form: the cost grows with records, not with tokens.

        With fewer records than directions the rest of them stay empty.

        Args:
            clean: Training records without noise.
            noise_variance: Of every number of a record that will be read.

        Raises:
            ConfigError: The variance is negative.
            InsufficientDataError: Fewer than two records, or records that are all alike.
        """
        if not noise_variance >= 0:
            raise ConfigError(f"noise_variance={noise_variance:g}; use 0 or more")
        flat = clean.flatten(1)
        mean = flat.mean(0)
        centred = flat - mean
        products = (centred @ centred.T).double()
        if len(flat) < 2 or not float(products.trace()) > 0:
            raise InsufficientDataError(
                f"a denoiser met {len(flat)} records without variance; give it training records"
            )
        squares, coefficients = torch.linalg.eigh(products)
        # A record less than there are spans the rest; rounding is all that the last one holds.
        rank = min(len(self.shares), len(flat) - 1)
        largest = squares.flip(0)[:rank].clamp_min(1e-12 * float(squares[-1]))
        along = coefficients.flip(1)[:, :rank] / largest.sqrt()
        variances = largest / len(flat)
        self.mean.copy_(mean)
        self.directions.zero_()
        self.directions[:rank] = along.float().T @ centred
        self.shares.zero_()
        self.shares[:rank] = (variances / (variances + noise_variance)).float()

"""A linear map between two sets of records, trained until their sliced distributions agree.

Each slice is one direction in two places of a record, or in one: single places tell the marginals,
two at a time how places go together. For a linear map a slice costs two vector products.

Source: sliced Wasserstein distance (Rabin et al. 2011); its use on unpaired features is ours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Effort."""

    steps: int = 150
    place_pairs: int = 8
    """Per step; every fourth of them is a single place."""
    slices: int = 16
    """Per pair of places."""
    sample: int = 600
    """Records of each side per step."""
    lr: float = 3e-3
    test_place_pairs: int = 64


def fit_transport(
    source: Float32[np.ndarray, "r m e"],
    target: Float32[np.ndarray, "s m e"],
    *,
    settings: TransportSettings,
    seed: int,
) -> tuple[Float32[np.ndarray, "e e"], float]:
    """Train a matrix, from the identity, that makes the source look like the target.

    Args:
        source: Whitened records whose places are the target's.
        target: Whitened records of other people.
        settings: Effort.
        seed: Draws samples and slices.

    Returns:
        The matrix W of `source @ W`, and the distance of slices drawn afterwards.
    """
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.from_numpy(source), torch.from_numpy(target)
    matrix = torch.eye(a.shape[2]).requires_grad_(True)
    optimizer = torch.optim.Adam([matrix], lr=settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, settings.steps))
    size = min(len(a), len(b), settings.sample)
    for _ in range(settings.steps):
        left = a[torch.randperm(len(a), generator=generator)[:size]]
        right = b[torch.randperm(len(b), generator=generator)[:size]]
        loss = _distance(left, right, matrix, settings.place_pairs, settings.slices, generator)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    size = min(len(a), len(b))
    test = torch.Generator().manual_seed(0)  # the same slices for every map, so that maps compare
    with torch.no_grad():
        pairs = settings.test_place_pairs
        end = _distance(a[:size], b[:size], matrix, pairs, settings.slices, test)
    return matrix.detach().numpy(), float(end)


def _distance(
    left: Tensor,
    right: Tensor,
    matrix: Tensor,
    place_pairs: int,
    slices: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the mean squared distance of sorted slices."""
    _, m, width = left.shape
    total = torch.zeros(())
    for number in range(place_pairs):
        one, other = torch.randint(m, (2,), generator=generator).tolist()
        directions = torch.randn(2, width, slices, generator=generator) / width**0.5
        if number % 4 == 0:
            directions[1] = 0.0
        moved = matrix @ directions
        here = left[:, one] @ moved[0] + left[:, other] @ moved[1]
        there = right[:, one] @ directions[0] + right[:, other] @ directions[1]
        gap = here.sort(dim=0).values - there.sort(dim=0).values
        total = total + torch.mean(gap**2)
    return total / place_pairs

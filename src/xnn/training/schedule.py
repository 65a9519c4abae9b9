"""Learning rates as pure functions of the position in training."""

import math


def paper_lr(
    epoch: int,
    *,
    peak: float = 0.05,
    floor: float = 0.001,
    warmup_epochs: int = 3,
    decay_epochs: int = 10,
) -> float:
    """Return the paper's learning rate of an epoch: warm-up, cosine, then held at the floor.

    The authors' code lets the cosine run on, so that the rate climbs back to its peak ten epochs
    after reaching the floor; here it stays down.

    Args:
        epoch: From 0.
        peak: Highest rate, reached at epoch `warmup_epochs`.
        floor: Rate from epoch `warmup_epochs + decay_epochs` on.
        warmup_epochs: Linear climb, never below 2 % of the peak.
        decay_epochs: Length of the half cosine.
    """
    if epoch < warmup_epochs:
        return peak * max(0.02, epoch / warmup_epochs)
    return _half_cosine((epoch - warmup_epochs) / max(1, decay_epochs), peak, floor)


def smooth_lr(step: int, *, num_steps: int, peak: float, floor: float, warmup_steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine that ends at the floor.

    Args:
        step: From 0; the first step already has a rate above 0.
        num_steps: Of the whole training.
        peak: Highest rate, reached when the warm-up ends.
        floor: Rate of the last step.
        warmup_steps: Fewer than `num_steps`.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return _half_cosine((step - warmup_steps) / max(1, num_steps - 1 - warmup_steps), peak, floor)


def _half_cosine(fraction: float, peak: float, floor: float) -> float:
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * min(1.0, fraction)))

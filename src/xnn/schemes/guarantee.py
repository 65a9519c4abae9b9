"""What can be proved of a record, whoever attacks: its parameters, and one sentence in words.

A guarantee here rests on noise alone. The key is counted as known, since a key that statistics
recover protects nothing; and it is stated per record, so that it adds up over the photographs of
one person.
"""

import math
from dataclasses import dataclass

import torch

from xnn.errors import ConfigError

DELTA = 1e-6
"""Chance that a statement of privacy may fail: well below one in the people of any upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """A bound on what one record tells, true for every attacker who knows everything else."""

    bits: float
    """Most bits that a record holds about its photograph (mutual information)."""
    epsilon: float | None
    """Of (epsilon, delta)-differential privacy for replacing the photograph; None if not stated."""
    delta: float | None
    noise_ratio: float
    """Standard deviation of the noise over the largest possible RMS of the signal."""
    sentence: str
    """The same in words, with its conditions."""

    def rank_1_at_most(self, num_people: int) -> float:
        """Return the highest rank-1 rate that any attacker reaches among so many people.

        From one record, the people being equally likely: Fano's inequality,
        h(e) + e log2(N - 1) >= log2(N) - bits, solved for the smallest error rate e.

        Raises:
            ConfigError: Fewer than two people.

        Source: Cover and Thomas, Elements of Information Theory, theorem 2.10.1.
        """
        if num_people < 2:
            raise ConfigError(f"num_people={num_people}; use 2 or more")
        unknown = math.log2(num_people) - self.bits
        low, high = 0.0, 1.0 - 1.0 / num_people
        if unknown <= 0:
            return 1.0
        for _ in range(60):
            middle = (low + high) / 2
            entropy = -middle * math.log2(middle) - (1 - middle) * math.log2(1 - middle)
            if entropy + middle * math.log2(num_people - 1) >= unknown:
                high = middle
            else:
                low = middle
        return 1.0 - low


def channel_bits(num_values: int, noise_ratio: float) -> float:
    """Return the capacity of a Gaussian channel, in bits for one record.

    Args:
        num_values: Coordinates that carry noise.
        noise_ratio: Noise over signal, both as RMS per coordinate; the signal may not exceed it.

    Returns:
        num_values / 2 log2(1 + 1 / noise_ratio^2): no input of that power tells more.

    Source: Shannon 1948, theorem 17.
    """
    return num_values / 2 * math.log2(1 + noise_ratio**-2)


def channel_guarantee(num_values: int, noise_ratio: float) -> Guarantee:
    """Return what Gaussian noise proves of records whose power is bounded.

    Args:
        num_values: Numbers in a record, each with noise of its own.
        noise_ratio: Standard deviation of the noise over the bound on the record's RMS.

    The bits are the capacity. Epsilon at delta = 1e-6 is the exact value of the Gaussian
    mechanism for replacing one photograph by any other (sensitivity: twice the bound).

    Source: Balle and Wang 2018, arXiv:1805.06530, theorem 8.
    """
    bits = channel_bits(num_values, noise_ratio)
    epsilon = gaussian_epsilon(2 * math.sqrt(num_values) / noise_ratio, DELTA)
    return Guarantee(
        bits=bits,
        epsilon=epsilon,
        delta=DELTA,
        noise_ratio=noise_ratio,
        sentence=(
            f"One record tells whoever knows the key, and everything else, at most {bits:.3g} bits "
            f"about its photograph; r records of one person tell at most r times that. It is "
            f"({epsilon:.3g}, {DELTA:g})-differentially private for replacing the photograph, "
            "which promises something only where the first number is below about 10. Both hold "
            "for noise that cannot be told from Gaussian chance, as ChaCha20 is believed to be, "
            "and once per photograph: another upload of it, made from features that differ in "
            "one bit, counts again."
        ),
    )


def gaussian_epsilon(sensitivity: float, delta: float) -> float:
    """Return the smallest epsilon of the Gaussian mechanism with noise of 1.

    Args:
        sensitivity: Largest Euclidean distance between two inputs, in standard deviations.
        delta: In (0, 1).

    Solves Phi(D/2 - e/D) - exp(e) Phi(-D/2 - e/D) = delta, whose left side falls as e grows.

    Source: Balle and Wang 2018, arXiv:1805.06530, theorem 8.
    """
    d = sensitivity

    def lost(e: float) -> float:
        # in logarithms, as exp(e) overflows and the tail underflows where epsilon is large
        first, second = _log_tail(d / 2 - e / d), e + _log_tail(-d / 2 - e / d)
        return math.exp(first) - math.exp(min(second, first))

    low, high = 0.0, d * d / 2 + d * 40.0
    if lost(low) <= delta:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if lost(middle) > delta else (low, middle)
    return high


def _log_tail(x: float) -> float:
    """Return the logarithm of the normal distribution function."""
    return float(torch.special.log_ndtr(torch.tensor(x, dtype=torch.float64)))

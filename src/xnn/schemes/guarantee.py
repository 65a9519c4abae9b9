"""What can be proved of a record, whoever attacks: its parameters, and one sentence in words.

A guarantee here rests on noise alone. The key is counted as known, since a key that statistics
recover protects nothing; and it is stated per record, so that it adds up over the photographs of
one person.
"""

import math
from dataclasses import dataclass

from xnn.errors import ConfigError


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

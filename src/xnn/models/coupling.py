"""Noise that only its holder can take off.

Each half of a code is hidden under noise made of the other half, modulo 1, in rounds:

    a <- b,   b <- a + N_i(b)  mod 1,      N_i(b) = 2 sin(W_i b + p_i) R_i

W_i, p_i and R_i are drawn from a key. The noise fills the whole range. How much a key shows after
many records is a matter of how hard N_i is to learn from examples: that is measured, not proven.
Whoever holds the key takes the noise off exactly. It is an obfuscation with a shared secret; it
does not stand in for a protected channel.

Source: the rounds of Feistel ciphers; Luby and Rackoff (1988) need four with ideal functions, and
the functions here are not ideal.
"""

import math
from typing import final

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from xnn.errors import ConfigError

_STEP = 0.12
"""Length on the circle of one standard deviation of the code: 4 of them fit on either side."""
_EDGE = 1e-4
"""Kept free at both ends: a number that rounding carries past 0 or 1 comes out at the other."""


@final
class Coupling(nn.Module):
    """The rounds, and their inverse.

    Args:
        width: Numbers of the code, an even number.
        rounds: See above; 2 hide it from every attacker tried, 4 is the default.
        gain: Steepness of the noise; below 0.3 attackers learn it.

    Raises:
        ConfigError: A value is out of range.

    Trust: device and server hold the same key. Nobody else.
    """

    mixing: Tensor
    weights: Tensor
    phases: Tensor
    turns: Tensor

    def __init__(self, width: int, *, rounds: int, gain: float) -> None:
        super().__init__()
        if width < 2 or width % 2 or rounds < 1 or not 0 < gain < math.inf:
            raise ConfigError(
                f"a coupling of width {width}, {rounds} rounds, gain {gain:g}; use an even width, "
                "1 round or more, and a gain above 0"
            )
        half = width // 2
        self.gain = gain
        self.register_buffer("mixing", torch.eye(width))
        self.register_buffer("weights", torch.zeros(rounds, half, half))
        self.register_buffer("phases", torch.zeros(rounds, half))
        self.register_buffer("turns", torch.zeros(rounds, half, half))

    def forward(self, code: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Hide a code; numbers beyond 4 standard deviations are cut off.

        Both ways are computed in float64, so that the same input gives the same output whatever it
        is batched with and whoever computes it; what is left is the rounding of z itself.

        Returns:
            Numbers in [0, 1).
        """
        return _wrap(self.exact(code).to(code.dtype))

    def exact(self, code: Float[Tensor, "b k"]) -> Float64[Tensor, "b k"]:
        """Return what `forward` rounds: what is to be sent with every digit that it has."""
        placed = 0.5 + code.double() @ (_STEP * self.mixing.double())
        placed = placed.clamp(_EDGE, 1 - _EDGE)
        a, b = placed.chunk(2, dim=1)
        for i in range(len(self.weights)):
            a, b = b, _wrap(a + self._noise(i, b))
        return torch.cat([a, b], dim=1)

    def inverse(self, sent: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Take the noise off again; exact but for z's own rounding, which each round multiplies."""
        a, b = sent.double().chunk(2, dim=1)
        for i in reversed(range(len(self.weights))):
            a, b = _wrap(b - self._noise(i, a)), a
        code = (torch.cat([a, b], dim=1) - 0.5) @ self.mixing.double().T / _STEP
        return code.to(sent.dtype)

    def _noise(self, i: int, half: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
        weights, phases, turns = (t[i].double() for t in (self.weights, self.phases, self.turns))
        # Factors stand inside the matrices: onnxruntime-web takes one beside a product into it as
        # float32, and the rounds would multiply what that rounds off.
        steep = weights * (self.gain / _STEP)
        noise: Tensor = torch.sin((half - 0.5) @ steep + phases) @ (2 * turns)
        return noise


def _wrap(x: Tensor) -> Tensor:
    return x - torch.floor(x)

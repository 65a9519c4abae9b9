"""The front of XNN-d: the extractor's features and noise that is made of the face itself.

    z = LN_0(E(x)) + scale * LN_g(G(x))

E is the frozen extractor, G a copy of it that a game trains, LN_0 a layer norm without weights and
LN_g one with. Both networks may share their lower blocks: then G copies the upper ones only. A
coupled front sends a code of LN_0(E(x)) under noise that its server takes off; see `Coupling`.
"""

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, final, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xnn.errors import ConfigError
from xnn.models.coupling import Coupling
from xnn.models.feature_code import FeatureCode
from xnn.models.vit import LAYER_NORM_EPS
from xnn.types import TokenShape

NoiseKind = Literal["none", "gaussian", "generator", "coupled"]
"""`none` sends plain features, `gaussian` adds fresh noise that knows nothing of the face,
`generator` is the paper's, `coupled` sends a short code under the noise of `Coupling`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """What a front adds to the features.

    Raises:
        ConfigError: A value is out of range.
    """

    noise: str = "generator"
    """One of `NoiseKind`."""
    shared_blocks: int = 0
    """Lower blocks of the extractor that G shares; see `Extractor.divide`."""
    snr_db: float = 0.0
    """Power of LN_0(E(x)), which is 1 for each number, over that of the noise as it starts."""
    code_dim: int = 64
    """Of a coupled front: numbers kept of the features."""
    fresh_dim: int = 16
    """Of a coupled front: random numbers beside them, so that no face gives the same z twice."""
    rounds: int = 4
    gain: float = 1.0
    """Both of `Coupling`."""

    def __post_init__(self) -> None:
        if self.code_dim < 1 or self.fresh_dim < 0 or (self.code_dim + self.fresh_dim) % 2:
            raise ConfigError(
                f"code_dim={self.code_dim}, fresh_dim={self.fresh_dim}; use 1 or more and 0 or "
                "more, an even number together"
            )
        if self.noise not in get_args(NoiseKind):
            raise ConfigError(f"noise={self.noise!r}; use one of {', '.join(get_args(NoiseKind))}")
        if self.shared_blocks < 0 or not math.isfinite(self.snr_db):
            raise ConfigError(
                f"shared_blocks={self.shared_blocks}, snr_db={self.snr_db:g}; use a number of "
                "blocks from 0, and finite decibels"
            )

    @property
    def scale(self) -> float:
        """Root mean square of the noise as it starts."""
        return float(10 ** (-self.snr_db / 20))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)


@final
class NoiseGenerator(nn.Module):
    """G and its norm.

    Args:
        network: The extractor's upper part; copied, the copy is trainable.
        d: Width of a token.

    Trust: owner and device. Whoever holds it can compute the noise of any face.
    Source: noise encoder of arXiv:2408.04974, inference phase.
    """

    def __init__(self, network: nn.Module, d: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=True)
        self.norm = nn.LayerNorm(d, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Float[Tensor, "b n d"]:
        """Return the noise of maps above the cut."""
        noise: Tensor = self.norm(self.network(x))
        return noise


@final
class NoisyFront(nn.Module):
    """All that a device computes: from the map above the cut, or from pixels, to z.

    Args:
        lower: Of `Extractor.divide`; frozen.
        upper: The same; frozen, and copied for G.
        shape: Of the extractor's tokens.
        settings: What is added.

    Trust: owner and device.
    """

    def __init__(
        self, lower: nn.Module, upper: nn.Module, shape: TokenShape, settings: FrontSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        self.shape = shape
        self.lower = lower.requires_grad_(requires_grad=False)
        self.upper = upper.requires_grad_(requires_grad=False)
        self.generator = NoiseGenerator(upper, shape.d) if settings.noise == "generator" else None
        self.code, self.coupling = _coupled(shape, settings)

    @property
    def is_random(self) -> bool:
        """Whether the same face gives another z each time."""
        return bool(self.fresh_shape)

    @property
    def sent_shape(self) -> TokenShape:
        """Shape of z."""
        if self.coupling is None:
            return self.shape
        return TokenShape(1, self.settings.code_dim + self.settings.fresh_dim)

    @property
    def fresh_shape(self) -> tuple[int, ...]:
        """Random numbers that one z takes; empty where z depends on the face alone."""
        if self.settings.noise == "gaussian":
            return (self.shape.n, self.shape.d)
        if self.coupling is not None and self.settings.fresh_dim:
            return (self.settings.fresh_dim,)
        return ()

    def opener(self) -> "Opener | None":
        """Return what the server needs in front of its tail; None where z goes in as it is."""
        if self.code is None or self.coupling is None:
            return None
        return Opener(self.coupling, self.code.spread)

    def clean(self, x: Tensor) -> Float[Tensor, "b n d"]:
        """Return LN_0(E) of maps above the cut: what the teacher sees."""
        with torch.no_grad():
            return clean_features(self.upper(x), self.shape.d)

    def add_noise(
        self,
        x: Tensor,
        clean: Float[Tensor, "b n d"],
        fresh: Tensor | None = None,
        *,
        exact: bool = False,
    ) -> Float[Tensor, "b m e"]:
        """Return z of maps above the cut whose clean features are known.

        Args:
            x: Maps above the cut.
            clean: Their `clean` features.
            fresh: Standard normal numbers (b, *fresh_shape), never used twice; None draws them
                from torch's global generator.
            exact: Leave a coupled z in float64: its rounds multiply what float32 rounds off.
        """
        if fresh is None and self.is_random:
            fresh = torch.randn(len(clean), *self.fresh_shape, device=clean.device)
        if self.generator is not None:
            noise: Tensor = self.generator(x)
            return clean + self.settings.scale * noise
        if self.code is not None and self.coupling is not None:
            code = self.code(clean)
            whole = code if fresh is None else torch.cat([code, fresh], 1)
            hidden: Tensor = self.coupling.exact(whole) if exact else self.coupling(whole)
            return hidden[:, None]
        return clean if fresh is None else clean + self.settings.scale * fresh

    def forward(
        self, pixels: Float[Tensor, "b 3 s s"], fresh: Tensor | None = None
    ) -> Float[Tensor, "b m e"]:
        """Return z of prepared pixels, unrounded; see `add_noise`."""
        x = self.lower(pixels)
        return self.add_noise(x, self.clean(x), fresh, exact=True)


@final
class Opener(nn.Module):
    """The server's way from a coupled z to what its tail reads.

    Args:
        coupling: The shared secret; copied.
        spread: Of the code: what each number is worth.

    Trust: server.
    """

    spread: Tensor

    def __init__(self, coupling: Coupling, spread: Float[Tensor, " k"]) -> None:
        super().__init__()
        self.coupling = copy.deepcopy(coupling)
        self.register_buffer("spread", spread.clone())

    def forward(self, sent: Float[Tensor, "b 1 e"]) -> Float[Tensor, "b 1 k"]:
        """Return the code as one token, its numbers as large as they matter."""
        code = self.coupling.inverse(sent.flatten(1))[:, : len(self.spread)]
        return (code.to(self.spread.dtype) * self.spread)[:, None]


def clean_features(tokens: Float[Tensor, "b n d"], d: int) -> Float[Tensor, "b n d"]:
    """Return LN_0 of the extractor's tokens; their width is told, so that it can be exported."""
    return F.layer_norm(tokens, (d,), eps=LAYER_NORM_EPS)


def _coupled(
    shape: TokenShape, settings: FrontSettings
) -> tuple[FeatureCode | None, Coupling | None]:
    if settings.noise != "coupled":
        return None, None
    code = FeatureCode(shape.n, shape.d, settings.code_dim)
    width = settings.code_dim + settings.fresh_dim
    return code, Coupling(width, rounds=settings.rounds, gain=settings.gain)

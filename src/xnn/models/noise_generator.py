"""The front of XNN-d: the extractor's features and noise that is made of the face itself.

    z = LN_0(E(x)) + scale * LN_g(G(x))

E is the frozen extractor, G a copy of it that a game trains, LN_0 a layer norm without weights and
LN_g one with. Both networks may share their lower blocks: then G copies the upper ones only.
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
from xnn.models.vit import LAYER_NORM_EPS

NoiseKind = Literal["none", "gaussian", "generator"]
"""`none` sends plain features, `gaussian` adds fresh noise that knows nothing of the face,
`generator` is the paper's."""


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

    def __post_init__(self) -> None:
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
        d: Width of a token.
        settings: What is added.

    Trust: owner and device.
    """

    def __init__(self, lower: nn.Module, upper: nn.Module, d: int, settings: FrontSettings) -> None:
        super().__init__()
        self.settings = settings
        self.lower = lower.requires_grad_(requires_grad=False)
        self.upper = upper.requires_grad_(requires_grad=False)
        self.generator = NoiseGenerator(upper, d) if settings.noise == "generator" else None

    @property
    def is_random(self) -> bool:
        """Whether the same face gives another z each time."""
        return self.settings.noise == "gaussian"

    def clean(self, x: Tensor) -> Float[Tensor, "b n d"]:
        """Return LN_0(E) of maps above the cut: what the teacher sees."""
        with torch.no_grad():
            tokens = self.upper(x)
            return F.layer_norm(tokens, tokens.shape[-1:], eps=LAYER_NORM_EPS)

    def add_noise(
        self, x: Tensor, clean: Float[Tensor, "b n d"], fresh: Float[Tensor, "b n d"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return z of maps above the cut whose clean features are known.

        Args:
            x: Maps above the cut.
            clean: Their `clean` features.
            fresh: Standard normal numbers, where the front is random; never used twice.
        """
        if self.generator is not None:
            noise: Tensor = self.generator(x)
            return clean + self.settings.scale * noise
        if self.is_random:
            if fresh is None:
                fresh = torch.randn_like(clean)
            return clean + self.settings.scale * fresh
        return clean

    def forward(
        self, pixels: Float[Tensor, "b 3 s s"], fresh: Float[Tensor, "b n d"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Return z of prepared pixels."""
        x = self.lower(pixels)
        return self.add_noise(x, self.clean(x), fresh)

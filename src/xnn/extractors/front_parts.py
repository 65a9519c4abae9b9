"""An extractor cut in two: lower blocks that a noise generator shares, upper ones that it copies.

Cut at 0, only what turns pixels into a first map (patch projection and position embedding, or the
stem) is below the cut: the paper trains neither, so sharing them changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xnn.errors import ConfigError
from xnn.models.vit import ViTFront, resize_position


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontParts:
    """Both parts, in eval mode; `upper(lower(pixels))` are the extractor's tokens."""

    lower: nn.Module
    """From prepared pixels to a map."""
    upper: nn.Module
    """From that map to tokens (b, n, d)."""


def check_cut(shared_blocks: int, *, split_depth: int) -> None:
    """Refuse a cut that leaves nothing to copy.

    Raises:
        ConfigError: `shared_blocks` is outside 0..split_depth - 1.
    """
    if not 0 <= shared_blocks < split_depth:
        raise ConfigError(
            f"shared_blocks={shared_blocks}, but the extractor keeps {split_depth} blocks and a "
            f"noise generator needs one of its own; use 0..{split_depth - 1}"
        )


@final
class MapLower(nn.Module):
    """Stem and first residual blocks of a convolutional network."""

    def __init__(self, stem: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c h w"]:
        """Return the map above the cut."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(self.stem(x).relu(), 3, 2)
        out: Tensor = self.blocks(x)
        return out


@final
class MapUpper(nn.Module):
    """The other residual blocks; each position of the last map is a token."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        """Return tokens, row by row."""
        out: Tensor = self.blocks(x)
        return out.flatten(2).transpose(1, 2)


@final
class TokenLower(nn.Module):
    """Patches with their position, and the first blocks of a transformer.

    With no block below the cut, token 0 is the class token's position alone: the class token
    itself belongs to the trainable part.
    """

    def __init__(self, front: ViTFront, shared_blocks: int) -> None:
        super().__init__()
        self.patches = front.patches
        self.position = front.position
        self.class_token = front.class_token if shared_blocks else None
        self.blocks = nn.Sequential(*list(front.blocks)[:shared_blocks])

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        """Return all tokens, the class token's place first."""
        patches = self.patches(pixels)
        position = resize_position(self.position, int(patches.shape[-1]))
        tokens = patches.flatten(2).transpose(1, 2) + position[:, 1:]
        first = position[:, :1]
        if self.class_token is not None:
            first = first + self.class_token
        first = first.expand(tokens.shape[0], -1, -1)
        out: Tensor = self.blocks(torch.cat([first, tokens], dim=1))
        return out


@final
class TokenUpper(nn.Module):
    """The other blocks of a transformer."""

    def __init__(self, front: ViTFront, shared_blocks: int, *, class_token: bool) -> None:
        super().__init__()
        self.class_token = None if shared_blocks else front.class_token
        self.blocks = nn.Sequential(*list(front.blocks)[shared_blocks:])
        self._kept_from = 0 if class_token else 1

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b n d"]:
        """Return the tokens that the card promises."""
        if self.class_token is not None:
            x = torch.cat([x[:, :1] + self.class_token, x[:, 1:]], dim=1)
        out: Tensor = self.blocks(x)
        return out[:, self._kept_from :]

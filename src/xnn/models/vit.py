"""The plain vision transformer: blocks for tails, and the front of a ViT for extractors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xnn.errors import ConfigError

LAYER_NORM_EPS = 1e-6
_TEMPERATURE = 10_000.0


class Attention(nn.Module):
    """Multi-head self-attention with biases on every projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(f"width={width} is not a multiple of heads={heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Mix the tokens of each record."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class Block(nn.Module):
    """One pre-norm transformer block.

    Source: Dosovitskiy et al., arXiv:2010.11929; layer scale: Touvron et al., arXiv:2103.17239;
        stochastic depth: Huang et al., arXiv:1603.09382.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float = 4.0,
        *,
        layer_scale: bool = False,
        drop: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        """Build a block with PyTorch's default initial weights.

        Args:
            width: Width of a token; a multiple of `heads`.
            heads: Attention heads.
            mlp_ratio: Hidden width of the MLP over `width`.
            layer_scale: Multiply each branch by a learned factor per channel, 1 at first.
            drop: Share of each branch's outputs set to zero in training, in [0, 1).
            drop_path: Chance that a record skips a branch in training, in [0, 1).

        Raises:
            ConfigError: `width` is not a multiple of `heads`, or a rate is outside [0, 1).
        """
        super().__init__()
        for name, rate in (("drop", drop), ("drop_path", drop_path)):
            if not 0 <= rate < 1:
                raise ConfigError(f"{name}={rate:g} is not a fraction in [0, 1)")
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.scale1 = nn.Parameter(torch.ones(width)) if layer_scale else None
        self.scale2 = nn.Parameter(torch.ones(width)) if layer_scale else None
        self.drop = nn.Dropout(drop)
        self.drop_path = drop_path

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return the tokens after attention and MLP."""
        x = x + self._branch(self.attn(self.norm1(x)), self.scale1)
        return x + self._branch(self.fc2(F.gelu(self.fc1(self.norm2(x)))), self.scale2)

    def _branch(self, update: Tensor, scale: Tensor | None) -> Tensor:
        """Apply layer scale, dropout and stochastic depth."""
        update = self.drop(update if scale is None else update * scale)
        if self.training and self.drop_path > 0:
            kept = torch.rand(len(update), 1, 1, device=update.device) >= self.drop_path
            update = update * kept / (1 - self.drop_path)
        return update


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTShape:
    """Sizes of a vision transformer's front."""

    patch_px: int
    width: int
    heads: int
    depth: int
    """Blocks of the whole network, of which a front keeps the first few."""
    grid: int
    """Patches along a side in the stored position embedding."""
    mlp_ratio: float = 4.0
    layer_scale: bool = False


class ViTFront(nn.Module):
    """Patches, class token, position embedding and the first blocks. No norm after the last."""

    def __init__(self, shape: ViTShape, split_depth: int) -> None:
        """Build the front; the position embedding starts as the fixed sine-cosine one.

        Raises:
            ConfigError: `split_depth` is outside 1..shape.depth.
        """
        super().__init__()
        if not 1 <= split_depth <= shape.depth:
            raise ConfigError(
                f"split_depth={split_depth}, but the network has {shape.depth} blocks; "
                f"use 1..{shape.depth}"
            )
        self.shape = shape
        self.patches = nn.Conv2d(3, shape.width, shape.patch_px, shape.patch_px)
        self.class_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.position = nn.Parameter(sine_cosine_position(shape.grid, shape.width))
        self.blocks = nn.Sequential(
            *(
                Block(shape.width, shape.heads, shape.mlp_ratio, layer_scale=shape.layer_scale)
                for _ in range(split_depth)
            )
        )

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        """Return all tokens, class token first, patches row by row.

        Args:
            pixels: Normalised; the side is a multiple of the patch. Another side than the one of
                training has its position embedding interpolated.
        """
        patches = self.patches(pixels)
        position = resize_position(self.position, int(patches.shape[-1]))
        tokens = patches.flatten(2).transpose(1, 2) + position[:, 1:]
        first = (self.class_token + position[:, :1]).expand(len(tokens), -1, -1)
        out: Tensor = self.blocks(torch.cat([first, tokens], dim=1))
        return out


def sine_cosine_position(grid: int, width: int) -> Float[Tensor, "1 n d"]:
    """Return the fixed 2-D position embedding of a square grid, zero for the class token.

    A quarter of the channels each: sine of y, cosine of y, sine of x, cosine of x, where y counts
    rows of patches and x counts along a row; frequencies fall from 1 to 1/10000.

    Args:
        grid: Patches along a side.
        width: Width of a token; a multiple of 4.

    Returns:
        Class token first, then row by row: n = 1 + grid * grid.

    Raises:
        ConfigError: `width` is not a multiple of 4.

    Source: Chen, Xie and He, arXiv:2104.02057 (MoCo v3).
    """
    if width % 4:
        raise ConfigError(f"width={width} is not a multiple of 4, as a 2-D embedding needs")
    quarter = width // 4
    exponent = torch.arange(quarter, dtype=torch.float64) / quarter
    frequency = _TEMPERATURE**-exponent
    along = torch.arange(grid, dtype=torch.float64)
    y, x = torch.meshgrid(along, along, indexing="ij")
    angle_y, angle_x = (axis.flatten()[:, None] * frequency for axis in (y, x))
    patches = torch.cat([angle_y.sin(), angle_y.cos(), angle_x.sin(), angle_x.cos()], dim=1)
    return torch.cat([torch.zeros(1, width), patches.float()])[None]


def resize_position(position: Float[Tensor, "1 n d"], grid: int) -> Float[Tensor, "1 n2 d"]:
    """Interpolate a position embedding to another grid, bicubic; the class token's part stays.

    Source: Oquab et al., arXiv:2304.07193 (DINOv2).
    """
    stored = int((position.shape[1] - 1) ** 0.5)
    if stored == grid:
        return position
    plane = position[:, 1:].reshape(1, stored, stored, -1).permute(0, 3, 1, 2)
    scaled = F.interpolate(plane.float(), (grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([position[:, :1], scaled.flatten(2).transpose(1, 2)], dim=1)

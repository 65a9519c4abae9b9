"""NeuraCrypt: a secret random network over patches of the crop, patches shuffled in every record.

Each 16 px patch: h = relu(W_0 x + b_0), then `depth` times h = relu(norm(W h + b)), then
o = W' relu(h + e_p) + b' with a secret code e_p of its place p. The order of patches is fresh in
every record.

What differs from the paper and its authors' code: their norm is batch normalisation by the
statistics of the batch, which makes records depend on each other; here each channel is normalised
over the patches of its own record. Weights are normal with the variance of their uniform ones. The
width is 512 for their 2048, in the proportion of 112 px colour crops to 256 px radiographs; depth 7
is theirs. Randomness comes from the key, theirs from a library's generator.

Source: Yala et al. 2021, arXiv:2106.02484, and `yala/NeuraCrypt` (read, not copied).
"""

import itertools
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.fresh_order import reordered
from xnn.schemes.record_chance import RecordChance
from xnn.types import CROP_SIZE_PX, TokenShape

PATCH_PX = 16
NUM_PATCHES = (CROP_SIZE_PX // PATCH_PX) ** 2
_PATCH_VALUES = 3 * PATCH_PX * PATCH_PX
_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """One affine map of a key."""

    weight: Float32[Tensor, "i o"]
    bias: Float32[Tensor, " o"]

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W + b for rows x."""
        return x @ self.weight + self.bias


def draw_layer(stream: KeyStream, num_in: int, num_out: int) -> Layer:
    """Draw weights and biases N(0, 1 / (3 num_in)): the variance of a fresh PyTorch layer."""
    drawn = stream.normals((num_in + 1) * num_out) / np.sqrt(np.float64(3 * num_in))
    values = torch.from_numpy(drawn.reshape(num_in + 1, num_out)).float()
    return Layer(values[:-1], values[-1])


@final
class NeuraCryptObfuscator(Obfuscator):
    """The encoder under one key.

    Args:
        shape: Of the features, which it does not read.
        layers: Patch layer, the hidden layers, the last layer.
        places: Code of each place.
        chance: Source of the orders.
    """

    def __init__(
        self,
        shape: TokenShape,
        layers: list[Layer],
        places: Float32[Tensor, "p w"],
        chance: RecordChance,
    ) -> None:
        super().__init__(shape, TokenShape(*places.shape), reads="crops")
        self._layers = layers
        self._places = places
        self._chance = chance

    def _records(self, samples: Tensor) -> Tensor:
        hidden = torch.relu(self._layers[0](patches(samples)))
        for layer in self._layers[1:-1]:
            hidden = layer(hidden)
            spread, mean = torch.var_mean(hidden, dim=1, keepdim=True, correction=0)
            hidden = torch.relu((hidden - mean) / (spread + _NORM_EPS).sqrt())
        records = self._layers[-1](torch.relu(hidden + self._places))
        return reordered(records, self._chance.of(samples).orders(NUM_PATCHES))


def patches(crops: Tensor) -> Float32[Tensor, "b p v"]:
    """Return the patches of crops row by row, colours first, pixels scaled to [-1, 1]."""
    side = CROP_SIZE_PX // PATCH_PX
    pixels = crops.float() / 127.5 - 1
    blocks = pixels.reshape(len(crops), side, PATCH_PX, side, PATCH_PX, 3)
    return blocks.permute(0, 1, 3, 5, 2, 4).reshape(len(crops), NUM_PATCHES, _PATCH_VALUES)


@final
class NeuraCrypt(Scheme):
    """The rival, with the victim's real encoder secret and its own.

    Args:
        width: Of the hidden layers and of a record's tokens.
        depth: Hidden layers.
    """

    def __init__(self, *, width: int = 512, depth: int = 7) -> None:
        self._width = width
        self._depth = depth
        self.card = SchemeCard(
            name="neuracrypt",
            version=1,
            summary=f"a secret random network of depth {depth} over {PATCH_PX} px patches of the "
            "crop, patches shuffled in every record",
            resists="reading a record without the network",
            falls_to="matched sets of photographs and records: alignment within the key, then "
            "boosting (arXiv:2108.07256)",
            source="arXiv:2106.02484",
            reads="crops",
            fresh_order=True,
            randomised=True,
            invertible=False,
            comparison_only=True,
        )

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return a token per patch, whatever the features are."""
        return TokenShape(NUM_PATCHES, self._width)

    def bind(self, shape: TokenShape, stream: KeyStream) -> NeuraCryptObfuscator:
        """Draw the layers in order, then the places, then what seeds the orders."""
        widths = [_PATCH_VALUES, *[self._width] * (self._depth + 2)]
        layers = [draw_layer(stream, i, o) for i, o in itertools.pairwise(widths)]
        places = torch.from_numpy(stream.normals(NUM_PATCHES * self._width)).float()
        return NeuraCryptObfuscator(
            shape, layers, places.reshape(NUM_PATCHES, self._width), RecordChance(stream)
        )

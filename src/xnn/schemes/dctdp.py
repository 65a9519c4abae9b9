"""A frequency-domain rival: block cosine transform, mean brightness removed, noise on the rest.

Each 8 px block of the crop, in Y'CbCr less 128, becomes 64 coefficients per colour. The first (the
mean) is dropped; each other one is divided by its usual size a_k and gets Laplace noise:
o_k = c_k / a_k + s z_k, z of variance 1. There is no key: noise is all that hides.

What differs from the paper: it learns how much noise each coefficient takes together with the
recogniser, here noise is in proportion to the usual size; it enlarges crops eightfold first, so
that every pixel has a block, here blocks tile the crop, 14 x 14 of them; its recogniser is a
convolutional network, ours has no positions, so each token carries its row, column and distance
from the centre.

Source: Ji et al. 2022, "Privacy-Preserving Face Recognition with Learnable Privacy Budgets in
Frequency Domain" (ECCV), and `Tencent/TFace` (read, not copied).
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.record_chance import RecordChance
from xnn.types import CROP_SIZE_PX, TokenShape

BLOCK_PX = 8
_SIDE = CROP_SIZE_PX // BLOCK_PX
_KEPT = BLOCK_PX * BLOCK_PX - 1
RECORD_SHAPE = TokenShape(_SIDE * _SIDE, 3 * _KEPT + 3)

_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
"""ITU-R BT.601, full range, as in JPEG; all colours centred on 0 here."""


@final
class FrequencyObfuscator(Obfuscator):
    """The transform with its noise.

    Args:
        shape: Of the features, which it does not read.
        chance: Source of the noise.
        strength: Standard deviation of the noise, in usual sizes of a coefficient.
    """

    def __init__(self, shape: TokenShape, chance: RecordChance, *, strength: float) -> None:
        super().__init__(shape, RECORD_SHAPE, reads="crops")
        self._chance = chance
        self._strength = strength
        self._basis = cosine_basis()
        self._size = usual_sizes()
        self._places = _places()

    def _records(self, samples: Tensor) -> Tensor:
        coefficients = block_coefficients(samples, self._basis) / self._size
        noise = self._chance.of(samples).laplaces(coefficients[0].numel())
        return self._placed(coefficients + self._strength * noise.reshape(coefficients.shape))

    def _quiet_records(self, samples: Tensor) -> Tensor:
        return self._placed(block_coefficients(samples, self._basis) / self._size)

    def _placed(self, coefficients: Tensor) -> Tensor:
        places = self._places.expand(len(coefficients), -1, -1)
        return torch.cat([coefficients, places], dim=2)


def block_coefficients(
    crops: Tensor, basis: Float32[Tensor, "k u"]
) -> Float32[Tensor, "b blocks kept"]:
    """Return the coefficients of each block but the first of each colour, colour after colour."""
    colours = (crops.float() @ _YCBCR.T) - torch.tensor([128.0, 0.0, 0.0])
    blocks = colours.reshape(len(crops), _SIDE, BLOCK_PX, _SIDE, BLOCK_PX, 3)
    blocks = blocks.permute(0, 1, 3, 5, 2, 4)
    transformed = basis @ blocks @ basis.T
    return transformed.reshape(len(crops), _SIDE * _SIDE, 3, -1)[..., 1:].flatten(2)


def cosine_basis() -> Float32[Tensor, "k u"]:
    """Return the orthonormal DCT-II matrix of a block's side."""
    u = np.arange(BLOCK_PX)
    basis = np.sqrt(2 / BLOCK_PX) * np.cos(np.pi * (u + 0.5) * u[:, None] / BLOCK_PX)
    basis[0] /= np.sqrt(2)
    return torch.from_numpy(basis).float()


def usual_sizes() -> Float32[Tensor, " kept"]:
    """Return a_k, a power law of the frequency r: 100 r^-1.3 for Y', 12 r^-1.8 + 0.3 for colours.

    Roughly the standard deviations in aligned faces; public, the same for everybody.
    """
    u, v = np.mgrid[0:BLOCK_PX, 0:BLOCK_PX]
    r = np.hypot(u, v).ravel()[1:]
    colour = 12 * r**-1.8 + 0.3
    return torch.from_numpy(np.concatenate([100 * r**-1.3, colour, colour])).float()


def _places() -> Float32[Tensor, "blocks 3"]:
    line = torch.linspace(-1, 1, _SIDE)
    row, column = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([row, column, torch.hypot(row, column)], dim=2).reshape(-1, 3)


@final
class FrequencyNoise(Scheme):
    """The rival.

    Args:
        strength: See `FrequencyObfuscator`.
    """

    def __init__(self, *, strength: float = 0.5) -> None:
        self._strength = strength
        self.card = SchemeCard(
            name="dctdp",
            version=1,
            summary="cosine coefficients of 8 px blocks without the mean, with Laplace noise of "
            f"{strength:g} times their usual size",
            resists="looking at the record as a picture",
            falls_to="a recogniser trained on other faces treated the same way, as no key is in it "
            "(arXiv:2602.02914)",
            source="Ji et al., ECCV 2022",
            reads="crops",
            randomised=True,
            invertible=False,
            comparison_only=True,
        )

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return a token per block, whatever the features are."""
        return RECORD_SHAPE

    def bind(self, shape: TokenShape, stream: KeyStream) -> FrequencyObfuscator:
        """Draw what seeds the noise."""
        return FrequencyObfuscator(shape, RecordChance(stream), strength=self._strength)

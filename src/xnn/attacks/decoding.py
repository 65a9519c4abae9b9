"""From features to pictures: what an extractor's tokens show, learned on the attacker's own faces.

Two ways to read, both ridge regressions in closed form:

- by patch: the token of a place, the main directions of its eight neighbours and of the class token
  give the pixels of that place and half a patch around it, blended where they overlap; one map for
  all places, added to the mean photograph. For transformers, whose tokens stay where their patches
  were.
- as a whole: all tokens give all pixels, in the dual form. For few tokens with wide fields, such as
  the last maps of a convolutional network.

A public set of grey photographs gives grey pictures.

Source: this project (redteam.md, A7); dual ridge regression: Saunders, Gammerman, Vovk 1998.
"""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from xnn.attacks.observation import OwnFaces
from xnn.attacks.statistics.domain_shift import is_shifted, moved
from xnn.errors import ConfigError, InsufficientDataError
from xnn.types import CROP_SIZE_PX

Reading = Literal["auto", "patch", "whole"]

_FEWEST = 8
_FEWEST_TO_MOVE = 30
"""Features whose mean is that of a collection, rather than of the people on them."""
_AT_ONCE = 64
_LEAST_SIDE = 6
"""Tokens a side from which a token is read as a patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSettings:
    """How features are read.

    Raises:
        ConfigError: A number is out of range.
    """

    reading: Reading = "auto"
    """"auto" reads by patch where the tokens are a grid of 6x6 or more."""
    neighbour_dims: int = 16
    """Main directions of each neighbour and of the class token."""
    max_rows: int = 80_000
    """Tokens used by the patch reading: 1,250 photographs of 8x8 tokens."""
    max_photographs: int = 2000
    """Photographs used by the whole reading, whose cost grows with the square."""
    patch_strength: float = 1e-2
    """Of the ridge, in units of the mean variance of an input."""
    whole_strength: float = 2.0
    """Of the ridge, in units of the mean eigenvalue of the Gram matrix."""

    def __post_init__(self) -> None:
        for name in ("neighbour_dims", "max_rows", "max_photographs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; use 1 or more")
        for name in ("patch_strength", "whole_strength"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)}; use a number above 0")


@final
class RidgeDecoder:
    """What the attacker has learned; `fit` makes one."""

    def __init__(self, reader: "_PatchReader | _WholeReader") -> None:
        self._reader = reader

    @classmethod
    def fit(
        cls, public: OwnFaces, *, seed: int, settings: DecoderSettings | None = None
    ) -> "RidgeDecoder":
        """Learn from the attacker's own photographs.

        Args:
            public: At least 8 photographs.
            seed: Draws the photographs used, where there are more than enough.
            settings: See there.

        Raises:
            InsufficientDataError: Fewer than 8 photographs.
            ConfigError: Reading by patch was asked for and the tokens are no grid.
        """
        settings = settings or DecoderSettings()
        if len(public) < _FEWEST:
            raise InsufficientDataError(
                f"the attacker has {len(public)} photographs, decoding needs at least {_FEWEST}"
            )
        grid = Grid.of(public.tokens.shape[1])
        reading = settings.reading
        if reading == "auto":
            reading = "patch" if grid is not None and grid.side >= _LEAST_SIDE else "whole"
        if reading == "whole":
            return cls(_WholeReader(_drawn(public, settings.max_photographs, seed), settings))
        if grid is None:
            raise ConfigError(
                f"{public.tokens.shape[1]} tokens are no square grid, with or without a class "
                "token; use reading='whole'"
            )
        most = max(_FEWEST, settings.max_rows // grid.side**2)
        return cls(_PatchReader(_drawn(public, most, seed), grid, settings))

    def pictures(self, features: Float32[np.ndarray, "q n d"]) -> UInt8[np.ndarray, "q 112 112 3"]:
        """Return the picture behind each feature.

        Read by patch, features of another collection are first moved to where the attacker's own
        lie: tokens that show pixels show colour and light as well. Features that are read as a
        whole are not: there the move costs identity (measured on `dlib`).

        Args:
            features: In the extractor's order of tokens and its units, finite.
        """
        values = self.values(features)
        pixels: UInt8[np.ndarray, "q 112 112 3"] = (
            (255 * values).clip(0, 255).round().astype(np.uint8)
        )
        return pixels

    def values(self, features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q 112 112 3"]:
        """Return the same, black 0 and white 1, neither clipped nor rounded."""
        features = self._reader.prepare(features)
        parts = [
            self._reader.read(features[i : i + _AT_ONCE]) for i in range(0, len(features), _AT_ONCE)
        ]
        empty = np.zeros((0, CROP_SIZE_PX, CROP_SIZE_PX, 3), dtype=np.float32)
        return np.concatenate([empty, *parts])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How tokens lie on the picture: row by row, after the class token if there is one."""

    side: int
    class_token: bool

    @classmethod
    def of(cls, num_tokens: int) -> "Grid | None":
        """Return the grid of so many tokens; None where they are no square, with one or without."""
        side = math.isqrt(num_tokens)
        if side < 1 or num_tokens - side**2 > 1:
            return None
        return cls(side=side, class_token=num_tokens > side**2)

    @property
    def patch_px(self) -> int:
        """Side of the pixels of one token; the picture is resized to whole patches."""
        return -(-CROP_SIZE_PX // self.side)

    @property
    def margin_px(self) -> int:
        """Width of what a token tells of around its pixels: the patches overlap."""
        return self.patch_px // 2


@final
class _PatchReader:
    """One map from a token and its surroundings to the pixels of its place."""

    def __init__(self, public: OwnFaces, grid: Grid, settings: DecoderSettings) -> None:
        tokens = self._own = public.tokens
        self._grid = grid
        self._dims = min(settings.neighbour_dims, tokens.shape[2])
        self._mean = tokens.mean(axis=0)
        rows = (tokens - self._mean).reshape(-1, tokens.shape[2])
        covariance = (rows.T @ rows).astype(np.float64)
        self._basis = np.linalg.eigh(covariance)[1][:, ::-1].astype(np.float32)
        self._mean_patches = _patches(public.crops, grid).mean(dim=0)
        gram, across = self._moments(public)
        ridge = settings.patch_strength * float(gram.diagonal().mean())
        gram.diagonal().add_(max(ridge, torch.finfo(torch.float64).tiny))
        self._weights = torch.linalg.solve(gram, across).float()

    def prepare(self, features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q n d"]:
        """Move features of another collection to the attacker's own."""
        if len(features) >= _FEWEST_TO_MOVE and is_shifted(features, self._own):
            return moved(features, self._own)
        return features

    def read(self, features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q 112 112 3"]:
        """Return pictures."""
        patches = self._inputs(features) @ self._weights + self._mean_patches
        pictures = _blended(patches, self._grid)
        if pictures.shape[2] != CROP_SIZE_PX:
            pictures = _resized(pictures, CROP_SIZE_PX)
        values: Float32[np.ndarray, "q 112 112 3"] = pictures.permute(0, 2, 3, 1).numpy()
        return values

    def _moments(self, public: OwnFaces) -> tuple[Float[Tensor, "i i"], Float[Tensor, "i o"]]:
        """Return inputs by inputs and inputs by outputs, summed over all places."""
        gram, across = torch.zeros(()).double(), torch.zeros(()).double()
        for start in range(0, len(public), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            inputs = self._inputs(public.tokens[part]).flatten(0, 1)
            outputs = (_patches(public.crops[part], self._grid) - self._mean_patches).flatten(0, 1)
            gram = gram + (inputs.T @ inputs).double()
            across = across + (inputs.T @ outputs).double()
        return gram, across

    def _inputs(self, tokens: Float32[np.ndarray, "q n d"]) -> Float32[Tensor, "q p i"]:
        """Return what is known of each place: its token, its neighbours, the class token."""
        side, places = self._grid.side, self._grid.side**2
        turned = torch.from_numpy((tokens - self._mean) @ self._basis)
        own = turned[:, -places:]
        small = own[..., : self._dims].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)
        around = F.unfold(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3)
        around = around.reshape(len(tokens), -1, 9, places)
        neighbours = torch.cat([around[:, :, :4], around[:, :, 5:]], dim=2).flatten(1, 2)
        parts = [own, neighbours.transpose(1, 2)]
        if self._grid.class_token:
            parts.append(turned[:, :1, : self._dims].expand(-1, places, -1))
        return torch.cat(parts, dim=2)


@final
class _WholeReader:
    """All tokens to all pixels; a picture is the mean one and a sum of the attacker's own."""

    def __init__(self, public: OwnFaces, settings: DecoderSettings) -> None:
        flat = public.tokens.reshape(len(public), -1)
        self._mean = flat.mean(axis=0)
        self._support = flat - self._mean
        pictures = public.crops.reshape(len(public), -1).astype(np.float32) / 255
        self._mean_picture = pictures.mean(axis=0)
        gram = (self._support @ self._support.T).astype(np.float64)
        ridge = settings.whole_strength * np.trace(gram) / len(gram)
        gram[np.diag_indices_from(gram)] += max(ridge, np.finfo(np.float64).tiny)
        # (gram + ridge)^-1 pictures, the wide factor kept in single precision.
        self._weights = np.linalg.inv(gram).astype(np.float32) @ (pictures - self._mean_picture)

    def prepare(self, features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q n d"]:
        """Return the features as they are."""
        return features

    def read(self, features: Float32[np.ndarray, "q n d"]) -> Float32[np.ndarray, "q 112 112 3"]:
        """Return pictures."""
        flat = features.reshape(len(features), -1) - self._mean
        values = (flat @ self._support.T) @ self._weights + self._mean_picture
        return values.reshape(-1, CROP_SIZE_PX, CROP_SIZE_PX, 3).astype(np.float32)


def _drawn(public: OwnFaces, most: int, seed: int) -> OwnFaces:
    rows = np.random.default_rng(seed).permutation(len(public))[:most]
    return public.at(np.sort(rows))


def _patches(crops: UInt8[np.ndarray, "b 112 112 3"], grid: Grid) -> Float32[Tensor, "b p o"]:
    """Cut pictures into overlapping patches, the edge repeated outwards."""
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    size, margin = grid.side * grid.patch_px, grid.margin_px
    if size != CROP_SIZE_PX:
        pixels = _resized(pixels, size)
    wide = F.pad(pixels, (margin, margin, margin, margin), mode="replicate")
    return F.unfold(wide, grid.patch_px + 2 * margin, stride=grid.patch_px).transpose(1, 2)


def _blended(patches: Float32[Tensor, "b p o"], grid: Grid) -> Float32[Tensor, "b 3 s s"]:
    """Lay overlapping patches on a picture, each fading out towards its edges."""
    patch, margin = grid.patch_px, grid.margin_px
    width, size = patch + 2 * margin, grid.side * patch
    ramp = torch.arange(1, width + 1).float()
    ramp = torch.minimum(ramp, ramp.flip(0))
    window = torch.outer(ramp, ramp).expand(3, -1, -1).reshape(1, -1, 1)

    def laid(columns: Float32[Tensor, "b o p"]) -> Float32[Tensor, "b 3 t t"]:
        return F.fold(columns, size + 2 * margin, width, stride=patch)

    summed = laid(patches.transpose(1, 2) * window)
    weight = laid(window.expand(1, -1, grid.side**2))
    inside = slice(margin, margin + size)
    return (summed / weight)[:, :, inside, inside]


def _resized(pixels: Float32[Tensor, "b 3 h w"], size: int) -> Float32[Tensor, "b 3 s s"]:
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)

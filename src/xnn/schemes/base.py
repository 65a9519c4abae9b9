"""What a scheme is: a public recipe that, bound to key material, turns features into records."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Never, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from xnn.errors import NoInverseError, SecretLeakError, ShapeError
from xnn.keystream import KeyStream
from xnn.schemes.guarantee import Guarantee
from xnn.types import CROP_SIZE_PX, TokenShape

Reads = Literal["features", "crops"]

Statistics = Mapping[str, np.ndarray]
"""What a fitted scheme measured of the owner's features. As secret as the key: it stays with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeCard:
    """What everybody may know of a scheme (Kerckhoffs: all of it but the key)."""

    name: str
    version: int
    """Changes whenever the same key would give other records."""
    summary: str
    resists: str
    """What it is meant to stand against, in words."""
    falls_to: str
    """What is known to break it, in words."""
    source: str = "this project"
    """Paper it is from."""
    reads: Reads = "features"
    """What it obfuscates: the extractor's tokens, or (rivals only) the aligned crops themselves."""
    linear: bool = False
    """One fixed affine map of a record serves every record under a key."""
    fresh_order: bool = False
    """Tokens of every record are in an order of their own."""
    randomised: bool = False
    """Records carry noise, or other chance beyond the key."""
    fitted: bool = False
    """It is measured on the owner's features first (`Scheme.fit`)."""
    mixes: bool = False
    """A record is made of several samples of its batch (rivals only)."""
    invertible: bool = True
    """The owner can go back, so that shards can be re-keyed without the photographs."""
    turnable: bool = False
    """There is no way back, but the key ends in a matrix that can be taken off a record, noise and
    all, and replaced by that of another key of this scheme (`Obfuscator.unturn`)."""
    photographs_per_class: int | None = None
    """Most photographs under one class number: a person with more has several class numbers
    (`xnn.schemes.class_numbers`)."""
    comparison_only: bool = False
    """A rival measured on the board; keys for it are not made."""


class Obfuscator(ABC):
    """A scheme under one key. Holds key material, so it refuses to be pickled or copied.

    Subclasses write `_records`; `_features` where there is an inverse; `_unturned` and `_turned`
    where the key's last matrix can be exchanged.

    Args:
        shape: Tokens and width of the features.
        record_shape: Tokens and width of the records; None where they are the same.
        reads: Whether it is given features or crops.

    Trust: owner or device; an attacker may hold one under a key of its own.
    """

    def __init__(
        self,
        shape: TokenShape,
        record_shape: TokenShape | None = None,
        *,
        reads: Reads = "features",
    ) -> None:
        self.shape = shape
        self.record_shape = record_shape or shape
        self.reads: Reads = reads

    def __reduce_ex__(self, protocol: object) -> Never:
        raise SecretLeakError("an obfuscator is not copied or pickled; bind the scheme again")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape} -> {self.record_shape}, <redacted>)"

    @final
    def obfuscate(self, samples: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b m e"]:
        """Return the records that may cross the border; sample order is kept.

        Args:
            samples: Features (b, n, d) of any float type; for a scheme that reads crops, uint8
                crops (b, 112, 112, 3), RGB. They are not changed.

        Returns:
            Records of `record_shape`, in the features' own precision (float32 from crops).

        Raises:
            ShapeError: The samples are of another shape or type, or not finite.

        Trust: the input reveals the face. The output may cross the border; how little that means
            is in the scheme's card.
        """
        return self._made(samples, self._records)

    @final
    def without_noise(self, samples: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b m e"]:
        """Return records as `obfuscate` makes them, less the noise: never to be uploaded.

        For the owner who has the tail back. Noise protects what leaves; where nothing leaves it
        only costs recognition. The same as `obfuscate` for schemes that add none.

        Raises:
            ShapeError: As in `obfuscate`.

        Trust: owner or device; input and output reveal the face to whoever knows the key.
        """
        return self._made(samples, self._quiet_records)

    @final
    def deobfuscate(self, records: Float[Tensor, "b m e"]) -> Float[Tensor, "b n d"]:
        """Return the features behind the records, up to rounding.

        Raises:
            NoInverseError: The scheme has no inverse (`SchemeCard.invertible`).
            ShapeError: The records are of another shape, or not finite.

        Trust: owner only; the output reveals the face.
        """
        _check_tokens(records, self.record_shape, "records", "give records made under this key")
        return self._features(records)

    @final
    def unturn(self, records: Float[Tensor, "b m e"]) -> Float[Tensor, "b m e"]:
        """Take the key's last matrix off records; what noise they hold stays in them.

        Raises:
            NoInverseError: The scheme has no such matrix (`SchemeCard.turnable`).
            ShapeError: The records are of another shape, or not finite.

        Trust: owner only; without the matrix, the output is noise and a face.
        """
        _check_tokens(records, self.record_shape, "records", "give records made under this key")
        return self._unturned(records)

    @final
    def turn(self, unturned: Float[Tensor, "b m e"]) -> Float[Tensor, "b m e"]:
        """Put the key's last matrix on what `unturn` of another key of this scheme gave.

        The record is what this key would have made with the other's noise and order of tokens, if
        both keys hold the same statistics.

        Raises:
            NoInverseError, ShapeError: As in `unturn`.

        Trust: owner only; the output may cross the border as `obfuscate`'s may.
        """
        _check_tokens(unturned, self.record_shape, "records", "give what `unturn` returned")
        return self._turned(unturned)

    @abstractmethod
    def _records(self, samples: Tensor) -> Tensor:
        """Turn checked samples, at least one, into records."""

    def _quiet_records(self, samples: Tensor) -> Tensor:
        """Turn checked samples into records without noise; schemes that add some write this too."""
        return self._records(samples)

    def _features(self, records: Tensor) -> Tensor:
        """Turn checked records back into features."""
        raise NoInverseError(
            f"{type(self).__name__} has no inverse: its records keep too little of the features; "
            "make new records from the photographs"
        )

    def _unturned(self, records: Tensor) -> Tensor:
        """Take the last matrix off checked records."""
        raise NoInverseError(f"{type(self).__name__} has no last matrix that could be exchanged")

    def _turned(self, unturned: Tensor) -> Tensor:
        """Put the last matrix on."""
        raise NoInverseError(f"{type(self).__name__} has no last matrix that could be exchanged")

    def _made(self, samples: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        if self.reads == "crops":
            self._check_crops(samples)
        else:
            _check_tokens(samples, self.shape, "tokens", "use the extractor the key was made for")
        if len(samples) == 0:
            dtype = samples.dtype if samples.is_floating_point() else torch.float32
            return torch.empty(0, self.record_shape.n, self.record_shape.d, dtype=dtype)
        return make(samples)

    def _check_crops(self, crops: Tensor) -> None:
        size = CROP_SIZE_PX
        if crops.dtype != torch.uint8 or crops.shape[1:] != (size, size, 3):
            raise ShapeError(
                f"crops are {crops.dtype} {tuple(crops.shape)}, expected torch.uint8 "
                f"(b, {size}, {size}, 3); this scheme reads crops, not features"
            )


def _check_tokens(tokens: Tensor, shape: TokenShape, what: str, remedy: str) -> None:
    if tokens.ndim != 3 or tuple(tokens.shape[1:]) != (shape.n, shape.d):
        raise ShapeError(
            f"{what} have shape {tuple(tokens.shape)}, the key is for (b, {shape.n}, {shape.d}); "
            f"{remedy}"
        )
    if not tokens.is_floating_point() or not torch.isfinite(tokens).all():
        raise ShapeError(f"{what} hold NaN or infinity; look at the extractor and its input")


class Scheme(ABC):
    """A public recipe. Holds no key."""

    card: SchemeCard

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return the shape of the records made from features of this shape.

        Raises:
            ConfigError: The scheme cannot take features of this shape.
        """
        return shape

    @final
    def fit(self, features: Float32[np.ndarray, "b n d"]) -> "Scheme":
        """Return this scheme, measured on features of the owner; itself where nothing is measured.

        Owners fit on the photographs to be uploaded; an attacker fits on its own.

        Raises:
            InsufficientDataError: Too few features, or features that are all alike.
        """
        return self.with_statistics(self.measure(features))

    def measure(self, features: Float32[np.ndarray, "b n d"]) -> Statistics:
        """Return what `with_statistics` takes; nothing for most schemes."""
        return {}

    def with_statistics(self, statistics: Statistics) -> "Scheme":
        """Return this scheme with what was measured; itself for most schemes.

        Raises:
            CorruptError: The statistics are of another scheme or damaged.
        """
        return self

    def guarantee(self, shape: TokenShape) -> Guarantee | None:
        """Return what can be proved of a record whoever attacks; None for nothing, the usual case.

        Args:
            shape: Tokens and width of the features.
        """
        return None

    @abstractmethod
    def bind(self, shape: TokenShape, stream: KeyStream) -> Obfuscator:
        """Draw this scheme's key material from a stream.

        Args:
            shape: Tokens and width of the features it will be given.
            stream: Read for nothing else; the same stream gives the same obfuscator.

        Raises:
            ConfigError: As in `record_shape`, or the scheme has to be fitted first.
        """

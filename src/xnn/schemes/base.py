"""What a scheme is: a public recipe that, bound to key material, obfuscates token features."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Never

import torch
from jaxtyping import Float
from torch import Tensor

from xnn.errors import SecretLeakError, ShapeError
from xnn.schemes.keystream import KeyStream
from xnn.types import TokenShape


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
    reads: Literal["features", "crops"] = "features"
    """What it obfuscates: the extractor's tokens, or (rivals only) the aligned crops themselves."""
    linear: bool = False
    """One fixed affine map of a record serves every record under a key."""
    fresh_order: bool = False
    """Tokens of every record are in an order of their own."""
    randomised: bool = False
    """Records carry noise, or other chance beyond the key."""
    invertible: bool = True
    """The owner can go back, so that shards can be re-keyed without the photographs."""
    comparison_only: bool = False
    """A rival measured on the board; keys for it are not made."""


class Obfuscator(ABC):
    """A scheme under one key. Holds key material, so it refuses to be pickled or copied.

    Trust: owner or device; an attacker may hold one under a key of its own.
    """

    def __init__(self, shape: TokenShape) -> None:
        self.shape = shape

    def __reduce_ex__(self, protocol: object) -> Never:
        raise SecretLeakError("an obfuscator is not copied or pickled; bind the scheme again")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}, <redacted>)"

    @abstractmethod
    def obfuscate(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return the records that may cross the border; sample order is kept.

        Raises:
            ShapeError: The features are not (b, n, d) of this obfuscator's shape, or not finite.
        """

    @abstractmethod
    def deobfuscate(self, records: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return the features behind the records, up to rounding.

        Raises:
            ShapeError: As in `obfuscate`.
        """

    def check(self, tokens: Float[Tensor, "..."]) -> None:
        """Refuse tokens of another shape, and values that are not finite.

        Raises:
            ShapeError: As said.
        """
        if tokens.ndim != 3 or tuple(tokens.shape[1:]) != (self.shape.n, self.shape.d):
            raise ShapeError(
                f"tokens have shape {tuple(tokens.shape)}, the key is for (b, {self.shape.n}, "
                f"{self.shape.d}); use the extractor that the key was made for"
            )
        if not torch.isfinite(tokens).all():
            raise ShapeError("tokens hold NaN or infinity; look at the extractor and its input")


class Scheme(ABC):
    """A public recipe. Holds no key."""

    card: SchemeCard

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return the shape of the records made from features of this shape."""
        return shape

    @abstractmethod
    def bind(self, shape: TokenShape, stream: KeyStream) -> Obfuscator:
        """Draw this scheme's key material from a stream.

        Args:
            shape: Tokens and width of the features it will be given.
            stream: Read for nothing else; the same stream gives the same obfuscator.
        """

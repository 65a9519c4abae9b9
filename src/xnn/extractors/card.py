"""The card of an extractor: everything needed to feed it and to recognise its features again."""

import dataclasses
import hashlib
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from xnn.errors import ConfigError, FormatError
from xnn.files import canonical_json
from xnn.types import TokenShape

ColourOrder = Literal["rgb", "bgr"]
"""Order of the three channels that a network was trained on. Crops are always RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorCard:
    """Facts about one extractor at one cut. Its digest binds keys, shards and bundles to it.

    Raises:
        ConfigError: A field is outside its range.
    """

    name: str
    """What `load_extractor` takes to make it again, as in "dlib" or "vit-s14@196"."""
    weights_sha256: str
    """Digest of the weights file, 64 hexadecimal digits; checked when it is loaded."""
    licence: str
    """Licence of the weights."""
    origin: str
    """Where the weights come from, so that they can be found again."""
    input_size_px: int
    """Side of the square that the network sees."""
    pixel_mean: tuple[float, float, float]
    """Subtracted from pixels in 0..255, in `colour_order`."""
    pixel_std: tuple[float, float, float]
    """Then divided by this, in `colour_order`."""
    colour_order: ColourOrder
    """Channel order of the network."""
    resize: str
    """How a 112 px crop becomes the input: a name in `xnn.extractors.resample.RESAMPLERS`."""
    split_depth: int
    """Blocks kept; the tail takes over after them."""
    class_token: bool
    """Whether token 0 is the class token."""
    n: int
    """Tokens per crop."""
    d: int
    """Width of a token."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.weights_sha256):
            raise ConfigError("weights_sha256 must be 64 lower-case hexadecimal digits")
        if self.colour_order not in get_args(ColourOrder):
            raise ConfigError(f"colour_order={self.colour_order!r}; use 'rgb' or 'bgr'")
        numbers = (*self.pixel_mean, *self.pixel_std)
        if len(numbers) != 6 or not all(math.isfinite(value) for value in numbers):
            raise ConfigError("pixel_mean and pixel_std must be three finite numbers each")
        if min(self.pixel_std) <= 0:
            raise ConfigError(f"pixel_std={self.pixel_std} must be above 0")
        for field in ("input_size_px", "split_depth", "n", "d"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field}={getattr(self, field)} must be at least 1")

    @property
    def shape(self) -> TokenShape:
        """Shape of the tokens of one crop."""
        return TokenShape(self.n, self.d)

    def digest(self) -> str:
        """Return the SHA-256 of the card's canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.to_dict())).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON values."""
        fields = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "ExtractorCard":
        """Read a card that `to_dict` wrote.

        Raises:
            FormatError: A field is missing, unknown, of the wrong type or outside its range.
        """
        expected = {field.name: field.type for field in dataclasses.fields(cls)}
        if fields.keys() != expected.keys():
            wrong = sorted(fields.keys() ^ expected.keys())
            raise FormatError(f"extractor card: missing or unknown fields {', '.join(wrong)}")
        checked = {name: _checked(name, kind, fields[name]) for name, kind in expected.items()}
        try:
            return cls(**checked)
        except ConfigError as error:
            raise FormatError(f"extractor card: {error}") from error


def _checked(name: str, kind: Any, value: Any) -> Any:
    """Return a JSON value as the field's type, or refuse it."""
    if kind in (int, bool, str):
        valid = type(value) is kind
    elif name == "colour_order":
        valid = value in get_args(ColourOrder)
    else:
        valid = (
            isinstance(value, list)
            and len(value) == 3
            and all(type(part) in (int, float) for part in value)
        )
        value = tuple(map(float, value)) if valid else value
    if not valid:
        raise FormatError(f"extractor card: {name} is a {type(value).__name__} that it cannot be")
    return value

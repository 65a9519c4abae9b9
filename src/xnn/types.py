"""Words that every part of XNN shares. No torch here.

Shape letters used in annotations throughout:
    b batch    n tokens    d width of a token    e embedding    c classes
    h w pixels    g gallery    q probes    k top-k    s subjects
"""

from dataclasses import dataclass
from typing import NewType

from xnn.errors import ConfigError

SubjectId = NewType("SubjectId", str)
"""Opaque external name of a person (ISO/IEC 2382-37). Stays with the owner."""

KeyId = NewType("KeyId", str)
"""Public name of a secret key: a digest that reveals nothing of it."""

DEFAULT_SCHEME = "pooled-noise-4-by-2"
"""Of a new key where none is named: no attack on the board broke it without a pair, and known pairs
tell least, of people of whom none is known as of everybody. What it costs and what it does not
withstand: docs/schemes.md."""

CROP_SIZE_PX = 112
"""Side of an aligned face crop: the ArcFace template."""


@dataclass(frozen=True, slots=True)
class TokenShape:
    """Shape of one record: `n` tokens of width `d`."""

    n: int
    d: int

    def __post_init__(self) -> None:
        if self.n < 1 or self.d < 1:
            raise ConfigError(f"token shape n={self.n}, d={self.d}: both must be at least 1")

    def __str__(self) -> str:
        return f"{self.n}x{self.d}"

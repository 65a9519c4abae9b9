"""What a gallery takes: names, vectors, numbers."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from xnn.errors import ConfigError, ShapeError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_BUNDLE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_REQUEST = re.compile(r"[0-9a-f]{32}\Z")
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryLimits:
    """Bounds that keep one tenant from filling the service."""

    templates_per_subject: int = 100
    vectors_per_call: int = 1024
    """Of an enrolment, a verification or a search."""
    top_k: int = 1000
    """Candidates of one search."""
    request_age_ms: int = 24 * _HOUR_MS
    """How long a repeated request is known again."""
    max_width: int = 4096
    """Numbers in a vector."""

    def __post_init__(self) -> None:
        for name in ("templates_per_subject", "vectors_per_call", "top_k", "max_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")
        if self.request_age_ms < 0:
            raise ConfigError(f"request_age_ms={self.request_age_ms} must not be negative")


def check_name(value: str, what: str) -> None:
    """Refuse a name that is not 1 to 128 letters, digits, dots, lines or dashes.

    Raises:
        ConfigError: It is not.
    """
    if not _NAME.match(value):
        raise ConfigError(
            f"{what} of {len(value)} characters is no name; use 1 to 128 of A-Z a-z 0-9 . _ -"
        )


def check_bundle_id(value: str) -> None:
    """Refuse what cannot be the name of a bundle.

    Raises:
        ConfigError: It cannot.
    """
    if not _BUNDLE.match(value):
        raise ConfigError(
            f"bundle_id has {len(value)} characters or odd ones; expected up to 64 of "
            "A-Z a-z 0-9 . _ -"
        )


def check_request_id(value: str) -> None:
    """Refuse what is not 32 hexadecimal digits.

    Raises:
        ConfigError: It is not.
    """
    if not _REQUEST.match(value):
        raise ConfigError("request_id is not 32 hexadecimal digits; draw 16 random bytes")


def unit_vectors(
    vectors: Float[np.ndarray, "b e"], *, max_width: int
) -> Float32[np.ndarray, "b e"]:
    """Return vectors at unit length, computed in float64.

    Raises:
        ShapeError: Not a matrix of numbers, too wide, empty, not finite, or a zero vector.
    """
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ShapeError(
            f"vectors have shape {vectors.shape} and type {vectors.dtype}; expected a matrix of "
            "floating-point numbers, one row each"
        )
    count, width = vectors.shape
    if count < 1 or not 1 <= width <= max_width:
        raise ShapeError(f"{count} vectors of {width} numbers; at least 1 of 1 to {max_width}")
    exact = vectors.astype(np.float64)
    if not np.isfinite(exact).all():
        raise ShapeError("a vector holds NaN or infinity; compute it again from its capture")
    largest = np.abs(exact).max(axis=1, keepdims=True)
    if not largest.all():
        raise ShapeError("a vector is zero and has no direction; compute it again from its capture")
    exact /= largest  # so that squares neither overflow nor vanish
    return (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)

"""The schemes by name. Adding one: a file with its `Scheme`, and a line here."""

from xnn.errors import ConfigError
from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard, Statistics
from xnn.schemes.class_numbers import divide_classes, part_numbers
from xnn.schemes.dctdp import FrequencyNoise
from xnn.schemes.fresh_order import FreshOrder
from xnn.schemes.guarantee import Guarantee
from xnn.schemes.mixing import MAX_WEIGHT, Mixing
from xnn.schemes.neuracrypt import NeuraCrypt
from xnn.schemes.noise import NoiseOnly
from xnn.schemes.paper import Paper
from xnn.schemes.paper_relu import PaperRelu
from xnn.schemes.plain import Plain
from xnn.schemes.pooled import Pooled
from xnn.schemes.random_projection import RandomProjection
from xnn.schemes.seeded import Seeded
from xnn.schemes.standard_order import StandardOrder

__all__ = [
    "SCHEMES",
    "Guarantee",
    "KeyStream",
    "Obfuscator",
    "Scheme",
    "SchemeCard",
    "Statistics",
    "divide_classes",
    "find_scheme",
    "part_numbers",
]

_ALL: tuple[Scheme, ...] = (
    Plain(),
    Paper(),
    Paper(name="paper-haar", mix="haar"),
    Paper(name="paper-matrix-only", permute=False),
    Paper(name="paper-permutation-only", mix="none"),
    Seeded(),
    FreshOrder(),
    # The ladder
    StandardOrder(name="standard-order-noise-2", strength=2.0, by_channel=True),
    StandardOrder(name="centred-order-noise-2", strength=2.0, by_channel=False),
    Pooled(name="pooled", strength=0.0),
    Pooled(name="pooled-layers-1", strength=0.0, layers=1),
    Pooled(name="pooled-layers-3", strength=0.0, layers=3),
    Pooled(name="pooled-noise-2", strength=2.0),
    Pooled(name="pooled-layers-1-noise-2", strength=2.0, layers=1),
    Pooled(name="pooled-half-noise-2", strength=2.0, share=0.5),
    Pooled(name="pooled-noise-4", strength=4.0),
    Pooled(name="pooled-noise-4-by-2", strength=4.0, photographs_per_class=2),
    Pooled(name="pooled-noise-6", strength=6.0),
    Pooled(name="pooled-noise-16", strength=16.0),
    # Rivals, for the board
    NoiseOnly(name="gaussian-noise-1", noise="gaussian", strength=1.0),
    NoiseOnly(name="gaussian-noise-3", noise="gaussian", strength=3.0),
    NoiseOnly(name="laplace-noise-1", noise="laplace", strength=1.0),
    RandomProjection(),
    PaperRelu(),
    Mixing(name="mixup", num_mixed=2, max_weight=1.0, signs=False, source="arXiv:1710.09412"),
    Mixing(
        name="instahide", num_mixed=4, max_weight=MAX_WEIGHT, signs=True, source="arXiv:2010.02772"
    ),
    NeuraCrypt(),
    FrequencyNoise(),
)

SCHEMES: dict[str, Scheme] = {scheme.card.name: scheme for scheme in _ALL}


def find_scheme(name: str) -> Scheme:
    """Return a scheme by name.

    Raises:
        ConfigError: There is no such scheme.
    """
    if name not in SCHEMES:
        raise ConfigError(f"unknown scheme {name!r}; choose one of {', '.join(SCHEMES)}")
    return SCHEMES[name]

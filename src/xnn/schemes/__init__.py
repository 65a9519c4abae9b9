"""The schemes by name. Adding one: a file with its `Scheme`, and a line here."""

from xnn.errors import ConfigError
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.keystream import KeyStream
from xnn.schemes.paper import Paper
from xnn.schemes.plain import Plain

__all__ = ["SCHEMES", "KeyStream", "Obfuscator", "Scheme", "SchemeCard", "find_scheme"]

SCHEMES: dict[str, Scheme] = {
    "plain": Plain(),
    "paper": Paper(),
    "paper-haar": Paper(name="paper-haar", mix="haar"),
    "paper-matrix-only": Paper(name="paper-matrix-only", permute=False),
    "paper-permutation-only": Paper(name="paper-permutation-only", mix="none"),
}


def find_scheme(name: str) -> Scheme:
    """Return a scheme by name.

    Raises:
        ConfigError: There is no such scheme.
    """
    if name not in SCHEMES:
        raise ConfigError(f"unknown scheme {name!r}; choose one of {', '.join(SCHEMES)}")
    return SCHEMES[name]

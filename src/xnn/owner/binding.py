"""What a key is for, and the obfuscator it gives: decided in one place for all that the owner does.

Trust: owner.
"""

from xnn.extractors.card import ExtractorCard
from xnn.extractors.interface import Extractor
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.secret import KeyScope, SecretKey
from xnn.types import TokenShape


def scope_of(card: ExtractorCard, *, dataset: str, scheme: str) -> KeyScope:
    """Return the scope of a key for one data set, extractor and scheme.

    Raises:
        ConfigError: There is no such scheme, or the data set's name cannot be used.
    """
    return KeyScope(
        dataset=dataset,
        extractor_digest=card.digest(),
        n=card.n,
        d=card.d,
        scheme=scheme,
        scheme_version=find_scheme(scheme).card.version,
    )


def bind_key(key: SecretKey, *, extractor_digest: str, shape: TokenShape) -> Obfuscator:
    """Bind the key's scheme; refuses features the key was not made for.

    Raises:
        KeyMismatchError: The extractor, its shape or the scheme's version differ.
    """
    scheme = find_scheme(key.scope.scheme)
    key.require(
        extractor_digest=extractor_digest,
        n=shape.n,
        d=shape.d,
        scheme_version=scheme.card.version,
    )
    return scheme.bind(key.scope.shape, KeyStream(key.derive("obfuscator")))


def obfuscator_for(key: SecretKey, extractor: Extractor) -> Obfuscator:
    """Bind the key's scheme for a loaded extractor; see `bind_key`."""
    card = extractor.card
    return bind_key(key, extractor_digest=card.digest(), shape=card.shape)

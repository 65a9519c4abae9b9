"""What a key is for, and the obfuscator it gives: decided in one place for all that the owner does.

Trust: owner.
"""

from xnn.errors import ConfigError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.interface import Extractor
from xnn.schemes import KeyStream, Obfuscator, Statistics, find_scheme
from xnn.secret import KeyScope, SecretKey
from xnn.types import TokenShape


def scope_of(card: ExtractorCard, *, dataset: str, scheme: str) -> KeyScope:
    """Return the scope of a key for one data set, extractor and scheme.

    Raises:
        ConfigError: There is no such scheme, it is a rival kept for comparison, it cannot take
            features of this shape, or the data set's name cannot be used.
    """
    found = find_scheme(scheme)
    if found.card.comparison_only:
        raise ConfigError(
            f"scheme {scheme!r} is here to be measured, and no keys are made for it; choose one "
            "of `xnn scheme list` that is not for comparison only"
        )
    found.record_shape(card.shape)
    return KeyScope(
        dataset=dataset,
        extractor_digest=card.digest(),
        n=card.n,
        d=card.d,
        scheme=scheme,
        scheme_version=found.card.version,
    )


def record_shape_of(scope: KeyScope) -> TokenShape:
    """Return the shape of the records made under keys of this scope."""
    return find_scheme(scope.scheme).record_shape(scope.shape)


def bind_key(
    key: SecretKey,
    *,
    extractor_digest: str,
    shape: TokenShape,
    statistics: Statistics | None = None,
) -> Obfuscator:
    """Bind the key's scheme; refuses features the key was not made for.

    Args:
        key: See there.
        extractor_digest: Of the extractor that makes the features.
        shape: Of the features; records may have another.
        statistics: Of the key (`xnn.owner.statistics`), if its scheme is a fitted one.

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
    if statistics:
        scheme = scheme.with_statistics(statistics)
    return scheme.bind(key.scope.shape, KeyStream(key.derive("obfuscator")))


def obfuscator_for(
    key: SecretKey, extractor: Extractor, statistics: Statistics | None = None
) -> Obfuscator:
    """Bind the key's scheme for a loaded extractor; see `bind_key`."""
    card = extractor.card
    return bind_key(key, extractor_digest=card.digest(), shape=card.shape, statistics=statistics)

"""A key binds what it was made for, at the version it was made with, and nothing else."""

from dataclasses import replace

import pytest

from xnn.errors import ConfigError, KeyMismatchError
from xnn.extractors.interface import Extractor
from xnn.owner.binding import bind_key, scope_of
from xnn.secret import SecretKey


def test_no_key_is_made_for_a_rival(extractor: Extractor) -> None:
    with pytest.raises(ConfigError, match="'random-projection' is here to be measured"):
        scope_of(extractor.card, dataset="orl", scheme="random-projection")


@pytest.mark.parametrize(
    "change", [{"scheme_version": 2}, {"n": 3}, {"extractor_digest": "c" * 64}]
)
def test_a_key_of_something_else_is_not_bound(extractor: Extractor, change: dict) -> None:
    card = extractor.card
    scope = scope_of(card, dataset="orl", scheme="paper")
    assert bind_key(SecretKey.generate(scope), extractor_digest=card.digest(), shape=card.shape)
    other = SecretKey.generate(replace(scope, **change))
    with pytest.raises(KeyMismatchError, match=f"made for {next(iter(change))}="):
        bind_key(other, extractor_digest=card.digest(), shape=card.shape)

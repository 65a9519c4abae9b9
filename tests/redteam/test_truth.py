"""The judge reads a linear key by asking, and says when a scheme is no linear key."""

import numpy as np
import pytest
import torch
from torch import Tensor

from xnn.redteam.truth import read_linear_key
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.schemes.paper import LinearObfuscator
from xnn.types import TokenShape


@pytest.mark.parametrize("shape", [TokenShape(5, 12), TokenShape(12, 5), TokenShape(4, 4)])
@pytest.mark.parametrize(
    "scheme", ["plain", "paper", "paper-haar", "paper-matrix-only", "paper-permutation-only"]
)
def test_the_key_that_is_read_does_what_the_obfuscator_does(scheme: str, shape: TokenShape) -> None:
    obfuscator = find_scheme(scheme).bind(shape, KeyStream(bytes(32)))
    key = read_linear_key(obfuscator)
    assert key is not None
    features = np.random.default_rng(1).normal(size=(3, shape.n, shape.d))
    records = obfuscator.obfuscate(torch.from_numpy(features)).numpy()
    slow = np.array([[record[token] @ key.matrix for token in key.order] for record in features])
    assert np.allclose(records, slow)


def test_the_key_is_the_one_that_was_drawn() -> None:
    rng = np.random.default_rng(0)
    order, matrix = rng.permutation(7), rng.normal(size=(20, 20))
    key = read_linear_key(LinearObfuscator(TokenShape(7, 20), order, matrix))
    assert key is not None
    assert np.array_equal(key.order, order)
    assert np.allclose(key.matrix, matrix)


class Shifted(Obfuscator):
    def _records(self, features: Tensor) -> Tensor:
        return features + 1.0


class Dropping(Obfuscator):
    def _records(self, features: Tensor) -> Tensor:
        return features[:, 1:]


class Scaled(Obfuscator):
    def _records(self, features: Tensor) -> Tensor:
        return features * torch.arange(1, self.shape.n + 1)[:, None]


@pytest.mark.parametrize("kind", [Shifted, Dropping, Scaled])
def test_other_schemes_have_no_linear_key(kind: type[Obfuscator]) -> None:
    assert read_linear_key(kind(TokenShape(4, 6))) is None

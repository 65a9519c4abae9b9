"""Every scheme against explicit float64 permutations and matrices, and its inverse."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import ConfigError, SecretLeakError, ShapeError
from xnn.schemes import SCHEMES, KeyStream, find_scheme
from xnn.schemes.matrices import draw_matrix
from xnn.types import TokenShape

SEED = bytes(range(32))
SHAPE = TokenShape(7, 12)


def features(b: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(b, 7, 12))).float()


@pytest.mark.parametrize("name", SCHEMES)
def test_inverse_gives_the_features_back(name: str) -> None:
    obfuscator = find_scheme(name).bind(SHAPE, KeyStream(SEED))
    given_features = features()
    before = given_features.clone()
    back = obfuscator.deobfuscate(obfuscator.obfuscate(given_features))
    assert torch.equal(given_features, before), "the caller's tensor was changed"
    assert torch.allclose(back, given_features, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "plain"])
def test_other_keys_give_other_records(name: str) -> None:
    one, other = (find_scheme(name).bind(SHAPE, KeyStream(bytes([k]) * 32)) for k in (1, 2))
    assert not torch.allclose(one.obfuscate(features()), other.obfuscate(features()))


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32))
def test_paper_is_the_explicit_product(seed: bytes) -> None:
    x = features().double()
    stream = KeyStream(seed)
    order = stream.permutation(7)
    matrix = draw_matrix(stream, 12, "gaussian")
    p = np.zeros((7, 7))
    p[np.arange(7), order] = 1.0
    expected = np.stack([p @ one @ matrix for one in x.numpy()])
    got = find_scheme("paper").bind(SHAPE, KeyStream(seed)).obfuscate(x)
    assert np.allclose(got.numpy(), expected, atol=1e-12)


def test_switches_switch() -> None:
    x = features()
    permuted = SCHEMES["paper-permutation-only"].bind(SHAPE, KeyStream(SEED)).obfuscate(x)
    assert sorted(map(tuple, permuted[0].tolist())) == sorted(map(tuple, x[0].tolist()))
    assert not torch.equal(permuted, x)
    mixed = SCHEMES["paper-matrix-only"].bind(SHAPE, KeyStream(SEED)).obfuscate(x)
    matrix = torch.from_numpy(draw_matrix(KeyStream(SEED), 12, "gaussian")).float()
    assert torch.allclose(mixed, x @ matrix, atol=1e-5)
    turned = SCHEMES["paper-haar"].bind(SHAPE, KeyStream(SEED)).obfuscate(x)
    assert torch.allclose(turned.norm(dim=2).sort().values, x.norm(dim=2).sort().values, atol=1e-4)


@pytest.mark.parametrize("name", SCHEMES)
def test_bad_features_get_one_clear_error(name: str) -> None:
    obfuscator = find_scheme(name).bind(SHAPE, KeyStream(SEED))
    with pytest.raises(ShapeError, match=r"\(5, 7, 11\), the key is for \(b, 7, 12\)"):
        obfuscator.obfuscate(torch.zeros(5, 7, 11))
    with pytest.raises(ShapeError, match="NaN or infinity"):
        obfuscator.obfuscate(torch.full((1, 7, 12), float("nan")))
    assert obfuscator.obfuscate(torch.zeros(0, 7, 12)).shape == (0, 7, 12)


@pytest.mark.parametrize("name", SCHEMES)
def test_an_obfuscator_is_not_copied_or_printed(name: str) -> None:
    obfuscator = find_scheme(name).bind(SHAPE, KeyStream(SEED))
    assert "redacted" in repr(obfuscator)
    with pytest.raises(SecretLeakError):
        pickle.dumps(obfuscator)
    with pytest.raises(SecretLeakError):
        copy.deepcopy(obfuscator)


def test_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'papr'; choose one of plain, paper"):
        find_scheme("papr")

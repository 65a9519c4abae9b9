"""What holds of every scheme: determinism, shapes, errors, and what its card says of it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import (
    ConfigError,
    CorruptError,
    InsufficientDataError,
    NoInverseError,
    SecretLeakError,
    ShapeError,
)
from xnn.schemes import SCHEMES, KeyStream, Scheme, find_scheme
from xnn.schemes.matrices import draw_matrix
from xnn.types import TokenShape

SEED = bytes(range(32))
SHAPE = TokenShape(7, 12)

KEYED = [name for name in SCHEMES if name != "plain"]
READ_FEATURES = [name for name, s in SCHEMES.items() if s.card.reads == "features"]
INVERTIBLE = [name for name, s in SCHEMES.items() if s.card.invertible]
TURNABLE = [name for name, s in SCHEMES.items() if s.card.turnable]


def features(b: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(b, 7, 12))).float()


def samples(scheme: Scheme, b: int = 5, seed: int = 0) -> torch.Tensor:
    """Whatever the scheme reads."""
    if scheme.card.reads == "features":
        return features(b, seed)
    crops = np.random.default_rng(seed).integers(0, 256, size=(b, 112, 112, 3), dtype=np.uint8)
    return torch.from_numpy(crops)


def bound(name: str, seed: bytes = SEED):
    return find_scheme(name).fit(features(64, seed=9).numpy()).bind(SHAPE, KeyStream(seed))


@pytest.mark.parametrize("name", SCHEMES)
def test_records_have_the_shape_that_was_promised(name: str) -> None:
    scheme = find_scheme(name)
    given_samples = samples(scheme)
    before = given_samples.clone()
    obfuscator = bound(name)
    records = obfuscator.obfuscate(given_samples)
    shape = scheme.record_shape(SHAPE)
    assert obfuscator.record_shape == shape
    assert records.shape == (5, shape.n, shape.d)
    assert records.dtype == torch.float32
    assert torch.isfinite(records).all()
    assert torch.equal(given_samples, before), "the caller's tensor was changed"
    if scheme.card.reads == "features":
        assert obfuscator.obfuscate(given_samples.double()).dtype == torch.float64


@pytest.mark.parametrize("name", SCHEMES)
def test_the_same_key_and_sample_give_the_same_record(name: str) -> None:
    given_samples = samples(find_scheme(name))
    assert torch.equal(
        bound(name).obfuscate(given_samples), bound(name).obfuscate(given_samples.clone())
    )


@pytest.mark.parametrize("name", SCHEMES)
def test_at_home_there_is_no_noise(name: str) -> None:
    given_samples = samples(find_scheme(name))
    obfuscator = bound(name)
    uploaded, quiet = obfuscator.obfuscate(given_samples), obfuscator.without_noise(given_samples)
    assert quiet.shape == uploaded.shape
    assert torch.equal(quiet, bound(name).without_noise(given_samples))
    if not find_scheme(name).card.randomised:
        assert torch.equal(quiet, uploaded)


@pytest.mark.parametrize("name", SCHEMES)
def test_fitting_is_asked_for_where_it_is_needed(name: str) -> None:
    scheme = find_scheme(name)
    if scheme.card.fitted:
        with pytest.raises(ConfigError, match="call its fit"):
            scheme.bind(SHAPE, KeyStream(SEED))
        with pytest.raises(InsufficientDataError, match="at least"):
            scheme.fit(features(1).numpy())
        with pytest.raises(InsufficientDataError, match="all alike"):
            scheme.fit(np.ones((20, 7, 12), dtype=np.float32))
        with pytest.raises(CorruptError, match="statistics are"):
            scheme.with_statistics({"mean": np.zeros(12, dtype=np.float32)})
        measured = scheme.measure(features(20).numpy())
        again = scheme.with_statistics(measured).bind(SHAPE, KeyStream(SEED))
        fitted = scheme.fit(features(20).numpy()).bind(SHAPE, KeyStream(SEED))
        assert torch.equal(again.obfuscate(features()), fitted.obfuscate(features()))
    else:
        assert scheme.fit(features().numpy()) is scheme


@pytest.mark.parametrize("name", [n for n, s in SCHEMES.items() if not s.card.mixes])
def test_a_record_does_not_depend_on_its_batch(name: str) -> None:
    """An interrupted build goes on in other batches."""
    obfuscator = bound(name)
    given_samples = samples(find_scheme(name))
    together = obfuscator.obfuscate(given_samples)
    alone = torch.cat([obfuscator.obfuscate(one[None]) for one in given_samples])
    assert torch.allclose(together, alone, atol=1e-5)
    backwards = obfuscator.obfuscate(given_samples.flip(0)).flip(0)
    assert torch.allclose(together, backwards, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, s in SCHEMES.items() if s.card.mixes])
def test_mixing_schemes_do_mix(name: str) -> None:
    given_samples = samples(find_scheme(name))
    others = given_samples.clone()
    others[1:] = samples(find_scheme(name), seed=1)[1:]
    obfuscator = bound(name)
    one, two = obfuscator.obfuscate(given_samples)[0], obfuscator.obfuscate(others)[0]
    assert not torch.allclose(one, two)


@pytest.mark.parametrize("name", KEYED)
def test_other_keys_give_other_records(name: str) -> None:
    given_samples = samples(find_scheme(name))
    one, other = (bound(name, bytes([k]) * 32).obfuscate(given_samples) for k in (1, 2))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_inverse_gives_the_features_back(name: str) -> None:
    obfuscator = bound(name)
    back = obfuscator.deobfuscate(obfuscator.obfuscate(features()))
    assert torch.allclose(back, features(), atol=1e-4)


@pytest.mark.parametrize("name", [n for n in SCHEMES if n not in INVERTIBLE])
def test_where_there_is_no_inverse_one_error_says_so(name: str) -> None:
    obfuscator = bound(name)
    records = obfuscator.obfuscate(samples(find_scheme(name)))
    with pytest.raises(NoInverseError, match=r"has no inverse.* from the photographs"):
        obfuscator.deobfuscate(records)


@pytest.mark.parametrize("name", TURNABLE)
def test_the_last_matrix_is_exchanged(name: str) -> None:
    """What two keys make of the same features differs by their matrices, orders and noise only."""
    one, other = bound(name, bytes([1]) * 32), bound(name, bytes([2]) * 32)
    x = features().double()
    turned = other.turn(one.unturn(one.without_noise(x)))
    # The order of tokens, where it is fresh, is still the first key's.
    got, want = (in_one_order(other.unturn(r)) for r in (turned, other.without_noise(x)))
    assert torch.allclose(got, want, atol=1e-9)
    assert not torch.allclose(turned, one.without_noise(x), atol=0.1)
    noise = one.obfuscate(x) - one.without_noise(x)
    moved = other.turn(one.unturn(one.obfuscate(x))) - turned
    assert torch.allclose(moved, other.turn(one.unturn(noise)), atol=1e-9), "noise goes along"
    if find_scheme(name).card.fitted:
        assert torch.allclose(moved.norm(dim=2), noise.norm(dim=2), atol=1e-9), "it is not larger"


def in_one_order(tokens: torch.Tensor) -> torch.Tensor:
    return torch.stack([record[torch.argsort(record[:, 0])] for record in tokens])


@pytest.mark.parametrize("name", [n for n in READ_FEATURES if n not in TURNABLE])
def test_other_schemes_have_no_matrix_to_exchange(name: str) -> None:
    obfuscator = bound(name)
    records = obfuscator.obfuscate(features())
    for exchange in (obfuscator.unturn, obfuscator.turn):
        with pytest.raises(NoInverseError, match="no last matrix"):
            exchange(records)


@pytest.mark.parametrize("name", TURNABLE)
def test_bad_records_are_not_turned(name: str) -> None:
    obfuscator = bound(name)
    for exchange in (obfuscator.unturn, obfuscator.turn):
        with pytest.raises(ShapeError, match="the key is for"):
            exchange(torch.zeros(2, 3, 4))
        with pytest.raises(ShapeError, match="NaN or infinity"):
            exchange(torch.full_like(obfuscator.obfuscate(features()), float("inf")))


@pytest.mark.parametrize("name", READ_FEATURES)
def test_linear_cards_are_true(name: str) -> None:
    """Linear: one affine map for all records. All others break the rule of the parallelogram."""
    scheme = find_scheme(name)
    x, y = features().double(), features(seed=1).double()
    obfuscate = bound(name).obfuscate
    broken = obfuscate(x + y) - obfuscate(x) - obfuscate(y) + obfuscate(torch.zeros_like(x))
    assert (float(broken.abs().max()) < 1e-9) == scheme.card.linear


@pytest.mark.parametrize("name", READ_FEATURES)
def test_bad_features_get_one_clear_error(name: str) -> None:
    obfuscator = bound(name)
    with pytest.raises(ShapeError, match=r"\(5, 7, 11\), the key is for \(b, 7, 12\)"):
        obfuscator.obfuscate(torch.zeros(5, 7, 11))
    with pytest.raises(ShapeError, match="NaN or infinity"):
        obfuscator.obfuscate(torch.full((1, 7, 12), float("nan")))
    with pytest.raises(ShapeError, match="tokens"):
        obfuscator.obfuscate(torch.zeros(2, 112, 112, 3, dtype=torch.uint8))


@pytest.mark.parametrize("name", [n for n in SCHEMES if n not in READ_FEATURES])
def test_features_for_a_scheme_that_reads_crops(name: str) -> None:
    with pytest.raises(ShapeError, match="reads crops, not features"):
        bound(name).obfuscate(features())


@pytest.mark.parametrize("name", SCHEMES)
def test_records_of_another_shape_are_refused(name: str) -> None:
    shape = bound(name).record_shape
    with pytest.raises(ShapeError, match=rf"the key is for \(b, {shape.n}, {shape.d}\)"):
        bound(name).deobfuscate(torch.zeros(2, shape.n + 1, shape.d))


@pytest.mark.parametrize("name", SCHEMES)
def test_an_empty_batch_gives_no_records(name: str) -> None:
    obfuscator = bound(name)
    shape = obfuscator.record_shape
    nothing = samples(find_scheme(name))[:0]
    assert obfuscator.obfuscate(nothing).shape == (0, shape.n, shape.d)


@pytest.mark.parametrize("name", SCHEMES)
def test_an_obfuscator_is_not_copied_or_printed(name: str) -> None:
    obfuscator = bound(name)
    assert "redacted" in repr(obfuscator)
    with pytest.raises(SecretLeakError):
        pickle.dumps(obfuscator)
    with pytest.raises(SecretLeakError):
        copy.deepcopy(obfuscator)


@pytest.mark.parametrize("name", SCHEMES)
def test_torchs_own_generator_is_left_alone(name: str) -> None:
    state = torch.get_rng_state()
    bound(name).obfuscate(samples(find_scheme(name)))
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'papr'; choose one of plain, paper"):
        find_scheme("papr")


# The paper and its switches


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

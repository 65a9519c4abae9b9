"""The rivals against slow versions of what their papers say."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from xnn.errors import ConfigError
from xnn.schemes import KeyStream, find_scheme
from xnn.schemes.dctdp import FrequencyNoise, block_coefficients, cosine_basis, usual_sizes
from xnn.schemes.matrices import draw_matrix, draw_projection
from xnn.schemes.mixing import MixingObfuscator
from xnn.schemes.neuracrypt import NeuraCrypt, draw_layer
from xnn.schemes.random_projection import RandomProjection
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

SEED = bytes(range(32))
SHAPE = TokenShape(7, 12)


def features(b: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(b, 7, 12)) + 2)


def crops(b: int = 3) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, size=(b, 112, 112, 3), dtype=np.uint8)
    return torch.from_numpy(drawn)


@pytest.mark.parametrize(
    ("name", "strength"),
    [("gaussian-noise-1", 1.0), ("gaussian-noise-3", 3.0), ("laplace-noise-1", 1.0)],
)
def test_noise_has_the_strength_it_says(name: str, strength: float) -> None:
    shape = TokenShape(50, 40)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 50, 40)) + 3)
    noise = find_scheme(name).bind(shape, KeyStream(SEED)).obfuscate(x) - x
    for one, own in zip(noise, x, strict=True):
        assert float(one.std()) == pytest.approx(strength * math.sqrt(10), rel=0.1)
        assert float(one.std()) / float(own.square().mean().sqrt()) == pytest.approx(
            strength, rel=0.1
        )
        assert abs(float(one.mean())) < 0.5 * strength


def test_fresh_order_is_the_explicit_product() -> None:
    x = features()
    records = find_scheme("paper-fresh-order").bind(SHAPE, KeyStream(SEED)).obfuscate(x).numpy()
    stream = KeyStream(SEED)
    matrix = draw_matrix(stream, 12, "gaussian")
    orders = RecordChance(stream).of(x).orders(7).numpy()
    for record, one, order in zip(records, x.numpy(), orders, strict=True):
        assert np.allclose(record, np.eye(7)[order] @ one @ matrix)
    assert len({tuple(order) for order in orders.tolist()}) == 5


def test_projection_keeps_lengths_on_average() -> None:
    x = features()
    records = find_scheme("random-projection").bind(SHAPE, KeyStream(SEED)).obfuscate(x)
    assert np.allclose(records.numpy(), x.numpy() @ draw_projection(KeyStream(SEED), 12, 6))
    wide = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 400)))
    short = RandomProjection(share=0.5).bind(TokenShape(1, 400), KeyStream(SEED)).obfuscate(wide)
    assert torch.allclose(short.norm(dim=2), wide.norm(dim=2), rtol=0.25)
    with pytest.raises(ConfigError, match="share=1"):
        RandomProjection(share=1.0)


def mixing(k: int, max_weight: float, *, signs: bool) -> MixingObfuscator:
    return MixingObfuscator(
        SHAPE,
        RecordChance(KeyStream(SEED)),
        num_mixed=k,
        max_weight=max_weight,
        signs=signs,
    )


@pytest.mark.parametrize(("k", "max_weight"), [(2, 1.0), (4, 0.65)])
def test_mixtures_are_of_the_batch_and_the_own_sample_dominates(k: int, max_weight: float) -> None:
    x = features(9)
    mixed = mixing(k, max_weight, signs=False).obfuscate(x).numpy()
    flat = x.numpy().reshape(9, -1)
    for i, record in enumerate(mixed.reshape(9, -1)):
        weights, *_ = np.linalg.lstsq(flat.T, record, rcond=None)
        assert np.allclose(flat.T @ weights, record)
        assert weights.sum() == pytest.approx(1.0, abs=1e-6)
        assert weights.argmax() == i
        assert weights.max() <= max_weight + 1e-6
        assert np.sum(weights > 1e-6) == k


def test_instahide_flips_signs_of_the_mixture_afresh() -> None:
    x = features(9)
    mixed = mixing(4, 0.65, signs=False).obfuscate(x)
    flipped = find_scheme("instahide").bind(SHAPE, KeyStream(SEED)).obfuscate(x)
    assert torch.allclose(flipped.abs(), mixed.abs())
    signs = (flipped / mixed).round()
    assert 0.4 < float((signs < 0).double().mean()) < 0.6
    assert not torch.equal(signs[0], signs[1])


def test_a_sample_alone_is_mixed_with_itself() -> None:
    x = features(1)
    assert torch.allclose(mixing(4, 0.65, signs=False).obfuscate(x), x)
    with pytest.raises(ConfigError, match="more than an equal share"):
        type(find_scheme("mixup"))(
            name="m", num_mixed=2, max_weight=0.5, signs=False, source="nowhere"
        )


def test_neuracrypt_is_its_network_written_out() -> None:
    records = NeuraCrypt(width=6, depth=2).bind(SHAPE, KeyStream(SEED)).obfuscate(crops())
    stream = KeyStream(SEED)
    layers = [draw_layer(stream, i, o) for i, o in ((768, 6), (6, 6), (6, 6), (6, 6))]
    places = stream.normals(49 * 6).reshape(49, 6)
    orders = RecordChance(stream).of(crops()).orders(49).numpy()
    for record, crop, order in zip(records.numpy(), crops().numpy(), orders, strict=True):
        rows = []
        for r in range(7):
            for c in range(7):
                patch = crop[16 * r : 16 * r + 16, 16 * c : 16 * c + 16] / 127.5 - 1.0
                rows.append(patch.transpose(2, 0, 1).ravel())
        w = [(x.weight.double().numpy(), x.bias.double().numpy()) for x in layers]
        h = np.maximum(np.array(rows) @ w[0][0] + w[0][1], 0)
        for weight, bias in w[1:-1]:
            h = h @ weight + bias
            h = np.maximum((h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5), 0)
        expected = np.maximum(h + places, 0) @ w[-1][0] + w[-1][1]
        assert np.allclose(record, expected[order], atol=1e-3)


def test_the_blocks_are_scipys_cosine_transform() -> None:
    got = block_coefficients(crops(2), cosine_basis()).numpy().reshape(2, 14, 14, 3, 63)
    weights = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5]])
    for i, r, c in ((0, 0, 0), (1, 13, 5)):
        block = crops(2).numpy()[i, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8].astype(float)
        for colour in (0, 1):
            expected = dctn(block @ weights[colour], norm="ortho").ravel()[1:]
            assert np.allclose(got[i, r, c, colour], expected, atol=1e-2)


def test_dctdp_adds_its_noise_in_usual_sizes_and_says_where_each_block_is() -> None:
    quiet, loud = (
        FrequencyNoise(strength=s).bind(SHAPE, KeyStream(SEED)).obfuscate(crops())
        for s in (0.0, 0.5)
    )
    assert quiet.shape == (3, 196, 192)
    assert torch.allclose(
        quiet[..., :189] * usual_sizes(), block_coefficients(crops(), cosine_basis()), atol=1e-2
    )
    assert float((loud - quiet)[..., :189].std()) == pytest.approx(0.5, rel=0.02)
    assert torch.equal(loud[..., 189:], quiet[..., 189:])
    assert quiet[0, 0, 189:].tolist() == pytest.approx([-1, -1, math.sqrt(2)])
    assert len(torch.unique(quiet[0, :, 189:191], dim=0)) == 196


def test_paper_relu_is_a_relu_between_two_matrices() -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(3, SHAPE.n, SHAPE.d))).double()
    records = find_scheme("paper-relu").bind(SHAPE, KeyStream(SEED)).obfuscate(x).numpy()
    stream = KeyStream(SEED)
    order = stream.permutation(SHAPE.n)
    first, second = (draw_matrix(stream, SHAPE.d, "gaussian") for _ in range(2))
    for record, sample in zip(records, x.numpy(), strict=True):
        for token, place in zip(record, order, strict=True):
            hidden = np.array([max(sample[place] @ column, 0.0) for column in first.T])
            np.testing.assert_allclose(token, hidden @ second, rtol=1e-10)

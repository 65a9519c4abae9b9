"""Decoders fitted on some ORL faces rebuild others from tokens of a made-up extractor."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from xnn.attacks.decoding import DecoderSettings, Grid, RidgeDecoder
from xnn.attacks.observation import OwnFaces
from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics.reconstruction import ssim


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def photographs(orl_photos: Path) -> np.ndarray:
    """Two photographs of each of 40 subjects, tinted so that colour counts."""
    found = []
    for subject in range(1, 41):
        for shot in (1, 6):
            with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                grey = np.asarray(photo.convert("RGB").resize((112, 112)), dtype=np.float64)
            found.append(grey * (0.6 + 0.4 * np.array([1.0, subject / 40, 0.5])))
    return np.array(found).astype(np.uint8)


def tokens_of(
    crops: np.ndarray, side: int, *, d: int = 48, class_token: bool = False
) -> np.ndarray:
    """A patch embedding of random directions, a tanh, an offset for each place, a class token."""
    rng = np.random.default_rng(5)
    p = -(-112 // side)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    pixels = F.interpolate(pixels, size=(side * p, side * p), mode="bilinear").permute(0, 2, 3, 1)
    patches = pixels.numpy().reshape(len(crops), side, p, side, p, 3).transpose(0, 1, 3, 2, 4, 5)
    patches = patches.reshape(len(crops), side**2, -1) / 255 - 0.5
    tokens = np.tanh(patches @ rng.normal(size=(patches.shape[2], d)) / p)
    tokens = tokens + rng.normal(size=(side**2, d))
    if class_token:
        tokens = np.concatenate([tokens.mean(axis=1, keepdims=True), tokens], axis=1)
    return tokens.astype(np.float32)


def own(crops: np.ndarray, tokens: np.ndarray) -> OwnFaces:
    return OwnFaces(
        crops=crops,
        tokens=tokens,
        embeddings=np.zeros((len(crops), 2), dtype=np.float32),
        labels=np.arange(len(crops)),
    )


@pytest.mark.parametrize(
    ("side", "class_token", "least"),
    [(8, True, 0.7), (14, True, 0.8), (9, False, 0.7), (4, False, 0)],
)
def test_faces_of_other_people_are_rebuilt(
    photographs: np.ndarray, side: int, class_token: bool, least: float
) -> None:
    tokens = tokens_of(photographs, side, class_token=class_token)
    decoder = RidgeDecoder.fit(own(photographs[:60], tokens[:60]), seed=0)
    rebuilt, true = decoder.pictures(tokens[60:]), photographs[60:]
    assert rebuilt.shape == true.shape
    mean = photographs[:60].mean(axis=0).astype(np.uint8)
    floor = ssim(np.broadcast_to(mean, true.shape), true).mean()
    assert ssim(rebuilt, true).mean() > max(floor + 0.03, least)
    # A picture belongs to its own feature, and not to another's.
    assert ssim(decoder.pictures(tokens[60:][::-1].copy()), true).mean() < floor + 0.02


def test_noise_shows_nobody(photographs: np.ndarray) -> None:
    tokens = tokens_of(photographs, 8)
    decoder = RidgeDecoder.fit(own(photographs[:60], tokens[:60]), seed=0)
    noise = np.random.default_rng(0).normal(size=tokens[60:].shape).astype(np.float32)
    mean = photographs[:60].mean(axis=0).astype(np.uint8)
    true = photographs[60:]
    assert ssim(decoder.pictures(noise), true).mean() < ssim(mean[None].repeat(20, 0), true).mean()


def test_reading_by_patch_equals_a_slow_ridge(photographs: np.ndarray) -> None:
    side, p, k, few = 7, 16, 3, 12  # patches of 32 px, 8 px beyond each side
    tokens = tokens_of(photographs[:few], side, d=5, class_token=True)
    settings = DecoderSettings(reading="patch", neighbour_dims=k, patch_strength=1e-3)
    decoder = RidgeDecoder.fit(own(photographs[:few], tokens), seed=0, settings=settings)

    centred = tokens.astype(np.float64) - tokens.mean(axis=0)
    rows = centred.reshape(-1, 5)
    basis = np.linalg.eigh(rows.T @ rows)[1][:, ::-1]
    turned = centred @ basis
    inputs, outputs = [], []
    pixels = np.pad(photographs[:few] / 255, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="edge")
    mean = pixels.mean(axis=0)
    places = [(photo, y, x) for photo in range(few) for y in range(side) for x in range(side)]
    for photo, y, x in places:
        around = [
            turned[photo, 1 + min(max(y + a, 0), 6) * side + min(max(x + b, 0), 6), :k]
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
            if (a, b) != (0, 0)
        ]
        own_token = turned[photo, 1 + y * side + x]
        inputs.append(np.concatenate([own_token, *around, turned[photo, 0, :k]]))
        outputs.append((pixels[photo] - mean)[y * p : y * p + 32, x * p : x * p + 32].ravel())
    a, b = np.array(inputs), np.array(outputs)
    gram = a.T @ a
    weights = np.linalg.solve(gram + 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)), a.T @ b)
    ramp = [min(i, 33 - i) for i in range(1, 33)]
    window = np.outer(ramp, ramp)[:, :, None]
    slow, total = np.zeros((few, 128, 128, 3)), np.zeros((few, 128, 128, 1))
    for (photo, y, x), patch in zip(places, a @ weights, strict=True):
        place = photo, slice(y * p, y * p + 32), slice(x * p, x * p + 32)
        slow[place] += window * patch.reshape(32, 32, 3)
        total[place] += window
    expected = (slow / np.maximum(total, 1e-9) + mean)[:, 8:-8, 8:-8]
    assert np.allclose(decoder.values(tokens), expected, atol=1e-3)


def test_reading_as_a_whole_equals_the_primal_ridge(photographs: np.ndarray) -> None:
    crops, tokens = photographs[:30], tokens_of(photographs[:30], 2, d=3)
    settings = DecoderSettings(reading="whole", whole_strength=0.5)
    decoder = RidgeDecoder.fit(own(crops, tokens), seed=0, settings=settings)
    x = tokens.reshape(30, -1).astype(np.float64)
    x = x - x.mean(axis=0)
    y = crops.reshape(30, -1) / 255
    ridge = 0.5 * np.trace(x @ x.T) / 30
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    slow = (x @ weights + y.mean(axis=0)).reshape(crops.shape)
    assert np.allclose(decoder.values(tokens), slow, atol=1e-3)


def test_grey_photographs_teach_to_rebuild_grey_pictures(photographs: np.ndarray) -> None:
    grey = photographs.mean(axis=3, keepdims=True).repeat(3, axis=3).astype(np.uint8)
    decoder = RidgeDecoder.fit(own(grey[:40], tokens_of(grey[:40], 14)), seed=0)
    rebuilt = decoder.pictures(tokens_of(photographs[40:], 14))
    assert np.abs(np.diff(rebuilt.astype(int), axis=3)).max() <= 1
    assert ssim(rebuilt, photographs[40:]).mean() > 0.6


def test_features_of_another_collection_are_moved_before_they_are_read(
    photographs: np.ndarray,
) -> None:
    tokens = tokens_of(photographs, 14)
    decoder = RidgeDecoder.fit(own(photographs[:40], tokens[:40]), seed=0)
    other = 1.5 * tokens[40:] + np.linspace(-1, 1, 48).astype(np.float32)
    true = photographs[40:]
    together = ssim(decoder.pictures(other), true).mean()
    # One alone has no mean to tell a collection by.
    alone = np.concatenate([decoder.pictures(one[None]) for one in other[:8]])
    assert together > ssim(alone, true[:8]).mean() + 0.2
    assert together > 0.9 * ssim(decoder.pictures(tokens[40:]), true).mean()


def test_the_seed_draws_the_photographs(photographs: np.ndarray) -> None:
    faces = own(photographs, tokens_of(photographs, 4))
    settings = DecoderSettings(max_photographs=20)
    a, b, c = (
        RidgeDecoder.fit(faces, seed=seed, settings=settings).pictures(faces.tokens)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("n", "grid"),
    [
        (65, Grid(side=8, class_token=True)),
        (197, Grid(side=14, class_token=True)),
        (16, Grid(side=4, class_token=False)),
        (17, Grid(side=4, class_token=True)),
        (6, None),
    ],
)
def test_tokens_lie_on_a_grid_or_not(n: int, grid: Grid | None) -> None:
    assert Grid.of(n) == grid


def test_no_features_no_pictures(photographs: np.ndarray) -> None:
    faces = own(photographs[:10], tokens_of(photographs[:10], 4))
    assert RidgeDecoder.fit(faces, seed=0).pictures(faces.tokens[:0]).shape == (0, 112, 112, 3)


def test_bad_input_gets_one_clear_error(photographs: np.ndarray) -> None:
    faces = own(photographs[:10], tokens_of(photographs[:10], 4))
    with pytest.raises(InsufficientDataError, match="7 photographs, decoding needs at least 8"):
        RidgeDecoder.fit(faces.at(np.arange(7)), seed=0)
    odd = own(photographs[:10], faces.tokens[:, :6])
    with pytest.raises(ConfigError, match="6 tokens are no square grid"):
        RidgeDecoder.fit(odd, seed=0, settings=DecoderSettings(reading="patch"))
    assert RidgeDecoder.fit(odd, seed=0).pictures(odd.tokens).shape == (10, 112, 112, 3)
    with pytest.raises(ConfigError, match="max_rows=0"):
        DecoderSettings(max_rows=0)
    with pytest.raises(ConfigError, match="whole_strength=0"):
        DecoderSettings(whole_strength=0.0)

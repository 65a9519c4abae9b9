"""The device of a bench: it remembers what a photograph decides and draws chance anew."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.models.noise_generator import FrontSettings, NoisyFront
from xnn.owner.noise.draw_key import draw_coupling
from xnn.owner.noise.finished import new_front
from xnn.redteam.front_device import (
    Remembered,
    as_opened,
    as_read,
    device_of,
    on_circle,
    remembered_features,
)
from xnn.schemes import KeyStream


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("dlib")


@pytest.fixture(scope="module")
def crops(orl_photos: Path) -> np.ndarray:
    """Twelve faces, merely resized."""
    pictures = []
    for subject in range(1, 13):
        with Image.open(orl_photos / f"s{subject}" / "1.pgm") as photo:
            pictures.append(np.asarray(photo.convert("RGB").resize((112, 112))))
    return np.stack(pictures)


def front_of(extractor: Extractor, noise: str, crops: np.ndarray) -> NoisyFront:
    torch.manual_seed(0)
    front = new_front(extractor, FrontSettings(noise=noise, code_dim=6, fresh_dim=4))
    if front.coupling is not None and front.code is not None:
        draw_coupling(front.coupling, KeyStream(bytes(32)))
        tokens = torch.from_numpy(remembered_features(extractor)(crops))
        front.code.fit(tokens, torch.randn(len(crops), 16))
    return front.eval()


@pytest.mark.parametrize("noise", ["none", "gaussian", "generator", "coupled"])
def test_the_device_sends_what_the_front_computes(
    extractor: Extractor, crops: np.ndarray, noise: str
) -> None:
    front = front_of(extractor, noise, crops)
    send = device_of(front, extractor, remembered_features(extractor))
    send(crops[:2])  # some are known, some are new
    torch.manual_seed(7)
    sent = send(crops)
    torch.manual_seed(7)
    with torch.no_grad():
        expected = front(extractor.prepare(torch.from_numpy(crops))).numpy()
    # A coupled z is steep: rounding grows, and 0 and 1 are neighbours.
    away = np.abs(sent - expected)
    away = np.minimum(away, 1 - away) if noise == "coupled" else away
    assert away.max() < (5e-2 if noise == "coupled" else 1e-4)


def test_chance_is_drawn_anew_and_nothing_else(extractor: Extractor, crops: np.ndarray) -> None:
    features = remembered_features(extractor)
    noisy = device_of(front_of(extractor, "gaussian", crops), extractor, features)
    assert not np.allclose(noisy(crops), noisy(crops))
    plain = device_of(front_of(extractor, "none", crops), extractor, features)
    np.testing.assert_array_equal(plain(crops), plain(crops))


def test_every_crop_is_computed_once() -> None:
    asked: list[int] = []

    def compute(crops: np.ndarray) -> np.ndarray:
        asked.append(len(crops))
        return crops[:, :1, :2, 0].astype(np.float32)

    crops = np.random.default_rng(0).integers(0, 256, (100, 112, 112, 3), dtype=np.uint8)
    kept = Remembered(compute)
    np.testing.assert_array_equal(kept(crops[:70]), crops[:70, :1, :2, 0])
    np.testing.assert_array_equal(kept(crops[::-1]), crops[::-1, :1, :2, 0])
    np.testing.assert_array_equal(kept(crops[[3, 3]]), crops[[3, 3], :1, :2, 0])
    assert sum(asked) == 100
    assert max(asked) == 64


def test_an_attacker_reads_a_coupled_z_on_the_circle(
    extractor: Extractor, crops: np.ndarray
) -> None:
    front = front_of(extractor, "coupled", crops)
    send = device_of(front, extractor, remembered_features(extractor))
    torch.manual_seed(3)
    sent = send(crops)
    torch.manual_seed(3)
    read = as_read(front, send)(crops)
    np.testing.assert_array_equal(read, on_circle(sent))
    near = on_circle(np.array([[[0.001, 0.999]]], dtype=np.float32))[0, 0]
    np.testing.assert_allclose(near[2:], [0.00628, -0.00628, 1, 1], atol=1e-4)
    plain = front_of(extractor, "none", crops)
    same = device_of(plain, extractor, remembered_features(extractor))
    assert as_read(plain, same) is same
    assert as_opened(plain, same) is same


def test_the_server_side_sees_the_code(extractor: Extractor, crops: np.ndarray) -> None:
    front = front_of(extractor, "coupled", crops)
    features = remembered_features(extractor)
    opened = as_opened(front, device_of(front, extractor, features))(crops)
    assert opened.shape == (12, 1, 6)
    assert front.code is not None
    code = front.code(torch.from_numpy(features(crops))).detach()
    expected = (code * front.code.spread)[:, None].numpy()
    np.testing.assert_allclose(opened, expected, rtol=0.02, atol=0.02)

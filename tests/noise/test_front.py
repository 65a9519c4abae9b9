"""The cut extractor and the noise on top of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xnn.errors import ConfigError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.front_parts import TokenLower, TokenUpper
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crop
from xnn.models.noise_generator import FrontSettings, NoisyFront
from xnn.models.vit import ViTFront, ViTShape


@pytest.fixture(scope="module")
def crops(face_folder: Path) -> Tensor:
    paths = sorted(face_folder.glob("*/1.png"))[:3]
    return torch.from_numpy(np.stack([read_crop(path) for path in paths]))


@pytest.mark.parametrize("shared_blocks", [0, 5, 12])
def test_both_parts_of_dlib_give_its_tokens(
    dlib: Extractor, crops: Tensor, shared_blocks: int
) -> None:
    parts = dlib.divide(shared_blocks)
    with torch.no_grad():
        tokens = parts.upper(parts.lower(dlib.prepare(crops)))
    assert torch.allclose(tokens, dlib.tokens(crops), atol=1e-5)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("shared_blocks", [0, 1])
def test_both_parts_of_a_transformer_give_its_tokens(shared_blocks: int, class_token: bool) -> None:
    shape = ViTShape(patch_px=4, width=16, heads=2, depth=3, grid=3)
    torch.manual_seed(0)
    front = ViTFront(shape, 2).eval()
    torch.nn.init.normal_(front.class_token)
    pixels = torch.randn(2, 3, 12, 12)
    lower = TokenLower(front, shared_blocks)
    upper = TokenUpper(front, shared_blocks, class_token=class_token)
    whole = front(pixels)
    assert torch.allclose(upper(lower(pixels)), whole if class_token else whole[:, 1:], atol=1e-6)
    in_upper = "class_token" in dict(upper.named_parameters())
    assert in_upper == (shared_blocks == 0)  # the paper trains it, but neither patches nor position
    assert "position" not in dict(upper.named_parameters())


@pytest.mark.parametrize("shared_blocks", [-1, 13])
def test_a_cut_that_leaves_nothing_to_copy_is_refused(dlib: Extractor, shared_blocks: int) -> None:
    with pytest.raises(ConfigError, match=r"use 0\.\.12"):
        dlib.divide(shared_blocks)


def test_an_extractor_that_cannot_be_cut_says_so(dlib: Extractor) -> None:
    class Mine(Extractor):
        def features(self, pixels: Tensor) -> Tensor:
            return pixels

    fields = dlib.card.to_dict() | {"name": "mine"}
    with pytest.raises(ConfigError, match="does not say how it is cut"):
        Mine(ExtractorCard.from_dict(fields)).divide(1)


def front_of(dlib: Extractor, **settings: object) -> NoisyFront:
    chosen = FrontSettings(**settings)  # type: ignore[arg-type]
    parts = dlib.divide(chosen.shared_blocks)
    return NoisyFront(parts.lower, parts.upper, dlib.card.shape, chosen)


@pytest.mark.parametrize("shared_blocks", [0, 11])
def test_untrained_noise_doubles_the_features(
    dlib: Extractor, crops: Tensor, shared_blocks: int
) -> None:
    front = front_of(dlib, shared_blocks=shared_blocks)
    z = front(dlib.prepare(crops))
    tokens = dlib.tokens(crops)
    assert torch.allclose(z, 2 * F.layer_norm(tokens, (dlib.card.d,), eps=1e-6), atol=1e-5)


def test_only_the_generator_is_trainable_and_it_is_a_copy(dlib: Extractor) -> None:
    front = front_of(dlib, shared_blocks=0)
    trainable = {name for name, p in front.named_parameters() if p.requires_grad}
    assert trainable
    assert all(name.startswith("generator.") for name in trainable)
    assert "generator.norm.weight" in trainable
    assert not any("stem" in name for name in trainable)
    assert front.generator is not None
    own = {p.data_ptr() for p in front.generator.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in front.upper.parameters())


def test_the_scale_follows_the_decibels(dlib: Extractor, crops: Tensor) -> None:
    clean, noisy = (
        front_of(dlib, shared_blocks=11, noise=noise, snr_db=20.0)(dlib.prepare(crops))
        for noise in ("none", "generator")
    )
    assert torch.allclose(noisy, 1.1 * clean, atol=1e-5)


def test_gaussian_noise_is_fresh_and_as_strong_as_asked(dlib: Extractor, crops: Tensor) -> None:
    front, pixels = front_of(dlib, noise="gaussian", snr_db=-6.0), dlib.prepare(crops)
    clean = front.clean(front.lower(pixels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = front(pixels), front(pixels)
    assert not torch.allclose(first, second)
    assert (first - clean).square().mean().sqrt() == pytest.approx(10**0.3, rel=0.02)
    given = torch.ones_like(clean)
    assert torch.equal(front(pixels, given), clean + front.settings.scale * given)


@pytest.mark.parametrize(
    "wrong", [{"noise": "loud"}, {"shared_blocks": -1}, {"snr_db": float("inf")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        FrontSettings(**wrong)  # type: ignore[arg-type]

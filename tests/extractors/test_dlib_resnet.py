"""dlib's network against a slow, literal version of itself, and on real faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from xnn.errors import ConfigError, CorruptError
from xnn.extractors import dlib_resnet
from xnn.extractors.dlib_resnet import NUM_BLOCKS, WEIGHTS_PATH, DlibExtractor, DlibRecogniser
from xnn.extractors.resample import dlib_chip


def random_crops(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 112, 112, 3), dtype=torch.uint8, generator=generator)


def slow_maps(crops: Tensor) -> list[Tensor]:
    """Every block's map in float64, affine layers apart, written out as dlib names them."""
    w = {name: tensor.double() for name, tensor in load_file(WEIGHTS_PATH).items()}

    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        x = F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)
        return x * w[f"{name}.scale"].reshape(-1, 1, 1) + w[f"{name}.shift"].reshape(-1, 1, 1)

    mean = torch.tensor([122.782, 117.001, 104.298]).double().reshape(3, 1, 1)
    x = (dlib_chip(crops.permute(0, 3, 1, 2).float(), 150).double() - mean) / 256
    x = F.max_pool2d(F.relu(conv(x, "stem", 2, 0)), 3, 2)
    maps = []
    for block in range(14):
        halves = block in (3, 7, 10, 13)
        branch = F.relu(conv(x, f"blocks.{block}.conv1", 2 if halves else 1, 0 if halves else 1))
        branch = conv(branch, f"blocks.{block}.conv2", 1, 1)
        shortcut = F.avg_pool2d(x, 2) if halves else x
        shape = [max(a, b) for a, b in zip(branch.shape, shortcut.shape, strict=True)]
        total = torch.zeros(shape, dtype=torch.float64)
        for part in (branch, shortcut):
            _, channels, height, width = part.shape
            total[:, :channels, :height, :width] += part
        x = F.relu(total)
        maps.append(x)
    return maps


@pytest.fixture(scope="module")
def maps() -> list[Tensor]:
    return slow_maps(random_crops(2))


@pytest.mark.parametrize("split_depth", [1, 4, 7, 10, 13, 14])
def test_tokens_are_the_positions_of_the_slow_map(split_depth: int, maps: list[Tensor]) -> None:
    extractor = DlibExtractor(split_depth=split_depth)
    tokens = extractor.tokens(random_crops(2))
    expected = maps[split_depth - 1]
    side = expected.shape[-1]
    assert (extractor.card.n, extractor.card.d) == (side * side, expected.shape[1])
    for row in range(side):
        for column in range(side):
            torch.testing.assert_close(
                tokens[:, row * side + column],
                expected[:, :, row, column].float(),
                rtol=1e-3,
                atol=1e-4,
            )


def test_the_recogniser_projects_the_mean_of_the_last_map(maps: list[Tensor]) -> None:
    projection = load_file(WEIGHTS_PATH)["fc.weight"].double()
    expected = maps[-1].mean((2, 3)) @ projection.T
    found = DlibRecogniser().embeddings(random_crops(2))
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-5)


def test_the_default_cut_is_the_one_in_the_docs() -> None:
    card = DlibExtractor().card
    assert (card.split_depth, card.n, card.d, card.class_token) == (13, 16, 256, False)


def test_the_cards_digest_never_changes() -> None:
    """Keys, shards and bundles are bound to it: another network needs another name instead."""
    pinned = "aa213b219217c49b615f7c7a18c0a3da30aa14c6cadb7e7e368add6d6ac5c705"
    assert DlibExtractor().card.digest() == pinned


def test_it_recognises_real_faces(orl_photos: Path) -> None:
    """ORL faces, roughly placed: wrong weights, colours or scale would end near chance (1/12)."""
    subjects = sorted(orl_photos.iterdir())[:12]
    crops = torch.stack([orl_crop(s / f"{i}.pgm") for s in subjects for i in (1, 6)])
    embeddings = DlibRecogniser().embeddings(crops)
    distances = torch.cdist(embeddings[1::2], embeddings[::2])
    rank_1 = (distances.argmin(1) == torch.arange(len(subjects))).float().mean()
    assert rank_1 >= 0.75


def orl_crop(path: Path) -> Tensor:
    """Place a 92x112 photograph so that its eyes lie near the ArcFace template's."""
    photo = Image.open(path).convert("RGB").resize((112, 136))
    square = Image.new("RGB", (112, 112))
    square.paste(photo, (0, -12))
    return torch.from_numpy(np.array(square))


def test_the_same_batch_gives_the_same_bytes() -> None:
    crops = random_crops(3)
    first, second = (DlibExtractor(split_depth=13).tokens(crops) for _ in range(2))
    assert first.numpy().tobytes() == second.numpy().tobytes()


def test_bf16_stays_near_fp32_and_comes_back_as_float32() -> None:
    crops = random_crops(2)
    exact = DlibExtractor(split_depth=10).tokens(crops)
    rough = DlibExtractor(split_depth=10, precision="bf16").tokens(crops)
    assert rough.dtype == torch.float32
    error = (rough - exact).norm() / exact.norm()
    assert 0 < error < 0.03


@pytest.mark.parametrize("split_depth", [0, 15, -1])
def test_a_depth_outside_the_network_is_refused(split_depth: int) -> None:
    with pytest.raises(ConfigError, match=rf"{split_depth}, but dlib has {NUM_BLOCKS}.*1\.\.14"):
        DlibExtractor(split_depth=split_depth)


def test_a_class_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="no class token"):
        DlibExtractor(class_token=True)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(WEIGHTS_PATH.read_bytes())
    content[-1] ^= 1
    altered = tmp_path / "dlib_resnet_v1.safetensors"
    altered.write_bytes(content)
    monkeypatch.setattr(dlib_resnet, "WEIGHTS_PATH", altered)
    with pytest.raises(CorruptError, match="sha256"):
        DlibExtractor()


def test_the_vendored_file_is_small_and_has_its_notice() -> None:
    assert WEIGHTS_PATH.stat().st_size <= 12_000_000
    assert WEIGHTS_PATH.name in (WEIGHTS_PATH.parent / "NOTICE.txt").read_text()

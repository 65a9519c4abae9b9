"""The code, the coupling, and the front and server made of them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from xnn.errors import ConfigError, InsufficientDataError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.models.coupling import Coupling
from xnn.models.feature_code import FeatureCode
from xnn.models.noise_generator import FrontSettings, NoisyFront
from xnn.owner.noise.draw_key import draw_coupling
from xnn.owner.noise.stages import train_noise
from xnn.schemes import KeyStream

KEY = bytes(range(32))


def coupling(width: int = 24, *, rounds: int = 4, gain: float = 1.0, key: bytes = KEY) -> Coupling:
    made = Coupling(width, rounds=rounds, gain=gain)
    draw_coupling(made, KeyStream(key))
    return made


def codes(num: int, width: int = 24, *, seed: int = 0) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_the_inverse_gives_the_code_back(rounds: int) -> None:
    code, made = codes(200), coupling(rounds=rounds)
    sent = made(code)
    assert sent.min() >= 0
    assert sent.max() < 1
    assert (made.inverse(sent) - code).abs().max() < 0.02
    assert (made.inverse(sent) - code).abs().mean() < 2e-3, "z is rounded to float32"


def test_rounds_are_those_of_the_formula() -> None:
    made, code = coupling(rounds=3), codes(5)
    tensors = {name: t.double().numpy() for name, t in made.state_dict().items()}
    x = 0.5 + 0.12 * (code.double().numpy() @ tensors["mixing"])
    a, b = x[:, :12], x[:, 12:]
    for i in range(3):
        angles = (b - 0.5) / 0.12 @ tensors["weights"][i] + tensors["phases"][i]
        a, b = b, (a + 2 * np.sin(angles) @ tensors["turns"][i]) % 1
    away = np.abs(made(code).double().numpy() - np.concatenate([a, b], axis=1))
    assert np.minimum(away, 1 - away).max() < 1e-3


def test_the_key_decides_everything_and_is_what_it_says() -> None:
    first, again, other = coupling(), coupling(), coupling(key=bytes(32))
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in first.state_dict().items())
    code = codes(300)
    wrong = other.inverse(first(code))
    assert abs(float(torch.corrcoef(torch.stack([wrong.flatten(), code.flatten()]))[0, 1])) < 0.05
    turn = first.turns[0].double()
    assert torch.allclose(turn @ turn.T, torch.eye(12).double(), atol=1e-6)
    assert 0 <= first.phases.min() <= first.phases.max() < 2 * math.pi


def linear_trace(sent: Tensor, code: Tensor) -> float:
    """Return the mean correlation with the code of what a ridge regression reads off z."""
    x = torch.cat([torch.sin(2 * math.pi * sent), torch.cos(2 * math.pi * sent)], 1).double()
    y, half = code.double(), len(sent) // 2
    gram = x[:half].T @ x[:half] + half * 0.01 * torch.eye(x.shape[1])
    read = x[half:] @ torch.linalg.solve(gram, x[:half].T @ y[:half])
    pairs = zip(read.T, y[half:].T, strict=True)
    return float(np.mean([float(torch.corrcoef(torch.stack(p))[0, 1]) for p in pairs]))


def test_a_linear_attacker_reads_one_round_and_not_four() -> None:
    """The positive control is the weak coupling: it must be broken by the same attacker."""
    code = codes(2000)
    assert linear_trace(coupling(rounds=1, gain=0.05)(code), code) > 0.5
    assert abs(linear_trace(coupling(rounds=4)(code), code)) < 0.05


def test_the_code_keeps_what_the_embedding_needs() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(400, 3)
    tokens = (hidden @ torch.randn(3, 40)) + 0.3 * torch.randn(400, 40)
    embeddings = hidden @ torch.randn(3, 8)
    code = FeatureCode(5, 8, 3)
    code.fit(tokens.reshape(400, 5, 8), embeddings)
    found = code(tokens.reshape(400, 5, 8))
    assert torch.allclose(found.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(found.std(0), torch.ones(3), atol=0.02)
    assert list(code.spread) == sorted(code.spread, reverse=True)
    rebuilt = found @ torch.linalg.lstsq(found, embeddings - embeddings.mean(0)).solution
    assert (rebuilt - embeddings).var() < 0.1 * embeddings.var()


def test_codes_that_cannot_be_measured_are_refused() -> None:
    tokens, embeddings = torch.randn(20, 2, 4), torch.randn(20, 3)
    with pytest.raises(ConfigError, match=r"use 1\.\.3"):
        FeatureCode(2, 4, 4).fit(tokens, embeddings)
    with pytest.raises(InsufficientDataError, match="3 records"):
        FeatureCode(2, 4, 3).fit(tokens[:3], embeddings[:3])


@pytest.mark.parametrize(
    "wrong", [{"code_dim": 3, "fresh_dim": 2}, {"code_dim": 0}, {"rounds": 0}, {"gain": 0.0}]
)
def test_settings_out_of_range_are_refused(dlib: Extractor, wrong: dict[str, object]) -> None:
    parts = dlib.divide(12)

    def make() -> NoisyFront:
        settings = FrontSettings(noise="coupled", **wrong)  # type: ignore[arg-type]
        return NoisyFront(parts.lower, parts.upper, dlib.card.shape, settings)

    with pytest.raises(ConfigError):
        make()


def test_the_whole_preset_sends_a_short_random_record_that_the_server_reads(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path
) -> None:
    settings = make_settings("xnn")
    run = train_noise(faces, dlib, settings, tmp_path / "run")
    assert run.opener is not None
    crops = torch.randint(0, 255, (3, 112, 112, 3), dtype=torch.uint8)
    pixels = dlib.prepare(crops)
    with torch.no_grad():
        first, second = run.front(pixels), run.front(pixels)
        assert first.shape == (3, run.front.sent_shape.n, run.front.sent_shape.d)
        assert (first - second).abs().mean() > 0.1
        opened = run.opener(first)
        assert torch.allclose(opened, run.opener(second), atol=0.05 * float(opened.std()))
        tokens = run.front.clean(run.front.lower(pixels))
        wanted = run.front.code(tokens) * run.front.code.spread  # type: ignore[misc, union-attr]
    inside = (run.front.code(tokens).abs() < 4).all()  # type: ignore[misc]
    assert not inside or torch.allclose(opened[:, 0], wanted, atol=0.05 * float(wanted.std()))
    again = train_noise(faces, dlib, settings, tmp_path / "run", resume=True)
    assert torch.equal(again.opener.coupling.weights, run.opener.coupling.weights)  # type: ignore[union-attr]

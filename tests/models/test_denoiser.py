"""The Wiener filter in front of a student: against the formula, and what it is worth."""

import numpy as np
import pytest
import torch

from xnn.errors import ConfigError, InsufficientDataError
from xnn.models.denoiser import Denoiser
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig

N, D = 4, 3


def low_rank(num: int, seed: int = 0) -> torch.Tensor:
    """Records of five hidden numbers each, spread over all tokens."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(5, N * D))
    rows = rng.normal(size=(num, 5)) * [5, 3, 2, 1, 0.5] @ mixing + 7
    return torch.from_numpy(rows.reshape(num, N, D).astype(np.float32))


@pytest.mark.parametrize("num", [200, 8])
def test_all_directions_give_wieners_formula(num: int) -> None:
    clean, noise_variance = low_rank(num), 2.0
    denoiser = Denoiser(N, D, N * D)
    denoiser.fit(clean, noise_variance=noise_variance)
    rows = clean.flatten(1).double().numpy()
    covariance = np.cov(rows.T, bias=True)
    gain = np.linalg.solve(covariance + noise_variance * np.eye(N * D), covariance)
    seen = low_rank(6, seed=1) + torch.randn(6, N, D, generator=torch.Generator().manual_seed(0))
    wanted = rows.mean(0) + (seen.flatten(1).double().numpy() - rows.mean(0)) @ gain
    np.testing.assert_allclose(denoiser(seen).flatten(1).numpy(), wanted, atol=2e-3)


def test_it_brings_noisy_records_nearer_to_what_they_were() -> None:
    clean, test = low_rank(200), low_rank(50, seed=1)
    noisy = test + torch.randn(test.shape, generator=torch.Generator().manual_seed(0))
    denoiser = Denoiser(N, D, 5)
    denoiser.fit(clean, noise_variance=1.0)

    def error(records: torch.Tensor) -> float:
        return float((records - test).square().mean())

    assert error(denoiser(noisy)) < 0.6 * error(noisy)
    still = Denoiser(N, D, 5)
    still.fit(clean, noise_variance=0.0)
    assert error(still(test)) < 1e-3  # without noise nothing is taken off


def test_a_tail_whitens_what_its_denoiser_leaves_and_keeps_both_in_its_weights() -> None:
    clean, labels = low_rank(60), np.arange(60) % 6
    config = TailConfig(n=N, d=D, tail_depth=1, heads=1, input_norm="whiten", denoise=4)
    tail = Tail(config)
    assert tail.denoiser is not None
    tail.denoiser.fit(clean, noise_variance=1.0)
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    tail.fit_input_norm([(noisy.numpy(), labels)])
    assert tail.whitening is not None
    seen = tail.denoiser(noisy)
    assert torch.allclose(tail.whitening.mean, seen.flatten(0, 1).mean(0), atol=1e-3)
    other = Tail(TailConfig.from_dict(config.to_dict()))
    other.load_state_dict(tail.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(noisy), tail.eval()(noisy))


def test_a_tail_without_one_has_the_settings_that_it_always_had() -> None:
    assert "denoise" not in TailConfig(n=N, d=D, heads=1).to_dict()
    assert Tail(TailConfig(n=N, d=D, heads=1)).denoiser is None
    with pytest.raises(ConfigError, match="denoise=-1"):
        TailConfig(n=N, d=D, heads=1, denoise=-1)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InsufficientDataError, match="without variance"):
        Denoiser(N, D, 4).fit(torch.ones(5, N, D), noise_variance=1.0)
    with pytest.raises(InsufficientDataError, match="1 records"):
        Denoiser(N, D, 4).fit(torch.ones(1, N, D), noise_variance=1.0)
    with pytest.raises(ConfigError, match="noise_variance=-1"):
        Denoiser(N, D, 4).fit(low_rank(5), noise_variance=-1.0)

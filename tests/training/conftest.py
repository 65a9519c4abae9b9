"""Token arrays with class structure, small enough to train on within a second."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.models.margin import MarginHead
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.training.config import TrainConfig
from xnn.training.loop import FitResult, fit, new_tail_and_head
from xnn.training.presets import tiny
from xnn.training.source import ArraySource

N, D = 4, 8
NUM_CLASSES = 6
STEPS_PER_EPOCH = 3
NUM_STEPS = 4 * STEPS_PER_EPOCH


def source(num_classes: int = NUM_CLASSES, per_class: int = 8, *, seed: int = 1) -> ArraySource:
    """Return tokens scattered round a random point of each class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, 1, 1, D))
    scatter = 0.7 * rng.normal(size=(num_classes, per_class, N, D))
    tokens = (centres + scatter).reshape(-1, N, D).astype(np.float32)
    return ArraySource(tokens, np.repeat(np.arange(num_classes), per_class))


def config(**changes: object) -> TrainConfig:
    """Return 4 epochs of 3 steps, with everything on that a checkpoint must carry."""
    return tiny(**{"ema_decay": 0.8, "accelerator": "cpu", **changes})


def model(config: TrainConfig, **changes: object) -> tuple[Tail, MarginHead]:
    """Return a tail of one block, with noise and dropout, and its head."""
    settings: dict = {
        "n": N,
        "d": D,
        "tail_depth": 1,
        "heads": 2,
        "mlp_ratio": 2.0,
        "input_norm": "whiten",
        "token_dropout": 0.3,
        "feature_noise": 0.1,
        "drop_path": 0.1,
    }
    return new_tail_and_head(TailConfig(**{**settings, **changes}), NUM_CLASSES, config)


def train(
    run_dir: Path, settings: TrainConfig | None = None, **options: object
) -> tuple[Tail, MarginHead, FitResult]:
    """Train a toy."""
    settings = settings or config()
    tail, head = model(settings)
    result = fit(source(), source(4, seed=2), tail, head, settings, run_dir, **options)  # type: ignore[arg-type]
    return tail, head, result


@pytest.fixture
def toy_source() -> Callable[..., ArraySource]:
    return source


@pytest.fixture
def toy_config() -> Callable[..., TrainConfig]:
    return config


@pytest.fixture
def toy_model() -> Callable[..., tuple[Tail, MarginHead]]:
    return model


@pytest.fixture
def toy_fit() -> Callable[..., tuple[Tail, MarginHead, FitResult]]:
    return train


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep toys from waiting for threads that they do not need."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Recipes: functions that return a whole training configuration, and the tail that goes with it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from xnn.models.tail_config import TailConfig
from xnn.training.config import TrainConfig


def paper(**changes: Any) -> TrainConfig:
    """Return the paper's optimiser: SGD 0.05 with momentum, batch 256, no weight decay.

    The best epoch came at 7 to 14 in the authors' runs, so 20 epochs see it with the rate at its
    floor. On few records 20 epochs are few steps: raise `epochs` there.

    Source: arXiv:2408.04974, and its authors' code.
    """
    config = TrainConfig(
        epochs=20,
        batch_size=256,
        optimizer="sgd",
        schedule="paper",
        lr=0.05,
        lr_floor=0.001,
        warmup_epochs=3,
        decay_epochs=10,
        precision="32-true",
    )
    return dataclasses.replace(config, **changes)


def paper_tail(n: int, d: int, **changes: Any) -> TailConfig:
    """Return the paper's tail: six blocks from scratch on the records as they are.

    It reads out the mean; `read_out="index0"` is what the authors ran.
    """
    return TailConfig(**{"n": n, "d": d, "heads": heads_for(d), **changes})


def adamw(**changes: Any) -> TrainConfig:
    """Return the recipe for a few thousand records of a few hundred subjects.

    So few subjects are soon learnt by heart. The recipe starts from what the extractor knows
    already (whitened mean token, class weights at class means) and moves little from there: a low
    rate, few epochs, averaged weights. A warm-up that fills the epochs asked for is shortened.
    """
    epochs = changes.get("epochs", 10)
    config = TrainConfig(
        epochs=epochs,
        batch_size=128,
        optimizer="adamw",
        schedule="smooth",
        lr=1e-4,
        lr_floor=1e-6,
        warmup_epochs=min(1, epochs - 1),
        weight_decay=0.05,
        max_grad_norm=5.0,
        imprint_head=True,
        ema_decay=0.98,
    )
    return dataclasses.replace(config, **changes)


def adamw_tail(n: int, d: int, **changes: Any) -> TailConfig:
    """Return the tail that goes with `adamw`: one block that begins as the identity.

    More blocks gain nothing on a few hundred subjects; give `tail_depth` when there are thousands.
    """
    settings: dict[str, Any] = {
        "n": n,
        "d": d,
        "tail_depth": 1,
        "heads": heads_for(d),
        "input_norm": "whiten",
        "start": "identity",
        "token_dropout": 0.0 if changes.get("read_out") == "index0" else 0.6,
    }
    return TailConfig(**{**settings, **changes})


def tiny(**changes: Any) -> TrainConfig:
    """Return a recipe that ends within seconds, for tests and trials."""
    settings = {"epochs": 4, "batch_size": 16, "lr": 3e-3, "log_every_steps": 1, "ema_decay": 0.0}
    return adamw(**{**settings, **changes})


def heads_for(width: int) -> int:
    """Return the most attention heads, up to 12, that divide the width and are 32 wide or more."""
    fitting = [h for h in range(1, 13) if width % h == 0 and width // h >= 32]
    return max(fitting, default=1)


PRESETS: dict[str, Callable[..., TrainConfig]] = {"adamw": adamw, "paper": paper, "tiny": tiny}
TAIL_PRESETS: dict[str, Callable[..., TailConfig]] = {
    "adamw": adamw_tail,
    "paper": paper_tail,
    "tiny": adamw_tail,
}
"""The tail that goes with each preset, for records of n tokens of width d."""

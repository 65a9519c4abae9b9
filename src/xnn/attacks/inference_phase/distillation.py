"""Teach a tail what a public recogniser says of the same photographs."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn
from torch.nn import functional

from xnn.errors import ConfigError
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig

_MAX_GRAD_NORM = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationSettings:
    """How long and how hard to train.

    Raises:
        ConfigError: A setting is out of range.
    """

    epochs: int = 12
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    max_steps: int | None = None
    """Stop here whatever the epochs say; None never does."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.lr > 0 or self.weight_decay < 0:
            raise ConfigError(
                f"epochs={self.epochs}, batch_size={self.batch_size}, lr={self.lr:g}, "
                f"weight_decay={self.weight_decay:g}; use 1 or more, 1 or more, above 0, 0 or more"
            )


@final
class Distilled(nn.Module):
    """A tail and the map from its embedding to the recogniser's."""

    def __init__(self, tail: Tail, width: int) -> None:
        super().__init__()
        self.tail = tail
        self.to_embedding = nn.Linear(tail.config.output_dim, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what the recogniser would say, any length."""
        foreseen: torch.Tensor = self.to_embedding(self.tail(tokens))
        return foreseen


def distil(
    records: Float32[np.ndarray, "b m e"],
    targets: Float32[np.ndarray, "b t"],
    labels: Int64[np.ndarray, " b"],
    tail: TailConfig,
    settings: DistillationSettings,
    *,
    seed: int,
) -> Distilled:
    """Train a tail to turn records into the directions of the recogniser's embeddings.

    The loss is 1 minus the cosine. Torch's global generator is left as it was.

    Args:
        records: Of the attacker's photographs.
        targets: The recogniser's embedding of each, less the mean embedding.
        labels: Person of each, for the whitening.
        tail: Shape of the tail.
        settings: See there.
        seed: Of the weights and of the order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Distilled(Tail(tail), targets.shape[1])
        model.tail.fit_input_norm([(records, labels)])
        _train(model, records, targets, settings, np.random.default_rng(seed))
    return model.eval()


def _train(
    model: Distilled,
    records: Float32[np.ndarray, "b m e"],
    targets: Float32[np.ndarray, "b t"],
    settings: DistillationSettings,
    rng: np.random.Generator,
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    per_epoch = max(1, len(records) // settings.batch_size)
    steps = settings.epochs * per_epoch
    if settings.max_steps is not None:
        steps = min(steps, settings.max_steps)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=steps + 1, pct_start=0.1
    )
    model.train()
    order = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < settings.batch_size:
            order = rng.permutation(len(records))
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        foreseen = model(torch.from_numpy(records[rows]))
        loss = 1 - functional.cosine_similarity(foreseen, torch.from_numpy(targets[rows])).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()

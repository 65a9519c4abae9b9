"""Every setting of a training run, and the presets."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from xnn.errors import ConfigError
from xnn.models.margin import MARGINS

Precision = Literal["auto", "32-true", "bf16-mixed"]

OPERATIONAL = ("accelerator", "devices", "checkpoint_minutes")
"""Settings that say where and how, not what: a resumed run may change them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of one training run.

    Raises:
        ConfigError: A setting is out of range.
    """

    epochs: int
    """Passes over the training records, at least 1."""
    batch_size: int
    """Records per optimizer step, over all processes together."""
    optimizer: str
    """`sgd` or `adamw`."""
    schedule: str
    """`paper_lr`, stepped per epoch, or `smooth_lr`, stepped per step."""
    lr: float
    """Peak learning rate."""
    lr_floor: float
    warmup_epochs: int
    decay_epochs: int = 10
    """Length of the paper's cosine; `smooth` always ends with the last step."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0
    """Decoupled for AdamW; matrices only, never norms, biases or class tokens."""
    head: str = "am-softmax"
    """A name of `xnn.models.margin.MARGINS`."""
    head_scale: float | None = None
    """None takes the published value, as for the margin."""
    head_margin: float | None = None
    imprint_head: bool = False
    """Begin with class weights at the mean embedding of each class; see `MarginHead.imprint`."""
    max_grad_norm: float | None = None
    """Clip the gradient to this length; None never clips."""
    ema_decay: float = 0.0
    """Average the weights over about 1 / (1 - decay) steps, and keep the average; 0 is off."""
    validate_every_epochs: int = 1
    patience: int | None = None
    """Stop after this many validations without a better one; None never stops early."""
    checkpoint_minutes: float = 10.0
    """Between checkpoints; 0 writes one after every step. One is written at the end regardless."""
    log_every_steps: int = 10
    seed: int = 0
    """Of initial weights, order of records and noise; never of a key."""
    precision: str = "auto"
    """`auto`, `32-true` or `bf16-mixed`; `auto` takes bf16 on a GPU that has it."""
    accelerator: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    devices: int = 1
    """Processes; the batch is divided over them."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "validate_every_epochs", "log_every_steps", "devices"):
            _require(self, name, lambda v: v >= 1, "use 1 or more")
        for name in ("warmup_epochs", "decay_epochs", "weight_decay", "checkpoint_minutes", "seed"):
            _require(self, name, lambda v: 0 <= v < math.inf, "use 0 or more")
        _require(self, "lr", lambda v: 0 < v < math.inf, "use a rate above 0")
        _require(self, "lr_floor", lambda v: 0 <= v <= self.lr, f"use 0..lr, here {self.lr:g}")
        for name in ("momentum", "ema_decay"):
            _require(self, name, lambda v: 0 <= v < 1, "use a fraction in [0, 1)")
        for name in ("max_grad_norm", "patience", "head_scale"):
            _require(self, name, lambda v: v is None or 0 < v < math.inf, "use None or above 0")
        _require(self, "head_margin", lambda v: v is None or 0 <= v < 1, "use None or [0, 1)")
        _require(self, "head", lambda v: v in MARGINS, f"use one of {', '.join(MARGINS)}")
        _one_of(self, "optimizer", ("sgd", "adamw"))
        _one_of(self, "schedule", ("paper", "smooth"))
        _one_of(self, "precision", get_args(Precision))
        _one_of(self, "accelerator", ("auto", "cpu", "cuda"))
        if self.schedule == "smooth":
            _require(self, "warmup_epochs", lambda v: v < self.epochs, "use fewer than epochs")
        if self.batch_size % self.devices:
            raise ConfigError(
                f"batch_size={self.batch_size} does not divide over devices={self.devices}; "
                "use a multiple"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return dataclasses.asdict(self)


def _require(config: TrainConfig, name: str, holds: Callable[[Any], bool], remedy: str) -> None:
    value = getattr(config, name)
    if not holds(value):
        raise ConfigError(f"{name}={value!r}: {remedy}")


def _one_of(config: TrainConfig, name: str, allowed: tuple[str, ...]) -> None:
    _require(config, name, lambda v: v in allowed, f"use one of {', '.join(allowed)}")

"""What a training run is made of between two steps, as plain data where it can be."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from xnn.training.validate import ValidationScores


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of the training history. Losses are means over the epoch; shares are fractions."""

    epoch: int
    """From 0."""
    step: int
    """Optimizer steps done when the epoch ended."""
    train_loss: float
    lr: float
    """Of the last step."""
    val_rank_1: float | None
    """None where this epoch was not validated."""
    val_eer: float | None
    data_wait_share: float
    """Share of the training time in which the trainer stood still for data."""
    wall_s: float
    """Since training began, over all resumptions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best validation so far."""

    step: int
    """0 where training never beat an imprinted start."""
    scores: ValidationScores


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run stands; with the tensors of the modules it is the whole state."""

    step: int = 0
    """Optimizer steps done."""
    epoch_loss: float = 0.0
    """Sum of the step losses in the unfinished epoch."""
    history: list[EpochRecord] = field(default_factory=list)
    best: Best | None = None
    best_tail: dict[str, Tensor] | None = None
    """Weights of the best tail, on the CPU."""
    validations_since_best: int = 0
    wall_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the tensors as plain data."""
        return {
            "step": self.step,
            "epoch_loss": self.epoch_loss,
            "history": [asdict(record) for record in self.history],
            "best": None if self.best is None else asdict(self.best),
            "validations_since_best": self.validations_since_best,
            "wall_s": self.wall_s,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Progress":
        """Read `to_dict` back; raises KeyError or TypeError on another form."""
        best = value["best"]
        return cls(
            step=value["step"],
            epoch_loss=value["epoch_loss"],
            history=[EpochRecord(**record) for record in value["history"]],
            best=best and Best(step=best["step"], scores=ValidationScores(**best["scores"])),
            validations_since_best=value["validations_since_best"],
            wall_s=value["wall_s"],
        )

"""Every setting of the three stages."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from xnn.errors import ConfigError
from xnn.models.noise_generator import FrontSettings
from xnn.models.tail_config import TailConfig
from xnn.training.config import OPERATIONAL, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GameSettings:
    """Stage 2. The losses are cross-entropies of AM-Softmax over the owner's subjects.

    Raises:
        ConfigError: A value is out of range.
    """

    train: TrainConfig
    """Epochs, batch, optimiser and schedule of both players."""
    tail: TailConfig
    """Of the auxiliary tail."""
    generator_weight: float = -0.7
    """Times the auxiliary tail's loss, for the generator's step."""
    tail_weight: float = 0.3
    """Times the same loss on z made anew, for the auxiliary tail's step."""
    measure_every_epochs: int = 0
    """Epochs between measurements with fresh players, of which the best is kept; see
    `stopping.FreshPlayers`. 0 plays to the last epoch, as the authors did."""

    def __post_init__(self) -> None:
        if not -math.inf < self.generator_weight < 0 < self.tail_weight < math.inf:
            raise ConfigError(
                f"generator_weight={self.generator_weight:g}, tail_weight={self.tail_weight:g}; "
                "the generator's is below 0 and the tail's above"
            )
        if self.measure_every_epochs < 0:
            raise ConfigError(f"measure_every_epochs={self.measure_every_epochs}; use 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSettings:
    """Stage 3: alpha MSE(student's logits, teacher's) + (1 - alpha) CE(student's logits, label).

    Raises:
        ConfigError: A value is out of range.
    """

    train: TrainConfig
    tail: TailConfig
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha={self.alpha:g}; use a fraction in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSettings:
    """One run: a front, and how its three stages are trained."""

    preset: str
    front: FrontSettings
    teacher: TrainConfig
    teacher_tail: TailConfig
    game: GameSettings | None
    """None where the front has nothing to train."""
    student: StudentSettings
    mirror: bool = False
    """Train on mirror images too."""
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        content = dataclasses.asdict(self)
        content["teacher_tail"] = self.teacher_tail.to_dict()
        content["student"]["tail"] = self.student.tail.to_dict()
        if self.game is not None:
            content["game"]["tail"] = self.game.tail.to_dict()
            if not self.game.measure_every_epochs:  # runs begun before it could be set go on
                del content["game"]["measure_every_epochs"]
        return content


def asked(config: TrainConfig, prefix: str) -> dict[str, Any]:
    """Return the settings that a resumed stage must share, by flat names."""
    named = config.to_dict().items()
    return {f"{prefix}.{name}": value for name, value in named if name not in OPERATIONAL}

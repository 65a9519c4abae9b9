"""Stage 2: the generator against an auxiliary tail that learns to recognise from z."""

from typing import final

import numpy as np
import torch
from torch import Tensor

from xnn.errors import ConfigError
from xnn.models.noise_generator import NoisyFront
from xnn.owner.noise.maps import Maps
from xnn.owner.noise.sent import CleanFeatures
from xnn.owner.noise.settings import GameSettings
from xnn.owner.noise.steps import Row, Stage
from xnn.owner.noise.stopping import FreshPlayers, stopping_score
from xnn.training.batches import BatchPlan
from xnn.training.loop import new_tail_and_head
from xnn.training.optimizer import lr_at, new_optimizer, set_lr
from xnn.training.run import TailAndHead


@final
class Game(Stage):
    """One batch, two steps: first the generator away from what the tail knows, then the tail after.

    1. z; -0.7 CE of the tail on z; a step of G and LN_g only.
    2. z made anew with the new G, without gradient; 0.3 CE; a step of the tail and its head only.

    Neither optimiser has weight decay, so with SGD the two weights are factors of the rate.

    Source: stage 2 of the XNN-d authors' code (arXiv:2408.04974).
    """

    name = "game"

    def __init__(
        self,
        front: NoisyFront,
        maps: Maps,
        settings: GameSettings,
        players: FreshPlayers | None = None,
    ) -> None:
        self.players = players
        config = settings.train
        self.front, self.maps, self.settings = front, maps, settings
        self.clean = CleanFeatures(front, maps)
        num_classes = int(maps.labels.max()) + 1
        tail, head = new_tail_and_head(settings.tail, num_classes, config)
        self.adversary = TailAndHead(tail, head)
        generator = front.generator
        if generator is None:
            raise ConfigError("a front without a generator has no game; set noise='generator'")
        self.modules = {"generator": generator, "adversary": self.adversary}
        self.optimizers = {
            "generator": new_optimizer(config, generator),
            "adversary": new_optimizer(config, self.adversary),
        }
        self.plan = BatchPlan(num_records=len(maps), batch_size=config.batch_size, seed=config.seed)
        self.epochs = config.epochs
        self.log_every_steps = config.log_every_steps
        self.chance_loss = head.chance_loss()

    def step(self, step: int, indices: np.ndarray) -> dict[str, Tensor]:
        """Make the generator's step, then the tail's."""
        lr = lr_at(self.settings.train, step, steps_per_epoch=self.plan.steps_per_epoch)
        for optimizer in self.optimizers.values():
            set_lr(optimizer, lr)
        x, labels = self.maps.read(indices), torch.from_numpy(self.maps.labels[indices])
        clean = self.clean.read(indices)
        generator_loss = self._move_generator(x, clean, labels)
        with torch.no_grad():
            z = self.front.add_noise(x, clean)
        tail_loss = self.adversary(z, labels)
        self._move("adversary", self.settings.tail_weight * tail_loss)
        noise = z - clean
        return {
            "tail_loss": tail_loss,
            "loss_before_generator": generator_loss,
            "noise_rms": noise.square().mean().sqrt(),
        }

    def end_epoch(self, epoch: int) -> Row:
        """Measure with fresh players, where the settings ask for it."""
        every = self.settings.measure_every_epochs
        if self.players is None or not every or (epoch + 1) % every:
            return {}
        return self.players.measure()

    def score(self, row: Row) -> float | None:
        """Keep the epoch at which students lead attackers most; or the last one."""
        return stopping_score(row)

    def _move_generator(self, x: Tensor, clean: Tensor, labels: Tensor) -> Tensor:
        self.adversary.requires_grad_(requires_grad=False)
        loss: Tensor = self.adversary(self.front.add_noise(x, clean), labels)
        self._move("generator", self.settings.generator_weight * loss)
        self.adversary.requires_grad_(requires_grad=True)
        return loss

    def _move(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self.settings.train.max_grad_norm
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(self.modules[name].parameters(), limit)
        optimizer.step()

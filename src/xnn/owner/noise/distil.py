"""Stage 3: a student learns from z what the teacher says of the clean features."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xnn.models.margin import MarginHead
from xnn.models.noise_generator import NoisyFront
from xnn.models.tail import Tail
from xnn.owner.noise.maps import Maps
from xnn.owner.noise.sent import Sent
from xnn.owner.noise.settings import StudentSettings
from xnn.owner.noise.steps import Row, Stage, step_seed
from xnn.training.batches import BatchPlan
from xnn.training.loop import new_tail_and_head
from xnn.training.optimizer import lr_at, new_optimizer, set_lr
from xnn.training.run import TailAndHead
from xnn.training.validate import mean_rank_1

_EVAL_SEED = 1 << 40
"""Fresh noise of evaluations is seeded apart from that of training steps."""
_MEASURED_RECORDS = 4000
"""Most training records that a code or a denoiser is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """The tail and the head of stage 1, frozen."""

    tail: Tail
    head: MarginHead


@final
class Distillation(Stage):
    """alpha MSE(logits_S, logits_T) + (1 - alpha) CE(logits_S, y).

    The margin is taken off the same entry on both sides and cancels in the first term, so with
    alpha 1 labels play no role: it is s^2 times the mean squared difference of cosines.

    Source: stage 3 of the XNN-d authors' code (arXiv:2408.04974).
    """

    name = "student"

    def __init__(
        self,
        front: NoisyFront,
        teacher: Teacher,
        maps: Maps,
        val_maps: Maps | None,
        settings: StudentSettings,
    ) -> None:
        config = settings.train
        self.settings, self.sent = settings, Sent(front, maps)
        self.val_sent = None if val_maps is None else Sent(front, val_maps)
        num_classes = int(maps.labels.max()) + 1
        tail, head = new_tail_and_head(settings.tail, num_classes, config)
        self.student = TailAndHead(tail, head)
        self.opener = front.opener()
        self.noise_variance = front.settings.scale**2
        self.teacher_head = teacher.head
        self.known = embed_clean(teacher.tail, self.sent)
        self.modules = {"student": self.student}
        self.optimizers = {"student": new_optimizer(config, self.student)}
        self.plan = BatchPlan(num_records=len(maps), batch_size=config.batch_size, seed=config.seed)
        self.epochs = config.epochs
        self.log_every_steps = config.log_every_steps
        self.scores_start = config.imprint_head
        # A student whose cosines are all 0 misses the teacher's by their own mean square.
        self.chance_loss = settings.alpha * self._mean_square_of_teacher()
        self.chance_loss += (1 - settings.alpha) * head.chance_loss()

    def start_from_features(self) -> None:
        """Measure denoiser and input norm and imprint the head, where the settings ask for it."""
        tail, head = self.student.tail, self.student.head
        if tail.denoiser is not None:
            rows = np.random.default_rng(self.settings.train.seed).permutation(len(self.sent))
            clean = self.sent.clean.read(np.sort(rows[:_MEASURED_RECORDS]))
            tail.denoiser.fit(clean, noise_variance=self.noise_variance)
        if tail.whitening is None and not self.settings.train.imprint_head:
            return
        records = self._open(self._all(self.sent))
        if tail.whitening is not None:
            tail.fit_input_norm([(records.numpy(), self.sent.labels)])
        if self.settings.train.imprint_head:
            head.imprint(embed_sent(tail, records), torch.from_numpy(self.sent.labels))

    def step(self, step: int, indices: np.ndarray) -> dict[str, Tensor]:
        """Make one step of the student and its head."""
        optimizer = self.optimizers["student"]
        set_lr(
            optimizer, lr_at(self.settings.train, step, steps_per_epoch=self.plan.steps_per_epoch)
        )
        labels = torch.from_numpy(self.sent.labels[indices])
        with torch.no_grad():
            z = self._open(self.sent.read(indices))
            wanted = self.teacher_head(self.known[torch.from_numpy(indices)], labels)
        self.student.train()
        logits = self.student.head(self.student.tail(z), labels)
        alpha = self.settings.alpha
        loss = alpha * F.mse_loss(logits, wanted)
        if alpha < 1:
            loss = loss + (1 - alpha) * F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self.settings.train.max_grad_norm
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), limit)
        optimizer.step()
        return {"loss": loss}

    def end_epoch(self, epoch: int) -> Row:
        """Search the validation subjects."""
        if self.val_sent is None:
            return {}
        records = self._open(self._all(self.val_sent))
        embeddings = embed_sent(self.student.tail, records).numpy()
        return {"val_rank_1": mean_rank_1(embeddings, self.val_sent.labels)}

    def score(self, row: Row) -> float | None:
        """Keep the epoch that recognises the validation subjects best."""
        return row.get("val_rank_1")

    def _all(self, sent: Sent) -> Tensor:
        return sent.read_all(seed=step_seed(self.settings.train.seed, _EVAL_SEED))

    @torch.no_grad()
    def _open(self, records: Tensor) -> Tensor:
        return records if self.opener is None else self.opener(records)

    @torch.no_grad()
    def _mean_square_of_teacher(self) -> float:
        cosines = self.teacher_head.cosines(self.known)
        return float(self.teacher_head.scale**2 * cosines.square().mean())


def embed_clean(tail: Tail, sent: Sent) -> Float[Tensor, "records e"]:
    """Return the teacher's embedding of every record."""
    rows = np.array_split(np.arange(len(sent)), len(sent) // 256 + 1)
    return torch.cat([embed_sent(tail, sent.clean.read(part)) for part in rows])


@torch.no_grad()
def fit_code(front: NoisyFront, teacher: Teacher, maps: Maps, *, seed: int) -> None:
    """Measure a coupled front's code on training records, at most `_MEASURED_RECORDS` of them."""
    if front.code is None:
        return
    drawn = np.random.default_rng(seed).permutation(len(maps))[:_MEASURED_RECORDS]
    parts = [front.clean(maps.read(rows)) for rows in np.array_split(drawn, len(drawn) // 64 + 1)]
    tokens = torch.cat(parts)
    front.code.fit(tokens, F.normalize(embed_sent(teacher.tail, tokens)))


@torch.no_grad()
def embed_sent(tail: Tail, records: Float[Tensor, "records n d"]) -> Float[Tensor, "records e"]:
    """Return a tail's embedding of every record that it can read."""
    was_training = tail.training
    tail.eval()
    out = torch.cat([tail(part) for part in torch.split(records, 256)])
    tail.train(was_training)
    return out

"""Expectation inverse: a decoder from records to pictures, trained for keys in general.

At every step the attacker draws a key of its own, and its decoder learns to draw the photographs
behind the records whatever the key is. The last layer starts as the principal components of the
attacker's photographs, so that even a decoder that learned nothing draws a face: the mean one.

Source: method.md 4.4 (the paper line's inverse network, fresh keys per step, loss -SSIM); here for
token records, with L1 beside SSIM.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.record_inputs import inner_products
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard
from xnn.types import CROP_SIZE_PX

_FEWEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: A size does not divide that of a crop.
    """

    size_px: int = 28
    """Side of the pictures learned; they are enlarged afterwards."""
    components: int = 160
    """Principal components the decoder starts with."""
    hidden: int = 512
    steps: int = 500
    keys: int = 60
    """Drawn in all, one after the other: each serves steps / keys steps."""
    batch_size: int = 64
    lr: float = 1e-3
    ssim_weight: float = 0.5
    """Of 1 - SSIM; the rest is L1."""

    def __post_init__(self) -> None:
        if self.size_px < 14 or CROP_SIZE_PX % self.size_px:
            raise ConfigError(f"size_px={self.size_px}; use 14, 16, 28, 56 or {CROP_SIZE_PX}")


@final
class ExpectationInverse(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="expectation-inverse",
        phase="training",
        goal="linkage",
        summary="trains a decoder from records to pictures under a fresh key of its own at a time",
        source="arXiv:2408.04974's line of inverse networks",
        learned=True,
    )

    def __init__(self, settings: InverseSettings | None = None) -> None:
        self._settings = settings or InverseSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return "no keyed scheme to play" if scheme is None else None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Train under keys of the attacker's own, then draw the face behind each probe.

        Args:
            observation: Needs public faces with their crops.
            seed: Of keys, batches and the decoder.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Fewer than 16 public faces.

        Trust: adversary.
        """
        public = observation.public
        if len(public) < _FEWEST:
            raise InsufficientDataError(
                f"{len(public)} public faces; a decoder needs at least {_FEWEST}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder, losses = _train(observation, self._settings, seed)
        whitening = UploadWhitening.of(observation.records)
        return Answer(
            pictures=_draw(decoder, whitening(observation.probe_records)),
            details={"loss_first": round(losses[0], 4), "loss_last": round(losses[-1], 4)},
        )


@final
class RecordDecoder(nn.Module):
    """From whitened records, token by token and by what no key changes, to small pictures."""

    def __init__(self, record: Tensor, pictures: Tensor, settings: InverseSettings) -> None:
        super().__init__()
        self._size = settings.size_px
        inputs = record.numel() + len(_products(record[None])[0])
        flat = pictures.flatten(1)
        self.register_buffer("mean", flat.mean(dim=0))
        _, scales, axes = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)
        kept = min(settings.components, len(axes))
        deviations = scales[:kept] / len(flat) ** 0.5
        self.components = nn.Parameter(deviations[:, None] * axes[:kept])
        self.norm = nn.BatchNorm1d(inputs)
        self.direct = nn.Linear(inputs, kept)
        self.body = nn.Sequential(
            nn.Linear(inputs, settings.hidden),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(settings.hidden, kept),
        )
        nn.init.zeros_(self.direct.weight)

    def forward(self, records: Float[Tensor, "b m w"]) -> Float[Tensor, "b 3 h h"]:
        """Draw pictures in [0, 1]."""
        read = self.norm(torch.cat([records.flatten(1), _products(records)], dim=1))
        weights = self.direct(read) + self.body(read)
        drawn = self.mean + weights @ self.components
        return drawn.reshape(-1, 3, self._size, self._size).clamp(0, 1)


def _products(records: Tensor) -> Tensor:
    return torch.from_numpy(inner_products(records.detach().numpy()))


def _train(
    observation: Observation, settings: InverseSettings, seed: int
) -> tuple[RecordDecoder, list[float]]:
    public = observation.public
    pictures = _small(public.crops, settings.size_px)
    keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
    rng = np.random.default_rng(seed)
    per_key = max(1, settings.steps // settings.keys)
    records = _upload(keys, public)
    decoder = RecordDecoder(records[0], pictures, settings)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=settings.lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=settings.steps + 1
    )
    size = min(settings.batch_size, len(public))
    losses = []
    for step in range(settings.steps):
        if step and step % per_key == 0:
            records = _upload(keys, public)
        rows = torch.from_numpy(rng.permutation(len(public))[:size])
        loss = _loss(decoder(records[rows]), pictures[rows], settings.ssim_weight)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return decoder.eval(), losses


def _upload(keys: OwnKeys, public: OwnFaces) -> Tensor:
    """Return the attacker's faces under the next key, whitened by themselves."""
    records = keys.records(keys.draw(), public)
    return torch.from_numpy(UploadWhitening.of(records)(records))


def _loss(drawn: Tensor, true: Tensor, ssim_weight: float) -> Tensor:
    # Loaded here: it takes seconds, and every command reads the suite.
    from torchmetrics.functional.image import structural_similarity_index_measure

    likeness = structural_similarity_index_measure(drawn, true, data_range=1.0, kernel_size=7)
    if isinstance(likeness, tuple):
        likeness = likeness[0]
    apart = functional.l1_loss(drawn, true)
    return ssim_weight * (1 - likeness) + (1 - ssim_weight) * apart


def _small(crops: UInt8[np.ndarray, "b 112 112 3"], size_px: int) -> Tensor:
    """Return pictures (b, 3, size, size) in [0, 1], each pixel the mean of what it covers."""
    wide = torch.from_numpy(crops).permute(0, 3, 1, 2)
    parts = [
        functional.avg_pool2d(part.float() / 255, CROP_SIZE_PX // size_px)
        for part in torch.split(wide, 256)
    ]
    return torch.cat(parts)


@torch.no_grad()
def _draw(
    decoder: RecordDecoder, records: Float32[np.ndarray, "q m w"]
) -> UInt8[np.ndarray, "q 112 112 3"]:
    drawn = []
    for part in torch.split(torch.from_numpy(records), 256):
        large = functional.interpolate(
            decoder(part), size=CROP_SIZE_PX, mode="bicubic", align_corners=False
        )
        drawn.append((large.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.ascontiguousarray(np.concatenate(drawn))

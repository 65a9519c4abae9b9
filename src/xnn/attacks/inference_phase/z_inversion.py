"""Decode z to pixels: a linear decoder learned from queried photographs.

From z the attacker foresees the principal components of its photographs by ridge regression, and
paints the face of every probe. A judge, not the attacker, says whether a recogniser knows the face
again. The features behind z are decoded alike, and linked with the gallery.

Source: this project (redteam.md, A7); the nonlinear decoder of the prototype's list is not here.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import Queried, affordable, ask, no_queries, spread
from xnn.attacks.inference_phase.ridge_denoiser import link
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.denoiser import fit_denoiser
from xnn.attacks.statistics.dual_ridge import DualRidge, fit_chosen
from xnn.attacks.statistics.held_out import held_out_people
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST = 8
_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: No component.
    """

    components: int = 300
    """Principal components of the photographs that are foreseen."""
    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""
    features: bool = True
    """Whether the features behind z are decoded and linked too."""

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ConfigError(f"components={self.components}; use 1 or more")


@final
class ZInversion(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="z-inversion",
        phase="inference",
        goal="linkage",
        summary="decodes z to pixels and to features by ridge regression from queried photographs",
        source="this project",
    )

    def __init__(self, settings: InversionSettings | None = None) -> None:
        self._settings = settings or InversionSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query, learn to decode, decode.

        Raises:
            InsufficientDataError: No front end, or fewer than 8 photographs may be asked about.

        Trust: adversary.
        """
        settings = self._settings
        num = affordable(observation, settings.queries, gallery=False)
        asked = ask(observation, spread(observation.public, num, seed=seed))
        if len(asked) < _FEWEST:
            raise InsufficientDataError(f"{len(asked)} queries; a decoder needs {_FEWEST}")
        pixels = _Pixels(asked.faces.crops, settings.components)
        decode, error = _decoder(asked, pixels, seed)
        details: dict[str, int | float | str] = {
            "queries": len(asked),
            "strength": decode.strength,
            "pixels_unexplained": round(error, 4),
        }
        pictures = pixels.paint(decode(observation.probe_records))
        if settings.features:
            denoise, found = fit_denoiser(
                asked.records, asked.faces.tokens, observation.public.tokens, seed=seed
            )
            details |= {f"features_{name}": value for name, value in found.items()}
            linked = link(
                denoise(observation.probe_records), observation, seed=seed, details=details
            )
            return replace(linked, pictures=pictures)
        return Answer(pictures=pictures, details=details)


class _Pixels:
    """Photographs as principal components, and back."""

    def __init__(self, crops: UInt8[np.ndarray, "b 112 112 3"], components: int) -> None:
        flat = crops.reshape(len(crops), -1).astype(np.float32)
        self.mean: Float32[np.ndarray, " p"] = flat.mean(axis=0)
        flat -= self.mean
        values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
        kept = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-12))[::-1][:components]
        roots = np.sqrt(values[kept])
        self.codes: Float64[np.ndarray, "b k"] = vectors[:, kept] * roots
        self.basis: Float32[np.ndarray, "k p"] = (vectors[:, kept] / roots).T.astype(
            np.float32
        ) @ flat

    def paint(self, codes: Float[np.ndarray, "q k"]) -> UInt8[np.ndarray, "q 112 112 3"]:
        """Return pictures, cut off at black and white."""
        pictures = np.empty((len(codes), self.basis.shape[1]), dtype=np.uint8)
        for i, code in enumerate(codes.astype(np.float32)):
            pictures[i] = np.clip(np.rint(code @ self.basis + self.mean), 0, 255)
        return pictures.reshape(len(codes), 112, 112, 3)


def _decoder(asked: Queried, pixels: _Pixels, seed: int) -> tuple[DualRidge, float]:
    """Return the decoder and the share of the pixels' variance it leaves of people held out."""
    held = held_out_people(asked.faces.labels, share=_HELD_OUT, seed=seed)
    if not held.any():
        held = np.arange(len(asked)) % 5 == 0
    truth = pixels.codes[held]
    spread_out = float(np.square(truth - truth.mean(axis=0)).sum())

    def quality(foreseen: Float64[np.ndarray, "h k"]) -> float:
        return -float(np.square(foreseen - truth).sum()) / max(spread_out, 1e-12)

    decode, best = fit_chosen(asked.records, pixels.codes, held=held, quality=quality)
    return decode, -best

"""Attribute heads: what z tells of a face beside who it is.

For every attribute a head is learned from queried z by ridge regression. No attribute labels ship
with the faces, so the default attributes are derived from the attacker's own photographs: light and
colour of the picture (`brightness`, `contrast`, `warmth`, `side_light`), and whether a face lies
above the median of one of the first principal components of a public recogniser's embeddings
(`look_1`..), along which sex and complexion are known to lie, unnamed. Whoever has labels passes
them in `attributes`. Held-out public people tell how well each head does; probes are then linked to
the suspects whose looks agree: a soft biometric.

Source: this project (redteam.md, A12).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import affordable, ask, no_queries, spread
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.statistics.dual_ridge import DualRidge, fit_strengths
from xnn.attacks.statistics.held_out import held_out_people
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard

Attributes = Callable[[OwnFaces], dict[str, Bool[np.ndarray, " b"]]]
"""What each photograph shows, by name of the attribute."""

_FEWEST = 16
_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: No look to derive.
    """

    looks: int = 6
    """Principal components of the recogniser's embeddings taken as attributes."""
    attributes: Attributes | None = None
    """Labels of the attacker's own instead of the derived ones."""
    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""

    def __post_init__(self) -> None:
        if self.looks < 1:
            raise ConfigError(f"looks={self.looks}; derive 1 or more")


@final
class AttributeHeads(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="attribute-heads",
        phase="inference",
        goal="linkage",
        summary="learns attributes from queried z, links probes to suspects of the same looks",
        source="this project",
    )

    def __init__(self, settings: AttributeSettings | None = None) -> None:
        self._settings = settings or AttributeSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query, learn the heads, link by looks.

        Returns:
            Scores by agreement of the looks, and for each attribute the area under the curve on
            public people held out (`auc_NAME`; 0.5 is chance).

        Raises:
            InsufficientDataError: No front end, or fewer than 16 photographs may be asked about.

        Trust: adversary.
        """
        settings = self._settings
        num = affordable(observation, settings.queries, gallery=False)
        asked = ask(observation, spread(observation.public, num, seed=seed))
        if len(asked) < _FEWEST:
            raise InsufficientDataError(f"{len(asked)} queries; attribute heads need {_FEWEST}")
        looks = Looks(observation.public, settings.looks)
        own = settings.attributes or _light
        shown = own(asked.faces) | looks.attributes(asked.faces)
        held = held_out_people(asked.faces.labels, share=_HELD_OUT, seed=seed)
        if not held.any():
            held = np.arange(len(asked)) % 5 == 0
        targets = np.stack([2.0 * column - 1.0 for column in shown.values()], axis=1)
        heads, areas = _fit(asked.records, targets, held)
        foreseen = heads(observation.probe_records)[:, -settings.looks :]
        there = looks.sides(observation.gallery)
        return Answer(
            scores=foreseen @ there.T,
            details={"queries": len(asked)}
            | {f"auc_{name}": round(a, 4) for name, a in zip(shown, areas, strict=True)},
        )


class Looks:
    """On which side of the public median a face lies, by principal component of its embedding."""

    def __init__(self, public: OwnFaces, num: int) -> None:
        centred = public.embeddings - public.embeddings.mean(axis=0)
        _, _, directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
        if len(directions) < num:
            raise ConfigError(f"looks={num}, but embeddings have {len(directions)} components")
        self._directions = directions[:num]
        self._medians = np.median(public.embeddings @ self._directions.T, axis=0)

    def sides(self, faces: OwnFaces) -> Float64[np.ndarray, "b k"]:
        """Return 1 above the median and -1 below."""
        above = faces.embeddings @ self._directions.T > self._medians
        return 2.0 * above - 1.0

    def attributes(self, faces: OwnFaces) -> dict[str, Bool[np.ndarray, " b"]]:
        """Return the same as attributes by name."""
        return {f"look_{i + 1}": side > 0 for i, side in enumerate(self.sides(faces).T)}


def _light(faces: OwnFaces) -> dict[str, Bool[np.ndarray, " b"]]:
    """Return what the picture itself shows; attributes that never change are left out."""
    crops = faces.crops[:, ::4, ::4].astype(np.float64)
    grey = crops.mean(axis=3)
    half = grey.shape[2] // 2
    measured = {
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "warmth": (crops[..., 0] - crops[..., 2]).mean(axis=(1, 2)),
        "side_light": grey[:, :, :half].mean(axis=(1, 2)) - grey[:, :, half:].mean(axis=(1, 2)),
    }
    sides = {name: values > np.median(values) for name, values in measured.items()}
    return {name: side for name, side in sides.items() if side.any() and not side.all()}


def _fit(
    records: np.ndarray, targets: Float64[np.ndarray, "b a"], held: Bool[np.ndarray, " b"]
) -> tuple[DualRidge, list[float]]:
    """Return heads of the strength with the best mean area on the rows held out, and its areas."""
    tried = fit_strengths(records[~held], targets[~held])
    areas = [
        [area(f, t) for f, t in zip(one(records[held]).T, targets[held].T, strict=True)]
        for one in tried
    ]
    best = int(np.argmax([np.mean(a) for a in areas]))
    return DualRidge.fit(records, targets, strength=tried[best].strength), areas[best]


def area(foreseen: Float64[np.ndarray, " h"], sides: Float64[np.ndarray, " h"]) -> float:
    """Return the area under the curve: how often a face above is foreseen above one below."""
    above, below = np.sort(foreseen[sides > 0]), np.sort(foreseen[sides < 0])
    if not len(above) or not len(below):
        return 0.5
    under = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
    return float(under.mean() / (2 * len(below)))

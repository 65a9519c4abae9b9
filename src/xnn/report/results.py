"""What a demo report shows, as plain data: no models, no keys, no file is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8

from xnn.errors import ConfigError, ShapeError
from xnn.report.noise_summary import FrontLine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveWithBand:
    """One scheme's curve, such as a CMC, with the interval at each point."""

    scheme: str
    x: Float[np.ndarray, " k"]
    """Rank (CMC) or false accept rate in (0, 1] (ROC), rising."""
    value: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingCurve:
    """How one scheme's training went."""

    scheme: str
    steps: Int[np.ndarray, " k"]
    train_loss: Float[np.ndarray, " k"]
    validation_steps: Int[np.ndarray, " v"]
    validation_rank_1: Float[np.ndarray, " v"]
    chance_loss: float
    """The loss of a tail that knows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityRow:
    """One measured recognition rate, a fraction with its interval.

    Names are those of `xnn.metrics`: protocol `by_person`, metric `rank_1`, `eer`,
    `tar_at_far_0.001`.
    """

    scheme: str
    protocol: str
    metric: str
    value: float
    low: float
    high: float
    chance: float
    subjects: int
    probes: int
    """Probes of a search, or mated pairs of a verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRow:
    """One measured leak, a fraction with its interval."""

    attack: str
    scheme: str
    metric: str
    value: float
    low: float
    high: float
    chance: float
    control_ok: bool
    """Whether the same attack succeeded on plain features: if not, this row proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoResults:
    """All that the demo report shows."""

    dataset: str
    credit: str
    """Whose photographs they are; shown under them."""
    num_photos: int
    num_subjects: int
    extractor: str
    key_id: str
    crops: UInt8[np.ndarray, "b h w 3"] = field(repr=False)
    """A few aligned faces, RGB."""
    names: tuple[str, ...] = field(repr=False)
    """The owner's name of each face, such as the subject's folder."""
    plain_tokens: Float[np.ndarray, "b n d"] = field(repr=False)
    """Features of the same faces before the key."""
    obfuscated_tokens: Float[np.ndarray, "b n d"] = field(repr=False)
    """The same as the cloud received them."""
    grid: tuple[int, int]
    """Rows and columns of the token map; rows * columns = n, or n - 1 with a class token."""
    training: tuple[TrainingCurve, ...]
    cmc: tuple[CurveWithBand, ...]
    """Under the protocol of the headline, whose subjects are the gallery."""
    roc: tuple[CurveWithBand, ...]
    utility: tuple[UtilityRow, ...]
    """The first row's protocol and metric are the headline."""
    attacks: tuple[AttackRow, ...]
    fronts: tuple[FrontLine, ...]
    """Of the inference phase; empty where there were too few people for it."""
    seconds: Mapping[str, float]
    """Wall-clock seconds of each stage, in order."""
    versions: Mapping[str, str]
    seeds: Mapping[str, int]
    """Never a seed of key material: keys come from the operating system."""
    commands: tuple[str, ...]
    machine: str
    created_at: str

    def __post_init__(self) -> None:
        counts = {len(self.crops), len(self.names), len(self.plain_tokens)}
        if counts != {len(self.obfuscated_tokens)} or counts == {0}:
            raise ShapeError(
                f"the report got {len(self.crops)} crops, {len(self.names)} names, "
                f"{len(self.plain_tokens)} plain and {len(self.obfuscated_tokens)} obfuscated "
                "records; give the same number of each, at least 1"
            )
        if not (self.utility and self.training and self.cmc and self.roc and self.attacks):
            raise ConfigError(
                "the report needs at least one utility row, attack row, training curve, CMC and "
                "ROC; run the stages that make them first"
            )

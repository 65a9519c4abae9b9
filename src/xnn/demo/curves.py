"""Curves of the report out of evaluations and training logs."""

import json
from pathlib import Path

import numpy as np

from xnn.files import disk_errors
from xnn.metrics.evaluation import Evaluation
from xnn.metrics.intervals import band
from xnn.metrics.resampled_verification import bootstrap_verification
from xnn.report import CurveWithBand, TrainingCurve

_NUM_ROC_POINTS = 25
_LOWEST_FAR = 1e-3


def cmc_curve(scheme: str, evaluation: Evaluation) -> CurveWithBand:
    """Return the CMC with its band over subjects."""
    drawn = band(evaluation.cmc)
    return CurveWithBand(
        scheme=scheme,
        x=np.arange(1, len(drawn.value) + 1, dtype=np.float64),
        value=drawn.value,
        low=drawn.low,
        high=drawn.high,
    )


def roc_curve(scheme: str, evaluation: Evaluation, generator: np.random.Generator) -> CurveWithBand:
    """Return TAR over the FARs that the pairs resolve, with its band over subjects."""
    comparisons = evaluation.comparisons
    lowest = max(_LOWEST_FAR, 1.0 / len(comparisons.non_mated))
    fars = np.geomspace(lowest * (1 + 1e-9), 1.0, _NUM_ROC_POINTS)
    resampled = bootstrap_verification(
        comparisons, fars=fars.tolist(), num_resamples=300, generator=generator
    )
    drawn = band(resampled.tar)
    return CurveWithBand(scheme=scheme, x=fars, value=drawn.value, low=drawn.low, high=drawn.high)


def training_curve(scheme: str, run_dir: Path, chance_loss: float) -> TrainingCurve:
    """Read the epochs of a training run."""
    path = run_dir / "metrics.jsonl"
    with disk_errors("read", path):
        epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    validated = [epoch for epoch in epochs if epoch["val_rank_1"] is not None]
    return TrainingCurve(
        scheme=scheme,
        steps=np.array([epoch["step"] for epoch in epochs], dtype=np.int64),
        train_loss=np.array([epoch["train_loss"] for epoch in epochs]),
        validation_steps=np.array([epoch["step"] for epoch in validated], dtype=np.int64),
        validation_rank_1=np.array([epoch["val_rank_1"] for epoch in validated]),
        chance_loss=chance_loss,
    )

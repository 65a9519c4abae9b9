"""Curves of the report out of evaluations and training logs."""

import json
from pathlib import Path

import numpy as np

from xnn.errors import InsufficientDataError
from xnn.files import disk_errors
from xnn.metrics.curves import Curve, cmc_curve, roc_curve
from xnn.metrics.evaluation import Evaluation
from xnn.report import CurveWithBand, TrainingCurve


def cmc_of(scheme: str, evaluation: Evaluation) -> CurveWithBand:
    """Return a scheme's CMC.

    Raises:
        InsufficientDataError: The evaluation held no search.
    """
    curve = cmc_curve(evaluation)
    if curve is None:
        raise InsufficientDataError("a CMC needs a search; the evaluation holds pairs only")
    return _of(scheme, curve)


def roc_of(scheme: str, evaluation: Evaluation) -> CurveWithBand:
    """Return a scheme's ROC."""
    return _of(scheme, roc_curve(evaluation, np.random.default_rng(0)))


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


def _of(scheme: str, curve: Curve) -> CurveWithBand:
    drawn = curve.band
    return CurveWithBand(
        scheme=scheme, x=curve.x, value=drawn.value, low=drawn.low, high=drawn.high
    )

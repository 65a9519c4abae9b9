"""Real ORL faces with invented results: no number here was measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xnn.report import AttackRow, CurveWithBand, DemoResults, TrainingCurve, UtilityRow
from xnn.report.noise_summary import FrontLine, front_lines

HOSTILE = """<img src=x onerror="alert('1')">&amp;"""


def orl_crops(photos: Path, *, num_subjects: int) -> np.ndarray:
    crops = []
    for i in range(1, num_subjects + 1):
        with Image.open(photos / f"s{i}" / "1.pgm") as photo:
            crops.append(np.asarray(photo.convert("RGB").resize((112, 112))))
    return np.stack(crops)


def patch_tokens(crops: np.ndarray, *, grid: int, d: int) -> np.ndarray:
    """Stand-in for an extractor: random directions of local brightness and position."""
    rng = np.random.default_rng(0)
    side = 112 // grid
    patches = crops[..., 0].reshape(len(crops), grid, side, grid, side).swapaxes(2, 3)
    flat = patches.reshape(len(crops), grid * grid, side * side) / 255.0
    return (flat @ rng.normal(size=(side * side, d)) / side).astype(np.float32)


def rising(start: float, end: float, num: int) -> np.ndarray:
    return end - (end - start) * np.exp(-np.linspace(0, 4, num))


def with_band(scheme: str, x: np.ndarray, value: np.ndarray) -> CurveWithBand:
    return CurveWithBand(
        scheme=scheme,
        x=x,
        value=value,
        low=np.clip(value - 0.03, 0, 1),
        high=np.clip(value + 0.025, 0, 1),
    )


def training(scheme: str, end: float) -> TrainingCurve:
    steps = np.arange(0, 2000, 20)
    noise = np.random.default_rng(sum(scheme.encode())).normal(0, 0.25, len(steps))
    return TrainingCurve(
        scheme=scheme,
        steps=steps,
        train_loss=np.maximum(rising(14.7, 1.0, len(steps)) + noise, 0.1),
        validation_steps=np.arange(200, 2001, 200),
        validation_rank_1=rising(0.3, end, 10),
        chance_loss=14.4,
    )


def invented_fronts() -> tuple[FrontLine, ...]:
    def row(preset: str, party: str, value: float) -> dict[str, object]:
        return {
            "preset": preset,
            "party": party,
            "protocol": "by_person" if party == "student" else "linkage",
            "metric": "rank_1",
            "value": value,
            "low": max(value - 0.1, 0.0),
            "high": min(value + 0.1, 1.0),
            "chance": 1 / 9,
            "control_ok": party != "noisy-gallery",
        }

    rates = {"plain": (1.0, 1.0, 0.98), "gaussian": (0.7, 0.8, 0.99), "xnn": (1.0, 0.1, 0.12)}
    parties = ("student", "z-linkage", "ridge-denoiser")
    rows = [
        row(preset, party, value)
        for preset, values in rates.items()
        for party, value in zip(parties, values, strict=True)
    ]
    return front_lines({"rows": [*rows, row("xnn", "noisy-gallery", 0.05)]})


@pytest.fixture(scope="session")
def demo_results(orl_photos: Path) -> DemoResults:
    crops = orl_crops(orl_photos, num_subjects=8)
    plain = patch_tokens(crops, grid=14, d=48)
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(48, 48)) / np.sqrt(48)
    sent = (plain[:, rng.permutation(196)] @ mix).astype(np.float32)
    ranks, far = np.arange(1.0, 11.0), np.geomspace(1e-3, 1.0, 40)

    def utility(scheme: str, protocol: str, metric: str, value: float, chance: float) -> UtilityRow:
        return UtilityRow(
            scheme=scheme,
            protocol=protocol,
            metric=metric,
            value=value,
            low=max(value - 0.031, 0.0),
            high=min(1.0, value + 0.028),
            chance=chance,
            subjects=20,
            probes=180,
        )

    def attack(scheme: str, value: float) -> AttackRow:
        return AttackRow(
            attack="expectation_recognition",
            scheme=scheme,
            metric="rank_1",
            value=value,
            low=max(value - 0.05, 0),
            high=value + 0.05,
            chance=0.05,
            control_ok=True,
        )

    return DemoResults(
        dataset="ORL faces",
        credit="Photographs: AT&T Laboratories Cambridge.",
        num_photos=400,
        num_subjects=40,
        extractor="dlib",
        key_id="k-3f9a1c52",
        crops=crops,
        names=(*[f"s{i}" for i in range(1, 8)], HOSTILE),
        plain_tokens=plain,
        obfuscated_tokens=sent,
        grid=(14, 14),
        training=(training("plain", 0.93), training("paper", 0.9)),
        cmc=(
            with_band("plain", ranks, rising(0.92, 0.995, 10)),
            with_band("paper", ranks, rising(0.9, 0.99, 10)),
        ),
        roc=(
            with_band("plain", far, rising(0.55, 1.0, 40)),
            with_band("paper", far, rising(0.5, 1.0, 40)),
        ),
        utility=tuple(
            utility(scheme, protocol, metric, value - 0.012 * (scheme == "paper"), chance)
            for protocol, metric, value, chance in (
                ("by_person", "rank_1", 0.925, 0.05),
                ("by_image", "rank_1", 0.968, 0.05),
                ("by_person", "eer", 0.043, 0.5),
                ("by_person", "tar_at_far_0.001", 0.71, 0.001),
            )
            for scheme in ("plain", "paper")
        ),
        attacks=(attack("plain", 0.86), attack("paper", 0.09)),
        fronts=invented_fronts(),
        seconds={"align": 31.2, "key and records": 12.9, "training": 244.0, "attack": 151.7},
        versions={"xnn-face": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.7"},
        seeds={"split": 0, "training": 1},
        commands=("xnn key new --out owner.key", "xnn shard build DATA --key owner.key --out S"),
        machine="2 cores, no GPU",
        created_at="2026-11-23",
    )

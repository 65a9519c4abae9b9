"""The inference phase of the demo: fronts trained and attacked on the demo's own faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.stages import FEWEST_SUBJECTS
from xnn.redteam.noise_bench import NoiseBenchSettings, measure_noise
from xnn.types import SubjectId

PRESETS = ("plain", "gaussian", "xnn")
"""The paper's game takes an hour a seed: see docs/research/noise.md."""
ATTACKS = ("z-linkage", "tail-from-scratch", "ridge-denoiser", "noisy-gallery")
"""The strongest of each kind, and the paper's own."""

FEWEST_FOR_A_CODE = FrontSettings().code_dim
"""A code of so many numbers is measured on more photographs than that."""
_EPOCHS = (("teacher_epochs", 6), ("student_epochs", 6))
_OWNERS_SHARE = 2 / 3
_TEST_SHARE = 0.35
_FEWEST_OF_A_SPLIT = 2
_FEWEST_ATTACKERS = 4


def measure_fronts(
    faces: FaceSet,
    extractor: Extractor,
    store: Path,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Train the fronts with most of the people, attack them with the rest; one seed.

    Args:
        faces: Aligned crops of everybody.
        extractor: Of the front.
        store: Finished parts; run again, it goes on with them.
        report: Told what is being done.

    Returns:
        Rows of `measure_noise`; none where there are too few people, none of `xnn` where there are
        too few photographs to measure its code on.
    """
    subjects = faces.subjects
    owners = round(_OWNERS_SHARE * len(subjects))
    test, val = round(_TEST_SHARE * owners), max(_FEWEST_OF_A_SPLIT, round(owners / 7))
    test = max(_FEWEST_OF_A_SPLIT, min(test, owners - val - FEWEST_SUBJECTS))
    enough = owners - test - val >= FEWEST_SUBJECTS
    if not enough or len(subjects) - owners < _FEWEST_ATTACKERS:
        return []
    owner = _of(faces, subjects[:owners], "owner")
    split = SplitSettings(test_subjects=test, val_subjects=val)
    train = split_faces(owner, split).only("train")
    settings = NoiseBenchSettings(
        presets=tuple(name for name in PRESETS if name != "xnn" or len(train) > FEWEST_FOR_A_CODE),
        attacks=ATTACKS,
        seeds=1,
        epochs=_EPOCHS,
        split=split,
    )
    return measure_noise(
        owner,
        _of(faces, subjects[owners:], "attacker"),
        extractor,
        settings,
        store,
        report=report,
    )


def _of(faces: FaceSet, subjects: tuple[SubjectId, ...], name: str) -> FaceSet:
    chosen = set(subjects)
    kept = tuple(sample for sample in faces.samples if sample.subject in chosen)
    return FaceSet(name=name, samples=kept)

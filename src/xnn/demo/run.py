"""The demo from end to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xnn.attacks.expectation_recognition import attacker_settings
from xnn.bench.cells import CellStore
from xnn.bench.features import FeatureTable
from xnn.bench.leak import LeakSettings, Party, measure_leak
from xnn.demo.orl import find_orl, without_strays
from xnn.demo.parties import Cloud, Owner
from xnn.demo.results import SCHEMES, collect_results
from xnn.errors import InsufficientDataError
from xnn.extractors.catalog import load_extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings
from xnn.files import disk_errors, write_json
from xnn.metrics.evaluation import Evaluation
from xnn.report import write_demo_report

NUM_PUBLIC_SUBJECTS = 12
"""Subjects of the set that play other people, whose faces the attacker owns."""

_ATTACK_EPOCHS = 100
_KNOWLEDGE = "K3: other people of the same collection, no pairs, public extractor"


@dataclass(slots=True)
class _Stopwatch:
    report: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.report(name)
        start = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def run_demo(
    out: Path,
    *,
    photos: Path | None = None,
    seeds: int = 3,
    max_subjects: int | None = None,
    attack_epochs: int = _ATTACK_EPOCHS,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Align, key, build, train in another process, evaluate, attack, and write the report.

    Run again after an interruption, it goes on with what is there.

    Args:
        out: Folder for everything; `owner/` stays, `cloud/` is what the cloud sees.
        photos: Folder per subject; None takes the ORL faces.
        seeds: Each draws its own split, keys and training.
        max_subjects: Use only the first subjects, for a quick look.
        attack_epochs: Of the attacker's training; many, since the set is small.
        report: Told what is being done.

    Returns:
        Paths, rows and seconds.

    Raises:
        MissingExtraError: The ORL faces or the plotting library are not installed.
        InsufficientDataError: Too few subjects.
    """
    out = out.resolve()  # the cloud works in a folder of its own
    watch = _Stopwatch(report)
    with disk_errors("make the folder", out):
        for name in ("owner", "cloud"):
            (out / name).mkdir(parents=True, exist_ok=True)
    with watch.stage("align the photographs"):
        align_folder(photos or find_orl(), out / "owner" / "crops", AlignSettings())
        crops = load_faces(out / "owner" / "crops")
        faces, public = _divide_people(crops if photos else without_strays(crops), max_subjects)
    extractor = load_extractor("dlib")
    owner, cloud = Owner(folder=out / "owner", extractor=extractor), Cloud(folder=out / "cloud")

    evaluations: dict[str, list[tuple[Evaluation, ...]]] = {scheme: [] for scheme in SCHEMES}
    for seed in range(seeds):
        for scheme in SCHEMES:
            evaluations[scheme].append(_train_and_test(owner, cloud, faces, scheme, seed, watch))
    with watch.stage("attacker: expectation recognition, and its positive control"):
        leak_rows = _attack(out, faces, public, owner, seeds, attack_epochs)
    with watch.stage("write the report"):
        results = collect_results(owner, cloud, faces, evaluations, leak_rows, watch.seconds)
        path = out / "report.html"
        write_demo_report(path, results)
    summary = {
        "report": str(path),
        "utility": [asdict(row) for row in results.utility],
        "attack": [asdict(row) for row in results.attacks],
        "seconds": {name: round(value, 1) for name, value in watch.seconds.items()},
    }
    write_json(out / "summary.json", summary)
    return summary


def _train_and_test(
    owner: Owner, cloud: Cloud, faces: FaceSet, scheme: str, seed: int, watch: _Stopwatch
) -> tuple[Evaluation, ...]:
    divided, keyfile = owner.divide(faces, seed), owner.key(scheme, seed)
    shards, run = (cloud.folder / f"{kind}-{scheme}-{seed}" for kind in ("shards", "run"))
    with watch.stage(f"owner: build the shards ({scheme})"):
        owner.build(divided, keyfile, shards)
    with watch.stage(f"cloud: train the tail, in a process of its own ({scheme})"):
        bundle = cloud.train(shards, run, seed=seed)
    with watch.stage(f"owner: evaluate the tail ({scheme})"):
        return owner.test(bundle, divided, keyfile)


def _divide_people(faces: FaceSet, max_subjects: int | None) -> tuple[FaceSet, FaceSet]:
    """Give the last subjects to the attacker, as people of its own; the rest to the owner."""
    subjects = faces.subjects[:max_subjects]
    num_public = min(NUM_PUBLIC_SUBJECTS, len(subjects) // 3)
    if num_public < 3:
        raise InsufficientDataError(
            f"{len(subjects)} subjects, the demo needs at least 9 to have an attacker of its own"
        )
    chosen = set(subjects[:-num_public])
    public = set(subjects[-num_public:])

    def part(name: str, wanted: set[Any]) -> FaceSet:
        kept = tuple(sample for sample in faces.samples if sample.subject in wanted)
        return FaceSet(name=name, samples=kept)

    return part("owner", chosen), part("public", public)


def _attack(
    out: Path, faces: FaceSet, public: FaceSet, owner: Owner, seeds: int, attack_epochs: int
) -> list[dict[str, Any]]:
    victim, attacker = (
        Party(faces=part, features=FeatureTable(part, owner.extractor)) for part in (faces, public)
    )
    card = owner.extractor.card
    settings = LeakSettings(
        schemes=("paper",),
        seeds=seeds,
        attack=attacker_settings(card.n, card.d, epochs=attack_epochs),
        split=SplitSettings(),
        knowledge=_KNOWLEDGE,
    )
    cells = CellStore(out / "owner" / "attack-cells")
    return measure_leak(victim, attacker, card, settings, cells)

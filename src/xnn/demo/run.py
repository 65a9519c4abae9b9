"""The demo from end to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xnn.attacks.knowledge import Knowledge
from xnn.bench.cells import CellStore
from xnn.demo.fronts import measure_fronts
from xnn.demo.orl import find_orl, without_strays
from xnn.demo.parties import Cloud, Owner
from xnn.demo.results import SCHEMES, collect_results
from xnn.errors import InsufficientDataError
from xnn.extractors.catalog import load_extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import FaceSet, load_faces
from xnn.files import disk_errors, write_json
from xnn.metrics.evaluation import Evaluation
from xnn.redteam.board import BoardSettings, run_board
from xnn.redteam.cell import CellSpec
from xnn.redteam.party import make_party
from xnn.redteam.trials import plan
from xnn.redteam.verdicts import attack_rows
from xnn.report import write_demo_report
from xnn.report.noise_summary import front_lines

ATTACKS = ("unpaired-moments", "known-plaintext")
"""Quick ones that need no training: from statistics alone, and from a few known pairs."""

_KNOWN_PAIRS = (20,)
"""Sixteen tokens each, 256 channels: a little more than the features' rank asks for."""
_FEWEST_SUBJECTS = 9


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
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Align, key, build, train in another process, evaluate, attack, and write the report.

    Run again after an interruption, it goes on with what is there.

    Args:
        out: Folder for everything; `owner/` stays, `cloud/` is what the cloud sees.
        photos: Folder per subject; None takes the ORL faces.
        seeds: Each draws its own split, keys and training.
        max_subjects: Use only the first subjects, for a quick look.
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
        faces = _first_subjects(crops if photos else without_strays(crops), max_subjects)
    extractor = load_extractor("dlib")
    owner, cloud = Owner(folder=out / "owner", extractor=extractor), Cloud(folder=out / "cloud")

    evaluations: dict[str, list[tuple[Evaluation, ...]]] = {scheme: [] for scheme in SCHEMES}
    for seed in range(seeds):
        for scheme in SCHEMES:
            evaluations[scheme].append(_train_and_test(owner, cloud, faces, scheme, seed, watch))
    with watch.stage("attacker: two attacks without the key, and their positive controls"):
        leak_rows = _attack(out, faces, owner, seeds)
    with watch.stage("inference phase: three fronts, their students and their attackers"):
        fronts = measure_fronts(faces, extractor, out / "owner" / "fronts", report=report)
    with watch.stage("write the report"):
        lines = front_lines({"rows": fronts})
        results = collect_results(owner, cloud, faces, evaluations, leak_rows, lines, watch.seconds)
        path = out / "report.html"
        write_demo_report(path, results)
    summary = {
        "report": str(path),
        "utility": [asdict(row) for row in results.utility],
        "attack": [asdict(row) for row in results.attacks],
        "fronts": fronts,
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


def _first_subjects(faces: FaceSet, max_subjects: int | None) -> FaceSet:
    chosen = set(faces.subjects[:max_subjects])
    if len(chosen) < _FEWEST_SUBJECTS:
        raise InsufficientDataError(
            f"{len(chosen)} subjects, the demo needs at least {_FEWEST_SUBJECTS} to divide them "
            "into people to train on, to test on, and an attacker's own"
        )
    kept = tuple(sample for sample in faces.samples if sample.subject in chosen)
    return FaceSet(name="owner", samples=kept)


def _attack(out: Path, faces: FaceSet, owner: Owner, seeds: int) -> list[dict[str, Any]]:
    """Replay the upload with half of the people, the other half being the attacker's own."""
    store = out / "owner" / "attack-cells"
    cells = CellStore(store)
    party = make_party(faces, owner.extractor, store)
    trials = plan(ATTACKS, base=Knowledge(public_faces="same_collection"), pairs=_KNOWN_PAIRS)
    settings = BoardSettings(schemes=("paper",), trials=trials, seeds=seeds, utility=False)
    name = owner.extractor.card.name
    base = CellSpec(
        victim=store / party.fingerprint,
        public=None,
        extractor=name,
        split_depth=None,
        scheme="paper",
        trial=trials[0],
        seed=0,
        sizes=settings.sizes,
    )
    return attack_rows(run_board(base, settings, cells), extractor=name)

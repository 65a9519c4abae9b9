"""`xnn bench` and `xnn attack`: measured numbers with intervals, as JSON beside the table."""

import datetime
import json
import platform
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from xnn.attacks.expectation_recognition import NAME as EXPECTATION_RECOGNITION
from xnn.attacks.expectation_recognition import attacker_settings
from xnn.bench.cells import CellStore
from xnn.bench.features import EmbeddingTable, FeatureTable
from xnn.bench.leak import LeakSettings, Party, measure_leak
from xnn.bench.utility import UtilitySettings, measure_utility
from xnn.cli.choose_extractor import SplitDepth
from xnn.cli.output import emit, progress, stderr
from xnn.errors import ConfigError
from xnn.extractors.catalog import load_extractor
from xnn.extractors.dlib_resnet import DlibRecogniser
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings
from xnn.files import write_json
from xnn.models.tail import TailConfig
from xnn.shards.records import check_record_type
from xnn.training.presets import PRESETS, TAIL_PRESETS

bench = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure what a scheme costs.")
attack = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Measure what a scheme leaks."
)

Victim = Annotated[Path, typer.Option(help="Aligned crops of the owner: a folder per subject.")]
Out = Annotated[Path, typer.Option("--out", help="JSON file; finished cells go beside it.")]
ExtractorName = Annotated[str, typer.Option(help="As `xnn extractor list` names it.")]
Schemes = Annotated[str, typer.Option(help="Names, separated by commas.")]
Seeds = Annotated[int, typer.Option(help="Each draws its own split, keys and training.", min=1)]
Preset = Annotated[str, typer.Option(help=f"Training recipe: {', '.join(PRESETS)}.")]
Epochs = Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)]
TailDepth = Annotated[int | None, typer.Option(help="Blocks of the tail.", min=0)]
MaxSubjects = Annotated[
    int | None, typer.Option(help="Use only the first subjects, for a quick look.", min=2)
]


@bench.command()
def utility(
    victim: Victim,
    out: Out,
    extractor: ExtractorName = "dlib",
    schemes: Schemes = "plain,paper",
    seeds: Seeds = 3,
    split_depth: SplitDepth = None,
    record_type: Annotated[str, typer.Option(help="How records are stored.")] = "float16",
    mirror: Annotated[bool, typer.Option(help="Train on mirrored crops too.")] = True,
    preset: Preset = "adamw",
    epochs: Epochs = None,
    tail_depth: TailDepth = None,
    max_subjects: MaxSubjects = None,
) -> None:
    """Train the same tail on plain and on keyed records and compare recognition.

    Rows: scheme, extractor, protocol, metric, value, low, high, chance, subjects, probes, seeds,
    wall_s. With the dlib extractor, "recogniser" rows give the whole network's own embedding.
    Stopped and run again with the same options, it continues.
    """
    faces = _some(load_faces(victim), max_subjects)
    loaded = load_extractor(extractor, split_depth=split_depth)
    settings = UtilitySettings(
        schemes=_names(schemes),
        seeds=seeds,
        train=_recipe(preset, epochs),
        tail=_tail(preset, loaded, tail_depth),
        split=SplitSettings(),
        record_type=check_record_type(record_type),
        mirror=mirror,
    )
    features = _features(faces, loaded, mirror=mirror)
    reference = None
    if loaded.card.name == "dlib":
        with progress("the recogniser's own embeddings", total=len(faces)) as advance:
            reference = EmbeddingTable(faces, DlibRecogniser().embeddings, on_records=advance)
    rows = measure_utility(
        faces,
        loaded.card,
        features,
        settings,
        CellStore(out.with_name(out.name + ".cells")),
        reference=reference,
        report=_say,
    )
    _finish(out, rows, victim=faces.name)


@attack.command()
def run(
    victim: Victim,
    public: Annotated[Path, typer.Option(help="Aligned crops of the attacker: other people.")],
    out: Out,
    name: Annotated[
        str, typer.Argument(metavar="ATTACK", help="Which attack.")
    ] = EXPECTATION_RECOGNITION,
    extractor: ExtractorName = "dlib",
    schemes: Schemes = "paper",
    seeds: Seeds = 3,
    split_depth: SplitDepth = None,
    epochs: Annotated[int, typer.Option(help="Of the attacker's training.", min=1)] = 10,
    public_min_images: Annotated[
        int, typer.Option(help="Leave out public subjects with fewer images.", min=2)
    ] = 2,
    knowledge: Annotated[
        str, typer.Option(help="Level of the threat model, for the record: K2, K3.")
    ] = "K2",
    max_subjects: MaxSubjects = None,
) -> None:
    """Attack a scheme, and plain features as the positive control.

    An attack whose control fails is not working: its row then says nothing of the scheme.
    """
    if name != EXPECTATION_RECOGNITION:
        raise ConfigError(f"unknown attack {name!r}; there is {EXPECTATION_RECOGNITION}")
    loaded = load_extractor(extractor, split_depth=split_depth)
    owner, attacker = (
        Party(faces=faces, features=_features(faces, loaded, mirror=False))
        for faces in (
            _some(load_faces(victim), max_subjects),
            _some(load_faces(public), max_subjects, min_images=public_min_images),
        )
    )
    settings = LeakSettings(
        schemes=_names(schemes),
        seeds=seeds,
        attack=attacker_settings(loaded.card.n, loaded.card.d, epochs=epochs),
        split=SplitSettings(val_subjects=0),
        knowledge=knowledge,
    )
    cells = CellStore(out.with_name(out.name + ".cells"))
    rows = measure_leak(owner, attacker, loaded.card, settings, cells, report=_say)
    _finish(out, rows, victim=owner.faces.name, public=attacker.faces.name)


def _names(schemes: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in schemes.split(",") if name.strip())


def _recipe(preset: str, epochs: int | None) -> Any:
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[preset](**({} if epochs is None else {"epochs": epochs}))


def _tail(preset: str, extractor: Extractor, tail_depth: int | None) -> TailConfig:
    changes = {} if tail_depth is None else {"tail_depth": tail_depth}
    return TAIL_PRESETS[preset](extractor.card.n, extractor.card.d, **changes)


def _some(faces: FaceSet, max_subjects: int | None, *, min_images: int = 1) -> FaceSet:
    enough = [subject for subject, count in faces.counts.items() if count >= min_images]
    chosen = set(enough[:max_subjects])
    kept = tuple(sample for sample in faces.samples if sample.subject in chosen)
    return FaceSet(name=faces.name, samples=kept)


def _features(faces: FaceSet, extractor: Extractor, *, mirror: bool) -> FeatureTable:
    with progress(f"extracting {faces.name}", total=len(faces) * (1 + mirror)) as advance:
        return FeatureTable(faces, extractor, mirror=mirror, on_records=advance)


def _say(text: str) -> None:
    stderr().print(text, highlight=False)


def _finish(out: Path, rows: list[dict[str, Any]], **facts: str) -> None:
    content = {
        "command": " ".join(["xnn", *(_short(word) for word in sys.argv[1:])]),
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        **facts,
        "rows": rows,
    }
    write_json(out, json.loads(json.dumps(content)))
    emit({"out": str(out), "rows": rows}, title="Measured")


def _short(word: str) -> str:
    """Keep the last part of a path: the rest names machines and people."""
    return word.rstrip("/").rpartition("/")[2] or word

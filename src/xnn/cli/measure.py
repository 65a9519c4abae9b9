"""`xnn bench`: measured numbers with intervals, as JSON beside the table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.bench.cells import CellStore
from xnn.bench.features import EmbeddingTable, FeatureTable
from xnn.bench.utility import UtilitySettings, measure_utility
from xnn.cli.bench_noise import noise
from xnn.cli.choose_extractor import SplitDepth
from xnn.cli.measured import finish, names_in, say, some_subjects
from xnn.cli.output import progress
from xnn.errors import ConfigError
from xnn.extractors.catalog import load_extractor
from xnn.extractors.dlib_resnet import DlibRecogniser
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings
from xnn.models.tail_config import TailConfig
from xnn.shards.records import check_record_type
from xnn.training.presets import PRESETS, TAIL_PRESETS

bench = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Measure what a scheme, or a front, costs."
)
bench.command()(noise)

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
    faces = some_subjects(load_faces(victim), max_subjects)
    loaded = load_extractor(extractor, split_depth=split_depth)
    settings = UtilitySettings(
        schemes=names_in(schemes),
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
        report=say,
    )
    finish(out, rows, victim=faces.name)


def _recipe(preset: str, epochs: int | None) -> Any:
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[preset](**({} if epochs is None else {"epochs": epochs}))


def _tail(preset: str, extractor: Extractor, tail_depth: int | None) -> TailConfig:
    changes = {} if tail_depth is None else {"tail_depth": tail_depth}
    return TAIL_PRESETS[preset](extractor.card.n, extractor.card.d, **changes)


def _features(faces: FaceSet, extractor: Extractor, *, mirror: bool) -> FeatureTable:
    with progress(f"extracting {faces.name}", total=len(faces) * (1 + mirror)) as advance:
        return FeatureTable(faces, extractor, mirror=mirror, on_records=advance)

"""`xnn bench noise`: what fronts of the inference phase cost and leak."""

from pathlib import Path
from typing import Annotated

import typer

from xnn.cli.choose_extractor import SplitDepth
from xnn.cli.measured import finish, names_in, say, some_subjects
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings
from xnn.files import disk_errors
from xnn.owner.noise.presets import NOISE_PRESETS
from xnn.redteam.duplicates import refuse_shared_subjects
from xnn.redteam.front_pictures import FrontPictures, see_fronts
from xnn.redteam.noise_bench import NoiseBenchSettings, measure_noise
from xnn.report.front_pictures import write_decoded, write_views
from xnn.report.noise_page import write_noise_page

VIEWS_NAME, DECODED_NAME = "identities.png", "decoded.png"
Epochs = Annotated[int | None, typer.Option(help="Instead of the presets'.", min=1)]


def noise(
    victim: Annotated[Path, typer.Option(help="Aligned crops of the owner, a folder each.")],
    public: Annotated[Path, typer.Option(help="Aligned crops of the attacker: other people.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file; finished cells go beside it.")],
    extractor: Annotated[str, typer.Option(help="As `xnn extractor list` names it.")] = "dlib",
    presets: Annotated[
        str, typer.Option(help=f"Separated by commas, of {', '.join(NOISE_PRESETS)}.")
    ] = "plain,gaussian,paper,xnn",
    attacks: Annotated[
        str, typer.Option(help="Names separated by commas.", show_default="all")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Each draws its own split and training.", min=1)] = 3,
    public_photos: Annotated[
        int, typer.Option(help="Most photographs of the attacker's.", min=8)
    ] = 2000,
    teacher_epochs: Epochs = None,
    game_epochs: Epochs = None,
    student_epochs: Epochs = None,
    split_depth: SplitDepth = None,
    max_subjects: Annotated[
        int | None, typer.Option(help="Use only the first subjects, for a quick look.", min=2)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for what student and attacker see, and decoded faces."),
    ] = None,
) -> None:
    """Train fronts and attack them: student, teacher and every attacker, with intervals.

    The test subjects of each split are the suspects and are used once; the attacker's people are
    others. The same attack on the `plain` front is its control. Stopped and run again with the
    same options, it continues. OUT's HTML shows recognition against the strongest attacker.

    --pictures writes identities.png (t-SNE, no face), and decoded.png: the first seed's people in
    the first row, then what an attacker decodes from each front. That one shows faces.
    """
    owner = some_subjects(load_faces(victim), max_subjects)
    attacker = some_subjects(load_faces(public), max_subjects)
    refuse_shared_subjects(owner, attacker)
    loaded = load_extractor(extractor, split_depth=split_depth)
    asked = {
        "teacher_epochs": teacher_epochs,
        "game_epochs": game_epochs,
        "student_epochs": student_epochs,
    }
    settings = NoiseBenchSettings(
        presets=names_in(presets),
        attacks=names_in(attacks),
        seeds=seeds,
        public=public_photos,
        epochs=tuple((name, value) for name, value in asked.items() if value is not None),
        split=SplitSettings(),
    )
    store = out.with_name(out.name + ".cells")
    rows = measure_noise(owner, attacker, loaded, settings, store, report=say)
    written = finish(out, rows, victim=owner.name, public=attacker.name, seeds=seeds)
    write_noise_page(out.with_suffix(".html"), written)
    if pictures is not None:
        _draw(pictures, list(see_fronts(owner, attacker, loaded, settings, store, report=say)))


def _draw(folder: Path, seen: list[FrontPictures]) -> None:
    with disk_errors("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    columns = [(one.preset, one.student, one.attacker) for one in seen]
    write_views(folder / VIEWS_NAME, seen[0].labels, columns)
    write_decoded(folder / DECODED_NAME, [seen[0].originals, *(one.decoded for one in seen)])

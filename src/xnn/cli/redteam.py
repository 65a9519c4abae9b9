"""`xnn board` and `xnn attack`: what every defence leaks to every attack, and what it costs."""

import dataclasses
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.attacks.suite import ATTACKS, find_attack
from xnn.bench.cells import CellStore
from xnn.cli.choose_extractor import SplitDepth
from xnn.cli.measured import finish, names_in, some_subjects
from xnn.cli.output import emit, progress
from xnn.cli.parties import base_spec, load_parties
from xnn.errors import ConfigError
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.redteam.board import BoardSettings, num_cells, run_board
from xnn.redteam.casting import Sizes
from xnn.redteam.trials import PAIRS, plan
from xnn.redteam.verdicts import attack_rows, utility_rows
from xnn.report.board_markdown import board_markdown
from xnn.report.board_page import write_board_page
from xnn.schemes import SCHEMES

attack = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Measure what a scheme leaks."
)

_ALL_PAIRS = ",".join(str(number) for number in PAIRS)

Victim = Annotated[Path, typer.Option(help="Aligned crops of the owner: a folder per subject.")]
Public = Annotated[
    Path | None, typer.Option(help="Aligned crops of the attacker: other people, a folder each.")
]
Out = Annotated[Path, typer.Option("--out", help="JSON file; finished cells go beside it.")]
ExtractorName = Annotated[str, typer.Option(help="As `xnn extractor list` names it.")]
Schemes = Annotated[str, typer.Option(help="Names separated by commas, or all.")]
Seeds = Annotated[
    int, typer.Option(help="Each casts its own people and draws its own keys.", min=1)
]
Records = Annotated[int, typer.Option(help="Most records that are uploaded.", min=2)]
Probes = Annotated[int, typer.Option(help="Most records that the judge asks about.", min=2)]
PublicPhotos = Annotated[int, typer.Option(help="Most photographs of the attacker's.", min=2)]
Faces = Annotated[
    str, typer.Option("--public-faces", help="other_collection (K2) or same_collection (K3).")
]
Pairs = Annotated[str, typer.Option(help="Numbers of known pairs, for the attacks that use them.")]
Workers = Annotated[int, typer.Option(help="Processes side by side, one thread each.", min=1)]
MaxSubjects = Annotated[
    int | None, typer.Option(help="Use only the first subjects, for a quick look.", min=2)
]


def board(
    victim: Victim,
    out: Out,
    public: Public = None,
    extractor: ExtractorName = "dlib",
    schemes: Schemes = "plain,paper",
    attacks: Annotated[str, typer.Option(help="Names separated by commas, or all.")] = "all",
    seeds: Seeds = 3,
    records: Records = 2000,
    probes: Probes = 400,
    public_photos: PublicPhotos = 2000,
    public_faces: Faces = "other_collection",
    pairs: Pairs = _ALL_PAIRS,
    utility: Annotated[bool, typer.Option(help="Measure recognition too.")] = True,
    workers: Workers = 2,
    split_depth: SplitDepth = None,
    max_subjects: MaxSubjects = None,
    only_finished: Annotated[
        bool,
        typer.Option("--only-finished", help="Write what is finished so far; run nothing."),
    ] = False,
) -> None:
    """Every defence against every attack that applies, with what it costs in recognition.

    Writes OUT, and beside it a Markdown table and an HTML page with the same rows. An attack whose
    control on unprotected features fails is shown as not working, never as defended. Stopped and
    run again with the same options, it continues.
    """
    _measure(
        victim=victim,
        public=public,
        out=out,
        extractor=extractor,
        split_depth=split_depth,
        max_subjects=max_subjects,
        settings=BoardSettings(
            schemes=_schemes(schemes),
            trials=plan(names_in(attacks), base=_knowledge(public_faces), pairs=_numbers(pairs)),
            seeds=seeds,
            sizes=Sizes(records=records, probes=probes, public=public_photos),
            workers=workers,
            utility=utility,
            only_finished=only_finished,
        ),
    )


@attack.command()
def run(
    name: Annotated[str, typer.Argument(metavar="ATTACK", help="See `xnn attack list`.")],
    victim: Victim,
    out: Out,
    public: Public = None,
    extractor: ExtractorName = "dlib",
    schemes: Schemes = "paper",
    seeds: Seeds = 3,
    records: Records = 2000,
    probes: Probes = 400,
    public_photos: PublicPhotos = 2000,
    public_faces: Faces = "other_collection",
    pairs: Pairs = "16",
    split_depth: SplitDepth = None,
    workers: Workers = 2,
    max_subjects: MaxSubjects = None,
) -> None:
    """Attack schemes with one attack, and its control.

    An attack whose control fails is not working: its row then says nothing of the scheme.
    """
    find_attack(name)
    _measure(
        victim=victim,
        public=public,
        out=out,
        extractor=extractor,
        split_depth=split_depth,
        max_subjects=max_subjects,
        settings=BoardSettings(
            schemes=_schemes(schemes),
            trials=plan([name], base=_knowledge(public_faces), pairs=_numbers(pairs)),
            seeds=seeds,
            sizes=Sizes(records=records, probes=probes, public=public_photos),
            workers=workers,
            utility=False,
        ),
    )


@attack.command("list")
def list_attacks() -> None:
    """Show the attacks: what each does, on which phase, and where it is from."""
    rows = [
        {
            "name": name,
            "phase": one.card.phase,
            "asks": one.card.goal,
            "summary": one.card.summary,
            "source": one.card.source,
        }
        for name, one in ATTACKS.items()
    ]
    emit({"attacks": rows}, title="Attacks")


def _measure(
    *,
    victim: Path,
    public: Path | None,
    out: Path,
    extractor: str,
    split_depth: int | None,
    max_subjects: int | None,
    settings: BoardSettings,
) -> None:
    store = out.with_name(out.name + ".cells")
    cells = CellStore(store)
    owner = some_subjects(load_faces(victim), max_subjects)
    attacker = None if public is None else some_subjects(load_faces(public), max_subjects)
    loaded = load_extractor(extractor, split_depth=split_depth)
    ours, theirs, copies = load_parties(owner, attacker, loaded, store)
    base = base_spec(
        ours,
        theirs,
        store,
        extractor=extractor,
        split_depth=split_depth,
        scheme=settings.schemes[0],
        trial=settings.trials[0],
    )
    with progress("cells", total=num_cells(base, settings)) as advance:
        done = run_board(base, settings, cells, on_cell=lambda text: advance(1))
    rows = attack_rows(done, extractor=extractor)
    costs = utility_rows(done, extractor=extractor)
    written = finish(
        out,
        rows,
        victim=owner.name,
        public=None if attacker is None else attacker.name,
        photographs={"victim": len(owner), "public": 0 if attacker is None else len(attacker)},
        copies_left_out=copies,
        sizes=dataclasses.asdict(settings.sizes),
        seeds=settings.seeds,
        utility=costs,
    )
    out.with_suffix(".md").write_text(board_markdown(written), encoding="utf-8")
    write_board_page(out.with_suffix(".html"), written)


def _knowledge(public_faces: str) -> Knowledge:
    if public_faces not in get_args(PublicFaces):
        raise ConfigError(
            f"public_faces={public_faces!r}; use one of {', '.join(get_args(PublicFaces))}"
        )
    return Knowledge(public_faces=cast(PublicFaces, public_faces))


def _schemes(text: str) -> tuple[str, ...]:
    """Return the names; "all" leaves out what exists only as the control of one attack."""
    if text == "all":
        controls = {attack.card.control for attack in ATTACKS.values()} - {"plain"}
        return tuple(name for name in SCHEMES if name not in controls)
    return names_in(text)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in names_in(text))
    except ValueError as error:
        raise ConfigError(f"pairs={text!r}; write whole numbers separated by commas") from error

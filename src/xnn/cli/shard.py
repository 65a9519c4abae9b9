"""`xnn shard`: build, verify, show and re-key the records that go to the cloud."""

from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.cli.choose_extractor import OwnExtractor, Weights
from xnn.cli.key import make_key
from xnn.cli.output import emit, progress, warn
from xnn.cli.passphrase import PassphraseFile, read_passphrase
from xnn.errors import KeyMismatchError
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Precision
from xnn.extractors.recall import recall_extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.duplicates import crosses_subjects, find_duplicates
from xnn.faces.splits import SplitSettings, split_faces
from xnn.owner.binding import record_shape_of
from xnn.owner.build import build_shards
from xnn.owner.exposure import check_exposure, find_budget, records_after
from xnn.owner.plan import BuildPlan, BuildSettings, plan_build
from xnn.owner.rekey import rekey_shards
from xnn.schemes import find_scheme
from xnn.secret import KeyFile, read_key_info
from xnn.shards import Manifest, ShardSet
from xnn.shards.records import check_record_type, record_bytes
from xnn.types import DEFAULT_SCHEME

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Records at rest between the owner and the cloud.",
)

DEFAULT_EXTRACTOR = "dlib"
"""As `xnn key new` takes it."""

Shards = Annotated[Path, typer.Argument(metavar="SHARDS", help="Folder of shards.")]


@app.command()
def build(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Aligned crops: folder per subject or manifest.")
    ],
    key: Annotated[Path, typer.Option("--key", help="Key file; names scheme and extractor.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of shards to write.")],
    scheme: Annotated[
        str | None,
        typer.Option(
            help="Must be the key's. Where KEY is no file yet, a key for this scheme is made.",
            show_default="the key's",
        ),
    ] = None,
    record_type: Annotated[
        str, typer.Option(help="float32, float16, bfloat16 or int8 (a scale per token).")
    ] = "float16",
    mirror: Annotated[bool, typer.Option("--mirror", help="Add mirrored training crops.")] = False,
    batch_size: Annotated[int, typer.Option(help="Crops per extractor call.", min=1)] = 64,
    records_per_shard: Annotated[
        int | None, typer.Option(help="Records in a file.", show_default="64 MiB worth", min=1)
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the extractor.")] = "fp32",
    extractor: OwnExtractor = None,
    weights: Weights = None,
    accept_exposure: Annotated[
        bool,
        typer.Option(
            "--accept-exposure", help="Go on past the records that the exposure policy allows."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Extract, obfuscate and write training and validation crops as shards.

    Stopped at any moment and run again, it continues. DATA that is not divided yet keeps one
    subject in ten for validation and trains on the rest; use `xnn faces split` to hold out tests.
    """
    settings = BuildSettings(
        record_type=check_record_type(record_type),
        batch_size=batch_size,
        records_per_shard=records_per_shard,
        mirror=mirror,
    )
    faces = _divided(load_faces(data))
    _warn_of_duplicates(faces)
    if scheme is not None and not key.exists() and not dry_run:
        card = load_extractor(extractor or DEFAULT_EXTRACTOR, weights=weights).card
        make_key(key, card, dataset=faces.name, scheme=scheme, passphrase_file=passphrase_file)
    keyfile = KeyFile.open(key, read_passphrase(passphrase_file))
    scope = keyfile.key.scope
    if scheme not in (None, scope.scheme):
        raise KeyMismatchError(
            f"the key is for scheme {scope.scheme!r}, not {scheme!r}; one key serves one scheme: "
            f"make another with `xnn key new --scheme {scheme}`, or name a new file with --key"
        )
    _heed_exposure(key, keyfile, plan_build(faces, keyfile.key, settings), accept=accept_exposure)
    used = faces.only("train", "val")
    if dry_run:
        shape = record_shape_of(scope)
        size = record_bytes(shape.n, shape.d, settings.record_type)
        plan = {"scheme": scope.scheme, "records": len(used) + mirror * len(faces.only("train"))}
        emit(plan | {"bytes_per_record": size, "written": False}, title="Would write")
        return
    if scope.scheme == "plain":
        warn("the scheme is plain: the records protect nothing")
    loaded = recall_extractor(
        keyfile.extractor, name=extractor, weights=weights, precision=precision
    )
    total = len(used) + (len(faces.only("train")) if mirror else 0)
    with progress("building shards", total=total) as advance:
        manifest = build_shards(faces, loaded, keyfile, out, settings, on_records=advance)
    emit(_describe(manifest), title="Shards")


@app.command()
def show(shards: Shards) -> None:
    """Show what a folder of shards holds, as the cloud sees it."""
    emit(_describe(Manifest.load(shards)), title="Shards")


@app.command()
def verify(shards: Shards) -> None:
    """Read every byte and compare checksums: finds any flipped bit, cut or missing file."""
    opened = ShardSet.open(shards)
    opened.verify()
    emit(_describe(opened.manifest) | {"verified": True}, title="Verified shards")


@app.command()
def preflight(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Aligned crops: folder per subject or manifest.")
    ],
    out: Annotated[Path, typer.Option("--out", help="JSON file; finished cells go beside it.")],
    scheme: Annotated[str, typer.Option(help="As `xnn scheme list` names it.")] = DEFAULT_SCHEME,
    extractor: Annotated[str, typer.Option(help="As `xnn extractor list` names it.")] = "dlib",
    public: Annotated[
        Path | None,
        typer.Option(
            help="Aligned crops of other people, for the attacker. Without them half of DATA's "
            "people play the attacker's own."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Casts of people, each with new keys.", min=1)] = 1,
    workers: Annotated[int, typer.Option(help="Processes side by side.", min=1)] = 2,
) -> None:
    """Attack your own data before anything is uploaded, and say on one screen what came of it.

    The quick attacks of the red team: statistics without pairs, known pairs, fingerprints. Keys
    are thrown away; nothing of the data leaves this machine.
    """
    from xnn.cli.preflight import run_preflight  # only here: the red team loads a good deal

    run_preflight(
        data=data,
        public=public,
        out=out,
        scheme=scheme,
        extractor=extractor,
        seeds=seeds,
        workers=workers,
    )


@app.command()
def rekey(
    shards: Shards,
    old_key: Annotated[Path, typer.Option("--from", help="Key the shards were made under.")],
    new_key: Annotated[Path, typer.Option("--to", help="New key for the same extractor.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of shards to write.")],
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="Passphrase of the new key.", show_default="the same")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Move shards to a new key without the photographs: the old inverse, then the new key.

    Where a scheme has no inverse, as the default one, its last secret matrix is exchanged: the new
    key is then for the same scheme and was not used yet.
    """
    opened = ShardSet.open(shards)
    old = KeyFile.open(old_key, read_passphrase(passphrase_file))
    new = KeyFile.open(new_key, read_passphrase(new_passphrase_file or passphrase_file))
    if opened.manifest.record_type == "int8":
        warn("int8 records are rounded a second time; build again from the photographs to avoid it")
    with progress("re-keying", total=opened.manifest.num_records()) as advance:
        manifest = rekey_shards(opened, old, new, out, on_records=advance)
    emit(_describe(manifest), title="Re-keyed shards")


def _divided(faces: FaceSet) -> FaceSet:
    if any(sample.split != "train" for sample in faces.samples):
        return faces
    return split_faces(faces, SplitSettings(test_subjects=0, val_subjects=0.1))


def _heed_exposure(path: Path, keyfile: KeyFile, plan: BuildPlan, *, accept: bool) -> None:
    """Warn of, or refuse, more records under a key than the red team needed to undo it."""
    scope = keyfile.key.scope
    if scope.scheme == "plain":
        return
    made = records_after(read_key_info(path).exposures, plan.upload, plan.num_records)
    name = str(keyfile.extractor.get("name", "unknown"))
    budget = find_budget(scope.scheme, scope.scheme_version, name)
    told = check_exposure(budget, made, accept=accept, scheme=scope.scheme)
    if told:
        warn(told)


def _warn_of_duplicates(faces: FaceSet) -> None:
    num_groups = sum(crosses_subjects(group) for group in find_duplicates(faces))
    if num_groups:
        warn(f"{num_groups} photographs stand under several subjects; see `xnn faces check`")


def _describe(manifest: Manifest) -> dict[str, Any]:
    return {
        "scheme": manifest.scheme,
        "scheme_falls_to": find_scheme(manifest.scheme).card.falls_to,
        "key_id": manifest.key_id,
        "extractor": manifest.extractor.get("name"),
        "tokens": str(manifest.shape),
        "record_type": manifest.record_type,
        "bytes_per_record": record_bytes(manifest.n, manifest.d, manifest.record_type),
        "train_records": manifest.num_records("train"),
        "train_classes": manifest.num_classes.get("train", 0),
        "val_records": manifest.num_records("val"),
        "val_classes": manifest.num_classes.get("val", 0),
        "files": len(manifest.shards),
        "bytes": sum(entry.size_bytes for entry in manifest.shards),
    }

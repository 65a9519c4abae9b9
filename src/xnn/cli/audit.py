"""`xnn audit`: attack what would really leave, judge it by a policy, and write it down."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from xnn.attacks.knowledge import PublicFaces
from xnn.bench.cells import CellStore
from xnn.cli.audit_facts import facts_of_front, facts_of_upload
from xnn.cli.output import emit, progress, warn
from xnn.cli.parties import base_spec, load_parties
from xnn.cloud.bundle import CARD_NAME as TAIL_CARD_NAME
from xnn.device.bundle import load_device_bundle
from xnn.device.card import CARD_NAME as DEVICE_CARD_NAME
from xnn.device.card import SERVER_CARD_NAME
from xnn.errors import ConfigError, FormatError
from xnn.extractors.interface import Extractor
from xnn.extractors.recall import recall_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.redteam.audit import AuditResult, audit_trials, read_upload, run_audit
from xnn.redteam.board import BoardSettings, num_cells
from xnn.redteam.front_audit import FrontCase, num_front_cells, run_front_audit
from xnn.redteam.party import Party
from xnn.redteam.policy import DEFAULT_POLICY, FRONT_POLICY, Policy, load_policy
from xnn.redteam.rebuilt import rebuild_faces, rebuild_from_front
from xnn.report.audit_content import AuditFacts
from xnn.report.audit_page import Pictures, write_audit_page
from xnn.report.audit_pdf import write_audit_pdf
from xnn.shards import ShardSet

POLICY_NOT_MET = 3
"""Exit status of an audit that failed, for a pipeline."""


def audit(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="SHARDS|BUNDLE",
            help="Folder of shards, as it would be uploaded, or the bundle of a device.",
        ),
    ],
    public: Annotated[
        Path, typer.Option(help="Aligned crops of the attacker: other people, a folder each.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")] = Path("audit-out"),
    policy: Annotated[
        Path | None, typer.Option(help="TOML file of rules.", show_default="the project's own")
    ] = None,
    faces: Annotated[
        Path | None,
        typer.Option(
            help="The owner's own aligned crops, to play the victims; for a bundle, of people whom "
            "its front was not trained on. Without them half of the public set plays them."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show rebuilt faces beside the truth; owner only.")
    ] = False,
    workers: Annotated[
        int, typer.Option(help="Processes side by side; a device is audited in one.", min=1)
    ] = 2,
) -> None:
    """Run the worst applicable attacks on an upload, or on a device, and judge it by a policy.

    Writes report.html, report.json and report.pdf. Exit status: 0 when every rule holds, 3 when
    one does not, 1 when the audit could not be done. Stopped and run again, it continues.
    """
    if pictures and faces is None:
        raise ConfigError("--pictures shows the owner's photographs; give them with --faces")
    if pictures:
        warn("the report will show faces: it stays with the owner")
    on_device = _is_device_bundle(subject)
    rules = FRONT_POLICY if on_device else DEFAULT_POLICY
    rules = rules if policy is None else load_policy(policy)
    rules = rules.about("inference" if on_device else "training")
    run = _audit_device if on_device else _audit_upload
    facts, result, shown = run(subject, public, faces, rules, out, pictures, workers)
    write_audit_page(out / "report.html", facts, shown)
    write_audit_pdf(out / "report.pdf", facts)
    write_json(out / "report.json", _as_json(facts, result))
    emit(
        {
            "verdict": "pass" if result.passed else "fail",
            "why": result.reason,
            "report": str(out / "report.html"),
            "rules": [
                {"rule": line.rule.name, "holds": line.passed, "why": line.sentence}
                for line in result.lines
            ],
        },
        title="Audit",
    )
    if not result.passed:
        raise typer.Exit(POLICY_NOT_MET)


Audited = tuple[AuditFacts, AuditResult, Pictures | None]


def _audit_upload(
    subject: Path,
    public: Path,
    faces: Path | None,
    rules: Policy,
    out: Path,
    pictures: bool,
    workers: int,
) -> Audited:
    shards = ShardSet.open(subject)
    shards.verify()
    manifest = shards.manifest
    extractor = recall_extractor(manifest.extractor, name=None, weights=None, precision="fp32")
    read_upload(shards, extractor.card.shape)  # what is wrong with the shards is told at once
    store = out / "cells"
    cells = CellStore(store)
    ours, theirs, copies, names = _parties(public, faces, extractor, store)
    level: PublicFaces = "same_collection" if theirs is None else "other_collection"
    trials = audit_trials(rules, level)
    base = base_spec(
        ours,
        theirs,
        store,
        extractor=extractor.card.name,
        split_depth=extractor.card.split_depth,
        scheme=manifest.scheme,
        trial=trials[0],
    )
    counted = BoardSettings(
        schemes=(manifest.scheme,), trials=trials, seeds=rules.seeds, utility=False
    )
    with progress("attacks", total=num_cells(base, counted)) as advance:
        result = run_audit(
            base,
            shards,
            theirs or ours,
            rules,
            cells,
            public_faces=level,
            workers=workers,
            on_cell=lambda text: advance(1),
        )
    facts = facts_of_upload(shards, extractor.card.shape, rules, result, names, copies)
    return facts, result, rebuild_faces(base, level, seed=0) if pictures else None


def _audit_device(
    subject: Path,
    public: Path,
    faces: Path | None,
    rules: Policy,
    out: Path,
    pictures: bool,
    workers: int,
) -> Audited:
    bundle = load_device_bundle(subject)
    extractor = recall_extractor(bundle.card.extractor)
    store = out / "cells"
    cells = CellStore(store)
    ours, theirs, copies, names = _parties(public, faces, extractor, store)
    case = FrontCase(bundle=bundle, extractor=extractor, victim=ours, public=theirs)
    with progress("attacks", total=num_front_cells(rules)) as advance:
        result = run_front_audit(case, rules, cells, on_cell=lambda text: advance(1))
    facts = facts_of_front(subject.name, bundle.card, rules, result, names, copies)
    return facts, result, rebuild_from_front(case, rules) if pictures else None


def _parties(
    public: Path, faces: Path | None, extractor: Extractor, store: Path
) -> tuple[Party, Party | None, int, tuple[str, str]]:
    """Return victims, attacker (None: half of the victims), copies left out, and names of both."""
    attacker = load_faces(public)
    owner = attacker if faces is None else load_faces(faces)
    found = load_parties(owner, None if faces is None else attacker, extractor, store)
    return *found, (owner.name, attacker.name)


def _is_device_bundle(folder: Path) -> bool:
    """Tell a device's bundle from shards; other bundles are refused.

    Raises:
        FormatError: It is the bundle of a server or of the cloud.
    """
    if (folder / DEVICE_CARD_NAME).is_file():
        return True
    if (folder / SERVER_CARD_NAME).is_file():
        raise FormatError(
            f"{folder.name!r} is a server's bundle, which never leaves; audit the bundle of the "
            "device"
        )
    if (folder / TAIL_CARD_NAME).is_file():
        raise FormatError(
            f"{folder.name!r} is what the cloud trained; audit the shards: their audit trains such "
            "a tail and attacks it too"
        )
    return False


def _as_json(facts: AuditFacts, result: AuditResult) -> dict[str, Any]:
    content = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    content |= content.pop("details") | {"rows": result.rows}
    plain: dict[str, Any] = json.loads(json.dumps(content, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)

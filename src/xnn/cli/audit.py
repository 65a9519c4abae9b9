"""`xnn audit`: attack what would really be uploaded, judge it by a policy, and write it down."""

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from xnn.attacks.knowledge import PublicFaces
from xnn.bench.cells import CellStore
from xnn.cli.measured import command_line
from xnn.cli.output import emit, progress, warn
from xnn.cli.parties import base_spec, load_parties
from xnn.errors import ConfigError
from xnn.extractors.recall import recall_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.redteam.audit import AuditResult, audit_trials, run_audit
from xnn.redteam.board import BoardSettings, num_cells
from xnn.redteam.policy import DEFAULT_POLICY, Policy, load_policy
from xnn.redteam.rebuilt import rebuild_faces
from xnn.redteam.verdicts import headline_rows
from xnn.report.audit_content import AuditFacts
from xnn.report.audit_page import write_audit_page
from xnn.report.audit_pdf import write_audit_pdf
from xnn.schemes import find_scheme
from xnn.shards import Manifest, ShardSet
from xnn.shards.records import record_bytes

POLICY_NOT_MET = 3
"""Exit status of an audit that failed, for a pipeline."""


def audit(
    shards: Annotated[
        Path, typer.Argument(metavar="SHARDS", help="Folder of shards, as it would be uploaded.")
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
            help="The owner's own aligned crops, to play the victims. Without them half of the "
            "public set plays them."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show rebuilt faces beside the truth; owner only.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes side by side.", min=1)] = 2,
) -> None:
    """Run the worst applicable attacks on an upload and judge it by a policy.

    Writes report.html, report.json and report.pdf. Exit status: 0 when every rule holds, 3 when
    one does not, 1 when the audit could not be done. Stopped and run again, it continues.
    """
    rules = DEFAULT_POLICY if policy is None else load_policy(policy)
    opened = ShardSet.open(shards)
    opened.verify()
    manifest = opened.manifest
    extractor = recall_extractor(manifest.extractor, name=None, weights=None, precision="fp32")
    store = out / "cells"
    cells = CellStore(store)
    attacker = load_faces(public)
    owner = attacker if faces is None else load_faces(faces)
    ours, theirs = load_parties(owner, None if faces is None else attacker, extractor, store)
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
            opened,
            theirs or ours,
            rules,
            cells,
            public_faces=level,
            workers=workers,
            on_cell=lambda text: advance(1),
        )
    facts = _facts(shards.name, manifest, rules, result, owner.name, attacker.name)
    shown = None
    if pictures:
        if faces is None:
            raise ConfigError("--pictures shows the owner's photographs; give them with --faces")
        warn("the report will show faces: it stays with the owner")
        shown = rebuild_faces(base, level, seed=0)
    write_audit_page(out / "report.html", facts, shown)
    write_audit_pdf(out / "report.pdf", facts)
    content = _as_json(facts, result)
    write_json(out / "report.json", content)
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


def _facts(
    subject: str,
    manifest: Manifest,
    policy: Policy,
    result: AuditResult,
    victims: str,
    public: str,
) -> AuditFacts:
    scheme = find_scheme(manifest.scheme)
    own = [row for row in headline_rows(result.rows) if row["scheme"] == manifest.scheme]
    seconds = sum(row["wall_s"] for row in own)
    ordered = sorted(result.lines, key=lambda line: line is not result.worst)
    return AuditFacts(
        subject=subject,
        scheme=manifest.scheme,
        falls_to=scheme.card.falls_to,
        extractor=str(manifest.extractor.get("name")),
        key_id=manifest.key_id,
        records=manifest.num_records("train"),
        classes=manifest.num_classes.get("train", 0),
        bytes_per_record=record_bytes(manifest.n, manifest.d, manifest.record_type),
        policy=policy.name,
        passed=result.passed,
        reason=result.reason,
        lines=tuple((line.rule.name, line.passed, line.sentence) for line in ordered),
        rows=tuple(own),
        agreement=result.agreement,
        victims=f"people of {victims}",
        public=f"of {public}",
        budget=(
            f"{len(own)} attacks, {policy.seeds} cast of people each, at most {policy.public} "
            f"public photographs and {policy.probes} records asked about; "
            f"{seconds:.0f} s of processor time."
        ),
        guarantee="none",
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        command=command_line(),
    )


def _as_json(facts: AuditFacts, result: AuditResult) -> dict[str, Any]:
    content = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    plain: dict[str, Any] = json.loads(json.dumps(content | {"rows": result.rows}, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)

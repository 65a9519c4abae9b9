"""The audit of an upload: the worst applicable attacks, a policy, and a verdict for a pipeline.

What is audited instead of an upload, the bundle of a device, is in `front_audit.py`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.attacks.observation import Observation
from xnn.attacks.suite import ATTACKS, find_attack
from xnn.bench.cells import CellStore
from xnn.errors import CorruptError, InsufficientDataError, VersionError
from xnn.metrics.evaluation import Measured, pooled_rows
from xnn.redteam.board import BoardSettings, OnCell, run_board
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec
from xnn.redteam.judge import OTHERS
from xnn.redteam.party import Party
from xnn.redteam.policy import Line, Policy, apply
from xnn.redteam.self_agreement import self_agreement
from xnn.redteam.trials import Trial
from xnn.redteam.verdicts import attack_rows
from xnn.schemes import find_scheme
from xnn.shards import ShardSet
from xnn.types import TokenShape

MAX_RECORDS = 2000
"""Records attacked; drawn from a larger upload, so that an audit ends in minutes."""

RECOVERY = ("unpaired-moments", "aligned-order", "cross-covariance", "token-clusters")
"""Attacks without a pair that answer features; the first that applies is tried on the upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What an audit found."""

    lines: tuple[Line, ...]
    rows: list[dict[str, Any]]
    agreement: dict[str, Any] | None
    """Row of self-agreement on the real records, with the attack; where no attack could be tried, a
    `reason` alone; None where there is no upload."""

    @property
    def passed(self) -> bool:
        """Whether every rule holds. A rule that no attack could test is not held."""
        return all(line.passed is True for line in self.lines)

    @property
    def worst(self) -> Line:
        """The line that failed by most, or came nearest to it."""
        tested = [line for line in self.lines if line.worst is not None]
        return max(tested, key=_severity) if tested else self.lines[0]

    @property
    def reason(self) -> str:
        """Say in one sentence why it passed or failed."""
        if self.passed:
            return f"Every rule holds. Nearest to failing: {self.worst.sentence}."
        failed = [line for line in self.lines if line.passed is False]
        untested = [line for line in self.lines if line.passed is None]
        counted = f"{len(failed)} of {len(self.lines)} rules do not hold"
        if untested:
            counted += f", {len(untested)} could not be tested, which is no pass"
        first = max(failed, key=_severity) if failed else untested[0]
        return f"{first.sentence}; {counted}."


def audit_trials(policy: Policy, public_faces: PublicFaces) -> tuple[Trial, ...]:
    """Return what is tried: every attack that a rule of the policy could be failed by."""
    trials = []
    for rule in policy.about("training").rules:
        granted = rule.knowledge(public_faces)
        for name, attack in ATTACKS.items():
            card = attack.card
            if card.phase != "training" or (card.learned and not policy.learned_attacks):
                continue
            wanted = (bool(rule.known_pairs), bool(rule.chosen_inputs))
            if wanted != (card.uses_pairs, bool(card.queries)):
                continue
            asked = "linkage" if rule.protocol == OTHERS else rule.protocol
            if asked in (card.goal, "rebuilt"):
                trials.append(Trial(attack=name, knowledge=granted))
    return tuple(dict.fromkeys(trials))


def run_audit(
    base: CellSpec,
    shards: ShardSet,
    public: Party,
    policy: Policy,
    cells: CellStore,
    *,
    public_faces: PublicFaces,
    workers: int = 2,
    on_cell: OnCell | None = None,
) -> AuditResult:
    """Replay the upload with people whose names are known, attack it, and attack the upload itself.

    The rates come from the replay: the same scheme, extractor, kind of records and count, under new
    keys, so that the judge knows the truth. The upload's own records are attacked for
    self-agreement, which needs no truth.

    Args:
        base: Parties and extractor of the replay.
        shards: What would be uploaded.
        public: The attacker's faces.
        policy: Rules and budget.
        cells: Finished cells.
        public_faces: "other_collection" where the victims of the replay are the owner's own
            photographs, "same_collection" where half of the public set plays them.
        workers: Processes side by side.
        on_cell: Told what has just been finished.

    Raises:
        VersionError: The shards are of another version of their scheme.
        CorruptError: The records are not what the scheme makes of the extractor's features, or
            hold NaN or infinity.
        InsufficientDataError: The shards have no training records.
    """
    manifest = shards.manifest
    uploaded = read_upload(shards, TokenShape(*public.faces.tokens.shape[1:]))
    records = len(uploaded[0])
    knowledge = Knowledge(public_faces=public_faces)
    settings = BoardSettings(
        schemes=(manifest.scheme,),
        trials=audit_trials(policy, public_faces),
        seeds=policy.seeds,
        sizes=Sizes(records=records, probes=policy.probes, public=policy.public),
        workers=workers,
        utility=False,
    )
    rows = attack_rows(run_board(base, settings, cells, on_cell=on_cell), extractor=base.extractor)
    own = [row for row in rows if row["scheme"] == manifest.scheme]
    return AuditResult(
        lines=apply(policy, own),
        rows=rows,
        agreement=_agreement(manifest.scheme, uploaded, public, knowledge, policy.public),
    )


Upload = tuple[Float32[np.ndarray, "r m e"], Int64[np.ndarray, " r"]]
"""Records and their class numbers."""


def read_upload(shards: ShardSet, shape: TokenShape) -> Upload:
    """Return the training records that an audit attacks, drawn where there are more.

    Args:
        shards: What would be uploaded.
        shape: Of the extractor's features.

    Raises:
        VersionError, CorruptError, InsufficientDataError: See `run_audit`.
    """
    manifest = shards.manifest
    scheme = find_scheme(manifest.scheme)
    if manifest.scheme_version != scheme.card.version:
        raise VersionError(
            f"the shards are of version {manifest.scheme_version} of {manifest.scheme!r}, this "
            f"program attacks version {scheme.card.version}; audit them with the program that "
            "made them"
        )
    expected = scheme.record_shape(shape)
    if manifest.shape != expected:
        raise CorruptError(
            f"records of {manifest.shape}, scheme {manifest.scheme!r} makes {expected} of these "
            "features; the manifest is not of these records: build the shards again"
        )
    split = shards.split("train")
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:MAX_RECORDS])
    records = split.read(rows)
    if not np.isfinite(records).all():
        raise CorruptError("records hold NaN or infinity; build the shards again")
    return records, split.labels[rows]


def _agreement(
    scheme: str, uploaded: Upload, public: Party, knowledge: Knowledge, max_public: int
) -> dict[str, Any]:
    """Attack the upload itself with the first attack without pairs that applies."""
    records, labels = uploaded
    faces = public.restricted(np.arange(min(max_public, len(public))))
    card = find_scheme(scheme).card
    observation = Observation(
        scheme=scheme,
        shape=TokenShape(*public.faces.tokens.shape[1:]),
        knowledge=knowledge,
        records=records,
        labels=labels,
        probes=np.arange(len(records)),
        gallery=faces.at(np.unique(faces.labels, return_index=True)[1]),
        public=faces,
    )
    reasons = []
    for name in RECOVERY:
        refused = find_attack(name).refusal(card, observation)
        if refused is not None:
            reasons.append(f"{name}: {refused}")
            continue
        with tempfile.TemporaryDirectory(prefix="xnn-audit-") as folder:
            try:
                measured, details = self_agreement(
                    find_attack(name), observation, seed=0, work_dir=Path(folder)
                )
            except InsufficientDataError as error:
                reasons.append(f"{name}: {error}")
                continue
        if measured is not None:
            return _as_row(measured) | {"attack": name, **details}
        reasons.append(f"{name}: it answered no features")
    return {"reason": "; ".join(reasons)}


def _as_row(measured: Measured) -> dict[str, Any]:
    return pooled_rows([[measured]])[0]


def _severity(line: Line) -> float:
    row = line.worst
    return -1.0 if row is None else row["low"] - line.rule.limit(row["chance"])

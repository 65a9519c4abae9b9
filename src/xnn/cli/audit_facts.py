"""What an audit says beside its numbers: what was audited, who attacked, what is proved."""

import datetime
from dataclasses import asdict
from typing import Any

import numpy as np

from xnn.cli.measured import command_line
from xnn.device.card import DeviceCard
from xnn.redteam.audit import AuditResult
from xnn.redteam.judge import OTHERS
from xnn.redteam.policy import Policy
from xnn.redteam.verdicts import headline_rows
from xnn.report.audit_content import (
    FRONT_ATTACKER,
    NOT_PROTECTED,
    NOT_PROTECTED_BY_FRONT,
    UPLOAD_ATTACKER,
    AuditFacts,
    Limits,
    agreement_sentence,
)
from xnn.schemes import Guarantee, find_scheme
from xnn.shards import ShardSet
from xnn.shards.records import record_bytes
from xnn.types import TokenShape

Sets = tuple[str, str]
"""Names of the face sets of victims and attacker."""


def facts_of_upload(
    shards: ShardSet,
    shape: TokenShape,
    policy: Policy,
    result: AuditResult,
    sets: Sets,
    copies: int,
) -> AuditFacts:
    """Return the facts of an audit of shards.

    Args:
        shards: What was audited.
        shape: Of the extractor's features.
        policy: Rules and budget.
        result: What was found.
        sets: See there.
        copies: Photographs of the attacker's that were left out as copies of the victims'.
    """
    manifest = shards.manifest
    scheme = find_scheme(manifest.scheme)
    proved = scheme.guarantee(shape)
    num_records, num_classes = manifest.num_records("train"), manifest.num_classes.get("train", 0)
    size = record_bytes(manifest.n, manifest.d, manifest.record_type)
    largest = int(np.bincount(shards.split("train").labels).max())
    several = scheme.card.photographs_per_class is not None
    agreement = result.agreement or {"reason": "there are none"}
    return _facts(
        shards.folder.name,
        manifest.scheme,
        policy,
        result,
        audited=(
            f"{num_records} records {_people(num_classes, several)}, {size} bytes each, scheme "
            f"{manifest.scheme} behind {manifest.extractor.get('name')}, key {manifest.key_id}. "
            f"Known to fall to: {scheme.card.falls_to}.",
            agreement_sentence(agreement),
        ),
        attacker=(
            UPLOAD_ATTACKER,
            "The rates come from a replay of the upload under new keys, in which people of "
            f"{sets[0]} play the victims, so that the truth is known; the attacker owns faces of "
            f"{sets[1]}{_less(copies)}. {_budget(result, policy, manifest.scheme)}",
        ),
        guarantee=guarantee_sentence(proved, 0 if several else num_classes, largest),
        not_protected=NOT_PROTECTED,
        details={
            "extractor": manifest.extractor.get("name"),
            "key_id": manifest.key_id,
            "records": num_records,
            "classes": num_classes,
            "bytes_per_record": size,
            "agreement": agreement,
            "proved": None if proved is None else asdict(proved),
            "copies_left_out": copies,
        },
    )


def facts_of_front(
    subject: str, card: DeviceCard, policy: Policy, result: AuditResult, sets: Sets, copies: int
) -> AuditFacts:
    """Return the facts of an audit of a device's bundle; see `facts_of_upload`."""
    noise = card.front.get("noise")
    return _facts(
        subject,
        f"front {card.scheme}",
        policy,
        result,
        audited=(
            f"The bundle of a device: front {card.scheme}, noise of kind {noise}, behind "
            f"{card.extractor.get('name')}; {card.sent_shape} numbers a message, front id "
            f"{card.front_id[:16]}. It was asked as it is: nothing was trained anew.",
            "Its control is the same features without noise.",
        ),
        attacker=(
            FRONT_ATTACKER,
            f"People of {sets[0]} play the suspects; the attacker owns faces of "
            f"{sets[1]}{_less(copies)}. Numbers are those of people whom the front was not trained "
            "on only where these faces are of such people, which the bundle cannot tell. "
            f"{_budget(result, policy, f'front {card.scheme}')}",
        ),
        guarantee=guarantee_sentence(None, 0, 0),
        not_protected=NOT_PROTECTED_BY_FRONT,
        details={
            "extractor": card.extractor.get("name"),
            "front_id": card.front_id,
            "noise": noise,
            "copies_left_out": copies,
        },
    )


def guarantee_sentence(proved: Guarantee | None, num_people: int, largest_class: int) -> str:
    """Say what is proved whoever attacks, with every parameter, or that nothing is.

    Args:
        proved: Of the scheme.
        num_people: Classes of the upload; 0 where that does not say how many people it shows.
        largest_class: Records of the class that has most.
    """
    if proved is None:
        return (
            "None. Nothing here is proved: what resists, resists because undoing it takes work, as "
            "far as that was tried."
        )
    told = (
        f"{proved.sentence} Parameters: noise of {proved.noise_ratio:g} times the largest RMS of "
        f"the signal, {proved.bits:.3g} bits a record"
    )
    if proved.epsilon is not None:
        told += f", epsilon {proved.epsilon:.3g} at delta {proved.delta:g}"
    if num_people >= 2:
        told += (
            f". Of the {num_people} people of this upload, one record names its own for at most "
            f"{proved.rank_1_at_most(num_people):.0%}; the largest class has {largest_class} "
            f"records, {largest_class * proved.bits:.3g} bits together"
        )
    return f"{told}."


def _people(num_classes: int, several: bool) -> str:
    if several:
        return f"under {num_classes} class numbers, of which a person may have several"
    return f"of {num_classes} people"


def _facts(
    subject: str,
    scheme: str,
    policy: Policy,
    result: AuditResult,
    *,
    audited: tuple[str, ...],
    attacker: tuple[str, ...],
    guarantee: str,
    not_protected: Limits,
    details: dict[str, Any],
) -> AuditFacts:
    ordered = sorted(result.lines, key=lambda line: line is not result.worst)
    return AuditFacts(
        subject=subject,
        scheme=scheme,
        policy=policy.name,
        passed=result.passed,
        reason=result.reason,
        lines=tuple((line.rule.name, line.passed, line.sentence) for line in ordered),
        rows=tuple(_with_others(row, result.rows) for row in _headlines(result, scheme)),
        audited=audited,
        attacker=attacker,
        guarantee=guarantee,
        not_protected=not_protected,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        command=command_line(),
        details=details,
    )


def _headlines(result: AuditResult, scheme: str) -> list[dict[str, Any]]:
    return [row for row in headline_rows(result.rows) if row["scheme"] == scheme]


def _with_others(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a headline row with the rate of people of no known pair, where there is one."""
    same = (row["scheme"], row["trial"], OTHERS, row["metric"])
    others = [
        one for one in rows if (one["scheme"], one["trial"], one["protocol"], one["metric"]) == same
    ]
    return row | {"others": others[0] if others else None}


def _budget(result: AuditResult, policy: Policy, scheme: str) -> str:
    own = _headlines(result, scheme)
    seconds = sum(row["wall_s"] for row in own)
    return (
        f"Tried: {len(own)} attacks, {policy.seeds} cast of people each, with at most "
        f"{policy.public} public photographs and {policy.probes} records asked about, in "
        f"{seconds:.0f} s of processor time."
    )


def _less(copies: int) -> str:
    return f", {copies} left out as copies of the victims' photographs" if copies else ""

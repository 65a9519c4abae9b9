"""From cells to rows: rates pooled over seeds, the control beside each, and a verdict."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

from xnn.attacks.base import HEADLINES
from xnn.attacks.suite import find_attack
from xnn.metrics.evaluation import Measured, pooled_rows
from xnn.redteam.attempt import Found
from xnn.redteam.board import BoardCells
from xnn.redteam.trials import Trial

Verdict = Literal[
    "broken", "not broken by this suite", "not working", "not applicable", "too little data"
]

ERRORS = frozenset({"eer", "data_error", "matrix_error"})
"""Metrics of which the attacker wants little."""

LINKED_TIMES = 3.0
"""Linkage: broken when the low end of rank-1 exceeds this many times chance."""
LINKABLE_D_SYS = 0.1
MEMBER_AUC = 0.6


def attack_rows(board: BoardCells, *, extractor: str) -> list[dict[str, Any]]:
    """Return the rows of all attacks: one per scheme, trial, protocol and metric.

    A pair of scheme and trial that gave no number has one row that says why, with value None.
    """
    rows = []
    for (scheme, trial), found in board.attacks.items():
        control = board.attacks.get((find_attack(trial.attack).card.control, trial), [])
        facts = {
            "scheme": scheme,
            "attack": trial.attack,
            "trial": trial.name,
            "extractor": extractor,
            **{f"known_{k}": v for k, v in trial.knowledge.to_dict().items()},
            "verdict": verdict(trial, found, control),
            "wall_s": round(sum(details["wall_s"] for _, details in found), 1),
        }
        rows += [facts | row for row in _measured_rows(trial, found, control)]
    return rows


def utility_rows(board: BoardCells, *, extractor: str) -> list[dict[str, Any]]:
    """Return the rows of recognition: one per scheme, protocol and metric."""
    return [
        {"scheme": scheme, "extractor": extractor, **row}
        for scheme, found in board.utility.items()
        for row in pooled_rows([measured for measured, _ in found])
    ]


def headline_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per scheme and trial: the rate that its attack is judged by first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if (row["protocol"], row["metric"]) == headline_of(row["attack"]):
            found.setdefault((row["scheme"], row["trial"]), row)
    return list(found.values())


def headline_of(attack: str) -> tuple[str, str]:
    """Return the protocol and the metric that an attack is judged by first."""
    goal = find_attack(attack).card.goal
    return goal, HEADLINES[goal]


def verdict(trial: Trial, found: Sequence[Found], control: Sequence[Found]) -> Verdict:
    """Judge a trial by its headline rate.

    An attack that does not succeed on its control is not working, whatever the scheme.
    """
    if any("refused" in details for _, details in found):
        return "not applicable"
    if any("too_little" in details for _, details in found):
        return "too little data"
    headline, enough = _headline(trial, found), _headline(trial, control)
    if headline is None or enough is None or not _succeeds(trial, enough):
        return "not working"
    return "broken" if _succeeds(trial, headline) else "not broken by this suite"


def succeeded(protocol: str, row: dict[str, Any]) -> bool:
    """Tell whether a rate's low end is well above chance, by the measure of its protocol."""
    if protocol == "unlinkability":
        return bool(row["low"] > LINKABLE_D_SYS)
    if protocol == "membership":
        return bool(row["low"] > MEMBER_AUC)
    chance = row["chance"]
    return bool(row["low"] > min(LINKED_TIMES * chance, (1 + chance) / 2))


def _succeeds(trial: Trial, row: dict[str, Any]) -> bool:
    return succeeded(headline_of(trial.attack)[0], row)


def _headline(trial: Trial, found: Sequence[Found]) -> dict[str, Any] | None:
    protocol, metric = headline_of(trial.attack)
    for row in pooled_rows([measured for measured, _ in found]):
        if (row["protocol"], row["metric"]) == (protocol, metric):
            return row
    return None


def _measured_rows(
    trial: Trial, found: Sequence[Found], control: Sequence[Found]
) -> list[dict[str, Any]]:
    per_seed = [measured for measured, _ in found if measured]
    if not per_seed:
        reason = next(
            (d.get("refused") or d.get("too_little") for _, d in found), "nothing was measured"
        )
        protocol, metric = headline_of(trial.attack)
        return [{"protocol": protocol, "metric": metric, "value": None, "reason": reason}]
    beside = {
        (row["protocol"], row["metric"]): row["value"]
        for row in pooled_rows([measured for measured, _ in control if measured])
    }
    worst = _worst_of_seeds(per_seed)
    return [
        row
        | {
            "worst_seed": round(worst[row["protocol"], row["metric"]], 5),
            "control": beside.get((row["protocol"], row["metric"])),
        }
        for row in pooled_rows(per_seed)
    ]


def _worst_of_seeds(per_seed: Sequence[Sequence[Measured]]) -> dict[tuple[str, str], float]:
    """Return for each protocol and metric the value of the seed that went worst for the owner."""
    values: dict[tuple[str, str], list[float]] = {}
    for one in itertools.chain.from_iterable(per_seed):
        values.setdefault((one.protocol, one.metric), []).append(one.bootstrap.value)
    return {key: (min if key[1] in ERRORS else max)(found) for key, found in values.items()}

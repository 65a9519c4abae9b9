"""How much may be uploaded under one key: worst linkage against records held and pairs known.

The exposure budget of a scheme is the count at which the low end of the worst linkage first exceeds
twice chance. It is measured here and shipped with the package (`xnn.owner.exposure`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xnn.attacks.knowledge import Knowledge
from xnn.redteam.trials import Trial, plan

RECORDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TIMES_CHANCE = 2.0


def exposure_trials(
    attacks: Sequence[str],
    *,
    base: Knowledge | None = None,
    records: Sequence[int] = RECORDS,
    pairs: Sequence[int] = PAIRS,
) -> tuple[Trial, ...]:
    """Return the trials of a curve: each attack at each count of records, or of known pairs.

    Args:
        attacks: Names; those that use known pairs get a trial for each number of pairs, with all
            records, and the others one for each number of records.
        base: What every attacker is granted; the default is K2.
        records: Counts held under one key.
        pairs: Counts of known pairs.
    """
    trials: list[Trial] = []
    for trial in plan(attacks, base=base, pairs=pairs):
        if trial.knowledge.known_pairs:
            trials.append(trial)
        else:
            trials += [
                replace(trial, knowledge=replace(trial.knowledge, records=count))
                for count in records
            ]
    return tuple(trials)


def budgets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per scheme, extractor and kind of count, with its curve and budget.

    Args:
        rows: From `xnn.redteam.verdicts.attack_rows`, of the trials of `exposure_trials`; those
            without pairs that do not say how many records were held are left out.

    Returns:
        Rows with scheme, extractor, counts ("records" or "known_pairs"), curve (count, value, low,
        high, chance and the attack that reached it) and budget: the first count whose low end
        exceeds twice chance, None where none did. With known pairs, what counts is how people of
        no pair are linked, where that was measured: a pair names its own person under any scheme
        that is trained with class numbers.
    """
    found: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for row in _with_people_of_no_pair(rows):
        kind = "known_pairs" if row["known_known_pairs"] else "records"
        count = row[f"known_{kind}"]
        if count is None or row["verdict"] == "not working":
            continue
        curve = found.setdefault((row["scheme"], row["extractor"], kind), {})
        if count not in curve or row["value"] > curve[count]["value"]:
            curve[count] = row
    return [_budget(*key, curve) for key, curve in found.items()]


def _with_people_of_no_pair(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row of rank-1 for each trial: of people of no pair where there is one."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for protocol in ("linkage", "linkage-others"):
        for row in rows:
            if (row["protocol"], row["metric"]) == (protocol, "rank_1") and row[
                "value"
            ] is not None:
                trial = (row["attack"], row["trial"], row["known_records"])
                found[row["scheme"], row["extractor"], *trial] = row
    return list(found.values())


def _budget(
    scheme: str, extractor: str, kind: str, curve: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    names = ("value", "low", "high", "chance", "attack")
    points = [{"count": c, **{n: curve[c][n] for n in names}} for c in sorted(curve)]
    over = [p["count"] for p in points if p["low"] > TIMES_CHANCE * p["chance"]]
    return {
        "scheme": scheme,
        "extractor": extractor,
        "counts": kind,
        "measured_to": points[-1]["count"],
        "budget": min(over, default=None),
        "curve": points,
    }

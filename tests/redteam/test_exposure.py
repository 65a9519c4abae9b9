"""Exposure: trials of a curve, and the count at which linkage is first above twice chance."""

from typing import Any

import pytest

from xnn.redteam.exposure import budgets, exposure_trials


def row(
    *, records: int | None = None, pairs: int = 0, low: float, attack: str = "class-reading",
    protocol: str = "linkage", verdict: str = "broken", value: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "scheme": "pooled-noise-4", "extractor": "dlib", "attack": attack,
        "trial": f"{attack} {records} {pairs}", "protocol": protocol, "metric": "rank_1",
        "verdict": verdict, "known_known_pairs": pairs, "known_records": records,
        "value": low + 0.01 if value is None else value, "low": low, "high": low + 0.1,
        "chance": 0.01,
    }  # fmt: skip


def test_attacks_without_pairs_get_a_trial_for_each_count_of_records() -> None:
    trials = exposure_trials(["class-reading", "class-anchors"], records=(10, 100), pairs=(4, 16))
    assert [(t.attack, t.knowledge.records, t.knowledge.known_pairs) for t in trials] == [
        ("class-reading", 10, 0),
        ("class-reading", 100, 0),
        ("class-anchors", None, 4),
        ("class-anchors", None, 16),
    ]


def test_the_budget_is_the_first_count_whose_low_end_is_above_twice_chance() -> None:
    (found,) = budgets([row(records=n, low=low) for n, low in ((10, 0.0), (50, 0.02), (99, 0.021))])
    assert (found["counts"], found["budget"], found["measured_to"]) == ("records", 99, 99)
    assert [point["count"] for point in found["curve"]] == [10, 50, 99]


def test_the_worst_attack_of_each_count_makes_the_curve() -> None:
    rows = [row(records=10, low=0.0, attack="gram-features"), row(records=10, low=0.3)]
    (found,) = budgets(rows)
    assert [point["attack"] for point in found["curve"]] == ["class-reading"]
    assert found["budget"] == 10


@pytest.mark.parametrize("kept", ["broken", "not broken by this suite"])
def test_an_attack_that_does_not_work_says_nothing(kept: str) -> None:
    rows = [row(records=10, low=0.3, verdict="not working"), row(records=20, low=0.0, verdict=kept)]
    (found,) = budgets(rows)
    assert (found["budget"], found["measured_to"]) == (None, 20)


def test_with_pairs_people_of_no_pair_count() -> None:
    rows = [
        row(pairs=16, low=0.1),
        row(pairs=16, low=0.005, protocol="linkage-others"),
        row(pairs=100, low=0.4, attack="known-plaintext"),
    ]
    (found,) = budgets(rows)
    assert [(p["count"], p["low"]) for p in found["curve"]] == [(16, 0.005), (100, 0.4)]
    assert (found["counts"], found["budget"]) == ("known_pairs", 100)


def test_one_trial_at_two_counts_makes_two_points() -> None:
    rows = [row(low=0.9), row(records=2000, low=0.0), row(records=4000, low=0.5)]
    (found,) = budgets(rows)
    assert [point["count"] for point in found["curve"]] == [2000, 4000], "no count, no point"
    assert found["budget"] == 4000

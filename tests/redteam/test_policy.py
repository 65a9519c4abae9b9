"""Policies: what they say of rows, and what they refuse to read."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from xnn.errors import ConfigError, StorageError
from xnn.redteam.audit import audit_trials
from xnn.redteam.policy import DEFAULT_POLICY, FRONT_POLICY, Policy, Rule, apply, load_policy

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def row(**changes: Any) -> dict[str, Any]:
    return {
        "attack": "some attack",
        "protocol": "linkage",
        "metric": "rank_1",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "chance": 0.02,
        "verdict": "broken",
        "known_known_pairs": 0,
        "known_chosen_inputs": 0,
    } | changes


RULE = Rule(name="linkage", protocol="linkage", metric="rank_1", max_times_chance=2.0)


def judged(*rows: dict[str, Any], rule: Rule = RULE) -> Any:
    (line,) = apply(Policy(name="one", rules=(rule,)), list(rows))
    return line


def test_a_rule_holds_up_to_its_limit() -> None:
    assert judged(row()).passed is False
    assert judged(row(low=0.04)).passed is True
    assert judged(row(low=0.0401)).passed is False
    assert "does not hold; some attack reaches rank_1 0.500" in judged(row()).sentence
    flat = Rule(name="auc", protocol="linkage", metric="rank_1", max=0.45)
    assert judged(row(), rule=flat).passed is True


def test_the_worst_attack_decides() -> None:
    line = judged(row(low=0.01), row(attack="worse", low=0.3), row(low=0.2))
    assert line.worst["attack"] == "worse"


def test_people_of_no_known_pair_have_a_rule_of_their_own() -> None:
    rule = Rule(name="others", protocol="linkage-others", metric="rank_1", known_pairs=16, max=0.1)
    rows = row(known_known_pairs=16), row(known_known_pairs=16, protocol="linkage-others", low=0.05)
    assert judged(*rows, rule=rule).passed is True
    assert judged(rows[0], rule=rule).passed is None
    with pytest.raises(ConfigError, match="set known_pairs"):
        Rule(name="others", protocol="linkage-others", metric="rank_1", max=0.1)
    trials = audit_trials(Policy(name="one", rules=(rule,)), "other_collection")
    assert "known-plaintext" in {trial.attack for trial in trials}


def test_what_does_not_count() -> None:
    assert judged(row(verdict="not working")).passed is None
    assert judged(row(value=None)).passed is None
    assert judged(row(known_known_pairs=16)).passed is None, "another rule's attacker"
    assert judged().passed is None
    assert "no attack of the suite could be tried" in judged().sentence


def test_a_rule_of_one_phase_says_nothing_of_the_other() -> None:
    on_device = dataclasses.replace(RULE, phase="inference")
    asked = row(phase="inference", known_chosen_inputs=3200)
    assert judged(asked, rule=on_device).passed is False
    assert judged(asked).passed is None
    assert judged(row(), rule=on_device).passed is None
    both = Policy(name="both", rules=(RULE, on_device))
    assert both.about("inference").rules == (on_device,)
    assert FRONT_POLICY.about("inference") == FRONT_POLICY
    with pytest.raises(ConfigError, match="no rule with phase = 'inference'"):
        DEFAULT_POLICY.about("inference")


def test_the_default_policy_speaks_of_four_things() -> None:
    protocols = [rule.protocol for rule in DEFAULT_POLICY.rules]
    assert protocols == ["linkage", "linkage-others", "unlinkability", "membership"]


@pytest.mark.parametrize(
    ("scheme", "holds"),
    [
        ("paper", [False, False, False, False]),
        ("pooled-noise-2", [True, False, True, None]),
        ("pooled-noise-4", [True, True, True, None]),
        ("pooled-noise-4-by-2", [True, True, True, None]),
        ("pooled-noise-6", [True, True, True, None]),
    ],
)
def test_what_the_default_policy_says_of_the_committed_board(
    scheme: str, holds: list[bool | None]
) -> None:
    """None: membership of that scheme is not on the board; nobody tried, which is no pass."""
    board = json.loads((RESULTS / "board-dlib.json").read_text())
    rows = [one for one in board["rows"] if one["scheme"] == scheme]
    lines = apply(DEFAULT_POLICY, rows)
    assert [line.passed for line in lines] == holds


def test_people_named_by_a_pair_would_fail_any_scheme_with_class_numbers() -> None:
    board = json.loads((RESULTS / "board-dlib.json").read_text())
    rows = [one for one in board["rows"] if one["scheme"] == "pooled-noise-6"]
    everybody = dataclasses.replace(DEFAULT_POLICY.rules[1], protocol="linkage")
    assert judged(*rows, rule=everybody).passed is False


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_policy_is_read_from_toml(tmp_path: Path) -> None:
    text = """
    probes = 50
    [[rule]]
    name = "who"
    protocol = "linkage"
    metric = "rank_1"
    known_pairs = 4
    max = 0.25
    """
    policy = load_policy(write(tmp_path / "strict.toml", text))
    assert (policy.name, policy.probes) == ("strict", 50)
    assert policy.rules[0].limit(0.01) == 0.25
    assert policy.rules[0].knowledge("same_collection").level == "K4"


GOOD = "[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'\nmax=0.1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rule"),
        ("[[rule", "is not TOML"),
        ("rule = 3", "write each rule under"),
        ("prbes = 3\n[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'\nmax=0.1", "'probes'"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'\nmaxx=0.1", "did you mean 'max'"),
        ("[[rule]]\nname='a'\nprotocol='hearsay'\nmetric='rank_1'\nmax=0.1", "protocol='hearsay'"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'", "one of max and"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'\nmax=7", "max=7"),
        ("[[rule]]\nprotocol='linkage'", "missing"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank1'\nmax=0.1", "metric='rank1'"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='eer'\nmax=0.1", "metric='eer'"),
        (f"{GOOD}\nknown_pairs='16'", "known_pairs='16'|another type"),
        (f"{GOOD}\nknown_pairs=-1", "known_pairs=-1"),
        (f"{GOOD}\nphase='later'", "phase='later'|another type"),
        (f"{GOOD}\nphase='inference'\nknown_pairs=4", "answers every query"),
        (f"seeds='3'\n{GOOD}", "seeds='3'|another type"),
        (f"learned_attacks='no'\n{GOOD}", "learned_attacks='no'|another type"),
        ("[[rule]]\nname='a'\nprotocol='linkage'\nmetric='rank_1'\nmax='x'", "max"),
    ],
)
def test_bad_policies_are_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_policy(write(tmp_path / "bad.toml", text))


def test_a_missing_policy(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        load_policy(tmp_path / "none.toml")

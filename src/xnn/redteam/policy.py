"""What an auditor tolerates, in a TOML file: one rule per line of the verdict.

    name = "default"
    probes = 300            # optional, as the sizes below
    [[rule]]
    name = "no known pair"
    protocol = "linkage"    # linkage, linkage-others, unlinkability, membership, rebuilt
    metric = "rank_1"
    known_pairs = 0
    max_times_chance = 2.0  # or: max = 0.1

A rule holds when the low end of the interval of the worst attack that applies does not exceed it.
"""

import difflib
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.errors import ConfigError
from xnn.files import disk_errors
from xnn.redteam.judge import OTHERS

_PROTOCOLS = ("linkage", OTHERS, "unlinkability", "membership", "rebuilt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a policy.

    Raises:
        ConfigError: A field is out of range, or not exactly one limit is given.
    """

    name: str
    protocol: str
    metric: str
    known_pairs: int = 0
    chosen_inputs: int = 0
    max: float | None = None
    """Limit of the rate itself."""
    max_times_chance: float | None = None
    """Limit in multiples of what guessing reaches."""

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(
                f"rule {self.name!r}: protocol={self.protocol!r}; use one of "
                f"{', '.join(_PROTOCOLS)}"
            )
        if self.protocol == OTHERS and not self.known_pairs:
            raise ConfigError(f"rule {self.name!r}: {OTHERS} is about known pairs; set known_pairs")
        if (self.max is None) == (self.max_times_chance is None):
            raise ConfigError(f"rule {self.name!r} gives one of max and max_times_chance")
        if self.max is not None and not 0 <= self.max <= 1:
            raise ConfigError(f"rule {self.name!r}: max={self.max:g}; use a fraction in [0, 1]")
        if self.max_times_chance is not None and not self.max_times_chance >= 1:
            raise ConfigError(
                f"rule {self.name!r}: max_times_chance={self.max_times_chance:g}; use 1 or more"
            )

    def limit(self, chance: float) -> float:
        """Return the largest tolerated rate."""
        if self.max is not None:
            return self.max
        return min(1.0, (self.max_times_chance or 1.0) * chance)

    def knowledge(self, public_faces: PublicFaces) -> Knowledge:
        """Return what the attacker of this rule is granted."""
        return Knowledge(
            public_faces=public_faces,
            known_pairs=self.known_pairs,
            chosen_inputs=self.chosen_inputs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A named list of rules, and how much is tried."""

    name: str
    rules: tuple[Rule, ...]
    probes: int = 300
    """Records that the judge asks about."""
    public: int = 2000
    """Most photographs of the attacker's own."""
    seeds: int = 1
    """Casts of people, each with keys of its own."""
    learned_attacks: bool = True
    """Whether attacks that train a network are run: minutes each."""

    def __post_init__(self) -> None:
        if not self.rules:
            raise ConfigError(f"policy {self.name!r} has no rule; a pass would mean nothing")
        for name in ("probes", "public", "seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"policy {self.name!r}: {name}={getattr(self, name)}; use 1 up")


DEFAULT_POLICY = Policy(
    name="default",
    rules=(
        Rule(
            name="who is on a record, from the upload alone",
            protocol="linkage",
            metric="rank_1",
            max_times_chance=2.0,
        ),
        # Class numbers name the people of a known pair outright, under any scheme: not asked about.
        Rule(
            name="who is on a record, with 16 known pairs of other people",
            protocol=OTHERS,
            metric="rank_1",
            known_pairs=16,
            max_times_chance=5.0,
        ),
        Rule(
            name="one person under two keys",
            protocol="unlinkability",
            metric="d_sys",
            max=0.1,
        ),
        Rule(
            name="whether a photograph was used",
            protocol="membership",
            metric="auc",
            max=0.6,
        ),
    ),
)
"""The limits that the project asks of its own schemes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A rule with what was measured against it."""

    rule: Rule
    passed: bool | None
    """None where no attack of the rule applied or worked: nothing is known, which is no pass."""
    worst: dict[str, Any] | None = field(default=None, repr=False)
    """Row of the worst attack."""

    @property
    def sentence(self) -> str:
        """Say in one sentence how it came out, and why."""
        if self.worst is None:
            return f"{self.rule.name}: no attack of the suite could be tried, or none works here"
        row = self.worst
        limit = self.rule.limit(row["chance"])
        reached = (
            f"{row['attack']} reaches {self.rule.metric} {row['value']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}], guessing {row['chance']:.3f}, "
            f"tolerated {limit:.3f}"
        )
        return f"{self.rule.name}: {'holds' if self.passed else 'does not hold'}; {reached}"


def apply(policy: Policy, rows: list[dict[str, Any]]) -> tuple[Line, ...]:
    """Judge the rows of an audit.

    Args:
        policy: Its rules.
        rows: From `xnn.redteam.verdicts.attack_rows`.

    Returns:
        A line per rule, in its order.
    """
    return tuple(_judge(rule, rows) for rule in policy.rules)


def _judge(rule: Rule, rows: list[dict[str, Any]]) -> Line:
    met = [
        row
        for row in rows
        if _matches(rule, row) and row["value"] is not None and row["verdict"] != "not working"
    ]
    if not met:
        return Line(rule=rule, passed=None)
    worst = max(met, key=lambda row: (row["low"] - rule.limit(row["chance"]), row["value"]))
    return Line(rule=rule, passed=bool(worst["low"] <= rule.limit(worst["chance"])), worst=worst)


def _matches(rule: Rule, row: dict[str, Any]) -> bool:
    protocol = row["protocol"]
    if protocol != OTHERS:
        protocol = protocol.split("-")[0]
    return (
        (protocol, row["metric"]) == (rule.protocol, rule.metric)
        and row["known_known_pairs"] == rule.known_pairs
        and row["known_chosen_inputs"] == rule.chosen_inputs
    )


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        StorageError: The file cannot be read.
        ConfigError: It is no TOML, or holds an unknown or wrong setting.
    """
    with disk_errors("read", path), path.open("rb") as file:
        try:
            content = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path.name!r} is not TOML: {error}") from error
    rules = content.pop("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ConfigError(f"{path.name!r}: write each rule under [[rule]]")
    made = tuple(_made(Rule, _floats(rule), f"rule {i}") for i, rule in enumerate(rules, start=1))
    settings = {"name": path.stem, **content, "rules": made}
    policy = _made(Policy, settings, path.name)
    return policy


def _floats(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule whose limits may have been written as whole numbers."""
    limits = ("max", "max_times_chance")
    return {k: float(v) if k in limits and type(v) is int else v for k, v in rule.items()}


def _made(kind: Any, settings: dict[str, Any], where: str) -> Any:
    """Return a frozen dataclass of plain settings; an unknown name is told with the nearest."""
    known = [one.name for one in fields(kind)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; use {', '.join(known)}"
            raise ConfigError(f"{where}: unknown setting {name!r}{hint}")
    try:
        return kind(**settings)
    except TypeError as error:
        raise ConfigError(f"{where}: a setting is missing or of another type: {error}") from error

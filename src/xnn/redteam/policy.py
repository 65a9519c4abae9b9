"""What an auditor tolerates, in a TOML file: one rule per line of the verdict.

    name = "default"
    probes = 300            # optional, as the sizes below
    [[rule]]
    name = "no known pair"
    protocol = "linkage"    # linkage, linkage-others, unlinkability, membership, rebuilt
    metric = "rank_1"
    known_pairs = 0
    max_times_chance = 2.0  # or: max = 0.1
    phase = "training"      # or "inference": rules for the bundle of a device

A rule holds when the low end of the interval of the worst attack that applies does not exceed it.
"""

import difflib
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

from xnn.attacks.base import Phase
from xnn.attacks.knowledge import Knowledge, PublicFaces
from xnn.errors import ConfigError
from xnn.files import disk_errors
from xnn.metrics.evaluation import FARS
from xnn.metrics.membership import FPRS
from xnn.redteam.judge import OTHERS

_LINKED = ("rank_1", "rank_10", *(f"tar_at_far_{far:g}" for far in FARS))
_METRICS = {
    "linkage": _LINKED,
    OTHERS: _LINKED,
    "rebuilt": _LINKED,
    "unlinkability": ("d_sys", "rank_1"),
    "membership": ("auc", *(f"tpr_at_fpr_{fpr:g}" for fpr in FPRS)),
}
"""What a rule may limit: rates of which the attacker wants much."""


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
    phase: Phase = "training"
    """What is audited: an upload, or the bundle of a device, which may be queried at will."""

    def __post_init__(self) -> None:
        _one_of(self.name, "protocol", self.protocol, tuple(_METRICS))
        _one_of(self.name, "metric", self.metric, _METRICS[self.protocol])
        _one_of(self.name, "phase", self.phase, get_args(Phase))
        for count in ("known_pairs", "chosen_inputs"):
            number = getattr(self, count)
            if type(number) is not int or number < 0:
                raise ConfigError(
                    f"rule {self.name!r}: {count}={number!r}; use a whole number, 0 or more"
                )
        if self.phase == "inference" and (self.known_pairs or self.chosen_inputs):
            raise ConfigError(
                f"rule {self.name!r}: a device answers every query; leave out known_pairs and "
                "chosen_inputs where phase is 'inference'"
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


def _one_of(rule: str, field_name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"rule {rule!r}: {field_name}={value!r}; use one of {', '.join(known)}")


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
            number = getattr(self, name)
            if type(number) is not int or number < 1:
                raise ConfigError(f"policy {self.name!r}: {name}={number!r}; use 1 up")
        if type(self.learned_attacks) is not bool:
            raise ConfigError(
                f"policy {self.name!r}: learned_attacks={self.learned_attacks!r}; use true or false"
            )

    def about(self, phase: Phase) -> "Policy":
        """Return the policy with the rules about one phase.

        Raises:
            ConfigError: There is none.
        """
        rules = tuple(rule for rule in self.rules if rule.phase == phase)
        if not rules:
            raise ConfigError(
                f"policy {self.name!r} has no rule with phase = {phase!r}, which is what is "
                "audited; add one, or leave out --policy"
            )
        return replace(self, rules=rules)


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

FRONT_POLICY = Policy(
    name="default for devices",
    rules=(
        Rule(
            name="who is on a message, for whoever owns the same device",
            phase="inference",
            protocol="linkage",
            metric="rank_1",
            max_times_chance=2.0,
        ),
    ),
)
"""The same for the bundle of a device: what it sends, against whoever may query one like it."""


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
    if (protocol, row["metric"]) != (rule.protocol, rule.metric):
        return False
    if row.get("phase", "training") != rule.phase:
        return False
    granted = row["known_known_pairs"], row["known_chosen_inputs"]
    return rule.phase == "inference" or granted == (rule.known_pairs, rule.chosen_inputs)


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

"""The words of an audit, shared by its page and its PDF."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xnn.attacks.knowledge import LEVELS

Limits = tuple[tuple[str, str], ...]
"""What a result does not cover, and why."""

NOT_PROTECTED: Limits = (
    ("Labels and class sizes", "how many people there are and how many records each has"),
    (
        "People of whom a pair is known",
        "a photograph with its record names the class number, and with it every record of that "
        "person, under any scheme that is trained with class numbers",
    ),
    ("Who holds the tail", "can tell whether two records show one person"),
    ("Attacks that are not in this suite", "a pass says nothing of them"),
    ("More records, more pairs", "each count was tried up to what is stated, not beyond"),
    ("The owner's machines", "photographs, names and the key are there in the clear"),
)
"""What no result of the audit of an upload covers."""

NOT_PROTECTED_BY_FRONT: Limits = (
    ("The server and its operator", "recognise everybody enrolled: that is what they are for"),
    (
        "A device taken apart",
        "it shows its weights, and what it shares with a server",
    ),
    ("Attacks that are not in this suite", "a pass says nothing of them"),
    ("When, how often, how large", "messages show that without being read"),
    ("The photograph", "is on the device in the clear"),
)
"""What no result of the audit of a device covers."""

UPLOAD_ATTACKER = (
    "The attacker holds the upload, its class numbers, the extractor and the scheme (both public), "
    "photographs of other people, and one clean photograph of every suspect. It does not hold the "
    "key. Where a rule says so it also knows the photographs behind a few records, but not the "
    "order of their tokens."
)
FRONT_ATTACKER = (
    "The attacker reads what a device sends, owns a device just like it and may send any "
    "photograph through that, knows the extractor and the kind of front, has photographs of other "
    "people and one clean photograph of every suspect. It does not hold the server, and has not "
    "taken a device apart."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacts:
    """What was audited and how hard it was tried."""

    subject: str
    """Name of the folder, without its path."""
    scheme: str
    policy: str
    passed: bool
    reason: str
    lines: tuple[tuple[str, bool | None, str], ...]
    """Rule, whether it holds, and the sentence; the worst first."""
    rows: tuple[dict[str, Any], ...]
    """A headline row per attack; `worst_first` puts them in order."""
    audited: tuple[str, ...]
    """What was audited, in sentences."""
    attacker: tuple[str, ...]
    """What the attacker holds and how much was tried, in sentences."""
    guarantee: str
    """The formal statement with its parameters, or that there is none."""
    not_protected: Limits
    created_at: str
    command: str
    details: dict[str, Any]
    """Plain facts for the JSON."""


def worst_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return headline rows by how far the low end is from chance towards certainty.

    Attacks that do not work come after all that do, those that could not be tried last.
    """
    return sorted(rows, key=_order)


def _order(row: dict[str, Any]) -> tuple[int, float, float]:
    if row["value"] is None:
        return 2, 0.0, 0.0
    chance = row["chance"]
    excess = (row["low"] - chance) / max(1 - chance, 1e-9)
    return (1 if row["verdict"] == "not working" else 0), -excess, -row["value"]


def others_text(row: dict[str, Any]) -> str:
    """Return the rate of people of no known pair, where pairs were granted; else nothing."""
    others = row.get("others")
    if others is None or others["value"] is None:
        return ""
    return f"people of no pair: {others['value']:.3f} [{others['low']:.3f}, {others['high']:.3f}]"


def levels_sentence(rows: Sequence[dict[str, Any]]) -> str:
    """Say in words what each level grants, up to the highest in the rows."""
    highest = max((row["known_level"] for row in rows), default="K0")
    granted = "; ".join(f"{level}: {words}" for level, words in LEVELS.items() if level <= highest)
    told = f"What a level grants, each read after those before it: {granted}."
    if any(row.get("others") for row in rows):
        told += (
            " With known pairs the first rate is of all people, those of the pairs among them; the "
            "verdict is on that one, rules may ask about the other."
        )
    return told


def verdict_word(passed: bool | None) -> str:
    """Return one word for a rule."""
    if passed is None:
        return "not tested"
    return "holds" if passed else "does not hold"


def agreement_sentence(row: dict[str, Any]) -> str:
    """Say what the attack on the upload itself showed."""
    if "reason" in row:
        return (
            "The upload's own records could not be attacked without photographs of its people, "
            f"which is no evidence that they resist: {row['reason']}."
        )
    found = (
        f"{row['attack']} on two disjoint halves of the real records gave the same answer for "
        f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}] of {row['probes']} other "
        f"records (guessing {row['chance']:.1%})."
    )
    if row["low"] > 3 * row["chance"]:
        return f"{found} Two attackers would agree: the key is being recovered from this upload."
    return f"{found} The two answers have little in common."

"""The words of an audit, shared by its page and its PDF."""

from dataclasses import dataclass
from typing import Any

NOT_PROTECTED = (
    ("Labels and class sizes", "how many people there are and how many records each has"),
    ("Who holds the tail", "can tell whether two records show one person"),
    ("Attacks that are not in this suite", "a pass says nothing of them"),
    ("More records, more pairs", "each count was tried up to what is stated, not beyond"),
    ("The owner's machines", "photographs, names and the key are there in the clear"),
)
"""What no result of an audit covers."""

LEVELS = (
    "The attacker holds the upload, its class numbers, the extractor and the scheme (both public), "
    "photographs of other people, and one clean photograph of every suspect. It does not hold the "
    "key. Where a rule says so it also knows the photographs behind a few records, but not the "
    "order of their tokens."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacts:
    """What was audited and how hard it was tried."""

    subject: str
    """Name of the folder, without its path."""
    scheme: str
    falls_to: str
    extractor: str
    key_id: str
    records: int
    classes: int
    bytes_per_record: int
    policy: str
    passed: bool
    reason: str
    lines: tuple[tuple[str, bool | None, str], ...]
    """Rule, whether it holds, and the sentence; the worst first."""
    rows: tuple[dict[str, Any], ...]
    """A headline row per attack."""
    agreement: dict[str, Any] | None
    victims: str
    """Who plays the victims of the replay."""
    public: str
    budget: str
    """How much was tried, in words."""
    guarantee: str
    """The scheme's formal statement, or that it has none."""
    created_at: str
    command: str


def verdict_word(passed: bool | None) -> str:
    """Return one word for a rule."""
    if passed is None:
        return "not tested"
    return "holds" if passed else "does not hold"


def agreement_sentence(row: dict[str, Any] | None) -> str:
    """Say what the attack on the upload itself showed."""
    if row is None:
        return "No attack of the suite recovers features from this upload without a known pair."
    found = (
        f"{row['attack']} on two disjoint halves of the real records gave the same answer for "
        f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}] of {row['probes']} other "
        f"records (guessing {row['chance']:.1%})."
    )
    if row["low"] > 3 * row["chance"]:
        return f"{found} Two attackers would agree: the key is being recovered from this upload."
    return f"{found} The two answers have little in common."

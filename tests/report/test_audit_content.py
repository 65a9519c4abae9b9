"""What an audit says in words: order, levels, guarantees, and what could not be tried."""

from typing import Any

from xnn.cli.audit_facts import guarantee_sentence
from xnn.report.audit_content import agreement_sentence, levels_sentence, others_text, worst_first
from xnn.schemes import find_scheme
from xnn.types import TokenShape


def row(trial: str, low: float | None, **changes: Any) -> dict[str, Any]:
    value = None if low is None else low + 0.1
    facts = {"trial": trial, "value": value, "low": low, "chance": 0.01, "verdict": "broken"}
    return facts | {"known_level": "K2"} | changes


def test_the_worst_comes_first_and_what_was_not_tried_last() -> None:
    rows = [
        row("refused", None, verdict="not applicable"),
        row("failed on plain", 0.9, verdict="not working"),
        row("weak", 0.02),
        row("linked", 0.4),
        row("scored by d_sys", 0.5, chance=0.4),
    ]
    found = [one["trial"] for one in worst_first(rows)]
    assert found == ["linked", "scored by d_sys", "weak", "failed on plain", "refused"]


def test_levels_are_told_up_to_the_highest() -> None:
    told = levels_sentence([row("a", 0.1), row("b", 0.1, known_level="K4")])
    assert "K2: and faces of other people" in told
    assert "K4: and some known pairs" in told
    assert "K5" not in told


def test_a_guarantee_is_told_with_every_parameter() -> None:
    proved = find_scheme("pooled-noise-16").guarantee(TokenShape(16, 256))
    assert proved is not None
    told = guarantee_sentence(proved, 198, 30)
    for number in (
        f"{proved.bits:.3g} bits a record",
        f"epsilon {proved.epsilon:.3g} at delta 1e-06",
        f"noise of {proved.noise_ratio:g} times",
        f"{30 * proved.bits:.3g} bits together",
        f"at most {proved.rank_1_at_most(198):.0%}",
    ):
        assert number in told
    assert guarantee_sentence(None, 198, 30).startswith("None. Nothing here is proved")


def test_an_upload_that_could_not_be_attacked_is_no_evidence() -> None:
    told = agreement_sentence({"reason": "unpaired-moments: 3 records held"})
    assert "no evidence that they resist: unpaired-moments: 3 records held" in told


def test_people_of_no_pair_stand_beside_all_people() -> None:
    one = row("pairs", 0.4, others=row("pairs", 0.02, high=0.2))
    assert others_text(one) == "people of no pair: 0.120 [0.020, 0.200]"
    assert others_text(row("none", 0.4)) == ""
    assert "first rate is of all people" in levels_sentence([one])

"""The frontier: a picture and words of recognition against the worst leak."""

import re
from typing import Any

import pytest

from xnn.report.frontier import frontier_svg, frontier_text

pytest.importorskip("matplotlib")


def attack_row(scheme: str, pairs: int, protocol: str, value: float) -> dict[str, Any]:
    return {
        "scheme": scheme, "attack": "class-anchors", "trial": f"class-anchors, {pairs} pairs",
        "protocol": protocol, "metric": "rank_1", "verdict": "broken", "value": value,
        "low": value / 2, "high": min(1.0, 2 * value), "chance": 0.005, "control": 0.9,
        "known_known_pairs": pairs, "known_chosen_inputs": 0,
    }  # fmt: skip


def board(schemes: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
    utility = [
        {"scheme": name, "protocol": "by_person", "metric": "rank_1", "value": rank_1,
         "low": rank_1 - 0.1, "high": rank_1 + 0.1}
        for name, (rank_1, _, _) in schemes.items()
    ]  # fmt: skip
    rows = [
        attack_row(name, pairs, protocol, value)
        for name, (_, alone, paired) in schemes.items()
        for pairs, protocol, value in (
            (0, "linkage", alone),
            (16, "linkage", 0.9),
            (16, "linkage-others", paired),
        )
    ]
    return {"utility": utility, "rows": rows}


SCHEMES = {"plain": (0.87, 0.8, 0.7), "pooled": (0.81, 0.0, 0.4), "mixup": (0.6, 0.5, 0.5)}


def test_the_words_hold_every_number_and_pairs_count_people_of_no_pair() -> None:
    text = frontier_text(board(SCHEMES))
    assert "plain: 0.870; no known pair 0.800, 16 known pairs 0.800" in text, "pairs may be unused"
    assert "pooled: 0.810; no known pair 0.000, 16 known pairs 0.400" in text
    assert "mixup" not in text


def test_the_picture_is_a_file_of_its_own_and_says_the_same() -> None:
    svg = frontier_svg(board(SCHEMES))
    assert svg.startswith("<svg ")
    assert 'xmlns="http://www.w3.org/2000/svg">' in svg.partition("<rect")[0]
    assert f'aria-label="{frontier_text(board(SCHEMES))}"' in svg
    assert "var(" not in svg
    assert not re.search(r"(href|src)=\"(?!#)", svg)
    assert svg == frontier_svg(board(SCHEMES))


def test_other_numbers_give_another_picture() -> None:
    changed = board(SCHEMES | {"pooled": (0.81, 0.0, 0.2)})
    assert frontier_svg(changed) != frontier_svg(board(SCHEMES))

"""Recognition against attack as curves: a picture and its words."""

import re
from typing import Any

import pytest

from xnn.report.front_curves import PANELS, front_curves_svg, front_curves_text, points

pytest.importorskip("matplotlib")


def row(curve: str, student: float, strongest: float, seed: int = 0, **where: float) -> Any:
    return {
        "seed": seed, "curve": curve, "fresh_student": student, "strongest": strongest,
        "chance": 1 / 58, **where,
    }  # fmt: skip


def content() -> dict[str, Any]:
    game = {"scale": 3.0, "weight": 1.0, "utility": 0.0}
    return {
        "rows": [
            row("code", 0.9, 0.95),
            row("gaussian", 0.5, 0.7, snr_db=0.0),
            row("gaussian", 0.1, 0.3, snr_db=-5.0),
            row("game", 0.4, 0.41, step=1000, **game),
            row("game", 0.6, 0.66, step=125, **game),
            row("game", 0.2, 0.99, seed=1, step=125, **game),
            row("tokens", 0.91, 0.94),
            row("tokens-paper", 0.8, 0.9, step=472),
        ]
    }


def bench() -> dict[str, Any]:
    facts = {"metric": "rank_1", "chance": 1 / 58, "control_ok": True}
    rates = (("student", "by_person", 0.867), ("z-linkage", "linkage", 0.016))
    return {
        "rows": [
            {"preset": "xnn", "party": party, "protocol": protocol, "value": value,
             "low": value - 0.01, "high": value + 0.01, **facts}
            for party, protocol, value in rates
        ]
    }  # fmt: skip


def test_points_of_a_line_are_of_one_seed_and_in_order() -> None:
    game = next(s for s in PANELS[0].series if s.where == (
        ("scale", 3.0), ("weight", 1.0), ("utility", 0.0)))  # fmt: skip
    assert [r["step"] for r in points(content(), game)] == [125, 1000]


def test_the_words_hold_every_number() -> None:
    text = front_curves_text(content(), bench())
    assert "A code of 64 numbers, no noise: 0.900 and 0.950" in text
    assert "gaussian, dB: -5: 0.100 and 0.300; 0: 0.500 and 0.700" in text
    assert "game, no utility term: 125: 0.600 and 0.660; 1000: 0.400 and 0.410" in text
    assert "the paper's game: 472: 0.800 and 0.900" in text
    assert "Bench, xnn: 0.867 and 0.016" in text
    assert "0.990" not in text


def test_the_picture_is_a_file_of_its_own_with_guessing_drawn() -> None:
    svg = front_curves_svg(content(), bench())
    assert svg.startswith("<svg ")
    assert svg.count("guessing") == len(PANELS)
    assert "var(" not in svg
    assert not re.search(r"(href|src)=\"(?!#)", svg)
    assert svg == front_curves_svg(content(), bench())
    assert svg != front_curves_svg(content())

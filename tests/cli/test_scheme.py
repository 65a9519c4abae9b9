"""`xnn scheme`: the cards, and what is proved of a record."""

import math

import pytest

from xnn.schemes import SCHEMES


def test_every_scheme_is_listed_and_has_a_card(xnn) -> None:
    listed = [row["name"] for row in xnn("scheme", "list").result["schemes"]]
    assert listed == list(SCHEMES)


@pytest.mark.parametrize("name", ["plain", "paper", "pooled", "neuracrypt"])
def test_a_scheme_without_noise_bound_proves_nothing(xnn, name: str) -> None:
    shown = xnn("scheme", "show", name).result
    assert shown["name"] == name
    assert shown["guarantee"] is None


def test_the_bits_of_a_noisy_record_are_those_of_its_channel(xnn) -> None:
    shown = xnn("scheme", "show", "pooled-noise-4").result
    assert (shown["extractor"], shown["record"]) == ("dlib", "1x256")
    bits = 128 * math.log2(1 + (1.25 / 4) ** 2)
    assert shown["guarantee"]["bits"] == pytest.approx(bits)
    assert f"{bits:.3g} bits" in shown["guarantee"]["sentence"]

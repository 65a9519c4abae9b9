"""The card: checked when made, and the same text and digest everywhere."""

import dataclasses
import hashlib
import json

import pytest

from xnn.errors import ConfigError, FormatError
from xnn.extractors.card import ExtractorCard
from xnn.types import TokenShape

CARD = ExtractorCard(
    name="toy",
    weights_sha256="0" * 64,
    licence="CC0-1.0",
    origin="nowhere",
    input_size_px=112,
    pixel_mean=(1.0, 2.0, 3.0),
    pixel_std=(4.0, 5.0, 6.0),
    colour_order="rgb",
    resize="bicubic",
    split_depth=2,
    class_token=True,
    n=5,
    d=8,
)


def test_round_trip_through_json() -> None:
    again = ExtractorCard.from_dict(json.loads(json.dumps(CARD.to_dict())))
    assert again == CARD
    assert again.digest() == CARD.digest()
    assert again.shape == TokenShape(5, 8)


def test_digest_is_the_sha256_of_the_sorted_json() -> None:
    fields = dataclasses.asdict(CARD)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert CARD.digest() == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("field", "value"),
    [("split_depth", 3), ("class_token", False), ("pixel_mean", (1.0, 2.0, 3.5)), ("name", "t")],
)
def test_every_change_changes_the_digest(field: str, value: object) -> None:
    assert dataclasses.replace(CARD, **{field: value}).digest() != CARD.digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights_sha256", "ABC"),
        ("pixel_std", (1.0, 0.0, 1.0)),
        ("pixel_mean", (1.0, float("nan"), 1.0)),
        ("n", 0),
        ("d", -1),
        ("split_depth", 0),
    ],
)
def test_a_field_outside_its_range_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field.split("_")[0]):
        dataclasses.replace(CARD, **{field: value})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n": "5"}, "n is a str"),
        ({"n": True}, "n is a bool"),
        ({"class_token": 1}, "class_token"),
        ({"pixel_mean": [1, 2]}, "pixel_mean"),
        ({"pixel_std": ["a", "b", "c"]}, "pixel_std"),
        ({"colour_order": "grb"}, "colour_order"),
        ({"colour_order": ["rgb"]}, "colour_order"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_foreign_card_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(FormatError, match=named):
        ExtractorCard.from_dict(CARD.to_dict() | change)


def test_a_missing_field_is_named() -> None:
    fields = CARD.to_dict()
    del fields["licence"]
    with pytest.raises(FormatError, match="licence"):
        ExtractorCard.from_dict(fields)

"""Extractors by name, options that mean something, and one of the user's own."""

import re
from pathlib import Path

import pytest
import torch

from xnn.errors import ConfigError, MissingExtraError
from xnn.extractors import catalog
from xnn.extractors.card import ExtractorCard
from xnn.extractors.catalog import EXTRACTORS, load_extractor

OWN_MODULE = """
from xnn.extractors.card import ExtractorCard
from xnn.extractors.interface import Extractor

CARD = ExtractorCard(
    name="own_extractor:Thumbnails", weights_sha256="0" * 64, licence="ours", origin="here",
    input_size_px=8, pixel_mean=(0.0, 0.0, 0.0), pixel_std=(255.0, 255.0, 255.0),
    colour_order="rgb", resize="bicubic", split_depth=1, class_token=False, n=64, d=3,
)


class Thumbnails(Extractor):
    def __init__(self, *, precision="fp32"):
        super().__init__(CARD, precision=precision)

    def features(self, pixels):
        return pixels.flatten(2).transpose(1, 2)


NOT_A_CLASS = 3
def not_an_extractor():
    return "tokens"
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_extractor.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own_module")
def test_one_class_and_one_card_make_an_extractor() -> None:
    crops = torch.full((2, 112, 112, 3), 51, dtype=torch.uint8)
    extractor = load_extractor("own_extractor:Thumbnails", precision="bf16")
    tokens = extractor.tokens(crops)
    torch.testing.assert_close(tokens, torch.full((2, 64, 3), 0.2))


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("own_extractor:Missing", "cannot import"),
        ("own_extracto:Thumbnails", "cannot import"),
        ("own_extractor:", "cannot import"),
        (":Thumbnails", "cannot import"),
        ("own_extractor:NOT_A_CLASS", "is a int"),
        ("own_extractor:not_an_extractor", "made a str"),
        ("resnet", "unknown extractor 'resnet'; use one of dlib, vit-s14, vit-b16"),
        ("vit-s14@", "input size in pixels"),
        ("vit-s14@-3", "input size in pixels"),
        ("dlib@112", "'dlib' has no option input_size_px"),
    ],
)
def test_a_wrong_name_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load_extractor(name)


def test_an_option_without_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'dlib' has no option weights"):
        load_extractor("dlib", weights=tmp_path / "x.pth")


def test_options_reach_the_extractor() -> None:
    card = load_extractor("dlib", split_depth=3, class_token=False).card
    assert (card.split_depth, card.n, card.d) == (3, 1225, 32)


def test_the_size_in_a_name_reaches_the_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def make(*, input_size_px: int) -> None:
        seen.append(input_size_px)
        raise MissingExtraError("stop here")

    monkeypatch.setitem(catalog.EXTRACTORS, "sized", make)
    with pytest.raises(MissingExtraError):
        load_extractor("sized@196")
    assert seen == [196]


def test_a_card_names_how_to_load_its_extractor_again() -> None:
    card = load_extractor("dlib", split_depth=4).card
    again = load_extractor(card.name, split_depth=card.split_depth, class_token=card.class_token)
    assert again.card.digest() == ExtractorCard.from_dict(card.to_dict()).digest()


def test_every_entry_says_in_one_line_what_it_is() -> None:
    for name, make in EXTRACTORS.items():
        assert (make.__doc__ or "").splitlines()[0].endswith("."), name

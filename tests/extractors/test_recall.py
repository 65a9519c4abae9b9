"""An extractor is loaded again from its card, or refused by name."""

import pytest
import torch

from xnn.errors import ConfigError, CorruptError, FormatError
from xnn.extractors.catalog import load_extractor
from xnn.extractors.recall import recall_extractor


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("split_depth", [None, 10])
def test_the_very_same_extractor_comes_back(split_depth: int | None) -> None:
    made = load_extractor("dlib", split_depth=split_depth)
    recalled = recall_extractor(made.card.to_dict())
    assert recalled.card == made.card
    crops = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8)
    assert torch.equal(recalled.tokens(crops), made.tokens(crops))


def test_another_extractor_of_the_same_name_is_refused() -> None:
    card = load_extractor("dlib").card.to_dict()
    with pytest.raises(ConfigError, match=r"differs from the card in weights_sha256"):
        recall_extractor(card | {"weights_sha256": "0" * 64})
    with pytest.raises(ConfigError, match=r"differs from the card in .*pixel_mean"):
        recall_extractor(card | {"pixel_mean": [0.0, 0.0, 0.0]})


def test_names_that_are_not_in_the_catalog() -> None:
    card = load_extractor("dlib").card.to_dict()
    with pytest.raises(ConfigError, match="nobody"):
        recall_extractor(card | {"name": "nobody"})
    by_class = "xnn.extractors.dlib_resnet:DlibExtractor"
    assert recall_extractor(card, name=by_class).card.to_dict() == card


def test_malformed_cards_are_one_error() -> None:
    card = load_extractor("dlib").card.to_dict()
    for broken in ({}, {"name": "dlib"}, card | {"n": "many"}, card | {"surprise": 1}):
        with pytest.raises((FormatError, CorruptError, ConfigError)):
            recall_extractor(broken)

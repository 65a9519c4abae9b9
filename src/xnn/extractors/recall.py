"""Loading again the extractor that a card describes."""

import inspect
from pathlib import Path
from typing import Any

from xnn.errors import ConfigError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.catalog import EXTRACTORS, load_extractor
from xnn.extractors.interface import Extractor, Precision


def recall_extractor(
    card: dict[str, Any],
    *,
    name: str | None = None,
    weights: Path | None = None,
    precision: Precision = "fp32",
) -> Extractor:
    """Load the extractor of a card and make sure that it is that very one.

    Args:
        card: As kept in a key file, a manifest or a bundle.
        name: How to load it, where the card's own name is not in the catalog (`package.module:
            Class`).
        weights: Local weights, for extractors that need them.
        precision: See `load_extractor`.

    Raises:
        ConfigError: It is not in the catalog, or what loads differs from the card.
        FormatError: The card is malformed.
        MissingExtraError: Its weights must be fetched first.

    Trust: owner or device; anyone for a public extractor.
    """
    wanted = ExtractorCard.from_dict(card)
    options: dict[str, Any] = {}
    base = wanted.name.partition("@")[0] if name is None else name
    if base in EXTRACTORS:
        known = inspect.signature(EXTRACTORS[base]).parameters
        options = {"split_depth": wanted.split_depth}
        if "class_token" in known:
            options["class_token"] = wanted.class_token
        if "input_size_px" in known:
            base = f"{base}@{wanted.input_size_px}"
    extractor = load_extractor(base, weights=weights, precision=precision, **options)
    if extractor.card.digest() != wanted.digest():
        differing = sorted(k for k, v in extractor.card.to_dict().items() if card.get(k) != v)
        raise ConfigError(
            f"extractor {base!r} differs from the card in {', '.join(differing)}; "
            "use the weights and version that the card names"
        )
    return extractor

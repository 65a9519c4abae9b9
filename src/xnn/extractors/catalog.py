"""Extractors by name."""

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xnn.errors import ConfigError
from xnn.extractors.dlib_resnet import DlibExtractor
from xnn.extractors.interface import Extractor, Precision
from xnn.extractors.vit_extractor import vit_b16, vit_s14

EXTRACTORS: dict[str, Callable[..., Extractor]] = {
    "dlib": DlibExtractor,
    "vit-s14": vit_s14,
    "vit-b16": vit_b16,
}
"""What each name makes; each takes those options of `load_extractor` that mean something to it."""


def load_extractor(
    name: str,
    *,
    split_depth: int | None = None,
    class_token: bool | None = None,
    weights: Path | None = None,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> Extractor:
    """Return a ready extractor.

    Args:
        name: A name in `EXTRACTORS`, with the input size appended where it can be chosen
            ("vit-s14@196"), or "package.module:Class" for an extractor of your own.
        split_depth: Blocks kept; None takes the extractor's default.
        class_token: Whether token 0 is the class token; None takes the extractor's default.
        weights: Local weights file, for extractors that need one.
        precision: "bf16" computes in bfloat16; tokens are float32 either way.
        device: Where to compute, as torch names it.

    Raises:
        ConfigError: Unknown name, or an option that this extractor does not have or allow.
        MissingExtraError: The weights must be fetched first.
        CorruptError: The weights are not what they should be.

    Trust: owner or device.
    """
    base, _, size = name.partition("@")
    make = _find(base)
    given: dict[str, Any] = {
        "split_depth": split_depth,
        "class_token": class_token,
        "weights": weights,
        "precision": None if precision == "fp32" else precision,
        "device": None if device == "cpu" else device,
        "input_size_px": _size(name, size),
    }
    options = {option: value for option, value in given.items() if value is not None}
    unknown = sorted(options.keys() - inspect.signature(make).parameters.keys())
    if unknown:
        raise ConfigError(f"extractor {base!r} has no option {', '.join(unknown)}; leave it out")
    extractor = make(**options)
    if not isinstance(extractor, Extractor):
        raise ConfigError(
            f"{base!r} made a {type(extractor).__name__}; derive it from "
            "xnn.extractors.interface.Extractor"
        )
    return extractor


def _find(name: str) -> Callable[..., Extractor]:
    """Return what makes the extractor of a name."""
    if name in EXTRACTORS:
        return EXTRACTORS[name]
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(
            f"unknown extractor {name!r}; use one of {', '.join(EXTRACTORS)}, "
            "or package.module:Class for your own"
        )
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot import extractor {name!r}: {error}") from error
    if not callable(make):
        raise ConfigError(f"extractor {name!r} is a {type(make).__name__}, expected a class")
    found: Callable[..., Extractor] = make
    return found


def _size(name: str, size: str) -> int | None:
    """Return the input size written after the @, if any."""
    if "@" not in name:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,3}", size):
        raise ConfigError(f"extractor {name!r}: write the input size in pixels, as in vit-s14@196")
    return int(size)

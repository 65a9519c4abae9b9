"""Fixtures of the metric tests."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Turn the annotation checks of the test run off: users do not have them."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)

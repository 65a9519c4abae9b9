"""A few real faces as crops, a key for them, and the default extractor."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.schemes import find_scheme
from xnn.secret import KeyFile, KeyScope, SecretKey


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    return load_extractor("dlib")


@pytest.fixture(scope="session")
def faces(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Six ORL subjects, five photographs each, merely resized: alignment is tested elsewhere."""
    root = tmp_path_factory.mktemp("crops")
    for subject in range(1, 7):
        folder = root / f"s{subject}"
        folder.mkdir()
        for shot in range(1, 6):
            with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    settings = SplitSettings(test_subjects=2, val_subjects=2, images_per_test_subject=3)
    return split_faces(load_faces(root), settings)


def make_key(folder: Path, extractor: Extractor, scheme: str = "paper") -> KeyFile:
    card = extractor.card
    scope = KeyScope(
        dataset="orl",
        extractor_digest=card.digest(),
        n=card.n,
        d=card.d,
        scheme=scheme,
        scheme_version=find_scheme(scheme).card.version,
    )
    folder.mkdir(exist_ok=True)
    path = folder / f"{scheme}-{len(list(folder.iterdir()))}.key"
    return KeyFile.create(
        path, SecretKey.generate(scope), "correct horse", extractor=card.to_dict(), log2_n=10
    )


@pytest.fixture
def keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "keys", extractor)


@pytest.fixture
def other_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "keys", extractor)


@pytest.fixture
def narrow_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    """Of a scheme whose records have another shape than the features, and no inverse."""
    return make_key(tmp_path / "keys", extractor, "random-projection")


@pytest.fixture
def fitted_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    """Of a scheme that is measured on the owner's features."""
    return make_key(tmp_path / "keys", extractor, "pooled-noise-2")


@pytest.fixture
def other_fitted_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "keys", extractor, "pooled-noise-2")


@pytest.fixture
def bounded_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    """Of a scheme with two photographs in a class at most."""
    return make_key(tmp_path / "keys", extractor, "pooled-noise-4-by-2")


@pytest.fixture
def other_bounded_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "keys", extractor, "pooled-noise-4-by-2")


@pytest.fixture
def plain_keyfile(extractor: Extractor, tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "keys", extractor, "plain")

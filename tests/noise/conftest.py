"""Six ORL people, and settings that end within seconds."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.models.tail_config import TailConfig
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.settings import NoiseSettings

MakeSettings = Callable[..., NoiseSettings]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """From before the first run is trained: other threads give other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def face_folder(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people with four photographs each, merely resized."""
    root = tmp_path_factory.mktemp("noise") / "crops"
    for subject in range(1, 9):
        folder = root / f"person-{subject}"
        folder.mkdir(parents=True)
        for shot in range(1, 5):
            with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    return root


@pytest.fixture(scope="session")
def faces(face_folder: Path) -> FaceSet:
    """Two people test, two validate, four train."""
    return split_faces(load_faces(face_folder), SplitSettings(test_subjects=2, val_subjects=2))


@pytest.fixture(scope="session")
def dlib() -> Extractor:
    return load_extractor("dlib")


@pytest.fixture(scope="session")
def make_settings(dlib: Extractor) -> MakeSettings:
    """A preset with small tails and a few steps: `make_settings("paper", shared_blocks=11)`."""

    def make(preset: str = "paper", *, shared_blocks: int = 11, seed: int = 0) -> NoiseSettings:
        settings = shorten(
            find_noise_preset(preset, dlib.card.shape),
            teacher_epochs=2,
            game_epochs=2,
            student_epochs=2,
            batch_size=4,
            seed=seed,
        )
        tail = TailConfig(n=dlib.card.n, d=dlib.card.d, tail_depth=1, heads=4, mlp_ratio=1.0)
        game = settings.game
        if game is not None:
            front = dataclasses.replace(settings.front, shared_blocks=shared_blocks)
            game = dataclasses.replace(game, tail=tail)
            settings = dataclasses.replace(settings, front=front, game=game)
            student = dataclasses.replace(settings.student, tail=tail)
            settings = dataclasses.replace(settings, teacher_tail=tail, student=student)
        if preset == "xnn":
            # Eight records tell few numbers apart.
            front = FrontSettings(noise="coupled", code_dim=6, fresh_dim=4)
            student = dataclasses.replace(
                settings.student, tail=TailConfig(n=1, d=6, tail_depth=1, heads=1)
            )
            settings = dataclasses.replace(settings, front=front, student=student)
        return settings

    return make

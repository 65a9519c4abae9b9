"""A tiny front and student trained on ORL faces, and a real server in a process of its own."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xnn.cli import noise
from xnn.device.bundle import DeviceBundle, load_device_bundle
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.faces.dataset import save_manifest
from xnn.models.tail import TailConfig
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import ServerBundle, load_server_bundle

SUBJECTS = 16
SHOTS = 6


@pytest.fixture(scope="session")
def crops(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per ORL person, photographs merely resized."""
    root = tmp_path_factory.mktemp("server") / "crops"
    for subject in range(1, SUBJECTS + 1):
        folder = root / f"person-{subject:02d}"
        folder.mkdir(parents=True)
        for shot in range(1, SHOTS + 1):
            with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    return root


@pytest.fixture(scope="session")
def bundles(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two halves, `device` and `server`, as `xnn noise export` writes them."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("bundles")
    dlib = load_extractor("dlib")
    faces = split_faces(load_faces(crops), SplitSettings(test_subjects=4, val_subjects=6))
    settings = shorten(
        find_noise_preset("gaussian", dlib.card.shape),
        teacher_epochs=3,
        student_epochs=3,
        batch_size=8,
    )
    tail = TailConfig(
        n=dlib.card.n, d=dlib.card.d, tail_depth=1, heads=4, mlp_ratio=1.0, embedding_dim=32
    )
    settings = dataclasses.replace(
        settings,
        teacher_tail=tail,
        student=dataclasses.replace(settings.student, tail=tail),
    )
    train_noise(faces, dlib, settings, root / "run")
    noise.export(root / "run", root / "device", root / "server", crops)
    return root

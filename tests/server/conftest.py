"""A tiny front and student trained on ORL faces, and a real server in a process of its own."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from served import Running, Site
from xnn.device.bundle import DeviceBundle, load_device_bundle
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.faces.crop import read_crop
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.tail_config import TailConfig
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import ServerBundle, load_server_bundle

MakeSite = Callable[..., Site]
Start = Callable[..., Running]
SUBJECTS = 18
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
    faces = split_faces(load_faces(crops), SplitSettings(test_subjects=4, val_subjects=8))
    settings = shorten(
        find_noise_preset("gaussian", dlib.card.shape),
        teacher_epochs=1,
        student_epochs=1,
        batch_size=8,
    )
    tail = TailConfig(
        n=dlib.card.n, d=dlib.card.d, tail_depth=1, heads=4, mlp_ratio=1.0, start="identity"
    )
    settings = dataclasses.replace(
        settings,
        front=dataclasses.replace(settings.front, snr_db=10.0),
        teacher_tail=tail,
        student=dataclasses.replace(settings.student, tail=tail),
    )
    run = train_noise(faces, dlib, settings, root / "run")
    part_run(run, dlib, faces, device=root / "device", server=root / "server")
    return root


@pytest.fixture(scope="session")
def front(bundles: Path) -> DeviceBundle:
    return load_device_bundle(bundles / "device")


@pytest.fixture(scope="session")
def student(bundles: Path) -> ServerBundle:
    return load_server_bundle(bundles / "server")


@pytest.fixture(scope="session")
def people(crops: Path) -> dict[str, np.ndarray]:
    """Crops of each person, uint8 (6, 112, 112, 3)."""
    return {
        folder.name: np.stack([read_crop(path) for path in sorted(folder.iterdir())])
        for folder in sorted(crops.iterdir())
    }


@pytest.fixture(scope="session")
def faces_sent(front: DeviceBundle, people: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Records of each person, made once: noise of their own, as any capture has."""
    return {name: front.send(shots) for name, shots in people.items()}


@pytest.fixture
def make_site(bundles: Path, tmp_path: Path) -> MakeSite:
    """Return a maker of a gallery's folder with keys: `make_site("a")`."""

    def make(name: str = "site", **settings: object) -> Site:
        return Site.make(tmp_path / name, bundles, {"scores": "exact"} | settings)

    return make


@pytest.fixture
def start(make_site: MakeSite) -> Iterator[Start]:
    """Return a starter of real servers, all of which end with the test."""
    running: list[Running] = []

    def begin(site: Site | None = None, **settings: object) -> Running:
        server = Running(site or make_site(**settings))
        running.append(server)
        return server.wait_until_ready()

    yield begin
    for server in running:
        server.kill()


@pytest.fixture(scope="module")
def shared(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of a file that do not stop it; tenants keep them apart."""
    settings = {
        "scores": "exact",
        "requests_per_s": 1e5,
        "request_burst": 10**6,
        "probes_per_hour": 1e8,
        "probe_burst": 10**8,
    }
    site = Site.make(tmp_path_factory.mktemp("shared") / "site", bundles, settings)
    server = Running(site).wait_until_ready()
    yield server
    server.kill()

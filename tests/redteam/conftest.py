"""Parties whose people are made up: each has a mean of its own, under statistics of positions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.observation import OwnFaces
from xnn.redteam.party import Party

N, D = 6, 12


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def own_faces(seed: int, subjects: int, shots: int) -> OwnFaces:
    """Photographs with a subject in them: in the tokens, in the embedding and in the picture."""
    world = np.random.default_rng(99)  # one extractor for everybody
    place = 2 * world.normal(size=(N, D))
    turn = np.linalg.qr(world.normal(size=(N, D, D)))[0]
    mix = turn * world.uniform(0.5, 2.0, size=(N, D, 1))
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(subjects), shots)
    inner = rng.normal(size=(subjects, N, D))[labels] + 0.4 * rng.normal(size=(len(labels), N, D))
    tokens = place + np.einsum("bnd,nde->bne", inner, mix)
    pictures = np.clip(128 + 40 * inner[:, :4, :4], 0, 255)
    crops = np.repeat(pictures.repeat(28, 1).repeat(28, 2)[..., None], 3, axis=3)
    return OwnFaces(
        crops=crops.astype(np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=inner.mean(axis=1).astype(np.float32),
        labels=labels,
    )


def make(name: str, seed: int, subjects: int, shots: int) -> Party:
    return Party(
        name=name,
        extractor="toy",
        fingerprint=f"{name}-{seed}",
        faces=own_faces(seed, subjects, shots),
    )


@pytest.fixture(scope="session")
def make_party() -> Callable[[str, int, int, int], Party]:
    """Return what makes a party of a name, a seed, so many subjects and shots of each."""
    return make


@pytest.fixture
def victim() -> Party:
    return make("victim", 1, 20, 30)


@pytest.fixture
def public() -> Party:
    return make("public", 2, 40, 15)


@pytest.fixture
def store(tmp_path: Path, victim: Party, public: Party) -> Path:
    """The parties as kept on disk, each in a folder of its fingerprint."""
    for party in (victim, public):
        folder = tmp_path / "store" / party.fingerprint
        folder.mkdir(parents=True)
        for key in ("crops", "tokens", "embeddings", "labels"):
            np.save(folder / f"{key}.npy", getattr(party.faces, key))
        text = f'{{"name": "{party.name}", "extractor": "toy"}}'
        (folder / "party.json").write_text(text)
    return tmp_path / "store"

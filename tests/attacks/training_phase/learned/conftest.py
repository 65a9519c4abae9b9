"""A made-up world: people with a latent look, of which an extractor and a recogniser tell.

A photograph is the look of its person plus something of its own. Tokens are one map of that, the
recogniser's embedding another, both with noise.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import KnownPairs, Observation, OwnFaces
from xnn.schemes import KeyStream, find_scheme
from xnn.types import TokenShape

N, D, E, LATENT = 4, 12, 16, 10

World = Callable[..., tuple[Observation, np.ndarray]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Camera:
    """The extractor and the recogniser: the same for everybody."""

    def __init__(self) -> None:
        rng = np.random.default_rng(99)
        self.tokens = rng.normal(size=(LATENT, N * D)) * np.repeat(np.linspace(0.5, 2.0, N), D)
        self.place = 0.7 * rng.normal(size=(N, D))
        self.embedding = rng.normal(size=(LATENT, E))
        self.pixels = rng.normal(size=(LATENT, 7 * 7 * 3))

    def shoot(self, rng: np.random.Generator, people: int, shots: int) -> OwnFaces:
        labels = np.repeat(np.arange(people), shots)
        scale = np.linspace(1.6, 0.6, LATENT)  # some looks are commoner than others
        look = (rng.gamma(2.0, size=(people, LATENT)) - 2.0)[labels] * scale
        seen = look + 0.25 * rng.normal(size=look.shape)
        tokens = (seen @ self.tokens).reshape(-1, N, D) / 3 + self.place
        tokens = tokens + 0.1 * rng.normal(size=tokens.shape)
        embeddings = seen @ self.embedding + 0.3 * rng.normal(size=(len(labels), E))
        small = np.clip(128 + 12 * seen @ self.pixels, 0, 255).reshape(-1, 7, 7, 3)
        crops = small.repeat(16, axis=1).repeat(16, axis=2)
        return OwnFaces(
            crops=crops.astype(np.uint8),
            tokens=tokens.astype(np.float32),
            embeddings=embeddings.astype(np.float32),
            labels=labels,
        )


@pytest.fixture
def world() -> World:
    """Call it for what an attacker holds, and the true gallery person of each probe."""
    camera = Camera()

    def make(
        scheme: str = "plain",
        *,
        people: int = 24,
        shots: int = 8,
        pairs: int = 0,
        noise: bool = False,
        public: tuple[int, int] = (60, 6),
        seed: int = 0,
    ) -> tuple[Observation, np.ndarray]:
        rng = np.random.default_rng(seed)
        shape = TokenShape(N, D)
        faces = camera.shoot(rng, people, 1 + shots)
        clean = np.arange(len(faces)) % (1 + shots) == 0
        uploaded, gallery = faces.at(np.flatnonzero(~clean)), faces.at(np.flatnonzero(clean))
        key = KeyStream(hashlib.sha256(b"victim" + bytes([seed])).digest())
        obfuscator = find_scheme(scheme).bind(shape, key)
        records = obfuscator.obfuscate(torch.from_numpy(uploaded.tokens)).numpy()
        if noise:
            records = rng.normal(size=records.shape).astype(np.float32)
        known = rng.permutation(len(records))[:pairs]
        observation = Observation(
            scheme=scheme,
            shape=shape,
            knowledge=Knowledge(known_pairs=pairs),
            records=records,
            labels=rng.permutation(people)[uploaded.labels],
            probes=np.setdiff1d(np.arange(len(records)), known),
            gallery=gallery,
            public=camera.shoot(rng, *public),
            pairs=KnownPairs(faces=uploaded.at(known), records=records[known]) if pairs else None,
        )
        return observation, uploaded.labels[observation.probes]

    return make

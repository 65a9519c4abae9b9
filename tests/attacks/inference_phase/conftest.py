"""A made-up extractor, people it sees, and front ends that add noise to what it saw."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.errors import InsufficientDataError
from xnn.types import TokenShape

N, D = 6, 24
SHAPE = TokenShape(N, D)
PERSON_TRAITS, LOOKS = 8, 4
SUSPECTS, PROBES_EACH = 20, 5
QUERIES = 1000


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def pixels_of(crops: np.ndarray) -> np.ndarray:
    return crops[:, ::16, ::16].reshape(len(crops), -1).astype(np.float64) / 64.0 - 2.0


def clean_features(crops: np.ndarray) -> np.ndarray:
    """LN(E(x)): a fixed map of a few pixels, every token normalised over its channels."""
    rng = np.random.default_rng(1234)
    pixels = pixels_of(crops)
    ways = rng.normal(size=(N, pixels.shape[1], D)) / np.sqrt(pixels.shape[1])
    tokens = rng.normal(size=(N, D)) + np.tanh(np.einsum("bp,npd->bnd", pixels, 1.5 * ways))
    tokens -= tokens.mean(axis=2, keepdims=True)
    return (tokens / tokens.std(axis=2, keepdims=True)).astype(np.float32)


@functools.cache
def own_faces(people: int, shots: int, seed: int) -> OwnFaces:
    """Photographs of made-up people: coarse patterns of their own, and some noise."""
    basis = np.random.default_rng(77).normal(size=(PERSON_TRAITS + LOOKS, 7, 7, 3))
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), shots)
    person = rng.normal(size=(people, PERSON_TRAITS))[labels]
    looks = 0.3 * rng.normal(size=(len(labels), LOOKS))
    pictures = np.tensordot(np.concatenate([person, looks], axis=1), basis, 1)
    pictures += 0.2 * rng.normal(size=pictures.shape)
    small = np.clip(128 + 30 * pictures, 0, 255).astype(np.uint8)
    crops = small.repeat(16, axis=1).repeat(16, axis=2)
    embeddings = person + 0.1 * rng.normal(size=person.shape)
    return OwnFaces(
        crops=crops,
        tokens=clean_features(crops),
        embeddings=embeddings.astype(np.float32),
        labels=labels,
    )


@dataclass
class FrontEnd:
    """What a device does: clean, or one of three kinds of noise.

    `power` is the noise's root mean square over that of the centred features.
    """

    kind: str
    power: float = 1.0
    seed: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng((self.seed, 5))
        maps = np.random.default_rng((self.seed, 6))
        self.inward = maps.normal(size=(7 * 7 * 3, 64)) / np.sqrt(40)
        self.outward = maps.normal(size=(64, N * D)) / np.sqrt(64)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        features = clean_features(crops)
        strength = self.power * 0.5  # of the centred features, about
        if self.kind == "iid":
            return self.rng.standard_normal(features.shape).astype(np.float32)
        if self.kind == "gaussian":
            noise = self.rng.standard_normal(features.shape)
        elif self.kind == "perceptron":
            noise = np.tanh(pixels_of(crops) @ self.inward) @ self.outward
            noise = noise.reshape(features.shape) / 0.8
        else:
            noise = np.zeros(features.shape)
        return (features + strength * noise).astype(np.float32)


@dataclass
class Scene:
    """What the attacker sees, and what is so."""

    observation: Observation
    probes: OwnFaces
    asked: list[int]
    """Sizes of the queries made so far."""

    def rank_1(self, scores: np.ndarray | None) -> float:
        """Share of probes whose person is first in the gallery."""
        assert scores is not None
        assert scores.shape == (len(self.probes), len(self.observation.gallery))
        gallery = self.observation.gallery.labels
        return float(np.mean(gallery[scores.argmax(axis=1)] == self.probes.labels))

    def unexplained(self, features: np.ndarray | None) -> float:
        """Squared error of features over the variance of the truth; 1 for whoever says the mean."""
        assert features is not None
        truth = self.probes.tokens
        return float(
            np.square(features - truth).sum() / np.square(truth - truth.mean(axis=0)).sum()
        )


Play = Callable[..., Scene]


@pytest.fixture
def play() -> Play:
    """Return the function that plays the device: `play("gaussian", power=3, queries=50)`."""

    def scene(
        kind: str,
        *,
        power: float = 1.0,
        seed: int = 0,
        queries: int = QUERIES,
        public_people: int = 60,
    ) -> Scene:
        front = FrontEnd(kind, power, seed)
        asked: list[int] = []

        def oracle(crops: np.ndarray) -> np.ndarray:
            if sum(asked) + len(crops) > queries:
                raise InsufficientDataError(f"more than {queries} queries")
            asked.append(len(crops))
            return front(crops)

        victims = own_faces(SUSPECTS, PROBES_EACH + 1, seed + 100)
        clean = np.arange(len(victims)) % (PROBES_EACH + 1) == 0
        probes = victims.at(np.flatnonzero(~clean))
        observation = Observation(
            scheme="",
            shape=SHAPE,
            knowledge=Knowledge(chosen_inputs=queries),
            records=front(probes.crops),
            labels=None,
            probes=np.arange(len(probes)),
            gallery=victims.at(np.flatnonzero(clean)),
            public=own_faces(public_people, 5, seed + 200),
            oracle=oracle if queries else None,
        )
        return Scene(observation, probes, asked)

    return scene

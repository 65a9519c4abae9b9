"""A made-up extractor, people it sees, and an owner who keys what it saw."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import KnownPairs, Observation, OwnFaces
from xnn.errors import InsufficientDataError
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.types import TokenShape

N, D = 6, 24
SHAPE = TokenShape(N, D)
PERSON_TRAITS, LOOKS = 6, 4


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def extract(crops: np.ndarray) -> np.ndarray:
    """The extractor: a fixed map of a few pixels. Every position has a mean and ways to vary."""
    rng = np.random.default_rng(1234)
    pixels = crops[:, ::16, ::16].reshape(len(crops), -1).astype(np.float64) / 64.0 - 2.0
    means = rng.normal(size=(N, D))
    ways = rng.normal(size=(N, pixels.shape[1], D)) / np.sqrt(pixels.shape[1])
    ways *= np.exp(0.7 * rng.normal(size=(N, 1, D)))
    tokens = means + np.tanh(np.einsum("bp,npd->bnd", pixels, 1.5 * ways))
    return (tokens * np.linspace(0.3, 3.0, D)).astype(np.float32)


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
        tokens=extract(crops),
        embeddings=embeddings.astype(np.float32),
        labels=labels,
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """What the attacker sees, and what is so."""

    observation: Observation
    probes: OwnFaces
    order: np.ndarray
    """Of a scheme that draws its permutation first, as the paper's does."""

    def found_again(self, features: np.ndarray) -> float:
        """Share of probes whose features are nearest to their own, centred."""
        truth = self.probes.tokens
        a, b = (
            x.reshape(len(x), -1) - truth.reshape(len(x), -1).mean(0) for x in (features, truth)
        )
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return float(np.mean((a @ b.T).argmax(axis=1) == np.arange(len(a))))

    def error(self, features: np.ndarray) -> float:
        """Relative error of features, beside how far the truth strays from its mean."""
        truth = self.probes.tokens
        return float(np.linalg.norm(features - truth) / np.linalg.norm(truth - truth.mean(axis=0)))

    def rank_1(self, scores: np.ndarray) -> float:
        """Share of probes whose person is first in the gallery."""
        gallery = self.observation.gallery.labels
        return float(np.mean(gallery[scores.argmax(axis=1)] == self.probes.labels))


Play = Callable[..., Scene]


@pytest.fixture
def play() -> Play:
    """Return the function that plays the owner: `play(scheme, pairs=2, ..)`."""

    def scene(
        scheme: str | Obfuscator = "paper",
        *,
        seed: int = 0,
        people: int = 20,
        shots: int = 5,
        pairs: int = 0,
        queries: int = 0,
        labels: bool = False,
        stored: str = "float32",
        public_people: int = 40,
    ) -> Scene:
        if isinstance(scheme, str):
            name = scheme
            obfuscator = find_scheme(name).bind(SHAPE, KeyStream(bytes([seed + 1]) * 32))
        else:
            name, obfuscator = "paper", scheme

        def keyed(tokens: np.ndarray) -> np.ndarray:
            records = obfuscator.obfuscate(torch.from_numpy(tokens)).numpy()
            return records.astype(stored).astype(np.float32)

        left = [queries]

        def oracle(crops: np.ndarray) -> np.ndarray:
            if len(crops) > left[0]:
                raise InsufficientDataError("too many queries")
            left[0] -= len(crops)
            return keyed(extract(crops))

        victims = own_faces(people, shots + 1, seed + 100)
        clean = np.arange(len(victims)) % (shots + 1) == 0
        held = victims.at(np.flatnonzero(~clean))
        probes = np.arange(0, len(held), 2)
        known = own_faces(max(pairs, 1), 1, seed + 300)
        observation = Observation(
            scheme=name,
            shape=SHAPE,
            knowledge=Knowledge(known_pairs=pairs, chosen_inputs=queries, labels=labels),
            records=keyed(held.tokens),
            labels=held.labels if labels else None,
            probes=probes,
            gallery=victims.at(np.flatnonzero(clean)),
            public=own_faces(public_people, 5, seed + 200),
            pairs=KnownPairs(faces=known, records=keyed(known.tokens)) if pairs else None,
            oracle=oracle if queries else None,
        )
        order = KeyStream(bytes([seed + 1]) * 32).permutation(N)
        return Scene(observation, held.at(probes), order)

    return scene

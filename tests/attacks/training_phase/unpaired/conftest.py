"""People seen by a made-up extractor whose positions each vary in a way of their own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.schemes import KeyStream, find_scheme
from xnn.types import TokenShape

N, D = 10, 16
SHAPE = TokenShape(N, D)


@dataclass(frozen=True, slots=True)
class Upload:
    """What crossed the border, and the truth about the probes."""

    observation: Observation
    truth: OwnFaces
    """Behind all records."""
    order: np.ndarray
    """Position at each place of a record, where the scheme has one order."""

    @property
    def probes(self) -> OwnFaces:
        return self.truth.at(self.observation.probes)

    def found_again(self, features: np.ndarray) -> float:
        """Share of probes nearest to their own features, centred."""
        a, b = (
            x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=0)
            for x in (features, self.probes.tokens)
        )
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return float(np.mean((a @ b.T).argmax(axis=1) == np.arange(len(a))))

    def rank_1(self, scores: np.ndarray | None) -> float:
        assert scores is not None
        return float(np.mean(scores.argmax(axis=1) == self.probes.labels))


def faces(people: int, shots: int, seed: int, apart: float) -> OwnFaces:
    """Features with positions, people and shades in them; the recogniser sees the person."""
    rng = np.random.default_rng(1234)  # of the extractor, the same for everybody
    means = apart * rng.normal(size=(N, D))
    shared = rng.normal(size=(8, N, D)) * 0.6
    own = rng.normal(size=(N, D, D)) / np.sqrt(D)
    own *= np.exp(0.7 * rng.normal(size=(N, D)))[:, None]
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), shots)
    person = (rng.exponential(size=(people, 8)) - 1.0)[labels]
    local = (rng.normal(size=(len(labels), N, 1, D)) @ own)[:, :, 0]
    tokens = (means + np.tensordot(person, shared, 1) + 0.4 * local) * np.linspace(0.3, 3.0, D)
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=(person + 0.1 * rng.normal(size=person.shape)).astype(np.float32),
        labels=labels,
    )


def upload(
    scheme: str = "paper",
    *,
    seed: int = 0,
    people: int = 60,
    shots: int = 6,
    standardised: bool = False,
    kept: int = N,
    keys: int = 1,
    apart: float = 1.0,
) -> Upload:
    """Play the owner.

    Args:
        scheme: Name of the scheme.
        seed: Of people and key.
        people: Victims.
        shots: Records of each.
        standardised: Take away every position's mean and covariance before the key.
        kept: Tokens of each record that are uploaded, drawn for each.
        keys: They take turns over the records.
        apart: How far the means of positions lie apart; 3 is about what real extractors have.
    """
    victims = faces(people, shots + 1, seed + 100, apart)
    clean = np.arange(len(victims)) % (shots + 1) == 0
    truth = victims.at(np.flatnonzero(~clean))
    tokens = truth.tokens
    if standardised:
        tokens = np.stack([whitened(tokens[:, t]) for t in range(N)], axis=1)
    records = np.empty_like(tokens)
    for turn in range(keys):
        obfuscator = find_scheme(scheme).bind(SHAPE, KeyStream(bytes([seed + turn]) * 32))
        part = torch.from_numpy(np.ascontiguousarray(tokens[turn::keys]))
        records[turn::keys] = obfuscator.obfuscate(part).numpy()
    if kept < N:
        rng = np.random.default_rng(seed)
        drawn = np.stack([rng.permutation(N)[:kept] for _ in records])
        records = np.take_along_axis(records, drawn[:, :, None], axis=1)
    observation = Observation(
        scheme=scheme,
        shape=SHAPE,
        knowledge=Knowledge(keys=keys),
        records=records,
        labels=None,
        probes=np.arange(0, len(records), 3),
        gallery=victims.at(np.flatnonzero(clean)),
        public=faces(80, 5, seed + 200, apart),
    )
    return Upload(observation, truth, KeyStream(bytes([seed]) * 32).permutation(N))


def whitened(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    return (centred @ (vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)


Owner = Callable[..., Upload]


@pytest.fixture
def owner() -> Owner:
    """Return the function that plays the owner: `owner("paper", people=20)`."""
    return upload


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)

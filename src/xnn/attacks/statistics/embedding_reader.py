"""From records of any kind to a public recogniser's embeddings: ridge, a small network, or both.

Both learn from photographs whose records and embeddings are known. People held out decide which of
the three is used; it is then trained on everybody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from xnn.attacks.statistics.dual_ridge import DualRidge, Standardiser, fit_strengths
from xnn.attacks.statistics.held_out import held_out_people, rank_1_of_the_rest, unit_rows
from xnn.errors import ConfigError, InsufficientDataError

FEWEST = 8

Reader = Callable[[Float[np.ndarray, "b ..."]], Float64[np.ndarray, "b e"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """Strength of a reader.

    Raises:
        ConfigError: A setting is out of range.
    """

    strengths: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Of the ridge; see `dual_ridge.STRENGTHS`."""
    network_epochs: int = 40
    """Of the network; 0 leaves it out."""
    components: int = 512
    """Principal components of the records that the network reads."""
    hidden: int = 512
    lr: float = 1e-3
    batch_size: int = 64
    drop: float = 0.3
    held_out: float = 0.2
    """Share of the people held out."""

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ConfigError(f"strengths={self.strengths}; use numbers above 0")
        for name, low in (("network_epochs", 0), ("components", 1), ("hidden", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}={getattr(self, name)}; use {low} or more")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out={self.held_out:g}; use a fraction in (0, 1)")


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingReader:
    """What was learned; `fit` makes one."""

    read: Reader
    centre: Float64[np.ndarray, " e"]
    """Mean embedding of the attacker's photographs."""
    way: str
    """`ridge`, `network` or `both`."""
    strength: float
    held_out_rank_1: float
    """Of records against clean photographs of the people held out; NaN without any."""

    @classmethod
    def fit(
        cls,
        records: Float[np.ndarray, "s ..."],
        embeddings: Float32[np.ndarray, "s e"],
        labels: Int64[np.ndarray, " s"],
        *,
        seed: int,
        settings: ReaderSettings | None = None,
        single: Float[np.ndarray, "s ..."] | None = None,
    ) -> "EmbeddingReader":
        """Learn, and choose on people held out.

        Args:
            records: A row per photograph, of any shape.
            embeddings: The recogniser's of the same photographs.
            labels: Person of each; decide who is held out.
            seed: Of the draw and of the network.
            settings: See there.
            single: What will be read later, row by row, where `records` are cleaner than that
                (averages of several queries); the choice is then made on these.

        Raises:
            InsufficientDataError: Fewer than 8 photographs.
        """
        if len(records) < FEWEST:
            raise InsufficientDataError(
                f"{len(records)} photographs with records, learning to read needs {FEWEST}"
            )
        settings = settings or ReaderSettings()
        centre = embeddings.mean(axis=0, dtype=np.float64)
        targets = unit_rows(embeddings - centre)
        held = held_out_people(labels, share=settings.held_out, seed=seed)
        way, strength, rank_1 = _choose(records, targets, labels, held, settings, seed, single)
        ridge = None if way == "network" else DualRidge.fit(records, targets, strength=strength)
        network = None if way == "ridge" else _network(records, targets, settings, seed)
        return cls(
            read=_joined(ridge, network),
            centre=centre,
            way=way,
            strength=strength,
            held_out_rank_1=rank_1,
        )

    def details(self) -> dict[str, str | float]:
        """Return what was chosen, for the report."""
        return {
            "reader": self.way,
            "reader_strength": self.strength,
            "reader_rank_1": round(self.held_out_rank_1, 4),
        }


def _choose(
    records: Float[np.ndarray, "s ..."],
    targets: Float64[np.ndarray, "s e"],
    labels: Int64[np.ndarray, " s"],
    held: Bool[np.ndarray, " s"],
    settings: ReaderSettings,
    seed: int,
    single: Float[np.ndarray, "s ..."] | None,
) -> tuple[str, float, float]:
    """Return the way, the ridge's strength and the rank-1 on the people held out."""
    middle = settings.strengths[len(settings.strengths) // 2]
    if not held.any():
        return "ridge", middle, float("nan")
    probes = (records if single is None else single)[held]

    def rank_1(foreseen: Float64[np.ndarray, "h e"]) -> float:
        return rank_1_of_the_rest(foreseen, targets[held], labels[held])

    ridges = fit_strengths(records[~held], targets[~held], settings.strengths)
    by_ridge = [ridge(probes) for ridge in ridges]
    rates = np.array([rank_1(foreseen) for foreseen in by_ridge])
    if np.isnan(rates).all():
        return "ridge", middle, float("nan")
    best = int(rates.argmax())
    found = [("ridge", float(rates[best]))]
    if settings.network_epochs:
        by_network = _network(records[~held], targets[~held], settings, seed)(probes)
        both = unit_rows(by_ridge[best]) + unit_rows(by_network)
        found += [("network", rank_1(by_network)), ("both", rank_1(both))]
    way, rate = max(found, key=lambda one: one[1])
    return way, settings.strengths[best], rate


def _joined(ridge: Reader | None, network: Reader | None) -> Reader:
    """Return one reader; of two, the sum of the directions they foresee."""
    if ridge is None or network is None:
        return ridge or network or unit_rows
    one, two = ridge, network
    return lambda records: unit_rows(one(records)) + unit_rows(two(records))


def _network(
    records: Float[np.ndarray, "s ..."],
    targets: Float64[np.ndarray, "s e"],
    settings: ReaderSettings,
    seed: int,
) -> Reader:
    """Train a perceptron on the principal components of the records; the loss is 1 - cosine."""
    standardise = Standardiser.of(records)
    support = standardise(records)
    values, vectors = np.linalg.eigh((support @ support.T).astype(np.float64))
    kept = np.flatnonzero(values > 1e-6 * values[-1])[::-1][: settings.components]
    # Rows of support @ basis have variance 1 in each component.
    basis = support.T.astype(np.float64) @ (vectors[:, kept] / values[kept])
    basis = (basis * np.sqrt(len(support))).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _train(torch.from_numpy(support @ basis), torch.from_numpy(targets), settings, seed)

    @torch.no_grad()
    def read(inputs: Float[np.ndarray, "b ..."]) -> Float64[np.ndarray, "b e"]:
        return model(torch.from_numpy(standardise(inputs) @ basis)).double().numpy()

    return read


def _train(inputs: Tensor, targets: Tensor, settings: ReaderSettings, seed: int) -> nn.Module:
    width, embedding = inputs.shape[1], targets.shape[1]
    model = nn.Sequential(
        nn.Dropout(settings.drop),
        nn.Linear(width, settings.hidden),
        nn.GELU(),
        nn.Dropout(settings.drop),
        nn.Linear(settings.hidden, embedding),
    )
    targets = targets.float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.05)
    size = min(settings.batch_size, len(inputs))
    steps = settings.network_epochs * (len(inputs) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps + 1)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        if step % (len(inputs) // size) == 0:
            order = rng.permutation(len(inputs))
        start = step % (len(inputs) // size) * size
        rows = torch.from_numpy(order[start : start + size])
        loss = 1 - functional.cosine_similarity(model(inputs[rows]), targets[rows]).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return model.eval()

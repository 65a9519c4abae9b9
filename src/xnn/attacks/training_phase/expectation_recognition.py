"""Expectation recognition: a recogniser trained for the scheme's keys in general.

Not knowing the key, the attacker draws a fresh one for every training step and learns a tail that
recognises its own faces whatever the key is. It then embeds the suspects' photographs under keys
of its own and the stolen records as they are, and compares.

Source: arXiv:2408.04974 (its Expectation-RecNet, score "restore-identification accuracy"), here
with the pooled read-out and the optimiser of the defender, which the authors' attacker lacked.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.observation import AttackResult, Observation
from xnn.metrics.identification import cosine_scores
from xnn.models.tail import Tail, TailConfig
from xnn.models.whitening import inverse_square_root
from xnn.schemes import KeyStream, Obfuscator, find_scheme
from xnn.training.config import TrainConfig
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw, heads_for
from xnn.training.source import ArraySource, RecordSource
from xnn.training.validate import embed
from xnn.types import TokenShape

NAME = "expectation-recognition"

_COVARIANCE_RECORDS = 256
_SHRINKAGE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationSettings:
    """Strength of the attacker."""

    train: TrainConfig
    tail: TailConfig
    """The read-out must not depend on the order of tokens, which changes with the key."""
    gallery_keys: int = 8
    """Keys under which each suspect is embedded; their embeddings are averaged."""
    whiten: bool = True
    """Whiten the records of each key by their own covariance: takes back all of a matrix but a
    rotation, and needs no key."""


def attacker_settings(n: int, d: int, *, epochs: int = 10) -> ExpectationSettings:
    """Return the attacker's recipe for records of n tokens of width d.

    The defender's optimiser and schedule at a higher rate, on two blocks from scratch. The
    defender's own start, near what the extractor knows, is of no use here: a fresh matrix turns
    that away at every step.
    """
    train = adamw(epochs=epochs, lr=5e-4, imprint_head=False)
    tail = TailConfig(n=n, d=d, tail_depth=2, heads=heads_for(d), token_dropout=0.1)
    return ExpectationSettings(train=train, tail=tail)


@final
class ExpectationRecognition:
    """The attack; see the module."""

    def __init__(self, settings: ExpectationSettings) -> None:
        self._settings = settings

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> AttackResult:
        """Train for keys in general, then match records with suspects.

        Args:
            observation: Needs a public set with several images per subject.
            seed: Of the attacker's model and of the keys it simulates.
            work_dir: New folder for the training run.

        Raises:
            InsufficientDataError: The public set is too small to train on.

        Trust: anyone.
        """
        settings = self._settings
        config = replace(settings.train, seed=seed)
        keys = _SimulatedKeys(observation.scheme, observation.shape, seed, settings.whiten)
        train = FreshKeySource(observation.public, keys)
        val = (
            None
            if observation.public_val is None
            else _under_two_keys(observation.public_val, keys)
        )
        # The tail's own whitening would average over keys; `FreshKeySource` whitens within each.
        tail_config = replace(settings.tail, input_norm="none")
        tail, head = new_tail_and_head(tail_config, observation.public.num_classes, config)
        result = fit(train, val, tail, head, config, work_dir)

        gallery = _mean_embedding(tail, observation.gallery, train, settings.gallery_keys)
        records = observation.records
        if settings.whiten:
            records = whitened(records, records)
        probes = _embed(tail, records)
        best = result.best
        return AttackResult(
            attack=NAME,
            scores=cosine_scores(probes, gallery),
            details={
                "steps": result.steps,
                "validation_rank_1": None if best is None else round(best.scores.rank_1, 4),
            },
        )


@final
class FreshKeySource:
    """The attacker's faces, under a key drawn anew at every read: one key per batch."""

    def __init__(self, source: RecordSource, keys: "_SimulatedKeys") -> None:
        self._source = source
        self._keys = keys
        sample = np.linspace(0, len(source) - 1, min(_COVARIANCE_RECORDS, len(source)))
        self._sample = source.read(np.unique(sample.astype(np.int64)))
        self.shape = source.shape
        self.labels = source.labels
        self.num_classes = source.num_classes

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b n d"]:
        """Return these records under one key nobody has used before."""
        return self.under_fresh_key(self._source.read(indices))

    def under_fresh_key(self, tokens: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        """Return any features under one new key, whitened as records of that key would be."""
        obfuscator = self._keys.draw()
        records = _obfuscate(obfuscator, tokens)
        if not self._keys.whiten:
            return records
        return whitened(records, _obfuscate(obfuscator, self._sample))


@final
class _SimulatedKeys:
    """Keys of the attacker's own, drawn from the scheme's distribution; repeatable by seed."""

    def __init__(self, scheme: str, shape: TokenShape, seed: int, whiten: bool) -> None:
        self._scheme = find_scheme(scheme)
        self._shape = shape
        self._seed = seed
        self._count = 0
        self.whiten = whiten

    def draw(self) -> Obfuscator:
        """Return an obfuscator under the next key."""
        self._count += 1
        text = f"attacker's own key {self._seed}/{self._count}"
        stream = KeyStream(hashlib.sha256(text.encode()).digest())
        return self._scheme.bind(self._shape, stream)


def whitened(
    records: Float32[np.ndarray, "b n d"], sample: Float32[np.ndarray, "s n d"]
) -> Float32[np.ndarray, "b n d"]:
    """Whiten records by the pooled token mean and covariance of a sample under the same key."""
    tokens = sample.reshape(-1, sample.shape[2]).astype(np.float64)
    mean = tokens.mean(axis=0)
    centred = tokens - mean
    covariance: Float64[np.ndarray, "d d"] = centred.T @ centred / len(centred)
    d = len(covariance)
    covariance += _SHRINKAGE * np.trace(covariance) / d * np.eye(d)
    root = inverse_square_root(covariance).astype(np.float32)
    return (records - mean.astype(np.float32)) @ root


def _under_two_keys(source: RecordSource, keys: _SimulatedKeys) -> ArraySource:
    """Return validation faces, every other one under the second of two keys."""
    fresh = FreshKeySource(source, keys)
    tokens = source.read(np.arange(len(source)))
    mixed = np.empty_like(tokens)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        mixed[half] = fresh.under_fresh_key(tokens[half])
    return ArraySource(mixed, source.labels, num_classes=source.num_classes)


def _mean_embedding(
    tail: Tail, tokens: Float32[np.ndarray, "g n d"], source: FreshKeySource, num_keys: int
) -> Float32[np.ndarray, "g e"]:
    total = np.zeros((len(tokens), tail.config.output_dim), dtype=np.float32)
    for _ in range(num_keys):
        embeddings = _embed(tail, source.under_fresh_key(tokens))
        total += embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return total


def _embed(tail: Tail, records: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b e"]:
    return embed(tail, ArraySource(records, np.zeros(len(records), dtype=np.int64)))


def _obfuscate(
    obfuscator: Obfuscator, tokens: Float32[np.ndarray, "b n d"]
) -> Float32[np.ndarray, "b m e"]:
    return obfuscator.obfuscate(torch.from_numpy(tokens)).numpy()

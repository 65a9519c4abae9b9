"""Expectation recognition: a recogniser trained for the scheme's keys in general.

Not knowing the key, the attacker draws a fresh one for every training step and learns a tail that
recognises its own faces whatever the key is. It then embeds the suspects' photographs under keys
of its own and the stolen records as they are, and compares.

Source: arXiv:2408.04974 (its Expectation-RecNet, score "restore-identification accuracy"), here
with the pooled read-out and the optimiser of the defender, which the authors' attacker lacked.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.metrics.identification import cosine_scores
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.models.whitening import inverse_square_root
from xnn.schemes import SchemeCard
from xnn.training.config import TrainConfig
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw, heads_for
from xnn.training.source import ArraySource
from xnn.training.validate import embed

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
    val_share: float = 0.1
    """People of the public set kept apart to choose the epoch on."""


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
class ExpectationRecognition(Attack):
    """The attack; see the module.

    Args:
        settings: None takes `attacker_settings` of the records' shape.
    """

    card = AttackCard(
        name=NAME,
        phase="training",
        goal="linkage",
        summary="a recogniser trained for the scheme's keys in general; the fixed key is not used",
        source="arXiv:2408.04974",
        learned=True,
    )

    def __init__(self, settings: ExpectationSettings | None = None) -> None:
        self._settings = settings

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Need a scheme whose keys can be drawn."""
        return "there is no key to draw" if scheme is None else None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Train for keys in general, then match records with suspects.

        Args:
            observation: Needs a public set with several images per subject.
            seed: Of the attacker's model and of the keys it simulates.
            work_dir: New folder for the training run.

        Raises:
            InsufficientDataError: The public set is too small to train on.

        Trust: adversary.
        """
        m, e = observation.records.shape[1:]
        settings = self._settings or attacker_settings(m, e)
        config = replace(settings.train, seed=seed)
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
        known, held = observation.public.divide(settings.val_share, seed=seed)
        train, later = (
            FreshKeySource(faces, keys, whiten=settings.whiten) for faces in (known, held)
        )
        val = _under_two_keys(later, held)
        # The tail's own whitening would average over keys; `FreshKeySource` whitens within each.
        tail_config = replace(settings.tail, input_norm="none")
        tail, head = new_tail_and_head(tail_config, train.num_classes, config)
        result = fit(train, val, tail, head, config, work_dir)

        gallery = _mean_embedding(tail, observation.gallery, train, settings.gallery_keys)
        probes = observation.probe_records
        if settings.whiten:
            probes = whitened(probes, observation.records)
        best = result.best
        return Answer(
            scores=cosine_scores(_embed(tail, probes), gallery),
            details={
                "steps": result.steps,
                "validation_rank_1": None if best is None else round(best.scores.rank_1, 4),
            },
        )


@final
class FreshKeySource:
    """The attacker's faces, under a key drawn anew at every read: one key per batch."""

    def __init__(self, faces: OwnFaces, keys: OwnKeys, *, whiten: bool) -> None:
        self._faces = faces
        self._keys = keys
        self._whiten = whiten
        sample = np.linspace(0, len(faces) - 1, min(_COVARIANCE_RECORDS, len(faces)))
        self._sample = faces.at(np.unique(sample.astype(np.int64)))
        self.shape = keys.record_shape
        self.labels = faces.labels
        self.num_classes = int(faces.labels.max()) + 1

    def __len__(self) -> int:
        return len(self._faces)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b m e"]:
        """Return these records under one key nobody has used before."""
        return self.under_fresh_key(self._faces.at(indices))

    def under_fresh_key(self, faces: OwnFaces) -> Float32[np.ndarray, "b m e"]:
        """Return any photographs under one new key, whitened as records of that key would be."""
        obfuscator = self._keys.draw()
        records = self._keys.records(obfuscator, faces)
        if not self._whiten:
            return records
        return whitened(records, self._keys.records(obfuscator, self._sample))


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


def _under_two_keys(source: FreshKeySource, faces: OwnFaces) -> ArraySource:
    """Return validation faces, every other one under the second of two keys."""
    halves = [source.under_fresh_key(faces) for _ in range(2)]
    halves[0][1::2] = halves[1][1::2]
    return ArraySource(halves[0], faces.labels)


def _mean_embedding(
    tail: Tail, gallery: OwnFaces, source: FreshKeySource, num_keys: int
) -> Float32[np.ndarray, "g e"]:
    total = np.zeros((len(gallery), tail.config.output_dim), dtype=np.float32)
    for _ in range(num_keys):
        embeddings = _embed(tail, source.under_fresh_key(gallery))
        total += embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return total


def _embed(tail: Tail, records: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b e2"]:
    return embed(tail, ArraySource(records, np.zeros(len(records), dtype=np.int64)))

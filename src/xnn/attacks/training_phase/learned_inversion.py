"""Learned inversion: from a few known pairs to the embedding behind any record, linear or not.

Two ways of learning, and their sum; pairs held out decide.

- *Anchors.* The attacker makes records of the known photographs, and of its own faces, under keys
  of its own. In coordinates relative to the known records all these uploads look alike, so what is
  learned on thousands of its own faces is applied to the stolen records. Four pairs say a lot.
- *Pairs.* A regression straight from records to embeddings. Class numbers make more of a pair: all
  records of its class show the known person. It assumes nothing of the scheme, and wins when pairs
  are many or noise is strong.

Source: this project; coordinates after relative representations (arXiv:2209.15430), direct
regression as in ALGEN (arXiv:2502.11308).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import KnownPairs, Observation
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.anchors import agreement, frame, frame_weights, match_anchors
from xnn.attacks.statistics.embedding_ridge import EmbeddingRidge, unit
from xnn.attacks.statistics.pair_rows import rows_of_pairs
from xnn.attacks.statistics.record_inputs import flat, pooled
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard, find_scheme

_Model = Callable[[Float32[np.ndarray, "b m w"]], Float64[np.ndarray, "b e"]]
"""From whitened records of the upload to embeddings of any length, less the public mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionSettings:
    """Effort."""

    anchors: int = 32
    """Known records that span the frame, at most; at least four are taken where there are four."""
    axes: int = 256
    simulated_keys: int = 5
    faces_per_key: int = 600
    held_out: float = 0.25
    fewest_to_hold_out: int = 12
    """With fewer pairs none is held out, and the anchors' agreement decides."""
    agreement: float = 0.3
    """Correlation of the anchors' inner products, in the stolen upload and in one of the attacker's
    own, from which on coordinates relative to them are trusted."""
    most_rows: int = 2500
    """Of the direct regression."""


@final
class LearnedInversion(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="learned-inversion",
        phase="training",
        goal="linkage",
        summary="learns from known pairs, and from uploads of its own that hold the same "
        "photographs, which embedding is behind a record",
        source="this project",
        uses_pairs=True,
    )

    def __init__(self, settings: InversionSettings | None = None) -> None:
        self._settings = settings or InversionSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if observation.pairs is None or len(observation.pairs) == 0:
            return "no known pairs"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Learn from the pairs, then embed the probes and compare with the gallery.

        Args:
            observation: Needs at least 2 known pairs; with class numbers it makes more of them.
            seed: Draws the attacker's keys, people held out and projections.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Fewer than 2 pairs.

        Trust: adversary.
        """
        pairs = observation.pairs
        if pairs is None or len(pairs) < 2:
            raise InsufficientDataError(
                f"{0 if pairs is None else len(pairs)} known pairs; learning needs at least 2"
            )
        learner = _Learner(observation, self._settings, seed)
        qualities: dict[str, float] = {}
        if len(pairs) >= self._settings.fewest_to_hold_out:
            chosen, qualities = learner.compare(pairs)
            models = learner.models(pairs)
        else:
            models = learner.models(pairs)
            chosen = "anchors" if learner.agreement > self._settings.agreement else "pairs"
        probes = learner.whitening(observation.probe_records)
        embeddings = _sum(models, chosen)(probes)
        gallery = unit(observation.gallery.embeddings - learner.centre)
        return Answer(
            scores=unit(embeddings) @ gallery.T,
            details={
                "chosen": chosen,
                "held_out": qualities,
                "pairs": len(pairs),
                "anchors_agree": round(learner.agreement, 3),
            },
        )


@final
class _Learner:
    """Fits the ways of learning on any choice of pairs."""

    def __init__(self, observation: Observation, settings: InversionSettings, seed: int) -> None:
        self._observation = observation
        self._settings = settings
        self._seed = seed
        self.whitening = UploadWhitening.of(observation.records)
        self.centre = observation.public.embeddings.mean(axis=0, dtype=np.float64)
        scheme = observation.scheme
        self.agreement = 0.0
        """Of the anchors last used, with those of the attacker's own uploads."""
        self._one_order = bool(scheme) and not find_scheme(scheme).card.fresh_order

    def models(self, pairs: KnownPairs) -> dict[str, _Model]:
        """Return a model for every way that can be tried."""
        found = {"pairs": self._by_pairs(pairs)}
        if self._observation.scheme:
            found["anchors"] = self._by_anchors(pairs)
        return found

    def compare(self, pairs: KnownPairs) -> tuple[str, dict[str, float]]:
        """Return the best way on pairs held out, and what each reaches there.

        Quality is how far the known photograph stands out among the attacker's faces, in standard
        deviations of their cosines.
        """
        rng = np.random.default_rng((self._seed, 1))
        held = np.zeros(len(pairs), dtype=bool)
        held[rng.permutation(len(pairs))[: round(self._settings.held_out * len(pairs))]] = True
        models = self.models(_at(pairs, ~held))
        records = self.whitening(pairs.records[held])
        wanted = unit(pairs.faces.embeddings[held] - self.centre)
        crowd = unit(self._observation.public.embeddings - self.centre)

        def quality(way: str) -> float:
            found = unit(_sum(models, way)(records))
            true = np.sum(found * wanted, axis=1, keepdims=True)
            others = found @ crowd.T
            spread = np.maximum(others.std(axis=1, keepdims=True), 1e-9)
            return float(np.mean((true - others.mean(axis=1, keepdims=True)) / spread))

        qualities = {way: round(quality(way), 4) for way in (*models, "both")}
        return max(qualities, key=lambda way: qualities[way]), qualities

    def _by_pairs(self, pairs: KnownPairs) -> _Model:
        """Learn from the pairs, and from the records of their classes."""
        records, targets, people = self._labelled(pairs)
        whitened = self.whitening(records)
        rng = np.random.default_rng((self._seed, 2))
        inputs: list[Callable[[np.ndarray], np.ndarray]] = [
            lambda tokens: pooled(tokens, seed=self._seed)
        ]
        if self._one_order:
            inputs.append(flat)
        ridges = [EmbeddingRidge.fit(read(whitened), targets, people, rng=rng) for read in inputs]

        def model(tokens: Float32[np.ndarray, "b m w"]) -> Float64[np.ndarray, "b e"]:
            parts = [unit(r(read(tokens))) for r, read in zip(ridges, inputs, strict=True)]
            return np.sum(parts, axis=0)

        return model

    def _labelled(
        self, pairs: KnownPairs
    ) -> tuple[Float32[np.ndarray, "s m w"], Float64[np.ndarray, "s e"], Int64[np.ndarray, " s"]]:
        """Return records, what is known of their embeddings, and who is on them."""
        known = unit(pairs.faces.embeddings - self.centre)
        labels, records = self._observation.labels, self._observation.records
        rows = rows_of_pairs(pairs, records)
        if labels is None or (rows < 0).any():
            return pairs.records, known, pairs.faces.labels
        classes, owner = np.unique(labels[rows], return_inverse=True)
        means = np.zeros((len(classes), known.shape[1]))
        np.add.at(means, owner, known)
        others = np.setdiff1d(np.flatnonzero(np.isin(labels, classes)), rows)
        rng = np.random.default_rng((self._seed, 3))
        room = max(0, self._settings.most_rows - len(rows))
        others = rng.permutation(others)[:room]
        other_class = np.searchsorted(classes, labels[others])
        return (
            np.concatenate([records[rows], records[others]]),
            np.concatenate([known, unit(means)[other_class]]),
            np.concatenate([owner, other_class]).astype(np.int64),
        )

    def _by_anchors(self, pairs: KnownPairs) -> _Model:
        """Learn on uploads of the attacker's own, in coordinates relative to the known records."""
        settings, observation = self._settings, self._observation
        rng = np.random.default_rng((self._seed, 4))
        m, width = observation.records.shape[1:]
        num = min(len(pairs), settings.anchors, max(4, -(-3 * width // (2 * m))))
        some = np.sort(rng.permutation(len(pairs))[:num])
        theirs = self.whitening(pairs.records[some])
        weights = frame_weights(theirs, most=settings.axes)
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=self._seed)
        inputs, targets, people, agreements = [], [], [], []
        for _ in range(settings.simulated_keys):
            key = keys.draw()
            own = keys.records(key, observation.public)
            whitening = UploadWhitening.of(own)
            ours = whitening(keys.records(key, pairs.faces.at(some)))
            order = match_anchors(theirs, ours, one_order=self._one_order)
            placed = np.take_along_axis(ours, order[:, :, None], axis=1)
            agreements.append(agreement(theirs, placed))
            rows = rng.permutation(len(own))[: settings.faces_per_key]
            tokens = whitening(own[rows])
            if self._one_order:
                tokens = tokens[:, order[0]]
            inputs.append(self._read(frame(placed, weights)(tokens)))
            targets.append(unit(observation.public.embeddings[rows] - self.centre))
            people.append(observation.public.labels[rows])
        ridge = EmbeddingRidge.fit(
            np.concatenate(inputs), np.concatenate(targets), np.concatenate(people), rng=rng
        )
        self.agreement = float(np.mean(agreements))
        axes = frame(theirs, weights)
        return lambda tokens: unit(ridge(self._read(axes(tokens))))

    def _read(self, tokens: Float32[np.ndarray, "b m q"]) -> Float32[np.ndarray, "b f"]:
        return flat(tokens) if self._one_order else pooled(tokens, seed=self._seed)


def _sum(models: dict[str, _Model], way: str) -> _Model:
    """Return one model, or the sum of them all."""
    if way in models:
        return models[way]

    def both(tokens: Float32[np.ndarray, "b m w"]) -> Float64[np.ndarray, "b e"]:
        return np.sum([unit(model(tokens)) for model in models.values()], axis=0)

    return both


def _at(pairs: KnownPairs, kept: np.ndarray) -> KnownPairs:
    rows = np.flatnonzero(kept)
    return KnownPairs(faces=pairs.faces.at(rows), records=pairs.records[rows])

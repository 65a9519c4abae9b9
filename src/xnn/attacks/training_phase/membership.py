"""Membership: was a photograph among those behind the records, told by the tail trained on them.

The cloud holds the tail and the records. It turns candidates into records under the owner's key
(which it was told, may query, or recovers from moments), embeds them and asks how sure the tail is
of them. Some photographs are easy for any tail, so sureness is read beside that of shadow tails:
trained by the attacker on its own faces, under keys of its own, none of which saw the candidate.

Two statistics of sureness:

- `margin`: the log odds of the best class. The cloud's class weights begin at the mean embedding of
  each class and move little, so means of embedded records stand in for them;
- `nearest-record`: how near the nearest embedded record is. It needs no learning to be telling once
  the key is known, and is the ceiling of what membership a holder of the records can read.

What a candidate's score shows is first of all that its person is among the classes: with the
default recipe, a tail that was never trained gives the same figures as the cloud's. They are no
measure of what a tail remembers of single photographs.

Without any key, see `fingerprint` and `gram-features`, which answer the same question.

Source: Carlini et al., LiRA, arXiv:2112.03570, offline and with one variance for all candidates, as
few shadows are trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.unpaired import UnpairedSettings, recover_key
from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics.identification import cosine_scores
from xnn.models.margin import MARGINS
from xnn.models.tail import Tail
from xnn.schemes import SCHEMES, SchemeCard
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw, adamw_tail
from xnn.training.source import ArraySource
from xnn.training.validate import embed

Statistic = Literal["margin", "nearest-record"]

_FEWEST_PEOPLE = 8
_SCALE = MARGINS["am-softmax"].scale


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipSettings:
    """Effort.

    Raises:
        ConfigError: Fewer than one shadow or epoch.
    """

    shadows: int = 4
    """Tails that the attacker trains."""
    epochs: int = 10
    """Of each; as many as the cloud's."""
    max_records: int = 1500
    """Photographs that a shadow is trained on."""

    def __post_init__(self) -> None:
        for name in ("shadows", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; use 1 or more")


@final
class Membership(Attack):
    """The attack; see the module.

    Args:
        statistic: See the module; it names the attack, `membership-tail` or `membership-record`.
        settings: Effort.
    """

    def __init__(
        self, statistic: Statistic = "margin", settings: MembershipSettings | None = None
    ) -> None:
        self._sureness = _STATISTICS[statistic]
        self._settings = settings or MembershipSettings()
        how = "how sure the tail is" if statistic == "margin" else "the nearest embedded record"
        self.card = AttackCard(
            name="membership-tail" if statistic == "margin" else "membership-record",
            phase="training",
            goal="membership",
            summary=f"tells photographs that were used by {how}, beside tails of its own",
            source="arXiv:2112.03570",
            learned=True,
            needs_tail=True,
        )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if scheme is None or observation.scheme not in SCHEMES:
            return "there is no keyed scheme to train shadows under"
        if observation.labels is None:
            return "no class numbers came with the records"
        if observation.knowledge.extractor == "secret":
            return "candidates cannot go through the public extractor"
        if _way_to_records(scheme, observation) is None:
            return "no key, no queries, and no key to be recovered from moments of this scheme"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Ask the tail about every candidate, and shadows about the same.

        Args:
            observation: Needs a tail, candidates, class numbers, and 8 public people with two
                photographs.
            seed: Of the attacker's keys, draws and shadows.
            work_dir: New folder for the runs of the shadows.

        Raises:
            InsufficientDataError: Something of this is missing; says how much is needed.

        Trust: adversary.
        """
        tail, candidates, labels = observation.tail, observation.candidates, observation.labels
        if tail is None or candidates is None or labels is None:
            raise InsufficientDataError(
                "membership needs a trained tail, candidates and class numbers, at least 1 of each"
            )
        records, way = _records_of(observation, candidates, seed)
        found = self._sureness(tail, observation.records, labels, records)
        shadows = np.stack(
            [
                self._of_shadow(observation, candidates, seed, number, work_dir)
                for number in range(self._settings.shadows)
            ]
        )
        # One variance for all: a few shadows say little of that of one candidate.
        deviation = float(np.sqrt(np.mean(shadows.var(axis=0)))) or float(shadows.std()) or 1.0
        return Answer(
            membership=(found - shadows.mean(axis=0)) / deviation,
            details={"records_of_candidates": way, "shadows": len(shadows)},
        )

    def _of_shadow(
        self,
        observation: Observation,
        candidates: OwnFaces,
        seed: int,
        number: int,
        work_dir: Path,
    ) -> Float64[np.ndarray, " c"]:
        """Train a tail that never saw the candidates, and return how sure it is of them."""
        rng = np.random.default_rng((seed, number))
        own = _some_people(observation.public, self._settings.max_records, rng)
        keys = OwnKeys(observation.scheme, own, observation.shape, seed=seed * 1000 + number)
        key = keys.draw()
        records = keys.records(key, own)
        config = adamw(
            seed=seed * 1000 + number,
            accelerator="cpu",
            epochs=self._settings.epochs,
            batch_size=min(128, len(own)),
        )
        source = ArraySource(records, own.labels)
        shape = adamw_tail(*records.shape[1:])
        tail, head = new_tail_and_head(shape, source.num_classes, config)
        fit(source, None, tail, head, config, work_dir / f"shadow-{number}")
        return self._sureness(tail, records, own.labels, keys.records(key, candidates))


def margin(
    tail: Tail,
    records: Float32[np.ndarray, "r m e"],
    labels: Int64[np.ndarray, " r"],
    asked: Float32[np.ndarray, "c m e"],
) -> Float64[np.ndarray, " c"]:
    """Return the log odds of the best class of each record asked about.

    Args:
        tail: Trained on the records.
        records: Their class means stand for the classes.
        labels: At least two classes.
        asked: Records under the same key.
    """
    known, new = _unit(_embeddings(tail, records)), _embeddings(tail, asked)
    _, members = np.unique(labels, return_inverse=True)
    sums = np.zeros((int(members.max()) + 1, known.shape[1]))
    np.add.at(sums, members, known)
    logits = np.sort(_SCALE * cosine_scores(new, sums), axis=1)
    odds: Float64[np.ndarray, " c"] = logits[:, -1] - np.logaddexp.reduce(logits[:, :-1], axis=1)
    return odds


def nearest_record(
    tail: Tail,
    records: Float32[np.ndarray, "r m e"],
    labels: Int64[np.ndarray, " r"],
    asked: Float32[np.ndarray, "c m e"],
) -> Float64[np.ndarray, " c"]:
    """Return minus the logarithm of 1 - cosine to the nearest record, by the tail's embeddings."""
    scores = cosine_scores(_embeddings(tail, asked), _embeddings(tail, records))
    nearness: Float64[np.ndarray, " c"] = -np.log(np.maximum(1 - scores.max(axis=1), 1e-9))
    return nearness


_Sureness = Callable[
    [
        Tail,
        Float32[np.ndarray, "r m e"],
        Int64[np.ndarray, " r"],
        Float32[np.ndarray, "c m e"],
    ],
    Float64[np.ndarray, " c"],
]
_STATISTICS: dict[Statistic, _Sureness] = {"margin": margin, "nearest-record": nearest_record}


def _way_to_records(scheme: SchemeCard, observation: Observation) -> str | None:
    """Return how candidates become records: by the key, by queries, or by a key recovered."""
    if observation.key is not None:
        return "key"
    candidates = 0 if observation.candidates is None else len(observation.candidates)
    if observation.oracle is not None and observation.knowledge.chosen_inputs >= candidates:
        return "queries"
    recoverable = scheme.linear and not scheme.fresh_order and scheme.reads == "features"
    if recoverable and observation.records.shape[2] == observation.shape.d:
        return "recovered key" if len(observation.public) else None
    return None


def _records_of(
    observation: Observation, faces: OwnFaces, seed: int
) -> tuple[Float32[np.ndarray, "c m e"], str]:
    card = SCHEMES[observation.scheme].card
    way = _way_to_records(card, observation)
    if way == "key" and observation.key is not None:
        read = faces.crops if card.reads == "crops" else faces.tokens
        return observation.key.obfuscate(torch.from_numpy(read)).numpy(), way
    if way == "queries" and observation.oracle is not None:
        return observation.oracle(faces.crops), way
    if way is None:
        raise InsufficientDataError("no way from a photograph to a record; needs a key or queries")
    tokens = observation.public.tokens
    found = recover_key(observation.records, tokens, settings=UnpairedSettings(), seed=seed).key
    matrix = np.linalg.pinv(found.inverse)
    records = faces.tokens[:, found.place].astype(np.float64) @ matrix
    return records.astype(np.float32), way


def _some_people(public: OwnFaces, limit: int, rng: np.random.Generator) -> OwnFaces:
    """Return people with two photographs or more, drawn until there are enough photographs."""
    people, counts = np.unique(public.labels, return_counts=True)
    people = rng.permutation(people[counts >= 2])
    if len(people) < _FEWEST_PEOPLE:
        raise InsufficientDataError(
            f"the public set shows {len(people)} people twice; a shadow tail needs at least "
            f"{_FEWEST_PEOPLE}"
        )
    sizes = np.array([np.sum(public.labels == person) for person in people])
    enough = max(_FEWEST_PEOPLE, int(np.searchsorted(np.cumsum(sizes), limit)))
    return public.at(np.flatnonzero(np.isin(public.labels, people[:enough]))).renumbered()


def _embeddings(tail: Tail, records: Float32[np.ndarray, "r m e"]) -> Float64[np.ndarray, "r w"]:
    source = ArraySource(records, np.zeros(len(records), dtype=np.int64))
    return embed(tail, source).astype(np.float64)


def _unit(rows: Float64[np.ndarray, "r w"]) -> Float64[np.ndarray, "r w"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)

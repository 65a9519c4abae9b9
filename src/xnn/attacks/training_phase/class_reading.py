"""Class reading: what a class's mean record says of its person, learned on one's own faces.

Noise that is fresh in every record falls with the square root of the records of a class, and class
numbers say which to average. The attacker plays the scheme with its own people and keys, averages
the records of each person as it will average those of a class, and learns by ridge regression what
a public recogniser says of that person. Where a scheme's map depends on its key, a reader learned
under other keys tells nothing; where it does not, noise is all there is against this.

Four forms are tried: records as they are or whitened by their upload, and people under single keys
or averaged over all of the attacker's. People held out, under a key held out, decide.

Source: this project.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.class_evidence import average_by_person, share_out
from xnn.attacks.statistics.embedding_ridge import EmbeddingRidge, unit
from xnn.attacks.statistics.held_out import held_out_people
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.attacks.training_phase.class_averaging import scores_of_probes
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST_PEOPLE = 8
_FORMS = tuple((white, across) for white in (False, True) for across in (False, True))
_Means = Float32[np.ndarray, "c f"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReadingSettings:
    """Effort."""

    keys: int = 4
    """That are learned from, beside one held out."""
    held_out: float = 0.25
    """Share of the people."""
    sharpness: float = 20.0
    """Natural logarithm of the odds that a difference of 1 between two cosines is worth."""


@final
class ClassReading(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="class-reading",
        phase="training",
        goal="linkage",
        summary="learns, with its own people under its own keys, to read a person from the mean "
        "record of a class",
        source="this project",
    )

    def __init__(self, settings: ClassReadingSettings | None = None) -> None:
        self._settings = settings or ClassReadingSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if scheme is None:
            return "no keyed scheme to play"
        return "no class numbers came with the records" if observation.labels is None else None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Learn to read class means, then read the upload's.

        Args:
            observation: Needs class numbers, and public faces of at least 8 people.
            seed: Of keys and people held out.
            work_dir: Not used.

        Raises:
            InsufficientDataError: No class numbers, or too few people.

        Trust: adversary.
        """
        if observation.labels is None:
            raise InsufficientDataError("no class numbers; class reading needs them")
        public = observation.public.renumbered()
        num_people = int(public.labels.max()) + 1 if len(public) else 0
        if num_people < _FEWEST_PEOPLE:
            raise InsufficientDataError(
                f"the public set shows {num_people} people, class reading needs at least "
                f"{_FEWEST_PEOPLE}"
            )
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
        drawn = [keys.draw() for _ in range(self._settings.keys + 1)]
        uploads = [keys.records(key, public) for key in drawn]
        centre = public.embeddings.mean(axis=0, dtype=np.float64)
        targets = unit(_means(unit(public.embeddings - centre), public.labels))
        kept = ~held_out_people(np.arange(num_people), share=self._settings.held_out, seed=seed)
        means = {
            white: [_class_means(records, public.labels, white) for records in uploads]
            for white in (False, True)
        }
        quality: dict[tuple[bool, bool], float] = {}
        for white, across in _FORMS:
            *known, test = means[white]
            reader = _learn([m[kept] for m in known], targets[kept], across=across, seed=seed)
            quality[white, across] = _agreement(reader(test[~kept]), targets[~kept])
        white, across = max(quality, key=lambda form: quality[form])
        reader = _learn(means[white], targets, across=across, seed=seed)
        foreseen = reader(_class_means(observation.records, observation.labels, white))
        cosines = unit(foreseen) @ unit(observation.gallery.embeddings - centre).T
        persons = average_by_person(cosines, observation.gallery.labels)
        shared = np.log(share_out(self._settings.sharpness * persons) + 1e-300)
        return Answer(
            scores=scores_of_probes(observation, shared),
            classes=shared,
            details={
                "whitened": white,
                "averaged_over_keys": across,
                "held_out_rank_1": round(quality[white, across], 4),
                "public_people": num_people,
            },
        )


def _class_means(
    records: Float32[np.ndarray, "r m e"], labels: Int64[np.ndarray, " r"], white: bool
) -> _Means:
    """Return the mean record of each class, flat; a row per distinct label, rising."""
    means = _means(records.reshape(len(records), -1), labels).astype(np.float32)
    if not white:
        return means
    tokens = means.reshape(len(means), *records.shape[1:])
    return UploadWhitening.of(records)(tokens).reshape(len(means), -1)


def _learn(
    means: list[_Means], targets: Float64[np.ndarray, "p e"], *, across: bool, seed: int
) -> EmbeddingRidge:
    """Fit on people under single keys, or on their means over all keys."""
    rows = [np.mean(means, axis=0)] if across else means
    return EmbeddingRidge.fit(
        np.concatenate(rows),
        np.concatenate([targets] * len(rows)),
        np.tile(np.arange(len(targets)), len(rows)),
        rng=np.random.default_rng(seed),
    )


def _agreement(foreseen: Float64[np.ndarray, "p e"], targets: Float64[np.ndarray, "p e"]) -> float:
    """Return the share of people whose own embedding is the nearest to the one foreseen."""
    nearest = (unit(foreseen) @ unit(targets).T).argmax(axis=1)
    return float(np.mean(nearest == np.arange(len(targets))))


def _means(
    rows: Float32[np.ndarray, "r f"] | Float64[np.ndarray, "r f"], labels: Int64[np.ndarray, " r"]
) -> Float64[np.ndarray, "c f"]:
    distinct, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(sums, member, rows)
    return sums / counts[:, None]

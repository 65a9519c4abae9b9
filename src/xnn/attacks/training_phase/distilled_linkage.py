"""Linkage by distillation: a reader of records trained for the scheme's keys in general.

Under many keys of its own the attacker turns its faces into records and learns from them what a
public recogniser says of the photographs. The stolen records are then read and compared with clean
photographs of the suspects. What is read is whitened by the upload's own statistics, in several
forms that depend on the key more or less; the one that links best for people held out *and under a
key held out* is used.

Source: this project (redteam.md, criterion of FaceLinkGen, arXiv:2602.02914).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.embedding_reader import EmbeddingReader, ReaderSettings
from xnn.attacks.statistics.embedding_ridge import unit
from xnn.attacks.statistics.held_out import held_out_people, rank_1_of_the_rest
from xnn.attacks.statistics.record_inputs import flat, inner_products, pooled
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_Form = Callable[[Float32[np.ndarray, "_ m w"]], Float32[np.ndarray, "_ f"]]

_FORMS: dict[str, _Form] = {
    "places": flat,
    "pooled": lambda tokens: pooled(tokens, seed=0),
    "products": inner_products,
}
"""Of whitened records: all that is there; what no order changes; what neither an order nor a
rotation changes."""


_FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationSettings:
    """Effort."""

    keys: int = 4
    """That are trained on, beside one held out."""
    faces_per_key: int = 600
    held_out: float = 0.2
    """Share of the people."""
    reader: ReaderSettings = field(default_factory=lambda: ReaderSettings(network_epochs=15))


@final
class KeyedDistilledLinkage(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="distilled-linkage",
        phase="training",
        goal="linkage",
        summary="learns a public recogniser's embedding from records under many keys of its own",
        source="this project; criterion of arXiv:2602.02914",
        learned=True,
    )

    def __init__(self, settings: DistillationSettings | None = None) -> None:
        self._settings = settings or DistillationSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return "no keyed scheme to play" if scheme is None else None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Learn under keys of the attacker's own, then read the probes.

        Args:
            observation: Needs public faces, of several people with two photographs.
            seed: Of keys, people held out and networks.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Fewer than 8 public faces.

        Trust: adversary.
        """
        public = observation.public
        if len(public) < _FEWEST:
            raise InsufficientDataError(
                f"the attacker has {len(public)} photographs, it needs at least {_FEWEST}"
            )
        held = held_out_people(public.labels, share=self._settings.held_out, seed=seed)
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
        known, others = public.at(np.flatnonzero(~held)), public.at(np.flatnonzero(held))
        rng = np.random.default_rng(seed)
        uploads = [self._upload(keys, known, known, rng) for _ in range(self._settings.keys)]
        form, quality = "places", {}
        if held.any():
            test, faces = self._upload(keys, public, others, rng)
            for name, read in _FORMS.items():
                reader = self._reader(uploads, read, seed)
                foreseen = reader.read(read(test))
                clean = faces.embeddings - reader.centre
                quality[name] = round(rank_1_of_the_rest(foreseen, clean, faces.labels), 4)
            form = max(quality, key=lambda name: quality[name])
        everybody = [
            *uploads,
            *[self._upload(keys, public, others, rng) for _ in range(bool(held.any()))],
        ]
        reader = self._reader(everybody, _FORMS[form], seed)
        probes = UploadWhitening.of(observation.records)(observation.probe_records)
        scores = (
            unit(reader.read(_FORMS[form](probes)))
            @ unit(observation.gallery.embeddings - reader.centre).T
        )
        return Answer(
            scores=scores,
            details={"form": form, "held_out_rank_1": quality, **reader.details()},
        )

    def _upload(
        self, keys: OwnKeys, everybody: OwnFaces, wanted: OwnFaces, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "b m w"], OwnFaces]:
        """Return whitened records of some photographs under a new key, and the photographs.

        The whitening is measured on everybody, as it is on the whole of a stolen upload.
        """
        key = keys.draw()
        whitening = UploadWhitening.of(keys.records(key, everybody))
        rows = np.sort(rng.permutation(len(wanted))[: self._settings.faces_per_key])
        faces = wanted.at(rows)
        return whitening(keys.records(key, faces)), faces

    def _reader(
        self,
        uploads: list[tuple[Float32[np.ndarray, "_ m w"], OwnFaces]],
        read: _Form,
        seed: int,
    ) -> EmbeddingReader:
        return EmbeddingReader.fit(
            np.concatenate([read(records) for records, _ in uploads]),
            np.concatenate([faces.embeddings for _, faces in uploads]),
            np.concatenate([faces.labels for _, faces in uploads]),
            seed=seed,
            settings=self._settings.reader,
        )

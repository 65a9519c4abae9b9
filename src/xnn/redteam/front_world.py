"""The owner, the attacker and the judges of one seed, for whatever measures or draws fronts."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32

from xnn.attacks.observation import OwnFaces
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet
from xnn.owner.evaluate import number_subjects
from xnn.owner.noise.finished import NoiseRun
from xnn.owner.noise.parts_file import has_part
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.settings import NoiseSettings
from xnn.owner.noise.stages import train_noise
from xnn.redteam.duplicates import copies_in_public
from xnn.redteam.front_device import Remembered, as_read, device_of
from xnn.redteam.front_scenario import FrontScenario, Send, rows_of, with_clean_features
from xnn.redteam.judges import Bystanders, Judge, judges_for
from xnn.redteam.party import Party, make_party

CONTROL = "plain"
"""The front without noise: what an attack reaches there is its control."""
Judges = Callable[[], tuple[Judge, ...]]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FrontWorld:
    """What the fronts of one seed share."""

    split: FaceSet
    """The owner's crops, divided."""
    attacker: Party
    extractor: Extractor
    features: Remembered
    """Of the extractor."""
    store: Path
    """Runs and arrays; finished ones are taken from here."""
    seed: int
    public: int
    """Most photographs of the attacker's own."""
    epochs: tuple[tuple[str, int], ...] = ()
    """Instead of the presets'; see `shorten`."""

    def recipe(self, preset: str) -> tuple[NoiseSettings, Path]:
        """Return how a preset is trained and where its run lies."""
        card = self.extractor.card
        recipe = find_noise_preset(preset, card.shape)
        recipe = shorten(recipe, seed=self.seed, **dict(self.epochs))
        return recipe, self.store / f"run-{preset}-{self.seed}-{card.digest()[:8]}"

    def train(self, preset: str) -> NoiseRun:
        """Train a front, or read the finished one.

        Nothing of a teacher depends on the front: one that would end with the same bits is taken.
        """
        recipe, out = self.recipe(preset)
        control, known = self.recipe(CONTROL)
        same = (recipe.teacher, recipe.teacher_tail) == (control.teacher, control.teacher_tail)
        taken = known if same and known != out and has_part(known, "teacher") else None
        return train_noise(self.split, self.extractor, recipe, out, teacher_from=taken, resume=True)

    @functools.cached_property
    def tested(self) -> Party:
        """Return the test subjects, who nobody trained on; computed once per split."""
        test = FaceSet(name=self.split.name, samples=self.split.only("test_by_person").samples)
        return make_party(test, self.extractor, self.store)

    def suspects(self) -> OwnFaces:
        """Return the test subjects with clean features."""
        return with_clean_features(self.tested.restricted(np.arange(len(self.tested))))

    @functools.cached_property
    def public_faces(self) -> OwnFaces:
        """Return the attacker's own with clean features, copies of the suspects left out."""
        copies = copies_in_public(self.tested, self.attacker)
        others = self.attacker.without(copies) if len(copies) else self.attacker
        return with_clean_features(others.restricted(rows_of(others.faces.labels, self.public)))

    def device(self, run: NoiseRun) -> Send:
        """Return what turns crops into z."""
        return device_of(run.front, self.extractor, self.features)

    def scenario(self, run: NoiseRun, suspects: OwnFaces) -> FrontScenario:
        """Return what an attacker without the server meets."""
        return FrontScenario(
            extractor=self.extractor.card.name,
            suspects=suspects,
            public=self.public_faces,
            public_faces="other_collection",
            send=as_read(run.front, self.device(run)),
        )

    @functools.cached_property
    def judges(self) -> Judges:
        """Return what makes the judges when first asked; those that must learn do so from `train`.

        The owner's training people are neither suspects nor the attacker's own.
        """

        @functools.cache
        def made() -> tuple[Judge, ...]:
            train = self.split.only("train").samples
            crops = read_crops([sample.path for sample in train])
            own = Bystanders(crops=crops, labels=number_subjects(train))
            return judges_for(self.extractor.card.name, Bystanders.among(own))

        return made


@torch.no_grad()
def student_embeddings(
    run: NoiseRun, sent: Float32[np.ndarray, "b m e"]
) -> Float32[np.ndarray, "b k"]:
    """Return what the server makes of z."""
    records = torch.from_numpy(sent)
    return run.student(records if run.opener is None else run.opener(records)).numpy()


@torch.no_grad()
def teacher_embeddings(run: NoiseRun, suspects: OwnFaces) -> Float32[np.ndarray, "b k"]:
    """Return what the teacher makes of clean features."""
    return run.teacher.tail(torch.from_numpy(suspects.tokens)).numpy()

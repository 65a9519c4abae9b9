"""What student and attacker see of the test people, and the faces that an attacker decodes.

Student and attacker are drawn alike: a photograph is described by how similar it looks to each of
the suspects, once by the student's cosines of z with z, once by the scores of an attack that
matches z with clean photographs. t-SNE lays these out in a plane.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from xnn.attacks.inference_phase.z_inversion import InversionSettings, ZInversion
from xnn.attacks.suite import find_attack
from xnn.bench.utility import Report
from xnn.errors import InsufficientDataError, MissingExtraError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.metrics.identification import cosine_scores, gallery_and_probes
from xnn.redteam.attempt import answer_of
from xnn.redteam.front_device import remembered_features
from xnn.redteam.front_world import FrontWorld, student_embeddings
from xnn.redteam.noise_bench import NoiseBenchSettings, world_of
from xnn.redteam.party import make_party

LINKING = "z-linkage"
DECODING = ZInversion(InversionSettings(features=False))
"""Its pictures are the same without the features beside them."""
PEOPLE = 12
"""Shown: with more, colours run together."""

_PERPLEXITY = 15.0


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrontPictures:
    """What is drawn of one front, of one seed."""

    preset: str
    labels: Int64[np.ndarray, " p"]
    """Person of each photograph shown, from 0."""
    student: Float64[np.ndarray, "p 2"]
    attacker: Float64[np.ndarray, "p 2"]
    originals: UInt8[np.ndarray, "k 112 112 3"] = field(repr=False)
    """One intercepted photograph of each person shown."""
    decoded: UInt8[np.ndarray, "k 112 112 3"] = field(repr=False)
    """What the attacker makes of their z."""


def see_fronts(
    victim: FaceSet,
    public: FaceSet,
    extractor: Extractor,
    settings: NoiseBenchSettings,
    store: Path,
    *,
    seed: int = 0,
    report: Report = lambda text: None,
) -> Iterator[FrontPictures]:
    """Yield the pictures of each preset.

    Args:
        victim: As for `measure_noise`, whose finished runs are taken from the store.
        public: The attacker's.
        extractor: Of the front.
        settings: See there; of its attacks, none is used.
        store: Of `measure_noise`.
        seed: Of the split, the training and the attacks.
        report: Told what is being done.

    Raises:
        InsufficientDataError: An attack needs more photographs than there are.

    Trust: scenario. Decoded faces and originals show people.
    """
    attacker, features = make_party(public, extractor, store), remembered_features(extractor)
    world = world_of(victim, attacker, extractor, features, settings, store, seed=seed)
    for preset in settings.presets:
        report(f"{preset}, seed {seed}: pictures")
        yield _see(world, preset)


def _see(world: FrontWorld, preset: str) -> FrontPictures:
    run, suspects = world.train(preset), world.suspects()
    observation, truth = world.scenario(run, suspects).play(seed=world.seed, student=None)
    linked = answer_of(find_attack(LINKING), observation, seed=world.seed).scores
    pictures = answer_of(DECODING, observation, seed=world.seed).pictures
    if linked is None or pictures is None:
        raise InsufficientDataError("the attacks gave no scores or no pictures to draw")
    gallery, probes = gallery_and_probes(suspects.labels)
    embedded = student_embeddings(run, world.device(run)(suspects.crops))
    known = cosine_scores(embedded[probes], embedded[gallery])
    shown = np.flatnonzero(truth.labels < PEOPLE)
    first = np.unique(truth.labels[shown], return_index=True)[1]
    return FrontPictures(
        preset=preset,
        labels=truth.labels[shown],
        student=laid_out(known[shown], seed=world.seed),
        attacker=laid_out(linked[shown], seed=world.seed),
        originals=truth.crops[shown][first],
        decoded=pictures[shown][first],
    )


def laid_out(scores: Float[np.ndarray, "p g"], *, seed: int) -> Float64[np.ndarray, "p 2"]:
    """Return t-SNE of rows of scores, each row less its mean and in its own units.

    Raises:
        InsufficientDataError: Fewer than 4 rows.
        MissingExtraError: scikit-learn is not installed.
    """
    if len(scores) < 4:
        raise InsufficientDataError(f"{len(scores)} photographs; t-SNE needs 4 or more")
    rows = scores - scores.mean(axis=1, keepdims=True)
    rows = rows / (rows.std(axis=1, keepdims=True) + 1e-12)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    try:
        manifold = importlib.import_module("sklearn.manifold")  # takes a second: only when drawn
    except ImportError as error:
        raise MissingExtraError(
            "t-SNE needs scikit-learn, which is not installed; pip install 'xnn-face[redteam]'"
        ) from error
    network = manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed)
    placed: Float64[np.ndarray, "p 2"] = network.fit_transform(rows).astype(np.float64)
    return placed

"""What a scheme costs in recognition: the same tail, trained on plain and on keyed records.

Plays owner and cloud in one process. Each seed draws its own split of the subjects, its own keys
(from the operating system) and its own training; the schemes of one seed share the split.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from xnn.bench.cells import CellStore, fingerprint
from xnn.bench.features import EmbeddingTable, FeatureTable, SampleTable
from xnn.errors import ConfigError
from xnn.extractors.card import ExtractorCard
from xnn.faces.dataset import FaceSet, Sample
from xnn.faces.splits import SplitSettings, split_faces
from xnn.metrics.evaluation import Measured, evaluate_embeddings, pooled_rows
from xnn.models.tail_config import TailConfig
from xnn.owner.evaluate import PROTOCOLS, number_subjects
from xnn.schemes import KeyStream, Obfuscator, divide_classes, find_scheme
from xnn.shards.records import RecordType, check_record_type, decode, encode
from xnn.training.config import TrainConfig
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.source import ArraySource
from xnn.training.validate import embed

REFERENCE = "recogniser"

Report = Callable[[str], None]
"""Told what is being measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilitySettings:
    """What to measure."""

    schemes: tuple[str, ...] = ("plain", "paper")
    seeds: int = 3
    train: TrainConfig
    tail: TailConfig
    split: SplitSettings
    record_type: RecordType = "float16"
    mirror: bool = True

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            find_scheme(scheme)
        check_record_type(self.record_type)
        if self.seeds < 1 or not self.schemes:
            raise ConfigError(f"seeds={self.seeds}, schemes={self.schemes}; at least 1 of each")


def measure_utility(
    faces: FaceSet,
    card: ExtractorCard,
    features: FeatureTable,
    settings: UtilitySettings,
    cells: CellStore,
    *,
    reference: EmbeddingTable | None = None,
    report: Report = lambda text: None,
) -> list[dict[str, Any]]:
    """Return one row per scheme, protocol and metric, pooled over seeds.

    Args:
        faces: Not divided yet.
        card: Of the extractor that made the features.
        features: Tokens of all samples, mirrored too if the settings ask for it.
        settings: See there.
        cells: Finished cells are taken from here and kept here.
        reference: Embeddings of a finished recogniser, tested on the same splits: what a tail
            could reach. Its rows have the scheme "recogniser".
        report: Told what is being measured.

    Raises:
        InsufficientDataError: Too few subjects or images to divide.
    """
    per_scheme: dict[str, list[tuple[Measured, ...]]] = {}
    seconds: dict[str, float] = {}
    for seed in range(settings.seeds):
        split = split_faces(faces, replace(settings.split, seed=seed))
        if reference is not None:
            per_scheme.setdefault(REFERENCE, []).append(evaluate_split(split, reference.of, seed))
            seconds[REFERENCE] = reference.wall_s
        for scheme in settings.schemes:
            facts = _facts(faces, card, settings, scheme, seed)
            found = cells.load(facts)
            if found is None:
                report(f"{scheme}, seed {seed}")
                fitted = find_scheme(scheme).fit(features.of(split.only("train").samples))
                obfuscator = fitted.bind(card.shape, KeyStream.fresh())
                most = fitted.card.photographs_per_class
                found = train_and_test(
                    split, features, obfuscator, settings, seed, photographs_per_class=most
                )
                cells.save(facts, *found)
            measured, details = found
            per_scheme.setdefault(scheme, []).append(measured)
            seconds[scheme] = seconds.get(scheme, 0.0) + details["wall_s"]
    return [
        {"scheme": scheme, "extractor": card.name, **row, "wall_s": round(seconds[scheme], 1)}
        for scheme, seeds in per_scheme.items()
        for row in pooled_rows(seeds)
    ]


def train_and_test(
    split: FaceSet,
    features: SampleTable,
    obfuscator: Obfuscator,
    settings: UtilitySettings,
    seed: int,
    *,
    photographs_per_class: int | None = None,
) -> tuple[tuple[Measured, ...], dict[str, Any]]:
    """Train a tail on the records of one key and test it.

    The cloud trains and validates on records; the tests are the owner's, at home, without a
    scheme's noise. Two calls with the same split and seed resample the same subjects, so that
    their replicates may be subtracted.

    Args:
        split: Divided.
        features: What the scheme reads, of all samples.
        obfuscator: Under the key.
        settings: See there; scheme and seeds are the caller's.
        seed: Of training, and of who is in which class.
        photographs_per_class: As the scheme's card says.

    Returns:
        The rates of both protocols, and seconds, steps and the trainer's waiting for data.
    """
    start = time.monotonic()

    def records(part: FaceSet, *, mirror: bool = False) -> Float32[np.ndarray, "b n d"]:
        tokens = features.of(part.samples, mirror=mirror)
        return as_stored(obfuscator, tokens, settings.record_type)

    train, val = split.only("train"), split.only("val")
    copies = 2 if settings.mirror else 1

    def classes(part: FaceSet) -> Int64[np.ndarray, " r"]:
        people = number_subjects(part.samples)
        order = np.random.default_rng((seed, 0xC1A5)).permutation(len(people))
        return divide_classes(people, photographs_per_class, order)

    source = ArraySource(records(train, mirror=settings.mirror), np.tile(classes(train), copies))
    val_source = ArraySource(records(val), classes(val))
    config = replace(settings.train, seed=seed)
    tail, head = new_tail_and_head(settings.tail, source.num_classes, config)
    with tempfile.TemporaryDirectory(prefix="xnn-bench-") as folder:
        result = fit(source, val_source, tail, head, config, Path(folder) / "run")

    def embeddings(samples: tuple[Sample, ...]) -> Float32[np.ndarray, "b e"]:
        keyed = obfuscator.without_noise(torch.from_numpy(features.of(samples))).numpy()
        tokens = decode(*encode(keyed, settings.record_type), settings.record_type)
        return embed(tail, ArraySource(tokens, number_subjects(samples)))

    details = {
        "wall_s": time.monotonic() - start,
        "steps": result.steps,
        "data_wait_share": float(np.mean([e.data_wait_share for e in result.history])),
    }
    return evaluate_split(split, embeddings, seed), details


def evaluate_split(
    split: FaceSet,
    embeddings: Callable[[tuple[Sample, ...]], Float32[np.ndarray, "b e"]],
    seed: int,
) -> tuple[Measured, ...]:
    """Return the rates of both protocols.

    Args:
        split: Whose tests are embedded; a protocol without samples is left out.
        embeddings: Of samples, a row each.
        seed: Of the resamples.
    """
    generator = np.random.default_rng(seed)
    measured: list[Measured] = []
    for name, protocol in PROTOCOLS.items():
        samples = split.only(name).samples
        if samples:
            labels = number_subjects(samples)
            evaluation = evaluate_embeddings(
                embeddings(samples), labels, protocol=protocol, generator=generator
            )
            measured += evaluation.measured
    return tuple(measured)


def as_stored(
    obfuscator: Obfuscator, samples: np.ndarray, record_type: RecordType
) -> Float32[np.ndarray, "b m e"]:
    """Return records as the cloud reads them: obfuscated, stored and read back.

    Args:
        obfuscator: Under any key.
        samples: What its scheme reads, features or crops.
        record_type: How they are stored.
    """
    records = obfuscator.obfuscate(torch.from_numpy(samples)).numpy()
    return decode(*encode(records, record_type), record_type)


def _facts(
    faces: FaceSet, card: ExtractorCard, settings: UtilitySettings, scheme: str, seed: int
) -> dict[str, Any]:
    return {
        "measurement": "utility",
        "faces": fingerprint(faces),
        "extractor_digest": card.digest(),
        "scheme": scheme,
        "scheme_version": find_scheme(scheme).card.version,
        "seed": seed,
        "train": asdict(settings.train),
        "tail": settings.tail.to_dict(),
        "split": asdict(settings.split),
        "record_type": settings.record_type,
        "mirror": settings.mirror,
    }

"""What a scheme leaks: the owner's records, an attacker that knows the scheme, and a judge.

Plays owner, attacker and judge in one process. The attacker gets an `Observation`; the truth about
the stolen records stays here.
"""

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xnn.attacks.expectation_recognition import (
    NAME,
    ExpectationRecognition,
    ExpectationSettings,
)
from xnn.attacks.observation import Observation
from xnn.bench.cells import CellStore, fingerprint
from xnn.bench.features import FeatureTable
from xnn.bench.utility import Report, as_stored
from xnn.errors import ConfigError, FacesError
from xnn.extractors.card import ExtractorCard
from xnn.faces.dataset import FaceSet
from xnn.faces.splits import SplitSettings, split_faces
from xnn.metrics.evaluation import Measured, evaluate_scores, pooled_rows
from xnn.metrics.identification import gallery_and_probes
from xnn.owner.evaluate import number_subjects
from xnn.schemes import KeyStream, find_scheme
from xnn.training.source import ArraySource

CONTROL_SCHEME = "plain"
CONTROL_FACTOR = 3.0
"""A control has succeeded when the low end of its interval exceeds this many times chance, or
half way from chance to 1 where the gallery is too small for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSettings:
    """What to attack and how hard."""

    schemes: tuple[str, ...] = ("paper",)
    seeds: int = 3
    attack: ExpectationSettings
    split: SplitSettings
    """Of the victim's set; the subjects of `test_by_person` are the suspects."""
    knowledge: str = "K2: public faces of another collection, no pairs, public extractor"

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            find_scheme(scheme)
        if self.seeds < 1:
            raise ConfigError(f"seeds={self.seeds}; at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A face set and its features."""

    faces: FaceSet
    features: FeatureTable


def measure_leak(
    victim: Party,
    public: Party,
    card: ExtractorCard,
    settings: LeakSettings,
    cells: CellStore,
    *,
    report: Report = lambda text: None,
) -> list[dict[str, Any]]:
    """Return rows of the expectation-recognition attack, each with its positive control.

    The score is the paper's restore-identification accuracy: one clean photograph of each suspect
    is the gallery, embedded under keys of the attacker; all their other records, under the
    owner's key, are the probes. Where the control on plain features fails, the attack is *not
    working* and says nothing of the scheme.

    Args:
        victim: The owner's set.
        public: The attacker's set: other people.
        card: Of the extractor that made all features.
        settings: See there.
        cells: Finished cells are taken from here and kept here.
        report: Told what is being measured.

    Raises:
        FacesError: A subject is in both sets.
        InsufficientDataError: Too few subjects or images.
    """
    shared = set(victim.faces.subjects) & set(public.faces.subjects)
    if shared:
        raise FacesError(
            f"{len(shared)} subjects are in the victim's and in the public set; the attacker's "
            "faces must be of other people: remove them from one"
        )
    schemes = dict.fromkeys((CONTROL_SCHEME, *settings.schemes))
    per_scheme: dict[str, list[tuple[Measured, ...]]] = {}
    seconds: dict[str, float] = {}
    for seed in range(settings.seeds):
        for scheme in schemes:
            facts = _facts(victim.faces, public.faces, card, settings, scheme, seed)
            found = cells.load(facts)
            if found is None:
                report(f"attacking {scheme}, seed {seed}")
                found = _attack_cell(victim, public, card, settings, scheme, seed)
                cells.save(facts, *found)
            per_scheme.setdefault(scheme, []).append(found[0])
            seconds[scheme] = seconds.get(scheme, 0.0) + found[1]["wall_s"]
    facts = {"extractor": card.name, "knowledge": settings.knowledge}
    pooled = {scheme: pooled_rows(seeds) for scheme, seeds in per_scheme.items()}
    return _with_control(pooled, seconds, facts)


def _with_control(
    pooled: dict[str, list[dict[str, Any]]], seconds: dict[str, float], facts: dict[str, str]
) -> list[dict[str, Any]]:
    """Put the same metric of the positive control beside every row."""
    control = {row["metric"]: row for row in pooled[CONTROL_SCHEME]}
    return [
        {
            "attack": NAME,
            "scheme": scheme,
            **facts,
            **row,
            "control": control[row["metric"]]["value"],
            "control_ok": control_succeeded(control["rank_1"]),
            "wall_s": round(seconds[scheme], 1),
        }
        for scheme, rows in pooled.items()
        for row in rows
    ]


def control_succeeded(row: dict[str, Any]) -> bool:
    """Tell whether the positive control, rank-1 on plain features, is well above chance."""
    chance = row["chance"]
    return bool(row["low"] > min(CONTROL_FACTOR * chance, (1 + chance) / 2))


def _attack_cell(
    victim: Party,
    public: Party,
    card: ExtractorCard,
    settings: LeakSettings,
    scheme: str,
    seed: int,
) -> tuple[tuple[Measured, ...], dict[str, Any]]:
    start = time.monotonic()
    observation, probe_labels, gallery_labels = _observe(
        victim, public, card, settings, scheme, seed
    )
    attack = ExpectationRecognition(settings.attack)
    with tempfile.TemporaryDirectory(prefix="xnn-leak-") as folder:
        result = attack.run(observation, seed=seed, work_dir=Path(folder) / "run")
    judged = evaluate_scores(
        result.scores,
        probe_labels,
        gallery_labels,
        protocol="restore_identification",
        generator=np.random.default_rng(seed),
    )
    details = {"wall_s": time.monotonic() - start, **result.details}
    return judged.measured, details


def _observe(
    victim: Party,
    public: Party,
    card: ExtractorCard,
    settings: LeakSettings,
    scheme: str,
    seed: int,
) -> tuple[Observation, np.ndarray, np.ndarray]:
    """Play the owner and hand the attacker what crossed the border; the truth goes to the judge."""
    split = split_faces(victim.faces, replace(settings.split, seed=seed))
    suspects = split.only("test_by_person").samples
    labels = number_subjects(suspects)
    gallery, probes = gallery_and_probes(labels)
    tokens = victim.features.of(suspects)
    obfuscator = find_scheme(scheme).bind(card.shape, KeyStream.fresh())
    own = split_faces(public.faces, SplitSettings(test_subjects=0, val_subjects=0.1, seed=seed))
    train, val = own.only("train").samples, own.only("val").samples
    observation = Observation(
        scheme=scheme,
        shape=card.shape,
        records=as_stored(obfuscator, tokens[probes], "float16"),
        gallery=tokens[gallery],
        public=ArraySource(public.features.of(train), number_subjects(train)),
        public_val=ArraySource(public.features.of(val), number_subjects(val)),
        knowledge=settings.knowledge,
    )
    return observation, labels[probes], labels[gallery]


def _facts(
    victim: FaceSet,
    public: FaceSet,
    card: ExtractorCard,
    settings: LeakSettings,
    scheme: str,
    seed: int,
) -> dict[str, Any]:
    return {
        "measurement": "leak",
        "attack": NAME,
        "victim": fingerprint(victim),
        "public": fingerprint(public),
        "extractor_digest": card.digest(),
        "scheme": scheme,
        "scheme_version": find_scheme(scheme).card.version,
        "seed": seed,
        "settings": asdict(settings.attack),
        "split": asdict(settings.split),
    }

"""What a front costs and leaks: student and teacher on people never trained on, and every attacker.

Each seed draws its own split of the owner's people and its own training. The test subjects are the
suspects; they are used once. The attacker's people are others.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xnn.attacks.base import Attack
from xnn.attacks.suite import ATTACKS
from xnn.bench.cells import CellStore, fingerprint
from xnn.bench.utility import Report
from xnn.errors import ConfigError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.faces.splits import SplitSettings, split_faces
from xnn.metrics.evaluation import evaluate_embeddings, pooled_rows
from xnn.owner.noise.finished import NoiseRun
from xnn.owner.noise.presets import find_noise_preset
from xnn.redteam.attempt import Found, attempt
from xnn.redteam.front_device import Remembered, as_opened, remembered_features
from xnn.redteam.front_scenario import FrontScenario
from xnn.redteam.front_world import (
    CONTROL,
    FrontWorld,
    Judges,
    student_embeddings,
    teacher_embeddings,
)
from xnn.redteam.party import Party, make_party
from xnn.redteam.verdicts import succeeded

AREA = "auc_"
"""How `attribute-heads` begins the names of what it tells of each attribute."""
STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBenchSettings:
    """What is trained and how hard it is attacked.

    Raises:
        ConfigError: A number is below 1, or an attack is not one on the inference phase.
    """

    presets: tuple[str, ...] = ("plain", "gaussian", "paper", "xnn")
    attacks: tuple[str, ...] = ()
    """Names; empty takes all attacks on the inference phase."""
    seeds: int = 3
    public: int = 2000
    """Most photographs of the attacker's own."""
    epochs: tuple[tuple[str, int], ...] = ()
    """Instead of the presets': pairs of `teacher_epochs`, `game_epochs`, `student_epochs`."""
    split: SplitSettings

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.public < 1:
            raise ConfigError(f"seeds={self.seeds}, public={self.public}; use 1 or more of each")
        for name in self.attacks:
            if name not in ATTACKS or ATTACKS[name].card.phase != "inference":
                known = ", ".join(n for n, a in ATTACKS.items() if a.card.phase == "inference")
                raise ConfigError(f"no attack {name!r} on the inference phase; use {known}")

    def chosen(self) -> dict[str, Attack]:
        """Return the attacks by name."""
        wanted = self.attacks or tuple(
            name for name, attack in ATTACKS.items() if attack.card.phase == "inference"
        )
        return {name: ATTACKS[name] for name in wanted}


def measure_noise(
    victim: FaceSet,
    public: FaceSet,
    extractor: Extractor,
    settings: NoiseBenchSettings,
    store: Path,
    *,
    report: Report = lambda text: None,
) -> list[dict[str, Any]]:
    """Return rows of student, teacher and attackers, pooled over seeds.

    Args:
        victim: The owner's crops, not divided yet.
        public: The attacker's crops, of other people.
        extractor: Of the front.
        settings: See there.
        store: Finished runs and cells; a killed measurement goes on here.
        report: Told what is being done.

    Returns:
        Rows with preset, party (student, teacher, or an attack's name), extractor, protocol,
        metric, value, low, high, chance, subjects, probes, seeds; those of attacks also have the
        same on the `plain` front (control), its verdict and the share of it that is left; those of
        `attribute-heads` tell how well each attribute is read, here and on the control.

    Raises:
        InsufficientDataError: Too few subjects or images to divide.
    """
    cells = CellStore(store / "cells")
    attacker = make_party(public, extractor, store)
    features = remembered_features(extractor)
    named = _facts(victim, attacker, extractor, settings)
    parties = (STUDENT, TEACHER, *settings.chosen())
    found: dict[tuple[str, str], list[Found]] = {}
    for seed in range(settings.seeds):
        world = world_of(victim, attacker, extractor, features, settings, store, seed=seed)
        for preset in dict.fromkeys((CONTROL, *settings.presets)):
            recipe = find_noise_preset(preset, extractor.card.shape)
            facts = named | {"preset": preset, "seed": seed, "recipe": recipe.to_dict()}
            kept = {party: cells.load(facts | {"party": party}) for party in parties}
            missing = [party for party, one in kept.items() if one is None]
            if missing:
                report(f"{preset}, seed {seed}: {', '.join(missing)}")
                for party, measured in _play(world, settings, preset, missing):
                    cells.save(facts | {"party": party}, *measured)
                    kept[party] = measured
            for party, one in kept.items():
                if one is not None:
                    found.setdefault((preset, party), []).append(one)
    return _rows(found, extractor.card.name)


def world_of(
    victim: FaceSet,
    attacker: Party,
    extractor: Extractor,
    features: Remembered,
    settings: NoiseBenchSettings,
    store: Path,
    *,
    seed: int,
) -> FrontWorld:
    """Return the world of one seed: its own split, trained and attacked under that seed."""
    return FrontWorld(
        split=split_faces(victim, replace(settings.split, seed=seed)),
        attacker=attacker,
        extractor=extractor,
        features=features,
        store=store,
        seed=seed,
        public=settings.public,
        epochs=settings.epochs,
    )


def _play(
    world: FrontWorld, settings: NoiseBenchSettings, preset: str, missing: list[str]
) -> Iterator[tuple[str, Found]]:
    """Train the front, yield what student and teacher reach, then each attacker's answer judged."""
    start = time.monotonic()
    run = world.train(preset)
    trained = {"wall_s": time.monotonic() - start}
    suspects, seed = world.suspects(), world.seed
    send = world.device(run)
    generator = np.random.default_rng(seed)
    embedded = {
        STUDENT: student_embeddings(run, send(suspects.crops)),
        TEACHER: teacher_embeddings(run, suspects),
    }
    for party, embeddings in embedded.items():
        if party in missing:
            evaluation = evaluate_embeddings(
                embeddings, suspects.labels, protocol="by_person", generator=generator
            )
            yield party, (evaluation.measured, trained)
    outside = world.scenario(run, suspects)
    inside = replace(outside, send=as_opened(run.front, send))
    judges = world.judges
    for name, attack in settings.chosen().items():
        if name in missing:
            scenario = inside if attack.card.needs_tail else outside
            yield name, _attack(attack, scenario, run, judges, seed)


def _attack(
    attack: Attack, scenario: FrontScenario, run: NoiseRun, judges: Judges, seed: int
) -> Found:
    student = run.student if attack.card.needs_tail else None
    return attempt(
        attack,
        None,
        lambda: scenario.play(seed=seed, student=student),
        judges,
        seed=seed,
    )


def _rows(found: dict[tuple[str, str], list[Found]], extractor: str) -> list[dict[str, Any]]:
    pooled = {
        key: {
            (row["protocol"], row["metric"]): row
            for row in pooled_rows([measured for measured, _ in ones if measured])
        }
        for key, ones in found.items()
    }
    rows = []
    for (preset, party), ones in found.items():
        facts = {"preset": preset, "party": party, "extractor": extractor}
        seconds = round(sum(details["wall_s"] for _, details in ones), 1)
        control = pooled.get((CONTROL, party), {})
        for key, row in pooled[preset, party].items():
            beside = control.get(key)
            extra: dict[str, Any] = {"wall_s": seconds}
            if party not in (STUDENT, TEACHER):
                extra |= _judged(row, beside, control.get(("linkage", "rank_1")))
                extra |= _areas(ones, found.get((CONTROL, party), []))
            rows.append(facts | row | extra)
    return rows


def _judged(
    row: dict[str, Any], beside: dict[str, Any] | None, headline: dict[str, Any] | None
) -> dict[str, Any]:
    working = headline is not None and succeeded("linkage", headline)
    return {
        "control": None if beside is None else beside["value"],
        "control_ok": working,
        "share_of_control": (
            round(row["value"] / beside["value"], 4) if beside and beside["value"] else None
        ),
    }


def _areas(ones: list[Found], control: list[Found]) -> dict[str, Any]:
    """Return how well each attribute is read, where the attack tells; see `attribute-heads`.

    Areas under the curve on the attacker's own people held out, mean of the seeds; guessing is 0.5.
    """
    here, clean = _mean_areas(ones), _mean_areas(control)
    return {"attributes": here, "control_attributes": clean} if here else {}


def _mean_areas(ones: list[Found]) -> dict[str, float]:
    told: dict[str, list[float]] = {}
    for _, details in ones:
        for name, value in details.items():
            if name.startswith(AREA):
                told.setdefault(name.removeprefix(AREA), []).append(float(value))
    return {name: round(sum(values) / len(values), 4) for name, values in told.items()}


def _facts(
    victim: FaceSet, attacker: Party, extractor: Extractor, settings: NoiseBenchSettings
) -> dict[str, Any]:
    """Return what names every cell; preset, seed, recipe and party come to it."""
    return {
        "measurement": "noise",
        "victim": fingerprint(victim),
        "public": attacker.fingerprint,
        "num_public": settings.public,
        "extractor_digest": extractor.card.digest(),
        "epochs": list(settings.epochs),
        "split": asdict(settings.split),
    }

"""Photographs under a class number: what a bound costs the tail, and takes from attackers.

The rungs of the ladder with every bound in turn, on about 4,000 records of the victims, 16 known
pairs. `merged` is how often two classes that an attacker takes for one person's are: it compares
their means, or what the trained tail makes of them. Reads FACES (celeba/ as victims, lfw/ as the
public set) and writes benchmarks/results/class-sizes-EXTRACTOR.json.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

import many_pairs
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_merging import merged_classes
from xnn.attacks.statistics.class_vectors import class_means, class_vectors
from xnn.attacks.suite import find_attack
from xnn.files import write_json
from xnn.metrics.evaluation import Measured, pooled_rows
from xnn.redteam.attempt import attempt
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec, scenario_of
from xnn.redteam.scenario import Scenario
from xnn.redteam.truth import Truth
from xnn.redteam.utility_cell import UtilitySpec, run_utility_cell
from xnn.schemes import SCHEMES, find_scheme
from xnn.schemes.pooled import Pooled
from xnn.training.source import ArraySource
from xnn.training.validate import embed

SIZES = Sizes(records=4000, probes=4000, public=2000)
PAIRS = 16
RESULTS = many_pairs.ROOT / "benchmarks" / "results"


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--noise", default="2,4,6")
    parser.add_argument("--most", default="0,2", help="photographs a class; 0 for no bound")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--features", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = many_pairs.face_sets()
    if faces is None:
        return 0
    spec = many_pairs.open_spec(options.extractor, options.features, faces)
    scenario = scenario_of(dataclasses.replace(spec, sizes=SIZES))
    rows: list[dict[str, Any]] = []
    for strength in map(float, options.noise.split(",")):
        for most in map(int, options.most.split(",")):
            name = register(strength, most or None)
            found = {"scheme": name, "noise": strength, "photographs_per_class": most or None}
            for measured in measure(spec, scenario, name, options.seeds):
                rows.append(found | measured)
                print(rows[-1], file=sys.stderr, flush=True)
    content = {
        "command": f"benchmarks/class_sizes.py --extractor {options.extractor} --noise "
        f"{options.noise} --most {options.most} --seeds {options.seeds}",
        "victim": "celeba",
        "public": "lfw",
        "pairs": PAIRS,
        "seeds": options.seeds,
        "sizes": dataclasses.asdict(SIZES),
        "rows": rows,
    }
    write_json(RESULTS / f"class-sizes-{options.extractor}.json", content)
    return 0


def register(strength: float, most: int | None) -> str:
    """Make a rung known by name; return the name."""
    name = f"pooled-noise-{strength:g}" + (f"-by-{most}" if most else "")
    SCHEMES.setdefault(name, Pooled(name=name, strength=strength, photographs_per_class=most))
    return name


def measure(
    spec: CellSpec, scenario: Scenario, scheme: str, seeds: int
) -> Iterator[dict[str, Any]]:
    """Yield recognition, linkage with pairs, and how well classes are merged."""
    utility, linkage, merging = [], [], []
    for seed in range(seeds):
        cell = UtilitySpec(victim=spec.victim, extractor=spec.extractor, scheme=scheme, seed=seed)
        utility.append(run_utility_cell(cell)[0])
        linked, merged = attacked(scenario, scheme, seed)
        linkage.append(linked)
        merging.append(merged)
    for row in (*pooled_rows(utility), *pooled_rows(linkage)):
        if row["metric"] == "rank_1" and row["protocol"] != "by_image":
            yield row
    if find_scheme(scheme).card.photographs_per_class is not None:
        for how, values in zip(("by records", "by tail"), zip(*merging, strict=True), strict=True):
            mean = round(sum(values) / seeds, 4)
            yield {"protocol": f"merged {how}", "metric": "precision", "value": mean}


def attacked(
    scenario: Scenario, scheme: str, seed: int
) -> tuple[tuple[Measured, ...], tuple[float, float]]:
    """Return what `class-anchors` reaches, and how often merged classes are one person's."""
    attack = find_attack("class-anchors")
    card = dataclasses.replace(attack.card, needs_tail=True)
    played = scenario.play(scheme, card, Knowledge(known_pairs=PAIRS), seed=seed)
    found, _ = attempt(attack, find_scheme(scheme).card, lambda: played, tuple, seed=seed)
    return found, merging(*played)


def merging(observation: Observation, truth: Truth) -> tuple[float, float]:
    """Return the precision of merging classes by their records, and by the tail's embeddings."""
    if observation.labels is None or observation.tail is None or truth.class_suspects is None:
        raise RuntimeError("the scenario gave no class numbers or no tail")
    _, members = np.unique(observation.labels, return_inverse=True)
    source = ArraySource(observation.records, np.zeros(len(members), dtype=np.int64))
    embedded = embed(observation.tail, source)
    means = class_means(embedded, members)
    people = len(observation.gallery)
    by_tail = merged_classes(means - means.mean(axis=0), people)
    by_records = merged_classes(class_vectors(observation.records, members), people)
    return precision(by_records, truth.class_suspects), precision(by_tail, truth.class_suspects)


def precision(groups: Int64[np.ndarray, " c"], people: Int64[np.ndarray, " c"]) -> float:
    """Return the share of pairs of classes in one group that are one person's."""
    above = np.triu_indices(len(groups), 1)
    together, right = (x[:, None] == x for x in (groups, people))
    return float(right[above][together[above]].mean()) if together[above].any() else 0.0


if __name__ == "__main__":
    sys.exit(main())

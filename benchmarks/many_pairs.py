"""Many known pairs, of half the people: what they tell of the other half.

On the board pairs are records of anyone, and 1,000 of 2,000 leave nobody without one. Here all
records of some people are the pairs, so that what is learned from them, of the key and of classes,
shows on people of whom none is known. Reads FACES (celeba/ as victims, lfw/ as the public set) and
writes benchmarks/results/many-pairs-EXTRACTOR.json.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.suite import find_attack
from xnn.cli.parties import base_spec, load_parties
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.metrics.evaluation import Measured, pooled_rows
from xnn.redteam.attempt import attempt
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec, scenario_of
from xnn.redteam.scenario import Scenario
from xnn.redteam.trials import Trial
from xnn.schemes import find_scheme

ROOT = Path(__file__).parents[1]
SIZES = Sizes(records=2000, probes=300, public=2000)
SCHEMES = "plain,pooled-noise-4,pooled-noise-4-by-2,pooled-noise-6"
ATTACKS = "class-anchors,known-plaintext,learned-inversion"


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--schemes", default=SCHEMES)
    parser.add_argument("--attacks", default=ATTACKS)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--features", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = face_sets()
    if faces is None:
        return 0
    spec = open_spec(options.extractor, options.features, faces)
    scenario = dataclasses.replace(
        scenario_of(dataclasses.replace(spec, sizes=SIZES)), pairs_by_person=True
    )
    rows = [
        row
        for scheme in options.schemes.split(",")
        for attack in options.attacks.split(",")
        for row in measure(scenario, scheme, attack, options.pairs, options.seeds)
    ]
    content = {
        "command": f"benchmarks/many_pairs.py --extractor {options.extractor} --schemes "
        f"{options.schemes} --attacks {options.attacks} --pairs {options.pairs} "
        f"--seeds {options.seeds}",
        "victim": "celeba",
        "public": "lfw",
        "seeds": options.seeds,
        "pairs": options.pairs,
        "sizes": dataclasses.asdict(SIZES),
        "rows": rows,
    }
    write_json(ROOT / "benchmarks" / "results" / f"many-pairs-{options.extractor}.json", content)
    return 0


def face_sets() -> Path | None:
    """Return the folder with both face sets, or say that there is none."""
    faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
    if (faces / "celeba").is_dir() and (faces / "lfw").is_dir():
        return faces
    print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
    return None


def open_spec(extractor: str, features: Path, faces: Path) -> CellSpec:
    """Return a cell of the board with its parties, as the others begin with."""
    ours, theirs, _ = load_parties(
        load_faces(faces / "celeba"), load_faces(faces / "lfw"), load_extractor(extractor), features
    )
    return base_spec(
        ours,
        theirs,
        features,
        extractor=extractor,
        split_depth=None,
        scheme="plain",
        trial=Trial(attack="class-anchors", knowledge=Knowledge()),
    )


def measure(
    scenario: Scenario, scheme: str, name: str, pairs: int, seeds: int
) -> list[dict[str, Any]]:
    """Return linkage of all probes and of people of no pair, pooled over seeds."""
    attack, card = find_attack(name), find_scheme(scheme).card
    knowledge = Knowledge(known_pairs=pairs)
    per_seed: list[tuple[Measured, ...]] = []
    for seed in range(seeds):

        def play(seed: int = seed) -> Any:
            return scenario.play(scheme, attack.card, knowledge, seed=seed)

        found, details = attempt(attack, card, play, tuple, seed=seed)
        shown = [(m.protocol, round(m.bootstrap.value, 3)) for m in found if m.metric == "rank_1"]
        print(scheme, name, seed, shown, round(details["wall_s"], 1), file=sys.stderr, flush=True)
        if found:
            per_seed.append(found)
    return [
        {"scheme": scheme, "attack": name, **row}
        for row in (pooled_rows(per_seed) if len(per_seed) == seeds else [])
        if row["metric"] == "rank_1" and row["protocol"].startswith("linkage")
    ]


if __name__ == "__main__":
    sys.exit(main())

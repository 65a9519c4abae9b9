"""Recognition against attack, over the training of a game and over the budget of noise.

Every front here is on the 64-number code of `noise_games.py`, so that at every point a student and
the attackers can be made anew, to their end: a ridge regression to the teacher, linkage by
distillation from all public photographs and from 300, and z against z with nothing trained. The
strongest attacker is the highest of the three.

    game       over training: two games of noise_games.py, measured at some of their steps (what
               the others end with is in noise-games.json)
    gaussian   over budget: fresh noise, no game, from +15 to -10 dB
    code       no noise: the control that all of them begin from

    same-collection   what those games end with, for an attacker with photographs as near to the
               victims' as the owner's

`noise_paper_curve.py` adds the same for whole fronts and for the paper's game.

Reads FACES (celeba/ as victims, lfw/ as the public set); writes
benchmarks/results/noise-curves.json, of which `noise_pictures.py` draws the curves.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noise_games import CODE, RESULTS, ROOT, Lab, Send, linked, measured, train
from xnn.files import write_json
from xnn.metrics.chance import chance_rank_k

AT = (0, 60, 125, 250, 500, 1000)
"""Steps of the games in `TRAINING`, and the last."""
TRAINING = ((3.0, 1.0, 0.0), (3.0, 0.3, 1.0))
"""Noise, attackers' weight, utility's: the paper's objective, and the best with a utility."""
SNR_DB = (15.0, 10.0, 5.0, 0.0, -5.0, -10.0)
ATTACKERS = ("linkage", "linkage_300", "z_against_z")


def main() -> int:
    """Measure, or skip loudly where there are no faces; then draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--public", type=int, default=2000, help="most public photographs")
    parser.add_argument("--store", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
    if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
        print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
        return 0
    kept = Kept(options.store / "curves.json")
    for seed in range(options.seeds):
        measure_seed(Lab(faces, seed, options.public, options.store), seed, options.steps, kept)
    facts = {
        "command": f"benchmarks/noise_curves.py --seeds {options.seeds} --steps {options.steps}",
        "victim": "celeba",
        "public": "lfw",
        "public_photographs": options.public,
        "extractor": "dlib",
        "torch": torch.__version__,
    }
    write_json(RESULTS / "noise-curves.json", {**facts, "rows": kept.rows})
    return 0


class Kept:
    """Rows on disk: a killed measurement goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []

    def has(self, name: dict[str, Any]) -> bool:
        """Tell whether a point was measured."""
        return any(name.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a point, with the strongest of its attackers."""
        known = [row[name] for name in ATTACKERS if name in row]
        self.rows.append(row | {"strongest": max(known)})
        self.path.write_text(json.dumps(self.rows, indent=1))
        print(self.rows[-1], flush=True)


def facts_of(lab: Lab) -> dict[str, float]:
    """Return what every point of a split has in common."""
    people = len(np.unique(lab.labels["test_by_person"]))
    probes = len(lab.labels["test_by_person"]) - people
    return {"chance": chance_rank_k(gallery_size=people), "subjects": people, "probes": probes}


def measure_seed(lab: Lab, seed: int, steps: int, kept: Kept) -> None:
    """Measure what is missing of a seed."""

    def point(name: dict[str, Any], send: Send) -> None:
        name = {"seed": seed, **name}
        if not kept.has(name):
            kept.add(name | measured(lab, send, seed) | facts_of(lab))

    point({"curve": "code"}, lambda code: F.layer_norm(code, (CODE,)))
    for snr_db in SNR_DB:
        point({"curve": "gaussian", "snr_db": snr_db}, gaussian(snr_db, seed))
    for scale, weight, utility in TRAINING:
        name = {"curve": "game", "scale": scale, "weight": weight, "utility": utility}

        def at(step: int, send: Send, name: dict[str, Any] = name) -> None:
            if step in (*AT, steps):
                point(name | {"step": step}, send)

        ended = {"seed": seed, **name, "step": steps}
        same = ended | {"curve": "same-collection"}
        if not kept.has(ended) or not kept.has(same):
            send, _ = train(lab, scale, weight, utility, steps=steps, seed=seed, at=at)
            kept.add(same | from_the_same_collection(lab, send, seed) | facts_of(lab))


def from_the_same_collection(lab: Lab, send: Send, seed: int) -> dict[str, float]:
    """Return what linkage reaches with photographs as near to the victims' as the owner's are.

    They are the owner's own training photographs, under a public recogniser's embeddings in place
    of the teacher's: whether data alone parts student and attacker.
    """
    with torch.no_grad():
        own, test = (send(lab.code[name]).numpy() for name in ("train", "test_by_person"))
        public = send(lab.public_code).numpy()
    faces = lab.own["train"]
    near = linked(lab, own, test, len(own), seed, faces)
    far = linked(lab, public, test, len(public), seed)
    return {"near": near, "linkage": far, "photographs": len(own)}


def gaussian(snr_db: float, seed: int) -> Send:
    """Return the code under fresh noise."""
    generator = torch.Generator().manual_seed(seed)

    def send(code: Tensor) -> Tensor:
        clean = F.layer_norm(code, (CODE,))
        noise: Tensor = torch.randn(clean.shape, generator=generator)
        return clean + 10 ** (-snr_db / 20) * noise

    return send


if __name__ == "__main__":
    sys.exit(main())

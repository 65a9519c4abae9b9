"""What a Wiener filter is worth under fresh Gaussian noise: to the server, and to an attacker.

On all 16 tokens of 256 at one budget of noise, with the players of `noise_games.py`. The owner's
filter is measured on its training records, the attacker's on its public photographs: it knows the
power of the noise, as everybody does, and asks the device nothing.

Reads FACES (celeba/ as victims, lfw/ as the public set); writes
benchmarks/results/noise-filter.json.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noise_games import RESULTS, ROOT, Lab, fresh_student, linked, unlabelled
from noise_paper_curve import clean_tokens, noised
from xnn.files import write_json
from xnn.models.denoiser import Denoiser
from xnn.training.validate import embed, mean_rank_1

DIRECTIONS = (32, 64, 128, 256, 512)
TEST = "test_by_person"


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--snr-db", type=float, default=0.0)
    parser.add_argument("--public", type=int, default=2000, help="most public photographs")
    parser.add_argument("--store", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
    if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
        print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
        return 0
    rows = []
    for seed in range(options.seeds):
        lab = Lab(faces, seed, options.public, options.store)
        for row in measured(lab, seed, options.snr_db):
            rows.append({"seed": seed, **row})
            print(rows[-1], flush=True)
    facts = {
        "command": f"benchmarks/noise_filter.py --seeds {options.seeds}",
        "victim": "celeba",
        "public": "lfw",
        "public_photographs": options.public,
        "extractor": "dlib",
        "snr_db": options.snr_db,
        "torch": torch.__version__,
    }
    write_json(RESULTS / "noise-filter.json", {**facts, "rows": rows})
    return 0


@torch.no_grad()
def measured(lab: Lab, seed: int, snr_db: float) -> list[dict[str, Any]]:
    """Return rank-1 of several students and attackers on the same z."""
    clean = clean_tokens(lab)
    sent = noised(clean, snr_db, seed)
    variance, truth = 10 ** (-snr_db / 10), lab.labels[TEST]

    def student(records: Tensor) -> float:
        shaped = records.reshape(len(records), *lab.test.tokens.shape[1:]).numpy()
        return round(mean_rank_1(embed(lab.teacher, unlabelled(shaped)), truth), 4)

    def attacker(probes: Tensor) -> float:
        public = clean["public"].numpy()
        with torch.enable_grad():
            return round(linked(lab, public, probes.numpy(), len(public), seed), 4)

    rows: list[dict[str, Any]] = [
        {"party": "teacher", "reads": "clean features", "rank_1": student(clean[TEST])},
        {"party": "teacher", "reads": "z", "rank_1": student(sent[TEST])},
        {
            "party": "ridge to the teacher",
            "reads": "z",
            "rank_1": round(mean_rank_1(fresh_student(lab, sent), truth), 4),
        },
        {"party": "attacker", "reads": "clean features", "rank_1": attacker(clean[TEST])},
        {"party": "attacker", "reads": "z", "rank_1": attacker(sent[TEST])},
    ]
    for directions in DIRECTIONS:
        told = {"reads": "filtered z", "directions": directions}
        owners = filtered(clean["train"], sent[TEST], directions, variance)
        theirs = filtered(clean["public"], sent[TEST], directions, variance)
        rows.append({"party": "teacher", **told, "rank_1": student(owners)})
        rows.append({"party": "attacker", **told, "rank_1": attacker(theirs)})
    return rows


def filtered(known: Tensor, sent: Tensor, directions: int, variance: float) -> Tensor:
    """Return z through a filter that was measured on these clean records."""
    denoiser = Denoiser(1, known.shape[1], directions)
    denoiser.fit(known[:, None], noise_variance=variance)
    out: Tensor = denoiser(sent[:, None])
    return out.flatten(1)


if __name__ == "__main__":
    sys.exit(main())

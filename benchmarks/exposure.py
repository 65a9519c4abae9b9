"""Measure exposure budgets and write the table that ships with the package.

Reads FACES (celeba/ as victims, lfw/ as the public set). One JSON of curves per extractor goes to
benchmarks/results, and all that were measured together make src/xnn/owner/exposure_budgets.json.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from xnn.attacks.knowledge import Knowledge
from xnn.bench.cells import CellStore
from xnn.cli.parties import base_spec, load_parties
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.redteam.board import BoardSettings, num_cells, run_board
from xnn.redteam.casting import Sizes
from xnn.redteam.exposure import budgets, exposure_trials
from xnn.redteam.verdicts import attack_rows
from xnn.schemes import find_scheme

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = ROOT / "src" / "xnn" / "owner" / "exposure_budgets.json"
ATTACKS_TRIED = (
    "unpaired-moments",
    "aligned-order",
    "cross-covariance",
    "token-clusters",
    "label-constellation",
    "class-averaging",
    "known-plaintext",
    "learned-inversion",
)


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--schemes", default="paper")
    parser.add_argument("--attacks", default=",".join(ATTACKS_TRIED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--records", default="5,10,25,50,100,250,1000,4000")
    parser.add_argument("--pairs", default="1,4,16,64,256")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cells", type=Path, required=True, help="folder for finished cells")
    parser.add_argument("--collect", action="store_true", help="only write the shipped table")
    options = parser.parse_args()
    if not options.collect:
        faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
        if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
            print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
            return 0
        measure(options, faces)
    collect()
    return 0


def measure(options: argparse.Namespace, faces: Path) -> None:
    """Run the curves of one extractor."""
    loaded = load_extractor(options.extractor)
    ours, theirs = load_parties(
        load_faces(faces / "celeba"), load_faces(faces / "lfw"), loaded, options.cells
    )
    trials = exposure_trials(
        options.attacks.split(","),
        base=Knowledge(),
        records=[int(n) for n in options.records.split(",")],
        pairs=[int(n) for n in options.pairs.split(",")],
    )
    settings = BoardSettings(
        schemes=tuple(options.schemes.split(",")),
        trials=trials,
        seeds=options.seeds,
        sizes=Sizes(records=5000, probes=200, public=2000),
        workers=options.workers,
        utility=False,
    )
    base = base_spec(
        ours,
        theirs,
        options.cells,
        extractor=options.extractor,
        split_depth=None,
        scheme=settings.schemes[0],
        trial=trials[0],
    )
    total, done = num_cells(base, settings), [0]

    def tell(text: str) -> None:
        done[0] += 1
        print(f"{done[0]}/{total} {text}", file=sys.stderr)

    found = run_board(base, settings, CellStore(options.cells), on_cell=tell)
    rows = budgets(attack_rows(found, extractor=options.extractor))
    content = {
        "command": f"benchmarks/exposure.py --extractor {options.extractor} --schemes "
        f"{options.schemes} --attacks {options.attacks} --seeds {options.seeds}",
        "victim": "celeba",
        "public": "lfw",
        "seeds": options.seeds,
        "rows": [row | {"version": find_scheme(row["scheme"]).card.version} for row in rows],
    }
    write_json(RESULTS / f"exposure-{options.extractor}.json", json.loads(json.dumps(content)))


def collect() -> None:
    """Write the shipped table from the curves."""
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(RESULTS.glob("exposure-*.json")):
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            if row["scheme"] == "plain":
                continue
            entry = table.setdefault((row["scheme"], row["extractor"]), empty(row))
            measured = max(row["curve"], key=lambda point: point["value"])
            if row["counts"] == "records":
                entry["records"] = row["budget"]
                entry["records_measured_to"] = row["measured_to"]
                entry["worst"], entry["chance"] = measured["value"], measured["chance"]
            else:
                entry["known_pairs"] = row["budget"]
                entry["pairs_measured_to"] = row["measured_to"]
    write_json(TABLE, {"rows": [table[key] for key in sorted(table)]})


def empty(row: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the table with nothing measured yet."""
    return {
        "scheme": row["scheme"],
        "scheme_version": row["version"],
        "extractor": row["extractor"],
        "records": None,
        "records_measured_to": 0,
        "known_pairs": None,
        "pairs_measured_to": 0,
        "worst": None,
        "chance": None,
    }


if __name__ == "__main__":
    sys.exit(main())

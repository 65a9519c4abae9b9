"""Measure exposure budgets and write the table that ships with the package.

Reads FACES (celeba/ as victims, lfw/ as the public set). One JSON of curves per extractor goes to
benchmarks/results, and all that were measured together make src/xnn/owner/exposure_budgets.json.
The curve over known pairs, and its points at 2,000 and 4,000 records, are measured as a board of
so many records does, so that the cells of one, where `--cells` names them, serve both. Attacks may
be run in turns: `--only-finished` then makes the curves of all that are named.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from xnn.attacks.knowledge import Knowledge
from xnn.bench.cells import CellStore
from xnn.cli.parties import base_spec, load_parties
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.files import write_json
from xnn.redteam.board import BoardSettings, run_board
from xnn.redteam.casting import Sizes
from xnn.redteam.exposure import budgets, exposure_trials
from xnn.redteam.trials import Trial
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
    "class-reading",
    "gram-features",
    "distilled-linkage",
    "learned-alignment",
    "known-plaintext",
    "class-anchors",
    "learned-inversion",
)
OF_THE_BOARD = Sizes(records=2000, probes=300, public=2000)
OF_THE_CURVE = Sizes(records=5000, probes=200, public=2000)
OF_ALL = Sizes(records=4000, probes=4000, public=2000)
"""About all that the collection gives, every record asked about: leaks near guessing are told from
guessing only by many probes."""


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extractor", default="dlib")
    parser.add_argument("--schemes", default="paper")
    parser.add_argument("--attacks", default=",".join(ATTACKS_TRIED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--records", default="5,10,25,50,100,250,1000,2000,4000")
    parser.add_argument("--pairs", default="1,4,16,100,1000")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cells", type=Path, required=True, help="folder for finished cells")
    parser.add_argument("--only-finished", action="store_true", help="run no cell")
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
    ours, theirs, _ = load_parties(
        load_faces(faces / "celeba"), load_faces(faces / "lfw"), loaded, options.cells
    )
    done = [0]

    def tell(text: str) -> None:
        done[0] += 1
        print(f"{done[0]} {text}", file=sys.stderr)

    found: list[dict[str, Any]] = []
    for sizes, wanted in trials_of(options):
        settings = BoardSettings(
            schemes=tuple(options.schemes.split(",")),
            trials=wanted,
            seeds=options.seeds,
            sizes=sizes,
            workers=options.workers,
            utility=False,
            only_finished=options.only_finished,
        )
        base = base_spec(
            ours,
            theirs,
            options.cells,
            extractor=options.extractor,
            split_depth=None,
            scheme=settings.schemes[0],
            trial=wanted[0],
        )
        board = run_board(base, settings, CellStore(options.cells), on_cell=tell)
        found += [
            row if row["known_records"] else row | {"known_records": sizes.records}
            for row in attack_rows(board, extractor=options.extractor)
        ]
    command = (
        f"benchmarks/exposure.py --extractor {options.extractor} --schemes {options.schemes} "
        f"--attacks {options.attacks} --records {options.records} --pairs {options.pairs} "
        f"--seeds {options.seeds}"
    )
    rows = [
        row | {"version": find_scheme(row["scheme"]).card.version, "command": command}
        for row in budgets(found)
        if row["scheme"] in options.schemes.split(",")  # and not the controls
    ]
    path = RESULTS / f"exposure-{options.extractor}.json"
    measured = {row["scheme"] for row in rows}
    kept = [row for row in earlier(path) if row["scheme"] not in measured]
    content = {"victim": "celeba", "public": "lfw", "seeds": options.seeds, "rows": kept + rows}
    write_json(path, json.loads(json.dumps(content)))


def trials_of(options: argparse.Namespace) -> list[tuple[Sizes, tuple[Trial, ...]]]:
    """Return trials by the sizes that they are measured at."""
    counts = [int(n) for n in options.records.split(",") if n]
    trials = exposure_trials(
        options.attacks.split(","),
        base=Knowledge(),
        records=counts,
        pairs=[int(n) for n in options.pairs.split(",")],
    )
    wanted: dict[Sizes, list[Trial]] = {}
    for trial in trials:
        count = trial.knowledge.records
        if count in (None, OF_THE_BOARD.records, OF_ALL.records):
            sizes = OF_ALL if count == OF_ALL.records else OF_THE_BOARD
            trial = replace(trial, knowledge=replace(trial.knowledge, records=None))
        else:
            sizes = OF_THE_CURVE
        wanted.setdefault(sizes, []).append(trial)
    return [(sizes, tuple(some)) for sizes, some in wanted.items()]


def earlier(path: Path) -> list[dict[str, Any]]:
    """Return the rows that are there already: schemes may be measured one after the other."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []}
    return [{"command": content.get("command"), **row} for row in content["rows"]]


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

"""Write the README's result table from the JSON files of benchmarks/results.

With --check nothing is written, and it fails when the README shows something else.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
CAPTION = """CelebA crops, closed set, people never trained on; mean of 3 seeds, each with its own
split, keys and training; 95 % intervals over subjects. Chance of rank-1: 1 in 58. The paper's own
tables were not available to us; in its authors' code the gap between plain and keyed is 2.7 points,
on all of CelebA with another extractor.
"""
METRICS = ("rank_1", "eer", "tar_at_far_0.001")


def main() -> int:
    """Write or check the table."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    parts = [CAPTION, utility_table(), leak_table(), costs()]
    wanted = f"{before}{BEGIN}\n{chr(10).join(parts)}{END}{after}"
    if "--check" in sys.argv:
        if wanted != text:
            print("README.md shows other numbers than benchmarks/results; run benchmarks/table.py")
            return 1
        return 0
    readme.write_text(wanted, encoding="utf-8")
    return 0


def utility_table() -> str:
    """Return recognition by person, a line per extractor and scheme."""
    lines = [
        "| extractor | records | rank-1 by person | EER | TAR at FAR 1e-3 | rank-1 by image |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("utility-celeba-dlib", "utility-celeba-vit-s14"):
        content = load(name)
        if content is None:
            continue
        rows = {(r["scheme"], r["protocol"], r["metric"]): r for r in content["rows"]}
        for scheme in dict.fromkeys(r["scheme"] for r in content["rows"]):
            cells = [cell(rows[scheme, "by_person", metric]) for metric in METRICS]
            cells.append(cell(rows[scheme, "by_image", "rank_1"]))
            shown = "the whole recogniser" if scheme == "recogniser" else f"`{scheme}`"
            extractor = content["rows"][-1]["extractor"]
            lines.append(f"| `{extractor}` | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def leak_table() -> str:
    """Return what the attacker reaches."""
    lines = [
        "| attack | records | rank-1 | chance | TAR at FAR 1e-2 | control on `plain` works |",
        "|---|---|---|---|---|---|",
    ]
    content = load("leak-celeba-lfw-dlib")
    for scheme in ("plain", "paper") if content else ():
        rows = {r["metric"]: r for r in content["rows"] if r["scheme"] == scheme}
        rank, tar = rows["rank_1"], rows["tar_at_far_0.01"]
        lines.append(
            f"| {rank['attack']} | `{scheme}` | {cell(rank)} | {rank['chance']:.3f} | {cell(tar)} "
            f"| {'yes' if rank['control_ok'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def costs() -> str:
    """Return what the rest costs, a line for each measurement that was made."""
    pipeline = [
        f"- `{row['extractor']}`: obfuscation takes {row['obfuscation_share']:.2%} of the "
        f"extractor's time, `xnn shard build` runs at {row['build_throughput_share']:.0%} of "
        f"its throughput, the trainer waits {row['trainer_data_wait_share']:.1%} of its time "
        "for data."
        for name in ("pipeline-dlib", "pipeline-vit-s14")
        for row in (load(name) or {"rows": []})["rows"]
    ]
    types = [
        f"- int8 records, {row['bytes_per_record']:,} bytes each: rank-1 "
        f"{100 * row['difference']:+.2f} points against float32 under the same key "
        f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]."
        for row in (load("record-types") or {"rows": []})["rows"]
        if row["record_type"] == "int8"
    ]
    return "".join(f"{line}\n" for line in pipeline + types)


def cell(row: dict[str, Any]) -> str:
    """Return a value with its interval."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def load(name: str) -> dict[str, Any] | None:
    """Return a result, or None when it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())

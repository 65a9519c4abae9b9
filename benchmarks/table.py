"""Write the tables of the documents from the JSON files of benchmarks/results.

A document holds a table between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. With --check nothing
is written, and it fails when a document shows something else.
"""

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise_tables
import pairs_tables
import redteam_tables
from xnn.report.board_markdown import board_markdown, costs_table, trials_table
from xnn.report.board_summary import summarise
from xnn.report.frontier import frontier_svg, frontier_text
from xnn.report.markup import escape
from xnn.report.noise_summary import noise_markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
EXTRACTORS = ("dlib", "vit-s14")
BOARDS = {
    "board-dlib": "Behind `dlib`",
    "board-all-records-dlib": "Behind `dlib`, 4,000 records, every one asked about",
    "board-vit-s14": "Behind `vit-s14`",
}
FEWEST_POINTS = 6
"""Of a picture."""
UTILITY_CAPTION = """CelebA crops, closed set, people never trained on; mean of 3 seeds, each with
its own split, keys and training; 95 % intervals over subjects. Chance of rank-1: 1 in 58. The
paper's own tables were not available to us; in its authors' code the gap between plain and keyed
is 2.7 points, on all of CelebA with another extractor.
"""
NOISE_RESULTS = ("noise-celeba-lfw", "noise-celeba-lfw-paper", "noise-lfw-celeba")
NOISE_OPTIONS = {
    "--public-photos": "public photographs at most",
    "--max-subjects": "people at most of each set",
    "--teacher-epochs": "epochs of every teacher",
    "--game-epochs": "of the game",
    "--student-epochs": "of the student",
}
NOTHING = "nothing-uploaded"
AT_HOME = f"; `{NOTHING}` is the extractor alone, at home"
GAME_COLUMNS = {
    "seed": "seed",
    "scale": "noise, times the code",
    "attacker_weight": "weight of the attackers",
    "utility_weight": "of the utility",
    "student_of_the_game": "student of the game",
    "fresh_student": "fresh student",
    "linkage": "fresh linkage",
    "linkage_300": "from 300 queries",
    "z_against_z": "z against z",
}
METRICS = ("rank_1", "eer", "tar_at_far_0.001")


def main() -> int:
    """Write or check every table."""
    stale = [name for name, tables in DOCUMENTS.items() if not fill(ROOT / name, tables)]
    stale += [drawing(name).name for name in EXTRACTORS if not draw_frontier(name)]
    if not noise_tables.draw_curves(check="--check" in sys.argv):
        stale.append(noise_tables.PICTURE.name)
    if stale and "--check" in sys.argv:
        print(f"{', '.join(stale)}: other numbers than benchmarks/results; run benchmarks/table.py")
        return 1
    return 0


def fill(path: Path, tables: dict[str, Callable[[], str]]) -> bool:
    """Write a document's tables; tell whether it already showed them."""
    text = before = path.read_text(encoding="utf-8")
    for name, make in tables.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{make()}{end}{rest.split(end)[1]}"
    if text != before and "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    return text == before


def drawing(extractor: str) -> Path:
    """Return where the picture of an extractor's frontier is."""
    return ROOT / "docs" / f"frontier-{extractor}.svg"


def has_frontier(content: dict[str, Any] | None) -> bool:
    """Tell whether a board holds enough schemes, with recognition, for a picture."""
    return content is not None and frontier_text(content).count(";") >= FEWEST_POINTS


def draw_frontier(extractor: str) -> bool:
    """Draw recognition against leak; tell whether the picture already showed these numbers."""
    content, path = load(f"board-{extractor}"), drawing(extractor)
    if content is None or not has_frontier(content):
        return True
    # By its words, as other versions of matplotlib draw the same numbers otherwise.
    shown = path.read_text(encoding="utf-8") if path.is_file() else ""
    if f'aria-label="{escape(frontier_text(content))}"' in shown:
        return True
    if "--check" not in sys.argv:
        path.write_text(frontier_svg(content), encoding="utf-8")
    return False


def frontiers() -> str:
    """Return the pictures of recognition against leak, as links."""
    return "\n".join(
        f"![Recognition against the worst leak, behind {name}]({drawing(name).name})\n"
        for name in EXTRACTORS
        if has_frontier(load(f"board-{name}"))
    )


def readme() -> str:
    """Return what the README shows: what the key costs, what leaks, what the rest costs."""
    parts = [UTILITY_CAPTION, utility_table()]
    for extractor in EXTRACTORS:
        content = load(f"board-{extractor}")
        if content is not None:
            parts += [board_caption(content, extractor), costs_table(summarise(content))]
    return "\n".join([*parts, costs()])


def board_caption(content: dict[str, Any], extractor: str) -> str:
    """Say what a board was made of."""
    sizes = content["sizes"]
    return (
        f"The board, `{extractor}`: victims {content['victim']}, the attacker's own faces "
        f"{content['public'] or 'of the same'}; at most {sizes['records']} records under one key "
        f"and {sizes['public']} public photographs; {content['seeds']} seeds. Rank-1 of the "
        "strongest attack on this board whose positive control works"
        f"{AT_HOME if any(row['scheme'] == NOTHING for row in content['utility']) else ''}. "
        "What the board lacks is said in docs/schemes.md:\n"
    )


def boards() -> str:
    """Return every board with every trial."""
    parts = []
    for name, title in BOARDS.items():
        content = load(name)
        if content is not None:
            parts += [f"### {title}\n", board_markdown(content)]
    return "\n".join(parts)


def paper_lines() -> str:
    """Return how the paper's scheme and its switches fare, line by line."""
    parts = []
    for extractor in EXTRACTORS:
        content = load(f"board-{extractor}")
        if content is None:
            continue
        wanted = ("plain", "paper", "paper-haar", "paper-fresh-order")
        rows = [row for row in content["rows"] if row["scheme"] in wanted]
        summary = summarise({"rows": rows, "seeds": content["seeds"]})
        parts += [board_caption(content, extractor), trials_table(summary)]
    return "\n".join(parts)


def exposure() -> str:
    """Return how many records and pairs it takes."""
    lines = [
        "| scheme | extractor | counted | first count linked above twice chance | tried up to "
        "| worst of all counts | by |",
        "|---|---|---|---|---|---|---|",
    ]
    for extractor in EXTRACTORS:
        for row in (load(f"exposure-{extractor}") or {"rows": []})["rows"]:
            budget = "none" if row["budget"] is None else str(row["budget"])
            worst = max(row["curve"], key=lambda point: point["value"])
            lines.append(
                f"| `{row['scheme']}` | `{row['extractor']}` | {row['counts'].replace('_', ' ')} "
                f"| {budget} | {row['measured_to']} | {cell(worst)} | {worst['attack']} |"
            )
    return "\n".join(lines) + "\n"


def noise() -> str:
    """Return what the fronts of the inference phase cost and leak."""
    parts = []
    for name in NOISE_RESULTS:
        content = load(name)
        if content is not None:
            parts += [noise_caption(content), noise_markdown(content)]
    return "\n".join(parts)


def noise_caption(content: dict[str, Any]) -> str:
    """Say how fronts were trained and attacked, the options that shortened it among it."""
    words = content["command"].split()
    given = {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}
    shortened = [
        f"{given[option]} {what}"
        for option, what in NOISE_OPTIONS.items()
        if option in given and ("paper" in given.get("--presets", "paper") or "game" not in option)
    ]
    seeds = content["seeds"]
    many = f"{seeds} seeds, each with its own split, training and keys" if seeds > 1 else "one seed"
    return (
        f"Victims {content['victim']}, the attacker's own faces {content['public']}, {many}"
        f"{'; ' if shortened else ''}{', '.join(shortened)}. A dash: it cannot be tried there.\n"
    )


def games() -> str:
    """Return what games with and without a utility term ended with."""
    content = load("noise-games")
    if content is None:
        return ""
    head = list(GAME_COLUMNS.values())
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in content["rows"]:
        shown = [
            f"{row[key]:g}" if key in ("seed", "scale") or "weight" in key else f"{row[key]:.3f}"
            for key in GAME_COLUMNS
        ]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def obfuscation() -> str:
    """Return what each scheme costs beside the extractor, a line for each."""
    found = {name: load(f"obfuscation-{name}") for name in EXTRACTORS}
    measured = {name: content for name, content in found.items() if content is not None}
    head = ["scheme"]
    cells: dict[str, list[str]] = {}
    for name, content in measured.items():
        head += [f"bytes, `{name}`", f"ms (of the extractor's), `{name}`"]
        for row in content["rows"]:
            took = f"{row['ms_per_record']:.3f} ({row['share']:.2%})"
            shown = [f"{row['bytes']['float16']:,}", took]
            cells.setdefault(row["scheme"], [f"`{row['scheme']}`"]).extend(shown)
    caption = ". ".join(
        f"Behind `{name}` the extractor takes {content['extractor_ms_per_crop']:.1f} ms a crop"
        for name, content in measured.items()
    )
    lines = [
        f"{caption}. Bytes of a float16 record; ratios within one run, {_threads(measured)}.\n",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in cells.values()),
    ]
    return "\n".join(lines) + "\n" if measured else ""


def _threads(measured: dict[str, dict[str, Any]]) -> str:
    threads = sorted({content["threads"] for content in measured.values()})
    return ", ".join(f"{n} thread{'s' * (n > 1)}" for n in threads)


def wire() -> str:
    """Return bytes and changes of scores, a line for each preset and dtype."""
    content = load("wire")
    if content is None:
        return ""
    tolerance = next(r["dtype_tolerance"] for r in content["rows"] if "dtypes" in r)
    lines = [
        f"Messages of one face, and of {content['many']} at once, behind "
        f"`{content['extractor']}`. The change is the largest of a cosine among all pairs of 200 "
        f"real crops: up to {tolerance:g} a bundle allows the dtype, "
        "unless exported with another `--dtype-tolerance`. All that is not payload takes some 210 "
        "bytes, HTTP's own headers not counted.\n",
        "| preset | z | dtype | bytes of one | bytes of each of many | largest change | allowed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        for dtype, cost in row["messages"].items():
            change, allowed = "not measured", "-"
            if "dtypes" in row:
                met = row["dtype_changes"].get(dtype)
                change = "cannot be sent" if met is None else f"{met:.2g}"
                allowed = "yes" if dtype in row["dtypes"] else "no"
            lines.append(
                f"| `{row['preset']}` | {row['m']}x{row['e']} | `{dtype}` "
                f"| {cost['bytes_of_one']:,.0f} | {cost['bytes_of_each_of_many']:,.0f} "
                f"| {change} | {allowed} |"
            )
    return "\n".join(lines) + "\n"


def thresholds() -> str:
    """Return what thresholds of validation people do on test people."""
    content = load("wire")
    if content is None:
        return ""
    rows = [row for row in content["rows"] if row["thresholds"]]
    val, test = rows[0]["val"], rows[0]["test"]
    lines = [
        f"Thresholds chosen on {val['subjects']} validation people ({val['images']} photographs, "
        f"{val['non_mated']:,} non-mated comparisons), tried on {test['subjects']} test people "
        f"({test['images']} photographs, {test['non_mated']:,}) whom nothing had seen; records "
        f"went through messages in float32, those of `xnn` in fixed32. A threshold keeps to its "
        f"rate in 97.5 % of resamples of the validation people. One split of "
        f"{content['faces']}, behind `{content['extractor']}`.\n",
        "| preset | FAR asked for | threshold | 95 % over validation people | FAR on test people "
        "| TAR on test people |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['preset']}` | {point['far']:g} | {point['threshold']:.3f} "
        f"| {point['val_far_low']:.2g} to {point['val_far_high']:.2g} | {point['test_far']:.2g} "
        f"| {point['test_tar']:.3f} |"
        for row in rows
        for point in row["thresholds"]
    ]
    return "\n".join(lines) + "\n"


def utility_table() -> str:
    """Return recognition by person, a line per extractor and scheme."""
    lines = [
        "| extractor | records | rank-1 by person | EER | TAR at FAR 1e-3 | rank-1 by image |",
        "|---|---|---|---|---|---|",
    ]
    for extractor in EXTRACTORS:
        content = load(f"utility-celeba-{extractor}")
        if content is None:
            continue
        rows = {(r["scheme"], r["protocol"], r["metric"]): r for r in content["rows"]}
        for scheme in dict.fromkeys(r["scheme"] for r in content["rows"]):
            cells = [cell(rows[scheme, "by_person", metric]) for metric in METRICS]
            cells.append(cell(rows[scheme, "by_image", "rank_1"]))
            shown = "the whole recogniser" if scheme == "recogniser" else f"`{scheme}`"
            lines.append(f"| `{extractor}` | {shown} | {' | '.join(cells)} |")
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


DOCUMENTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results": readme, "headlines": noise_tables.headlines},
    "THREAT_MODEL.md": {"paper": paper_lines, "exposure": exposure, "noise": noise},
    "docs/schemes.md": {
        "frontier": frontiers,
        "costs": obfuscation,
        "pairs": pairs_tables.many_pairs,
        "sizes": pairs_tables.class_sizes,
        "exposure": exposure,
        "boards": boards,
    },
    "docs/concepts/inference.md": {"headlines": noise_tables.headlines},
    "docs/research/noise.md": {"games": games, **noise_tables.TABLES},
    "docs/research/redteam.md": redteam_tables.TABLES,
    "WIRE_FORMAT.md": {"wire": wire, "thresholds": thresholds},
}

if __name__ == "__main__":
    sys.exit(main())

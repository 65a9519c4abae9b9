"""Tables and the picture of docs/research/noise.md, from the JSON files of benchmarks/results."""

import json
from html import escape
from pathlib import Path
from typing import Any

from xnn.report.front_curves import PANELS, front_curves_svg, front_curves_text, points
from xnn.report.noise_summary import WHITE_BOX, front_lines

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "research" / "noise-curves.svg"
BENCHES = ("noise-celeba-lfw", "noise-lfw-celeba", "noise-celeba-lfw-paper")
INVERSIONS = ("noise-inversion",)
JUDGED = ("rebuilt-", "original-")


def curves() -> str:
    """Return the curves, number by number."""
    content = load("noise-curves")
    if content is None:
        return ""
    head = "| front | point | student | strongest attacker | linkage | from 300 | z against z |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for panel in PANELS:
        control = [row for row in content["rows"] if row["curve"] == panel.control]
        lines += [_point(f"{panel.title}: no noise", "", row) for row in control]
        for series in panel.series:
            unit = " dB" if series.along == "snr_db" else " steps"
            name = f"{panel.title}: {series.name.removesuffix(', dB')}"
            lines += [
                _point(name, f"{row[series.along]:g}{unit}", row) for row in points(content, series)
            ]
    return "\n".join(lines) + "\n"


def _point(front: str, point: str, row: dict[str, Any]) -> str:
    names = ("fresh_student", "strongest", "linkage", "linkage_300", "z_against_z")
    rates = " | ".join(f"{row[name]:.3f}" for name in names)
    return f"| {front} | {point} | {rates} |"


def draw_curves(*, check: bool) -> bool:
    """Draw the curves; tell whether the picture already showed these numbers."""
    content, bench = load("noise-curves"), load("noise-celeba-lfw")
    if content is None:
        return True
    shown = PICTURE.read_text(encoding="utf-8") if PICTURE.is_file() else ""
    # By its words, as other versions of matplotlib draw the same numbers otherwise.
    if f'aria-label="{escape(front_curves_text(content, bench))}"' in shown:
        return True
    if not check:
        PICTURE.write_text(front_curves_svg(content, bench), encoding="utf-8")
    return False


def attributes() -> str:
    """Return how well attributes are read, beside the control on clean features."""
    lines = ["| victims, public | front | light and colour | looks 1 to 6 |", "|---|---|---|---|"]
    for name in BENCHES:
        content = load(name)
        rows = [] if content is None else content["rows"]
        for row in rows:
            if row["party"] == "attribute-heads" and row["metric"] == "rank_1":
                told = row["attributes"]
                looks = [told[key] for key in told if key.startswith("look_")]
                light = [told[key] for key in told if not key.startswith("look_")]
                who = f"{content['victim']}, {content['public']}" if content else ""
                who = f"{who} ({_seeds(row)})"
                lines.append(f"| {who} | `{row['preset']}` | {_span(light)} | {_span(looks)} |")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _span(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def inversion() -> str:
    """Return what decoded faces look like, to a measure and to judges."""
    lines = [
        "| extractor, seeds | front | SSIM | PSNR, dB | judge | rank-1 of decoded faces "
        "| of the photographs | guessing | linked by decoded features |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in INVERSIONS:
        content = load(name)
        rows = [] if content is None else content["rows"]
        own = [row for row in rows if row["party"] == "z-inversion"]
        for preset in dict.fromkeys(row["preset"] for row in own):
            found = {(r["protocol"], r["metric"]): r for r in own if r["preset"] == preset}
            lines += _judged(preset, found)
    return "\n".join(lines) + "\n"


def _judged(preset: str, found: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    ssim, psnr = found["picture", "ssim"], found["picture", "psnr"]
    seen = (
        f"{ssim['value']:.3f} ({ssim['chance']:.3f}) | {psnr['value']:.1f} ({psnr['chance']:.1f})"
    )
    judges = [
        p.removeprefix("rebuilt-") for p, m in found if p.startswith("rebuilt-") and m == "eer"
    ]
    linked = found.get(("linkage", "rank_1"))
    lines = []
    for judge in judges:
        rebuilt, original = (found[f"{kind}{judge}", "rank_1"] for kind in JUDGED)
        lines.append(
            f"| `{ssim['extractor']}`, {ssim['seeds']} | `{preset}` | {seen} | {judge} "
            f"| {cell(rebuilt)} | {original['value']:.3f} | {rebuilt['chance']:.3f} "
            f"| {'-' if linked is None else cell(linked)} |"
        )
    return lines


def cost() -> str:
    """Return what the fronts cost beside E alone."""
    content = load("front-cost")
    if content is None:
        return ""
    lines = ["| extractor | front | ONNX | torch |", "|---|---|---|---|"]
    rows = {(r["extractor"], r["front"], r["way"]): r for r in content["rows"]}
    for extractor, front in dict.fromkeys((r["extractor"], r["front"]) for r in content["rows"]):
        ways = [rows[extractor, front, way] for way in ("onnx", "torch")]
        told = [
            f"{r['ratio']:.2f} [{r['low']:.2f}, {r['high']:.2f}] of {r['alone_ms']:.1f} ms"
            for r in ways
        ]
        lines.append(f"| `{extractor}` | `{front}` | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def headlines() -> str:
    """Return student and strongest attacker of each front, a line each."""
    lines = [
        "| victims, public | front | student | of the teacher's | strongest attacker | which "
        "| most kept of clean |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in BENCHES:
        content = load(name)
        for line in () if content is None else front_lines(content):
            student, teacher, worst = line.student, line.teacher, line.strongest
            if content is None or student is None or teacher is None or worst is None:
                continue
            who = f"{content['victim']}, {content['public']} ({_seeds(student)})"
            others = [row for party, row in line.attackers.items() if party != WHITE_BOX]
            kept = max(row["share_of_control"] or 0.0 for row in others)
            lines.append(
                f"| {who} | `{line.preset}` | {cell(student)} "
                f"| {student['value'] / teacher['value']:.0%} | {cell(worst)} "
                f"| `{worst['party']}` | {kept:.0%} |"
            )
    return "\n".join(lines) + "\n"


def _seeds(row: dict[str, Any]) -> str:
    return f"{row['seeds']} {'seed' if row['seeds'] == 1 else 'seeds'}"


def vit() -> str:
    """Return what fronts behind a transformer reach."""
    content = load("noise-vit-s14")
    if content is None:
        return ""
    rows = [
        r
        for r in content["rows"]
        if r["metric"] == "rank_1" and r["protocol"] in ("by_person", "linkage")
    ]
    presets = list(dict.fromkeys(r["preset"] for r in rows))
    lines = [
        f"| rank-1 | {' | '.join(f'`{name}`' for name in presets)} |",
        f"|---|{'---|' * len(presets)}",
    ]
    for party in dict.fromkeys(r["party"] for r in rows):
        found = {r["preset"]: r for r in rows if r["party"] == party}
        cells = [cell(found[name]) if name in found else "-" for name in presets]
        lines.append(f"| `{party}` | {' | '.join(cells)} |")
    guessing = " | ".join(f"{rows[0]['chance']:.3f}" for _ in presets)
    return "\n".join([*lines, f"| guessing | {guessing} |"]) + "\n"


def cell(row: dict[str, Any]) -> str:
    """Return a value with its interval."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def load(name: str) -> dict[str, Any] | None:
    """Return a result, or None when it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


TABLES = {
    "curves": curves,
    "attributes": attributes,
    "inversion": inversion,
    "cost": cost,
    "vit": vit,
}

"""Tables of docs/research/redteam.md, from the JSON files of benchmarks/results."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
REBUILT = {
    "board-rebuilt-vit-s14": ("`vit-s14`", "K2"),
    "board-rebuilt-vit-s14-k3": ("`vit-s14`", "K3"),
    "board-rebuilt-dlib": ("`dlib`", "K2"),
}
CURVES = ("vit-s14", "dlib")


def rebuilt() -> str:
    """Return what judges say of rebuilt faces: the key recovered beside no key at all."""
    lines = [
        "| extractor | faces of the attacker | judge | originals | rebuilt from `plain` "
        "| rebuilt from `paper`, key recovered | share | SSIM, `paper` | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, where in REBUILT.items():
        for row in _rows(name):
            judge = row["protocol"].removeprefix("rebuilt-")
            if row["scheme"] != "paper" or judge == row["protocol"] or row["metric"] != "rank_1":
                continue
            plain = _of(name, "plain", row["protocol"])
            share = f"{row['value'] / plain['value']:.2f}" if plain["value"] else "-"
            cells = [_cell(_of(name, "paper", f"original-{judge}")), _cell(plain), _cell(row)]
            ssim = _of(name, "paper", "picture", "ssim")["value"]
            cells = [*where, f"`{judge}`", *cells, share, f"{ssim:.2f}", str(row["seeds"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def curve() -> str:
    """Return unpaired recovery by the number of records."""
    lines = [
        "| extractor | records | public | keys | order right | centred cosine "
        "| retrieval (worst key) | guessing | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for extractor in CURVES:
        lines += [_point(extractor, row) for row in _rows(f"unpaired-curve-{extractor}")]
    return "\n".join(lines) + "\n"


def _point(extractor: str, row: dict[str, Any]) -> str:
    retrieval = row["retrieval"]
    cells = [
        f"`{extractor}`",
        str(row["records"]),
        row["public"],
        str(row["keys"]),
        f"{row['permutation']['mean']:.2f}",
        f"{row['centred_cosine']['mean']:.3f}",
        f"{retrieval['mean']:.3f} ({retrieval['worst_key']:.3f})",
        f"{row['chance']:.3f}",
        f"{row['seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _rows(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = content.get("cells") or content["rows"]
    return rows


def _of(name: str, scheme: str, protocol: str, metric: str = "rank_1") -> dict[str, Any]:
    """Return one row of a board."""
    return next(
        row
        for row in _rows(name)
        if (row["scheme"], row["protocol"], row["metric"]) == (scheme, protocol, metric)
    )


def _cell(row: dict[str, Any]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


TABLES = {"rebuilt": rebuilt, "curve": curve}

"""Tables of docs/schemes.md about known pairs: many of them, and few photographs in a class."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
EXTRACTORS = ("dlib", "vit-s14")


def many_pairs() -> str:
    """Return what many pairs of half the people tell of the other half."""
    parts = []
    for name, content in _found("many-pairs"):
        parts.append(
            f"Behind `{name}`: {content['pairs']:,} pairs of {content['sizes']['records']:,} "
            f"records, {content['seeds']} seeds.\n\n"
            "| scheme | attack | people of no pair | all people | guessing |\n|---|---|---|---|---|"
        )
        rows = {(r["scheme"], r["attack"], r["protocol"]): r for r in content["rows"]}
        for scheme, attack in dict.fromkeys((r["scheme"], r["attack"]) for r in content["rows"]):
            shown = [_cell(rows[scheme, attack, p]) for p in ("linkage-others", "linkage")]
            chance = rows[scheme, attack, "linkage"]["chance"]
            parts.append(f"| `{scheme}` | {attack} | {' | '.join(shown)} | {chance:.3f} |")
        parts.append("")
    return "\n".join(parts)


def class_sizes() -> str:
    """Return recognition and linkage by the photographs that a class may have."""
    parts = []
    for name, content in _found("class-sizes"):
        parts.append(
            f"Behind `{name}`: about {content['sizes']['records']:,} records, {content['pairs']} "
            f"known pairs, `class-anchors`, {content['seeds']} seeds.\n\n"
            "| noise | photographs a class | rank-1 by person | everybody | people of no pair "
            "| merges right, by records | by the tail |\n|---|---|---|---|---|---|---|"
        )
        rows = {(r["scheme"], r["protocol"]): r for r in content["rows"]}
        for scheme in dict.fromkeys(r["scheme"] for r in content["rows"]):
            facts = rows[scheme, "by_person"]
            most = facts["photographs_per_class"]
            shown = [
                f"{facts['noise']:g}",
                "all" if most is None else str(most),
                *(_cell(rows[scheme, p]) for p in ("by_person", "linkage", "linkage-others")),
                *(
                    "-" if (scheme, p) not in rows else f"{rows[scheme, p]['value']:.3f}"
                    for p in ("merged by records", "merged by tail")
                ),
            ]
            parts.append(f"| {' | '.join(shown)} |")
        parts.append("")
    return "\n".join(parts)


def _found(name: str) -> list[tuple[str, dict[str, Any]]]:
    paths = {e: RESULTS / f"{name}-{e}.json" for e in EXTRACTORS}
    return [(e, json.loads(path.read_text())) for e, path in paths.items() if path.exists()]


def _cell(row: dict[str, Any]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"

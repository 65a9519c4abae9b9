"""A board as Markdown: one table of what each scheme costs and leaks, one of all trials."""

from typing import Any

from xnn.report.board_summary import BoardCell, BoardSummary, SchemeLine, summarise

_SIGNS = {
    "broken": "**{}**",
    "not broken by this suite": "{}",
    "not working": "({}: attack not working)",
}


def board_markdown(content: dict[str, Any]) -> str:
    """Return the Markdown of a board's JSON, as `xnn board` writes it."""
    summary = summarise(content)
    parts = [_caption(content), costs_table(summary), trials_table(summary)]
    return "\n".join(parts)


def costs_table(summary: BoardSummary, *, pairs: int = 16) -> str:
    """Return a line per scheme: recognition, and the worst linkage without and with known pairs.

    Args:
        summary: Of a board.
        pairs: Number of known pairs of the last column.
    """
    lines = [
        "| scheme | rank-1 by person | worst linkage, no pair | by "
        f"| worst with {pairs} pairs, people of no pair | by | guessing |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in summary.lines:
        shown = [_utility(line)]
        chance = "-"
        for known in (0, pairs):
            worst = line.worst_with(known_pairs=known)
            if worst is None:
                shown += ["-", "-"]
            else:
                whom = " (of all people)" if worst.known_pairs and worst.others is None else ""
                shown += [_rate(worst) + whom, worst.trial.split(",")[0]]
                chance = _chance(worst)
        lines.append(f"| `{line.scheme}` | {' | '.join(shown)} | {chance} |")
    return "\n".join(lines) + "\n"


def trials_table(summary: BoardSummary) -> str:
    """Return a line per trial and a column per scheme; bold is broken."""
    schemes = [line.scheme for line in summary.attacked]
    lines = [
        f"| attack | {' | '.join(f'`{scheme}`' for scheme in schemes)} |",
        f"|---|{'---|' * len(schemes)}",
    ]
    for trial in summary.trials:
        cells = [_shown(line.cells.get(trial)) for line in summary.attacked]
        lines.append(f"| {trial} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _caption(content: dict[str, Any]) -> str:
    first = content["rows"][0] if content["rows"] else {}
    sizes = content.get("sizes", {})
    return (
        f"Victims {content.get('victim')}, public faces {content.get('public') or 'of the same'}, "
        f"extractor {first.get('extractor')}; at most {sizes.get('records')} records, "
        f"{sizes.get('public')} public photographs, {content.get('seeds')} seeds, each with its "
        "own people and keys; 95 % intervals over subjects. Bold: broken. A number without bold "
        "was not broken by this suite, which is all that it says.\n"
    )


def _utility(line: SchemeLine) -> str:
    row = line.utility
    return "-" if row is None else f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _shown(cell: BoardCell | None) -> str:
    if cell is None:
        return ""
    if cell.value is None:
        return "n/a" if cell.verdict == "not applicable" else cell.verdict
    shown = _SIGNS.get(cell.verdict, "{}").format(_rate(cell))
    return shown if cell.others is None else f"{shown}; no pair: {_rate(cell.of_others())}"


def _rate(cell: BoardCell) -> str:
    fewer = "" if cell.seeds is None else f" ({cell.seeds} seed{'s' * (cell.seeds > 1)})"
    return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]{fewer}"


def _chance(cell: BoardCell) -> str:
    return f"{cell.chance:.3f}"

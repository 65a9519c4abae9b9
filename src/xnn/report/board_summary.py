"""A board's rows as a grid: a line per scheme, a column per trial, recognition beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from xnn.attacks.base import HEADLINES
from xnn.attacks.suite import find_attack

UTILITY_METRIC = ("by_person", "rank_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCell:
    """One scheme under one trial."""

    scheme: str
    trial: str
    protocol: str
    verdict: str
    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    control: float | None
    known_pairs: int
    chosen_inputs: int
    reason: str
    """Why there is no value."""
    seeds: int | None = None
    """Where fewer than the board's were run."""
    others: tuple[float, float, float] | None = None
    """Value, low, high among people that no known pair shows, where that was measured."""

    def of_others(self) -> "BoardCell":
        """Return the cell with what was measured of people that no known pair shows."""
        if self.others is None:
            return self
        value, low, high = self.others
        return replace(self, value=value, low=low, high=high)

    @property
    def excess(self) -> float:
        """How far the value is from chance towards 1, in [0, 1]; 0 where nothing was measured."""
        if self.value is None or self.chance is None or self.verdict == "not working":
            return 0.0
        return max(0.0, min(1.0, (self.value - self.chance) / (1 - self.chance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeLine:
    """One scheme: what it costs, and its worst leak over all linkage trials."""

    scheme: str
    utility: dict[str, Any] | None
    """Row of rank-1 by person, or None where it was not measured."""
    cells: dict[str, BoardCell]
    """By trial."""

    @property
    def worst(self) -> BoardCell | None:
        """The linkage trial that reached most; one whose control failed does not count."""
        return _worst(list(self.cells.values()))

    def worst_with(self, *, known_pairs: int) -> BoardCell | None:
        """Return the worst linkage trial of who knows so many pairs and asks no queries.

        Who has pairs need not use them all: trials with fewer, or none, count too. With pairs, what
        counts is how people of no pair are linked, where that was measured.
        """
        granted = [
            cell.of_others()
            for cell in self.cells.values()
            if cell.known_pairs <= known_pairs and not cell.chosen_inputs
        ]
        return _worst(granted)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSummary:
    """What a page or a table shows of a board."""

    trials: tuple[str, ...]
    lines: tuple[SchemeLine, ...]

    @property
    def attacked(self) -> tuple[SchemeLine, ...]:
        """The lines that were attacked at all: recognition without an upload is not."""
        return tuple(line for line in self.lines if line.cells)


def summarise(content: dict[str, Any]) -> BoardSummary:
    """Return the grid of a board's JSON, as `xnn board` writes it."""
    cells: dict[tuple[str, str], BoardCell] = {}
    others = {
        (row["scheme"], row["trial"]): (row["value"], row["low"], row["high"])
        for row in content["rows"]
        if (row["protocol"], row["metric"]) == ("linkage-others", "rank_1")
    }
    for row in content["rows"]:
        key = row["scheme"], row["trial"]
        protocol = find_attack(row["attack"]).card.goal
        if (row["protocol"], row["metric"]) == (protocol, HEADLINES[protocol]):
            run = row.get("seeds")
            seeds = run if run is not None and run < content.get("seeds", run) else None
            cells[key] = replace(_cell(row), seeds=seeds, others=others.get(key))
    trials = tuple(dict.fromkeys(row["trial"] for row in content["rows"]))
    utility = {
        row["scheme"]: row
        for row in content.get("utility", [])
        if (row["protocol"], row["metric"]) == UTILITY_METRIC
    }
    schemes = dict.fromkeys([*utility, *(row["scheme"] for row in content["rows"])])
    lines = []
    for scheme in schemes:
        found = {t: cells[scheme, t] for t in trials if (scheme, t) in cells}
        lines.append(SchemeLine(scheme=scheme, utility=utility.get(scheme), cells=found))
    return BoardSummary(trials=trials, lines=tuple(lines))


def _cell(row: dict[str, Any]) -> BoardCell:
    return BoardCell(
        scheme=row["scheme"],
        trial=row["trial"],
        protocol=row["protocol"],
        verdict=row["verdict"],
        value=row["value"],
        low=row.get("low"),
        high=row.get("high"),
        chance=row.get("chance"),
        control=row.get("control"),
        known_pairs=row["known_known_pairs"],
        chosen_inputs=row["known_chosen_inputs"],
        reason=row.get("reason", ""),
    )


def _worst(cells: Sequence[BoardCell]) -> BoardCell | None:
    linked = [
        cell
        for cell in cells
        if cell.protocol == "linkage" and cell.value is not None and cell.verdict != "not working"
    ]
    return max(linked, key=lambda cell: cell.value or 0.0, default=None)

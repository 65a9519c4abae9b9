"""Rows of `xnn bench noise` as one line per front: who recognises how well."""

from dataclasses import dataclass
from typing import Any

STUDENT, TEACHER = "student", "teacher"
WHITE_BOX = "white-box-student"
"""It holds the server: reported beside the others, never counted among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLine:
    """One front."""

    preset: str
    teacher: dict[str, Any] | None
    student: dict[str, Any] | None
    attackers: dict[str, dict[str, Any]]
    """Rank-1 row by attack; those whose control fails are left out."""

    @property
    def strongest(self) -> dict[str, Any] | None:
        """The attacker that reached most without holding the server."""
        rows = [row for name, row in self.attackers.items() if name != WHITE_BOX]
        return max(rows, key=lambda row: row["value"], default=None)


def front_lines(content: dict[str, Any]) -> tuple[FrontLine, ...]:
    """Return a line per preset of the JSON that `xnn bench noise` writes."""
    rows = [row for row in content["rows"] if row["metric"] == "rank_1"]
    lines = []
    for preset in dict.fromkeys(row["preset"] for row in rows):
        own = [row for row in rows if row["preset"] == preset]
        by_person = {r["party"]: r for r in own if r["protocol"] == "by_person"}
        attackers = {
            r["party"]: r for r in own if r["protocol"] == "linkage" and r.get("control_ok")
        }
        lines.append(
            FrontLine(
                preset=preset,
                teacher=by_person.get(TEACHER),
                student=by_person.get(STUDENT),
                attackers=attackers,
            )
        )
    return tuple(lines)


def noise_markdown(content: dict[str, Any]) -> str:
    """Return one table: a line per party, a column per preset, and what guessing reaches."""
    lines = front_lines(content)
    names = list(dict.fromkeys(name for line in lines for name in line.attackers))
    table = [
        f"| rank-1 | {' | '.join(f'`{line.preset}`' for line in lines)} |",
        f"|---|{'---|' * len(lines)}",
        f"| teacher, on clean features | {' | '.join(_cell(line.teacher) for line in lines)} |",
        f"| student, on what is sent | {' | '.join(_cell(line.student) for line in lines)} |",
    ]
    for name in names:
        cells = [_cell(line.attackers.get(name), share=True) for line in lines]
        who = "holder of the server" if name == WHITE_BOX else "attacker"
        table.append(f"| {who} `{name}` | {' | '.join(cells)} |")
    chances = [line.student["chance"] for line in lines if line.student is not None]
    if chances:
        table.append(f"| guessing | {' | '.join(f'{chances[0]:.3f}' for _ in lines)} |")
    return "\n".join(table) + "\n"


def _cell(row: dict[str, Any] | None, *, share: bool = False) -> str:
    if row is None:
        return "-"
    text = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    part = row.get("share_of_control")
    return f"{text}, {part:.0%} of clean" if share and part is not None else text

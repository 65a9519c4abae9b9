"""Recognition against attack: one point per front, the level of guessing drawn."""

from collections.abc import Sequence
from typing import Any

from xnn.report.figures import annotate
from xnn.report.markup import Html
from xnn.report.noise_summary import FrontLine
from xnn.report.svg import INK, MUTED, SERIES, draw

_RIGHT_HALF = 0.7


def trade_figure(lines: Sequence[FrontLine]) -> Html:
    """Draw the student's rank-1 against the strongest attacker's, with intervals.

    Fronts without a student or without an attack that works are left out.
    """
    drawn = [(line.preset, line.student, line.strongest) for line in lines]

    def plot(axes: Any) -> None:
        for i, (preset, student, worst) in enumerate(drawn):
            if student is None or worst is None:
                continue
            colour, x, y = SERIES[i % len(SERIES)], student["value"], worst["value"]
            axes.plot([student["low"], student["high"]], [y, y], color=colour, linewidth=1.2)
            axes.plot([x, x], [worst["low"], worst["high"]], color=colour, linewidth=1.2)
            axes.plot([x], [y], "o", color=colour)
            # Inwards from the right edge, where a good student's point lies.
            right = x > _RIGHT_HALF
            axes.annotate(
                preset,
                (x, y),
                xytext=(-6 if right else 6, -6 if right else 5),
                textcoords="offset points",
                color=INK,
                ha="right" if right else "left",
                va="top" if right else "bottom",
            )
        chances = {round(worst["chance"], 6) for _, _, worst in drawn if worst is not None}
        for chance in chances:
            axes.axhline(chance, color=MUTED, linestyle=":", linewidth=1.2)
            axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1.2)
            annotate(axes, 1.02, chance, "guessing")
        axes.set(xlabel="Student, rank-1 by person", ylabel="Strongest attacker, rank-1")
        axes.set(xlim=(0, 1.03), ylim=(0, 1.05))

    told = "; ".join(
        f"{preset}: student {student['value']:.3f}, attacker {worst['value']:.3f}"
        for preset, student, worst in drawn
        if student is not None and worst is not None
    )
    return draw(plot, name="front-trade", alt=f"Student against strongest attacker: {told}")

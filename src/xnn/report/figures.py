"""The figures of a report. Schemes keep their colour and their line style throughout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xnn.report.markup import Html
from xnn.report.results import CurveWithBand, TrainingCurve
from xnn.report.svg import INK, MUTED, SERIES, draw

_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.")
SMALL_MARK = {"marker": "o", "markersize": 3.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a chart: a rate with its interval and what guessing reaches."""

    group: str
    scheme: str
    value: float
    low: float
    high: float
    chance: float


def cmc_figure(curves: Sequence[CurveWithBand], *, gallery_size: int) -> Html:
    """Draw the share of probes found among the first k, with bands and the level of guessing."""

    def plot(axes: Any) -> None:
        _bands(axes, curves)
        ranks = curves[0].x
        axes.plot(ranks, ranks / gallery_size, color=MUTED, linewidth=1.2, linestyle=":")
        annotate(axes, float(ranks[-1]), float(ranks[-1]) / gallery_size, "guessing")
        axes.set(xlabel="Rank", ylabel="Share of searches found", ylim=(0, 1.02))
        axes.set_xlim(ranks[0] - 0.02 * len(ranks), ranks[-1])
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend_above(axes)

    ends = _spoken((c.scheme, f"{c.value[0]:.3f} at rank {c.x[0]:.0f}") for c in curves)
    return draw(plot, name="cmc", alt=f"Cumulative match characteristic: {ends}")


def roc_figure(curves: Sequence[CurveWithBand]) -> Html:
    """Draw the true accept rate over the false accept rate (logarithmic), with bands."""

    def plot(axes: Any) -> None:
        _bands(axes, curves)
        far = np.geomspace(min(float(c.x[0]) for c in curves), 1.0, 60)
        axes.plot(far, far, color=MUTED, linewidth=1.2, linestyle=":")
        annotate(axes, 0.12, 0.12, "guessing")
        axes.set(xlabel="False accept rate", ylabel="True accept rate", ylim=(0, 1.02))
        axes.set_xscale("log")
        axes.set_xlim(far[0], 1.0)
        legend_above(axes)

    ends = _spoken((c.scheme, f"{c.value[0]:.3f} at {c.x[0]:g}") for c in curves)
    return draw(plot, name="roc", alt=f"True accept rate over false accept rate: {ends}")


def loss_figure(curves: Sequence[TrainingCurve]) -> Html:
    """Draw the training loss, with the loss of a tail that knows nothing."""

    def plot(axes: Any) -> None:
        for i, curve in enumerate(curves):
            axes.plot(curve.steps, curve.train_loss, label=curve.scheme, **curve_look(i))
        chance = curves[0].chance_loss
        axes.axhline(chance, color=MUTED, linewidth=1.2, linestyle=":")
        annotate(axes, max(float(c.steps[-1]) for c in curves), chance, "guessing")
        axes.set(xlabel="Step", ylabel="Training loss")
        axes.set_ylim(0, 1.12 * max(chance, *(float(c.train_loss.max()) for c in curves)))
        legend_above(axes)

    ends = _spoken((c.scheme, f"ends at {c.train_loss[-1]:.2f}") for c in curves)
    chance = curves[0].chance_loss
    return draw(plot, name="loss", alt=f"Training loss: {ends}; guessing is {chance:.2f}")


def validation_figure(curves: Sequence[TrainingCurve]) -> Html:
    """Draw rank-1 on the validation people, who are in neither training nor test."""

    def plot(axes: Any) -> None:
        for i, curve in enumerate(curves):
            look = {**curve_look(i), **SMALL_MARK}
            axes.plot(curve.validation_steps, curve.validation_rank_1, label=curve.scheme, **look)
        axes.set(xlabel="Step", ylabel="Rank-1, validation people", ylim=(0, 1.02))
        legend_above(axes)

    ends = _spoken((c.scheme, f"best {c.validation_rank_1.max():.3f}") for c in curves)
    return draw(plot, name="validation", alt=f"Validation rank-1 over training: {ends}")


def leak_figure(bars: Sequence[Bar], *, ylabel: str) -> Html:
    """Draw utility beside leak: a bar for each scheme, its interval, and the level of guessing."""
    groups = list(dict.fromkeys(bar.group for bar in bars))
    schemes = list(dict.fromkeys(bar.scheme for bar in bars))
    width = 0.72 / len(schemes)

    def plot(axes: Any) -> None:
        for bar in bars:
            i = schemes.index(bar.scheme)
            x = groups.index(bar.group) + (i - (len(schemes) - 1) / 2) * width
            first = bar.group == next(b.group for b in bars if b.scheme == bar.scheme)
            label = bar.scheme if first else None
            axes.bar(x, bar.value, 0.9 * width, color=SERIES[i % 4], alpha=0.85, label=label)
            axes.plot([x, x], [bar.low, bar.high], color=INK, linewidth=1.4)
            ends = [x - 0.45 * width, x + 0.45 * width]
            axes.plot(ends, [bar.chance, bar.chance], color=INK, linewidth=1.4, linestyle=":")
            axes.text(x, bar.high + 0.02, f"{bar.value:.3f}", ha="center", va="bottom")
        axes.set_xticks(range(len(groups)), groups)
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set(ylabel=ylabel, ylim=(0, 1.12), xlim=(-0.5, len(groups) - 0.5))
        axes.plot([], [], color=INK, linewidth=1.4, linestyle=":", label="guessing")
        legend_above(axes)

    told = _spoken((f"{' '.join(b.group.split())}, {b.scheme}", f"{b.value:.3f}") for b in bars)
    return draw(plot, name="leak", alt=f"Utility and leak: {told}")


def _bands(axes: Any, curves: Sequence[CurveWithBand]) -> None:
    for i, curve in enumerate(curves):
        axes.fill_between(
            curve.x, curve.low, curve.high, color=SERIES[i % 4], alpha=0.18, linewidth=0
        )
        axes.plot(curve.x, curve.value, label=curve.scheme, **curve_look(i))


def curve_look(i: int) -> Mapping[str, Any]:
    """Return colour and line style of the i-th curve of a figure."""
    return {"color": SERIES[i % len(SERIES)], "linestyle": _STYLES[i % len(_STYLES)]}


def legend_above(axes: Any) -> None:
    """Put the legend over the axes."""
    # Above the axes, where no curve can run into it.
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2, borderpad=0.0
    )


def annotate(axes: Any, x: float, y: float, words: str) -> None:
    """Write a few words at a point."""
    axes.annotate(
        words, (x, y), xytext=(-2, 4), textcoords="offset points", ha="right", color=MUTED
    )


def _spoken(parts: Any) -> str:
    return "; ".join(f"{what} {number}" for what, number in parts)

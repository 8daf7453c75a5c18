"""The picture of a comparison: a row a setting, its learning curves and its final scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marl.compare.comparison import LEVEL, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which everybody can tell apart; line styles tell them apart in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_STYLES = ("-", "--", "-.", ":")
_INK, _FAINT = "#222222", "#d9d9d9"


def save(path: Path, panels: Sequence[Panel], axis: str) -> None:
    """Draws a comparison as a PNG, the same bytes for the same panels.

    Args:
        path: of the file; its folder is made.
        panels: from top to bottom.
        axis: what the curves are drawn over.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    methods = max(len(panel.lines) for panel in panels)
    height = max(2.9, 1.3 + 0.42 * methods)
    figure, axes = plt.subplots(
        len(panels),
        2,
        figsize=(10.5, 0.7 + height * len(panels)),
        width_ratios=(3, 2),
        squeeze=False,
        layout="constrained",
    )
    for (left, right), panel in zip(axes, panels, strict=True):
        _draw_curves(left, panel, axis)
        _draw_scores(right, panel, axis)
    seeds = sorted({line.seeds for panel in panels for line in panel.lines})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    known = any(np.isfinite(line.final.low[0]) for panel in panels for line in panel.lines)
    spread = f", {LEVEL:.0%} bootstrap intervals" if known else "; one seed has no interval"
    figure.suptitle(
        f"Interquartile means over {count} seed{'s' if seeds[-1] > 1 else ''}{spread}",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _draw_curves(panel: Axes, found: Panel, axis: str) -> None:
    for i, line in enumerate(found.lines):
        colour, style = _COLOURS[i % len(_COLOURS)], _STYLES[i // len(_COLOURS) % len(_STYLES)]
        marker = "o" if len(line.x) < 30 else None
        panel.plot(
            line.x, line.curve.iqm, color=colour, linestyle=style, linewidth=1.6, marker=marker,
            markersize=3.5, label=f"{line.method} ({line.seeds})",
        )  # fmt: skip
        if np.isfinite(line.curve.low).any():
            panel.fill_between(
                line.x, line.curve.low, line.curve.high, color=colour, alpha=0.18, linewidth=0
            )
    if found.at is not None:
        panel.axvline(found.at, color=_INK, linewidth=0.8, linestyle=(0, (2, 3)))
    panel.set_title(found.setting, fontsize=10, loc="left", fontweight="bold")
    panel.set_xlabel(_words(axis), fontsize=9)
    panel.set_ylabel(found.measure, fontsize=9)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    panel.legend(fontsize=8, frameon=False, loc="best", title="method (seeds)", title_fontsize=8)
    _tidy(panel)
    panel.grid(True, color=_FAINT, linewidth=0.7)


def _draw_scores(panel: Axes, found: Panel, axis: str) -> None:
    for i, line in enumerate(found.lines):
        colour, final = _COLOURS[i % len(_COLOURS)], line.final
        if np.isfinite(final.low[0]):
            panel.barh(
                i, final.high[0] - final.low[0], left=final.low[0], height=0.5, color=colour,
                alpha=0.3,
            )  # fmt: skip
        seeds = list(line.scores.values())
        panel.plot(seeds, np.full(len(seeds), i + 0.36), "o", color=colour, markersize=2.5)
        panel.plot([final.iqm[0]] * 2, [i - 0.25, i + 0.25], color=colour, linewidth=2.4)
        panel.annotate(
            f"{final.iqm[0]:.3g}",
            (final.iqm[0], i - 0.25),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=_INK,
        )
    panel.set_yticks(range(len(found.lines)), [line.method for line in found.lines], fontsize=9)
    panel.set_ylim(len(found.lines) - 0.4, -0.6)
    where = "where each ends" if found.at is None else f"at {found.at:,.10g} {_words(axis)}"
    panel.set_title(where, fontsize=10, loc="left")
    panel.set_xlabel(f"{found.measure} (dots: seeds)", fontsize=9)
    panel.margins(x=0.12)
    _tidy(panel)
    panel.xaxis.grid(True, color=_FAINT, linewidth=0.7)


def _words(axis: str) -> str:
    return axis.replace("env-steps", "moves in all games")


def _tidy(panel: Axes) -> None:
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)

"""The learning curve of a run as a picture, drawn from what the run has written of itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.settings import Setting
from marl.acting.evaluate import whole_ticks
from marl.runs.monitor import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_FILE = "learning-curve.png"

_FAINT = "#d9d9d9"
# To be told apart by everybody, in grey too; more settings begin with them anew.
_COLOURS = ("#2a6f97", "#f4a259", "#5b8e7d", "#bc4b51", "#8d6a9f", "#3d405b")


def save_curve(run_dir: Path, settings: Sequence[Setting]) -> None:
    """Draws the scores of a run's evaluations over the time that it has been trained for.

    Args:
        run_dir: the run; the picture is ``CURVE_FILE`` in it.
        settings: what it learns. Those of one game share a panel.

    Raises:
        OSError: if there is no room for the picture.
    """
    from matplotlib.figure import Figure

    entries = [entry for entry in read_metrics(run_dir) if _scored(entry)]
    ordered = sorted(settings, key=lambda setting: setting.game)
    games = [list(same) for _, same in groupby(ordered, key=lambda setting: setting.game)]
    figure = Figure(figsize=(8, 0.9 + 3.4 * len(games)), layout="constrained")
    panels = figure.subplots(len(games), squeeze=False)[:, 0]
    for panel, same in zip(panels, games, strict=True):
        _draw(panel, entries, same)
    updates = entries[-1]["step"] if entries else 0
    figure.suptitle(
        f"{run_dir.resolve().name}, {updates:,} updates",
        fontsize=13,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    temporary = run_dir / f".{CURVE_FILE}"
    try:
        figure.savefig(temporary, dpi=150, format="png")
        temporary.replace(run_dir / CURVE_FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _draw(panel: Axes, entries: Sequence[dict[str, Any]], settings: Sequence[Setting]) -> None:
    """The curves of one game, and the most that it can come to where that is known."""
    games = [setting.batched(1) for setting in settings]
    headline = games[0].scoring[0]
    lowest = 0.0
    for i, setting in enumerate(settings):
        name = f"evaluate/{setting.slug}/{headline}"
        points = [(e["seconds"] / 60, e[name]) for e in entries if e.get(name) is not None]
        minutes, scores = np.array(points, np.float64).reshape(-1, 2).T
        lowest = min([lowest, *scores])
        last = f": {scores[-1]:.2f}" if len(scores) else ""
        panel.plot(
            minutes,
            scores,
            color=_COLOURS[i % len(_COLOURS)],
            marker="o" if len(scores) < 60 else None,
            markersize=3,
            label=f"{setting.name}{last}",
        )
    most = max((game.max_score or -math.inf for game in games), default=-math.inf)
    if math.isfinite(most):
        low = math.floor(lowest)
        panel.set_ylim(low, most)
        panel.set_yticks(whole_ticks(low, math.floor(most)))
    panel.set_xlim(left=0)
    panel.set_xlabel("minutes of training", fontsize=9)
    panel.set_ylabel(f"mean {headline} of greedy play")
    panel.grid(True, color=_FAINT, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8, frameon=False, loc="best")


def _scored(entry: dict[str, Any]) -> bool:
    return any(name.startswith("evaluate/") for name in entry)

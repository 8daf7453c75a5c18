"""Evaluation: greedy play of many games at once, each game counted exactly once.

What a game comes to has one or several names (``BatchedGame.scoring``), of which the first is the
headline. A lost game of Hanabi is scored in two ways in the literature, and both are reported: as
*score*, where it is worth nothing (Bard et al., the Hanabi learning environment), and as *points*,
where the points on the table stay (most rule-based players).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame
from games.settings import Setting
from marl.acting.table import AT_ONCE, Played, never, play_many
from marl.core import Policy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_VALUES = 200  # distinct scores that a distribution lists
_MOST_BINS = 101


@dataclass(frozen=True)
class Evaluation:
    """What N games of one setting came to.

    Attributes:
        setting: what was played.
        seed: game i was played with the seed ``seed + i``.
        scoring: names of the outcomes, the headline first.
        max_score: the most that the headline can come to, None where nobody knows.
        played: the games.
        seconds: wall-clock time of playing them all.
    """

    setting: Setting
    seed: int
    scoring: tuple[str, ...]
    max_score: float | None
    played: Played
    seconds: float

    def __len__(self) -> int:
        """Number of games, N."""
        return len(self.played)

    def outcome(self, name: str | None = None) -> NDArray[np.float32]:
        """float32 [N], what the games came to under one name; None for the headline.

        Raises:
            ValueError: if the game has no such outcome.
        """
        name = name or self.scoring[0]
        if name not in self.scoring:
            raise ValueError(
                f"{self.setting.game} has no outcome {name!r}: choose from "
                f"{', '.join(self.scoring)}"
            )
        return self.played.outcome[name]

    def mean(self, name: str | None = None) -> float:
        """Mean of an outcome; None for the headline."""
        return float(self.outcome(name).mean(dtype=np.float64))

    def standard_error(self, name: str | None = None) -> float | None:
        """Standard error of the mean; None for a single game, which has no spread."""
        if len(self) < 2:
            return None
        return float(self.outcome(name).std(dtype=np.float64, ddof=1) / len(self) ** 0.5)

    @property
    def games_per_second(self) -> float:
        """Games played in a second of wall-clock time."""
        return len(self) / self.seconds

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "setting": self.setting.name,
            "games": len(self),
            "seed": self.seed,
            "headline": self.scoring[0],
            "outcomes": {
                name: {
                    "mean": self.mean(name),
                    "standard_error": self.standard_error(name),
                    "median": float(np.median(self.outcome(name))),
                    "distribution": _distribution(self.outcome(name)),
                }
                for name in self.scoring
            },
            "returns_mean": self.played.returns.mean(axis=0, dtype=np.float64).tolist(),
            "truncated_share": float(self.played.truncated.mean()),
            "turns_mean": float(self.played.turns.mean()),
            "seconds": round(self.seconds, 3),
            "games_per_second": round(self.games_per_second, 2),
        }


def evaluate(
    policy: Policy,
    setting: Setting,
    games: int,
    seed: int,
    *,
    at_once: int = AT_ONCE,
    on_end: Callable[[int], None] = lambda games: None,
    stop: Callable[[], bool] = never,
) -> Evaluation:
    """Plays ``games`` games greedily, every seat by the same policy with a memory of its own.

    The same policy, games and seed give the same result on the same machine.

    Args:
        policy: who plays.
        setting: what is played.
        games: how many to play, N.
        seed: of the first game; the others count up from it.
        at_once: games in a batch.
        on_end: told how many games have ended, from whatever thread ended them.
        stop: asked before every step whether to stop, from whatever thread makes it.

    Raises:
        StoppedError: if it was to stop before all games had ended; it holds those that had.
        ValueError: if ``games`` or ``at_once`` is below 1, or ``seed`` is negative.
    """
    for name, value in (("games", games), ("at_once", at_once)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if seed < 0:
        raise ValueError(f"the seed of an evaluation cannot be negative, got {seed}")
    start = time.perf_counter()
    one = setting.batched(1)
    played = play_many(
        setting, [policy], games, seed, at_once=at_once, on_end=on_end, stop=stop, one=one
    )
    return evaluation_of(setting, seed, played, time.perf_counter() - start, one)


def evaluation_of(
    setting: Setting,
    seed: int,
    played: Played,
    seconds: float,
    one: BatchedGame | None = None,
) -> Evaluation:
    """What games have come to that have been played; see ``Evaluation``."""
    game = one or setting.batched(1)
    return Evaluation(setting, seed, game.scoring, game.max_score, played, seconds)


def report(evaluations: Sequence[Evaluation], about: Mapping[str, Any]) -> dict[str, Any]:
    """What ``troupe evaluate --json`` writes: what was evaluated and how, then every setting."""
    return {**about, "settings": [evaluation.summary() for evaluation in evaluations]}


def save_json(path: Path, evaluations: Sequence[Evaluation], about: Mapping[str, Any]) -> None:
    """Writes ``report`` to a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report(evaluations, about), indent=2) + "\n", encoding="utf-8")


def save_histogram(path: Path, evaluations: Sequence[Evaluation], title: str) -> None:
    """Draws the distribution of scores as a PNG, one panel a setting.

    Args:
        path: of the file; its folder is made.
        evaluations: the settings, from top to bottom.
        title: who played what.

    Raises:
        ValueError: if there is no evaluation.
    """
    if not evaluations:
        raise ValueError("there is no evaluation to draw")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(evaluations),
        figsize=(8, 0.9 + 2.8 * len(evaluations)),
        squeeze=False,
        layout="constrained",
    )
    for panel, evaluation in zip(axes[:, 0], evaluations, strict=True):
        _draw(panel, evaluation)
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# Chosen to be told apart by everybody, in grey too.
_WON, _LOST, _INK, _FAINT = "#2a6f97", "#f4a259", "#222222", "#d9d9d9"


def _draw(panel: Axes, evaluation: Evaluation) -> None:
    """One setting: how often which score came up, and the means."""
    headline = evaluation.scoring[0]
    losable = {"points", "lost"} <= set(evaluation.scoring)
    # Lost games are shown with what was on the table, and told apart by their colour.
    points = evaluation.outcome("points" if losable else headline)
    lost = evaluation.outcome("lost") > 0 if losable else np.zeros(len(points), bool)
    shown = {"points": ":", headline: "-"} if losable else {headline: "-"}
    most = evaluation.max_score
    best = max(float(points.max()), -np.inf if most is None else most)
    edges = _edges(points, best)
    panel.hist(
        [points[~lost], points[lost]] if losable else points,
        bins=edges.tolist(),
        stacked=losable,
        color=[_WON, _LOST] if losable else _WON,
        rwidth=0.86,
        label=[f"played to the end ({(~lost).sum()})", f"lost ({lost.sum()})"] if losable else None,
    )
    for name, style in reversed(shown.items()):
        mean, error = evaluation.mean(name), evaluation.standard_error(name)
        spread = "" if error is None else f" ± {error:.2f}"
        meaning = {"points": ", a lost game keeps its points", headline: ", a lost game counts 0"}
        panel.axvline(
            mean,
            color=_INK,
            linestyle=style,
            linewidth=1.4,
            label=f"mean {mean:.2f}{spread}{meaning[name] if losable else ''}",
        )
    panel.set_xlim(edges[0], edges[-1])
    if (points == np.round(points)).all():
        panel.set_xticks(whole_ticks(edges[0] + 0.5, np.floor(best)))
    panel.set_title(
        f"{evaluation.setting.name}, {len(evaluation)} games (± one standard error)",
        fontsize=10,
        loc="left",
    )
    panel.set_xlabel(f"{'points' if losable else headline} when the game ended", fontsize=9)
    panel.set_ylabel("games")
    panel.yaxis.grid(True, color=_FAINT, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8, frameon=False, loc="best")


def _edges(values: NDArray[np.float32], high: float) -> NDArray[np.float64]:
    """Bins of a histogram, from 0 or below to the best score that is known.

    Where all scores are whole there is one a score, or, of a wide range, one for several.
    """
    low = np.floor(min(0.0, float(values.min())))
    if (values == np.round(values)).all():
        width = np.ceil((high - low + 1) / _MOST_BINS)
        return np.arange(low, np.ceil(high) + width + 0.5, width) - 0.5
    return np.linspace(low, high, _MOST_BINS // 2 + 1)


def whole_ticks(low: float, high: float) -> list[float]:
    """Whole numbers to write below an axis: round ones, and the last of all."""
    from matplotlib.ticker import MaxNLocator

    found = [
        float(t) for t in MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high)
    ]
    near = (found[1] - found[0]) / 2
    return [*(tick for tick in found if low <= tick < high - near), high]


def _distribution(values: NDArray[np.float32]) -> dict[str, int] | None:
    """How many games came to each score, in ascending order; None where scores are continuous."""
    found, counts = np.unique(values, return_counts=True)
    if len(found) > _MOST_VALUES:
        return None
    return {f"{value:g}": int(n) for value, n in zip(found, counts, strict=True)}

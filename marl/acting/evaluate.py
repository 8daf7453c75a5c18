"""Evaluation: greedy play of many games at once, each game counted exactly once.

Only the first episode of every game of a batch counts. Counting whatever ends within a number of
steps would favour short games, and in Hanabi short games are the lost ones.

A lost game (in Hanabi: the third strike) is scored in two ways in the literature, and both are
reported: *zero*, where it is worth nothing (Bard et al., the Hanabi learning environment), and
*kept*, where the points on the table stay (most rule-based players).
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
from marl.acting.actor import observe
from marl.core import Policy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES = ("zero", "kept")
"""What a lost game is worth: nothing, or the points on the table."""


@dataclass(frozen=True)
class Evaluation:
    """What N games of one setting came to.

    Attributes:
        players: seats in each game.
        seed: game i was played with the seed ``seed + i``.
        points: float32 [N], points on the table when the game ended.
        lost: bool [N], whether the game was lost.
        truncated: bool [N], whether a turn limit cut the game off.
        turns: int32 [N], moves of all seats together.
        seconds: wall-clock time of playing them all.
    """

    players: int
    seed: int
    points: NDArray[np.float32]
    lost: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    turns: NDArray[np.int32]
    seconds: float

    def __len__(self) -> int:
        """Number of games, N."""
        return len(self.points)

    def scores(self, rule: str = "zero") -> NDArray[np.float32]:
        """float32 [N], the scores under one of ``RULES``.

        Raises:
            ValueError: if there is no such rule.
        """
        if rule not in RULES:
            raise ValueError(f"there is no scoring rule {rule!r}: choose from {', '.join(RULES)}")
        return np.where(self.lost, np.float32(0), self.points) if rule == "zero" else self.points

    def mean(self, rule: str = "zero") -> float:
        """Mean score."""
        return float(self.scores(rule).mean(dtype=np.float64))

    def standard_error(self, rule: str = "zero") -> float:
        """Standard error of the mean score; NaN for a single game."""
        if len(self) < 2:
            return float("nan")
        return float(self.scores(rule).std(dtype=np.float64, ddof=1) / len(self) ** 0.5)

    @property
    def lost_share(self) -> float:
        """Share of the games that were lost."""
        return float(self.lost.mean())

    @property
    def games_per_second(self) -> float:
        """Games played in a second of wall-clock time."""
        return len(self) / self.seconds

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, for JSON: {"zero": {"mean": ..., ...}, "kept": ..., ...}."""
        rules = {
            rule: {
                "mean": self.mean(rule),
                "standard_error": None if len(self) < 2 else self.standard_error(rule),
                "median": float(np.median(self.scores(rule))),
                "distribution": _distribution(self.scores(rule)),
            }
            for rule in RULES
        }
        return {
            "players": self.players,
            "games": len(self),
            "seed": self.seed,
            **rules,
            "lost_share": self.lost_share,
            "truncated_share": float(self.truncated.mean()),
            "turns_mean": float(self.turns.mean()),
            "seconds": round(self.seconds, 3),
            "games_per_second": round(self.games_per_second, 2),
        }


def evaluate(
    policy: Policy,
    make_game: Callable[[int, int], BatchedGame],
    games: int,
    seed: int,
    *,
    at_once: int = 1024,
) -> Evaluation:
    """Plays ``games`` games greedily, every seat by the same policy with a memory of its own.

    The same policy, games and seed give the same result on the same machine.

    Args:
        policy: who plays.
        make_game: ``make_game(n, seed)`` makes a batch of n games, the i-th of them with the seed
            ``seed + i``.
        games: how many to play, N.
        seed: of the first game; the others count up from it.
        at_once: games in a batch.

    Raises:
        ValueError: if ``games`` or ``at_once`` is below 1, or ``seed`` is negative.
    """
    for name, value in (("games", games), ("at_once", at_once)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if seed < 0:
        raise ValueError(f"the seed of an evaluation cannot be negative, got {seed}")
    start = time.perf_counter()
    batches = [
        _play(policy, make_game(min(at_once, games - first), seed + first))
        for first in range(0, games, at_once)
    ]
    seconds = time.perf_counter() - start
    points, lost, truncated, turns = (
        np.concatenate(arrays) for arrays in zip(*(b[1:] for b in batches), strict=True)
    )
    return Evaluation(batches[0][0], seed, points, lost, truncated, turns, seconds)


def _play(
    policy: Policy, game: BatchedGame
) -> tuple[int, NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Plays the first episode of every game: players, points, lost, truncated, turns."""
    n = game.num_games
    points, lost = np.zeros(n, np.float32), np.zeros(n, np.bool_)
    truncated, turns = np.zeros(n, np.bool_), np.zeros(n, np.int32)
    memory = np.zeros((n, game.num_players, policy.memory_size), np.float32)
    move = np.zeros(n, np.int64)
    playing = np.arange(n)
    while len(playing):
        observations = observe(game)[playing]
        seat = game.seat[playing]
        # Games that are over play on (their first choice, which is always legal) uncounted.
        move[:] = 0
        move[playing], _, memory[playing, seat] = policy.act(observations, memory[playing, seat])
        step = game.step(move)
        turns[playing] += 1
        over = playing[(step.terminated | step.truncated)[playing]]
        points[over], lost[over] = step.scores[over], step.lost[over]
        truncated[over] = step.truncated[over] & ~step.terminated[over]
        playing = playing[~(step.terminated | step.truncated)[playing]]
    return game.num_players, points, lost, truncated, turns


def report(evaluations: Sequence[Evaluation], about: Mapping[str, Any]) -> dict[str, Any]:
    """What ``troupe evaluate --json`` writes: what was evaluated and how, then every setting."""
    return {**about, "settings": [evaluation.summary() for evaluation in evaluations]}


def save_json(path: Path, evaluations: Sequence[Evaluation], about: Mapping[str, Any]) -> None:
    """Writes ``report`` to a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report(evaluations, about), indent=2) + "\n", encoding="utf-8")


def save_histogram(
    path: Path, evaluations: Sequence[Evaluation], title: str, max_score: float | None = None
) -> None:
    """Draws the distribution of scores as a PNG, one panel a setting.

    Args:
        path: of the file; its folder is made.
        evaluations: the settings, from top to bottom.
        title: who played what.
        max_score: the score of a perfect game, where there is one; ends the axis.

    Raises:
        ValueError: if there is no evaluation.
    """
    if not evaluations:
        raise ValueError("there is no evaluation to draw")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    top = max_score if max_score is not None else max(float(e.points.max()) for e in evaluations)
    height = 0.9 + 2.6 * len(evaluations)
    figure, axes = plt.subplots(
        len(evaluations), figsize=(8, height), sharex=True, squeeze=False, layout="constrained"
    )
    for panel, evaluation in zip(axes[:, 0], evaluations, strict=True):
        _draw(panel, evaluation, top)
    axes[-1, 0].set_xlabel("points when the game ended")
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# Chosen to be told apart by everybody, in grey too.
_WON, _LOST, _INK, _FAINT = "#2a6f97", "#f4a259", "#222222", "#d9d9d9"


def _draw(panel: Axes, evaluation: Evaluation, top: float) -> None:
    """One setting: games by points, the lost ones on top of the others, and both means."""
    bottom = min(0, int(np.floor(evaluation.points.min())))
    edges = [score - 0.5 for score in range(bottom, int(np.floor(top)) + 2)]
    won, lost = (evaluation.points[where] for where in (~evaluation.lost, evaluation.lost))
    panel.hist(
        [won, lost],
        bins=edges,
        stacked=True,
        color=[_WON, _LOST],
        rwidth=0.86,
        label=[f"played to the end ({len(won)})", f"lost by strikes ({len(lost)})"],
    )
    for rule, style in (("zero", "-"), ("kept", ":")):
        meaning = "a lost game counts 0" if rule == "zero" else "a lost game keeps its points"
        error = "" if len(evaluation) < 2 else f" ± {evaluation.standard_error(rule):.2f}"
        panel.axvline(
            evaluation.mean(rule),
            color=_INK,
            linestyle=style,
            linewidth=1.4,
            label=f"mean {evaluation.mean(rule):.2f}{error}, {meaning}",
        )
    panel.set_title(
        f"{evaluation.players} players, {len(evaluation)} games (± one standard error)",
        fontsize=10,
        loc="left",
    )
    panel.set_ylabel("games")
    panel.set_xlim(edges[0], edges[-1])
    panel.yaxis.grid(True, color=_FAINT, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8, frameon=False, loc="best")


def _distribution(scores: NDArray[np.float32]) -> dict[str, int]:
    """How many games came to each score, in ascending order."""
    values, counts = np.unique(scores, return_counts=True)
    return {f"{value:g}": int(n) for value, n in zip(values, counts, strict=True)}

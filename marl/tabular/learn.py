"""Independent Q-learning (Watkins 1989; Tan 1993): every seat learns for itself, in a table.

One-step updates, as the games go: the value of what a seat chose moves towards what it earned until
its next own turn, and the best that it knows from there on. Many games go side by side; what they
say of one value at one moment is averaged, or all seats would chase each other round in circles.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from games.settings import Setting
from marl.acting.table import play_many
from marl.tabular.tables import Tables, TabularPolicy, find, key_of

CAPACITY = 1 << 18
HISTORY = r"^I (waited|ordered)|^factory . (waited|ordered)|^customers asked|^we made|periods left"
"""What a table of the supply chain can do without: what has been, and how long it goes on."""


@dataclass(frozen=True)
class TabularConfig:
    """How tables learn. Rates fall evenly from their first to their last value.

    Raises:
        ValueError: if a value is out of range.
    """

    episodes: int = 100_000
    """Games to learn from."""
    games: int = 512
    """Games played at once."""
    gamma: float = 0.98
    """Discount of a round."""
    learning_rate: float = 0.05
    """Step towards a target, at first."""
    last_learning_rate: float = 0.01
    """The same at the end."""
    epsilon: float = 0.3
    """Share of choices at random, at first."""
    last_epsilon: float = 0.1
    """The same at the end."""
    idle_manager: float = 0.8
    """Share of the games, from the first, in which a manager says anything at random: the others
    have to learn what follows from each thing that it may say, before it can learn what to say."""
    still_players: bool = False
    """Whether the others stop learning and exploring where the manager begins: what follows from
    each thing that it says is then fixed, and it looks for the best."""
    ignore: str = HISTORY
    """Facts in which this regular expression is found are left out; "" leaves out none."""

    def __post_init__(self) -> None:
        for name in ("episodes", "games"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "epsilon", "last_epsilon", "idle_manager"):
            if not 0 <= getattr(self, name) <= 1:
                shown = name.replace("_", "-")
                raise ValueError(f"--{shown} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("learning_rate", "last_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                shown = name.replace("_", "-")
                raise ValueError(
                    f"--{shown} must be above 0 and at most 1, got {getattr(self, name)}"
                )


class Learners:
    """All seats of a game, each with a table of its own.

    Args:
        setting: what is played.
        config: how they learn.
        seed: of everything random; the same seed gives the same tables.

    Raises:
        ValueError: if the game says more and more sentences.
    """

    def __init__(self, setting: Setting, config: TabularConfig, seed: int) -> None:
        self.setting, self.config = setting, config
        game = self.game = setting.batched(config.games, 2**62 + seed * 2**32)
        self.tables = Tables(game, CAPACITY, config.ignore)
        self.episodes = 0
        self._rng = np.random.default_rng(seed)
        self._manages = np.array([role == "manager" for role in game.roles])
        shape = (game.num_games, game.num_players)
        # Of each seat's latest own turn: row and column (row -1: none), and what it has earned.
        self._row, self._column = np.full(shape, -1), np.zeros(shape, np.int64)
        self._earned, self._waited = np.zeros(shape), np.zeros(shape, np.int64)
        # What all games say of a value at one moment is taken together.
        self._sums = np.zeros_like(self.tables.values)
        self._counts = np.zeros(self.tables.values.shape, np.int16)

    def step(self) -> None:
        """One choice of every due seat, and what is learned from the one before.

        Raises:
            ValueError: if there are more cases than the tables hold.
        """
        config, game, tables = self.config, self.game, self.tables
        done = min(self.episodes / config.episodes, 1)
        rate = config.learning_rate + done * (config.last_learning_rate - config.learning_rate)
        epsilon = config.epsilon + done * (config.last_epsilon - config.epsilon)
        seats = game.due_seat.astype(np.int64)
        idle = self._manages[seats] & (done < config.idle_manager)
        rates = np.full(game.num_players, rate)
        chances = np.where(idle, 1.0, epsilon)
        if config.still_players and done >= config.idle_manager:
            rates[~self._manages] = 0.0
            chances[~self._manages[seats]] = 0.0
        explore = self._rng.random(len(seats)) < chances
        drawn = (self._rng.random(len(seats)) * game.choice_counts).astype(np.int64)
        move = np.where(explore, drawn, -1)
        memory = (self._row, self._column, self._earned, self._waited, self._sums, self._counts)
        _turn(
            *(game.due_game, seats, game.facts, game.fact_counts, game.choices),
            *(game.choice_counts, tables.keys, tables.values, tables.marks, tables.columns),
            *(*memory, rates, config.gamma, move),
        )
        step = game.step(move)
        ended = step.terminated | step.truncated
        _earn(step.rewards, step.elapsed, ended, tables.values, *memory, rates)
        self.episodes += int(step.over.sum())

    def policies(self) -> list[TabularPolicy]:
        """Who plays each seat as it has learned."""
        return [TabularPolicy(self.tables, seat) for seat in range(self.game.num_players)]

    def evaluate(self, games: int, seed: int) -> dict[str, float]:
        """Means of every outcome of greedy play."""
        policies = self.policies()
        seating = np.tile(np.arange(len(policies)), (games, 1))
        played = play_many(self.setting, policies, games, seed, seating)
        return {name: float(values.mean()) for name, values in played.outcome.items()}


def learn(
    setting: Setting,
    config: TabularConfig,
    seed: int,
    tell: Callable[[int, Learners], object],
    interval: int,
) -> Learners:
    """Learns a game, and tells how it goes.

    Args:
        setting: what is played.
        config: how.
        seed: of everything random.
        tell: called with the games learned from, before the first, after about every ``interval``
            of them, and at the end.
        interval: games from one call to the next.

    Raises:
        ValueError: if the game does not fit into tables.
    """
    run, due = Learners(setting, config, seed), 0
    while True:
        over = run.episodes >= config.episodes
        if over or run.episodes >= due:
            due += interval
            if run.tables.rows > 0.75 * CAPACITY:
                raise ValueError(
                    f"{setting.name} has too many cases for tables: leave facts out with --ignore"
                )
            tell(run.episodes, run)
            if over:
                return run
        run.step()


@njit(cache=True, nogil=True)
def _turn(
    games, seats, facts, fact_counts, choices, choice_counts,
    keys, values, marks, columns, rows, taken, earned, waited, sums, counts, rates, gamma, move,
):  # fmt: skip
    """Learns from every due seat's last turn, and lets it choose; ``move`` is drawn, or -1."""
    due = len(seats)
    row, best = np.empty(due, np.int64), np.empty(due, np.int64)
    for r in range(due):
        key = key_of(seats[r], facts[r], fact_counts[r], marks)
        row[r] = find(keys, key)
        keys[row[r]] = key
        best[r] = 0
        for k in range(1, choice_counts[r]):
            value = values[row[r], columns[choices[r, k]]]
            if value > values[row[r], columns[choices[r, best[r]]]]:
                best[r] = k
    for r in range(due):
        g, s = games[r], seats[r]
        if rows[g, s] >= 0:
            after = values[row[r], columns[choices[r, best[r]]]]
            sums[rows[g, s], taken[g, s]] += earned[g, s] + gamma ** waited[g, s] * after
            counts[rows[g, s], taken[g, s]] += 1
    for r in range(due):
        g, s = games[r], seats[r]
        if rows[g, s] >= 0:
            _move(values, sums, counts, rows[g, s], taken[g, s], rates[s])
        if move[r] < 0:
            move[r] = best[r]
        rows[g, s] = row[r]
        taken[g, s] = columns[choices[r, move[r]]]
        earned[g, s] = 0.0
        waited[g, s] = 0


@njit(cache=True, nogil=True)
def _earn(rewards, elapsed, ended, values, rows, taken, earned, waited, sums, counts, rates):
    """Adds what was earned; where a seat's game has ended, learns from it."""
    for g in range(rewards.shape[0]):
        for s in range(rewards.shape[1]):
            if rows[g, s] >= 0:
                earned[g, s] += rewards[g, s]
                waited[g, s] += elapsed[g]
                if ended[g, s]:
                    sums[rows[g, s], taken[g, s]] += earned[g, s]
                    counts[rows[g, s], taken[g, s]] += 1
    for g in range(rewards.shape[0]):
        for s in range(rewards.shape[1]):
            if rows[g, s] >= 0 and ended[g, s]:
                _move(values, sums, counts, rows[g, s], taken[g, s], rates[s])
                rows[g, s] = -1


@njit(cache=True, nogil=True)
def _move(values, sums, counts, row, column, rate):
    """Moves a value towards the mean of what all games say of it, once."""
    if counts[row, column] > 0:
        goal = sums[row, column] / counts[row, column]
        values[row, column] += rate * (goal - values[row, column])
        sums[row, column] = 0.0
        counts[row, column] = 0

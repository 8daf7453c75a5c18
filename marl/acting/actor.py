"""The actor: plays a batch of games with a policy and hands over what every seat went through.

An agent observes on its own turns, so a seat's sequence has one step for each of its turns, and
the reward of a step is all that the team earned until the seat's next turn (or the end).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.core import BatchedGame
from marl.acting import tracks
from marl.core import Policy
from marl.episodes import Episodes


def exploration_spectrum(num_games: int, base: float = 0.1, spread: float = 7.0) -> NDArray[Any]:
    """Exploration rate of each game: ``base ** (1 + spread * i / (num_games - 1))``.

    The spectrum of Ape-X (arXiv 1803.00933, section 4) as SAD and R3D2 use it.

    Returns:
        float64 [num_games], falling from ``base`` to ``base ** (1 + spread)``.
    """
    return base ** (1 + spread * np.arange(num_games) / max(num_games - 1, 1))


def temperature_spectrum(
    num_games: int, highest: float = 0.1, spread: float = 2.0
) -> NDArray[np.float32]:
    """Temperature of each game, in points: ``highest * 10 ** (-spread * i / (num_games - 1))``.

    Returns:
        float32 [num_games], falling from ``highest`` to ``highest / 10 ** spread``.
    """
    falling = 10.0 ** (-spread * np.arange(num_games) / max(num_games - 1, 1))
    return (highest * falling).astype(np.float32)


def observe(game: BatchedGame) -> Observations:
    """What the seats to act observe, as live views."""
    return Observations(game.facts, game.fact_counts, game.choices, game.choice_counts)


class Actor:
    """Plays a batch of games, exploring, and inserts the sequences of every finished one.

    Args:
        game: the batch.
        policy: who plays every seat.
        insert: takes the sequences that ended with a step, once for each such step.
        epsilons: float64 [num_games], exploration rate of each game.
        seed: of the exploration.
        setting: number that the sequences are tagged with.
        max_length: steps after which a sequence is cut, its memory stored beside it.
        overlap: steps of a cut sequence that its successor begins with again (the burn-in).
        label_size: answers of a step to keep for auxiliary losses; -1 stands in for those beyond
            the game's answer sheet.
        temperatures: float32 [num_games], how much worse than the best a move may look, in points,
            and still be tried: moves are drawn from the softmax of values over temperature. Where
            it is 0, or not given, only the best is.
        teaching: whether the policy is a teacher: what it chooses is kept beside what was done, and
            its memory, which means nothing to others, is not.

    Raises:
        ValueError: if cut sequences would overlap by half or more.
    """

    def __init__(
        self,
        game: BatchedGame,
        policy: Policy,
        insert: Callable[[Episodes], None],
        epsilons: NDArray[np.float64],
        seed: int,
        setting: int = 0,
        max_length: int = 128,
        overlap: int = 0,
        label_size: int = 0,
        temperatures: NDArray[np.float32] | None = None,
        teaching: bool = False,
    ) -> None:
        if max_length < 2 * overlap + 2:
            raise ValueError(
                f"sequences of {max_length} steps cannot overlap by {overlap}: choose a burn-in "
                f"below {max_length // 2} or longer sequences"
            )
        self.game, self.policy, self.insert = game, policy, insert
        self.epsilons, self.setting, self.overlap = epsilons, setting, overlap
        self.temperatures, self.teaching = temperatures, teaching
        self.rng = np.random.default_rng(seed)
        self.env_steps = 0
        self.episodes = 0
        self.memory = np.zeros((game.num_games, game.num_players, policy.memory_size), np.float32)
        self.tracks = tracks.allocate(
            game.num_games * game.num_players,
            steps=min(game.max_turns, max_length),
            max_facts=game.max_facts,
            max_choices=game.max_choices,
            labels=label_size,
            memory=0 if teaching else policy.memory_size,
        )

    def step(self) -> None:
        """Makes one move in every game."""
        game, games = self.game, np.arange(self.game.num_games)
        seat = game.seat.astype(np.int64)
        before = self.memory[games, seat]
        greedy, values, after = self.policy.act(observe(game), before)
        best = greedy
        if self.temperatures is not None:
            # The largest of values plus Gumbel noise is a draw from their softmax.
            noise = self.rng.gumbel(size=values.shape).astype(np.float32)
            best = (values + self.temperatures[:, None] * noise).argmax(1)
        explore = self.rng.random(len(games)) < self.epsilons
        anything = (self.rng.random(len(games)) * game.choice_counts).astype(np.int64)
        action = np.where(explore, anything, best)
        rows = games * game.num_players + seat
        cut = tracks.full(self.tracks, rows)
        self._hand_over(cut, terminal=False)
        tracks.keep_overlap(self.tracks, cut, self.overlap)
        tracks.record(
            self.tracks,
            rows,
            game.facts,
            game.fact_counts,
            game.choices,
            game.choice_counts,
            action,
            greedy if self.teaching else np.full(len(games), -1),
            game.labels,
            before[:, :0].copy() if self.teaching else before,
            self.policy.version,
            self.overlap,
        )
        self.memory[games, seat] = after
        outcome = game.step(action)
        tracks.reward(self.tracks, outcome.rewards)
        self.env_steps += len(games)
        for ended, terminal in ((outcome.terminated, True), (outcome.truncated, False)):
            finished = np.flatnonzero(ended)
            if len(finished):
                self.episodes += len(finished)
                seats = np.arange(game.num_players)
                self._hand_over((finished[:, None] * game.num_players + seats).ravel(), terminal)
                self.tracks.length.reshape(game.num_games, -1)[finished] = 0
                self.memory[finished] = 0

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as arrays and plain values."""
        return {
            "game": self.game.state(),
            "memory": self.memory,
            "tracks": tracks.state(self.tracks),
            "rng": self.rng.bit_generator.state,
            "env_steps": self.env_steps,
            "episodes": self.episodes,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit."""
        self.game.load_state(state["game"])
        self.memory[:] = state["memory"]
        tracks.load_state(self.tracks, state["tracks"])
        self.rng.bit_generator.state = state["rng"]
        self.env_steps, self.episodes = state["env_steps"], state["episodes"]

    def _hand_over(self, rows: NDArray[np.int64], terminal: bool) -> None:
        """Inserts the sequences of some tracks."""
        rows = rows[self.tracks.length[rows] > 0]
        if len(rows):
            seats = self.game.num_players
            self.insert(tracks.gather(self.tracks, rows, terminal, self.setting, seats))

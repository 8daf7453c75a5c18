"""The actor: plays a batch of games with a policy and hands over what every seat went through.

An agent observes when it is due, so a seat's sequence has one step for each of its own turns, and
the reward of a step is all that the seat earned until its next turn (or the end).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame
from games.text import Phrasebook
from marl.acting import tracks
from marl.acting.exploration import SHARE, state_dependent, telling_salt
from marl.acting.off_belief import OffBelief
from marl.acting.table import Table
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


def spread_over(spectrum: NDArray[Any], num_games: int) -> NDArray[Any]:
    """As many entries of a spectrum as there are games, its ends among them."""
    return spectrum[np.rint(np.linspace(0, len(spectrum) - 1, num_games)).astype(int)]


Seating = Callable[[np.random.Generator, int], NDArray[np.int64]]
"""Draws who holds the seats of n games that begin: int64 [n, P], 0 for the policy that learns and
k for the k-th partner."""


class Actor:
    """Plays a batch of games, exploring, and inserts the sequences of every seat that has ended.

    Args:
        game: the batch.
        policy: who plays, and whose sequences are inserted.
        insert: takes the sequences that ended with a step, once for each such step.
        epsilons: float64 [num_games], exploration rate of each game.
        seed: of the exploration.
        setting: number that the sequences are tagged with.
        max_length: steps after which a sequence is cut, its memory stored beside it.
        overlap: steps of a cut sequence that its successor begins with again (the burn-in).
        label_size: answers of a step to keep for auxiliary losses; -1 stands in for those beyond
            the game's answer sheet.
        label_slot: where the game's sheet begins among them.
        temperatures: float32 [num_games], how much worse than the best a move may look, in points,
            and still be tried: moves are drawn from the softmax of values over temperature. Where
            it is 0, or not given, only the best is.
        teaching: whether the policy is a teacher: what it chooses is kept beside what was done, and
            its memory, which means nothing to others, is not.
        partners: who may hold other seats; they do not explore, and nothing of theirs is inserted.
        seating: who holds which seat; needed where there are partners.
        book: the phrasebook whose ids are recorded; None for the game's own.
        idle_manager: version of the policy's weights up to which a manager says anything at random.
        state_dependent: version of the policy's weights up to which most random moves are a
            function of what is observed (``marl.acting.exploration``).
        function: seed of that function, the same for all actors of a setting.
        off_belief: computes the targets that take the place of rewards; None where what was really
            earned is learned from.

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
        label_slot: int = 0,
        temperatures: NDArray[np.float32] | None = None,
        teaching: bool = False,
        partners: Sequence[Policy] = (),
        seating: Seating | None = None,
        book: Phrasebook | None = None,
        idle_manager: int = 0,
        state_dependent: int = 0,
        function: int = 0,
        off_belief: OffBelief | None = None,
    ) -> None:
        if max_length < 2 * overlap + 2:
            raise ValueError(
                f"sequences of {max_length} steps cannot overlap by {overlap}: choose a burn-in "
                f"below {max_length // 2} or longer sequences"
            )
        self.game, self.policy, self.insert = game, policy, insert
        self.epsilons, self.setting, self.overlap = epsilons, setting, overlap
        self.label_slot, self.off_belief = label_slot, off_belief
        self._alike_until, self._function = state_dependent, function
        self._salt: np.uint64 | None = None
        self.temperatures, self.teaching, self.seating = temperatures, teaching, seating
        self.idle_manager = idle_manager
        self._manages = np.array([role == "manager" for role in game.roles])
        self.rng = np.random.default_rng(seed)
        self.env_steps = 0
        self.episodes = 0
        self._outcomes = np.zeros((1 + len(partners), 2))
        drawn = None if seating is None else seating(self.rng, game.num_games)
        self.table = Table(game, [policy, *partners], drawn, book)
        self.tracks = tracks.allocate(
            game.num_games * game.num_players,
            steps=min(game.max_turns or max_length, max_length),
            max_facts=game.max_facts,
            max_choices=game.max_choices,
            labels=label_size,
            memory=0 if teaching else policy.memory_size,
        )

    def step(self) -> None:
        """Makes the choices of all due seats."""
        game, turn = self.game, self.table.choose()
        due = len(turn.rows)
        best = turn.choices
        if self.temperatures is not None:
            # The largest of values plus Gumbel noise is a draw from their softmax.
            noise = self.rng.gumbel(size=turn.values.shape).astype(np.float32)
            best = (turn.values + self.temperatures[game.due_game, None] * noise).argmax(1)
        explore = self.rng.random(due) < self.epsilons[game.due_game]
        if self.policy.version < self.idle_manager:
            explore |= self._manages[game.due_seat]
        anything = (self.rng.random(due) * game.choice_counts).astype(np.int64)
        if self.policy.version < self._alike_until:
            shown = game.facts, game.fact_counts, game.choices, game.choice_counts
            if self._salt is None:
                self._salt = telling_salt(*shown, self._function)
            alike = self.rng.random(due) < SHARE
            anything = np.where(alike, state_dependent(*shown, self._salt), anything)
        action = np.where(explore, anything, best)
        mine: Any = slice(None)
        if self.seating is not None:
            mine = turn.holders == 0
            action = np.where(mine, action, turn.choices)
        rows, greedy, seen = turn.rows[mine], turn.choices[mine], turn.observations[mine]
        cut = tracks.full(self.tracks, rows)
        self._hand_over(cut, terminal=False)
        tracks.keep_overlap(self.tracks, cut, self.overlap)
        tracks.record(
            self.tracks,
            rows,
            seen.facts,
            seen.fact_counts,
            seen.choices,
            seen.choice_counts,
            action[mine],
            greedy if self.teaching else np.full(len(rows), -1),
            game.labels[mine],
            turn.before[mine, :0].copy() if self.teaching else turn.before[mine],
            self.policy.version,
            self.overlap,
            self.label_slot,
        )
        self.env_steps += due
        targets = None if self.off_belief is None else self._targets(self.off_belief, action)
        step = self.table.step(action)
        earned = step.rewards if targets is None else targets
        tracks.reward(self.tracks, earned, step.elapsed)
        for ended, terminal in ((step.terminated, True), (step.truncated, False)):
            finished = np.flatnonzero(ended)
            if len(finished):
                self._hand_over(finished, terminal)
                tracks.clear(self.tracks, finished)
        over = np.flatnonzero(step.over)
        self.episodes += len(over)
        if self.seating is not None and len(over):
            with_whom = self.table.seating[over].max(1)
            np.add.at(self._outcomes[:, 0], with_whom, 1)
            np.add.at(self._outcomes[:, 1], with_whom, step.outcome[game.scoring[0]][over])
            self.table.seating[over] = self.seating(self.rng, len(over))

    def _targets(self, off_belief: OffBelief, action: NDArray[np.int64]) -> NDArray[np.float32]:
        """The targets of the moves that are about to be made, float32 [N, P]; 0 for who waits."""
        game = self.game
        targets = np.zeros((game.num_games, game.num_players), np.float32)
        targets[game.due_game, game.due_seat] = off_belief.targets(action, self.rng)
        return targets

    def outcomes(self) -> NDArray[np.float64]:
        """What came of games since the last call, by who held seats beside the policy.

        It is for watching, and no part of the state: a run that goes on begins anew.

        Returns:
            float64 [1 + partners, 2]: games that ended, and the sum of their headline outcomes; the
            first row is of games whose seats the policy held all. Zeros where nobody is seated.
        """
        found, self._outcomes = self._outcomes, np.zeros_like(self._outcomes)
        return found

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as arrays and plain values."""
        salt = {} if self._salt is None else {"salt": int(self._salt)}
        return salt | {
            "table": self.table.state(),
            "tracks": tracks.state(self.tracks),
            "rng": self.rng.bit_generator.state,
            "env_steps": self.env_steps,
            "episodes": self.episodes,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit."""
        self.table.load_state(state["table"])
        tracks.load_state(self.tracks, state["tracks"])
        self.rng.bit_generator.state = state["rng"]
        self.env_steps, self.episodes = state["env_steps"], state["episodes"]
        self._salt = np.uint64(state["salt"]) if "salt" in state else None

    def _hand_over(self, rows: NDArray[np.int64], terminal: bool) -> None:
        """Inserts the sequences of some tracks."""
        rows = rows[self.tracks.length[rows] > 0]
        if len(rows):
            seats = self.game.num_players
            partners = self.table.seating[rows // seats].max(1)
            self.insert(tracks.gather(self.tracks, rows, terminal, self.setting, seats, partners))

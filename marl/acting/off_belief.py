"""Off-belief learning: what a move is worth in worlds where nothing was meant by earlier moves.

Hu et al. 2021 ("Off-Belief Learning", https://arxiv.org/abs/2103.04000), level 1. A seat that sees
tau and makes the move a learns from the target::

    E over worlds w of B_0(tau) of [ r(w, a) + what comes of the others' replies
                                     + gamma * max_b Q(tau', b) ]

where B_0 holds every order of the hidden cards that agrees with the hints for as likely as any
other, as if all moves so far had been random (``games.hanabi.belief``), the others reply in w as
they would today, and tau' is what the seat sees on its next turn in w. Conventions cannot arise:
what a move says of cards beyond the rules is never believed. So there is one fixed point, the same
from every seed.

Here one world is drawn for each move as it is made, and the target that comes of it is stored with
the step; as in the paper, games themselves go on in the real world, and decide only what is learned
about. With n turns instead of one the hidden cards are drawn again at each of the seat's turns in
the world: what the replies in between have told is not believed either, which keeps the target that
of n single steps.

Players are without memory. A memory of the real game would hold what the real cards had others do,
which a world contradicts; and at this level nothing is lost, as hints, discards and hands in sight
are all that B_0 depends on, and facts say these.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.core import BatchedGame
from marl.acting.table import observe, translated, translation
from marl.core import Policy


class Worlds(BatchedGame, Protocol):
    """A game of turns in a fixed order that knows what its seats may believe."""

    def worlds(
        self, seats: ArrayLike, seeds: NDArray[np.uint64], games: NDArray[np.int64] | None = None
    ) -> Worlds:
        """Copies of games with what a seat cannot see drawn anew; see ``HanabiBatched.worlds``."""
        ...


class OffBelief:
    """Computes targets of moves that are about to be made.

    Args:
        game: the batch, where one seat of a game is due.
        policy: who replies in worlds, and chooses what is done there; without memory.
        critic: whose values stand for what comes after: a target network, or the policy itself.
        n_step: own turns whose rewards are summed before that, at least 1.
        gamma: discount of one unit of the game's time.
        reward_scale: factor of rewards.

    Raises:
        ValueError: if the policy has a memory.
    """

    def __init__(
        self,
        game: Worlds,
        policy: Policy,
        critic: Policy,
        *,
        n_step: int = 1,
        gamma: float = 1.0,
        reward_scale: float = 1.0,
    ) -> None:
        if policy.memory_size or critic.memory_size:
            raise ValueError(
                "off-belief learning is for players without memory: add --agent.core feedforward"
            )
        self.game, self.policy, self.critic = game, policy, critic
        self._read = {player: translation(game, player.phrasebook) for player in (policy, critic)}
        self.n_step, self.gamma, self.reward_scale = n_step, gamma, reward_scale

    def targets(self, moves: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """What the moves of the due seats come to, each in a world drawn for it.

        A world that a limit cuts off counts as one that has ended.

        Args:
            moves: int64 [R], the choice of each due row.
            rng: draws the worlds.

        Returns:
            float32 [R].
        """
        game = self.game
        seats = game.due_seat.astype(np.int64)
        targets = np.zeros(len(seats))
        discounts = np.ones(len(seats))
        rows = np.arange(len(seats))  # whose worlds are still being played
        games = game.due_game.astype(np.int64)
        for turn in range(self.n_step):
            seeds = rng.integers(0, 2**64, len(rows), np.uint64)
            world = game.worlds(seats[rows], seeds, games)
            earned, elapsed = self._round(world, seats[rows], moves)
            targets[rows] += discounts[rows] * earned * self.reward_scale
            discounts[rows] *= self.gamma**elapsed
            games = world.due_game.astype(np.int64)
            if not len(games):
                break
            rows, game = rows[games], world
            assert (world.due_seat == seats[rows]).all(), "seats take turns in a fixed order"
            moves, values = self._ask(self.policy, world)
            if turn == self.n_step - 1:
                if self.critic is not self.policy:
                    _, values = self._ask(self.critic, world)
                targets[rows] += discounts[rows] * values[np.arange(len(rows)), moves]
        return targets.astype(np.float32)

    def _round(
        self, world: Worlds, seats: NDArray[np.int64], moves: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Plays every world on until its seat is due again, or it ends.

        Returns:
            what the seat has earned and the time that went by, [M] each.
        """
        every = np.arange(len(seats))
        earned, elapsed = np.zeros(len(seats)), np.zeros(len(seats), np.int64)
        for offset in range(world.num_players):
            if offset:
                moves, _ = self._ask(self.policy, world)
            step = world.step(moves)
            earned += step.rewards[every, seats]
            elapsed += step.elapsed
            if not len(world.due_game):
                break
        return earned, elapsed

    def _ask(self, player: Policy, world: Worlds) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What a player chooses for the due seats, and the values of all choices."""
        seen = translated(observe(world), self._read[player])
        choices, values, _ = player.act(seen, np.zeros((len(seen), 0), np.float32))
        return choices, values

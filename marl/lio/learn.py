"""LIO: everybody learns what to give the others, through the step that they learn by next.

"Learning to Incentivize Other Learning Agents" (Yang et al. 2020, arXiv 2006.06051). In each
iteration:

1. games are played with the present policies; each player's reward is that of the game and what the
   others give it;
2. every policy takes one step of policy gradient. The new weights are functions of the incentives;
3. games are played with the new policies. Each incentive function takes a step towards what its
   owner earns there from the game, less what it gives: the gradient runs through the others' steps.

Policies do not take into account what they give away, as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from games.settings import Setting
from marl.lio.players import Played, Players, Weights, advantages, returns


@dataclass(frozen=True)
class LIOConfig:
    """How LIO learns.

    Raises:
        ValueError: if a value is out of range.
    """

    iterations: int = 800
    """Steps of every policy and of every incentive function."""
    games: int = 128
    """Games played at once, twice an iteration."""
    hidden: int = 32
    """Width of the one hidden layer of each network."""
    most: float = 2.0
    """The most that one player gives another in a round."""
    incentives: bool = True
    """Whether anybody gives anything; without, everybody learns for itself (policy gradient)."""
    gamma: float = 0.99
    """Discount of a round."""
    learning_rate: float = 2e-3
    """Step size of the policies: plain gradient steps, which can be seen through."""
    giver_rate: float = 1e-2
    """Adam's step size of the incentive functions."""
    cost: float = 1e-3
    """What giving one costs the giver, against earning one. What a gift brings is seen through one
    step of the others only, so that a cost of 1 would outweigh it by far: it goes with the step
    size."""
    entropy: float = 0.01
    """Weight of the policies' entropy."""
    explore: float = 0.1
    """Share of moves at random at first; it falls to a tenth of that over the first half."""

    def __post_init__(self) -> None:
        for name in ("iterations", "games", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("most", "learning_rate", "giver_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                shown = name.replace("_", "-")
                raise ValueError(f"--{shown} must be a positive number, got {getattr(self, name)}")
        for name in ("gamma", "explore"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("cost", "entropy"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} must be a number from 0 up, got {getattr(self, name)}")


class LIO:
    """Learners of one game.

    Args:
        setting: what is played.
        config: how they learn.
        seed: of everything random; the same seed gives the same weights.

    Raises:
        ValueError: if they cannot play it.
    """

    def __init__(self, setting: Setting, config: LIOConfig, seed: int) -> None:
        self.setting, self.config = setting, config
        self.game = setting.batched(config.games, seed, restart=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.players = Players(self.game, config.hidden, config.most)
        self._seeds = np.random.default_rng(seed)
        self._givers = torch.optim.Adam(self.players.givers.parameters(), config.giver_rate)
        self.iterations = 0

    def iterate(self) -> None:
        """One iteration: a step of every policy and of every incentive function."""
        config, players = self.config, self.players
        before = players.policy_weights()
        played = self._play(before)
        given = self._given(played)
        after = self.learned(before, played, given)
        if config.incentives:
            loss = self.giving_loss(after, self._play(after))
            self._givers.zero_grad()
            loss.backward()
            self._givers.step()
        with torch.no_grad():
            for weights, new in zip(before, after, strict=True):
                for name, tensor in weights.items():
                    tensor.copy_(new[name])
                    tensor.grad = None
        self.iterations += 1

    def learned(self, weights: list[Weights], played: Played, given: Tensor) -> list[Weights]:
        """Everybody's weights after a step of policy gradient, as functions of what was given.

        Args:
            weights: of everybody's policy.
            played: with them.
            given: [P giver, P receiver, T, B].
        """
        found = []
        for player, own in enumerate(weights):
            earned = returns(played.rewards[player] + given[:, player].sum(0), self.config.gamma)
            loss = self._policy_loss(player, own, played, earned)
            gradients = torch.autograd.grad(loss, list(own.values()), create_graph=True)
            found.append(
                {
                    name: tensor - self.config.learning_rate * gradient
                    for (name, tensor), gradient in zip(own.items(), gradients, strict=True)
                }
            )
        return found

    def giving_loss(self, weights: list[Weights], played: Played) -> Tensor:
        """What the incentive functions make small: less than nothing where they earn their keep.

        Args:
            weights: of everybody's policy, as functions of the incentives.
            played: with them.
        """
        given = self.players.given(played)
        games = played.lasting.shape[1]
        total = torch.zeros(())
        for giver in range(self.players.number):
            worth = advantages(returns(played.rewards[giver], self.config.gamma), played.lasting)
            others = [k for k in range(self.players.number) if k != giver]
            for other in others:
                logs = self._logs(other, weights[other], played)
                log = logs.gather(-1, played.acts[other][..., None])[..., 0]
                total = total - (log * worth).sum() / games
            total = total + self.config.cost * given[giver].sum() / games
        return total

    def evaluate(self, games: int, seed: int) -> dict[str, float]:
        """What play without exploration comes to, drawn from the policies.

        Returns:
            means over the games: ``raw``, the sum of the game's rewards (what one gives another
            gets); ``payments``, all that was given; and the game's own outcomes.
        """
        game = self.setting.batched(games, seed, restart=False)
        with torch.no_grad():
            played = self.players.play(game, self.players.policy_weights(), 0.0, seed)
            payments = float(self._given(played).sum()) / games
        raw = float(played.rewards.sum()) / games
        return {"raw": raw, "payments": payments, **played.outcome}

    def _given(self, played: Played) -> Tensor:
        if self.config.incentives:
            return self.players.given(played)
        number = self.players.number
        return torch.zeros(number, number, *played.lasting.shape)

    def _play(self, weights: list[Weights]) -> Played:
        config = self.config
        done = min(2 * self.iterations / config.iterations, 1)
        explore = config.explore * (1 - 0.9 * done)
        seed = int(self._seeds.integers(2**62))
        return self.players.play(self.game, weights, explore, seed)

    def _logs(self, player: int, weights: Weights, played: Played) -> Tensor:
        """Logarithms of the probabilities of a player's choices: [T, B, A]."""
        chances = self.players.chances(player, weights, played.seen[player], played.explore)
        return chances.clamp_min(1e-12).log()

    def _policy_loss(self, player: int, own: Weights, played: Played, earned: Tensor) -> Tensor:
        logs = self._logs(player, own, played)
        log = logs.gather(-1, played.acts[player][..., None])[..., 0]
        entropy = -((logs.exp() * logs).sum(-1) * played.lasting).sum()
        gain = (log * advantages(earned, played.lasting)).sum() + self.config.entropy * entropy
        return -gain / played.lasting.shape[1]


def learn(
    setting: Setting,
    config: LIOConfig,
    seed: int,
    tell: Callable[[int, dict[str, float]], object],
    interval: int = 50,
    games: int = 500,
) -> LIO:
    """Learns a game, and tells how it goes.

    Args:
        setting: what is played.
        config: how.
        seed: of everything random.
        tell: called with the iteration and what play comes to, before the first one, after every
            ``interval`` of them, and at the end.
        interval: iterations from one evaluation to the next.
        games: of each evaluation.
    """
    run = LIO(setting, config, seed)
    while True:
        if run.iterations % interval == 0 or run.iterations == config.iterations:
            tell(run.iterations, run.evaluate(games, 2**40))
        if run.iterations == config.iterations:
            return run
        run.iterate()

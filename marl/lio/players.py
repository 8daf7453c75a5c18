"""What LIO's agents are made of: policies, incentive functions, and the games that they play.

Everybody is a small network over the facts that it reads, one input a sentence. It is made for
games in which everybody moves at once and always has the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from games.core import BatchedGame

Weights = dict[str, Tensor]
"""Parameters by name."""


class Played(NamedTuple):
    """B games of T rounds and P players; what lies behind the end of a game counts 0.

    Attributes:
        seen: float32 [P, T, B, F], which facts each player read.
        acts: int64 [P, T, B], what it chose.
        rewards: float32 [P, T, B], of the game itself.
        lasting: float32 [T, B], 1 where the game still went on.
        explore: share of the moves that were drawn from all choices alike.
        outcome: the mean of each outcome of the game.
    """

    seen: Tensor
    acts: Tensor
    rewards: Tensor
    lasting: Tensor
    explore: float
    outcome: dict[str, float]


class Players(nn.Module):
    """P policies, and P functions that say what each gives to the others for what they do.

    Args:
        game: a batch of what is played.
        hidden: width of the hidden layers.
        most: the most that one player gives another in a round.

    Raises:
        ValueError: if the game is of another kind than these can play.
    """

    def __init__(self, game: BatchedGame, hidden: int, most: float) -> None:
        super().__init__()
        if len(game.due_game) != game.num_games * game.num_players or game.max_turns is None:
            raise ValueError("LIO plays games in which everybody moves at once, for some rounds")
        self.number, self.most = game.num_players, most
        self.columns = np.full(len(game.phrasebook), -1)
        self.columns[game.fact_phrases] = np.arange(len(game.fact_phrases))
        facts, self.choices = len(game.fact_phrases), game.max_choices
        others = (self.number - 1) * self.choices
        self.policies = nn.ModuleList(
            _network(facts, hidden, self.choices) for _ in range(self.number)
        )
        self.givers = nn.ModuleList(
            _network(facts + others, hidden, self.number - 1) for _ in range(self.number)
        )

    def policy_weights(self) -> list[Weights]:
        """Each player's own, to be changed as functions of something else."""
        return [dict(policy.named_parameters()) for policy in self.policies]

    def chances(self, player: int, weights: Weights, seen: Tensor, explore: float) -> Tensor:
        """With which probabilities a player with some weights chooses: [..., F] -> [..., A].

        Exploration is a part of the policy, so that its gradient knows of it.
        """
        logits = torch.func.functional_call(self.policies[player], weights, (seen,))
        return (1 - explore) * logits.softmax(-1) + explore / self.choices

    def given(self, played: Played) -> Tensor:
        """What everybody gives everybody: [P giver, P receiver, T, B], 0 to itself."""
        deeds = nn.functional.one_hot(played.acts, self.choices).float()
        out = []
        for giver in range(self.number):
            others = [k for k in range(self.number) if k != giver]
            read = torch.cat([played.seen[giver], *(deeds[k] for k in others)], -1)
            gift = self.most * torch.sigmoid(self.givers[giver](read)) * played.lasting[..., None]
            nothing = torch.zeros_like(played.lasting)
            each = dict(zip(others, gift.unbind(-1), strict=True))
            out.append(torch.stack([each.get(k, nothing) for k in range(self.number)]))
        return torch.stack(out)

    @torch.no_grad()
    def play(
        self, game: BatchedGame, weights: Sequence[Weights], explore: float, seed: int
    ) -> Played:
        """Plays a batch to its end.

        Args:
            game: made with ``restart=False``; it is reset.
            weights: of everybody's policy.
            explore: share of the moves that are drawn from all choices alike.
            seed: of the moves; they depend on nothing else.
        """
        rng = np.random.default_rng(seed)
        n, p = game.num_games, self.number
        game.reset(rng.integers(2**62, size=n, dtype=np.uint64))
        seen, acts, rewards, lasting = [], [], [], []
        outcome: dict[str, float] = {}
        while len(game.due_game):
            playing = np.zeros(n, np.bool_)
            playing[game.due_game] = True
            facts = torch.zeros(p, n, len(game.fact_phrases))
            row, place = np.nonzero(np.arange(game.max_facts) < game.fact_counts[:, None])
            column = self.columns[game.facts[row, place]]
            facts[game.due_seat[row].astype(np.int64), game.due_game[row], column] = 1
            chances = torch.stack(
                [self.chances(k, weights[k], facts[k], explore) for k in range(p)]
            ).numpy()
            drawn = (rng.random((p, n, 1)) > chances.cumsum(-1)).sum(-1).clip(max=self.choices - 1)
            step = game.step(drawn[game.due_seat, game.due_game])
            seen.append(facts)
            acts.append(torch.from_numpy(drawn))
            rewards.append(torch.from_numpy(step.rewards.T * playing))
            lasting.append(torch.from_numpy(playing.astype(np.float32)))
            outcome = {name: float(values.mean()) for name, values in step.outcome.items()}
        return Played(
            torch.stack(seen, 1),
            torch.stack(acts, 1),
            torch.stack(rewards, 1).float(),
            torch.stack(lasting),
            explore,
            outcome,
        )


def returns(rewards: Tensor, gamma: float) -> Tensor:
    """What is earned from each round on: [..., T, B]."""
    total = torch.zeros_like(rewards[..., 0, :])
    found = []
    for t in reversed(range(rewards.shape[-2])):
        total = rewards[..., t, :] + gamma * total
        found.append(total)
    return torch.stack(found[::-1], -2)


def advantages(earned: Tensor, lasting: Tensor) -> Tensor:
    """Returns [..., T, B] less the mean of their round over the games that go on."""
    mean = (earned * lasting).sum(-1, keepdim=True) / lasting.sum(-1, keepdim=True).clamp_min(1)
    return (earned - mean) * lasting


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(hidden, outputs)
    nn.init.normal_(last.weight, std=0.1)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), last)

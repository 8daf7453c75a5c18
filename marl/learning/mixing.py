"""Mixing: the values of which steps one TD error is about.

``iql`` (independent Q-learning): of a single one. Every seat learns for itself what the team is to
earn.

``vdn`` (value decomposition, Sunehag et al. 2017, "Value-Decomposition Networks For Cooperative
Multi-Agent Learning", arXiv 1706.05296): of a *round*, the k-th own turns of all seats of an
episode. With o(i, k) and a(i, k) what seat i observed and did on its k-th own turn, and Q' the
target network, one error of one-step learning is::

    Q_tot(k) = sum_i Q(o(i, k), a(i, k))
    error(k) = R(k) + gamma * sum_i Q'(o(i, k + 1), argmax_a Q(o(i, k + 1), a)) - Q_tot(k)

R(k) is what the team earned by the moves of round k. A step's reward in ``Episodes`` is all that
the team earned from that own turn to the seat's next one: the windows of the seats overlap, so that
their sum would count every reward once for each seat. The window of the seat that moves first is
the round itself. R(k) is therefore the reward of its k-th step, and every reward counts once.

A seat whose turn does not come in the last round adds nothing to it, neither as a prediction nor as
a target. Where an episode was cut off, its last complete round serves to bootstrap from.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marl.episodes import Episodes


class Mixing(Protocol):
    """U units of a batch, each with TD errors of its own: R of them in all.

    Attributes:
        lengths: int32 [U], errors of each unit.
        steps: int64 [U], steps of each unit.
        terminal: bool [U], whether the game ended after the last of them.
        rewards: float32 [R], what the team earned.
        elapsed: int16 [R], time that went by.
        fresh: bool [U], whether the unit begins an episode.
        setting: int16 [U], in which of a run's settings it was played.
        partner: int16 [U], with whom (see ``Episodes.partner``).
    """

    lengths: NDArray[np.int32]
    steps: NDArray[np.int64]
    terminal: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    elapsed: NDArray[np.int16]
    fresh: NDArray[np.bool_]
    setting: NDArray[np.int16]
    partner: NDArray[np.int16]

    def __init__(self, episodes: Episodes) -> None: ...

    @staticmethod
    def edges(episodes: Episodes) -> NDArray[np.int64]:
        """Where each unit begins among the sequences, and where the last one ends: [U + 1]."""
        ...

    def total(self, values: Tensor) -> Tensor:
        """Adds up the values [S] of the steps that an error is about: [R]."""
        ...


class IQL:
    """Every sequence is a unit, and every step has an error."""

    def __init__(self, episodes: Episodes) -> None:
        self.lengths, self.terminal = episodes.lengths, episodes.terminal
        self.rewards, self.elapsed, self.fresh = episodes.rewards, episodes.elapsed, episodes.fresh
        self.steps = episodes.lengths.astype(np.int64)
        self.setting, self.partner = episodes.setting, episodes.partner

    @staticmethod
    def edges(episodes: Episodes) -> NDArray[np.int64]:
        """See ``Mixing``."""
        return np.arange(len(episodes) + 1)

    def total(self, values: Tensor) -> Tensor:
        """See ``Mixing``."""
        return values


class VDN:
    """Every episode is a unit, and every round has an error.

    The sequences are whole, those of an episode follow each other in the order of their seats, and
    seats take turns in that order.

    Raises:
        ValueError: if they do not.
    """

    def __init__(self, episodes: Episodes) -> None:
        edges = self.edges(episodes)
        firsts = edges[:-1]
        steps = episodes.lengths
        most, least = (f.reduceat(steps, firsts) for f in (np.maximum, np.minimum))
        in_turn = np.diff(steps) <= 0
        in_turn[firsts[1:] - 1] = True  # from one episode to the next
        if not in_turn.all() or (most - least > 1).any() or (steps[firsts] != most).any():
            raise ValueError(
                "learner.mixing=vdn needs whole episodes of a game whose seats take turns in a "
                "fixed order: use learner.mixing=iql"
            )
        self.terminal, self.fresh = episodes.terminal[firsts], episodes.fresh[firsts]
        self.setting, self.partner = episodes.setting[firsts], episodes.partner[firsts]
        self.lengths = np.where(self.terminal, most, least).astype(np.int32)
        self.steps = np.add.reduceat(steps, firsts, dtype=np.int64)
        sequence = np.repeat(np.arange(len(steps)), steps)
        time = np.arange(len(sequence)) - (np.cumsum(steps) - steps)[sequence]
        unit = np.repeat(np.arange(len(firsts)), np.diff(edges))[sequence]
        rounds = int(self.lengths.sum())
        inside = time < self.lengths[unit]
        starts = np.cumsum(self.lengths) - self.lengths
        # What lies beyond the last complete round of an episode that was cut off is left out.
        self._round = np.where(inside, starts[unit] + time, rounds)
        self.rewards = np.zeros(rounds, np.float32)
        first = inside & (sequence == firsts[unit])
        self.rewards[self._round[first]] = episodes.rewards[first]
        self.elapsed = np.ones(rounds, np.int16)
        self.elapsed[self._round[first]] = episodes.elapsed[first]

    @staticmethod
    def edges(episodes: Episodes) -> NDArray[np.int64]:
        """See ``Mixing``."""
        begins = episodes.seat == 0
        if not begins[0]:
            raise ValueError("episodes must begin with seat 0: draw them whole")
        return np.append(np.flatnonzero(begins), len(episodes))

    def total(self, values: Tensor) -> Tensor:
        """See ``Mixing``."""
        rounds = len(self.rewards)
        index = torch.from_numpy(self._round).to(values.device)
        return values.new_zeros(rounds + 1).index_add(0, index, values)[:rounds]


MIXINGS: dict[str, type[Mixing]] = {"iql": IQL, "vdn": VDN}
